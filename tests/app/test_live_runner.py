"""The two threads of a live run: what a slow network may not do once the run has ended."""

from __future__ import annotations

import threading

import pytest
import torch
from clocks import ManualClock

from acquisition.errors import ErrorCode, InputError
from acquisition.simulator.source import SimulatedSource, SimulatorOptions
from acquisition.types import Window
from app import runner as runner_module
from app.live import LiveSession
from app.pipeline import Pipeline
from app.request import LiveRequest, SessionOptions
from app.runner import LiveRunner
from app.telemetry import Telemetry
from models.checkpoint import load_checkpoint
from models.config import VitConfig
from models.decoder import Decoder
from models.encoders.expression import ExpressionEncoder, LandmarkNet
from models.prediction import Prediction


class SlowDecoder(Decoder):
    """Takes as long for a window as the test wants."""

    def __init__(self, checkpoint) -> None:
        super().__init__(checkpoint)
        self.is_busy, self.may_finish = threading.Event(), threading.Event()

    def decode(self, window: Window) -> Prediction | None:
        self.is_busy.set()
        assert self.may_finish.wait(60.0)
        return super().decode(window)


class File:
    """A sink that must not be written to after it was closed."""

    def __init__(self) -> None:
        self.n_written, self.is_closed, self.was_written_late = 0, False, False

    def write(self, prediction: Prediction) -> None:
        self.n_written += 1
        self.was_written_late |= self.is_closed

    def close(self) -> None:
        self.is_closed = True


class FullDisk(File):
    """A sink on a full disk."""

    def write(self, prediction: Prediction) -> None:
        super().write(prediction)
        raise InputError("cannot write", where="--jsonl a")


class SeenLandmarks(LandmarkNet):
    """Tells when a face was measured."""

    def __init__(self) -> None:
        tensors = dict(ExpressionEncoder(VitConfig(width=256, image_size=112)).state_dict())
        super().__init__(tensors | {"fc.weight": torch.ones(136, 256), "fc.bias": torch.rand(136)})
        self.has_measured = threading.Event()

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        self.has_measured.set()
        return super().forward(frames)


def run(
    random_model, landmarks: LandmarkNet | None = None, others: tuple[File, ...] = ()
) -> tuple[LiveRunner, SlowDecoder, File]:
    decoder = SlowDecoder(load_checkpoint(random_model))
    decoder.landmarks = landmarks
    source = SimulatedSource(SimulatorOptions(seed=5, streams=("eeg", "video")), start=1000.0)
    sink, clock = File(), ManualClock(1000.0)
    runner = LiveRunner(Pipeline(source, decoder, live=True), clock, [*others, sink], Telemetry())
    runner.start()
    runner.begin_decoding(1001.0)
    return runner, decoder, sink


def test_a_forward_pass_that_outlasts_the_run_writes_to_no_closed_file(random_model, monkeypatch):
    monkeypatch.setattr(runner_module, "_STOP_WITHIN_S", 0.05)
    runner, decoder, sink = run(random_model)
    assert decoder.is_busy.wait(60.0)
    runner.stop()
    sink.close()
    decoder.may_finish.set()
    for thread in runner._threads:
        thread.join(60.0)
        assert not thread.is_alive()
    assert not sink.was_written_late
    assert runner.error is None


def test_a_window_in_the_works_is_still_written_when_the_run_ends(random_model):
    runner, decoder, sink = run(random_model)
    assert decoder.is_busy.wait(60.0)
    threading.Timer(0.1, decoder.may_finish.set).start()
    runner.stop()
    assert sink.n_written >= 1


def test_faces_are_measured_while_a_window_is_decoded(random_model):
    landmarks = SeenLandmarks()
    runner, decoder, _ = run(random_model, landmarks)
    assert decoder.is_busy.wait(60.0)
    assert landmarks.has_measured.wait(60.0)
    decoder.may_finish.set()
    runner.stop()
    assert runner.error is None


def test_an_output_that_cannot_be_written_stops_neither_the_run_nor_the_others(random_model):
    full = FullDisk()
    runner, decoder, sink = run(random_model, others=(full,))
    assert decoder.is_busy.wait(60.0)
    decoder.may_finish.set()
    runner.stop()
    assert runner.error is None
    assert sink.n_written == full.n_written == runner.n_dropped["--jsonl a"] >= 1
    failures = runner._telemetry.failures
    assert [failure.stage for failure in failures] == ["output"]


@pytest.mark.parametrize(
    ("facts", "wait_s", "is_found"),
    [({"waited_s": 5}, 60.0, True), ({}, 60.0, False), ({"waited_s": 5}, -1.0, False)],
)
def test_a_stream_that_goes_before_it_is_opened_is_waited_for(
    random_model, monkeypatch, facts, wait_s, is_found
):
    session = LiveSession(LiveRequest(SessionOptions(model=random_model), wait_s=wait_s))
    answers = [InputError("its sender does not answer", code=ErrorCode.WRONG_STREAM, **facts), "open"]

    def opened(found):
        answer = answers.pop(0)
        if isinstance(answer, InputError):
            raise answer
        return answer

    monkeypatch.setattr(session, "_wait_for_streams", lambda interrupted: [])
    monkeypatch.setattr(session, "_open", opened)
    if is_found:
        assert session._found(threading.Event()) == "open"
    else:
        with pytest.raises(InputError):
            session._found(threading.Event())
    assert len(answers) == (0 if is_found else 1)
