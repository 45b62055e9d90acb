"""Steps a recording through a pipeline on the hop grid."""

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from acquisition.clock import ReplayClock
from acquisition.errors import ErrorCode, InputError, pasteable
from acquisition.header import stream_identity
from acquisition.intake import MakeIntake, intake_maker
from acquisition.record.files import read_sidecar, recording_parts, sidecar_path
from acquisition.select import exclude_unusable, is_notes, is_own, kind_of, select_streams
from acquisition.types import Change, Chunk, Kind, Lateness, StreamHeader, StreamLedger
from acquisition.xdf.format import XdfIndex
from acquisition.xdf.outline import Outline, outline_xdf, read_decoded, read_lateness, read_markers
from acquisition.xdf.parts import ALONE, open_recording
from acquisition.xdf.scan import check_xdf
from acquisition.xdf.source import XdfSource
from app.modality_mask import CheckMark, ModalityMask, Recorded, Rest, read_change
from app.model_loading import load_model, make_decoder
from app.outputs import AnnotatedCopySink, Sink
from app.pipeline import Pipeline
from app.request import EEG_SUFFIXES, SIDECAR_OPTIONS, ReplayRequest
from app.runner import closing
from app.telemetry import Failure, SimulatedStreams, Telemetry
from models.checkpoint import Checkpoint
from models.decoder import Decoder
from models.prediction import Prediction

OTHER_PROFILE = "recorded with another profile: answers and counts of self-reports are not those of then"
INCOMPLETE_REST = "the rest or baseline was incomplete at the end of the recording, and is not used"


class ReplaySteps:
    """The hops of a recording from ``index * hop_s`` (LSL seconds) on; none is late and none is skipped."""

    def __init__(self, pipeline: Pipeline, index: int, last_time: float) -> None:
        self.pipeline = pipeline
        self._hop_s = pipeline.aligner.config.hop_s
        self._index, self._last_time = index, last_time

    @property
    def next_time(self) -> float:
        """LSL time of the next hop."""
        return self._index * self._hop_s

    @property
    def is_over(self) -> bool:
        return self.next_time > self._last_time or self.pipeline.source.exhausted

    def step(self) -> list[Prediction]:
        predictions = self.pipeline.step(self.next_time)
        self._index = self.pipeline.hop_after(self._index)
        return predictions


