"""The session's file: whole at any time, and told apart from a damaged one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from refused import refused

from acquisition.errors import ErrorCode, InputError
from calibration.storage import is_unfinished, load_record, next_run, save_record
from calibration.types import Consent, DisplayTiming, Report, SessionRecord, TrialRecord

RECORD = SessionRecord(
    subject="S01",
    session=2,
    classes=("happy", "sad"),
    seed=7,
    consent=Consent(("EEG", "eye"), keep_voice=True, given_at="2026-01-02T03:04:05+00:00"),
    trials=(
        TrialRecord(1, "sad", 100.123456789, 140.5, Report("sad", 2, 3), "repeated"),
        TrialRecord(2, "happy", 160.0, 200.0, None, "done", run=2),
        TrialRecord(3, "sad", 220.0, 260.0, Report("sad"), "done", run=2),  # not rated in time
    ),
    baseline=((1.5, 31.5), (32.0, 62.0)),
    baseline_run=1,
    recordings=(Path("sub-S01_ses-02_task-calibration_run-01.xdf"), Path("run-02.xdf")),
    overridden=("face",),
    timing=(DisplayTiming("trial_start/sad/1", 1 / 60, 2400, 3),),
    order=("sad", "happy", "sad", "happy"),
    settings={"n_trials": 4, "hint_s": 5.0, "protocol": "own.toml"},
    is_simulated=True,
)


def test_a_record_comes_back_as_it_was(tmp_path):
    path = tmp_path / "session.json"
    save_record(RECORD, path)
    assert load_record(path) == RECORD
    save_record(replace(RECORD, trials=()), path)
    assert load_record(path).trials == ()
    assert [file.name for file in tmp_path.iterdir()] == ["session.json"]


def test_any_cut_of_the_file_is_called_damaged(tmp_path):
    path = tmp_path / "session.json"
    save_record(RECORD, path)
    text = path.read_text(encoding="utf-8").rstrip()
    for length in range(0, len(text), 37):
        path.write_text(text[:length], encoding="utf-8")
        error = refused(lambda: load_record(path))
        assert (error.code, error.where) == (ErrorCode.FILE, str(path))


@pytest.mark.parametrize("key", ["subject", "consent", "trials", "baseline", "recordings", "order", "seed"])
@pytest.mark.parametrize("value", [None, 5.5, [5], {"a": 1}])
def test_values_of_a_wrong_kind_are_called_damaged(tmp_path, key, value):
    path = tmp_path / "session.json"
    save_record(RECORD, path)
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, key: value}), encoding="utf-8")
    assert refused(lambda: load_record(path)).code is ErrorCode.FILE


def test_other_versions_and_other_files_are_refused(tmp_path):
    path = tmp_path / "session.json"
    path.write_text('{"version": 99}', encoding="utf-8")
    with pytest.raises(InputError, match=r"expected version 1, found 99 \(update the program"):
        load_record(path)
    path.write_text("[1, 2]", encoding="utf-8")
    assert refused(lambda: load_record(path)).code is ErrorCode.FILE
    assert refused(lambda: load_record(tmp_path / "none.json")).code is ErrorCode.FILE


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "session.json"
    save_record(RECORD, path)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert refused(lambda: save_record(replace(RECORD, seed=8), path)).code is ErrorCode.FILE
    assert load_record(path) == RECORD
    assert [file.name for file in tmp_path.iterdir()] == ["session.json"]


def test_a_session_is_unfinished_until_each_trial_is_done_or_given_up():
    assert is_unfinished(RECORD)
    assert is_unfinished(replace(RECORD, trials=(), order=()))
    trials = tuple(TrialRecord(n, "sad", n, n + 1.0, state="done") for n in (1, 2, 3))
    assert is_unfinished(replace(RECORD, trials=trials))
    given_up = TrialRecord(4, "sad", 9.0, 9.0, state="skipped")
    assert not is_unfinished(replace(RECORD, trials=(*trials, given_up)))


def test_the_next_run_takes_no_name_that_was_used():
    assert next_run(RECORD) == 3
    assert next_run(replace(RECORD, recordings=())) == 3
    assert next_run(replace(RECORD, recordings=(), trials=())) == 1


@pytest.mark.parametrize("name", ["../run-01.xdf", "/etc/run-01.xdf", "sub/run-01.xdf", "", ".."])
def test_a_recording_elsewhere_than_beside_the_file_is_called_damaged(tmp_path, name):
    path = tmp_path / "session.json"
    save_record(replace(RECORD, recordings=(Path("run-02.xdf"),)), path)
    path.write_text(path.read_text(encoding="utf-8").replace("run-02.xdf", name), encoding="utf-8")
    assert refused(lambda: load_record(path)).code is ErrorCode.FILE


def test_a_trial_without_a_time_or_back_in_time_is_called_damaged(tmp_path):
    path = tmp_path / "session.json"
    for begin, end in ((float("nan"), 2.0), (3.0, 2.0)):
        save_record(replace(RECORD, trials=(TrialRecord(1, "sad", begin, end),)), path)
        assert refused(lambda: load_record(path)).code is ErrorCode.FILE
