"""The answer of an occlusion check as groups of rows to draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from acquisition.types import MODALITIES
from app.engine.messages import Occlusion, OcclusionRow
from app.view.devices import MODALITY_WORDS

_HEADINGS = {"modality": "Modality", "band": "EEG band", "region": "EEG region"}

#: Ends of the axis, percentage points: changes within a few keep one scale.
_ENDS = (5.0, 10.0, 20.0, 50.0, 100.0)


@dataclass(frozen=True)
class Bar:
    """One row."""

    name: str
    points: float | None  # change of the probability, percentage points; None where nothing was blanked
    note: str = ""  # then why: "absent"


@dataclass(frozen=True)
class Group:
    """Rows under a heading."""

    heading: str
    bars: tuple[Bar, ...]


def groups(rows: Sequence[OcclusionRow], bands: Sequence[tuple[str, float, float]] = ()) -> list[Group]:
    """Return modalities, bands and regions, each in the order the check asked about them.

    Parameters
    ----------
    rows : sequence of OcclusionRow
    bands : sequence of (name, fmin, fmax)
        Frequencies in Hz that are written beside a band's name.
    """
    by_kind = {kind: [row for row in rows if row.kind == kind] for kind in _HEADINGS}
    asked = {row.name: row for row in by_kind["modality"]}
    # A modality that is present alone is not blanked: nothing would be left to go by.
    has_eeg = "eeg" in asked or bool(by_kind["band"])
    alone = "alone: not blanked" if not asked and has_eeg else "absent"
    modalities = tuple(
        _bar(asked[name])
        if name in asked
        else Bar(_word(name), None, alone if name == "eeg" and has_eeg else "absent")
        for name in MODALITIES
    )
    hertz = {band[0]: _band(*band) for band in bands}
    nothing = (Bar("EEG", None, "absent"),)
    return [
        Group(_HEADINGS["modality"], modalities),
        Group(_HEADINGS["band"], tuple(_bar(row, hertz) for row in by_kind["band"]) or nothing),
        Group(_HEADINGS["region"], tuple(_bar(row) for row in by_kind["region"]) or nothing),
    ]


def groups_before(bands: Sequence[tuple[str, float, float]]) -> list[Group]:
    """Return the groups before the first answer: what will be asked about."""
    later = "not asked yet"
    return [
        Group(_HEADINGS["modality"], tuple(Bar(_word(name), None, later) for name in MODALITIES)),
        Group(_HEADINGS["band"], tuple(Bar(_band(*band), None, later) for band in bands)),
        Group(_HEADINGS["region"], (Bar("all", None, later),)),
    ]


def axis_end(rows: Sequence[OcclusionRow]) -> float:
    """Return the axis' end that holds every change, percentage points."""
    largest = max((abs(100 * row.delta_p) for row in rows), default=0.0)
    return next((end for end in _ENDS if largest <= end), _ENDS[-1])


def region_values(occlusion: Occlusion) -> dict[str, float]:
    """Return each electrode's region's change, percentage points."""
    return {
        ch_name: 100 * row.delta_p
        for row in occlusion.rows
        if row.kind == "region"
        for ch_name in row.ch_names
    }


def _bar(row: OcclusionRow, names: Mapping[str, str] | None = None) -> Bar:
    name = _word(row.name) if row.kind == "modality" else (names or {}).get(row.name, row.name)
    return Bar(name, 100 * row.delta_p)


def _band(name: str, fmin: float, fmax: float) -> str:
    return f"{name} {fmin:g}\N{EN DASH}{fmax:g} Hz"


def _word(modality: str) -> str:
    word = MODALITY_WORDS.get(modality, modality)
    return word[:1].upper() + word[1:]
