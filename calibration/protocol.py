"""The order of a session's trials: balanced over time, no emotion twice in a row, and a pleasant end."""

import random
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from acquisition.errors import ErrorCode, InputError
from calibration.markers import ENDED
from calibration.plan import LEAST_PER_CLASS, Plan
from calibration.types import Report, SessionRecord, Step, Stimulus, TrialRecord


def make_order(classes: Sequence[str], n_trials: int, seed: int, closing: str = "") -> tuple[str, ...]:
    """Return the emotion of each trial.

    Trials come in blocks that hold every class once (the first block holds what does not divide), so a drift
    over the session meets all classes alike. Built from the end, where the closing emotion is.

    The classes' counts differ by one at most, and equal seeds give equal orders. ``closing`` is the emotion
    of the last trial, or empty.
    """
    rng = random.Random(seed)
    order: list[str] = []
    while len(order) < n_trials:
        size = min(len(classes), n_trials - len(order))
        block = rng.sample(list(classes), size)
        follows_another = not order or block[-1] != order[0]
        ends_well = bool(order) or not closing or block[-1] == closing
        if follows_another and ends_well:
            order = block + order
    return tuple(order)


def can_be_arranged(counts: Mapping[str, int], before: str = "", closing: str = "") -> bool:
    """Tell whether trials can be put into an order in which no emotion comes twice in a row.

    ``counts`` are the trials left by emotion. ``before`` was just shown and must not come first; ``closing``
    must come last; either may be empty.
    """
    left = {name: n for name, n in counts.items() if n > 0}
    if not left:
        return True
    if closing:
        if closing not in left:
            return False
        left[closing] -= 1
        if not sum(left.values()):
            return closing != before
    # n equal ones need n - 1 others between them, one more in front after their like, and one behind
    # before their like. With that held for every emotion an order exists.
    total = sum(left.values())
    return all(n <= total - n + 1 - (name == before) - (name == closing) for name, n in left.items() if n)


class Agenda:
    """Says which trial comes next.

    ``order`` is the planned emotion by trial, ``closing`` the one to end with, ``over`` the trials that need
    not be done any more (after a resumption), ``shown`` the emotion shown last.
    """

    def __init__(
        self, order: Sequence[str], closing: str = "", over: Iterable[int] = (), shown: str = ""
    ) -> None:
        self._order = tuple(order)
        self._closing = closing
        skip = set(over)
        self._waiting = [number for number in range(1, len(order) + 1) if number not in skip]
        self._again: list[int] = []
        self._shown = shown

    @property
    def waiting(self) -> tuple[int, ...]:
        """Numbers of the trials to be done, those to be repeated first."""
        return (*self._again, *self._waiting)

    def emotion(self, number: int) -> str:
        return self._order[number - 1]

    def repeat(self, number: int, shown: str | None = None) -> int:
        """Put a trial on the list again, as early as no emotion comes twice in a row.

        The trial must not be waiting; ``shown`` is the emotion of the trial now running, which ends before.

        Returns a second trial that is repeated with it, because otherwise an emotion would come twice in a
        row (with two classes, say) or the end would not be pleasant; 0 for none.
        """
        before = self._shown if shown is None else shown
        self._again.append(number)
        # one that is done already rather than one still to come; the class to end with is the kindest
        others = sorted(
            range(1, len(self._order) + 1),
            key=lambda n: (n in self.waiting, self.emotion(n) != self._closing),
        )
        for closing in (self._closing, ""):
            if self._fits(self.waiting, before, closing):
                return 0
            for other in others:
                if self._fits((*self.waiting, other), before, closing):
                    self._again.append(other)
                    return other
        return 0

    def next(self) -> int:
        """Take the next trial off the list; 0 when none is left."""
        if not self.waiting:
            return 0
        for closing in (self._closing, ""):  # where too much was skipped, the end need not be pleasant
            for number in self.waiting:
                if self._may_come(number, closing):
                    return self._take(number)
        counts = Counter(self.emotion(n) for n in self.waiting)  # too few others left to keep all apart
        apart = [n for n in self.waiting if self.emotion(n) != self._shown]
        return self._take(max(apart or self.waiting, key=lambda n: counts[self.emotion(n)]))

    def was_shown(self, emotion: str) -> None:
        self._shown = emotion

    def _may_come(self, number: int, closing: str) -> bool:
        emotion = self.emotion(number)
        rest = list(self.waiting)
        rest.remove(number)
        if emotion == self._shown or (closing and not rest and emotion != closing):
            return False
        return self._fits(rest, emotion, closing)

    def _take(self, number: int) -> int:
        (self._again if number in self._again else self._waiting).remove(number)
        return number

    def _fits(self, numbers: Iterable[int], before: str, closing: str) -> bool:
        return can_be_arranged(Counter(self.emotion(n) for n in numbers), before, closing)


