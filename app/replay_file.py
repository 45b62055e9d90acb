"""A recorded file, and what it takes to replay it from any moment."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from acquisition.errors import InputError
from acquisition.intake import MakeIntake, intake_maker
from acquisition.record.files import read_sidecar, sidecar_path
from acquisition.select import Selection, is_notes, select_streams
from acquisition.types import StreamHeader
from acquisition.xdf.format import XdfIndex
from acquisition.xdf.markers import read_markers
from acquisition.xdf.outline import Outline, outline_xdf
from acquisition.xdf.scan import scan_xdf
from acquisition.xdf.source import XdfSource
from app.annotated import AnnotatedCopySink
from app.model_loading import load_model
from app.outputs import Sink
from app.plugs import Plugging, read_plugging
from app.session_options import SessionOptions
from models.checkpoint import Checkpoint

#: What an own recording's sidecar says of how it was made: option -> (key there, types).
_SIDECAR_OPTIONS: dict[str, tuple[str, tuple[type, ...]]] = {
    "montage": ("montage", (str,)),
    "screen_cm": ("screen_cm", (str,)),
    "distance_cm": ("distance_cm", (int, float)),
    "line": ("line_hz", (int,)),
}


@dataclass
class ReplayFile:
    """A recording with the options it is replayed with; it is scanned once.

    Parameters
    ----------
    path : Path
        XDF file.
    options : SessionOptions
        Completed by what the recording's sidecar says.
    start_s, stop_s : float or None
        Part to replay, seconds from the recording's first sample.
    chunk : int or None
        Samples a chunk; None takes what the file holds.

    Attributes
    ----------
    notice : str
        What was taken from the sidecar, in words; empty if nothing was.
    outline : Outline or None
        Of the selected streams, once `look_through` was called; moments are then reached at once.

    Raises
    ------
    InputError
        If the sidecar holds a value of the wrong type.
    """

    path: Path
    options: SessionOptions
    start_s: float | None = None
    stop_s: float | None = None
    chunk: int | None = None
    notice: str = ""
    outline: Outline | None = None

    def __post_init__(self) -> None:
        sidecar = read_sidecar(self.path)
        taken: dict[str, Any] = {}
        for option, (name, types) in _SIDECAR_OPTIONS.items():
            value = sidecar.get(name)
            if value is None or getattr(self.options, option) is not None:
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
            self.notice = f"as it was recorded: {text}"
        self.options = replace(self.options, **taken)

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The model, loaded once."""
        return load_model(self.options)

    @cached_property
    def index(self) -> XdfIndex:
        """Where everything lies in the file."""
        return scan_xdf(self.path)

    @cached_property
    def selection(self) -> Selection[int]:
        """The streams in use."""
        headers = {stream_id: stream.header for stream_id, stream in self.index.streams.items()}
        return select_streams(headers, self.options.streams)

    @property
    def headers(self) -> list[StreamHeader]:
        """Their headers."""
        return [self.index.streams[stream_id].header for stream_id in self.selection.kinds]

    @cached_property
    def make_intake(self) -> MakeIntake:
        """What builds a stream's way in."""
        config = self.checkpoint.config
        return intake_maker(self.options.adapter_options(config.ch_names), config.windows.max_gap_s)

    @cached_property
    def recorded_plugs(self) -> list[Plugging]:
        """What was unplugged by hand while an own recording was made, whichever markers are in use."""
        found = (
            read_plugging(text, time)
            for stream_id, stream in self.index.streams.items()
            if is_notes(stream.header)
            for time, text in read_markers(self.index, stream_id, self.make_intake)
        )
        return [change for change in found if change is not None]

    def look_through(self, progress: Callable[[float], None] = lambda share: None) -> Outline:
        """Read the file once for its outline; ``progress`` is told the share done, 0..1."""
        self.outline = outline_xdf(self.index, self.selection.kinds, self.make_intake, progress)
        return self.outline

    def open(self, start_s: float | None = None) -> XdfSource:
        """Return the part to replay as a source, or what of it comes after ``start_s``.

        Parameters
        ----------
        start_s : float, optional
            Seconds from the recording's first sample, as `start_s` of the file.

        Raises
        ------
        InputError
            If a stream cannot be used, or no sample lies there.
        """
        if start_s is not None and self.start_s is not None:
            start_s = max(start_s, self.start_s)
        return XdfSource(
            self.path,
            self.selection.kinds,
            self.make_intake,
            start=self.start_s if start_s is None else start_s,
            stop=self.stop_s,
            chunk=self.chunk,
            index=self.index,
            outline=self.outline,
        )

    def span(self, source: XdfSource) -> tuple[float, float]:
        """Return the first and last LSL time to replay, of a source opened at the start.

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

    def sinks(self) -> list[Sink]:
        """Open the output files that the options name.

        Raises
        ------
        InputError
            If one cannot be written.
        """
        labels = self.checkpoint.config.labels
        sinks = self.options.sinks(labels)
        if self.options.record is not None:
            unused_id = max(self.index.streams, default=0) + 1
            sinks.append(AnnotatedCopySink(self.path, self.options.record, labels, unused_id))
        return sinks
