"""Which emotion a simulated participant really shows, and how often the answers name it.

Only the markers of a simulator count: nobody else's markers say what a participant feels.
"""

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from acquisition.text import counted, percent
from acquisition.types import Kind
from app.view.store import ViewStore

_START = "trial_start/"  # an emotion follows; see `acquisition.simulator.source.markers_between`
REST = "rest"


def true_emotion(store: ViewStore, t: float) -> str:
    """Return the emotion, or "rest", that the simulated participant shows at ``t``; "" where not known."""
    *_, (_, emotion) = (0.0, ""), *_spans(store, t)
    return emotion


def score(store: ViewStore, t: float) -> str:
    """Return how many of the answers, warm windows and whole trials up to ``t`` name the simulated emotion.

    A trial names that with the highest mean of its windows' probabilities. "" before the first window.
    """
    spans = list(_spans(store, t))
    begins = [begin for begin, _ in spans]
    rights: list[bool] = []
    answers: list[bool] = []
    trials: dict[int, list[tuple[float, ...]]] = defaultdict(list)
    labels: tuple[str, ...] = ()
    for prediction in store.predictions.read(-math.inf, t) if spans else ():
        place = bisect_right(begins, prediction.t_end) - 1
        emotion = spans[place][1] if place >= 0 else ""
        labels = tuple(prediction.probs)
        if prediction.warm_up or emotion not in labels:
            continue
        rights.append(prediction.label == emotion)
        if prediction.verdict.answer is not None:
            answers.append(prediction.verdict.answer == emotion)
        trials[place].append(tuple(prediction.probs.values()))
    ended = {place: rows for place, rows in trials.items() if place < len(spans) - 1}
    right = [labels[int(np.mean(rows, axis=0).argmax())] == spans[place][1] for place, rows in ended.items()]
    if not rights:
        return ""
    counts = ((answers, "answer"), (rights, "window"))
    said = [f"{percent(sum(of) / len(of))} of {counted(len(of), noun)}" for of, noun in counts if of]
    said += [f"{sum(right)} of {counted(len(right), 'trial')}"] if right else []
    return f"right: {', '.join(said)} (chance {percent(1 / len(labels))})"


def _spans(store: ViewStore, t: float) -> Iterator[tuple[float, str]]:
    """Yield from when on which emotion is shown, "" where none is announced."""
    simulated = {
        state.spec.name
        for state in store.streams.values()
        if state.spec.kind is Kind.MARKERS and state.spec.is_simulated
    }
    for marker in store.markers.read(-math.inf, t) if simulated else ():
        if marker.stream not in simulated:
            continue
        if marker.text.startswith(_START):
            yield marker.time, marker.text.removeprefix(_START)
        elif marker.text.startswith("trial_end") or marker.text == "rest_start":
            yield marker.time, REST if marker.text == "rest_start" else ""
