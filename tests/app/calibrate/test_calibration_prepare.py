"""What is wrong with a session is said before anything is opened or written; a broken-off one is found."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from refused import refused

from acquisition.errors import ErrorCode, InputError
from app.calibrate.prepare import plan_seconds, prepare
from app.request import CalibrationRequest, SessionOptions
from calibration.plan import load_plan
from calibration.storage import make_session, save_record
from calibration.types import Consent, SessionRecord, TrialRecord

ORDER = ("sad", "happy", "sad", "happy")


@pytest.fixture
def request_(tmp_path: Path) -> CalibrationRequest:
    return CalibrationRequest(
        SessionOptions(), "S01", data_dir=tmp_path / "data", classes=("happy", "sad"), n_trials=4
    )


def broken_off(data: Path, n_done: int) -> None:
    place = make_session(data, "S01")
    trials = tuple(TrialRecord(n, ORDER[n - 1], 100.0 * n, 100.0 * n + 20) for n in range(1, n_done + 1))
    record = SessionRecord(
        "S01", place.number, ("happy", "sad"), 0, Consent(("eeg",)), trials=trials, order=ORDER,
        recordings=(Path(place.recording(1).name),),
    )  # fmt: skip
    save_record(record, place.state)


def test_a_good_request_writes_nothing(request_):
    prepared = prepare(request_)
    assert prepared.run == 1
    assert prepared.words == ""
    assert not (request_.data_dir).exists()


@pytest.mark.parametrize(
    ("changes", "code", "where"),
    [
        ({"subject": "Anna Smith"}, ErrorCode.SUBJECT, "Subject ID"),
        ({"plan": Path("missing.toml")}, ErrorCode.FILE, "missing.toml"),
        ({"classes": ("happy", "hungry")}, ErrorCode.OPTION, "protocol"),
        ({"n_trials": 2}, ErrorCode.OPTION, "protocol"),
        ({"options": SessionOptions(model=Path("nowhere"))}, ErrorCode.MODEL, "nowhere"),
    ],
)
def test_what_is_wrong_is_said_at_once(request_, changes, code, where):
    error = refused(lambda: prepare(replace(request_, **changes)))
    assert error.code is code
    assert where in error.where


def test_unreadable_toml_is_named_with_line_and_column(request_, tmp_path):
    plan = tmp_path / "plan.toml"
    plan.write_text('name = "x"\nclasses = [\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"line \d+, column \d+"):
        prepare(replace(request_, plan=plan))


def test_a_missing_clip_is_named(request_, tmp_path):
    plan = tmp_path / "plan.toml"
    plan.write_text(
        '[practice]\nkind = "text"\ntext = "p"\n'
        '[[stimuli.happy]]\nkind = "video"\npath = "gone.mp4"\n'
        '[[stimuli.sad]]\nkind = "text"\ntext = "s"\n',
        encoding="utf-8",
    )
    with pytest.raises(InputError, match=r"gone\.mp4"):
        prepare(replace(request_, plan=plan))


def test_a_full_disk_stops_it_before_it_begins(request_, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1_000_000})())
    error = refused(lambda: prepare(request_))
    assert (error.code, error.where) == (ErrorCode.FILE, "disk")


def test_a_broken_off_session_is_gone_on_with(request_):
    broken_off(request_.data_dir, 2)
    prepared = prepare(replace(request_, classes=None, n_trials=None))
    assert prepared.run == 2
    assert prepared.plan.n_trials == 4
    assert "resumes at trial 3 of 4: 2 trials are kept" in prepared.words


def test_new_leaves_the_broken_off_session_alone(request_):
    broken_off(request_.data_dir, 2)
    prepared = prepare(replace(request_, resume=False))
    assert prepared.place is None


def test_a_finished_session_is_not_gone_on_with(request_):
    broken_off(request_.data_dir, 4)
    (request_.data_dir / "sub-S01" / "ses-01" / "profile").mkdir()
    prepared = prepare(request_)
    assert prepared.record is None
    assert prepared.words == ""


def test_a_session_that_lacks_its_model_alone_is_pointed_out(request_):
    broken_off(request_.data_dir, 4)
    prepared = prepare(request_)
    assert prepared.unfitted is not None
    assert "not fitted yet" in prepared.words
    assert prepare(replace(request_, resume=False)).unfitted is None


def test_other_classes_do_not_go_on_with_a_session(request_):
    broken_off(request_.data_dir, 1)
    error = refused(lambda: prepare(replace(request_, classes=("fear", "sad"))))
    assert (error.code, error.where) == (ErrorCode.SUBJECT, "session of S01")


def test_the_usual_session_takes_a_quarter_of_an_hour():
    assert 13 * 60 < plan_seconds(load_plan()) < 17 * 60


def test_the_window_can_prepare_without_torch():
    code = "import sys, app.calibrate.prepare, app.engine.messages; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_an_empty_session_does_not_hide_the_one_that_was_broken_off(request_):
    broken_off(request_.data_dir, 2)
    make_session(request_.data_dir, "S01")
    assert "resumes at trial 3" in prepare(request_).words


def test_a_session_of_somebody_else_is_not_gone_on_with(request_):
    broken_off(request_.data_dir, 2)
    own, other = request_.data_dir / "sub-S01", request_.data_dir / "sub-S02"
    own.rename(other)
    assert refused(lambda: prepare(replace(request_, subject="S02"))).code is ErrorCode.SUBJECT
