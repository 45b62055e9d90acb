"""What adapters share: the options a user may give, and the description of a converted stream.

A file for each kind; `acquisition.intake` chooses by the stream's kind.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from acquisition.errors import InputError
from acquisition.header import is_simulated
from acquisition.montage import SEED_CH_NAMES, Montage
from acquisition.types import Kind, StreamHeader, StreamSpec


@dataclass(frozen=True)
class AdapterOptions:
    """Options of all adapters; the defaults need nothing from the user."""

    montage: Montage | None = None  # names for EEG channels whose labels are missing or not 10-20
    eeg_unit: str | None = None  # of all EEG channels, whatever the header says
    screen_cm: tuple[float, float] | None = None  # width and height, for gaze in degrees
    distance_cm: float | None = None  # eye to screen, for gaze in degrees
    ch_names: tuple[str, ...] = SEED_CH_NAMES  # wanted EEG channels, upper-case; others are excluded
    kept: Callable[[StreamHeader], Montage | None] | None = None  # of a device, where ``montage`` is None
    shows_unmapped: bool = False  # a stream that cannot be decoded is shown all the same


def parse_screen_cm(text: str) -> tuple[float, float]:
    """Return width and height from ``53x30``.

    Raises `InputError` if the text is not such a pair of positive numbers.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*[xX×]\s*(\d+(?:\.\d+)?)\s*(?:cm)?\s*", text)
    if match is None or not min(float(match[1]), float(match[2])) > 0:
        what = f"expected WIDTHxHEIGHT in cm, got {text!r}"
        raise InputError(what, where="--screen-cm", remedy="write 53x30")
    return float(match[1]), float(match[2])


def converted_spec(
    header: StreamHeader,
    key: str,
    kind: Kind,
    ch_names: Sequence[str],
    units: Sequence[str],
    notes: Sequence[str] = (),
) -> StreamSpec:
    """Return what a stream delivers after its adapter, at the rate that its header states."""
    # A nominal rate of markers has no meaning.
    sfreq = 0.0 if kind is Kind.MARKERS else header.nominal_sfreq
    return StreamSpec(
        key=key,
        name=header.name,
        kind=kind,
        ch_names=tuple(ch_names),
        units=tuple(units),
        sfreq=sfreq,
        source_id=header.source_id,
        notes=tuple(notes),
        is_simulated=is_simulated(header),
    )
