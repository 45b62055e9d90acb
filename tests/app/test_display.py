"""Whether a window can open is found out without Qt ending the program."""

from __future__ import annotations

import pytest

from acquisition.errors import InputError
from app import display


@pytest.fixture
def linux(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(display.sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_without_a_display_the_window_is_drawn_off_screen(linux):
    assert not display.has_display()
    environment = {"QT_QPA_PLATFORM_PLUGIN_PATH": "/x/site-packages/cv2/qt/plugins"}
    display.prepare_environment(environment)
    assert environment == {"QT_QPA_PLATFORM": "offscreen"}


def test_plugins_that_a_person_chose_are_left_alone(linux):
    environment = {"QT_QPA_PLATFORM_PLUGIN_PATH": "/opt/qt/plugins"}
    display.prepare_environment(environment)
    assert environment["QT_QPA_PLATFORM_PLUGIN_PATH"] == "/opt/qt/plugins"


def test_a_display_that_does_not_answer_is_an_error_with_what_to_install(linux):
    linux.setenv("DISPLAY", ":9999")
    with pytest.raises(InputError) as error:
        display.require_window()
    assert (error.value.code, error.value.where) == ("device", "display")
    assert "apt-get install" in str(error.value.remedy)
    assert "--headless" in str(error.value.remedy)
