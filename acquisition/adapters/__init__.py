"""Turn what a stream sends into canonical channels and units.

`make_adapter` chooses by the stream's kind; each kind has a file of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from acquisition.types import StreamSpec


class Adapter(Protocol):
    """Converts one stream's values; it never drops or adds a sample."""

    @property
    def spec(self) -> StreamSpec:
        """The stream after conversion."""

    def convert(self, values: NDArray[Any] | Sequence[Any]) -> NDArray[np.floating] | tuple[Any, ...]:
        """Return (n_samples, n_channels) canonical values, or a tuple of n_samples objects."""
