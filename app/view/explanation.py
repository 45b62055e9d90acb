"""What an answer rests on: attention as arrays to draw, the occlusion check as rows, and whether both agree.

Attention says how much weight the fusion gave to a modality; occlusion says what its absence does to the
answer. They are compared for one and the same window, and for modalities only: bands have no attention, and
one region of many electrodes rarely changes an answer by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acquisition.types import MODALITIES
from app.engine.messages import Occlusion, OcclusionRow
from app.view.conditions import MODALITY_WORDS
from models.prediction import Prediction

#: Ends of the scale of `channel_deviation`, %: a step stays where it is while attention trembles.
DEVIATION_STEPS = (10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0)


def modality_course(
    predictions: Sequence[Prediction], max_gap_s: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how attention per modality moved.

    Parameters
    ----------
    predictions : sequence of Prediction
        Oldest first.
    max_gap_s : float
        Where no prediction came for longer, a row of NaN lies between, so that no line bridges it.

    Returns
    -------
    times : ndarray, (n,)
        End of each window, LSL seconds.
    shares : ndarray, (n, 4)
        0..1 in the order of MODALITIES, NaN where absent.
    """
    times = np.array([prediction.t_end for prediction in predictions], dtype=float)
    shares = np.array([_shares(prediction) for prediction in predictions], dtype=float).reshape(-1, 4)
    gaps = np.flatnonzero(np.diff(times) > max_gap_s) + 1
    between = (times[gaps - 1] + times[gaps]) / 2
    return np.insert(times, gaps, between), np.insert(shares, gaps, np.nan, axis=0)


def absent_spans(
    predictions: Sequence[Prediction], modality: str, max_gap_s: float = 1.0
) -> list[tuple[float, float]]:
    """Return from when to when a modality was absent, LSL seconds, as far as there are predictions."""
    spans: list[tuple[float, float]] = []
    before = None
    for prediction in predictions:
        is_absent = not prediction.present.get(modality, False)
        if is_absent:
            goes_on = before is not None and prediction.t_end - before <= max_gap_s
            start = before if goes_on and before is not None else prediction.t_end
            if spans and spans[-1][1] == start:
                start = spans.pop()[0]
            spans.append((start, prediction.t_end))
        before = prediction.t_end
    return spans


def channel_deviation(prediction: Prediction) -> tuple[tuple[str, ...], NDArray[np.float64], float]:
    """Return how far each channel's attention lies from an equal share.

    Sixty-two shares that sum to 1 differ little in absolute terms; what tells is how they differ from
    being equal.

    Returns
    -------
    ch_names : tuple of str
    deviation : ndarray, (C,)
        % of the equal share: +100 is twice as much, -100 nothing; NaN for a channel left out of the window.
    share : float
        The equal share, 0..1; NaN without channels.
    """
    names = tuple(prediction.channel_attention)
    weights = np.array(list(prediction.channel_attention.values()), dtype=float)
    used = weights > 0
    if not used.any():
        return names, np.full(len(names), np.nan), float("nan")
    share = float(weights[used].sum()) / int(used.sum())
    return names, np.where(used, 100 * (weights / share - 1), np.nan), share


def is_nearly_even(largest: float) -> bool:
    """Tell whether the largest deviation, %, is too small for an electrode to stand out.

    Shares of 1.59 to 1.64 % of 1.61 % are no finding, whichever electrode happens to be first.
    """
    return largest < DEVIATION_STEPS[0]


def deviation_scale(largest: float) -> float:
    """Return the step of `DEVIATION_STEPS` that holds a deviation, %."""
    return next((step for step in DEVIATION_STEPS if largest <= step), DEVIATION_STEPS[-1])


def time_bins(prediction: Prediction, shift_s: float) -> list[tuple[float, float, float]]:
    """Return attention per time step.

    Parameters
    ----------
    prediction : Prediction
    shift_s : float
        Seconds from one step to the next.

    Returns
    -------
    list of (start, end, share)
        Start and end in seconds before the prediction (negative), oldest first. The oldest bin also holds
        what the network saw from before it.
    """
    n = len(prediction.time_attention)
    return [
        ((i - n) * shift_s, (i - n + 1) * shift_s, share) for i, share in enumerate(prediction.time_attention)
    ]


def share_scale(largest: float) -> float:
    """Return the upper end of an axis of shares that holds the largest: 0.2, 0.5 or 1."""
    return next((end for end in (0.2, 0.5) if largest <= end), 1.0)


