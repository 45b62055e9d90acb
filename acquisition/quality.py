"""How good each electrode's signal is, and why; for the screen and for the calibration's pre-flight."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ChannelQuality:
    """The state of one electrode."""

    ch_name: str
    state: str  # good | suspect | bad
    reason: str  # "mains 63 %", "flat", "rails"; empty when good
    score: float  # 0 (bad) .. 1 (good), for the head map
