"""A live session from discovery to the finished recording."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from acquisition.clock import LslClock
from acquisition.errors import ErrorCode, InputError
from acquisition.intake import intake_maker
from acquisition.lsl.source import LslSource, StreamHealth, open_live
from acquisition.process import interruptible
from acquisition.publish.process import PublisherProcess, start_publisher
from acquisition.types import Change, Chunk, StreamEvent, StreamHeader
from app.modality_mask import ModalityMask
from app.model_loading import load_model, make_decoder
from app.outlets import ClockOutlet, PredictionOutlet
from app.outputs import Sink
from app.pipeline import Pipeline
from app.recording_control import RecordingControl, RecordingHooks
from app.request import SessionOptions
from app.runner import LiveRunner, closing
from app.telemetry import Failure, Telemetry, simulated_streams
from models.checkpoint import Checkpoint
from models.decoder import Decoder

_SEGMENTS_S = 0.2
_HEALTH_S = 0.5
_SHOW_S = 0.1


class Observer:
    """What the dashboard's engine hears of a session and adds to it; this base class does nothing."""

    def on_stage(self, stage: str) -> None:
        """Hear of the next stage, ``loading`` or ``looking for streams``, in the session's thread.

        What is raised here ends the session properly.
        """

    def on_open(self, opened: OpenSession) -> None:
        """Get the parts of the session, before anything is read."""

    def on_chunk(self, chunk: Chunk) -> None:
        """See every chunk, in the acquire thread, which must not be kept waiting."""

    def after_decode(self) -> None:
        """Use the decode thread between windows, see `LiveRunner`."""

    def on_recording(self) -> None:
        """Hear that a recording has begun, and has every stream, in the session's thread."""

    def own_source_ids(self) -> list[str]:
        """Return further streams of this program that a recording shall hold."""
        return []

    def recorded(self, headers: list[StreamHeader]) -> list[StreamHeader]:
        """Return which of the streams in use a recording takes."""
        return headers

    def sidecar(self) -> Mapping[str, object]:
        """Return what to add to the JSON sidecar of a recording."""
        return {}


