"""The cached step features of a session: a row for every whole LSL second, the same live and in replay.

A row holds the step features that end at its second. It does not depend on the subject's normalisation, so
every fit begins from the same rows. A step makes its row whenever it is computed: a skipped window leaves no
hole as long as a later one looks back at its steps.
"""

from __future__ import annotations

import io
import math
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from acquisition.errors import ErrorCode, InputError, file_errors, read_limited
from acquisition.pump import Pump
from acquisition.record.files import write_json
from acquisition.text import parse_json
from acquisition.types import Chunk, Source, StreamEvent, StreamLedger
from calibration.quality import TrialQuality
from calibration.types import TrialRecord
from models.config import ModelConfig
from models.decoder import Decoder
from models.steps import CachedFace, CachedStep, CachedVoice, EegStep

MOST_ROWS = 7200  # two hours; older ones go
_MOST_BYTES = 1_000_000_000  # of a file of so many rows, with room to spare


@dataclass(frozen=True, eq=False)
class RowTable:
    """Rows of one session, ordered by run and time. n rows, C the model's EEG channels, k faces a second.

    A row that lacks a modality holds False in its ``_there``, and NaN or 0 in its values.
    """

    t_end: NDArray[np.float64]  # (n,) whole LSL seconds
    run: NDArray[np.int32]  # (n,) of the recording, from 1: another run may have another clock
    positions: NDArray[np.int64]  # (C',) indices of the EEG channels that were connected, ascending
    eeg: NDArray[np.float32]  # (n, C, F) entropy in nats, or samples in uV; not normalised, NaN elsewhere
    eeg_usable: NDArray[np.bool_]  # (n, C)
    eeg_there: NDArray[np.bool_]  # (n,) the step is valid
    eye: NDArray[np.float32]  # (n, E) in the features' units, NaN where not measured
    eye_there: NDArray[np.bool_]  # (n,)
    face: NDArray[np.float32]  # (n, k, D) token of each frame, oldest first; the last ends at t_end
    face_there: NDArray[np.bool_]  # (n, k) there is a frame
    face_found: NDArray[np.bool_]  # (n, k) with a face in it
    voice: NDArray[np.float32]  # (n, M, D) tokens of the clip that ends at t_end; M is 0 without a voice
    voice_mask: NDArray[np.bool_]  # (n, M)
    voice_times: NDArray[np.float32]  # (M,) seconds from the clip's start
    voice_clip_s: NDArray[np.float64]  # (n,) length of the clip, 0 where there is none

    def __len__(self) -> int:
        return len(self.t_end)

    def select(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> RowTable:
        arrays = {f.name: getattr(self, f.name) for f in fields(self)}
        return RowTable(**{name: x if name in _WHOLE else x[rows] for name, x in arrays.items()})

    def save(self, path: Path) -> None:
        """Write the rows as an ``.npz`` file without pickle; InputError if that fails."""
        with file_errors("cannot write", path, "free some space"), path.open("wb") as file:
            np.savez(file, **{f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def load(cls, path: Path) -> RowTable:
        """Read what `save` wrote; InputError if the file is missing or damaged."""
        try:
            with np.load(io.BytesIO(read_limited(path, _MOST_BYTES)), allow_pickle=False) as arrays:
                table = cls(**{f.name: arrays[f.name] for f in fields(cls)})
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            what = f"is damaged or not a file of calibration features: {error}"
            remedy = "compute them again from the recording: affectscope calibrate refit FILE"
            raise InputError(what, where=str(path), remedy=remedy, code=ErrorCode.FILE) from error
        return table

    @classmethod
    def concatenate(cls, tables: Sequence[RowTable]) -> RowTable:
        """Return the rows of several runs of one session with one model, in this order."""
        heard = max((table.voice.shape[1] for table in tables), default=0)
        tables = [_with_voice(table, heard) for table in tables]
        joined = {f.name: np.concatenate([getattr(t, f.name) for t in tables]) for f in fields(cls)}
        joined["positions"] = np.unique(joined["positions"])
        joined["voice_times"] = max((t.voice_times for t in tables), key=lambda times: times.sum())
        return cls(**joined)


_WHOLE = ("positions", "voice_times")  # of the table, not of its rows


def _with_voice(table: RowTable, n_tokens: int) -> RowTable:
    if table.voice.shape[1] == n_tokens:
        return table
    n, _, width = table.voice.shape
    return replace(
        table,
        voice=np.zeros((n, n_tokens, width), dtype=np.float32),
        voice_mask=np.zeros((n, n_tokens), dtype=bool),
        voice_times=np.zeros(n_tokens, dtype=np.float32),
    )


class RowCollector:
    """Collects a decoder's step features in rows; `table` may be called from any thread.

    It sets the decoder's ``on_step`` and keeps the newest ``most`` rows. Raises InputError if the model does
    not take a whole number of face frames a second.
    """

    def __init__(self, decoder: Decoder, *, run: int = 1, most: int = MOST_ROWS) -> None:
        self._decoder, self._config = decoder, decoder.config
        self._run, self._most = run, most
        self._lock = threading.Lock()
        self._rows: dict[int, _Row] = {}  # by second
        self._positions: set[int] = set()
        self._voice_times = np.zeros(0, dtype=np.float32)
        windows = self._config.windows
        self._n_hops = round(1.0 / windows.hop_s)  # a second
        self._n_faces = faces_a_second(self._config)
        self._face_hops = round(windows.face_grid_s / windows.hop_s)
        decoder.on_step = self._take

    def _take(self, modality: str, index: int, cached: CachedStep) -> None:
        second = -(-index // self._n_hops)
        hops_before = second * self._n_hops - index
        if modality == "face":
            slot, rest = divmod(hops_before, self._face_hops)
            if rest or not isinstance(cached, CachedFace):
                return
            with self._lock:
                self._row(second).faces[self._n_faces - 1 - slot] = _array(cached.token)
            return
        if hops_before:
            return
        with self._lock:
            row = self._row(second)
            if isinstance(cached, EegStep):
                row.eeg = (self._decoder.positions, _array(cached.values), cached)
                self._positions.update(self._decoder.positions)
            elif isinstance(cached, CachedVoice):
                row.voice = (_array(cached.tokens), cached.mask.numpy().copy(), float(cached.clip_s))
                self._voice_times = cached.times.numpy().astype(np.float32)
            elif modality == "eye" and isinstance(cached, Tensor):
                row.eye = _array(cached)

    def _row(self, second: int) -> _Row:
        row = self._rows.get(second)
        if row is None:
            row = self._rows[second] = _Row(faces={})
            if len(self._rows) > self._most:
                del self._rows[min(self._rows)]
        return row

    def __len__(self) -> int:
        return len(self._rows)

    def table(self) -> RowTable:
        """Return the rows so far; the newest may still lack what comes with a later window."""
        with self._lock:
            rows = sorted(self._rows.items())
            table = self._empty(len(rows))
            for at, (second, row) in enumerate(rows):
                table.t_end[at] = second
                self._fill(table, at, row)
        return table

    def _empty(self, n: int) -> RowTable:
        network, n_channels, k = self._config.network, len(self._config.ch_names), self._n_faces
        n_tokens = len(self._voice_times)
        return RowTable(
            t_end=np.zeros(n),
            run=np.full(n, self._run, dtype=np.int32),
            positions=np.array(sorted(self._positions), dtype=np.int64),
            eeg=np.full((n, n_channels, network.n_eeg_features), np.nan, dtype=np.float32),
            eeg_usable=np.zeros((n, n_channels), dtype=bool),
            eeg_there=np.zeros(n, dtype=bool),
            eye=np.full((n, network.n_eye_features), np.nan, dtype=np.float32),
            eye_there=np.zeros(n, dtype=bool),
            face=np.zeros((n, k, network.face.width), dtype=np.float32),
            face_there=np.zeros((n, k), dtype=bool),
            face_found=np.zeros((n, k), dtype=bool),
            voice=np.zeros((n, n_tokens, network.voice.width), dtype=np.float32),
            voice_mask=np.zeros((n, n_tokens), dtype=bool),
            voice_times=self._voice_times,
            voice_clip_s=np.zeros(n),
        )

    @staticmethod
    def _fill(table: RowTable, at: int, row: _Row) -> None:
        if row.eeg is not None:
            positions, values, step = row.eeg
            table.eeg[at, positions] = values
            table.eeg_usable[at, positions] = step.usable.numpy()
            table.eeg_there[at] = True
        if row.eye is not None:
            table.eye[at], table.eye_there[at] = row.eye, True
        for slot, token in row.faces.items():
            table.face_there[at, slot] = True
            if token is not None:
                table.face[at, slot], table.face_found[at, slot] = token, True
        if row.voice is not None:
            table.voice[at], table.voice_mask[at], table.voice_clip_s[at] = row.voice


@dataclass(eq=False)
class _Row:
    """What has come of one second."""

    faces: dict[int, NDArray[np.float32] | None]
    eeg: tuple[tuple[int, ...], NDArray[np.float32], EegStep] | None = None
    eye: NDArray[np.float32] | None = None
    voice: tuple[NDArray[np.float32], NDArray[np.bool_], float] | None = None


def faces_a_second(config: ModelConfig) -> int:
    """Return how many face frames a row has; InputError if that is not a whole number."""
    n_faces = round(1.0 / config.windows.face_grid_s)
    if abs(n_faces * config.windows.face_grid_s - 1.0) > 1e-9:
        what = f"expected a face_grid_s that divides 1 s, got {config.windows.face_grid_s:g} s"
        remedy = "calibrate a model with another face grid"
        raise InputError(what, where="model config", remedy=remedy, code=ErrorCode.FILE)
    return n_faces


def _array(values: Tensor | None) -> Any:
    return None if values is None else values.numpy().astype(np.float32)


_SLACK_S = 2.0  # the first and last second of a stimulus may have no row


class KeptRows:
    """The rows and qualities in the folder ``cache`` of a session, by run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "cache"

    def save(self, run: int, rows: RowTable, qualities: Iterable[TrialQuality]) -> None:
        """Replace what is kept of a run; InputError if it cannot be written."""
        remedy = "free some space; the signals themselves are in the recording"
        with file_errors("the features so far cannot be written", self._folder, remedy):
            self._folder.mkdir(mode=0o700, exist_ok=True)
            temporary = self._rows(run).with_suffix(".tmp")
            rows.save(temporary)
            os.replace(temporary, self._rows(run))
            write_json(self._qualities(run), {str(one.trial): asdict(one) for one in qualities})

    def load(self, run: int) -> tuple[RowTable, list[TrialQuality]] | None:
        """Return what is kept of a run; None where nothing is, or it is damaged."""
        try:
            rows = RowTable.load(self._rows(run))
            content = parse_json(read_limited(self._qualities(run)))
            return rows, [_quality(entry) for entry in content.values()]
        except (InputError, OSError, ValueError, TypeError, AttributeError):
            return None

    def remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _rows(self, run: int) -> Path:
        return self._folder / f"rows_run-{run:02d}.npz"

    def _qualities(self, run: int) -> Path:
        return self._folder / f"quality_run-{run:02d}.json"


def holds(rows: RowTable, trials: Iterable[TrialRecord]) -> bool:
    """Tell whether rows cover all of some trials of their run."""
    if len(rows) == 0:
        return not list(trials)
    first, last = float(rows.t_end[0]), float(rows.t_end[-1])
    return all(
        first <= math.ceil(trial.begin) + _SLACK_S and last >= math.floor(trial.end) - _SLACK_S
        for trial in trials
    )


def _quality(entry: dict[str, object]) -> TrialQuality:
    lists = {name: tuple(value) for name, value in entry.items() if isinstance(value, list)}
    unknown = {name: math.nan for name, value in entry.items() if value is None}
    return TrialQuality(**{**entry, **lists, **unknown})  # type: ignore[arg-type]


class RowPump:
    """Turns a source that tells what is complete (a file, the simulator) into rows.

    Only windows that end on whole seconds are cut and no fusion runs; the rows are those of a run that
    decodes every hop.

    ``on_event`` and ``on_chunk`` see every event and every chunk, e.g. for the signals' quality.
    """

    def __init__(
        self,
        source: Source,
        decoder: Decoder,
        *,
        run: int = 1,
        on_event: Callable[[StreamEvent], None] = lambda event: None,
        on_chunk: Callable[[Chunk], None] = lambda chunk: None,
    ) -> None:
        self.rows = RowCollector(decoder, run=run)
        self._decoder = decoder
        self._pump = Pump(
            source,
            decoder.config.windows,
            known=decoder.knows,
            on_open=decoder.open,
            on_event=on_event,
            on_chunk=on_chunk,
        )

    def ledgers(self) -> tuple[StreamLedger, ...]:
        """Return what became of each stream's samples; a window stands for a second here, not for a hop."""
        hop_s = self._pump.aligner.config.hop_s
        return tuple(replace(x, decodable_s=x.decodable_s / hop_s) for x in self._pump.ledgers().values())

    def run_to(self, begin: float, end: float) -> None:
        """Take in every whole second (LSL), at least to ``end``; holes are jumped over."""
        for second in self._pump.whole_seconds(begin, end):
            self._decoder.take_steps(self._pump.window_at(second))
