"""Requests of a calibration that mean two things at once."""

from __future__ import annotations

import pytest
from command_line import run

APART = [
    ("--study 1 --from-xdf a.xdf", "--study with --from-xdf: "),
    ("--study 1 --subject S01", "--subject: --subject does not go with --study"),
    ("--events 1=a,2=b --subject S01", "--events: markers of which recording?"),
    ("--from-xdf a.xdf --classes sad,happy", "--classes: --classes does not go with --from-xdf"),
    ("--from-xdf a.xdf --trials 4", "--trials: --trials does not go with --from-xdf"),
    ("--subject S01 --headless --out there", "--out: --out does not go with a session"),
    ("--subject S01 --headless --time-scale inf --consent eeg", "--time-scale: expected a time scale"),
]


def told(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    code, _, text = run(capsys, "calibrate", *line.split())
    assert code == 2
    assert text.count("\n") == 1
    return text


@pytest.mark.parametrize(("line", "words"), APART)
def test_what_does_not_go_together_is_refused(line, words, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("AFFECTSCOPE_DATA", str(tmp_path))
    assert told(line, capsys).startswith(f"error: {words}")
    assert list(tmp_path.iterdir()) == []


def test_nobody_agrees_to_a_recording_by_calling_it_simulated(capsys, tmp_path):
    recording = tmp_path / "of-a-person.xdf"
    recording.write_bytes(b"XDF:")
    assert "--simulate does not go with --from-xdf" in told(f"--from-xdf {recording} --simulate", capsys)


def test_recordings_of_two_people_make_no_model(capsys, tmp_path):
    for subject in ("S01", "S02"):
        (tmp_path / f"{subject}.xdf").write_bytes(b"XDF:")
        (tmp_path / f"{subject}.json").write_text(f'{{"subject": "{subject}"}}', encoding="utf-8")
    line = f"--from-xdf {tmp_path / 'S01.xdf'} --from-xdf {tmp_path / 'S02.xdf'} --consent eeg"
    assert "expected recordings of one person, found S01 and S02" in told(line, capsys)
