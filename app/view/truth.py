"""Which emotion a simulated participant really shows, and how often the answers name it.

Only the markers of a simulator count: nobody else's markers say what a participant feels.
"""

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from acquisition.text import counted, percent
from acquisition.types import Kind
from app.view.store import ViewStore

_START = "trial_start/"  # an emotion follows; see `acquisition.simulator.source.markers_between`
REST = "rest"


@dataclass(frozen=True)
class Score:
    """How many of the kept answers, warm windows and whole trials name the simulated emotion."""

    n_right_answers: int = 0
    n_answers: int = 0
    n_right_windows: int = 0
    n_windows: int = 0
    n_right_trials: int = 0  # by the mean of their windows' probabilities
    n_trials: int = 0
    n_labels: int = 0

    @property
    def words(self) -> str:
        """The figures in a line; "" before the first."""
        if not self.n_windows:
            return ""
        counts = (
            (self.n_right_answers, self.n_answers, "answer"),
            (self.n_right_windows, self.n_windows, "window"),
        )
        said = [f"{percent(n_right / n)} of {counted(n, noun)}" for n_right, n, noun in counts if n]
        if self.n_trials:
            said.append(f"{self.n_right_trials} of {counted(self.n_trials, 'trial')}")
        chance = f" (chance {percent(1 / self.n_labels)})" if self.n_labels else ""
        return "right: " + ", ".join(said) + chance


def true_emotion(store: ViewStore, t: float) -> str:
    """Return the emotion, or "rest", that the simulated participant shows at ``t``; "" where not known."""
    *_, (_, emotion) = (0.0, ""), *_spans(store, t)
    return emotion


def score(store: ViewStore, t: float) -> Score:
    """Return how often the predictions kept up to ``t`` name the simulated emotion."""
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
    return Score(sum(answers), len(answers), sum(rights), len(rights), sum(right), len(right), len(labels))


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
