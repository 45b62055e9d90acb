"""Streams one stream's samples out of an XDF file, a bounded block at a time."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from io import FileIO
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.intake import StreamIntake
from acquisition.text import counted
from acquisition.timebase import LARGEST_TIME_S
from acquisition.types import Chunk
from acquisition.xdf.format import (
    STAMP_BYTES,
    Damage,
    Decoded,
    StreamIndex,
    decode,
    is_out_of_line,
    n_misfits,
    out_of_line,
    read_errors,
)

_BLOCK_BYTES = 1 << 22  # a chunk can hold a whole recording: it is decoded in blocks of this size


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive samples as the sender stamped them."""

    stamps: NDArray[np.float64]  # (n,), deduced ones filled in
    values: NDArray[Any] | list[tuple[str, ...]]  # (n, n_channels) in the file's type, or n rows
    n_bytes: int  # that they take in the file


@dataclass(frozen=True)
class Place:
    """A reader's position between two chunks."""

    chunk: int  # the next one
    last_stamp: float = 0.0  # omitted timestamps are counted from here
    has_stamp: bool = False  # the previous sample is known


class StreamReader(AbstractContextManager["StreamReader"]):
    """Reads one stream through a file handle of its own, which a ``with`` closes.

    Parameters
    ----------
    path : Path
        The recording.
    stream : StreamIndex
        Its index.
    place : Place, optional
        Where to begin: where another reader of the stream stood.
    file : FileIO, optional
        The recording, open and unbuffered, which stays open; several readers may share it.
    """

    def __init__(
        self, path: Path, stream: StreamIndex, place: Place | None = None, file: FileIO | None = None
    ) -> None:
        self._stream, self._path, self._given = stream, path, file
        self.follows = stream.follows
        place = place or Place(0)
        self._chunk = place.chunk
        self._open_part()
        self._last_stamp = place.last_stamp
        self._has_stamp = place.has_stamp
        self.damage: list[Damage] = []  # found inside chunks so far

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, unless it was given."""
        if self._given is None:
            self._file.close()

    def blocks(self) -> Iterator[Block]:
        """Yield the remaining samples; a block never spans two chunks."""
        while self._chunk < len(self._stream.starts):
            yield from self.blocks_of_next_chunk()

    def blocks_of_next_chunk(self) -> Iterator[Block]:
        """Yield the samples of one chunk; there must be one left."""
        chunk = self._chunk
        if any(part.first_chunk == chunk for part in self._stream.parts):
            self.close()
            self._open_part()
        position, end = self._stream.starts[chunk], self._stream.ends[chunk]
        n_left, n_bytes = self._stream.counts[chunk], _BLOCK_BYTES
        while n_left > 0 and position < end:
            raw = self._read(position, min(n_bytes, end - position))
            decoded = decode(raw, self._stream, n_left)
            is_exact = len(decoded.stamps) == n_left and decoded.n_bytes == len(raw)
            if not is_exact and (position, position + len(raw)) == (self._stream.starts[chunk], end):
                decoded = self._repaired(raw, n_left, position) or decoded
            n_decoded = len(decoded.stamps)
            if n_decoded:
                n_left -= n_decoded
                position += decoded.n_bytes
                n_bytes = _BLOCK_BYTES
                yield Block(self._fill_in(decoded.stamps, position, chunk), decoded.values, decoded.n_bytes)
            if decoded.broken or (n_decoded == 0 and position + n_bytes >= end):
                break
            if n_decoded == 0:
                n_bytes *= 4  # one sample larger than a block
        if n_left:
            self._lose(n_left, chunk, position)
        self._chunk += 1

    def _repaired(self, raw: memoryview, n_samples: int, position: int) -> Decoded | None:
        """Decode a chunk of which some bytes contradict its layout; None if it is more than some."""
        n_wrong = n_misfits(raw, self._stream, n_samples, repair=True)
        if n_wrong <= 0:
            return None
        what = f"{counted(n_wrong, 'sample')} of stream {self._stream.header.name!r} repaired"
        self.damage.append(Damage(position, what))
        return decode(raw, self._stream, n_samples)

    def _open_part(self) -> None:
        begun = [part for part in self._stream.parts if part.first_chunk <= self._chunk]
        path, self._base = (begun[-1].path, begun[-1].base) if begun else (self._path, 0)
        with read_errors(path):
            self._file = path.open("rb", buffering=0) if self._given is None else self._given

    def start_of(self, chunk: int, n_before: int) -> int:
        """Return the byte at which the sample after the first ``n_before`` of a chunk begins."""
        start, end = self._stream.starts[chunk], self._stream.ends[chunk]
        if self._stream.dtype is not None:
            end = min(end, start + n_before * (self._stream.sample_bytes + STAMP_BYTES))
        return start + decode(self._read(start, end - start), self._stream, n_before).n_bytes

    @property
    def place(self) -> Place:
        """Where this reader stands; to be asked for between two chunks."""
        return Place(self._chunk, self._last_stamp, self._has_stamp)

    def _lose(self, n_lost: int, chunk: int, position: int) -> None:
        name = self._stream.header.name
        self.damage.append(Damage(position, f"up to {n_lost} samples of stream {name!r} are unreadable"))
        if self._stream.dtype is not None:
            # Omitted timestamps that follow are counted from the sample before them.
            self._last_stamp += n_lost * self._stream.deduced_step_s

    def _read(self, position: int, n_bytes: int) -> memoryview:
        self._file.seek(position - self._base)
        buffer = memoryview(bytearray(n_bytes))
        filled = 0
        while filled < n_bytes:
            got = self._file.readinto(buffer[filled:])
            if not got:
                break  # the file has become shorter since it was scanned
            filled += got
        return buffer[:filled]

    def _fill_in(self, stamps: NDArray[np.float64], position: int, chunk: int) -> NDArray[np.float64]:
        """Replace NaN by the stamp before plus one step, added one by one as the format says."""
        if len(stamps) == 1:
            return self._fill_one(float(stamps[0]), position, chunk)
        left_out = np.isnan(stamps)
        written = np.abs(stamps) < LARGEST_TIME_S  # False for NaN
        at = np.flatnonzero(written)
        if len(at):
            before = self._last_stamp if self._has_stamp else float("nan")
            ends_chunk = position >= self._stream.ends[chunk] and chunk + 1 < len(self._stream.starts)
            after = self._stream.first_stamps[chunk + 1] if ends_chunk else float("nan")
            written[at[out_of_line(stamps[at], before, after)]] = False
        n_impossible = int((~written & ~left_out).sum())
        if n_impossible:
            self.damage.append(Damage(position, f"{n_impossible} impossible timestamps were replaced"))
        if not written.all():
            stamps = _fill_gaps(stamps, written, self._last_stamp, self._stream.deduced_step_s)
        self._last_stamp = float(stamps[-1])
        self._has_stamp = True
        return stamps

    def _fill_one(self, stamp: float, position: int, chunk: int) -> NDArray[np.float64]:
        """Do the same for a chunk of one sample, of which some files consist: ten times as fast."""
        before = self._last_stamp if self._has_stamp else math.nan
        follows = position >= self._stream.ends[chunk] and chunk + 1 < len(self._stream.starts)
        after = self._stream.first_stamps[chunk + 1] if follows else math.nan
        if not (abs(stamp) < LARGEST_TIME_S) or is_out_of_line(stamp, before, after):
            if not math.isnan(stamp):
                self.damage.append(Damage(position, "1 impossible timestamp was replaced"))
            stamp = self._last_stamp + self._stream.deduced_step_s
        self._last_stamp, self._has_stamp = stamp, True
        return np.array([stamp])


_MOST_FILL = 4  # times the stamps: more, and runs of left-out stamps are filled one by one


def _fill_gaps(
    stamps: NDArray[np.float64], written: NDArray[np.bool_], last: float, step_s: float
) -> NDArray[np.float64]:
    stamps = stamps.copy()
    edges = np.flatnonzero(np.diff(np.concatenate([[True], written, [True]])))
    begins, ends = edges[::2], edges[1::2]  # runs of left-out stamps
    lengths = ends - begins
    longest = int(lengths.max())
    if len(begins) * longest <= _MOST_FILL * len(stamps):
        steps = np.full((len(begins), longest + 1), step_s)
        steps[:, 0] = np.where(begins > 0, stamps[begins - 1], last)
        filled = np.add.accumulate(steps, axis=1)[:, 1:]
        stamps[~written] = filled[np.arange(longest) < lengths[:, None]]
        return stamps
    for begin, end in zip(begins, ends, strict=True):  # a few long runs among short ones
        steps = np.full(end - begin + 1, step_s)
        steps[0] = stamps[begin - 1] if begin else last
        stamps[begin:end] = np.add.accumulate(steps)[1:]
    return stamps


def drop_beginning(path: Path, stream: StreamIndex, border: float) -> None:
    """Drop a stream's first samples, those stamped ``border`` or earlier, from its index."""
    n_chunks, n_samples, stamp = len(stream.starts), 0, float("nan")
    with StreamReader(path, stream) as reader:
        for chunk in range(n_chunks):
            stamps = np.concatenate([np.empty(0), *(b.stamps for b in reader.blocks_of_next_chunk())])
            if (stamps > border).any():
                n_chunks, n_samples = chunk, int(np.argmax(stamps > border))
                start, stamp = reader.start_of(chunk, n_samples), float(stamps[n_samples])
                break
    for entries in (stream.starts, stream.ends, stream.counts, stream.first_stamps):
        del entries[:n_chunks]
    if n_samples:
        stream.starts[0], stream.first_stamps[0] = start, stamp
        stream.counts[0] -= n_samples


