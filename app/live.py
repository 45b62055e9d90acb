"""A live session from discovery to the finished recording."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from acquisition.clock import LslClock
from acquisition.errors import ErrorCode, InputError
from acquisition.intake import intake_maker
from acquisition.lsl.discovery import FoundStream, discover
from acquisition.lsl.outlet import network_notice
from acquisition.lsl.source import LslSource, open_live
from acquisition.process import interruptible
from acquisition.publish.process import PublisherProcess, start_publisher
from acquisition.record.files import recorded_identity
from acquisition.select import kind_of, lacking, parse_choices
from acquisition.simulator.process import SimulatorProcess, stream_choices
from acquisition.stream_words import offer_words, waiting_words
from acquisition.text import counted
from acquisition.types import Change, Chunk, Offer, StreamHeader, StreamHealth, StreamLedger
from app.engine.messages import PhaseName
from app.modality_mask import ModalityMask
from app.model_loading import load_model, make_decoder
from app.outlets import ClockOutlet, NoteOutlet, PredictionOutlet
from app.outputs import Sink
from app.pipeline import Pipeline
from app.recording import RecordingControl, RecordingHooks
from app.request import SIDECAR_OPTIONS, LiveRequest
from app.runner import LiveRunner, closing
from app.telemetry import Failure, SimulatedStreams, Telemetry
from models.checkpoint import Checkpoint
from models.decoder import Decoder

_SEGMENTS_S = 0.2
_HEALTH_S = 0.5
_LOOK_S = 1.0  # for streams that are waited for
_SHOW_S = 0.1


class Observer:
    """What the dashboard's engine observes of a session and adds to it; this base class does nothing."""

    def on_stage(self, stage: PhaseName, message: str = "") -> None:
        """Take the next stage, ``loading`` or ``looking`` for streams, in the session's thread.

        An exception raised here ends the session properly.
        """

    def on_open(self, session: LiveSession) -> None:
        """Get the session once it has its parts, before anything is read."""

    def on_streams(self, headers: Collection[StreamHeader]) -> None:
        """Take the streams in use when one has joined, in the session's thread."""

    def on_chunk(self, chunk: Chunk) -> None:
        """See every chunk, in the acquire thread, which must not be kept waiting."""

    def after_decode(self) -> None:
        """Use the decode thread between windows, see `LiveRunner`."""

    def on_recording(self) -> None:
        """Note that a recording has begun, and has every stream, in the session's thread."""

    def attend(self) -> None:
        """Do what is due, ten times a second, in the session's thread."""

    def own_source_ids(self) -> list[str]:
        """Return further streams of this program to record."""
        return []

    def recorded(self, headers: list[StreamHeader]) -> list[StreamHeader]:
        """Return which of the streams in use a recording takes."""
        return headers

    def on_emotion(self, emotion: str) -> None:
        """Take what a simulated participant shows from now on, in a thread of its own."""

    def sidecar(self) -> Mapping[str, object]:
        """Return what to add to the JSON sidecar of a recording."""
        return {}


class NotingObserver(Observer):
    """Opens the stream of notes once the others were looked for; recordings take it."""

    _notes: NoteOutlet

    def own_source_ids(self) -> list[str]:
        self._notes = NoteOutlet()
        return [self._notes.header.source_id]

    def close(self) -> None:
        """Close the stream of notes."""
        if hasattr(self, "_notes"):
            self._notes.close()