DONE, SKIPPED, RESTARTED = "done", "skipped", "restarted"

#: What a trial's state must be for it not to be done again after a crash.
_OVER = ("done", "skipped")

Steps = Generator[Step, str, None]


def order_of(plan: Plan, seed: int) -> tuple[str, ...]:
    return make_order(plan.classes, plan.n_trials, seed, plan.closing)


def agenda_of(plan: Plan, record: SessionRecord) -> Agenda:
    """Return the trials that a record leaves to be done."""
    shown = [trial.emotion for trial in record.trials if trial.end > trial.begin]  # not only its hint
    return Agenda(record.order, plan.closing, finished_trials(record.trials), shown[-1] if shown else "")


def finished_trials(trials: tuple[TrialRecord, ...]) -> frozenset[int]:
    """Return the numbers of the trials that were completed or skipped."""
    return frozenset(trial.number for trial in trials if trial.state in _OVER)


def steps(plan: Plan, record: SessionRecord, agenda: Agenda) -> Steps:
    """Yield the steps of a session, or of what is left of it.

    What the record holds is not done again; its order must be set. Send the outcome of each step (`DONE`,
    `SKIPPED` or `RESTARTED`); trials to be repeated are added to the agenda while this runs.
    """
    yield Step("preflight")
    if plan.baseline_s and len(record.baseline) < 2:
        for kind in ("baseline_open", "baseline_closed"):
            yield from _until_over(_marked(kind, plan.baseline_s))
    if plan.practice_s and not record.trials:
        yield from _practice(plan)
    attempts = Counter(trial.number for trial in record.trials)
    while number := agenda.next():
        yield from _trial(
            plan, agenda, number, stimulus_of(plan, record.order, number, attempts.get(number, 0))
        )
        attempts[number] = attempts.get(number, 0) + 1
    yield Step("finish", onset_marker=ENDED)


def stimulus_of(plan: Plan, order: tuple[str, ...], number: int, attempt: int = 0) -> Stimulus:
    """Return what a trial shows: each of its emotion's stimuli in turn, another one when it is repeated."""
    emotion = order[number - 1]
    of_emotion = plan.stimuli[emotion]
    n_planned = order.count(emotion)
    stride = n_planned if len(of_emotion) > n_planned else 1  # one that no other trial shows, if there is one
    turn = order[: number - 1].count(emotion) + attempt * stride
    return of_emotion[turn % len(of_emotion)]


def _trial(plan: Plan, agenda: Agenda, number: int, stimulus: Stimulus) -> Steps:
    emotion = agenda.emotion(number)
    name = f"{emotion}/{number}"
    hint = Step("hint", plan.hint_s, number, emotion, stimulus, f"hint/{number}/{emotion}")
    shown = Step(
        "stimulus", plan.stimulus_s, number, emotion, stimulus, f"trial_start/{name}", f"trial_end/{name}"
    )
    while True:
        if (yield from _until_over(hint)) == SKIPPED:
            return
        agenda.was_shown(emotion)
        became = yield shown
        if became != RESTARTED:
            break
    if became == DONE:
        yield from _until_over(Step("report", plan.report_s, number, emotion))
    yield from _until_over(
        Step("rest", plan.rest_after(emotion), number, emotion, None, f"rest_start/{number}")
    )


def _practice(plan: Plan) -> Steps:
    became = yield from _until_over(_marked("practice", plan.practice_s, plan.practice))
    if became == DONE:  # the answer, too, wants practice; trial 0 says that it does not count
        yield from _until_over(Step("report", plan.report_s))


def _until_over(step: Step) -> Generator[Step, str, str]:
    while (became := (yield step)) == RESTARTED:
        pass
    return became


def _marked(kind: str, duration_s: float, stimulus: Stimulus | None = None) -> Step:
    return Step(
        kind, duration_s, stimulus=stimulus, onset_marker=f"{kind}_start", offset_marker=f"{kind}_end"
    )


@dataclass(frozen=True)
class ChosenTrials:
    """The trials of a fit, in the order they were shown."""

    classes: tuple[str, ...]  # with enough trials, in the session's order
    trials: tuple[TrialRecord, ...]
    label: Mapping[int, int]  # index into ``classes`` by trial number
    excluded: Mapping[int, str]  # why, by number, of trials that were shown to their end
    notes: tuple[str, ...] = ()  # sentences about what was excluded


