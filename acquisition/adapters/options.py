"""What the user may say about how streams are read."""

from __future__ import annotations

import re
from dataclasses import dataclass

from acquisition.errors import InputError
from acquisition.montage import SEED_CH_NAMES, Montage


@dataclass(frozen=True)
class AdapterOptions:
    """Options of all adapters; the defaults need nothing from the user.

    Parameters
    ----------
    montage : Montage or None
        Names for EEG channels whose labels are missing or not 10-20.
    screen_cm : (float, float) or None
        Width and height of the screen the person looks at, for gaze in degrees.
    distance_cm : float or None
        Eye to screen, for gaze in degrees.
    ch_names : tuple of str
        The EEG channels that are wanted, upper-case; others are left out.
    """

    montage: Montage | None = None
    screen_cm: tuple[float, float] | None = None
    distance_cm: float | None = None
    ch_names: tuple[str, ...] = SEED_CH_NAMES


def parse_screen_cm(text: str) -> tuple[float, float]:
    """Return width and height from ``53x30``.

    Raises
    ------
    InputError
        If the text is no such pair of positive numbers.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*[xX×]\s*(\d+(?:\.\d+)?)\s*(?:cm)?\s*", text)
    if match is None or not min(float(match[1]), float(match[2])) > 0:
        raise InputError(
            f"expected WIDTHxHEIGHT in cm, got {text!r}", where="--screen-cm", remedy="write 53x30"
        )
    return float(match[1]), float(match[2])
