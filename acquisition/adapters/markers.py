"""Markers: one string a sample."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.types import Kind, StreamHeader, StreamSpec

_WHOLE_NUMBER = re.compile(r"([+-]?\d+)\.0+")


class MarkerAdapter:
    """Writes markers of any format as text: 111.0 and "111.0000000000000" become "111".

    Several channels are joined with ``|``.
    """

    def __init__(self, header: StreamHeader, key: str) -> None:
        self.spec = StreamSpec(
            key=key,
            name=header.name,
            kind=Kind.MARKERS,
            ch_names=("marker",),
            units=("",),
            sfreq=0.0,  # a nominal rate on markers means nothing
            source_id=header.source_id,
        )

    def convert(self, values: NDArray[Any] | Sequence[Any]) -> tuple[str, ...]:
        """Return n_samples strings from (n_samples, n_stream_channels) numbers, text or bytes."""
        return tuple("|".join(_text(value) for value in row) for row in values)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    # str of a NumPy float is the shortest text that gives the number back in its own precision.
    text = value if isinstance(value, str) else str(np.asarray(value)[()])
    match = _WHOLE_NUMBER.fullmatch(text.strip())
    return match[1] if match else text
