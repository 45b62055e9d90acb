"""Attention and probabilities over time as arrays to draw, and the occlusion check as rows."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acquisition.text import percent
from acquisition.types import MODALITIES, MODALITY_NAMES
from app.engine.messages import Occlusion, OcclusionRow
from models.prediction import Prediction
from models.trust import STALE_AFTER_S, State

#: What an answer is besides an index into the labels.
UNCERTAIN, WARMING_UP = -2, -3
_RAW_UP_TO_S = 90.0  # four predictions a second over a longer span are a thicket


@dataclass(frozen=True, eq=False)
class Course:
    """Probabilities over time, each holding until the next time; NaN where none holds any longer."""

    labels: tuple[str, ...]
    times: NDArray[np.float64]  # (n,) LSL seconds
    probs: NDArray[np.float32]  # (n, n_labels)
    answers: tuple[tuple[float, float, int], ...]  # start, end, index of the label or a constant from above
    newest: NDArray[np.float32]  # (n_labels,) what holds at the end; NaN where nothing does any longer
    means: NDArray[np.float32] | None = None  # (n, n_labels) of the last `mean_s` seconds
    mean_s: float = 0.0  # 0: there are no means

    @property
    def lines(self) -> NDArray[np.float32]:
        """What is read: the means where there are any."""
        return self.probs if self.means is None else self.means


def mean_over_s(span_s: float) -> float:
    """Return over how many seconds a course of that length is averaged to be read, 0 where it need not be."""
    return float(max(2, round(span_s / 60))) if span_s >= _RAW_UP_TO_S else 0.0


def course(
    predictions: Sequence[Prediction], labels: Sequence[str], end: float, mean_s: float = 0.0
) -> Course:
    """Return the course of predictions, oldest first, up to ``end``; of the model's labels in its order.

    A prediction holds until the next one, but not for longer than `STALE_AFTER_S`: then there is a gap.
    Means are taken over the ``mean_s`` before each prediction; 0 makes none.
    """
    labels = tuple(labels)
    unknown = np.full(len(labels), np.nan, np.float32)
    predictions = [p for p in predictions if p.t_end <= end]
    if not predictions or not labels:
        return Course(labels, np.empty(0), np.empty((0, len(labels)), np.float32), (), unknown)
    times = np.array([p.t_end for p in predictions])
    values = np.array([[p.probs.get(label, np.nan) for label in labels] for p in predictions], np.float32)
    holds_to = np.minimum(np.append(times[1:], end), times + STALE_AFTER_S)
    answers = _runs(times, holds_to, np.array([_answer(p, labels) for p in predictions], np.int16))
    gaps = np.flatnonzero(holds_to < np.append(times[1:], np.inf))  # also behind the last

    def with_gaps(of: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.insert(of, gaps + 1, np.nan, axis=0)

    return Course(
        labels,
        np.insert(times, gaps + 1, holds_to[gaps]),
        with_gaps(values),
        answers,
        values[-1] if holds_to[-1] >= end else unknown,
        with_gaps(_means(times, values, mean_s)) if mean_s > 0 else None,
        mean_s,
    )


def _runs(
    times: NDArray[np.float64], holds_to: NDArray[np.float64], answers: NDArray[np.int16]
) -> tuple[tuple[float, float, int], ...]:
    """Return the stretches of one answer, as (start, end, answer)."""
    is_new = np.append(True, (np.diff(answers) != 0) | (holds_to[:-1] < times[1:]))
    starts = np.flatnonzero(is_new)
    ends = np.append(starts[1:], len(times)) - 1
    return tuple(
        (float(times[first]), float(holds_to[last]), int(answers[first]))
        for first, last in zip(starts, ends, strict=True)
    )


def _means(times: NDArray[np.float64], values: NDArray[np.float32], mean_s: float) -> NDArray[np.float32]:
    """Return each prediction's mean with those of the ``mean_s`` seconds before it, (n, n_labels)."""
    first = np.searchsorted(times, times - mean_s, side="right")
    known = np.isfinite(values)
    zero = np.zeros((1, values.shape[1]))
    sums = np.concatenate([zero, np.cumsum(np.where(known, values, 0.0), axis=0, dtype=np.float64)])
    counts = np.concatenate([zero, np.cumsum(known, axis=0)])
    end = np.arange(len(times)) + 1
    n = counts[end] - counts[first]
    return np.where(known, (sums[end] - sums[first]) / np.maximum(n, 1), np.nan).astype(np.float32)


