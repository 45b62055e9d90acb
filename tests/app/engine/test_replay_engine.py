"""The replay behind a window: commands, seeking, the end; real pipe, tap and pipeline in one process."""

from __future__ import annotations

import math
import multiprocessing
import queue
import threading
from itertools import pairwise

import numpy as np
import pytest

from acquisition.errors import InputError
from acquisition.simulator.recording import write_simulated
from acquisition.types import Change, StreamEvent
from acquisition.xdf.write import XdfWriter
from app.engine.messages import (
    EegPart,
    HealthPart,
    LogMelPart,
    Mask,
    Note,
    Occlusion,
    Opened,
    Phase,
    Play,
    Seek,
    SessionCommand,
    StartRecording,
)
from app.engine.pipe import CommandQueue, WindowLink
from app.engine.replay import run_replay
from app.engine.tap import Tap
from app.outputs import DigestSink
from app.replay import ReplaySession
from app.request import ReplayRequest, SessionOptions
from app.telemetry import Failure
from app.view.store import ViewStore
from models.checkpoint import load_config
from models.prediction import Prediction

_PATIENCE_S = 60.0
RECORDED_S = 32.0  # the longest feature looks 20 s back, so seeks go beyond 22 s: window 90 and later


class Run:
    """An engine in a thread, and the window's end of its pipe."""

    def __init__(self, path, model, speed=math.inf, start_s=None, stop_s=None, **options):
        self._pipe, far_end = multiprocessing.Pipe()
        self._received: queue.Queue[object] = queue.Queue()
        self.seen: list[object] = []
        self.error: BaseException | None = None
        request = ReplayRequest(
            path, SessionOptions(model=model, **options), start_s=start_s, stop_s=stop_s, speed=speed
        )
        self.tap = Tap(self._received.put, load_config(model))
        self._given = request, WindowLink(self._received.put, CommandQueue(far_end), self.tap)
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        try:
            run_replay(*self._given)
        except BaseException as error:
            self.error = error
        self.tap.stop()
        self._received.put("over")

    def __enter__(self):
        self.tap.start()
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._pipe.close()  # as when the window's process has gone
        self._thread.join(_PATIENCE_S)
        assert not self._thread.is_alive()

    def send(self, *commands):
        for command in commands:
            self._pipe.send(command)

    def until(self, is_wanted):
        """Return the next piece of news that is wanted, a class or a condition."""
        while True:
            piece = self._received.get(timeout=_PATIENCE_S)
            self.seen.append(piece)
            if isinstance(piece, is_wanted) if isinstance(is_wanted, type) else is_wanted(piece):
                return piece
            assert piece != "over", self.error

    def until_phase(self, name):
        return self.until(lambda piece: isinstance(piece, Phase) and piece.name == name)

    def of(self, kind):
        return [piece for piece in self.seen if isinstance(piece, kind)]


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("recording") / "half-minute.xdf"
    write_simulated(path, ("eeg", "gaze", "video", "audio"), RECORDED_S)
    return path


@pytest.fixture(scope="module")
def first_pass(recording, random_model):
    """The predictions of the headless replay by t_end, and its digest."""
    digest, found = DigestSink(), {}

    class Collect:
        def write(self, prediction):
            found[prediction.t_end] = prediction

        def close(self):
            pass

    options = SessionOptions(model=random_model, extra_sinks=(digest, Collect()))
    session = ReplaySession(ReplayRequest(recording, options))
    session.run(lambda share: None)
    return found, digest.line(), session.ledgers


def assert_same(prediction, expected):
    assert prediction.label == expected.label
    assert dict(prediction.probs) == pytest.approx(dict(expected.probs), abs=1e-6)
    assert prediction.present == expected.present
    assert prediction.warm_up == expected.warm_up
    assert prediction.coverage == pytest.approx(expected.coverage)
    np.testing.assert_array_equal(prediction.band_de, expected.band_de)
    assert prediction.face_box == expected.face_box


def test_played_to_the_end_it_gives_the_bytes_of_the_headless_replay(recording, random_model, first_pass):
    digest = DigestSink()
    with Run(recording, random_model, extra_sinks=(digest,)) as run:
        opened = run.until(Opened)
        run.until_phase("ended")
        health = run.until(HealthPart)
    assert digest.line() == first_pass[1]
    assert health.ledgers == first_pass[2]  # what became of the samples is the same too
    assert [p.t_end for p in run.of(Prediction)] == list(first_pass[0])
    assert opened.mode == "replay"
    assert opened.is_simulated
    assert opened.timeline.path == recording
    assert opened.timeline.last - opened.timeline.first == pytest.approx(RECORDED_S, abs=0.1)
    assert [phase.name for phase in run.of(Phase) if phase.name != "loading"] == ["running", "ended"]
    assert run.of(EegPart)


