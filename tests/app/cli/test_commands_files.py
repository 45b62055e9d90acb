"""inspect on sound, damaged and foreign files: exit codes, the table and JSON."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import mne
import numpy as np
import pytest
from command_line import exit_code as run
from command_line import one_line

from acquisition.xdf.write import XdfWriter
from assets import DEMO_MODEL

SHIPPED = Path(__file__).parents[3] / "assets" / "recordings" / "simulated-60s.xdf"


def header(name: str, kind: str, sfreq: float, form: str = "float32") -> str:
    return (
        f"<info><name>{name}</name><type>{kind}</type><channel_count>2</channel_count>"
        f"<nominal_srate>{sfreq}</nominal_srate><channel_format>{form}</channel_format></info>"
    )


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """10 s at 100 Hz under a nominal 128 Hz, with a hole of 1 s, and an empty stream."""
    path = tmp_path / "rec.xdf"
    stamps = 50 + np.arange(1000) / 100
    stamps[500:] += 1.0
    with XdfWriter(path) as writer:
        writer.add_stream(1, header("Amp [left]", "EEG", 128.0))
        writer.add_stream(2, header("Notes", "Markers", 0.0, "string"))
        for part in np.array_split(stamps, 10):
            writer.samples(1, part, np.zeros((len(part), 2)))
            writer.boundary()
    return path


def test_table_tells_rates_gaps_and_empty_streams(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("inspect", recording) == 0
    text = capsys.readouterr().out
    assert "Amp [left]" in text  # brackets are no markup
    assert "1,000" in text
    assert "1.01 s" in text
    assert "runs at 100.00 Hz, not at its nominal 128 Hz" in text
    assert "Notes (Markers): empty" in text
    assert "no damage found." in text


@pytest.mark.parametrize("columns", ["80", "200"])
def test_no_line_is_wider_than_the_terminal(
    recording: Path, columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    run("inspect", recording)
    assert max(len(line) for line in capsys.readouterr().out.splitlines()) <= int(columns)


def test_json_holds_the_report(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("inspect", recording, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    amplifier, notes = report["streams"]
    assert amplifier["n_samples"] == 1000
    assert amplifier["n_gaps"] == 1
    assert notes["is_empty"]


def test_damaged_file_is_reported_and_exits_3(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = recording.read_bytes()
    recording.write_bytes(content[: len(content) // 2])
    assert run("inspect", recording) == 3
    text = capsys.readouterr().out
    assert "damaged at byte" in text
    assert "no damage found." not in text


def test_file_that_is_no_xdf_exits_2_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "notes.xdf"
    path.write_text("hello", encoding="utf-8")
    assert run("inspect", path) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1


def test_missing_file_exits_2(tmp_path: Path) -> None:
    assert run("inspect", tmp_path / "none.xdf") == 2


def test_a_stream_that_ends_early_is_named_and_control_characters_are_not_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "early.xdf"
    with XdfWriter(path) as writer:
        writer.add_stream(1, header("Amp!31m", "EEG", 100.0))
        writer.add_stream(2, header("Eye", "Gaze", 100.0))
        writer.samples(1, 50 + np.arange(500) / 100, np.zeros((500, 2)))
        writer.samples(2, 50 + np.arange(1000) / 100, np.zeros((1000, 2)))
        writer.add_stream(3, header("Marks", "Markers", 0.0, "string"))
        writer.samples(3, [51.0, 52.0, 53.0], [["go", "1.0"], ["stop", "2"], ["go", "1"]])
    path.write_bytes(path.read_bytes().replace(b"Amp!", b"Amp\x1b"))
    assert run("inspect", path) == 3
    text = capsys.readouterr().out
    assert "ends 5.0 s before the last" in text
    assert "Marks (Markers): go|1 (2), stop|2 (1)" in text
    assert "Eye (Gaze): not used by a replay" in text
    assert "\x1b" not in text


def test_a_replay_without_a_prediction_exits_3_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "flat.xdf"
    labels = "".join(f"<channel><label>{label}</label></channel>" for label in ("C3", "C4"))
    amplifier = header("Amp", "EEG", 100.0).replace(
        "</info>", f"<desc><channels>{labels}</channels></desc></info>"
    )
    with XdfWriter(path) as writer:
        writer.add_stream(1, amplifier)
        writer.samples(1, 50 + np.arange(800) / 100, np.zeros((800, 2)))
    assert run("replay", path, "--headless") == 3
    text = capsys.readouterr().out
    assert "Amp: 800 samples received, 800 used; decodable" in text
    reasons = [line for line in text.splitlines() if line.startswith("no prediction: ")]
    assert [reason.split(": ")[1] for reason in reasons] == ["EEG", "eyes", "face", "voice"]


def test_amplitude_unit_and_label_trouble_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    channels = "".join(
        f"<channel><label>{name}</label><unit>V</unit></channel>" for name in ("C3", "C4", "Cz")
    )
    described = f"<desc><channels>{channels}</channels></desc></info>"
    two, three = header("Two", "EEG", 100.0), header("Three", "EEG", 100.0)
    three = three.replace("<channel_count>2", "<channel_count>3")
    eeg = np.random.default_rng(0).normal(0, 12, (800, 3))
    path = tmp_path / "units.xdf"
    with XdfWriter(path) as writer:
        writer.add_stream(1, two.replace("</info>", described))
        writer.add_stream(2, three.replace("</info>", described))
        writer.samples(1, 50 + np.arange(800) / 100, eeg[:, :2])
        writer.samples(2, 50 + np.arange(800) / 100, eeg)
    assert run("inspect", path, "--json") == 0
    wrong_number, volts = json.loads(capsys.readouterr().out)["streams"]
    assert volts["amplitude_uv"] == pytest.approx(12e6, rel=0.1)
    assert wrong_number["amplitude_uv"] == pytest.approx(12, rel=0.1)
    run("inspect", path)
    text = " ".join(capsys.readouterr().out.split())
    assert "3 descriptions for 2 channels" in text
    assert "its unit is wrong" in text


@pytest.mark.parametrize("kind", ["xdf", "csv"])
def test_inspect_names_the_channels_that_hold_no_numbers(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, labels = tmp_path / f"half.{kind}", ("F3", "F4", "C3", "C4")
    eeg = np.random.default_rng(0).normal(0, 12, (800, 4))
    eeg[:, 2:] = np.nan
    if kind == "csv":
        np.savetxt(path, eeg, delimiter=",", header=",".join(labels), comments="")
    else:
        channels = "".join(f"<channel><label>{label}</label></channel>" for label in labels)
        amplifier = header("Amp", "EEG", 100.0).replace("<channel_count>2", "<channel_count>4")
        described = f"<desc><channels>{channels}</channels></desc></info>"
        with XdfWriter(path) as writer:
            writer.add_stream(1, amplifier.replace("</info>", described))
            writer.samples(1, 50 + np.arange(800) / 100, eeg)
    options = ["--sfreq", "100", "--eeg-unit", "uV"] if kind == "csv" else []
    run("inspect", path, *options, "--json")
    found = json.loads(capsys.readouterr().out)
    notes = found["notes"] if kind == "csv" else found["streams"][0]["notes"]
    (told,) = [note for note in notes if "C3" in note]
    assert ("C4" in told, "F3" in told) == (True, False)


@pytest.mark.parametrize("unit", [None, "uV"])
def test_an_eeg_file_is_inspected_as_training_would_read_it(
    tmp_path: Path, unit: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.csv"
    eeg = np.random.default_rng(0).normal(0, 12, (1200, 2))
    np.savetxt(path, eeg, delimiter=",", header="C3,C4", comments="")
    options = [] if unit is None else ["--eeg-unit", unit]
    assert run("inspect", path, "--sfreq", "100", *options, "--json") == (0 if unit else 2)
    if unit:
        found = json.loads(capsys.readouterr().out)
        assert found["amplitude_uv"] == pytest.approx(12, rel=0.1)
        assert (found["ch_names"], found["refused"], found["events"]) == (["C3", "C4"], "", {})


@pytest.mark.real_data
def test_every_real_recording_is_inspected(real_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in sorted((real_data / "xdf").glob("*.xdf")):
        assert run("inspect", path) in (0, 3), path.name
        assert path.name in capsys.readouterr().out


def test_files_that_never_end_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "fifo")
    header = "\n".join(
        (
            "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nDataFile=fifo",
            "MarkerFile=fifo\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\nNumberOfChannels=1",
            "SamplingInterval=1000\n[Binary Infos]\nBinaryFormat=INT_16\n[Channel Infos]\nCh1=Fp1,,0.1,µV\n",
        )
    )
    (tmp_path / "a.vhdr").write_text(header, encoding="utf-8")
    one_line(capsys, "compare", tmp_path / "fifo", tmp_path / "fifo")
    one_line(capsys, "inspect", tmp_path / "a.vhdr")
    one_line(capsys, "replay", "--headless", tmp_path / "a.vhdr")


def test_links_in_a_circle_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(DEMO_MODEL, tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    config.unlink()
    config.symlink_to(config)
    one_line(capsys, "replay", "--headless", SHIPPED, "--model", tmp_path / "model")
    loop = tmp_path / "loop.jsonl"
    loop.symlink_to(loop)
    assert run("replay", "--headless", SHIPPED, "--jsonl", loop, "--csv", tmp_path / "a.csv") == 2


def test_an_eeg_file_that_was_cut_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = np.random.default_rng(0).normal(0, 1e-5, (4, 5000))
    raw = mne.io.RawArray(x, mne.create_info(["Fp1", "Fp2", "C3", "C4"], 250.0, "eeg"), verbose="error")
    path = tmp_path / "cut_raw.fif"
    raw.save(path, verbose="error")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert run("inspect", path) in (2, 3)  # a recording that is damaged
