"""Audio: one float channel in -1..1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import InputError
from acquisition.types import Kind, StreamHeader, StreamSpec

_FULL_SCALE = {
    "int8": 2.0**7,
    "int16": 2.0**15,
    "int32": 2.0**31,
    "int64": 2.0**63,
    "float32": 1.0,
    "double64": 1.0,
}


class AudioAdapter:
    """Scales samples to -1..1 and averages the channels; the rate stays the device's.

    Raises
    ------
    InputError
        If the stream sends text.
    """

    def __init__(self, header: StreamHeader, key: str) -> None:
        if header.channel_format not in _FULL_SCALE:
            raise InputError(
                f"expected integers or floats, the stream sends {header.channel_format}",
                where=f"audio stream {header.name!r}",
            )
        notes = [f"{header.n_channels} channels averaged to one"] if header.n_channels > 1 else []
        if not header.nominal_sfreq > 0:
            notes.append("the stream states no rate: it is taken from the stamps")
        self._scale = np.float32(1.0 / _FULL_SCALE[header.channel_format])
        self.spec = StreamSpec(
            key=key,
            name=header.name,
            kind=Kind.AUDIO,
            ch_names=("audio",),
            units=("1",),
            sfreq=header.nominal_sfreq,
            source_id=header.source_id,
            notes=tuple(notes),
        )

    def convert(self, values: NDArray[Any] | Sequence[Any]) -> NDArray[np.float32]:
        """Return (n_samples, 1) float32 in -1..1 from (n_samples, n_stream_channels) values."""
        samples = np.asarray(values).astype(np.float32)
        if samples.shape[1] > 1:
            samples = samples.mean(axis=1, keepdims=True, dtype=np.float32)
        samples *= self._scale
        return samples