class ReplayFile:
    """A recording with the options it is replayed with; it is scanned once.

    ``options`` are those of the request, completed by the recording's sidecar. A recording in parts is one.
    `look_through` makes the ``outline``, which makes seeking instant.
    Raises `InputError` if the file is no XDF file, or the sidecar holds a value of the wrong type.
    """

    def __init__(self, request: ReplayRequest) -> None:
        self.path, self.start_s, self._alone = request.path, request.start_s, request.part_only
        self._folder = ExitStack()  # of the copy of an EEG file
        self._notices = list[str]()
        self.xdf = self._as_xdf(request.options.eeg_unit)  # the file that is read
        self._stop_s, self._chunk = request.stop_s, request.chunk
        self.outline: Outline | None = None
        sidecar = read_sidecar(self.xdf)
        taken: dict[str, Any] = {}
        for option, (name, types) in SIDECAR_OPTIONS.items():
            value = sidecar.get(name)
            if value is None or getattr(request.options, option) is not None:
                continue
            if not isinstance(value, types) or isinstance(value, bool):
                what = f"{name}: expected {types[-1].__name__}, found {value!r}"
                remedy = "correct it or move the sidecar away"
                raise InputError(what, where=str(sidecar_path(self.path)), remedy=remedy, code=ErrorCode.FILE)
            taken[option] = value
        said = ", ".join(f"{option} {value}" for option, value in taken.items())
        self._notices += [f"options from the recording's sidecar: {said}"] if said else []
        self.options = replace(request.options, **taken)

    def _as_xdf(self, unit: str | None) -> Path:
        """Return the recording, of an EEG file a copy as XDF, which `close` deletes."""
        if self.path.suffix.lower() not in EEG_SUFFIXES:
            check_xdf(self.path)
            return self.path if self._alone else recording_parts(self.path)[0]
        from acquisition.publish.recording import eeg_content, write_xdf
        from models.datasets.recordings import Reading, opened, reader_notes

        raw = opened(self.path, Reading(unit=unit))
        self._notices += reader_notes(raw)
        content = eeg_content(self.path, raw, unit)
        folder = self._folder.enter_context(TemporaryDirectory(prefix="affectscope-"))
        path = Path(folder) / f"{self.path.stem}.xdf"
        write_xdf(content, path)
        return path

    def close(self) -> None:
        self._folder.close()

    @cached_property
    def checkpoint(self) -> Checkpoint:
        return load_model(self.options)

    @cached_property
    def index(self) -> XdfIndex:
        index = open_recording(self.xdf, alone=self._alone)
        self._notices += index.notes
        return index

    @cached_property
    def kinds(self) -> dict[int, Kind]:
        """The streams in use; one that cannot be used is excluded, unless it is EEG that the model reads."""
        headers = self.index.headers
        unread, told = self.checkpoint.config.unread_kinds, self._notices.append
        chosen: dict[int, Kind] = {}
        try:
            chosen = select_streams(headers, self.options.streams, unread=unread, tell=told)
        except InputError as error:
            if error.code is not ErrorCode.NO_STREAM:
                raise
            if not self.options.shows_unmapped:
                remedy = f"see: affectscope inspect {pasteable(self.path.name)}"
                raise InputError(error.what, where=str(self.path), remedy=remedy, code=error.code) from error
        chosen = self.index.with_following(chosen | self._others(chosen))
        kinds = dict(chosen)
        refused = exclude_unusable(
            chosen, lambda i, kind: self.make_intake(self.index.streams[i].header, "", kind, ()), unread
        )
        for stream_id, why in refused.items():
            told(f"{kinds[stream_id].value}: not used: {why}")
        return chosen

    def _others(self, chosen: Mapping[int, Kind]) -> dict[int, Kind]:
        """Return another stream of numbers to show where the file has no EEG: that with most samples."""
        if not self.options.shows_unmapped or Kind.EEG in chosen.values():
            return {}
        n_samples = {
            stream_id: stream.n_samples
            for stream_id, stream in self.index.streams.items()
            if kind_of(stream.header) in (Kind.OTHER, Kind.EEG) and stream.dtype is not None
            if stream.n_samples and not is_own(stream.header)
        }
        return {max(n_samples, key=lambda i: n_samples[i]): Kind.OTHER} if n_samples else {}

    @property
    def notice(self) -> str:
        """What to say of it: options from the sidecar, and streams that are excluded; "" where nothing is."""
        _ = self.kinds
        return "; ".join(self._notices)

    @property
    def headers(self) -> list[StreamHeader]:
        return [self.index.streams[stream_id].header for stream_id in self.kinds]

    @cached_property
    def make_intake(self) -> MakeIntake:
        config = self.checkpoint.config
        return intake_maker(self.options.adapter_options(config.ch_names), config.windows.max_gap_s)

    def recorded_level(self, part: Path) -> Any:
        """Return the running level in an own recording's sidecar; None of another model or profile."""
        sidecar, checkpoint = read_sidecar(part), self.checkpoint
        used = sidecar.get("model_sha256"), sidecar.get("profile_sha256", "")
        is_own = used == (checkpoint.sha256, checkpoint.profile_sha256) and self.start_s is None
        return sidecar.get("level") if is_own else None

    @property
    def has_other_profile(self) -> bool:
        """True where the recording was made with another profile than the one in use."""
        used = read_sidecar(self.xdf).get("profile_sha256", "")
        return bool(used and self.checkpoint.profile_sha256 and used != self.checkpoint.profile_sha256)

    @cached_property
    def recorded_changes(self) -> list[Recorded]:
        """What was masked manually in an own recording, rests and self-reports, whichever markers are in use.

        A profile has its own level, which no rest sets.
        """
        found = [read_change(text, time) for time, text in self.markers(is_notes)]
        has_profile = self.options.profile is not None
        return [c for c in found if c is not None and not (has_profile and isinstance(c, Rest))]

    def markers(self, are_wanted: Callable[[StreamHeader], bool]) -> list[tuple[float, str]]:
        """Return time (LSL seconds) and text of every marker of such streams, one stream after the other."""
        streams = [i for i, stream in self.index.streams.items() if are_wanted(stream.header)]
        return [pair for i in streams for pair in read_markers(self.index, i, self.make_intake)]

    def make_decoder(self, on_failure: Callable[[str], None]) -> Decoder:
        """Return a decoder at the level that the recording was made with, as far as that is known."""
        decoder = make_decoder(self.checkpoint, self.options, on_failure)
        for part in self.index.paths:
            decoder.use_level(self.recorded_level(part), str(sidecar_path(part)))
        return decoder

    @cached_property
    def _live_run(self) -> tuple[dict[str, list[Lateness]], list[float]]:
        """What the windows of an own recording's live run lacked, and which it decoded with this model."""
        used = read_sidecar(self.xdf).get("model_sha256") == self.checkpoint.sha256
        return read_lateness(self.index), read_decoded(self.index) if used else []

    def let_follow(self, pipeline: Pipeline, source: XdfSource) -> None:
        """Let a pipeline's windows be those of the live run that is replayed."""
        lateness, decoded = self._live_run
        headers = {key: self.index.streams[stream_id].header for stream_id, key in source.keys.items()}
        found = {key: lateness.get(stream_identity(header), []) for key, header in headers.items()}
        pipeline.follow(found, decoded)

    def look_through(self, progress: Callable[[float], None] = lambda share: None) -> Outline:
        """Read the file once for its outline; ``progress`` is called with the share done, 0..1."""
        self.outline = outline_xdf(self.index, self.kinds, self.make_intake, progress)
        return self.outline

    def open(self, start_s: float | None = None) -> XdfSource:
        """Return the part to replay as a source, or what of it comes ``start_s`` after the first sample.

        Raises `InputError` if a stream cannot be used, or no sample lies there.
        """
        if start_s is not None and self.start_s is not None:
            start_s = max(start_s, self.start_s)
        return XdfSource(
            self.xdf,
            self.kinds,
            self.make_intake,
            start=self.start_s if start_s is None else start_s,
            stop=self._stop_s,
            chunk=self._chunk,
            index=self.index,
            outline=self.outline,
        )

    def span(self, source: XdfSource) -> tuple[float, float]:
        """Return the first and last LSL time to replay, of a source opened at the start.

        The last is where the first of the streams ends that were sending to the end: a window after it
        would lack what was there live.

        Raises `InputError` if no selected stream holds a sample that can be placed.
        """
        first, last = source.first_time, source.whole_to
        if math.isnan(first):
            streams = self.index.streams.values()
            held = ", ".join(f"{s.header.name} ({s.header.type}, {s.n_samples:,})" for s in streams)
            holds = f"streams with so many samples: {held}" if held else "no stream at all"
            what = f"no signal in it can be replayed; it holds {holds}"
            remedy = f"see: affectscope inspect {pasteable(self.path.name)}"
            raise InputError(what, where=str(self.path), remedy=remedy, code=ErrorCode.RECORDING)
        if self.options.seconds is not None:
            last = min(last, first + self.options.seconds)
        return first, last

    def sinks(self, ledgers: Callable[[], Iterable[StreamLedger]] = tuple) -> list[Sink]:
        """Open the output files that the options name; raises `InputError` if one cannot be written.

        ``ledgers`` is asked at their end.
        """
        labels = self.checkpoint.config.labels
        sinks = self.options.sinks(labels, ledgers)
        if self.options.record is not None:
            if len(self.index.paths) > 1:
                what = f"{self.xdf.name} has {len(self.index.paths)} parts, and a copy is of one file"
                remedy = f"{ALONE}: copy each part"
                raise InputError(what, where="--record", remedy=remedy, code=ErrorCode.FILE)
            unused_id = self.index.unused_id
            sinks.append(AnnotatedCopySink(self.xdf, self.options.record, labels, unused_id))
        return sinks


