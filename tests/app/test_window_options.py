"""The options of the window, checked before anything starts."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from command_line import exit_code

from acquisition.errors import InputError
from app.cli.options import TabScreenOptions
from app.display import TAB_NAMES, WindowOptions, opens_window
from app.environment import new_recording
from app.request import SessionOptions


def test_all_means_every_tab():
    assert (
        TabScreenOptions(screenshot=Path("p"), size="1366x768", theme="dark", scale=2).window().tabs
        == TAB_NAMES
    )
    assert TabScreenOptions(tab="why").window().tabs == ("why",)


@pytest.mark.parametrize("size", ["1366", "100x100"])
def test_a_size_that_cannot_be_is_refused_by_name(size):
    with pytest.raises(InputError) as error:
        TabScreenOptions(size=size).window()
    assert error.value.where == "--size"


@pytest.mark.parametrize("words", ["--tab later", "--theme pink", "--scale 3", "--device tpu"])
def test_what_an_option_does_not_know_is_wrong_use(words):
    assert exit_code("demo", *words.split()) == 2


def test_a_session_without_display_runs_in_the_terminal_and_says_so(monkeypatch, capsys):
    monkeypatch.setattr("app.display.sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not opens_window(SessionOptions(), WindowOptions())
    assert capsys.readouterr().out.count("\n") == 1
    assert not opens_window(SessionOptions(headless=True), WindowOptions(screenshot=Path("p")))
    assert capsys.readouterr().out == ""


def test_recordings_are_named_by_date_and_never_overwrite(tmp_path: Path):
    moment = datetime(2026, 3, 1, 14, 5, 9)
    first = new_recording(tmp_path, moment)
    assert first.name == "2026-03-01_14-05-09.xdf"
    first.touch()
    assert new_recording(tmp_path, moment).name == "2026-03-01_14-05-09_2.xdf"
