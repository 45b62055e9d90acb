"""Whether a prediction may be taken for an answer: judged once, in the process that decodes.

Window, terminal, files and streams carry the `Verdict`; sentences are made where it is shown. It rests on the
data alone, so that live and replay judge alike. A reader of a live stream minds the age of what it reads
itself (`STALE_AFTER_S`).

An answer needs a top emotion with a probability of 0.5, or of that from which on at most one in five answers
was wrong for subjects that the model was not trained on, whichever is higher (`models.config.AnswerConfig`).
To act upon it needs 0.8, one emotion in the 90 % set, and a profile or modalities that change together
(`models.agreement`). A model without such figures answers from midway between chance and certainty on,
``(1 + 1/n) / 2`` for ``n`` emotions, and with a lead of `MIN_MARGIN` over the second: that rule was chosen,
not fitted, and nothing may be acted upon by it.

The model also abstains where the answer is based mostly on EEG with mostly bad electrodes, and always with a
profile no better than chance in its calibration. No torch here: the window's process imports this.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

from acquisition.quality import BAD_ELECTRODES
from acquisition.types import MODALITIES
from models.config import AnswerConfig
from models.conformal import quantile, shown_sets, too_rarely_covered

if TYPE_CHECKING:
    from models.prediction import Prediction

MIN_MARGIN = 0.25  # chosen, where nothing is fitted: a smaller lead can be gone half a second later
LEAST_AGREEMENT = 0.08  # correlation of what modalities say, chosen on development subjects (models/README)
AGREEMENT_S = 72.0  # of two modalities at once, before which chance correlates them as much
STALE_AFTER_S = 1.0  # four hops of 0.25 s: the answer is out of date
LEAST_RELIABLE = 0.25  # a modality below is as good as absent
MOSTLY = 0.5  # of the attention
MIN_ELECTRODES_SHARE = 0.5  # of those of training


class State(StrEnum):
    """What there is; the order is that of the codes in streams."""

    NOTHING = "nothing"
    WARMING_UP = "warming up"
    STALE = "stale"
    UNCERTAIN = "uncertain"
    CERTAIN = "certain"


STATES = tuple(State)


class Severity(StrEnum):
    """How grave a reason is, the gravest first."""

    STOP = "stop"  # do not use the answer
    CAUTION = "caution"  # it may be wrong
    INFO = "info"  # good to know


class Code(StrEnum):
    """What a reason is about, with the facts that go with it."""

    NAN = "nan"
    PROBABILITY = "probability"  # top, probability, needed
    MARGIN = "margin"  # second, lead, needed
    BAD_EEG = "bad eeg"  # n_bad, n_all
    PROFILE = "profile"  # no better than chance
    MISSING = "missing"  # each absent modality: its coverage; n_all
    WARMING_UP = "warming up"
    RELIABILITY = "reliability"  # each unreliable modality: its reliability
    MONTAGE = "montage"  # n_there, n_all
    FACE = "face"  # none in the latest frame
    QUIET = "quiet"  # nobody speaks: the voice is masked
    SIMULATED_MODEL = "simulated model"  # on_real_streams
    SETS_DIFFER = "sets differ"  # n_inside, n_trials, level
    NOT_FITTED = "not fitted"  # the model states no error of its answers
    SELF_REPORTS = "self-reports"  # n_reports, n_right, low, high, chance; n_inside, low_inside, high_inside
    WITHDRAWN = "withdrawn"  # self-reports no better than chance: n_reports, n_right, balanced, needed
    UNCOVERED = "uncovered"  # sets without the self-reports: n_reports, n_inside, level
    NORMALISATION = "normalisation"
    AGREEMENT = "agreement"  # of the modalities: agreement, needed; or not known yet: needed_s


#: Withhold the answer.
ABSTENTIONS = frozenset({Code.NAN, Code.PROBABILITY, Code.MARGIN, Code.BAD_EEG, Code.PROFILE, Code.WITHDRAWN})
#: Less is known than when sets were fitted.
_NARROWER = frozenset({Code.MISSING, Code.RELIABILITY})
#: Leave an answer that nothing should act upon; so does a simulated model on streams that are not.
_UNSAFE = frozenset({Code.AGREEMENT, Code.RELIABILITY, Code.SETS_DIFFER, Code.NOT_FITTED, Code.UNCOVERED})


@dataclass(frozen=True)
class Reason:
    """A reason to doubt or to withhold an answer, with its figures."""

    code: Code
    severity: Severity
    facts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """What a prediction says, and how far to trust it."""

    state: State = State.NOTHING
    reasons: tuple[Reason, ...] = ()  # the gravest first
    answer: str | None = None  # an emotion where the state is certain
    #: Emotions, the most probable first; the true one is among them in 90 and 80 % of the trials of new
    #: subjects. Empty where the model does not know.
    set_90: tuple[str, ...] = ()
    set_80: tuple[str, ...] = ()
    reliability: Mapping[str, float] = field(default_factory=dict)  # by modality, 0..1; empty: not known
    safe_to_act: bool = False  # certain, by fitted figures, and nothing known that breaks their conditions
    top: str = ""  # the top emotion, whether or not it is the answer
    probability: float = math.nan
    second: str = ""
    second_probability: float = math.nan
    needed: float = math.nan  # from which probability on there is an answer
    n_labels: int = 0

    @property
    def abstains(self) -> bool:
        """True where the top emotion would be no answer, warming up or not."""
        return not self.top or any(reason.code in ABSTENTIONS for reason in self.reasons)

    @property
    def is_whole(self) -> bool:
        """True where no modality of the model is missing or unreliable."""
        return not any(reason.code in _NARROWER for reason in self.reasons)

    def stale(self) -> Verdict:
        """Return what is left of it when the prediction no longer applies."""
        return replace(self, state=State.STALE, answer=None, safe_to_act=False)


@dataclass(frozen=True)
class SelfReports:
    """How often self-reports of a running session agreed with what was shown; see `calibration.check`."""

    n: int
    n_right: int
    interval: tuple[float, float]  # Wilson, 95 %
    balanced_accuracy: float
    needed: float | None  # balanced accuracy above chance, p < .05
    n_inside: int | None = None  # in the 90 % set; None without sets
    interval_inside: tuple[float, float] | None = None
    chance: float | None = None  # of the answer, 1 / number of emotions
    is_withdrawn: bool = False  # not above chance
    is_uncovered: bool = False  # sets hold the emotion less often than they claim, p < .05

    def reasons(self) -> Iterator[Reason]:
        """Yield the figures, and what follows from them."""
        facts: dict[str, float] = {"n_reports": self.n, "n_right": self.n_right}
        inside = {} if self.n_inside is None else {"n_inside": self.n_inside}
        if self.is_withdrawn:
            found = {"balanced": self.balanced_accuracy, "needed": self.needed or math.nan}
            yield Reason(Code.WITHDRAWN, Severity.STOP, facts | found)
        if self.is_uncovered:
            yield Reason(Code.UNCOVERED, Severity.CAUTION, {"n_reports": self.n, **inside, "level": 0.9})
        facts |= dict(zip(("low", "high"), self.interval, strict=True)) | inside
        if self.chance is not None:
            facts["chance"] = self.chance
        if self.interval_inside is not None:
            facts |= dict(zip(("low_inside", "high_inside"), self.interval_inside, strict=True))
        yield Reason(Code.SELF_REPORTS, Severity.INFO, facts)


@dataclass(frozen=True)
class ModelFacts:
    """What a verdict needs to know of the model in use."""

    answers: AnswerConfig | None = None
    own_scores: tuple[float, ...] = ()  # of the profile's calibration trials, held out: 1 - p(true)
    has_profile: bool = False
    is_guessing: bool = False  # the profile is no better than chance
    is_simulated: bool = False
    n_electrodes: int = 0  # EEG channels of training
    modalities: tuple[str, ...] = MODALITIES  # that the model knows: no other is missed
    reports: SelfReports | None = None  # of the running session

    @cached_property
    def set_thresholds(self) -> tuple[float | None, float | None]:
        """The largest score in the 90 % and the 80 % set; None where nothing is known."""
        if self.answers is None:
            return (self._own(0.9), self._own(0.8)) if self.own_scores else (None, None)
        others = self.answers.set_90, self.answers.set_80
        if self._differs:  # the wider of both
            return max(others[0], self._own(0.9)), max(others[1], self._own(0.8))
        return others

    @cached_property
    def _differs(self) -> bool:
        return self.answers is not None and too_rarely_covered(self.own_scores, self.answers.set_90, 0.9)

    def _own(self, level: float) -> float:
        return quantile(self.own_scores, level)

    def reasons(self, *, on_real_streams: bool) -> Iterator[Reason]:
        """Yield what holds for every prediction of the model."""
        if self.is_guessing:
            yield Reason(Code.PROFILE, Severity.STOP)
        if self.is_simulated:
            yield Reason(Code.SIMULATED_MODEL, Severity.CAUTION, {"on_real_streams": on_real_streams})
        if self._differs:
            assert self.answers is not None
            n_inside = sum(score <= self.answers.set_90 for score in self.own_scores)
            facts = {"n_inside": n_inside, "n_trials": len(self.own_scores), "level": 0.9}
            yield Reason(Code.SETS_DIFFER, Severity.CAUTION, facts)
        if self.answers is None:
            yield Reason(Code.NOT_FITTED, Severity.INFO)
        if self.reports is not None:
            yield from self.reports.reasons()


@dataclass(frozen=True)
class SignalFacts:
    """What a verdict needs to know of the signals beyond the prediction itself."""

    n_bad: int = 0  # electrodes that are bad in the newest second
    n_connected: int = 0  # electrodes of the stream that the model knows; 0: no EEG
    are_simulated: bool = False  # every stream says so


def needed_probability(n_labels: int, answers: AnswerConfig | None) -> float:
    """Return the lowest probability that counts as an answer."""
    return (1 + 1 / n_labels) / 2 if answers is None else answers.answer_from


def ranked(probs: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return labels and probabilities, the highest first; equal ones in the model's order."""
    return sorted(probs.items(), key=lambda item: -item[1] if item[1] == item[1] else math.inf)