@dataclass
class LiveSession:
    """Opens everything in order, runs, and closes in the reverse order."""

    request: LiveRequest  # simulated streams are started first, and read alone
    telemetry: Telemetry = field(default_factory=Telemetry)
    observer: Observer = field(default_factory=Observer)
    interrupted: threading.Event | None = None  # ends the session; by default Ctrl-C or a termination does
    close_recording_s: float = 75.0  # wait for the recorded file; its supervisor then finishes alone
    on_stage: Callable[[PhaseName, str], None] | None = None  # takes every stage, in place of the observer
    on_chunk: Callable[[Chunk], None] | None = None  # sees every chunk, in place of the observer
    headers: list[StreamHeader] = field(default_factory=list)  # of the streams in use
    first: float = math.nan  # LSL seconds at which decoding began
    duration_s: float = 0.0
    stream_health: dict[str, StreamHealth] = field(default_factory=dict)  # by stream key
    ledgers: Mapping[str, StreamLedger] = field(default_factory=dict)  # by stream key
    offers: tuple[Offer, ...] = ()  # streams that could join, as of the last look
    problems: list[str] = field(default_factory=list)  # what recording and output files lack, at the end
    clock: LslClock = field(default_factory=LslClock)
    mask: ModalityMask = field(default_factory=ModalityMask)  # what is masked manually
    source: LslSource = field(init=False)  # this and the next two from `Observer.on_open` on
    decoder: Decoder = field(init=False)
    recording: RecordingControl = field(init=False)

    def __post_init__(self) -> None:
        self.options, simulated = self.request.options, self.request.simulated
        if simulated is not None:
            self.options = replace(self.options, streams=stream_choices(simulated))
        self._publishers: list[PublisherProcess] = []
        self._notice = ""  # what was said of simulated streams
        self._in_use: tuple[Mapping[str, StreamHeader], Mapping[str, StreamHeader]] = {}, {}

    @cached_property
    def checkpoint(self) -> Checkpoint:
        return load_model(self.options)

    def run(self, show: Callable[[], None]) -> None:
        """Run until the time is over, a thread fails, or Ctrl-C or a request to terminate.

        ``show`` is called ten times a second to draw. Raises `InputError` if model, streams or files cannot
        be used.
        """
        self._tell("loading")
        if notice := network_notice():
            self.telemetry.say(notice, self.clock.now())
        with contextlib.ExitStack() as closed:
            if self.request.simulated is None:
                _ = self.checkpoint
            else:
                self._start_simulator(closed.enter_context(SimulatorProcess(self.request.simulated)))
            for kind in ("webcam", "microphone"):
                if (device := getattr(self.request, kind)) is not None:
                    # A file in place of a device is repeated, to last as long as a device would.
                    self._publishers.append(start_publisher(kind, device, loop=True))
                    closed.callback(self._publishers[-1].stop)
            self._tell("looking", "looking for streams")
            interruption = interruptible() if self.interrupted is None else nullcontext(self.interrupted)
            with interruption as interrupted:
                source = self._found(interrupted)
                if source is None:
                    return
                self.source = source
                closed.callback(source.close)
                self._run_open(show, interrupted)

    def _tell(self, stage: PhaseName, message: str = "") -> None:
        (self.on_stage or self.observer.on_stage)(stage, message)

    def _start_simulator(self, simulator: SimulatorProcess) -> None:
        """Load the model while the simulated devices start, and tell what the participant shows."""
        self._tell("loading", "starting the simulated devices")
        _ = self.checkpoint
        simulator.wait_until_found()

        def tell(emotion: str) -> None:
            self.telemetry.say(f"the simulated participant now shows: {emotion}", self.clock.now())
            self.observer.on_emotion(emotion)

        simulator.tell(tell)

    def _found(self, interrupted: threading.Event) -> LslSource | None:
        """Return the streams, open; what goes between the search and that is waited for. None at Ctrl-C."""
        end = self.clock.now() + self.request.wait_s
        while True:
            found = self._wait_for_streams(interrupted)
            self._tell("looking", "opening the streams")
            if interrupted.is_set():
                return None
            try:
                return self._open(found)
            except InputError as error:
                if "waited_s" not in error.facts or self.clock.now() > end:
                    raise
                self._tell("waiting", str(error))

    def _wait_for_streams(self, interrupted: threading.Event) -> list[FoundStream]:
        """Look until there is a stream that the model reads, and each that was chosen, or time is over."""
        choices = self.options.streams
        excluded = [m for m, choice in parse_choices(choices or "").items() if choice == "none"]
        modalities = [m for m in self.checkpoint.config.modalities if m not in excluded]
        # A publisher that was just started answers after a second or two.
        timeout_s = self.request.discovery_s + (2.0 if self._publishers else 0.0)
        found, has_waited, begin = discover(timeout_s), False, self.clock.now()
        while self.clock.now() < begin + self.request.wait_s and not interrupted.is_set():
            missing = lacking({stream.key: stream.header for stream in found}, choices, modalities)
            if not any(missing.values()) and not set(modalities) <= set(missing):
                # Streams that are started together come together.
                return discover(timeout_s) if has_waited else found
            if any(publisher.exit_code for publisher in self._publishers):
                break
            has_waited = True
            self._tell("waiting", waiting_words(missing, modalities))
            found = discover(_LOOK_S)
        return found

    def _open(self, found: list[FoundStream]) -> LslSource:
        config, options = self.checkpoint.config, self.options
        maker = intake_maker(options.adapter_options(config.ch_names), config.windows.max_gap_s)
        try:
            return open_live(
                found,
                options.streams,
                make_intake=maker,
                unread=config.unread_kinds,
                preferred=self.request.preferred,
                tell=lambda notice: self.telemetry.say(notice, self.clock.now()),
            )
        except InputError:
            for publisher in self._publishers:  # a missing device explains a missing stream
                if publisher.exit_code:
                    said = " ".join(publisher.messages()) or "the publisher ended"
                    where = f"--{publisher.kind} {publisher.device}"
                    raise InputError(said, where=where, code=ErrorCode.DEVICE) from None
            raise

    def _run_open(self, show: Callable[[], None], interrupted: threading.Event) -> None:
        clock, observer, source = self.clock, self.observer, self.source
        self._tell_simulated()
        self._in_use = source.headers, source.connected
        self.headers = list(source.headers.values())
        labels = self.checkpoint.config.labels
        self.decoder = decoder = make_decoder(self.checkpoint, self.options, self._failing("device"))
        decoder.warm_up()
        pipeline = Pipeline(
            source,
            decoder,
            live=True,
            on_event=self.telemetry.on_event,
            on_chunk=self.on_chunk or observer.on_chunk,
            mask=self.mask,
            lateness_s=self.options.lateness,
        )
        predictions, clock_map = PredictionOutlet(labels), ClockOutlet()
        sinks: list[Sink] = [predictions, *self.options.sinks(labels, lambda: self.ledgers.values())]
        own = [predictions.header.source_id, clock_map.header.source_id, *observer.own_source_ids()]
        self.recording = recording = self._recording_control(own, pipeline)
        health_due, look_due = _Due(_HEALTH_S), _Due(_HEALTH_S)
        segments_due = _Due(_SEGMENTS_S)

        def after_acquire(now: float) -> None:
            if segments_due(now):
                clock_map.publish(source.take_segments(), pipeline.aligner.take_lateness())
            if not health_due(now):
                return
            late_s, self.ledgers = pipeline.late_s, pipeline.ledgers()
            self.stream_health = {
                key: replace(health, late_s=late_s.get(key, 0.0))
                for key, health in source.health(now).items()
            }

        watches = self.request.newcomers != "ignore"
        if watches:
            given = self.options.streams, self.checkpoint.config.modalities
            source.watch_for(*given, lambda spec: spec.is_shown_only or decoder.check(spec))

        def attend() -> None:
            recording.step(clock.now())
            if watches and look_due(clock.now()):
                self._look_around()
            for publisher in self._publishers:
                for message in publisher.messages():
                    self._warn(message)
            observer.attend()
            show()

        runner = LiveRunner(pipeline, clock, sinks, self.telemetry, after_acquire, observer.after_decode)
        with closing(sinks, self._lack), contextlib.closing(clock_map):
            try:
                observer.on_open(self)
                runner.start()
                if self.options.record is not None:
                    recording.start(self.options.record, clock.now())
                    self._wait_for_recording(attend, interrupted)
                self.first = clock.now()
                runner.begin_decoding(self.first)
                end = clock.now() + (self.options.seconds or math.inf)
                while runner.running and clock.now() < end and not interrupted.is_set():
                    attend()
                    interrupted.wait(min(_SHOW_S, max(0.0, end - clock.now())))
                if interrupted.is_set():
                    self.telemetry.say("stopping", clock.now())
            finally:
                runner.stop()
                self.duration_s = clock.now() - self.first
                self.ledgers = pipeline.ledgers()
                recording.finish(clock.now(), self.close_recording_s)
                self.problems += recording.problems
                for where, n_dropped in runner.n_dropped.items():
                    self._lack(f"{where}: {counted(n_dropped, 'prediction')} could not be written")
                if text := recording.text():
                    self.telemetry.say(f"recording {text}", clock.now())
        if runner.error is not None:
            raise runner.error

    def _look_around(self) -> None:
        """Take note of streams that have joined or gone, and join, offer or name those that could join."""
        source, in_use = self.source, (self.source.headers, self.source.connected)
        if in_use != self._in_use:
            joined, self._in_use = self._in_use[0] != in_use[0], in_use
            self.recording.use(self.observer.recorded(list(source.connected.values())))
            if joined:
                self.headers = list(source.headers.values())
                self.observer.on_streams(self.headers)
                self._tell_simulated()
        seen = {offer.uid for offer in self.offers}
        self.offers = tuple(source.offers())
        own = {header.source_id for header in source.headers.values()} - {""}
        for offer in self.offers:
            # What takes the place of another device may be another participant's.
            is_safe = not offer.n_rivals and (not offer.replaces or offer.header.source_id in own)
            joins = self.request.newcomers == "join" and is_safe
            if joins or offer.uid not in seen:
                words = offer_words(offer.header.name, offer.modality, offer.n_rivals, offer.replaces, joins)
                self.telemetry.say(words, self.clock.now())
            if joins:
                source.join(offer.uid)

    def _tell_simulated(self) -> None:
        notice = SimulatedStreams(self.source.headers.values()).notice
        if notice not in ("", self._notice):
            self._notice = notice
            self.telemetry.say(notice, self.clock.now())

    def _wait_for_recording(self, attend: Callable[[], None], interrupted: threading.Event) -> None:
        """Wait until LabRecorder has every stream: decoding starts with the recording."""
        recording = self.recording
        while recording.state == "starting" and not interrupted.is_set():
            attend()
            self.clock.wait_until(self.clock.now() + _SHOW_S)
        if recording.state in ("stopping", "failed") and not interrupted.is_set():
            recording.finish(self.clock.now())
            info = recording.info(self.clock.now())
            assert info is not None
            what = f"the recording did not start: {info.message}"
            raise InputError(what, where=str(info.path), remedy="see its .log file", code=ErrorCode.RECORDING)

    def _recording_control(self, own_source_ids: list[str], pipeline: Pipeline) -> RecordingControl:
        source, decoder = self.source, self.decoder

        def on_opened() -> None:
            source.restate_segments()
            pipeline.aligner.restate()
            # Three seconds early: it counts from the next second on, and answers average over one.
            decoder.keep_level(self.clock.now() + decoder.config.windows.context_s - 3.0)
            self.observer.on_recording()

        hooks = RecordingHooks(
            on_notice=self._warn,
            is_told=lambda header: source.lacks(kind_of(header)),
            on_failure=self._failing("recording"),
            on_opened=on_opened,
            received=lambda: {
                recorded_identity(header): self.stream_health[key].n_samples
                for key, header in source.headers.items()
                if key in self.stream_health
            },
            max_hours=self.options.max_hours,
            is_settled=lambda: decoder.kept_level is not None,
            sidecar=self._sidecar,
        )
        streams = self.observer.recorded(list(source.headers.values()))
        return RecordingControl(streams, own_source_ids, hooks)

    def _sidecar(self) -> dict[str, Any]:
        options, profile, source = self.options, self.options.profile_summary(), self.source
        used = {"subject": profile.subject, **profile.remark()} if profile is not None else {}
        return {
            "program": "affectscope",
            "model": options.model.name,
            "model_sha256": self.checkpoint.sha256,
            **({"profile_sha256": self.checkpoint.profile_sha256} if used else {}),
            **used,
            "trained_on": self.checkpoint.config.trained_on,
            **{key: getattr(options, option) for option, (key, _) in SIDECAR_OPTIONS.items()},
            "streams": sorted(source.headers),
            "ledger": [asdict(ledger) for ledger in self.ledgers.values()],  # once it is over
            "stream_notes": {key: list(spec.notes) for key, spec in source.specs.items() if spec.notes},
            **self.observer.sidecar(),
            "level": self.decoder.kept_level,
            "marked_bad": list(self.decoder.marked_bad),  # the notes in the recording say since when
        }

    def _lack(self, message: str) -> None:
        """Tell what an output file lacks, which otherwise is as it should be."""
        self.problems.append(message)
        self._failing("output")(message)

    def _warn(self, message: str) -> None:
        self.telemetry.say(message, self.clock.now(), Change.WARNING)

    def _failing(self, stage: str) -> Callable[[str], None]:
        return lambda message: self.telemetry.on_failure(Failure(stage, message, self.clock.now()))


class _Due:
    """Tells at most every ``period_s`` seconds of the time it is told that it is time."""

    def __init__(self, period_s: float) -> None:
        self._period_s, self._next = period_s, -math.inf

    def __call__(self, now: float) -> bool:
        is_due = now >= self._next
        self._next = now + self._period_s if is_due else self._next
        return is_due