def _shares(prediction: Prediction) -> list[float]:
    return [
        prediction.modality_attention.get(modality, np.nan) if prediction.present.get(modality) else np.nan
        for modality in MODALITIES
    ]


#: A probability that falls by less than this did not fall: two hundredths are within what the newest
#: quarter of a second changes by itself.
LOWERS_BY = 0.02

#: Attention below this counts as little: less than half of an equal share among four.
LITTLE = 0.10

#: A change at least this large matters to a reader: more than rounding to tenths would hide.
MATTERS = 0.05


@dataclass(frozen=True)
class Comparison:
    """Whether attention and occlusion agree, in words."""

    state: str  # agree | disagree | unknown
    sentences: tuple[str, ...]


def compare(attention: Mapping[str, float], rows: Iterable[OcclusionRow], label: str) -> Comparison:
    """Compare the attention per modality with the occlusion of each.

    Parameters
    ----------
    attention : mapping
        Share 0..1 by modality, 0 for an absent one.
    rows : iterable of OcclusionRow
        Those of the same window; only the modalities are looked at.
    label : str
        The predicted emotion the rows speak of.

    Returns
    -------
    Comparison
        ``unknown`` with fewer than two modalities that have both figures. ``disagree`` where the modality
        with the highest attention can go without lowering the probability by `LOWERS_BY`, or where one
        with less than `LITTLE` attention changes it most, and by at least `MATTERS`.
    """
    deltas = {row.name: row.delta_p for row in rows if row.kind == "modality" and attention.get(row.name)}
    if len(deltas) < 2:
        return Comparison("unknown", ("Too few modalities present to compare attention with occlusion.",))
    top = max(deltas, key=lambda name: attention[name])
    strongest = max(deltas, key=lambda name: abs(deltas[name]))
    found = []
    if deltas[top] > -LOWERS_BY:
        found.append(
            f"{modality_word(top)} {_has(top)} the highest attention ({_percent(attention[top])}), "
            f"yet without {_it(top)} {_change(label, deltas[top])}."
        )
    if attention[strongest] < LITTLE and abs(deltas[strongest]) >= MATTERS and strongest != top:
        found.append(
            f"{modality_word(strongest)} {_has(strongest)} little attention "
            f"({_percent(attention[strongest])}), yet of all modalities {_its(strongest)} absence "
            f"changes most: {_change(label, deltas[strongest])}."
        )
    if found:
        return Comparison("disagree", tuple(found))
    share = _percent(attention[top])
    said = f"{modality_word(top)} {_has(top)} the highest attention ({share}), and without {_it(top)}"
    return Comparison("agree", (f"{said} {_change(label, deltas[top])}.",))


def points(delta_p: float) -> str:
    """Return a change of probability as signed percentage points: "−12.3", "+0.4", "0.0"."""
    text = f"{100 * delta_p:+.1f}".replace("-", "\N{MINUS SIGN}")
    return "0.0" if text[1:] == "0.0" else text


def _change(label: str, delta_p: float) -> str:
    size = f"{abs(100 * delta_p):.1f} points"
    if abs(delta_p) < LOWERS_BY:
        return f"{label} hardly changes ({points(delta_p)} points)"
    return f"{label} falls by {size}" if delta_p < 0 else f"{label} rises by {size}"


def modality_word(modality: str) -> str:
    """Return what a modality is called at the beginning of a line."""
    word = MODALITY_WORDS.get(modality, modality)
    return word[:1].upper() + word[1:]


def _has(modality: str) -> str:
    return "have" if modality == "eye" else "has"  # a person's eyes are two


def _it(modality: str) -> str:
    return "them" if modality == "eye" else "it"


def _its(modality: str) -> str:
    return "their" if modality == "eye" else "its"


def _percent(share: float) -> str:
    digits = 1 if share < LITTLE else 0  # 9.8 % must not read 10 % where the bound is 10 %
    return f"{100 * share:.{digits}f} %"


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
        else Bar(modality_word(name), None, alone if name == "eeg" and has_eeg else "absent")
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
        Group(_HEADINGS["modality"], tuple(Bar(modality_word(name), None, later) for name in MODALITIES)),
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
    name = modality_word(row.name) if row.kind == "modality" else (names or {}).get(row.name, row.name)
    return Bar(name, 100 * row.delta_p)


def _band(name: str, fmin: float, fmax: float) -> str:
    return f"{name} {fmin:g}\N{EN DASH}{fmax:g} Hz"
