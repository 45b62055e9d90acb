"""The real window on real streams of simulated devices: under an X server where there is one to be had."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from driven import drive
from PyQt6.QtGui import QImage

from app.qt.shell.commands import COMMANDS

#: Those that end the run, or wait for streams that appear.
_NOT_PRESSED = {"quit", "stop", "start_again", "add_stream"}
#: What only a replay can do.
_OF_A_REPLAY = {"slower", "faster"}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What the driver of the window has seen."""
    return drive("drive_window.py", tmp_path_factory.mktemp("window"), 170)


def image(path: str) -> np.ndarray:
    picture = QImage(path).convertToFormat(QImage.Format.Format_RGB888)
    bits = picture.constBits()
    assert bits is not None
    rows = np.frombuffer(bits.asstring(picture.sizeInBytes()), np.uint8)
    return rows.reshape(picture.height(), picture.bytesPerLine())[:, : picture.width() * 3]


@pytest.mark.lsl
@pytest.mark.slow
def test_every_tab_has_content_of_its_own(seen):
    pictures = {name: image(path) for name, path in seen["pictures"].items()}
    for name, picture in pictures.items():
        assert len(np.unique(picture)) > 30, name
        for other, picture_of_other in pictures.items():
            if other != name:
                assert np.mean(picture != picture_of_other) > 0.05, (name, other)


@pytest.mark.lsl
@pytest.mark.slow
def test_every_button_does_something(seen):
    assert {"choose_streams", "record", "mask_eeg", "toggle", "to_end"} <= seen["buttons"].keys()
    assert all(count == 2 for count in seen["buttons"].values()), seen["buttons"]


@pytest.mark.lsl
@pytest.mark.slow
def test_every_key_does_what_the_table_says(seen):
    expected = {c.name: len(c.keys) for c in COMMANDS if c.name not in _NOT_PRESSED | _OF_A_REPLAY}
    assert seen["keys"] == expected


@pytest.mark.lsl
@pytest.mark.slow
def test_a_recording_started_and_stopped_in_the_window_is_whole(seen):
    from acquisition.xdf.scan import scan_xdf

    index = scan_xdf(Path(seen["recorded"]))
    assert {stream.header.type for stream in index.streams.values()} >= {"EEG", "Gaze", "Audio"}
    assert not index.damage


@pytest.mark.lsl
@pytest.mark.slow
def test_the_window_closes_within_three_seconds_and_without_a_fault(seen):
    assert seen["closing_s"] < 3.5  # half a second for the loop that looks
    assert seen["faults"] == 0, seen["messages"]
