"""Reads a recorded session by the path of a live one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from acquisition.select import is_calibration, without
from acquisition.types import MODALITIES, MODALITY_OF_KIND
from acquisition.xdf.outline import read_markers
from app.model_loading import make_decoder
from app.replay import ReplayFile
from app.request import SessionOptions
from app.simulated_streams import simulated_streams
from calibration.collect import RowPump
from calibration.quality import QualityLog
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
        pump.run_to(first, last)
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


def _markers(file: ReplayFile) -> tuple[tuple[float, str], ...]:
    found = [
        pair
        for stream_id, stream in file.index.streams.items()
        if is_calibration(stream.header)
        for pair in read_markers(file.index, stream_id, file.make_intake)
    ]
    return tuple(sorted(found, key=lambda pair: pair[0]))  # stable: those of one moment keep their order