def test_a_moment_sought_gives_the_prediction_of_the_first_pass(recording, random_model, first_pass):
    t_ends = list(first_pass[0])
    with Run(recording, random_model, speed=0.25) as run:
        run.send(SessionCommand.PAUSE)
        run.until_phase("paused")
        for t_end in (t_ends[-1], t_ends[4], t_ends[105], t_ends[92], t_ends[93]):
            run.send(Seek(t_end))
            assert_same(run.until(Prediction), first_pass[0][t_end])
            run.until_phase("paused")
        run.send(Seek(t_ends[100] - 0.1))  # between two windows: the next one
        assert run.until(Prediction).t_end == t_ends[100]


def test_going_on_after_a_seek_gives_the_predictions_of_the_first_pass(recording, random_model, first_pass):
    t_ends = list(first_pass[0])
    with Run(recording, random_model, speed=0.25) as run:
        run.send(SessionCommand.PAUSE)
        run.until_phase("paused")
        run.send(Seek(t_ends[112]), Play(math.inf))
        run.until_phase("ended")
    shown = [p for p in run.of(Prediction) if p.t_end >= t_ends[112]]
    assert [p.t_end for p in shown] == t_ends[112:]
    for prediction in shown:
        assert_same(prediction, first_pass[0][prediction.t_end])


def test_after_the_end_one_can_seek_and_play_again(recording, random_model, first_pass):
    t_ends = list(first_pass[0])
    with Run(recording, random_model, start_s=27.0) as run:
        run.until_phase("ended")
        run.send(Seek(t_ends[-1]))
        assert run.until(Prediction).t_end == t_ends[-1]
        run.until_phase("paused")
        run.send(Play(math.inf))
        run.until_phase("ended")
        n_seen = len(run.seen)
        run.send(Play(math.inf))  # at the end: from the start of the part
        run.until_phase("ended")
    again = [piece.t_end for piece in run.seen[n_seen:] if isinstance(piece, Prediction)]
    assert len(again) >= 10
    assert again[0] < t_ends[-1] - 2.0
    assert again[-1] == t_ends[-1]


def test_seeking_beyond_the_file_goes_to_its_ends(recording, random_model, first_pass):
    with Run(recording, random_model, speed=0.25) as run:
        run.send(SessionCommand.PAUSE, Seek(1e12))
        assert run.until(Prediction).t_end == max(first_pass[0])
        run.send(Seek(-1e12), Play(math.inf))
        assert run.until(Prediction).t_end == min(first_pass[0])


def test_of_many_moments_sought_at_once_only_the_last_is_decoded(recording, random_model, first_pass):
    t_ends = list(first_pass[0])
    with Run(recording, random_model, speed=0.25) as run:
        run.send(SessionCommand.PAUSE)
        run.until_phase("paused")
        run.send(*(Seek(t) for t in t_ends[50:110]))
        run.until(lambda piece: isinstance(piece, Prediction) and piece.t_end == t_ends[109])
    assert len(run.of(Prediction)) < 20


def test_files_get_each_prediction_once_and_in_order(recording, random_model, first_pass, tmp_path):
    table = tmp_path / "run.csv"
    t_ends = list(first_pass[0])
    with Run(recording, random_model, speed=0.25, csv=table) as run:
        run.send(SessionCommand.PAUSE)
        run.until_phase("paused")
        run.send(Seek(t_ends[117]), Play(math.inf))
        run.until_phase("ended")
        run.send(Seek(t_ends[112]), Play(math.inf))
        run.until_phase("ended")
        health = run.until(HealthPart)
    assert health.n_predictions == len(table.read_text().splitlines()) - 1
    times = [float(line.split(",")[0]) for line in table.read_text().splitlines()[1:]]
    assert times == sorted(set(times))
    assert times[-len(t_ends[117:]) :] == t_ends[117:]


def test_a_masked_modality_is_absent_at_once_even_when_held_still(recording, random_model, first_pass):
    t_end = list(first_pass[0])[92]
    with Run(recording, random_model, speed=0.25) as run:
        run.send(SessionCommand.PAUSE, Seek(t_end))
        whole = run.until(Prediction)
        run.send(Mask("eeg", True))
        without = run.until(Prediction)
        assert run.until(HealthPart).masked == ("eeg",)
        run.send(Mask("eeg", False))
        again = run.until(Prediction)
        run.send(Mask("smell", True))
        assert "smell" in run.until(Failure).error
    assert whole.t_end == without.t_end == again.t_end == t_end
    assert without.present == {**whole.present, "eeg": False}
    assert again.probs == whole.probs


def test_occlusion_of_the_window_shown_is_answered_when_held_still(recording, random_model, first_pass):
    t_end = list(first_pass[0])[92]
    with Run(recording, random_model, speed=0.25) as run:
        run.send(SessionCommand.PAUSE, Seek(t_end))
        run.until(Prediction)
        run.send(SessionCommand.ASK_OCCLUSION)
        answer = run.until(Occlusion)
    assert answer.t_end == t_end
    assert {row.kind for row in answer.rows} == {"modality", "band", "region"}


