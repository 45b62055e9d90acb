"""A live session from discovery to the finished recording."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from acquisition.clock import LslClock
from acquisition.errors import InputError
from acquisition.intake import intake_maker
from acquisition.interrupt import interruptible
from acquisition.lsl_source import LslSource, open_live
from acquisition.publish.process import PublisherProcess, start_publisher
from acquisition.record.files import write_sidecar
from acquisition.record.recorder import Recorder
from acquisition.types import Change, StreamEvent
from app.failure import Failure
from app.model_loading import load_model, make_decoder
from app.new_streams import NewStreams
from app.outputs import Sink
from app.own_streams import ClockOutlet, PredictionOutlet
from app.pipeline import Pipeline
from app.runner import LiveRunner, closing
from app.session_options import SessionOptions
from app.telemetry import Telemetry
from models.checkpoint import Checkpoint

_CONFIRM_TIMEOUT_S = 30.0
_SEGMENTS_S = 0.2
_SHOW_S = 0.1


@dataclass
class LiveSession:
    """Opens everything in order, runs, and closes in the reverse order.

    Parameters
    ----------
    options : SessionOptions
    webcam, microphone : str or None
        Devices to publish first, in processes of their own.
    discovery_s : float
        How long to look for streams.
    """

    options: SessionOptions
    webcam: str | None = None
    microphone: str | None = None
    discovery_s: float = 2.0
    telemetry: Telemetry = field(default_factory=Telemetry)

    def run(self, show: Callable[[], None]) -> None:
        """Run until the time is over, a thread fails, or Ctrl-C or a request to terminate.

        Parameters
        ----------
        show : callable
            Called ten times a second to draw.

        Raises
        ------
        InputError
            If model, streams or files cannot be used.
        """
        clock = LslClock()
        checkpoint = self.checkpoint
        publishers = self._start_publishers()
        try:
            source = self._open(checkpoint, publishers)
            try:
                self._run_with(source, checkpoint, clock, self._telling(publishers, clock, show))
            finally:
                source.close()
        finally:
            for publisher in publishers:
                publisher.stop()

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The model, loaded once."""
        return load_model(self.options)

    def _start_publishers(self) -> list[PublisherProcess]:
        wanted = (("webcam", self.webcam), ("microphone", self.microphone))
        # A file that stands in for a device goes on for as long as a device would; devices take no notice.
        return [start_publisher(kind, device, loop=True) for kind, device in wanted if device is not None]

    def _telling(
        self, publishers: Sequence[PublisherProcess], clock: LslClock, show: Callable[[], None]
    ) -> Callable[[], None]:
        """Return ``show``, preceded by what the publishers have to say."""

        def tell_and_show() -> None:
            for publisher in publishers:
                for message in publisher.messages():
                    self._notice(message, clock.now())
            show()

        return tell_and_show

    def _open(self, checkpoint: Checkpoint, publishers: Sequence[PublisherProcess]) -> LslSource:
        config = checkpoint.config
        maker = intake_maker(self.options.adapter_options(config.ch_names), config.windows.max_gap_s)
        # A publisher that was just started answers after a second or two.
        extra_s = 2.0 if self.webcam or self.microphone else 0.0
        try:
            return open_live(self.options.streams, timeout_s=self.discovery_s + extra_s, make_intake=maker)
        except InputError:
            _check_publishers(publishers)  # a device that is not there explains a stream that is not
            raise

    def _run_with(
        self, source: LslSource, checkpoint: Checkpoint, clock: LslClock, show: Callable[[], None]
    ) -> None:
        def on_failure(message: str) -> None:
            self.telemetry.on_failure(Failure("device", message, clock.now()))

        decoder = make_decoder(checkpoint, self.options, on_failure)
        decoder.warm_up()
        pipeline = Pipeline(source, decoder, live=True, on_event=self.telemetry.on_event)
        predictions, clock_map = PredictionOutlet(checkpoint.config.labels), ClockOutlet()
        sinks: list[Sink] = [predictions, *self.options.sinks(checkpoint.config.labels)]
        publish = _Periodically(_SEGMENTS_S, lambda: clock_map.publish(source.take_segments()))
        runner = LiveRunner(pipeline, clock, sinks, self.telemetry, after_acquire=publish)
        recorder = None
        if self.options.record is not None:
            own = [predictions.header.source_id, clock_map.header.source_id]
            recorder = Recorder(self.options.record, list(source.headers.values()), own)
        with closing(sinks), contextlib.closing(clock_map), interruptible() as interrupted:
            try:
                runner.start()
                if recorder is not None:
                    self._start_recording(recorder, source, clock, show, interrupted)
                runner.begin_decoding(clock.now())
                self._watch(runner, recorder, clock, show, interrupted)
            finally:
                runner.stop()
                if recorder is not None and recorder.started:
                    self._finish(recorder, checkpoint, source)
        if runner.error is not None:
            raise runner.error

    def _start_recording(
        self,
        recorder: Recorder,
        source: LslSource,
        clock: LslClock,
        show: Callable[[], None],
        interrupted: threading.Event,
    ) -> None:
        """Start LabRecorder and wait until it has every stream: decoding starts with the recording."""
        recorder.start()
        for notice in recorder.notices:
            self._notice(notice, clock.now())
        deadline = clock.now() + _CONFIRM_TIMEOUT_S
        while not (status := recorder.status()).all_opened and not interrupted.is_set():
            self.telemetry.recording = f"{recorder.path.name}: {status.state}"
            if status.over or clock.now() > deadline:
                raise InputError(
                    f"the recording did not start: {status.message}",
                    where=str(recorder.path),
                    remedy="see the .log beside it",
                )
            show()
            clock.wait_until(clock.now() + 0.1)
        source.restate_segments()

    def _watch(
        self,
        runner: LiveRunner,
        recorder: Recorder | None,
        clock: LslClock,
        show: Callable[[], None],
        interrupted: threading.Event,
    ) -> None:
        end = clock.now() + self.options.seconds if self.options.seconds else float("inf")
        look = (
            NewStreams(recorder, lambda message: self._notice(message, clock.now()))
            if recorder is not None
            else None
        )
        while runner.running and clock.now() < end and not interrupted.is_set():
            if recorder is not None:
                self._show_recording(recorder, clock.now())
            if look is not None:
                look(clock.now())
            show()
            interrupted.wait(min(_SHOW_S, max(0.0, end - clock.now())))
        if interrupted.is_set():
            self._notice("stopping", clock.now())

    def _show_recording(self, recorder: Recorder, now: float) -> None:
        status = recorder.status()
        self.telemetry.recording = f"{recorder.path.name}: {status.state} {status.n_bytes / 1e6:.1f} MB"
        if status.over and not any(f.stage == "recording" for f in self.telemetry.snapshot().failures):
            self.telemetry.on_failure(Failure("recording", status.message, now))

    def _finish(self, recorder: Recorder, checkpoint: Checkpoint, source: LslSource) -> None:
        status = recorder.stop()
        self.telemetry.recording = f"{recorder.path.name}: {status.state} {status.n_bytes / 1e6:.1f} MB"
        if recorder.path.exists():
            sidecar = {
                "program": "affectscope",
                "model": str(self.options.model.name),
                "model_sha256": checkpoint.sha256,
                "trained_on": checkpoint.config.trained_on,
                "montage": self.options.montage,
                "screen_cm": self.options.screen_cm,
                "distance_cm": self.options.distance_cm,
                "line_hz": self.options.line,
                "streams": sorted(source.headers),
                "stream_notes": {key: list(spec.notes) for key, spec in source.specs.items() if spec.notes},
            }
            write_sidecar(recorder.path, sidecar)

    def _notice(self, message: str, now: float) -> None:
        self.telemetry.on_event(StreamEvent("", Change.NOTICE, now, message))


class _Periodically:
    """Calls a function at most every ``period_s`` seconds of the time it is told."""

    def __init__(self, period_s: float, call: Callable[[], None]) -> None:
        self._period_s, self._call, self._next = period_s, call, float("-inf")

    def __call__(self, now: float) -> None:
        if now >= self._next:
            self._next = now + self._period_s
            self._call()


def _check_publishers(publishers: Sequence[PublisherProcess]) -> None:
    """Raise what a publisher said if its device cannot be used."""
    for publisher in publishers:
        if publisher.exit_code:
            said = " ".join(publisher.messages()) or "the publisher ended"
            raise InputError(said, where=f"--{publisher.kind} {publisher.device}")