# --- one stream that is being replayed ---

_LONGEST_JOIN_BYTES = 1 << 23  # however large the pieces asked for
SKIP_MARGIN_S = 2.0  # pieces that end this close to the start are mapped with their values


class Cursor:
    """Gives out one stream's chunks up to a time.

    The mapper sees every stamp of the stream from the first on, wherever the replay begins, so its
    state is the same; only values before ``begin`` are dropped unconverted.

    ``n_piece`` samples are fed to the intake at a time, None for the file's own chunks; ``newest`` is stamp
    and mapped time of the sample before the reader's place, where it is not the first.
    """

    def __init__(
        self,
        reader: StreamReader,
        intake: StreamIntake,
        n_piece: int | None,
        newest: tuple[float, float] = (float("nan"), float("nan")),
    ) -> None:
        self.intake, self.reader = intake, reader
        self._blocks = recut(reader.blocks(), n_piece)
        self._pending: Chunk | None = None
        self._end = float("inf")
        self._newest = newest  # raw and mapped time of the newest sample mapped
        self._n_given = 0
        self._advance(float("-inf"))

    @property
    def next_time(self) -> float | None:
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
            raw, time = self._newest
            step = float(block.stamps[-1]) - raw  # NaN before the first sample
            if 0 <= step < 3600 and time + step < begin - SKIP_MARGIN_S:  # surely before
                mapped = self.intake.mapper.map(block.stamps)
                if len(mapped.times):
                    self._newest = (float(block.stamps[-1]), float(mapped.times[-1]))
            else:
                self._pending = self.intake.feed(block.stamps, block.values)
                if self._pending is not None:
                    self._newest = (float(block.stamps[-1]), float(self._pending.times[-1]))
            self.intake.mapper.take_segments()  # the map of a replay is not published
            if self._pending is not None:
                return


def _cut(chunk: Chunk, begin: int, end: int, start_index: int, *, is_first: bool) -> Chunk:
    breaks = {at - begin for at in chunk.breaks if begin <= at < end}
    if is_first:
        breaks.add(0)  # it does not follow the last sample given out
    return replace(
        chunk,
        start_index=start_index,
        data=chunk.data[begin:end],
        times=chunk.times[begin:end],
        breaks=tuple(sorted(breaks)),
    )


def recut(blocks: Iterable[Block], n_piece: int | None) -> Iterator[Block]:
    """Yield the same samples in pieces of at most ``n_piece``, joining blocks where it needs more."""
    if n_piece is None:
        yield from blocks
        return
    held: list[Block] = []
    n_held = n_bytes = 0
    for block in blocks:
        held.append(block)
        n_held, n_bytes = n_held + len(block.stamps), n_bytes + block.n_bytes
        if n_held >= n_piece or n_bytes > _LONGEST_JOIN_BYTES:
            yield from _pieces(held, n_piece)
            held, n_held, n_bytes = [], 0, 0
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