@dataclass
class ReplaySession:
    """Opens a recording and steps it through the pipeline, to its end."""

    request: ReplayRequest
    telemetry: Telemetry = field(default_factory=Telemetry)
    on_chunk: Callable[[Chunk], None] = lambda chunk: None  # sees every chunk
    damage: tuple[str, ...] = ()
    first: float = math.nan  # LSL seconds
    duration_s: float = 0.0
    ledgers: Mapping[str, StreamLedger] = field(default_factory=dict)  # by stream key

    def __post_init__(self) -> None:
        self.file = ReplayFile(self.request)
        self.options = self.file.options
        if self.file.notice:
            self.telemetry.say(self.file.notice, math.nan)
        self.checkpoint, self.headers = self.file.checkpoint, self.file.headers  # of the streams in use

    def run(self, progress: Callable[[float], None]) -> None:
        """Replay to the end; ``progress`` is called with the share done, 0..1.

        Raises `InputError` if the file, a stream in it or the model cannot be used.
        """
        source = self.file.open()
        first, last = self.file.span(source)
        self.first, self.duration_s = first, max(0.0, last - first)
        clock = ReplayClock(first, self.request.speed)
        if notice := SimulatedStreams(self.headers).notice:
            self.telemetry.say(notice, first)
        if self.file.has_other_profile:
            self.telemetry.say(OTHER_PROFILE, first, Change.WARNING)

        def on_failure(message: str) -> None:
            self.telemetry.on_failure(Failure("device", message, clock.now()))

        decoder = self.file.make_decoder(on_failure)
        mask = ModalityMask(self.file.recorded_changes)
        pipeline = Pipeline(
            source,
            decoder,
            live=False,
            on_event=self.telemetry.on_event,
            on_chunk=self.on_chunk,
            mask=mask,
        )
        self.file.let_follow(pipeline, source)
        hop_s = self.checkpoint.config.windows.hop_s
        steps = ReplaySteps(pipeline, int(first // hop_s) + 1, last)
        sinks = self.file.sinks(lambda: pipeline.ledgers().values())
        # What follows a self-report rests on the answers before it.
        reports = any(isinstance(change, CheckMark) for change in self.file.recorded_changes)
        n_batch = 1 if reports else self.request.batch
        decoder.defers, waiting = n_batch > 1, list[Prediction]()

        def take(predictions: list[Prediction]) -> None:
            for prediction in decoder.answer(predictions) if decoder.defers else predictions:
                self.telemetry.on_prediction(prediction)
                for sink in sinks:
                    sink.write(prediction)

        try:
            with closing(sinks):
                while not steps.is_over:
                    now = steps.next_time
                    clock.wait_until(now)
                    waiting += steps.step()
                    if len(waiting) >= n_batch or steps.is_over:
                        take(waiting)
                        waiting = []
                    progress((now - first) / max(last - first, 1e-9))
                    if steps.next_time > now + 1.5 * hop_s:
                        clock.restart(steps.next_time)  # do not wait through the gap
                pipeline.acquire(last + 1.0)  # what lies after the last window's end counts as read
            if decoder.is_in_baseline:
                self.telemetry.say(INCOMPLETE_REST, last, Change.WARNING)
        finally:
            self.damage = tuple(source.damage)
            self.ledgers = pipeline.ledgers()
            source.close()
            self.file.close()
