"""A live engine in its own process on simulated LSL streams: commands, notes and recordings at run time."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest

from acquisition.record.files import log_path, read_sidecar, status_path, stop_path
from acquisition.record.recorder import is_running, read_status
from acquisition.simulator.source import SimulatorOptions
from app.compare import Comparison
from app.engine.messages import (
    HealthPart,
    Mark,
    Mask,
    Note,
    Occlusion,
    Opened,
    Phase,
    RecordingInfo,
    SessionCommand,
    StartRecording,
)
from app.engine.process import EngineProcess
from app.replay import ReplaySession
from app.request import LiveRequest, ReplayRequest, SessionOptions
from app.telemetry import Failure
from models.prediction import Prediction

pytestmark = [pytest.mark.lsl, pytest.mark.slow]


class Watched:
    """An engine and everything it said."""

    def __init__(self, engine: EngineProcess) -> None:
        self.engine = engine
        self.news: list[Any] = []

    def until(self, condition: Callable[[], Any], seconds: float = 60.0) -> Any:
        """Take news until ``condition`` gives something, and return it."""
        deadline = monotonic() + seconds
        while not (found := condition()):
            assert monotonic() < deadline, f"not within {seconds} s; {self.engine.is_alive=} {self.of(Phase)}"
            self.news += self.engine.receive()
            threading.Event().wait(0.02)
        return found

    def of(self, kind: type) -> list[Any]:
        return [piece for piece in self.news if isinstance(piece, kind)]

    def next_prediction(self, condition: Callable[[Prediction], bool] = lambda p: True) -> Prediction:
        n_known = len(self.of(Prediction))
        return self.until(lambda: next(filter(condition, self.of(Prediction)[n_known:]), None))

    def recording(self) -> RecordingInfo | None:
        return self.of(HealthPart)[-1].recording if self.of(HealthPart) else None

    def until_recording(self, path: Path, state: str) -> RecordingInfo:
        def there() -> RecordingInfo | None:
            info = self.recording()
            return info if info is not None and (info.path, info.state) == (path, state) else None

        return self.until(there)


@contextmanager
def live(
    model: Path, suffix: str, streams: tuple[str, ...] = ("eeg", "gaze", "markers"), jsonl: Path | None = None
) -> Iterator[Watched]:
    simulated = SimulatorOptions(seed=53, streams=streams, source_id_suffix=suffix, schedule="random:5")
    request = LiveRequest(SessionOptions(model=model, jsonl=jsonl), simulated=simulated)
    watched = Watched(EngineProcess(request))
    watched.engine.start()
    try:
        watched.until(lambda: watched.of(Prediction), 90.0)
        yield watched
    finally:
        watched.engine.stop()


@pytest.fixture(scope="module")
def session(tmp_path_factory, random_model) -> SimpleNamespace:
    """Mask, note, record, stop, record again, and stop the engine while it records."""
    folder = tmp_path_factory.mktemp("recordings")
    first, second = folder / "first.xdf", folder / "second.xdf"
    with live(random_model, f"-engine-{os.getpid()}") as watched:
        send = watched.engine.send
        send(SessionCommand.ASK_OCCLUSION)
        watched.next_prediction(lambda p: p.present["eeg"])
        send(Mask("eeg", True))
        masked = watched.next_prediction(lambda p: not p.present["eeg"])
        watched.until(lambda: watched.of(HealthPart)[-1].masked == ("eeg",))
        send(Mask("eeg", False))
        watched.next_prediction(lambda p: p.present["eeg"])

        send(StartRecording(first))
        watched.until_recording(first, "recording")
        send(Note("  eyes\nclosed "))
        watched.until(lambda: any(m.text == "eyes closed" for m in watched.of(Mark)))
        watched.next_prediction()
        send(StartRecording(second))
        watched.until(lambda: watched.of(Failure))
        send(SessionCommand.STOP_RECORDING)
        watched.until_recording(first, "stopping")
        send(StartRecording(second))  # while the first file is being closed
        watched.until_recording(second, "recording")
        watched.until(lambda: watched.of(Occlusion))
        watched.next_prediction()
        watched.next_prediction()

        began = monotonic()
        send(SessionCommand.STOP)
        watched.until(lambda: not watched.engine.is_alive, 20.0)
        stop_s = monotonic() - began
        watched.news += watched.engine.receive()
    watched.until(lambda: not status_path(second).exists(), 30.0)
    return SimpleNamespace(watched=watched, masked=masked, first=first, second=second, stop_s=stop_s)


def streams_of(path: Path) -> dict[str, Any]:
    import pyxdf

    return {stream["info"]["name"][0]: stream for stream in pyxdf.load_xdf(path)[0]}


def test_phases_lead_from_loading_to_the_end(session) -> None:
    names = [phase.name for phase in session.watched.of(Phase)]
    assert list(dict.fromkeys(names)) == ["loading", "looking", "running", "ended"]


def test_the_session_says_what_it_runs(session, random_model) -> None:
    (opened,) = session.watched.of(Opened)
    assert opened.mode == "live"
    assert opened.is_simulated
    assert opened.model.path == random_model
    assert opened.model.is_simulated
    assert opened.model.device == "cpu"
    assert opened.model.n_parameters > 100_000
    assert [name for name, _, _ in opened.model.bands] == ["delta", "theta", "alpha", "beta", "gamma"]


def test_a_masked_modality_is_absent_from_predictions(session) -> None:
    assert session.masked.modality_attention["eeg"] == 0.0
    assert session.masked.inputs is None


def test_a_note_lands_in_the_recording_on_one_line(session) -> None:
    shown = [m for m in session.watched.of(Mark) if m.stream == "Affectscope notes"][-1]
    notes = streams_of(session.first)["Affectscope notes"]
    assert notes["time_series"] == [["eyes closed"]]
    assert notes["time_stamps"][0] == pytest.approx(shown.time, abs=0.01)


def test_two_recordings_of_one_session_are_whole(session) -> None:
    for path in (session.first, session.second):
        streams = streams_of(path)
        assert len(streams) == 6
        assert len(streams["SimulatedEEG"]["time_stamps"]) > 300
        assert len(streams["Affectscope predictions"]["time_stamps"]) >= 1
        assert len(streams["Affectscope clock map"]["time_stamps"]) >= 1  # restated as each recording begins
        assert json.loads(path.with_suffix(".json").read_text())["program"] == "affectscope"


def test_a_second_recording_beside_a_running_one_is_refused_and_the_session_goes_on(session) -> None:
    failure = session.watched.of(Failure)[0]
    assert failure.stage == "recording"
    assert len(session.watched.of(Failure)) == 1


def test_stopping_while_recording_takes_less_than_three_seconds_and_leaves_no_litter(session) -> None:
    assert session.stop_s < 3.0
    for control in (status_path, stop_path, log_path):
        assert not control(session.second).exists()
        assert not control(session.first).exists()


def test_health_has_every_stream_and_stage(session) -> None:
    health = session.watched.of(HealthPart)[-1]
    assert {key.split("|")[0] for key in health.streams} == {
        "SimulatedEEG",
        "SimulatedGaze",
        "SimulatedMarkers",
    }
    assert list(health.latency_p50_ms) == ["arrival", "wait", "hand_over", "features", "network", "total"]
    assert health.latency_p99_ms["total"] >= health.latency_p50_ms["total"] > 0
    assert health.n_predictions >= 5
    assert health.memory_mb > 100
    assert health.gpu == ""
    assert health.recording.path == session.second


def test_the_occlusion_check_answers(session) -> None:
    answer = session.watched.of(Occlusion)[0]
    assert {row.kind for row in answer.rows} >= {"band", "region"}  # EEG alone, or with eyes by then


def test_the_replay_repeats_what_was_masked_before_and_during_the_recording(
    tmp_path: Path, random_model
) -> None:
    path, jsonl = tmp_path / "masked.xdf", tmp_path / "live.jsonl"
    with live(random_model, f"-unplug-{os.getpid()}", ("eeg", "audio", "markers"), jsonl) as watched:
        send = watched.engine.send
        watched.next_prediction(lambda p: p.present["eeg"] and p.present["voice"])
        send(Mask("eeg", True))
        send(Mask("eeg", True, "CZ"))
        send(StartRecording(path))
        watched.until_recording(path, "recording")
        begin = watched.next_prediction().t_end
        watched.next_prediction(lambda p: p.t_end > begin + 13.0)  # the replay is warm by then
        send(Mask("eeg", True, "PZ"))
        for command in (Mask("eeg", False), Mask("voice", True), Mask("voice", False)):
            send(command)
            t_end = watched.next_prediction().t_end
            watched.next_prediction(lambda p, t_end=t_end: p.t_end > t_end + 1.3)
    watched.until(lambda: not status_path(path).exists(), 30.0)
    replayed = tmp_path / "replay.jsonl"
    ReplaySession(ReplayRequest(path, SessionOptions(model=random_model, jsonl=replayed))).run(
        lambda share: None
    )
    result = Comparison(jsonl, replayed)
    lines = [json.loads(line) for line in list(jsonl.open())[:-1]]
    marked = {line["t_end"]: line["marked_bad"] for line in lines if line["t_end"] > begin}
    again = {line["t_end"]: line["marked_bad"] for line in map(json.loads, list(replayed.open())[:-1])}
    assert all(again.get(t_end, names) == names for t_end, names in marked.items())
    assert sorted(map(tuple, marked.values()))[:: len(marked) - 1] == [("CZ",), ("CZ", "PZ")]
    assert read_sidecar(path)["marked_bad"] == ["CZ", "PZ"]
    late = any(line["waited_s"] > 0.149 for line in lines)  # a busy machine loses a modality, and says so
    assert result.n_compared >= 20
    assert {tuple(line["present"].values()) for line in lines if line["t_end"] > begin} == {
        (False, False, False, True),
        (True, False, False, True),
        (True, False, False, False),
    } or late
    assert late or (result.max_abs_dp <= 1e-3 and result.n_present_differs == 0)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_a_recording_outlives_the_engine_and_ends_with_the_window(tmp_path: Path, random_model) -> None:
    path = tmp_path / "outlives.xdf"
    with live(random_model, f"-killed-{os.getpid()}") as watched:
        watched.engine.send(StartRecording(path))
        watched.until_recording(path, "recording")
        os.kill(watched.engine.pid, signal.SIGKILL)
        watched.until(lambda: not watched.engine.is_alive)
        last = watched.engine.receive()[-1]
        assert last.name == "failed"
        assert "outlives.xdf is kept" in last.message
        assert is_running(path)
    watched.until(lambda: not status_path(path).exists(), 30.0)
    assert "SimulatedEEG" in streams_of(path)


def test_a_recorder_that_dies_is_told_and_followed_by_a_new_part(tmp_path: Path, random_model) -> None:
    path = tmp_path / "dies.xdf"
    with live(random_model, f"-recorder-{os.getpid()}") as watched:
        watched.engine.send(StartRecording(path))
        watched.until_recording(path, "recording")
        os.kill(read_status(path).labrecorder_pid, signal.SIGTERM)
        watched.until_recording(path.with_name("dies_part-02.xdf"), "recording")
        assert {failure.stage for failure in watched.of(Failure)} == {"recording"}
        watched.next_prediction()