def test_what_a_replay_cannot_do_is_refused_in_words(recording, random_model, tmp_path):
    before = recording.read_bytes()
    with Run(recording, random_model, speed=0.25) as run:
        refused = {
            Note("hello"): "command",
            StartRecording(tmp_path / "x.xdf"): "recording",
            Play(0.0): "command",
            Seek(math.nan): "command",
        }
        for command, stage in refused.items():
            run.send(command)
            assert run.until(Failure).stage == stage
        assert not (tmp_path / "x.xdf").exists()
        run.send(SessionCommand.STOP)
        run.until(lambda piece: piece == "over")
    assert run.error is None
    assert recording.read_bytes() == before


def test_streams_are_announced_once_and_open_again_after_a_seek(recording, random_model, first_pass):
    with Run(recording, random_model, start_s=28.0) as run:
        run.until_phase("ended")
        n_seen = len(run.seen)
        run.send(Seek(list(first_pass[0])[118]))
        run.until_phase("paused")
    events = [piece for piece in run.seen if isinstance(piece, StreamEvent)]
    messages = [event.message for event in events if event.message]
    assert len(messages) == len(set(messages))
    again = [piece for piece in run.seen[n_seen:] if isinstance(piece, StreamEvent)]
    assert {event.change for event in again} == {Change.OPENED}
    assert len({event.stream for event in again}) == 4


def test_after_a_seek_no_stream_is_said_to_hold_nothing(recording, random_model, tmp_path):
    from pylsl import StreamInfo

    early = tmp_path / "early.xdf"
    early.write_bytes(recording.read_bytes())
    with XdfWriter(early, append=True) as writer:
        writer.add_stream(9, StreamInfo("Task", "Markers", 1, 0.0, "string", "task").as_xml())
        writer.samples(9, [1001.0], [("go",)])
    with Run(early, random_model, speed=0.25) as run:
        run.send(SessionCommand.PAUSE, Seek(1031.0))
        run.until(Prediction)
        run.until_phase("paused")
    assert not [event.message for event in run.of(StreamEvent) if "has no samples" in event.message]


def test_a_moment_sought_while_held_has_its_signals_and_its_prediction(recording, random_model, first_pass):
    t_end = list(first_pass[0])[92]
    store = ViewStore()
    with Run(recording, random_model, speed=0.25) as run:
        run.send(SessionCommand.PAUSE)
        run.until_phase("paused")
        run.send(Seek(t_end))
        run.until_phase("paused")
        run.until(lambda piece: isinstance(piece, LogMelPart) and piece.times[-1] > t_end - 1.0)
        run.send(SessionCommand.STOP)
        run.until(lambda piece: piece == "over")
    for piece in run.seen:
        store.take(piece)
    assert store.phase.name in ("paused", "ended")
    assert store.newest_time >= t_end
    assert store.predictions.at(store.newest_time).t_end == t_end
    low, _ = store.eeg.read(store.eeg.newest_bin - 500, store.eeg.newest_bin + 1)
    assert not np.isnan(low).any()


def test_a_damaged_recording_is_played_and_its_damage_told(recording, random_model, tmp_path):
    cut = tmp_path / "cut.xdf"
    content = recording.read_bytes()
    cut.write_bytes(content[: int(len(content) * 0.3)])
    with Run(cut, random_model) as run:
        run.until_phase("ended")
    warnings = [event.message for event in run.of(StreamEvent) if event.change is Change.WARNING]
    assert any("the recording is damaged: byte" in message for message in warnings)
    assert run.of(Prediction)


def test_a_file_that_is_none_is_an_input_error(random_model, tmp_path):
    path = tmp_path / "no.xdf"
    path.write_bytes(b"nothing of the kind")
    with Run(path, random_model) as run, pytest.raises(AssertionError):
        run.until_phase("running")
    assert isinstance(run.error, InputError)


def test_speed_is_kept_between_hops_and_commands_are_answered_while_held(recording, random_model):
    with Run(recording, random_model, speed=2.0, start_s=10.0, stop_s=14.0) as run:
        run.until_phase("running")
        run.send(SessionCommand.PAUSE)
        run.until_phase("paused")
        run.send(Play(math.inf))
        phase = run.until_phase("running")
        assert phase.speed == math.inf
        run.until_phase("ended")
    t_ends = [p.t_end for p in run.of(Prediction)]
    assert all(b - a == pytest.approx(0.25) for a, b in pairwise(t_ends))  # nothing was skipped


def test_a_command_to_stop_comes_before_all_that_wait(recording, random_model):
    with Run(recording, random_model, speed=1.0) as run:
        run.until(Prediction)
        run.send(SessionCommand.PAUSE)
        run.until_phase("paused")
        run.send(
            *[Mask("eeg", bool(i % 2)) for i in range(300)], SessionCommand.STOP
        )  # each decodes once more
        run.until(lambda piece: piece == "over")
        assert len(run.of(Prediction)) < 200
