"""A corpus on disk: feature steps of many trials and recordings, their scales, and windows in shuffled order.

The first pass over a data set or recording computes or reads its feature steps and writes them as ``.npy``
files with an index; later passes, and other runs with the same features, map these files. Neither pass
holds more than a trial in memory.

The order of windows is a function of (seed, epoch): any batch of any epoch can be named by its number, which
is what resuming and data-parallel training need.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acquisition.errors import ErrorCode, InputError, file_errors, new_folder
from acquisition.text import parse_json
from models.datasets.trials import Excluded, OfTrial, Trial
from models.normalise import MIN_SD_NATS, EegScale, EyeScale, eye_scale

INDEX_FILE = "index.json"
_VERSION = 2  # of the layout of a cache
_MIN_SD_SHARE = 1e-3  # of the scaled eye features' span of 90: nothing real varies less


@dataclass(frozen=True)
class Entry(OfTrial):
    """Where a trial's steps lie, and what is known of it."""

    step_s: float
    ch_names: tuple[str, ...]  # of the EEG, empty without
    n_eye: int  # eye features, 0 without
    n_steps: int
    number: int  # of its files
    folder: str = ""  # of the cache; not stored

    def steps(self, modality: str) -> NDArray[np.float32]:
        """Return the steps as a view of the mapped file: EEG (W, C, n_bands) or eye (W, E)."""
        path = Path(self.folder) / f"{modality}-{self.number:06d}.npy"
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise _damage(path, "delete its folder") from error


@dataclass(frozen=True)
class Cached:
    """One data set or recording in the cache."""

    folder: Path
    entries: tuple[Entry, ...]
    excluded: tuple[Excluded, ...]

    @property
    def key(self) -> str:
        """Name of the contents: the same files and features have the same."""
        return self.folder.name


#: Given a list that takes what cannot be read, yields trials one by one.
ReadTrials = Callable[[list[Excluded]], Iterable[Trial]]


