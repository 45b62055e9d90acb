"""Rows, markers and signal quality of a recorded session, by the very path of a live one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from acquisition.select import is_calibration, without
from acquisition.types import MODALITIES, MODALITY_OF_KIND
from acquisition.xdf.markers import read_markers
from app.model_loading import make_decoder
from app.replay_file import ReplayFile
from app.session_options import SessionOptions
from app.simulated_streams import simulated_streams
from calibration.collect import RowPump
from calibration.quality_log import QualityLog
from calibration.rows import RowTable
from models.checkpoint import Checkpoint


@dataclass(frozen=True, eq=False)
class RecordedRun:
    """What a recording holds of a calibration."""

    path: Path
    rows: RowTable
    quality: QualityLog
    markers: tuple[tuple[float, str], ...]  # of the calibration, LSL seconds and text
    modalities: tuple[str, ...]  # of its streams, as far as they may be used
    damage: tuple[str, ...]
    checkpoint: Checkpoint  # the base model that the rows are for
    options: SessionOptions  # as it was read
    is_simulated: bool


def read_run(
    path: Path,
    options: SessionOptions,
    modalities: tuple[str, ...],
    *,
    run: int = 1,
    progress: Callable[[float], None] = lambda share: None,
) -> RecordedRun:
    """Read a recording from front to back.

    Parameters
    ----------
    path : Path
        XDF file.
    options : SessionOptions
        Completed by what the recording's sidecar says.
    modalities : tuple of str
        Those of the consent; others are not opened.
    run : int
        Number of the recording.
    progress : callable
        Told the share done, 0..1.

    Raises
    ------
    InputError
        If the file, a stream in it or the model cannot be used.
    """
    others = [modality for modality in MODALITIES if modality not in modalities]
    file = ReplayFile(path, replace(options, streams=without(options.streams, others)))
    source = file.open()
    try:
        first, last = file.span(source)
        decoder = make_decoder(file.checkpoint, file.options, lambda message: None)
        log = QualityLog(line_hz=file.options.line)
        pump = RowPump(source, decoder, run=run, on_event=log.on_event, on_chunk=log.on_chunk)
        _pump(pump, first, last, progress)
        log.finish()
    finally:
        source.close()
    used = {MODALITY_OF_KIND[kind] for kind in file.selection.kinds.values() if kind in MODALITY_OF_KIND}
    return RecordedRun(
        path,
        pump.rows.table(),
        log,
        _markers(file),
        tuple(modality for modality in MODALITIES if modality in used),
        tuple(source.damage),
        file.checkpoint,
        file.options,
        bool(simulated_streams(file.headers).simulated),
    )


def _pump(pump: RowPump, first: float, last: float, progress: Callable[[float], None]) -> None:
    """Step from second to second; holes are jumped over."""
    second = math.floor(first) + 1
    while second < last + 1.0 and not pump.source.exhausted:
        pump.step(float(second))
        progress(min(1.0, (second - first) / max(last - first, 1e-9)))
        upcoming = pump.source.next_time
        second = max(second + 1, math.floor(upcoming) if upcoming is not None else 0)


def _markers(file: ReplayFile) -> tuple[tuple[float, str], ...]:
    found = [
        pair
        for stream_id, stream in file.index.streams.items()
        if is_calibration(stream.header)
        for pair in read_markers(file.index, stream_id, file.make_intake)
    ]
    return tuple(sorted(found, key=lambda pair: pair[0]))  # stable: those of one moment keep their order
