"""The command calibrate: what is wrong is one line, and a foreign recording is fitted and tested honestly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import refused, run

from app.environment import ExitCode

MONTAGES = Path(__file__).parents[2] / "data" / "montages"
PAIRS = "1=left,2=right,3=idle"


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        ("", "--subject"),
        ("--subject S01 --headless", "--consent"),
        ("--subject S01 --headless --consent eeg,mind", "consent"),
        ("--subject S01 --headless --consent eeg --keep-voice", "consent"),
        ("--subject S01 --headless --time-scale inf --consent eeg", "--time-scale"),
        ("--subject Bob_Smith --simulate --headless", "Subject ID"),
        ("--subject S01 --simulate --headless --protocol no.toml", "no.toml"),
        ("--subject S01 --simulate --headless --difficulty mean", "--difficulty"),
        ("refit no.xdf", "no.xdf"),
        ("refit no.xdf --consent eeg", "no.xdf"),
        ("refit a.xdf --trials 4", "--trials"),
        ("refit a.xdf --events 1", "--events"),
        (f"refit a.xdf b.xdf --events {PAIRS}", "--events"),
        (f"refit a.xdf --events {PAIRS} --trials 9 --per-class 3", "--trials and --per-class"),
        ("study 2 --classes happy", ""),
        ("study 2 --difficulty mean", "--difficulty"),
    ],
)
def test_what_is_wrong_is_named_and_leaves_nothing_behind(tmp_path, monkeypatch, arguments, where):
    monkeypatch.setenv("AFFECTSCOPE_DATA", str(tmp_path / "data"))
    assert where in refused("calibrate", *arguments.split()).where
    assert not (tmp_path / "data").exists()


def test_recordings_of_two_subjects_make_no_model(tmp_path):
    for subject in ("S01", "S02"):
        (tmp_path / f"{subject}.xdf").write_bytes(b"XDF:")
        (tmp_path / f"{subject}.json").write_text(f'{{"subject": "{subject}"}}', encoding="utf-8")
    error = refused("calibrate", "refit", tmp_path / "S01.xdf", tmp_path / "S02.xdf", "--consent", "eeg")
    assert {"S01", "S02"} <= set(error.what.replace(",", " ").split())


def test_the_self_reports_of_another_subject_are_not_counted(tmp_path, monkeypatch):
    monkeypatch.setenv("AFFECTSCOPE_DATA", str(tmp_path / "data"))
    profile = tmp_path / "data" / "sub-S01" / "ses-01" / "profile"
    profile.mkdir(parents=True)
    (profile / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "S02.xdf").write_bytes(b"XDF:")
    (tmp_path / "S02.json").write_text('{"subject": "S02"}', encoding="utf-8")
    arguments = ("calibrate", "--subject", "S01", "--check", "--replay", tmp_path / "S02.xdf")
    assert refused(*arguments).where == str(tmp_path / "S02.xdf")
    of_session = refused("replay", tmp_path / "S02.xdf", "--profile", profile.parent)
    assert str(profile) in of_session.remedy  # a session's folder is named for its profile's


@pytest.mark.slow
@pytest.mark.real_data
def test_a_real_recording_is_fitted_to_its_first_trials_and_tested_on_the_others(capfd, real_data, tmp_path):
    file, montage = real_data / "xdf" / "openbci_Sub2011001.xdf", MONTAGES / "openbci_16.toml"
    common = ("calibrate", "refit", file, "--events", PAIRS, "--montage", montage, "--json")
    code, out, _ = run(capfd, *common, "--out", tmp_path / "first")
    first = json.loads(out)
    assert code == ExitCode.GOOD
    assert first["dropped_classes"] == {"left": 1}
    assert first["trials_used"] == 9
    assert first["verdict"] == "weak"
    assert first["test"]["chance"] == 0.5
    assert first["test"]["balanced_accuracy"] < first["test"]["chance_threshold"]  # the later trials say less

    code, out, _ = run(capfd, *common, "--out", tmp_path / "each", "--per-class", "4")
    each = json.loads(out)
    assert code == ExitCode.GOOD
    assert each["dropped"] == []
    assert each["dropped_classes"] == {}
    assert each["trials_used"] == 12
    assert each["test"]["trials"] + each["test"]["without_a_window"] == 48
    low, high = each["test"]["wilson"]
    assert low < each["test"]["balanced_accuracy"] < high
