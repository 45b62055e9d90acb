"""Windows of a corpus in a shuffled order that is a function of (seed, epoch), whatever the corpus' size.

The order is a pseudo-random permutation that is computed, not stored (a Feistel network with cycle walking;
Black and Rogaway 2002, "Ciphers with arbitrary finite domains"), so any batch of any epoch can be named by
its number: that is what resuming and data-parallel training need.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import InputError
from models.training.corpus import Entry, mapped_shard

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_N_ROUNDS = 6


@dataclass(frozen=True, eq=False)
class StepBatch:
    """Windows as they lie on disk: not normalised, NaN where something is unusable.

    Their steps are T and what run-in any of them has; fewer where no trial of theirs has T.
    """

    values: NDArray[np.float32]  # (B, steps, C, F); an eye feature is a channel with one
    exists: NDArray[np.bool_]  # (B, steps) False before the trial's first step
    positions: NDArray[np.int64]  # (C,) of the model
    noise: NDArray[np.float32]  # (B, C) uniform 0..1, a function of (seed, epoch, window)


class CorpusWindows:
    """All windows of one modality, one every step, none across two trials.

    Parameters
    ----------
    entries : sequence of Entry
        That have the modality.
    modality : {"eeg", "eye"}
    ch_names : sequence of str
        The model's EEG channels; others of a recording are left out, and a batch holds windows of one
        set of channels.
    n_steps : int
        T. A shorter trial gives one window that begins before it.
    batch : int
        B, over all processes.
    seed : int
    most_a_pass : int, optional
        At most so many windows an epoch, other ones in each.
    n_run_in : int
        Steps of the same trial before a window's T that come along: see `MvSstmaConfig.n_run_in`.

    Raises
    ------
    InputError
        No trial has the modality.
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
        n_run_in: int = 0,
    ) -> None:
        self.modality, self.n_steps, self.batch, self.seed = modality, n_steps, batch, seed
        self.n_run_in = n_run_in
        self._groups = _groups(entries, modality, tuple(ch_names), n_steps)
        if not self._groups:
            raise InputError(
                f"no trial or recording holds {'EEG' if modality == 'eeg' else 'eye features'} to train on",
                where=f"--modalities {modality}",
            )
        self._n_batches = np.array([-(-group.n_windows // batch) for group in self._groups])
        self._ends = np.cumsum(self._n_batches)
        self.n_windows = sum(group.n_windows for group in self._groups)
        self.batches_a_pass = int(self._ends[-1])
        if most_a_pass is not None:
            self.batches_a_pass = min(self.batches_a_pass, max(1, most_a_pass // batch))
        self._maps: dict[str, NDArray[np.float32]] = {}

    def names(self, epoch: int, number: int) -> tuple[int, NDArray[np.int64]]:
        """Return group and windows (B,) of a batch; the last of a group is filled up from its beginning."""
        at = int(shuffled(np.array([number]), int(self._ends[-1]), (self.seed, epoch, 0))[0])
        group = int(np.searchsorted(self._ends, at, side="right"))
        first = (at - int(self._ends[group] - self._n_batches[group])) * self.batch
        n = self._groups[group].n_windows
        return group, shuffled(np.arange(first, first + self.batch) % n, n, (self.seed, epoch, 1 + group))

    def read(self, epoch: int, number: int, share: slice = slice(None)) -> StepBatch:
        """Return a batch, or a process's share of it."""
        group_at, windows = self.names(epoch, number)
        group, windows = self._groups[group_at], windows[share]
        values = None
        n_all = self.n_run_in + self.n_steps
        exists = np.zeros((len(windows), n_all), dtype=bool)
        which = np.searchsorted(group.ends, windows, side="right")
        for row, (window, at) in enumerate(zip(windows.tolist(), which.tolist(), strict=True)):
            entry = group.entries[at]
            begin = window - (int(group.ends[at - 1]) if at else 0)
            end = begin + min(self.n_steps, entry.n_steps)
            begin = max(0, begin - self.n_run_in)
            steps = self._shard(entry)[entry.start + begin : entry.start + end]
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

    def _shard(self, entry: Entry) -> NDArray[np.float32]:
        name, map_it = mapped_shard(entry, self.modality)
        if name not in self._maps:
            self._maps[name] = map_it()
        return self._maps[name]


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
        names = [str(i) for i in range(form)] if isinstance(form, int) else list(form)
        known = names if isinstance(form, int) else [name for name in names if name in ch_names]
        if not known:
            continue
        channels = np.array([names.index(name) for name in known])
        positions = channels if isinstance(form, int) else np.array([ch_names.index(name) for name in known])
        counts = [max(1, entry.n_steps - n_steps + 1) for entry in of_form]
        groups.append(_Group(of_form, np.cumsum(counts), channels, positions))
    return groups


def shuffled(index: NDArray[np.int64], n: int, key: Sequence[int]) -> NDArray[np.int64]:
    """Return where a permutation of 0 .. n - 1 that depends on ``key`` takes each index."""
    half = max(1, -(-int(n - 1).bit_length() // 2))
    low = np.uint64((1 << half) - 1)
    rounds = _mixed(_keyed(key) + np.arange(1, _N_ROUNDS + 1, dtype=np.uint64) * _GOLDEN)
    x = index.astype(np.uint64)
    outside = np.ones(len(x), dtype=bool)
    while outside.any():  # the network permutes a power of four; whoever leaves 0 .. n - 1 walks on
        left, right = x[outside] >> np.uint64(half), x[outside] & low
        for key_of_round in rounds:
            left, right = right, left ^ (_mixed(right + key_of_round) & low)
        x[outside] = (left << np.uint64(half)) | right
        outside = x >= n
    return x.astype(np.int64)


def uniform(index: NDArray[np.int64], n_columns: int, key: Sequence[int]) -> NDArray[np.float32]:
    """Return numbers in 0 to 1, (len(index), n_columns), each row a function of its index and ``key``."""
    rows = _mixed(_keyed(key) + index.astype(np.uint64) * _GOLDEN)
    cells = _mixed(rows[:, None] + np.arange(1, n_columns + 1, dtype=np.uint64) * _GOLDEN)
    return (cells >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24)


def _keyed(key: Sequence[int]) -> NDArray[np.uint64]:
    state = np.zeros(1, dtype=np.uint64)
    for part in key:
        state = _mixed(state + np.uint64(part) + _GOLDEN)
    return state


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the splitmix64 hash of each number (Steele et al. 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
