"""A whole calibration in the real window by keyboard, with simulated devices, on an X server if possible."""

from __future__ import annotations

from pathlib import Path

import pytest
from driven import drive

pytestmark = [pytest.mark.lsl, pytest.mark.slow, pytest.mark.timeout(420)]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What the driver of the window has seen."""
    return drive("drive_calibration.py", tmp_path_factory.mktemp("calibration"), 400)


def test_the_keyboard_alone_leads_from_the_notice_to_the_verdict(seen):
    screens = ["notice", "preflight", "fixation", "practice", "report", "hint", "stimulus", "rest", "finish"]
    assert [name for name in seen["screens"] if name != "waiting"] == screens
    assert seen["answers"] == [[7, 4]] * 4
    assert seen["faults"] == 0, seen["messages"]


def test_recording_profile_and_report_of_the_session_are_there(seen):
    from acquisition.xdf.scan import scan_xdf

    index = scan_xdf(Path(seen["recording"]))
    assert {stream.header.type for stream in index.streams.values()} >= {"EEG", "Gaze", "Markers"}
    assert "Audio" not in {stream.header.type for stream in index.streams.values()}  # nobody ticked it
    assert not index.damage
    assert (Path(seen["profile"]) / "model.safetensors").is_file()
    assert Path(seen["report"]).is_file()


def test_the_window_closes_within_three_seconds(seen):
    assert seen["closing_s"] < 3.5
