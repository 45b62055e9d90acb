"""Damaged XDF files by the thousand: nothing raises, no sample is invented, none is lost that can be found.

Each input is one of two small recordings after a cut, flipped bits, overwritten, inserted or removed bytes, a
splice of both, or a change of its chunks. The samples of the originals are known.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from acquisition.xdf.inspect import inspect_xdf
from acquisition.xdf.reader import StreamReader
from acquisition.xdf.scan import scan_xdf
from acquisition.xdf.write import XdfWriter

HEADER = (
    '<?xml version="1.0"?><info><name>{name}</name><type>{name}</type><channel_count>{n}</channel_count>'
    "<nominal_srate>{sfreq}</nominal_srate><channel_format>{form}</channel_format><desc/></info>"
)
FOOTER = '<?xml version="1.0"?><info><sample_count>{n}</sample_count></info>'
#: id: name, format, channels, rate, samples a chunk, which of them are stamped.
STREAMS = {
    1: ("EEG", "float32", 4, 100, 10, (0, 2)),  # every other one, as LabRecorder does
    2: ("Gaze", "double64", 3, 0, 6, (0, 1)),
    3: ("Audio", "int16", 1, 500, 20, (0, 20)),  # the first
    4: ("Markers", "string", 1, 0, 2, (0, 1)),
}
Sample = tuple[object, ...]


@dataclass
class Piece:
    """A chunk of a recording."""

    begin: int
    end: int
    stream_id: int = 0
    samples: list[Sample] = field(default_factory=list)  # values
    sample_ends: list[int] = field(default_factory=list)
    is_header: bool = False


@dataclass
class Recording:
    content: bytes
    pieces: list[Piece]
    stamps: dict[Sample, float]  # of the samples that have one in the file

    def at(self, position: int) -> Piece:
        return next(piece for piece in self.pieces if position < piece.end)


def _record(path: Path, seed: int, n_seconds: int = 3) -> Recording:
    """Write four streams with boundaries, clock offsets and footers; no two values are alike."""
    rng = np.random.default_rng(seed)
    pieces: list[Piece] = []
    stamps_of: dict[Sample, float] = {}
    with XdfWriter(path) as writer:

        def end_piece(**what: object) -> Piece:
            writer._file.flush()
            begin = pieces[-1].end if pieces else 4
            pieces.append(Piece(begin, path.stat().st_size, **what))
            return pieces[-1]

        end_piece()
        for stream_id, (name, form, n, sfreq, _, _) in STREAMS.items():
            writer.add_stream(stream_id, HEADER.format(name=name, n=n, sfreq=sfreq, form=form))
            end_piece(is_header=True, stream_id=stream_id)
        for second in range(n_seconds):
            for stream_id, (_, form, n, _, n_samples, (begin, step)) in STREAMS.items():
                times = 50 + 100 * seed + second + np.arange(n_samples) / n_samples
                stamps = np.full(n_samples, np.nan)
                stamps[begin::step] = times[begin::step]
                if form == "string":
                    texts = ["x" * rng.integers(1, 30) for _ in range(n_samples)]
                    values = [[f"{seed}/{second}/{at} {text}"] for at, text in enumerate(texts)]
                    sizes = [11 + len(row[0]) for row in values]
                else:
                    dtype = {"float32": "<f4", "double64": "<f8", "int16": "<i2"}[form]
                    scale = 3000 if form == "int16" else 50
                    values = (rng.normal(size=(n_samples, n)) * scale).astype(dtype)
                    sizes = [1 + 8 * int(s == s) + n * int(dtype[-1]) for s in stamps]
                writer.samples(stream_id, stamps, values)
                piece = end_piece(stream_id=stream_id)
                piece.samples = [(stream_id, *(row if form == "string" else row.tolist())) for row in values]
                piece.sample_ends = (piece.end - sum(sizes) + np.cumsum(sizes)).tolist()
                for sample, stamp in zip(piece.samples, stamps, strict=True):
                    if stamp == stamp:
                        stamps_of[sample] = float(stamp)
                writer.clock_offset(stream_id, float(times[0]), 0.25)
                end_piece()
            writer.boundary()
            end_piece()
        for stream_id, (*_, n_samples, _) in STREAMS.items():
            writer.footer(stream_id, FOOTER.format(n=n_seconds * n_samples))
            end_piece()
    return Recording(path.read_bytes(), pieces, stamps_of)


@dataclass
class Damaged:
    """A broken file and what may be in it."""

    how: str
    content: bytes
    allowed: Counter[Sample]
    touched: list[Piece]  # may hold altered samples
    n_expected: int | None  # samples outside of ``touched`` that must be found; None: not known


class Breaker:
    """Makes broken files."""

    def __init__(self, first: Recording, second: Recording, seed: int) -> None:
        self.first, self.second = first, second
        self.rng = np.random.default_rng(seed)
        self.all = Counter(sample for piece in first.pieces for sample in piece.samples)
        self.both = self.all + Counter(sample for piece in second.pieces for sample in piece.samples)

    def _int(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high))

    def next(self) -> Damaged:
        ways = (self.flipped, self.flipped, self.overwritten, self.shifted, self.spliced, self.restructured)
        return ways[self._int(0, len(ways))]()

    def _damaged(self, how: str, content: bytes, touched: list[Piece], is_known: bool = True) -> Damaged:
        held = sum(len(piece.samples) for piece in touched)
        lost_streams = {piece.stream_id for piece in touched if piece.is_header}
        known = is_known and not lost_streams
        return Damaged(how, content, self.all, touched, sum(self.all.values()) - held if known else None)

    def flipped(self) -> Damaged:
        content = bytearray(self.first.content)
        places = [self._int(8 * 4, 8 * len(content)) for _ in range(self._int(1, 4))]
        for bit in places:
            content[bit // 8] ^= 1 << bit % 8
        touched = list({id(p): p for p in (self.first.at(bit // 8) for bit in places)}.values())
        return self._damaged(f"bits {places}", bytes(content), touched)

    def overwritten(self) -> Damaged:
        content = bytearray(self.first.content)
        n = self._int(1, 40)
        begin = self._int(4, len(content) - n)
        new = (bytes(n), b"\xff" * n, b"\x08" * n, self.rng.bytes(n))[self._int(0, 4)]
        content[begin : begin + n] = new
        touched = [p for p in self.first.pieces if p.begin < begin + n and begin < p.end]
        return self._damaged(f"{new!r} at {begin}", bytes(content), touched)

    def shifted(self) -> Damaged:
        content, n = self.first.content, self._int(1, 20)
        at = self._int(4, len(content) - n)
        if self.rng.random() < 0.5:
            touched = [p for p in self.first.pieces if p.begin < at + n and at < p.end]
            return self._damaged(f"{n} bytes removed at {at}", content[:at] + content[at + n :], touched)
        new = self.rng.bytes(n)
        touched = [p for p in self.first.pieces if p.begin < at < p.end]
        return self._damaged(f"{new!r} inserted at {at}", content[:at] + new + content[at:], touched)

    def spliced(self) -> Damaged:
        one, other = self.first, self.second
        i, j = self._int(4, len(one.content)), self._int(4, len(other.content))
        touched = [one.at(i), other.at(j)]
        damaged = self._damaged(f"splice {i} {j}", one.content[:i] + other.content[j:], touched, False)
        damaged.allowed = self.both
        return damaged

    def restructured(self) -> Damaged:
        pieces, content = self.first.pieces, self.first.content
        chunks = [content[p.begin : p.end] for p in pieces]
        at = self._int(5, len(pieces))
        piece, chunk, allowed = pieces[at], bytearray(chunks[at]), self.all
        n_expected: int | None = sum(self.all.values())
        way = ("delete", "duplicate", "move", "length", "count", "id", "tag")[self._int(0, 7)]
        touched = [piece]
        if way == "delete":
            chunks[at], touched = b"", []
            n_expected -= len(piece.samples)
        elif way == "duplicate":
            chunks[at] *= 2
            allowed, touched = self.all + Counter(piece.samples), []
            n_expected += len(piece.samples)
        elif way == "move":
            chunks.insert(self._int(1, len(chunks)), chunks.pop(at))
            touched, n_expected = [], None
        elif way == "length":
            width = chunk[0]
            chunk[1 : 1 + width] = self._int(0, 256 if width == 1 else 5000).to_bytes(width, "little")
        elif way == "tag":
            chunk[1 + chunk[0]] = self._int(0, 8)
        elif way == "id":
            chunk[3 + chunk[0]] = self._int(0, 6)
        elif piece.samples:
            chunk[8 + chunk[0] : 12 + chunk[0]] = self._int(0, 300).to_bytes(4, "little")
        if way in ("length", "tag", "id", "count"):
            chunks[at] = bytes(chunk)
            # The chunk's samples are whole: none may be altered. Under another id they are lost.
            n_expected -= len(piece.samples) if way in ("id", "tag") else 0
            touched = []
        return Damaged(f"{way} of chunk {at}", content[:4] + b"".join(chunks), allowed, touched, n_expected)


def _read(path: Path) -> tuple[list[Sample], list[float], int]:
    """Return samples, their stamps and how many stamps were replaced."""
    samples: list[Sample] = []
    stamps: list[float] = []
    n_replaced = 0
    for stream_id, stream in scan_xdf(path).streams.items():
        with StreamReader(path, stream) as reader:
            for block in reader.blocks():
                rows = block.values if isinstance(block.values, list) else block.values.tolist()
                samples += [(stream_id, *row) for row in rows]
                stamps += block.stamps.tolist()
        n_replaced += sum(int(entry.what.split()[0]) for entry in reader.damage if "timestamp" in entry.what)
    return samples, stamps, n_replaced


def _check(path: Path, damaged: Damaged, stamps_of: dict[Sample, float]) -> None:
    path.write_bytes(damaged.content)
    begin = time.process_time()
    samples, stamps, n_replaced = _read(path)
    assert time.process_time() - begin < 1, damaged.how
    n_touched = sum(len(piece.samples) for piece in damaged.touched)
    found = Counter(samples)
    n_invented = sum((found - damaged.allowed).values())
    assert n_invented <= n_touched, f"{damaged.how}: {n_invented} invented, {n_touched} touched"
    wrong = sum(stamps_of.get(s, t) != t for s, t in zip(samples, stamps, strict=True))
    may_change = n_touched + n_replaced + (10**6 if any(p.is_header for p in damaged.touched) else 0)
    assert wrong <= may_change, f"{damaged.how}: {wrong} stamps changed, {n_replaced} replaced"
    if damaged.n_expected is not None:
        n_found = sum((found & damaged.allowed).values())
        assert n_found >= damaged.n_expected, f"{damaged.how}: {n_found} of {damaged.n_expected} found"


def _fuzz(folder: Path, n_inputs: int, seed: int) -> None:
    first, second = _record(folder / "a.xdf", 0), _record(folder / "b.xdf", 1)
    breaker, stamps_of = Breaker(first, second, seed), {**first.stamps, **second.stamps}
    path = folder / "broken.xdf"
    for number in range(n_inputs):
        _check(path, breaker.next(), stamps_of)
        if number % 40 == 0:
            inspect_xdf(path)


@pytest.mark.parametrize("n_inputs", [500, pytest.param(2000, marks=pytest.mark.slow)])
def test_damaged_files(tmp_path: Path, n_inputs: int) -> None:
    _fuzz(tmp_path, n_inputs, seed=1)


@pytest.mark.endurance
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(2, 7))
def test_fifty_thousand_damaged_files(tmp_path: Path, seed: int) -> None:
    _fuzz(tmp_path, 10_000, seed)


@pytest.mark.parametrize("n_seconds", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_every_cut_keeps_exactly_the_samples_before_it(tmp_path: Path, n_seconds: int) -> None:
    whole, cut = _record(tmp_path / "a.xdf", 0, n_seconds), tmp_path / "cut.xdf"
    assert scan_xdf(tmp_path / "a.xdf").damage == []
    ends = [pair for p in whole.pieces for pair in zip(p.sample_ends, p.samples, strict=True)]
    assert len(ends) == 38 * n_seconds
    for n_bytes in range(4, len(whole.content) + 1):
        cut.write_bytes(whole.content[:n_bytes])
        samples, stamps, _ = _read(cut)
        assert sorted(samples) == sorted(s for end, s in ends if end <= n_bytes), f"cut at {n_bytes}"
        assert all(whole.stamps.get(s, t) == t for s, t in zip(samples, stamps, strict=True))