def data_error(what: str, remedy: str, **facts: str | int) -> InputError:
    """Return the error for a session that holds too little to fit a model to."""
    return InputError(what, where="calibration", remedy=remedy, code=ErrorCode.DATA, **facts)


def choose_trials(
    record: SessionRecord, excluded: Mapping[int, str] | None = None, labels: str = "intended"
) -> ChosenTrials:
    """Choose a session's trials for a fit.

    ``excluded`` says by number why a trial's signals cannot be used; ``labels`` is intended or reported. A
    trial without an answer, or with one that is not a class of it, has no reported label. Raises
    InputError if a class of the session has no trial left, or fewer than two classes have two.
    """
    reasons = dict(excluded or {})
    done = [trial for trial in record.trials if trial.state == "done"]
    named = {trial.number: trial_label(trial, labels) for trial in done}
    for number, name in named.items():
        if name not in record.classes:
            reasons.setdefault(
                number, f"reported as {name}, which is not a class in this session" if name else "no answer"
            )
    usable = [trial for trial in done if trial.number not in reasons]
    counts = Counter(named[trial.number] for trial in usable)
    _refuse_empty(record, counts, reasons)
    classes = tuple(name for name in record.classes if counts[name] >= LEAST_PER_CLASS)
    dropped = [name for name in record.classes if name not in classes]
    if len(classes) < 2:
        found = ", ".join(f"{counts[name]} of {name}" for name in record.classes)
        what = f"expected {LEAST_PER_CLASS} trials of at least two classes, found {found}"
        raise data_error(what, "repeat trials, or run another session", n_classes=len(classes))
    for trial in usable:
        if named[trial.number] in dropped:
            reasons[trial.number] = f"the only trial of {named[trial.number]}"
    kept = tuple(trial for trial in usable if trial.number not in reasons)
    shown = {trial.number for trial in done}
    return ChosenTrials(
        classes=classes,
        trials=kept,
        label={trial.number: classes.index(named[trial.number]) for trial in kept},
        excluded={number: reason for number, reason in sorted(reasons.items()) if number in shown},
        notes=tuple(
            f"{name} is excluded: one usable trial only, so the model cannot predict it." for name in dropped
        ),
    )


def trial_label(trial: TrialRecord, labels: str) -> str:
    if labels == "intended":
        return trial.emotion
    return trial.report.label if trial.report is not None else ""


def too_slow(record: SessionRecord) -> str:
    """Return the remedy where a simulated session may have been too fast for this machine; "" elsewhere."""
    scale = float(str(record.settings.get("time_scale", 1.0)))
    if not record.is_simulated or scale <= 1:
        return ""
    return f"this machine is too slow for --time-scale {scale:g}: run it with --new and a smaller one"


def _refuse_empty(record: SessionRecord, counts: Counter[str], reasons: Mapping[int, str]) -> None:
    empty = [name for name in record.classes if not counts[name]]
    if not empty:
        return
    shown = {trial.number: trial for trial in record.trials if trial.state == "done"}
    unusable = [f"trial {n} ({shown[n].emotion}): {why}" for n, why in sorted(reasons.items()) if n in shown]
    what = f"expected at least one usable trial of every class, found none of {', '.join(empty)}"
    raise data_error(
        "; ".join([what, *unusable]),
        (too_slow(record) if unusable else "")
        or "repeat one of its trials, or run another session without it (--new --classes)",
        empty=", ".join(empty),
        **({"unusable": ", ".join(map(str, sorted(set(reasons) & set(shown))))} if unusable else {}),
    )


def n_planned(record: SessionRecord) -> int:
    """Return how many trials a session was to have; shown, skipped and never reached ones alike."""
    return max(len(record.order), len({trial.number for trial in record.trials}))


#: Valence and arousal on scales of 1 to 9, about where the circumplex of affect has them (Russell 1980).
_FELT = {"disgust": (2, 6), "fear": (2, 8), "sad": (2, 3), "neutral": (5, 3), "happy": (8, 6)}
_AGREEMENT = 0.9  # share of trials that felt as intended


def simulated_report(seed: int, trial: int, intended: str, classes: Sequence[str]) -> Report:
    """Return the answer to trial ``trial``; always the same for one seed.

    Nine trials of ten felt as intended, the others like another of ``classes``.
    """
    rng = np.random.default_rng((seed, trial))
    others = [label for label in classes if label != intended]
    felt = intended if rng.random() < _AGREEMENT or not others else str(rng.choice(others))
    valence, arousal = (
        int(np.clip(centre + rng.integers(-1, 2), 1, 9)) for centre in _FELT.get(felt, (5, 5))
    )
    return Report(felt, valence, arousal)
