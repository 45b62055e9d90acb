"""Turns the bytes of a sample chunk into stamps and values.

A sample is a byte 0 (stamp left out) or 8 and a stamp, then its values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.xdf.format import STAMP_BYTES, parse_varlen

_MOST_RUNS = 8  # runs of equal layout that are decoded run by run before each sample is looked at
_FEWEST_PAIRS = 4  # fewer are not worth the test


@dataclass(frozen=True, eq=False)
class Decoded:
    """Whole samples found in some bytes."""

    stamps: NDArray[np.float64]  # (n,), NaN where the file leaves it out
    values: NDArray[Any] | list[tuple[str, ...]]  # (n, n_channels) or n rows
    n_bytes: int  # used
    broken: bool  # True where the next byte cannot begin a sample


def decode_numeric(raw: memoryview, n_most: int, dtype: np.dtype, n_channels: int) -> Decoded:
    """Decode up to ``n_most`` samples of ``n_channels`` numbers."""
    octets = np.frombuffer(raw, np.uint8)
    value_bytes = n_channels * dtype.itemsize
    stamps: list[NDArray[np.float64]] = []
    values: list[NDArray[Any]] = []
    at, n_left = 0, n_most
    while n_left > 0 and at < len(octets) and octets[at] in (0, STAMP_BYTES):
        if len(values) == _MOST_RUNS:
            starts, at = _walk(raw, at, n_left, value_bytes)
            stamps.append(_stamps_at(octets, starts))
            values.append(_values_at(octets, starts, value_bytes).view(dtype))
            n_left -= len(starts)
            break
        pairs = _pairs(octets, at, n_left, dtype, n_channels)
        if pairs is not None:
            stamps.append(pairs.stamps)
            values.append(np.asarray(pairs.values))
            at += pairs.n_bytes
            n_left -= len(pairs.stamps)
            continue
        stamped = octets[at] == STAMP_BYTES
        n_bytes = 1 + value_bytes + (STAMP_BYTES if stamped else 0)
        n_fit = min(n_left, (len(octets) - at) // n_bytes)
        if n_fit == 0:
            break
        other = octets[at : at + n_fit * n_bytes : n_bytes] != octets[at]
        n_run = int(other.argmax()) if other.any() else n_fit
        fields: list[tuple[Any, ...]] = [("size", "u1"), ("values", dtype, (n_channels,))]
        if stamped:
            fields.insert(1, ("stamp", "<f8"))
        samples = np.frombuffer(raw, np.dtype(fields), n_run, at)
        stamps.append(samples["stamp"].astype(np.float64) if stamped else np.full(n_run, np.nan))
        values.append(np.ascontiguousarray(samples["values"]))
        at += n_run * n_bytes
        n_left -= n_run
    if len(values) == 1:
        joined = values[0]
    else:
        joined = np.concatenate(values) if values else np.empty((0, n_channels), dtype)
    broken = n_left > 0 and at < len(octets) and octets[at] not in (0, STAMP_BYTES)
    return Decoded(np.concatenate(stamps) if stamps else np.empty(0), joined, at, broken)


def _pairs(
    octets: NDArray[np.uint8], at: int, n_most: int, dtype: np.dtype, n_channels: int
) -> Decoded | None:
    """Decode samples that have a stamp in turn, as LabRecorder writes a steady stream; None for few."""
    sizes = (int(octets[at]), STAMP_BYTES - int(octets[at]))
    value_bytes = n_channels * dtype.itemsize
    second = 1 + sizes[0] + value_bytes
    pair_bytes = second + 1 + sizes[1] + value_bytes
    n_fit = min(n_most // 2, (len(octets) - at) // pair_bytes)
    if n_fit < _FEWEST_PAIRS:
        return None
    pairs = octets[at : at + n_fit * pair_bytes].reshape(n_fit, pair_bytes)
    other = (pairs[:, 0] != sizes[0]) | (pairs[:, second] != sizes[1])
    n_pairs = int(other.argmax()) if other.any() else n_fit
    if n_pairs < _FEWEST_PAIRS:
        return None
    pairs = pairs[:n_pairs]
    begins = (1 + sizes[0], second + 1 + sizes[1])  # of the values
    values = np.empty((n_pairs, 2, value_bytes), np.uint8)
    for one, begin in enumerate(begins):
        values[:, one] = pairs[:, begin : begin + value_bytes]
    stamps = np.full((n_pairs, 2), np.nan)
    one = sizes.index(STAMP_BYTES)
    stamp_at = begins[one] - STAMP_BYTES
    stamps[:, one] = np.ascontiguousarray(pairs[:, stamp_at : begins[one]]).view("<f8")[:, 0]
    joined = values.view(dtype).reshape(2 * n_pairs, n_channels)
    return Decoded(stamps.ravel(), joined, n_pairs * pair_bytes, False)


def _walk(raw: memoryview, at: int, n_most: int, value_bytes: int) -> tuple[NDArray[np.intp], int]:
    """Return where samples of mixed layout start, and where the next one would."""
    starts: list[int] = []
    end = len(raw)
    n_bytes_of = {0: 1 + value_bytes, STAMP_BYTES: 1 + STAMP_BYTES + value_bytes}
    while len(starts) < n_most and at < end:
        n_bytes = n_bytes_of.get(raw[at])
        if n_bytes is None or at + n_bytes > end:
            break
        starts.append(at)
        at += n_bytes
    return np.array(starts, dtype=np.intp), at


def _stamps_at(octets: NDArray[np.uint8], starts: NDArray[np.intp]) -> NDArray[np.float64]:
    stamps = np.full(len(starts), np.nan)
    stamped = np.flatnonzero(octets[starts] == STAMP_BYTES)
    if len(stamped):
        windows = np.lib.stride_tricks.sliding_window_view(octets, STAMP_BYTES)
        stamps[stamped] = windows[starts[stamped] + 1].view("<f8")[:, 0]
    return stamps


def _values_at(octets: NDArray[np.uint8], starts: NDArray[np.intp], value_bytes: int) -> NDArray[np.uint8]:
    windows = np.lib.stride_tricks.sliding_window_view(octets, value_bytes)
    return windows[starts + 1 + octets[starts]]  # (n, value_bytes); the size byte is the stamp's size


def decode_strings(raw: memoryview, n_most: int, n_channels: int) -> Decoded:
    """Decode up to ``n_most`` samples of ``n_channels`` texts."""
    stamps: list[float] = []
    rows: list[tuple[str, ...]] = []
    at, end, broken = 0, len(raw), False
    while len(rows) < n_most and at < end:
        size = raw[at]
        if size not in (0, STAMP_BYTES):
            broken = True
            break
        position = at + 1 + size
        row: list[str] = []
        while len(row) < n_channels:
            width, length = parse_varlen(raw, position)
            broken = width == 0 and position < end and raw[position] not in (1, 4, 8)
            if width == 0 or position + 1 + width + length > end:
                break
            position += 1 + width
            row.append(str(raw[position : position + length], "utf-8", "replace"))
            position += length
        if len(row) < n_channels:
            break
        stamps.append(float(np.frombuffer(raw, "<f8", 1, at + 1)[0]) if size else np.nan)
        rows.append(tuple(row))
        at = position
    return Decoded(np.array(stamps, dtype=np.float64), rows, at, broken)