def judge(prediction: Prediction, model: ModelFacts, signals: SignalFacts) -> Verdict:
    """Return the verdict on a prediction; it depends on nothing else."""
    probs = prediction.probs
    reasons = list(_reasons(prediction, model, signals))
    reasons.sort(key=lambda reason: list(Severity).index(reason.severity))
    codes = {reason.code for reason in reasons}
    (top, probability), *others = ranked(probs)
    second, second_probability = others[0] if others else ("", math.nan)
    state = State.UNCERTAIN if codes & ABSTENTIONS else State.CERTAIN
    if prediction.warm_up:
        state = State.WARMING_UP
    is_valid = not model.is_simulated or signals.are_simulated
    sets: tuple[tuple[str, ...], ...] = ((), ())
    if Code.NAN not in codes:
        sets = shown_sets(probs, model.set_thresholds, not codes & _NARROWER)
    return Verdict(
        state=state,
        reasons=tuple(reasons),
        answer=top if state is State.CERTAIN else None,
        set_90=sets[0],
        set_80=sets[1],
        reliability=dict(prediction.reliability),
        safe_to_act=state is State.CERTAIN
        and is_valid
        and not codes & _UNSAFE
        and len(sets[0]) == 1
        and model.answers is not None
        and probability >= model.answers.act_from,
        top=top,
        probability=probability,
        second=second,
        second_probability=second_probability,
        needed=needed_probability(len(probs), model.answers),
        n_labels=len(probs),
    )


