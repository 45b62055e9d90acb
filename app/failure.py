"""A dead or degraded stage: a message on the screen, never a log line alone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Failure:
    """What failed, in words, and when (LSL seconds)."""

    stage: str
    error: str
    time: float