def cached(cache: Path, identity: Any, read: ReadTrials) -> Cached:
    """Return what the cache holds of a source, known by a JSON-ready ``identity``; else ``read`` it first."""
    text = json.dumps([_VERSION, identity], sort_keys=True)
    folder = cache / hashlib.sha256(text.encode()).hexdigest()[:20]
    if not (folder / INDEX_FILE).is_file():
        _fill(folder, read)
    try:
        index = parse_json((folder / INDEX_FILE).read_bytes())
        entries = []
        for e in index["entries"]:
            names = {key: tuple(e[key]) for key in ("ch_names", "label_names")}
            entries.append(Entry(**e | names | {"folder": str(folder)}))
        return Cached(folder, tuple(entries), tuple(Excluded(**e) for e in index["left_out"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damage(folder, "delete this folder") from error


def _fill(folder: Path, read: ReadTrials) -> None:
    """Write a source beside its place, and move it there when it is whole."""
    unfinished = folder.with_name(f"{folder.name}.{socket.gethostname()}-{os.getpid()}")
    remedy = "choose another folder with --cache"
    with file_errors("the feature cache cannot be written", folder.parent, remedy), new_folder(folder.parent):
        try:
            _write(unfinished, read)
            if not folder.exists():  # another machine may have been faster
                unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def _write(folder: Path, read: ReadTrials) -> None:
    folder.mkdir(exist_ok=True)
    entries, excluded = list[Entry](), list[Excluded]()
    for trial in read(excluded):
        if trial.n_steps == 0:
            continue
        number, n_eye = len(entries), 0 if trial.eye is None else trial.eye.shape[1]
        ch_names = () if trial.eeg is None else trial.ch_names
        for modality, rows in (("eeg", trial.eeg), ("eye", trial.eye)):
            if rows is not None:
                np.save(folder / f"{modality}-{number:06d}.npy", rows.astype(np.float32), allow_pickle=False)
        entries.append(
            Entry(trial.dataset, trial.subject, trial.session, trial.trial, trial.label, trial.label_names,
                  trial.step_s, ch_names, n_eye, trial.n_steps, number)
        )  # fmt: skip
    index = {"entries": [asdict(one) for one in entries], "left_out": [asdict(one) for one in excluded]}
    (folder / INDEX_FILE).write_text(json.dumps(index), encoding="utf-8")


def _damage(where: Path, remedy: str) -> InputError:
    return InputError("cached features are damaged", where=str(where), remedy=remedy, code=ErrorCode.FILE)


def files_identity(paths: Sequence[Path], root: Path) -> list[tuple[str, int, int]]:
    """Return name below ``root``, size and time of change of files, sorted."""
    stats = [(path.relative_to(root).as_posix(), path.stat()) for path in paths]
    return sorted((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


class _Moments:
    """Count, sums and extremes over steps, (C, F) float64; NaN counts nowhere."""

    def __init__(self, *shape: int) -> None:
        self.n, self.total, self.squares = (np.zeros(shape) for _ in range(3))
        self.low, self.high = np.full(shape, np.inf), np.full(shape, -np.inf)

    def add(self, rows: NDArray[np.float32], at: NDArray[np.int64]) -> None:
        """Add (W, len(at), F) rows to the channels ``at``."""
        known = np.isfinite(rows)
        values = np.where(known, rows, 0.0).astype(np.float64)
        self.n[at] += known.sum(axis=0)
        self.total[at] += values.sum(axis=0)
        self.squares[at] += (values**2).sum(axis=0)
        self.low[at] = np.minimum(self.low[at], np.where(known, rows, np.inf).min(axis=0))
        self.high[at] = np.maximum(self.high[at], np.where(known, rows, -np.inf).max(axis=0))

    def mean_and_sd(self) -> tuple[Tensor, Tensor]:
        """Return mean and SD, NaN where nothing was known."""
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = self.total / self.n
            sd = np.sqrt(np.maximum(self.squares / self.n - mean**2, 0.0))
        return torch.from_numpy(mean), torch.from_numpy(sd)


def fit_eeg_scale(entries: Sequence[Entry], ch_names: Sequence[str]) -> EegScale:
    """Return what `fit_eeg` gives for all steps; a channel usable nowhere gets the others' mean."""
    of_eeg = [entry for entry in entries if set(entry.ch_names) & set(ch_names)]
    moments = _Moments(len(ch_names), of_eeg[0].steps("eeg").shape[2])
    for entry in of_eeg:
        picks = [at for at, name in enumerate(entry.ch_names) if name in ch_names]
        places = np.array([list(ch_names).index(entry.ch_names[at]) for at in picks])
        moments.add(entry.steps("eeg")[:, picks], places)
    mean, sd = (torch.where(part.isnan(), part.nanmean(dim=0), part) for part in moments.mean_and_sd())
    return EegScale(mean.float(), sd.clamp_min(MIN_SD_NATS).float())


def fit_eye_scale(entries: Sequence[Entry], n_features: int) -> tuple[EyeScale, Tensor, Tensor]:
    """Return what `models.normalise.fit_eye` gives, and mean and SD (E,) of the scaled features."""
    moments = _Moments(n_features, 1)
    for entry in entries:
        if entry.n_eye:
            moments.add(entry.steps("eye")[..., None], np.arange(entry.n_eye))
    mean, sd = (part[:, 0] for part in moments.mean_and_sd())
    scale = eye_scale(torch.from_numpy(moments.low[:, 0]), torch.from_numpy(moments.high[:, 0]), mean)
    span = (scale.high - scale.low).double()
    scaled_sd = (90.0 * sd.nan_to_num(0.0) / span).clamp_min(90.0 * _MIN_SD_SHARE)
    return scale, scale.apply(mean.float()).float(), scaled_sd.float()


@dataclass(frozen=True, eq=False)
class StepBatch:
    """Windows as on disk, NaN where unusable: T steps and the left context that any of them has."""

    values: NDArray[np.float32]  # (B, steps, C, F); an eye feature is a channel with one
    exists: NDArray[np.bool_]  # (B, steps) False before the trial's first step
    positions: NDArray[np.int64]  # (C,) of the model
    noise: NDArray[np.float32]  # (B, C) uniform 0..1, a function of (seed, epoch, window)


class CorpusWindows:
    """All windows of one modality (eeg or eye), one every step, none across two trials.

    A batch (``batch`` windows over all processes) holds one set of channels, those of the model. A trial
    shorter than ``n_steps`` gives one window that begins before it; ``n_context_steps`` of the same trial
    come along. An epoch has at most ``most_a_pass`` windows, others in each.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        modality: str,
        ch_names: Sequence[str],
        n_steps: int,
        batch: int,
        seed: int,
        most_a_pass: int | None = None,
        n_context_steps: int = 0,
    ) -> None:
        self.modality, self.n_steps, self.batch, self.seed = modality, n_steps, batch, seed
        self.n_context_steps = n_context_steps
        self._groups = _groups(entries, modality, tuple(ch_names), n_steps)
        assert self._groups, "the config has a modality that the corpus lacks"
        self._n_batches = np.array([-(-group.n_windows // batch) for group in self._groups])
        self._ends = np.cumsum(self._n_batches)
        self.n_windows = sum(group.n_windows for group in self._groups)
        self.batches_a_pass = int(self._ends[-1])
        if most_a_pass is not None:
            self.batches_a_pass = min(self.batches_a_pass, max(1, most_a_pass // batch))

    def names(self, epoch: int, number: int) -> tuple[int, NDArray[np.int64]]:
        """Return group and windows (B,) of a batch; the last of a group is filled up from its beginning."""
        at = int(_order(int(self._ends[-1]), self.seed, epoch, 0)[number])
        group = int(np.searchsorted(self._ends, at, side="right"))
        first = (at - int(self._ends[group] - self._n_batches[group])) * self.batch
        n = self._groups[group].n_windows
        return group, _order(n, self.seed, epoch, 1 + group)[np.arange(first, first + self.batch) % n]

    def read(self, epoch: int, number: int, share: slice = slice(None)) -> StepBatch:
        """Return a batch, or a process's share of it."""
        group_at, windows = self.names(epoch, number)
        group, windows = self._groups[group_at], windows[share]
        values = None
        n_all = self.n_context_steps + self.n_steps
        exists = np.zeros((len(windows), n_all), dtype=bool)
        which = np.searchsorted(group.ends, windows, side="right")
        for row, (window, at) in enumerate(zip(windows.tolist(), which.tolist(), strict=True)):
            entry = group.entries[at]
            begin = window - (int(group.ends[at - 1]) if at else 0)
            end = begin + min(self.n_steps, entry.n_steps)
            begin = max(0, begin - self.n_context_steps)
            steps = entry.steps(self.modality)[begin:end]
            if values is None:
                values = np.full((len(windows), n_all, *steps.shape[1:]), np.nan, dtype=np.float32)
            values[row, n_all - len(steps) :] = steps
            exists[row, n_all - len(steps) :] = True
        assert values is not None
        first = int(exists.any(axis=0).argmax())  # no window of the batch has a step before it
        values, exists = values[:, first:], exists[:, first:]
        values = values[..., None] if self.modality == "eye" else values[:, :, group.channels]
        key = (self.seed, epoch, group_at)
        noise = uniform(windows, len(group.positions), key)
        return StepBatch(values, exists, group.positions, noise)


@dataclass(frozen=True, eq=False)
class _Group:
    entries: list[Entry]
    ends: NDArray[np.int64]  # windows up to and with each entry
    channels: NDArray[np.int64]  # (C,) of the files, that the model has
    positions: NDArray[np.int64]  # (C,) in the model

    @property
    def n_windows(self) -> int:
        return int(self.ends[-1])


def _groups(entries: Sequence[Entry], modality: str, ch_names: tuple[str, ...], n_steps: int) -> list[_Group]:
    forms: dict[tuple[str, ...] | int, list[Entry]] = {}
    for entry in entries:
        form = entry.ch_names if modality == "eeg" else entry.n_eye
        if form:
            forms.setdefault(form, []).append(entry)
    groups = []
    for form, of_form in forms.items():
        if isinstance(form, int):  # eye features
            channels = positions = np.arange(form)
        else:
            channels = np.array([at for at, name in enumerate(form) if name in ch_names], dtype=np.int64)
            positions = np.array([ch_names.index(form[at]) for at in channels])
        if not len(channels):
            continue
        counts = [max(1, entry.n_steps - n_steps + 1) for entry in of_form]
        groups.append(_Group(of_form, np.cumsum(counts), channels, positions))
    return groups


@lru_cache(maxsize=8)  # one order of batches, and one of each group that they come from
def _order(n: int, *key: int) -> NDArray[np.int64]:
    return np.random.default_rng(key).permutation(n)


def uniform(index: NDArray[np.int64], n_columns: int, key: Sequence[int]) -> NDArray[np.float32]:
    """Return numbers in 0 to 1, (len(index), n_columns), each row a function of its index and ``key``."""
    rows = [np.random.default_rng((*key, at)).random(n_columns, np.float32) for at in index.tolist()]
    return np.stack(rows)