def _reasons(prediction: Prediction, model: ModelFacts, signals: SignalFacts) -> Iterator[Reason]:
    yield from model.reasons(on_real_streams=not signals.are_simulated)
    present = {m: there for m, there in prediction.present.items() if m in model.modalities}
    quiet = {"voice"} if prediction.is_quiet else set()
    absent = [m for m, there in present.items() if not there and m not in quiet]
    if missing := {m: prediction.coverage.get(m, 0.0) for m in absent}:
        yield Reason(Code.MISSING, Severity.CAUTION, {**missing, "n_all": len(present)})
    if quiet:
        yield Reason(Code.QUIET, Severity.INFO)
    if prediction.warm_up:
        yield Reason(Code.WARMING_UP, Severity.CAUTION)
    low = {m: r for m, r in prediction.reliability.items() if present.get(m) and r < LEAST_RELIABLE}
    if low:
        yield Reason(Code.RELIABILITY, Severity.CAUTION, low)
    if present.get("eeg") and 0 < signals.n_connected < model.n_electrodes:
        is_few = signals.n_connected < MIN_ELECTRODES_SHARE * model.n_electrodes
        facts = {"n_there": signals.n_connected, "n_all": model.n_electrodes}
        yield Reason(Code.MONTAGE, Severity.CAUTION if is_few else Severity.INFO, facts)
    if present.get("face") and prediction.face_box is None and math.isfinite(prediction.face_time):
        yield Reason(Code.FACE, Severity.INFO)
    if not model.has_profile and model.answers is not None:  # with one, labelled trials have told
        if math.isnan(prediction.agreement):
            yield Reason(Code.AGREEMENT, Severity.INFO, {"needed_s": AGREEMENT_S})
        elif prediction.agreement < LEAST_AGREEMENT:
            found = {"agreement": prediction.agreement, "needed": LEAST_AGREEMENT}
            yield Reason(Code.AGREEMENT, Severity.CAUTION, found)
    if prediction.normalisation == "training" and not model.has_profile:
        yield Reason(Code.NORMALISATION, Severity.INFO)
    unsure = _abstention(prediction.probs, model.answers) or _bad_eeg(prediction, signals)
    if unsure is not None:
        yield unsure


def _abstention(probs: Mapping[str, float], answers: AnswerConfig | None) -> Reason | None:
    if any(math.isnan(p) for p in probs.values()):
        return Reason(Code.NAN, Severity.CAUTION)
    best, *others = ranked(probs)
    needed = needed_probability(len(probs), answers)
    if best[1] < needed - 1e-6:
        return Reason(Code.PROBABILITY, Severity.CAUTION, {"probability": best[1], "needed": needed})
    if answers is None and others and best[1] - others[0][1] < MIN_MARGIN - 1e-6:
        lead = best[1] - others[0][1]
        return Reason(Code.MARGIN, Severity.CAUTION, {"lead": lead, "needed": MIN_MARGIN})
    return None


def _bad_eeg(prediction: Prediction, signals: SignalFacts) -> Reason | None:
    """Return why bad electrodes speak against an answer, None where they do not outweigh the rest."""
    if prediction.modality_attention.get("eeg", 0.0) < MOSTLY:
        return None
    if not signals.n_bad > BAD_ELECTRODES.bad * signals.n_connected:
        return None
    return Reason(Code.BAD_EEG, Severity.CAUTION, {"n_bad": signals.n_bad, "n_all": signals.n_connected})
