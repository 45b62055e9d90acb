"""One stream of a file being replayed: mapped pieces, cut where the reader's time stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.intake import StreamIntake
from acquisition.types import Chunk
from acquisition.xdf.reader import Block, StreamReader

_LONGEST_JOIN_BYTES = 1 << 23  # however large the pieces asked for
SKIP_MARGIN_S = 2.0  # pieces that end this close to the start are mapped with their values


class Cursor:
    """Gives out one stream's chunks up to a time.

    The mapper sees every stamp of the stream from the first on, wherever the replay begins, so its
    state is the same; only values before ``begin`` are dropped unconverted.

    Parameters
    ----------
    reader : StreamReader
        At the stream's first chunk.
    intake : StreamIntake
        Has been given the file's clock offsets.
    n_piece : int or None
        Samples fed to the intake at a time; None for the file's own chunks.
    newest : tuple of float
        Stamp and mapped time of the sample before the reader's place, where it is not the first.
    """

    def __init__(
        self,
        reader: StreamReader,
        intake: StreamIntake,
        n_piece: int | None,
        newest: tuple[float, float] = (float("nan"), float("nan")),
    ) -> None:
        self.intake = intake
        self.reader = reader
        self._blocks = recut(reader.blocks(), n_piece)
        self._pending: Chunk | None = None
        self._end = float("inf")
        self._newest = newest  # raw and mapped time of the newest sample mapped
        self._n_given = 0
        self._advance(float("-inf"))

    @property
    def next_time(self) -> float | None:
        """LSL time of the next sample, None at the end."""
        return None if self._pending is None else float(self._pending.times[0])

    def set_bounds(self, begin: float, end: float) -> None:
        """Leave out samples before ``begin`` and after ``end``; to be called before the first `take`."""
        self._end = end
        while self._pending is not None and self._pending.times[-1] < begin:
            self._advance(begin)
        if self._pending is None:
            return
        at = int(np.searchsorted(self._pending.times, begin))
        if at:
            self._pending = _cut(self._pending, at, len(self._pending.times), 0, is_first=True)
        self._stop_at_end()

    def take(self, now: float) -> Chunk:
        """Return samples up to ``now``; at least one must be due."""
        pending = self._pending
        assert pending is not None
        n_due = int(np.searchsorted(pending.times, min(now, self._end), side="right"))
        due = _cut(pending, 0, n_due, self._n_given, is_first=self._n_given == 0)
        self._n_given += n_due
        if n_due < len(pending.times):
            self._pending = _cut(pending, n_due, len(pending.times), 0, is_first=False)
        else:
            self._advance(float("-inf"))
        self._stop_at_end()
        return due

    def _stop_at_end(self) -> None:
        if self._pending is not None and self._pending.times[0] > self._end:
            self._pending = None

    def _advance(self, begin: float) -> None:
        self._pending = None
        for block in self._blocks:
            if self._surely_before(block, begin):
                mapped = self.intake.mapper.map(block.stamps)
                if len(mapped.times):
                    self._newest = (float(block.stamps[-1]), float(mapped.times[-1]))
            else:
                self._pending = self.intake.feed(block.stamps, block.values)
                if self._pending is not None:
                    self._newest = (float(block.stamps[-1]), float(self._pending.times[-1]))
            self.intake.take_segments()  # nobody publishes the map of a replay
            if self._pending is not None:
                return

    def _surely_before(self, block: Block, begin: float) -> bool:
        raw, time = self._newest
        step = float(block.stamps[-1]) - raw  # NaN before the first sample
        return 0 <= step < 3600 and time + step < begin - SKIP_MARGIN_S


def _cut(chunk: Chunk, begin: int, end: int, start_index: int, *, is_first: bool) -> Chunk:
    breaks = {at - begin for at in chunk.breaks if begin <= at < end}
    if is_first:
        breaks.add(0)  # it continues nothing that was given out
    return Chunk(
        chunk.stream,
        start_index,
        chunk.data[begin:end],
        chunk.times[begin:end],
        tuple(sorted(breaks)),
        chunk.arrival,
        chunk.pushed,
    )


def recut(blocks: Iterable[Block], n_piece: int | None) -> Iterator[Block]:
    """Yield the same samples in pieces of at most ``n_piece``, joining blocks where it needs more."""
    if n_piece is None:
        yield from blocks
        return
    held: list[Block] = []
    for block in blocks:
        held.append(block)
        n_held = sum(len(part.stamps) for part in held)
        if n_held >= n_piece or sum(part.n_bytes for part in held) > _LONGEST_JOIN_BYTES:
            yield from _pieces(held, n_piece)
            held = []
    if held:
        yield from _pieces(held, n_piece)


def _pieces(held: Sequence[Block], n_piece: int) -> Iterator[Block]:
    stamps = np.concatenate([block.stamps for block in held])
    values: NDArray[Any] | list[tuple[str, ...]]
    if isinstance(held[0].values, np.ndarray):
        values = np.concatenate([np.asarray(block.values) for block in held])
    else:
        values = list(chain.from_iterable(block.values for block in held))
    for at in range(0, len(stamps), n_piece):
        yield Block(stamps[at : at + n_piece], values[at : at + n_piece], 0)
