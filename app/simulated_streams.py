"""Whether what a session reads is simulated, in words: simulated data is always called so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from acquisition.header import is_simulated
from acquisition.select import kind_of
from acquisition.types import Kind, StreamHeader


@dataclass(frozen=True)
class Simulated:
    """Names of the streams of a session; markers count where they are simulated."""

    simulated: tuple[str, ...]
    real: tuple[str, ...]

    @property
    def notice(self) -> str:
        """What to say of it, empty where nothing is simulated."""
        if not self.simulated:
            return ""
        if not self.real:
            return "the streams are simulated: no real person and no real device is involved"
        return f"simulated streams: {', '.join(self.simulated)}; not simulated: {', '.join(self.real)}"


def simulated_streams(headers: Iterable[StreamHeader]) -> Simulated:
    """Tell the simulated streams from the others."""
    headers = list(headers)
    return Simulated(
        tuple(header.name for header in headers if is_simulated(header)),
        tuple(h.name for h in headers if not is_simulated(h) and kind_of(h) is not Kind.MARKERS),
    )