def _answer(prediction: Prediction, labels: tuple[str, ...]) -> int:
    """Return the answer's index in the labels, or why there is none."""
    verdict = prediction.verdict
    if verdict.state is State.WARMING_UP:
        return WARMING_UP
    is_of_these = verdict.answer in labels and prediction.probs.keys() == set(labels)
    return labels.index(verdict.answer or "") if is_of_these else UNCERTAIN


#: Ends of the scale of `channel_deviation`, %: a step stays where it is while attention trembles. Below the
#: first no electrode stands out: shares of 1.59 to 1.64 % of 1.61 % are no finding, whichever comes first.
DEVIATION_STEPS = (10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0)
SHARE_STEPS = (0.2, 0.5, 1.0)
#: Ends of the axis of the occlusion check, percentage points: changes within a few keep one scale.
POINT_STEPS = (5.0, 10.0, 20.0, 50.0, 100.0)
#: Of a modality that the model does not read: it would make no difference if it were there.
NOT_USED = "not used"
_MAX_GAP_S = 1.0


def modality_course(predictions: Sequence[Prediction]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return attention per modality over time: times (n,), LSL seconds, and shares (n, 4) of `MODALITIES`.

    Shares are 0..1, NaN where the modality is missing. A row of NaN in every gap longer than 1 s
    keeps lines from bridging it.
    """
    times = np.array([prediction.t_end for prediction in predictions], dtype=float)
    shares = np.array(
        [
            [p.modality_attention.get(m, np.nan) if p.present.get(m) else np.nan for m in MODALITIES]
            for p in predictions
        ]
    ).reshape(-1, len(MODALITIES))
    gaps = np.flatnonzero(np.diff(times) > _MAX_GAP_S) + 1
    between = (times[gaps - 1] + times[gaps]) / 2
    return np.insert(times, gaps, between), np.insert(shares, gaps, np.nan, axis=0)


def missing_spans(predictions: Sequence[Prediction], modality: str) -> list[tuple[float, float]]:
    """Return the spans in which a modality was missing, LSL seconds, as far as there are predictions."""
    spans: list[tuple[float, float]] = []
    before = -np.inf
    for prediction in predictions:
        if not prediction.present.get(modality, False):
            start = before if prediction.t_end - before <= _MAX_GAP_S else prediction.t_end
            if spans and spans[-1][1] == start:
                start = spans.pop()[0]
            spans.append((start, prediction.t_end))
        before = prediction.t_end
    return spans


def channel_deviation(prediction: Prediction) -> tuple[tuple[str, ...], NDArray[np.float64], float]:
    """Return channels, the deviation of each one's attention (C,) from an equal share, and that share, 0..1.

    Sixty-two shares that sum to 1 differ little in absolute terms, so deviations are in % of the equal
    share: +100 is twice as much, -100 nothing; NaN for a channel not used.
    """
    names = tuple(prediction.channel_attention)
    weights = np.array(list(prediction.channel_attention.values()), dtype=float)
    used = weights > 0
    if not used.any():
        return names, np.full(len(names), np.nan), float("nan")
    share = float(weights[used].sum()) / int(used.sum())
    return names, np.where(used, 100 * (weights / share - 1), np.nan), share


def end_of_scale(largest: float, steps: Sequence[float]) -> float:
    """Return the lowest of the steps that holds the largest value, the last where none does."""
    return next((step for step in steps if largest <= step), steps[-1])


def time_bins(prediction: Prediction, shift_s: float) -> list[tuple[float, float, float]]:
    """Return attention per time step of ``shift_s`` as (start, end, share), oldest first.

    Start and end are seconds before the prediction (negative). The oldest step also holds what the network
    saw from before it.
    """
    shares = prediction.time_attention
    return [(k * shift_s, (k + 1) * shift_s, share) for k, share in enumerate(shares, -len(shares))]


#: A smaller fall of the probability counts as none: it changes that much from one window to the next.
LOWERS_BY = 0.02

#: Attention below this counts as little: less than half of an equal share among four.
LITTLE = 0.10

#: Attention stands out from so many equal shares on.
STANDS_OUT = 1.3

#: A change at least this large matters to a reader: more than rounding to tenths would hide.
MATTERS = 0.05


@dataclass(frozen=True)
class Comparison:
    """Whether attention and occlusion agree, in words."""

    state: str  # agree | disagree | unknown
    sentences: tuple[str, ...]


def compare(attention: Mapping[str, float], rows: Iterable[OcclusionRow], label: str) -> Comparison:
    """Compare attention per modality (0..1, 0 where missing) with the occlusion of each in one window.

    It is ``unknown`` with fewer than two modalities that have both figures. They ``disagree`` where removing
    the modality whose attention stands out lowers the probability of ``label`` by less than `LOWERS_BY`, or
    where one with less than `LITTLE` attention changes it most, and by at least `MATTERS`.
    """
    deltas = {row.name: row.delta_p for row in rows if row.kind == "modality" and attention.get(row.name)}
    if len(deltas) < 2:
        return Comparison("unknown", ("Too few modalities with data to compare attention with occlusion.",))
    top = max(deltas, key=lambda name: attention[name])
    strongest = max(deltas, key=lambda name: abs(deltas[name]))
    stands_out = attention[top] >= STANDS_OUT / len(deltas)
    is_needed = deltas[top] <= -LOWERS_BY or not stands_out
    has, it = _PRONOUNS.get(top, ("has", "it"))
    about_top = (
        f"{modality_word(top)} {has} the highest attention ({_share(attention[top])}), "
        f"{'and' if is_needed else 'yet'} without {it} {_change(label, deltas[top])}."
    )
    if not stands_out:
        about_top = "No modality's attention stands out."
    found = [] if is_needed else [about_top]
    if attention[strongest] < LITTLE and abs(deltas[strongest]) >= MATTERS and strongest != top:
        has, it = _PRONOUNS.get(strongest, ("has", "it"))
        found.append(
            f"{modality_word(strongest)} {has} little attention ({_share(attention[strongest])}), yet "
            f"removing {it} has the largest effect: {_change(label, deltas[strongest])}."
        )
    return Comparison("disagree", tuple(found)) if found else Comparison("agree", (about_top,))


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
    """Return a modality's name, capitalised."""
    word = MODALITY_NAMES[modality]
    return word[:1].upper() + word[1:]


def _share(share: float) -> str:
    digits = 1 if share < LITTLE else 0  # 9.8 % must not read 10 % where the bound is 10 %
    return percent(share, digits)


_PRONOUNS = {"eye": ("have", "them")}
_HEADINGS = {"modality": "Modality", "band": "EEG band", "region": "EEG region"}


@dataclass(frozen=True)
class OcclusionBar:
    name: str
    points: float | None  # change of the probability, percentage points; None where nothing was removed
    note: str = ""  # then why: "missing"


def occlusion_bars(
    answer: Occlusion | None,
    bands: Sequence[tuple[str, float, float]] = (),
    read: Collection[str] = MODALITIES,
    present: Collection[str] = ("eeg",),
) -> dict[str, list[OcclusionBar]]:
    """Return the bars below each heading: modalities, bands with their limits in Hz, and regions.

    They come in the order of the check; before there is a result, they are what will be checked. ``read`` are
    the modalities of the model, ``present`` those of the window.
    """
    hertz = {name: f"{name} {fmin:g}\N{EN DASH}{fmax:g} Hz" for name, fmin, fmax in bands}
    if answer is None:
        names = [*map(modality_word, MODALITIES)], [*hertz.values()], ["all"]
        later = [[OcclusionBar(name, None, "not checked yet") for name in each] for each in names]
        return dict(zip(_HEADINGS.values(), later, strict=True))
    deltas: dict[str, dict[str, float]] = {kind: {} for kind in _HEADINGS}
    for row in answer.rows:
        deltas[row.kind][row.name] = 100 * row.delta_p
    asked = deltas["modality"]
    # The only modality with data is not removed: nothing would be left to decode.
    notes = {m: "missing" if m in read else NOT_USED for m in MODALITIES}
    if not asked:
        notes |= {m: "only input: not removed" for m in present if m in read}
    why = "missing" if answer.has_parts else "covariances: no parts"
    nothing = [OcclusionBar("EEG", None, why if "eeg" in read else NOT_USED)]
    return {
        _HEADINGS["modality"]: [
            OcclusionBar(modality_word(name), asked.get(name), "" if name in asked else notes[name])
            for name in MODALITIES
        ],
        _HEADINGS["band"]: [OcclusionBar(hertz.get(name, name), d) for name, d in deltas["band"].items()]
        or nothing,
        _HEADINGS["region"]: [OcclusionBar(name, d) for name, d in deltas["region"].items()] or nothing,
    }


def region_values(occlusion: Occlusion) -> dict[str, float]:
    return {
        ch_name: 100 * row.delta_p
        for row in occlusion.rows
        if row.kind == "region"
        for ch_name in row.ch_names
    }