@dataclass(frozen=True)
class OpenSession:
    """The parts of a running session."""

    checkpoint: Checkpoint
    source: LslSource
    decoder: Decoder
    recording: RecordingControl
    clock: LslClock
    mask: ModalityMask  # what is masked by hand


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
    observer : Observer
    interrupted : Event or None
        Ends the session when set; by default Ctrl-C and a request to terminate do.
    close_recording_s : float
        How long to wait at the end for the recorded file to be closed; its supervisor then finishes alone.
    """

    options: SessionOptions
    webcam: str | None = None
    microphone: str | None = None
    discovery_s: float = 2.0
    telemetry: Telemetry = field(default_factory=Telemetry)
    observer: Observer = field(default_factory=Observer)
    interrupted: threading.Event | None = None
    close_recording_s: float = 75.0
    stream_health: dict[str, StreamHealth] = field(default_factory=dict)  # by stream key

    def run(self, show: Callable[[], None]) -> None:
        """Run until the time is over, a thread fails, or Ctrl-C or a request to terminate.

        Parameters
        ----------
        show : callable
            Called ten times a second to draw.

        Raises `InputError` if model, streams or files cannot be used.
        """
        clock = LslClock()
        self.observer.on_stage("loading")
        checkpoint = self.checkpoint
        publishers = self._start_publishers()
        try:
            self.observer.on_stage("looking for streams")
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
        # A file in place of a device is repeated, to last as long as a device would; devices ignore it.
        return [start_publisher(kind, device, loop=True) for kind, device in wanted if device is not None]

    def _telling(
        self, publishers: Sequence[PublisherProcess], clock: LslClock, show: Callable[[], None]
    ) -> Callable[[], None]:
        """Return ``show``, preceded by what the publishers have to say."""

        def tell_and_show() -> None:
            for publisher in publishers:
                for message in publisher.messages():
                    self._say(message, clock.now(), Change.WARNING)
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
        if notice := simulated_streams(source.headers.values()).notice:
            self._say(notice, clock.now(), Change.NOTICE)
        decoder = make_decoder(checkpoint, self.options, self._failing("device", clock))
        decoder.warm_up()
        observer, mask = self.observer, ModalityMask()
        pipeline = Pipeline(
            source,
            decoder,
            live=True,
            on_event=self.telemetry.on_event,
            on_chunk=observer.on_chunk,
            mask=mask,
        )
        predictions, clock_map = PredictionOutlet(checkpoint.config.labels), ClockOutlet()
        sinks: list[Sink] = [predictions, *self.options.sinks(checkpoint.config.labels)]
        own = [predictions.header.source_id, clock_map.header.source_id, *observer.own_source_ids()]
        recording = self._recording_control(source, own, checkpoint, clock)
        publish = _Periodically(_SEGMENTS_S, lambda now: clock_map.publish(source.take_segments()))
        look = _Periodically(_HEALTH_S, lambda now: setattr(self, "stream_health", source.health(now)))

        def after_acquire(now: float) -> None:
            publish(now)
            look(now)

        runner = LiveRunner(pipeline, clock, sinks, self.telemetry, after_acquire, observer.after_decode)
        with closing(sinks), contextlib.closing(clock_map), self._interruptible() as interrupted:
            try:
                observer.on_open(OpenSession(checkpoint, source, decoder, recording, clock, mask))
                runner.start()
                if self.options.record is not None:
                    self._record_first(self.options.record, recording, clock, show, interrupted)
                runner.begin_decoding(clock.now())
                self._watch(runner, recording, clock, show, interrupted)
            finally:
                runner.stop()
                recording.finish(clock.now(), self.close_recording_s)
                self.telemetry.recording = recording.text()
        if runner.error is not None:
            raise runner.error

    def _interruptible(self) -> AbstractContextManager[threading.Event]:
        return interruptible() if self.interrupted is None else contextlib.nullcontext(self.interrupted)

    def _failing(self, stage: str, clock: LslClock) -> Callable[[str], None]:
        return lambda message: self.telemetry.on_failure(Failure(stage, message, clock.now()))

    def _recording_control(
        self, source: LslSource, own_source_ids: list[str], checkpoint: Checkpoint, clock: LslClock
    ) -> RecordingControl:
        def on_opened() -> None:
            source.restate_segments()
            self.observer.on_recording()

        hooks = RecordingHooks(
            on_opened=on_opened,
            sidecar=lambda: self._sidecar(checkpoint, source),
            on_notice=lambda message: self._say(message, clock.now(), Change.WARNING),
            on_failure=self._failing("recording", clock),
        )
        streams = self.observer.recorded(list(source.headers.values()))
        return RecordingControl(streams, own_source_ids, hooks)

    def _record_first(
        self,
        path: Path,
        recording: RecordingControl,
        clock: LslClock,
        show: Callable[[], None],
        interrupted: threading.Event,
    ) -> None:
        """Start LabRecorder and wait until it has every stream: decoding starts with the recording."""
        recording.start(path, clock.now())
        while recording.state == "starting" and not interrupted.is_set():
            recording.step(clock.now())
            self.telemetry.recording = recording.text()
            show()
            clock.wait_until(clock.now() + 0.1)
        info = recording.info(clock.now())
        if info is not None and info.state in ("stopping", "failed") and not interrupted.is_set():
            recording.finish(clock.now())
            info = recording.info(clock.now())
            assert info is not None
            raise InputError(
                f"the recording did not start: {info.message}",
                where=str(info.path),
                remedy="see its .log file",
                code=ErrorCode.RECORDING,
            )

    def _watch(
        self,
        runner: LiveRunner,
        recording: RecordingControl,
        clock: LslClock,
        show: Callable[[], None],
        interrupted: threading.Event,
    ) -> None:
        end = clock.now() + self.options.seconds if self.options.seconds else float("inf")
        while runner.running and clock.now() < end and not interrupted.is_set():
            recording.step(clock.now())
            self.telemetry.recording = recording.text()
            show()
            interrupted.wait(min(_SHOW_S, max(0.0, end - clock.now())))
        if interrupted.is_set():
            self._say("stopping", clock.now(), Change.NOTICE)

    def _sidecar(self, checkpoint: Checkpoint, source: LslSource) -> dict[str, Any]:
        return {
            "program": "affectscope",
            "model": str(self.options.model.name),
            "model_sha256": checkpoint.sha256,
            **self._profile_notes(checkpoint),
            "trained_on": checkpoint.config.trained_on,
            "montage": self.options.montage,
            "screen_cm": self.options.screen_cm,
            "distance_cm": self.options.distance_cm,
            "line_hz": self.options.line,
            "streams": sorted(source.headers),
            "stream_notes": {key: list(spec.notes) for key, spec in source.specs.items() if spec.notes},
            **self.observer.sidecar(),
        }

    def _profile_notes(self, checkpoint: Checkpoint) -> dict[str, Any]:
        summary = self.options.profile_summary()
        if summary is None:
            return {}
        return summary.remark() | {"profile_sha256": checkpoint.profile_sha256}

    def _say(self, message: str, now: float, change: Change) -> None:
        self.telemetry.on_event(StreamEvent("", change, now, message))


class _Periodically:
    """Calls a function at most every ``period_s`` seconds of the time it is told."""

    def __init__(self, period_s: float, call: Callable[[float], None]) -> None:
        self._period_s, self._call, self._next = period_s, call, float("-inf")

    def __call__(self, now: float) -> None:
        if now >= self._next:
            self._next = now + self._period_s
            self._call(now)


def _check_publishers(publishers: Sequence[PublisherProcess]) -> None:
    """Raise what a publisher said if its device cannot be used."""
    for publisher in publishers:
        if publisher.exit_code:
            said = " ".join(publisher.messages()) or "the publisher ended"
            where = f"--{publisher.kind} {publisher.device}"
            raise InputError(said, where=where, code=ErrorCode.DEVICE)
