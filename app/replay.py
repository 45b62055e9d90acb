"""A replay session: a recorded file through the very path of a live session."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from acquisition.clock import ReplayClock
from acquisition.errors import InputError
from acquisition.intake import intake_maker
from acquisition.record.files import read_sidecar, sidecar_path
from acquisition.select import select_streams
from acquisition.types import Change, StreamEvent
from acquisition.xdf.scan import scan_xdf
from acquisition.xdf.source import XdfSource
from app.annotated import AnnotatedCopySink
from app.failure import Failure
from app.model_loading import load_model, make_decoder
from app.outputs import Sink
from app.pipeline import Pipeline
from app.runner import closing, run_replay
from app.session_options import SessionOptions
from app.telemetry import Telemetry
from models.checkpoint import Checkpoint

#: What an own recording's sidecar says of how it was made: option -> (key there, types).
_SIDECAR_OPTIONS: dict[str, tuple[str, tuple[type, ...]]] = {
    "montage": ("montage", (str,)),
    "screen_cm": ("screen_cm", (str,)),
    "distance_cm": ("distance_cm", (int, float)),
    "line": ("line_hz", (int,)),
}


@dataclass
class ReplaySession:
    """Opens a recording and steps it through the pipeline.

    Parameters
    ----------
    path : Path
        XDF file.
    options : SessionOptions
    start_s, stop_s : float or None
        Part to replay, seconds from the recording's first sample.
    speed : float
        Times real time; infinity runs as fast as it goes.
    chunk : int or None
        Samples a chunk; None takes what the file holds.
    """

    path: Path
    options: SessionOptions
    start_s: float | None = None
    stop_s: float | None = None
    speed: float = float("inf")
    chunk: int | None = None
    telemetry: Telemetry = field(default_factory=Telemetry)
    damage: tuple[str, ...] = ()
    duration_s: float = 0.0

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The model, loaded once."""
        return load_model(self.options)

    def __post_init__(self) -> None:
        self.options = self._with_sidecar(self.options)

    def _with_sidecar(self, options: SessionOptions) -> SessionOptions:
        """Return the options, completed by what an own recording was made with."""
        sidecar = read_sidecar(self.path)
        taken: dict[str, Any] = {}
        for option, (name, types) in _SIDECAR_OPTIONS.items():
            value = sidecar.get(name)
            if value is None or getattr(options, option) is not None:
                continue
            if not isinstance(value, types) or isinstance(value, bool):
                raise InputError(
                    f"{name}: expected {types[-1].__name__}, found {value!r}",
                    where=str(sidecar_path(self.path)),
                    remedy="correct it or move the sidecar away",
                )
            taken[option] = value
        if taken:
            text = ", ".join(f"{option} {value}" for option, value in taken.items())
            message = f"as it was recorded: {text}"
            self.telemetry.on_event(StreamEvent("", Change.NOTICE, math.nan, message))
        return replace(options, **taken)

    def run(self, progress: Callable[[float], None]) -> None:
        """Replay to the end; ``progress`` is told the share done, 0..1.

        Raises
        ------
        InputError
            If the file, a stream in it or the model cannot be used.
        """
        checkpoint = self.checkpoint
        source = self._open(checkpoint)
        first, last = self._span(source)
        self.duration_s = max(0.0, last - first)
        clock = ReplayClock(first, self.speed)

        def on_failure(message: str) -> None:
            self.telemetry.on_failure(Failure("device", message, clock.now()))

        decoder = make_decoder(checkpoint, self.options, on_failure)
        pipeline = Pipeline(source, decoder, live=False, on_event=self.telemetry.on_event)
        labels = checkpoint.config.labels
        sinks: list[Sink] = self.options.sinks(labels)
        if self.options.record is not None:
            unused_id = max(source.headers, default=0) + 1
            sinks.append(AnnotatedCopySink(self.path, self.options.record, labels, unused_id))
        try:
            with closing(sinks):
                run_replay(
                    pipeline,
                    clock,
                    first,
                    last,
                    sinks,
                    self.telemetry,
                    progress=lambda now: progress((now - first) / max(last - first, 1e-9)),
                )
            if decoder.is_in_baseline:
                message = f"the baseline of {self.options.baseline_s:g} s did not end: it was not used"
                self.telemetry.on_event(StreamEvent("", Change.NOTICE, last, message))
        finally:
            self.damage = tuple(source.damage)
            source.close()

    def _open(self, checkpoint: Checkpoint) -> XdfSource:
        config = checkpoint.config
        index = scan_xdf(self.path)
        headers = {stream_id: stream.header for stream_id, stream in index.streams.items()}
        selection = select_streams(headers, self.options.streams)
        maker = intake_maker(self.options.adapter_options(config.ch_names), config.windows.max_gap_s)
        return XdfSource(
            self.path,
            selection.kinds,
            maker,
            start=self.start_s,
            stop=self.stop_s,
            chunk=self.chunk,
            index=index,
        )

    def _span(self, source: XdfSource) -> tuple[float, float]:
        """Return the first and last LSL time to replay.

        Raises
        ------
        InputError
            If no selected stream holds a sample that can be placed.
        """
        first, last = source.first_time, source.last_time
        if math.isnan(first):
            raise InputError(
                "no selected stream holds samples that can be replayed",
                where=str(self.path),
                remedy=f"see: affectscope inspect {self.path.name}",
            )
        if self.options.seconds is not None:
            last = min(last, first + self.options.seconds)
        return first, last
