"""Where the model's attention and the occlusion check tell different stories about the modalities.

Attention says how much weight the fusion gave to a modality; occlusion says what its absence does to the
answer. They are compared for one and the same window. Bands have no attention, and one region of many
electrodes rarely changes an answer by itself, so only modalities are compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from app.engine.messages import OcclusionRow
from app.view.devices import MODALITY_WORDS

#: A probability that falls by less than this did not fall: two hundredths are within what the newest
#: quarter of a second changes by itself.
LOWERS_BY = 0.02

#: Attention below this counts as little: less than half of an equal share among four.
LITTLE = 0.10

#: A change at least this large matters to a reader: more than rounding to tenths would hide.
MATTERS = 0.05


@dataclass(frozen=True)
class Comparison:
    """What comes of it, in words."""

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
            f"{_word(top)} {_has(top)} the highest attention ({_percent(attention[top])}), "
            f"yet without {_it(top)} {_change(label, deltas[top])}."
        )
    if attention[strongest] < LITTLE and abs(deltas[strongest]) >= MATTERS and strongest != top:
        found.append(
            f"{_word(strongest)} {_has(strongest)} little attention ({_percent(attention[strongest])}), "
            f"yet of all modalities {_its(strongest)} absence changes most: "
            f"{_change(label, deltas[strongest])}."
        )
    if found:
        return Comparison("disagree", tuple(found))
    share = _percent(attention[top])
    said = f"{_word(top)} {_has(top)} the highest attention ({share}), and without {_it(top)}"
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


def _word(modality: str) -> str:
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
