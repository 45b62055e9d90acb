"""What a session in the terminal says of its model before it runs, and the picture it leaves."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from acquisition.errors import ErrorCode, InputError
from app.request import SessionOptions
from app.telemetry import Telemetry
from app.terminal import introduction, show_live
from models.config import preset


def lines(**settings):
    config = preset("small", labels=("sad", "happy"), ch_names=("CZ",), **settings)
    return introduction(config, "m1")


def test_model_of_all_modalities_is_introduced_in_a_line():
    assert lines() == ["Emotion inference active. Model: m1."]


def test_simulated_training_is_said():
    assert "not valid for real people" in lines(is_simulated=True)[1]


def test_modalities_the_model_does_not_know_are_named():
    assert lines(modalities=("eeg", "eye"))[1:] == [
        "It was trained with eeg and eye only: face and voice are treated as missing, even if connected."
    ]


def test_a_profile_that_only_guesses_is_warned_of_first():
    config = preset("small", labels=("sad", "happy"), ch_names=("CZ",))
    said = introduction(config, "m1", "do not trust this model: chance")
    assert said[1] == "WARNING: do not trust this model: chance."


def session_with_picture(path: Path) -> Any:
    config = preset("small", labels=("sad", "happy"), ch_names=("CZ",))
    return SimpleNamespace(
        options=SessionOptions(headless=True, picture=path),
        checkpoint=SimpleNamespace(config=config),
        telemetry=Telemetry(),
        run=lambda show: show(),
    )


def test_picture_of_the_last_screen_asks_the_network_for_nothing(tmp_path: Path) -> None:
    show_live(session_with_picture(tmp_path / "screen.svg"))
    svg = (tmp_path / "screen.svg").read_text(encoding="utf-8")
    assert "waiting" in svg
    assert "@font-face" not in svg


def test_picture_that_cannot_be_written_is_an_error_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "screen.svg"
    with pytest.raises(InputError) as error:
        show_live(session_with_picture(path))
    assert error.value.code is ErrorCode.FILE
    assert error.value.where == f"--picture {path}"
