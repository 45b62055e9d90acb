"""Turn what a stream sends into canonical channels and units.

`make_adapter` chooses by the stream's kind; each kind has a file of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from acquisition.adapters.eeg import EegAdapter
from acquisition.adapters.gaze import GazeAdapter
from acquisition.adapters.media import AudioAdapter, MarkerAdapter, VideoAdapter
from acquisition.adapters.options import AdapterOptions
from acquisition.errors import ErrorCode, InputError
from acquisition.types import Kind, StreamHeader, StreamSpec


class Adapter(Protocol):
    """Converts one stream's values; it never drops or adds a sample."""

    @property
    def spec(self) -> StreamSpec:
        """The stream after conversion."""

    def convert(self, values: NDArray[Any] | Sequence[Any]) -> NDArray[np.floating] | tuple[Any, ...]:
        """Return (n_samples, n_channels) canonical values, or a tuple of n_samples objects."""


def make_adapter(
    header: StreamHeader, key: str, kind: Kind, options: AdapterOptions | None = None
) -> Adapter:
    """Return the adapter for a stream of ``kind``.

    Parameters
    ----------
    header : StreamHeader
        The stream's own description.
    key : str
        Becomes `StreamSpec.key`.
    kind : Kind
        What the stream carries, from `acquisition.select`.
    options : AdapterOptions or None
        What the user said about montage and screen.

    Raises
    ------
    InputError
        If the stream cannot be used as it is; the message says what was expected and what was found.
    """
    options = options or AdapterOptions()
    if kind is Kind.EEG:
        return EegAdapter(header, key, options)
    if kind is Kind.GAZE:
        return GazeAdapter(header, key, options)
    if kind is Kind.AUDIO:
        return AudioAdapter(header, key)
    if kind is Kind.VIDEO:
        return VideoAdapter(header, key)
    if kind is Kind.MARKERS:
        return MarkerAdapter(header, key)
    raise InputError(
        f"type {header.type!r} is none this program reads",
        where=f"stream {header.name!r}",
        code=ErrorCode.WRONG_STREAM,
        stream=header.name,
    )
