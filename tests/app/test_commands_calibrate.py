"""The command calibrate: what is wrong is one line, and a foreign recording is fitted and tested honestly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import run

from app.environment import ExitCode

MONTAGES = Path(__file__).parent.parent / "data" / "montages"
PAIRS = "1=left,2=right,3=idle"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "--subject S01"),
        (("--subject", "S01", "--headless"), "--consent eeg,eye,face,voice"),
        (("--subject", "S01", "--headless", "--consent", "eeg,mind"), "'mind'"),
        (("--subject", "S01", "--headless", "--consent", "eeg", "--keep-voice"), "voice is to be kept"),
        (("--subject", "Bob Smith", "--simulate", "--headless"), "subject"),
        (("--subject", "S01", "--simulate", "--headless", "--protocol", "no.toml"), "no such file"),
        (("--subject", "S01", "--simulate", "--headless", "--difficulty", "mean"), "mean"),
        (("--from-xdf", "no.xdf"), "no.xdf"),
        (("--from-xdf", "no.xdf", "--consent", "eeg"), "no.xdf"),
        (("--from-xdf", "a.xdf", "--events", "1"), "--events"),
        (("--from-xdf", "a.xdf", "--from-xdf", "b.xdf", "--events", PAIRS), "expected one recording"),
        (("--from-xdf", "a.xdf", "--events", PAIRS, "--trials", "9", "--per-class", "3"), "leave one out"),
        (("--study", "2", "--classes", "happy"), "two classes"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(capfd, tmp_path, monkeypatch, arguments, words):
    monkeypatch.setenv("AFFECTSCOPE_DATA", str(tmp_path / "data"))
    code, out, err = run(capfd, "calibrate", *arguments)
    assert code == ExitCode.WRONG_USE
    assert out == ""
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert words in errors[0]
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
@pytest.mark.real_data
def test_a_real_recording_is_fitted_to_its_first_trials_and_tested_on_the_others(capfd, real_data, tmp_path):
    file, montage = real_data / "xdf" / "openbci_Sub2011001.xdf", MONTAGES / "openbci_16.toml"
    common = ("calibrate", "--from-xdf", file, "--events", PAIRS, "--montage", montage, "--json")
    code, out, _ = run(capfd, *common, "--out", tmp_path / "first")
    first = json.loads(out)
    assert code == ExitCode.GOOD
    assert first["dropped_classes"] == {"left": 1}
    assert first["trials_used"] == 9
    assert first["verdict"] == "not distinguishable from chance"
    assert first["test"]["chance"] == 0.5

    code, out, _ = run(capfd, *common, "--out", tmp_path / "each", "--per-class", "4")
    each = json.loads(out)
    assert code == ExitCode.GOOD
    assert each["dropped"] == []
    assert each["dropped_classes"] == {}
    assert each["trials_used"] == 12
    assert each["test"]["trials"] + each["test"]["without_a_window"] == 48
    low, high = each["test"]["wilson"]
    assert low < each["test"]["balanced_accuracy"] < high
