"""What is wrong with a request is said before a window opens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from acquisition.errors import ErrorCode, InputError
from app.cli.run import run_request
from app.display import WindowOptions
from app.request import LiveRequest, ReplayRequest, Request, SessionOptions, check_request

GOOD = SessionOptions()


def requests(tmp_path: Path) -> dict[str, tuple[Request, str]]:
    """Return requests that cannot be run, and what the refusal is about."""
    taken, no_xdf, broken = tmp_path / "taken.xdf", tmp_path / "text.xdf", tmp_path / "cap.toml"
    taken.write_bytes(b"XDF:")
    no_xdf.write_text("no recording")
    broken.write_text("[channels")
    return {
        "missing recording": (ReplayRequest(tmp_path / "missing.xdf", GOOD), "missing.xdf"),
        "folder": (ReplayRequest(tmp_path, GOOD), str(tmp_path)),
        "no recording": (ReplayRequest(no_xdf, GOOD), "text.xdf"),
        "missing model": (LiveRequest(replace(GOOD, model=tmp_path / "none")), "none"),
        "broken montage": (LiveRequest(replace(GOOD, montage=str(broken))), "cap.toml"),
        "taken target": (LiveRequest(replace(GOOD, record=taken)), "taken.xdf"),
        "screen": (LiveRequest(replace(GOOD, screen_cm="wide")), "screen"),
        "half a screen": (LiveRequest(replace(GOOD, screen_cm="50x30")), "--screen-cm and --distance-cm"),
    }


NAMES = ("missing recording", "folder", "no recording", "missing model", "broken montage", "taken target")


def test_face_landmarks_that_are_not_installed_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("app.request.default_weights_folder", lambda: tmp_path)
    with pytest.raises(InputError) as caught:
        check_request(LiveRequest(replace(GOOD, face_landmarks=True)))
    assert (caught.value.code, caught.value.facts["name"]) == (ErrorCode.MODEL, "face-landmarks")


@pytest.mark.parametrize("name", [*NAMES, "screen", "half a screen"])
def test_what_cannot_be_run_opens_no_window(name, tmp_path):
    request, where = requests(tmp_path)[name]
    with pytest.raises(InputError) as error:
        run_request(request, WindowOptions(), in_window=True)
    assert where in error.value.where


def test_a_model_without_weights_is_refused(tmp_path):
    (tmp_path / "config.json").write_bytes((GOOD.model / "config.json").read_bytes())
    with pytest.raises(InputError) as error:
        check_request(LiveRequest(replace(GOOD, model=tmp_path)))
    assert error.value.code == "model"


def test_what_can_be_run_passes(tmp_path):
    recording = tmp_path / "a.xdf"
    recording.write_bytes(b"XDF:")
    check_request(ReplayRequest(recording, GOOD))
    check_request(LiveRequest(replace(GOOD, record=tmp_path / "new" / "b.xdf", montage="biosemi64")))
