"""The self-check of a running session: how often self-reports agree, and updates from them in shadow.

Each report is one trial: the emotion felt when the question was put, beside the answer shown then. The
session's discriminant stays frozen; a copy takes each report in closed form *after* it was scored on it
(prequential, Dawid 1984). The copy replaces the frozen one where the lower bound of the mean gain in log
score is above 0, and only at the 6th, 12th, 24th … report, at levels .025, .0125, … that add up to .05, so
that looking often promotes nothing by chance. All of it follows from the marks and the data alone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.text import counted, percent
from assets import words
from calibration.markers import ASKED, UNDO
from calibration.verdict import binomial_threshold
from models.conformal import shown_sets, too_rarely_covered
from models.level import Evidence
from models.mixed_discriminant import LabelledTrial
from models.prediction import Prediction
from models.training.scores import balanced_accuracy, t_interval, wilson_interval
from models.trust import SelfReports

LAPSE_S = 60.0
MIN_REPORTS = 8  # before, chance is no reason to withdraw anything
_FIRST_LOOK, _ALPHA = 6, 0.05
_LEAST_P = 0.01  # of a score: one report must not decide
_SET_LEVEL = 0.9


class Outcome(StrEnum):
    """What a mark led to."""

    ASKED = "asked"
    PAST = "past"  # taken before, as where a replay seeks back
    NOTHING = "nothing to compare"  # no question, or no warm answer shown then
    COUNTED = "counted"
    PROMOTED = "promoted"
    UNDONE = "undone"
    NOT_PROMOTED = "nothing to undo"


@dataclass(frozen=True, eq=False)
class Shown:
    """What was shown when a question was put."""

    prediction: Prediction
    steps: Mapping[str, NDArray[np.floating]]  # (n, F) by modality, deviations from the level
    level_is_fixed: bool


@dataclass(frozen=True)
class Told:
    """One report, and what the model in use (as shown) and its copy with earlier reports said of it."""

    label: str
    probs: Mapping[str, float]
    shadow: Mapping[str, float]
    is_whole: bool = True  # as `models.trust.Verdict`

    @property
    def gain(self) -> float:
        """How much better the copy told it, nats."""
        shadow, shown = (max(probs[self.label], _LEAST_P) for probs in (self.shadow, self.probs))
        return math.log(shadow) - math.log(shown)


@dataclass(frozen=True)
class Gain:
    """Mean gain of the copy with its one-sided bound, nats a report."""

    n: int
    mean: float
    low: float


class SelfCheck:
    """Counts self-reports, and updates a discriminant in shadow; see `take`.

    Parameters
    ----------
    labels : sequence of str
        The emotions that the model tells apart.
    evidence : Evidence or None
        The one in use at the start; without one nothing is updated.
    threshold : float or None
        The largest score in the 90 % set; None where the model has no sets.
    """

    def __init__(self, labels: Sequence[str], evidence: Evidence | None, threshold: float | None) -> None:
        self.labels = tuple(labels)
        self.evidence = self.shadow = evidence
        self._threshold = threshold
        self._told: list[Told] = []  # by the model in use
        self._pairs: list[Told] = []  # of which the copy had a report before
        self._before: list[tuple[Evidence | None, list[Told]]] = []  # what `undo` returns to
        self._may_promote = True
        self._newest = -math.inf  # time of the newest mark
        self.is_asking = False  # until `keep` has the window shown when the question was put
        self._kept: Shown | None = None
        self.gain: Gain | None = None  # at the newest look

    @property
    def has_shadow(self) -> bool:
        """True where the copy differs from the model in use."""
        return self.shadow is not self.evidence

    def take(self, what: str, time: float) -> Outcome:
        """Take a mark: the question (`ASKED`), its answer (a label), or `UNDO`; each time once."""
        if time <= self._newest:
            return Outcome.PAST
        self._newest = time
        if what == ASKED:
            self.is_asking, self._kept = True, None
            return Outcome.ASKED
        if what == UNDO:  # the newest promotion; none follows in this session
            self._may_promote = False
            if not self._before:
                return Outcome.NOT_PROMOTED
            (self.evidence, self._told), self._pairs = self._before.pop(), []
            return Outcome.UNDONE
        kept, self._kept, self.is_asking = self._kept, None, False
        if kept is None or what not in self.labels:
            return Outcome.NOTHING
        return self._count(what, kept)

    def keep(self, shown: Shown) -> None:
        """Keep what is shown to someone who is being asked: see `is_asking`."""
        self.is_asking = False
        if not shown.prediction.warm_up and not any(map(math.isnan, shown.prediction.probs.values())):
            self._kept = shown

    def _count(self, label: str, shown: Shown) -> Outcome:
        probs = dict(shown.prediction.probs)
        told = Told(label, probs, dict(shown.prediction.shadow or probs), shown.prediction.verdict.is_whole)
        self._told.append(told)
        if self.has_shadow:
            self._pairs.append(told)
        promotes = self._look() and self._may_promote
        if promotes:
            self._before.append((self.evidence, self._told))
            self.evidence, self._pairs = self.shadow, []
            # What the copy told before it knew is what is known of it.
            self._told = [replace(one, probs=one.shadow) for one in self._told]
        self._update(label, shown)
        return Outcome.PROMOTED if promotes else Outcome.COUNTED

    def _look(self) -> bool:
        """Tell whether the copy is better, at a report at which that is decided."""
        n = len(self._pairs)
        k, is_whole = divmod(math.log2(n / _FIRST_LOOK), 1) if n >= _FIRST_LOOK else (0, 1)
        if is_whole:
            return False
        gains = [pair.gain for pair in self._pairs]
        interval = t_interval(gains, 1 - 2 * _ALPHA / 2 ** (k + 1))
        assert interval is not None
        self.gain = Gain(n, float(np.mean(gains)), interval[0])
        return self.gain.low > 0

    def _update(self, label: str, shown: Shown) -> None:
        if self.shadow is None or not shown.steps:
            return
        before = self.shadow.discriminant
        # About a level that runs, reports have a session of their own: they say how emotions differ, not
        # where the level is.
        session = before.session + (not shown.level_is_fixed)
        trial = LabelledTrial("", session, self.labels.index(label), dict(shown.steps))
        after = before.update([trial]).in_session(before.session, before.level_trials)
        self.shadow = Evidence(after, self.shadow.range, self.shadow.config)

    @property
    def reports(self) -> SelfReports | None:
        """What the reports say of the model in use; None before the first."""
        n = len(self._told)
        if not n:
            return None
        true = [self.labels.index(told.label) for told in self._told]
        said = [list(told.probs.values()).index(max(told.probs.values())) for told in self._told]
        n_right = sum(a == b for a, b in zip(true, said, strict=True))
        counts = np.bincount(true, minlength=len(self.labels)).tolist()
        needed = binomial_threshold(counts, len(self.labels)).balanced_accuracy
        share = balanced_accuracy(true, said)
        sets: list[Any] = []
        if self._threshold is not None:
            sets = [shown_sets(one.probs, (self._threshold, None), one.is_whole)[0] for one in self._told]
        inside = [told.label in held for told, held in zip(self._told, sets, strict=False)]
        misses = [float(not one) for one in inside]
        return SelfReports(
            n=n,
            n_right=n_right,
            interval=wilson_interval(n_right / n, n),
            balanced_accuracy=share,
            needed=needed,
            n_inside=sum(inside) if inside else None,
            interval_inside=wilson_interval(sum(inside) / n, n) if inside else None,
            chance=1 / len(self.labels),
            is_withdrawn=n >= MIN_REPORTS and needed is not None and share < needed - 1e-9,
            is_uncovered=n >= MIN_REPORTS and too_rarely_covered(misses, 0.5, _SET_LEVEL),
        )

    def words(self, outcome: Outcome) -> str:
        """Return in a sentence what a mark led to, with the figures so far."""
        said: str = _OUTCOMES[outcome]
        if outcome not in (Outcome.COUNTED, Outcome.PROMOTED):
            return said
        said += report_words(self.reports)
        if self.gain is not None:
            better = f"{self.gain.mean:+.2f} nats a report better, at least {self.gain.low:+.2f}"
            said += f"; the copy updated with the reports is {better} ({counted(self.gain.n, 'report')})"
        return said


_OUTCOMES = words("outcomes")


def report_words(reports: SelfReports | None) -> str:
    """Return the running accuracy and coverage in words; "" before the first report."""
    if reports is None:
        return ""
    low, high = reports.interval
    said = (
        f"the answer was right in {reports.n_right} of {counted(reports.n, 'report')} (95 % CI {percent(low)}"
    )
    said += f" to {percent(high)}" + (f", chance {percent(reports.chance)})" if reports.chance else ")")
    if reports.n_inside is not None and reports.interval_inside is not None:
        low, high = reports.interval_inside
        said += f", the 90 % set held {reports.n_inside} ({percent(low)} to {percent(high)})"
    if reports.is_withdrawn and reports.needed is not None:
        found, needed = percent(reports.balanced_accuracy), percent(reports.needed)
        said += f"; withdrawn: balanced accuracy {found}, {needed} would be above chance (p < .05)"
    elif reports.is_uncovered:
        said += "; the sets hold the emotion too rarely: nothing should act upon the answers"
    return said


class Reminder:
    """Says when the next question is due; times in seconds of any one clock, None asks on request alone."""

    def __init__(self, every_s: float | None, now: float) -> None:
        self._every_s, self._last = every_s, now

    def asked(self, now: float) -> None:
        """Note that the question was put, or put off."""
        self._last = now

    def is_due(self, now: float) -> bool:
        """Tell whether it is time to ask; a question put off lapses after a minute, until the next one."""
        waited_s = now - self._last
        return self._every_s is not None and waited_s >= self._every_s and waited_s % self._every_s < LAPSE_S
