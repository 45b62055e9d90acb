"""streams, simulate, publish and record: what they say, what they refuse, and what they leave behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import exit_code as run
from command_line import refused

from acquisition.clock import LslClock
from acquisition.lsl import discovery
from acquisition.record.files import source_id_query
from acquisition.record.recorder import stop_recording
from acquisition.simulator.process import SimulatorProcess, stream_choices
from acquisition.simulator.source import SimulatorOptions
from acquisition.xdf.inspect import inspect_xdf
from app import recording

PROJECT = Path(__file__).parents[3]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(PROJECT)}


def start(*arguments: str | Path, **settings: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "app", *map(str, arguments)]
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **settings}
    return subprocess.Popen(command, text=True, env=ENVIRONMENT, **settings)


@contextlib.contextmanager
def outlet(name: str, kind: str, source_id: str) -> Iterator[Any]:
    from pylsl import StreamInfo, StreamOutlet

    sending = StreamOutlet(StreamInfo(name, kind, 4, 250.0, "float32", source_id))
    yield sending
    del sending


def unique(text: str) -> str:
    return f"{text}-{uuid.uuid4().hex[:8]}"


def is_found(source_id: str, timeout_s: float = 1.0) -> bool:
    from pylsl import resolve_bypred

    return bool(resolve_bypred(source_id_query(source_id), 1, timeout_s))


def vanishes(source_id: str, timeout_s: float = 10.0) -> bool:
    clock = LslClock()
    deadline = clock.now() + timeout_s
    while is_found(source_id, 0.5):
        if clock.now() > deadline:
            return False
    return True


@pytest.fixture
def simulated() -> Iterator[SimulatorOptions]:
    """Simulated gaze and markers in a process of their own."""
    options = SimulatorOptions(
        seed=5, schedule="happy:1,sad:1", streams=("gaze", "markers"), source_id_suffix=unique("-t")
    )
    with SimulatorProcess(options) as process:
        process.wait_until_found()
        yield options


@pytest.mark.lsl
def test_streams_are_listed_with_what_they_are_taken_for(capsys: pytest.CaptureFixture[str]) -> None:
    eeg_id, other_id = unique("eeg"), unique("other")
    with outlet("Amp [1]", "EEG", eeg_id), outlet("Temperature", "Thermo", other_id):
        assert run("streams", "--timeout", "1", "--json") == 0
        listed = {stream["source_id"]: stream for stream in json.loads(capsys.readouterr().out)}
        assert run("streams", "--timeout", "1") == 0
    assert listed[eeg_id]["kind"] == "eeg"
    assert listed[eeg_id]["nominal_sfreq"] == 250.0
    assert listed[eeg_id]["n_channels"] == 4
    assert listed[other_id]["kind"] == "other"
    text = capsys.readouterr().out
    assert "Amp [1]" in text
    assert eeg_id in text


def test_no_streams_is_said_in_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in (discovery, recording):
        monkeypatch.setattr(module, "discover", lambda timeout_s: [])
    assert run("streams") == 0
    assert "affectscope simulate" in capsys.readouterr().out
    assert run("streams", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []
    assert run("record", "a.xdf") == 2


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--schedule", "happy"),
        ("--schedule", "bored:5"),
        ("--faults", "explode:eeg"),
        ("--streams", "eeg,ecg"),
        ("--difficulty", "mean"),
    ],
)
def test_simulate_names_the_option_it_does_not_understand(option: str, value: str) -> None:
    assert option.removeprefix("--") in refused("simulate", option, value).where


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        (("--write", "a.xdf", "--difficulty", "easy"), "--write"),
        (("--write", "a.xdf", "--faults", "drop:eeg@20+5"), "--write"),
        (("--eeg-sfreq", "200"), "--eeg-sfreq"),
        (("--write", "a.xdf", "--seconds", "3", "--eeg-sfreq", "0"), "--eeg-sfreq"),
        (("--write", "a.xdf", "--seconds", "3", "--eeg-sfreq", "nan"), "--eeg-sfreq"),
        (("--write", "a.xdf", "--seconds", "inf"), "--seconds"),
    ],
)
def test_simulate_refuses_options_it_would_ignore_or_cannot_use(
    arguments: tuple[str, ...], where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert refused("simulate", *arguments).where == where
    assert not list(tmp_path.iterdir())


def test_simulate_writes_a_recording(tmp_path: Path) -> None:
    path = tmp_path / "a.xdf"
    assert run("simulate", "--write", path, "--seconds", "2", "--eeg-sfreq", "200") == 0
    rates = {stream.header.type: stream.header.nominal_sfreq for stream in inspect_xdf(path).streams}
    assert rates["EEG"] == 200.0
    assert rates["Markers"] == 0.0
    assert len(rates) == 5


@pytest.mark.lsl
def test_simulate_says_simulated_and_tells_emotions(capfd: pytest.CaptureFixture[str]) -> None:
    suffix = unique("-t")
    code = run(
        *("simulate", "--streams", "gaze,markers", "--schedule", "happy:0.5,sad:0.5"),
        *("--seconds", "0.8", "--id-suffix", suffix),
    )
    assert code == 0
    text = capfd.readouterr().out
    assert "simulated data" in text
    assert f"affectscope-simulator-1{suffix}-gaze" in text
    assert "happy" in text
    assert "sad" in text


@pytest.mark.lsl
def test_simulate_refuses_a_person_who_is_there_already(capsys: pytest.CaptureFixture[str]) -> None:
    suffix = unique("-t")
    with outlet("Twin", "Gaze", f"affectscope-simulator-1{suffix}-gaze"):
        assert run("simulate", "--id-suffix", suffix, "--seconds", "1") == 2
    assert "--seed" in capsys.readouterr().err


def test_publish_alone_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("publish") == 0
    assert "microphone" in capsys.readouterr().out


def test_publish_refuses_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("publish", "webcam", "--device", "none.mp4") == 2
    assert "none.mp4" in capsys.readouterr().err
    assert run("publish", "microphone", "--device", "none.wav") == 2
    assert "none.wav" in capsys.readouterr().err


@pytest.mark.lsl
def test_publish_plays_a_sound_file_to_its_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "silence.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(8000))
    assert run("publish", "microphone", "--device", path) == 0
    text = capsys.readouterr().out
    assert "8000 Hz" in text
    assert "The stream has ended." in text


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        (("a.txt",), "a.txt"),
        (("a.xdf", "--all", "--streams", "name:x"), "record"),
        (("a.xdf", "--stop"), "a.xdf"),
    ],
)
def test_record_refuses_wrong_use(arguments: tuple[str, ...], where: str, tmp_path: Path) -> None:
    assert where in refused("record", tmp_path / arguments[0], *arguments[1:]).where


def test_stream_choices_shut_out_everybody_elses_streams() -> None:
    options = SimulatorOptions(seed=5, streams=("gaze", "markers"))
    assert stream_choices(options) == (
        "eeg=none,eye=source_id:affectscope-simulator-5-gaze,face=none,voice=none,"
        "markers=source_id:affectscope-simulator-5-markers"
    )


@pytest.mark.lsl
@pytest.mark.slow
def test_record_writes_the_chosen_streams(
    simulated: SimulatorOptions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.xdf"
    assert run("record", path, "--streams", stream_choices(simulated), "--seconds", "2") == 0
    assert "the file is closed" in capsys.readouterr().out
    counts = {stream.header.source_id: stream.n_samples for stream in inspect_xdf(path).streams}
    assert counts.keys() == {spec.source_id for spec in simulated.specs().values()}
    assert counts[simulated.specs()["gaze"].source_id] > 60
    assert run("record", path, "--streams", stream_choices(simulated)) == 2  # it exists
    assert "_run-02.xdf" in capsys.readouterr().err


def recording_program(path: Path, source_id: str) -> subprocess.Popen[str]:
    """Start a program that records one stream, and wait until it does."""
    process = start("record", path, "--streams", f"source_id:{source_id}")
    assert process.stdout is not None
    for line in process.stdout:
        if "free on the disk" in line:
            break
    return process


@pytest.mark.lsl
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send Ctrl-C to one process")
def test_record_closes_the_file_on_ctrl_c(simulated: SimulatorOptions, tmp_path: Path) -> None:
    path = tmp_path / "a.xdf"
    source_id = simulated.specs()["markers"].source_id
    process = recording_program(path, source_id)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "the file is closed" in out
    assert [stream.header.source_id for stream in inspect_xdf(path).streams] == [source_id]


@pytest.mark.lsl
@pytest.mark.slow
def test_a_recording_outlives_its_program_until_it_is_stopped(
    simulated: SimulatorOptions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.xdf"
    process = recording_program(path, simulated.specs()["gaze"].source_id)
    process.kill()
    process.wait()
    try:
        assert run("record", path, "--stop") == 0
    except AssertionError:
        stop_recording(path)
        raise
    assert "the file is closed" in capsys.readouterr().out
    assert inspect_xdf(path).damage == ()


@pytest.mark.lsl
@pytest.mark.slow
def test_the_simulator_ends_with_a_program_that_is_killed() -> None:
    suffix = unique("-t")
    code = (
        "from acquisition.simulator.process import SimulatorProcess\n"
        "from acquisition.simulator.source import SimulatorOptions\n"
        f"options = SimulatorOptions(streams=('gaze',), source_id_suffix={suffix!r})\n"
        "process = SimulatorProcess(options)\n"
        "process.wait_until_found()\n"
        "print('ready', flush=True)\n"
        "input()\n"
    )
    program = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    program.kill()
    program.wait()
    assert vanishes(f"affectscope-simulator-1{suffix}-gaze")
