"""The steps of a session, one by one: a generator that a window, a headless run or a test walks through.

It knows no time and sends nothing: `calibration.session` does. Each step that it yields is answered
with what became of it:

``DONE``
    it came to its end,
``SKIPPED``
    the person left it out (a trial: given up),
``ANEW``
    it was cut short by a pause and is to begin again; a trial begins again with its hint.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator

from calibration.agenda import Agenda
from calibration.markers import ENDED
from calibration.order import make_order
from calibration.plan import Plan
from calibration.types import SessionRecord, Step, Stimulus, TrialRecord

DONE, SKIPPED, ANEW = "done", "skipped", "anew"

#: What a trial's state must be for it not to be done again after a crash.
_OVER = ("done", "skipped")

Steps = Generator[Step, str, None]


def order_of(plan: Plan, seed: int) -> tuple[str, ...]:
    """Return the planned emotion of each trial of a session."""
    return make_order(plan.classes, plan.n_trials, seed, plan.closing)


def agenda_of(plan: Plan, record: SessionRecord) -> Agenda:
    """Return the trials that a record leaves to be done."""
    shown = [trial.emotion for trial in record.trials if trial.end > trial.begin]  # not only its hint
    return Agenda(record.order, plan.closing, finished_trials(record.trials), shown[-1] if shown else "")


def finished_trials(trials: tuple[TrialRecord, ...]) -> frozenset[int]:
    """Return the numbers of the trials that were done or given up."""
    return frozenset(trial.number for trial in trials if trial.state in _OVER)


def steps(plan: Plan, record: SessionRecord, agenda: Agenda) -> Steps:
    """Yield the steps of a session, or of what is left of it.

    Parameters
    ----------
    plan : Plan
        Durations and stimuli.
    record : SessionRecord
        Of the session so far: what it holds is not done again. Its order must be set.
    agenda : Agenda
        Of the trials left; trials that the person wants again are added to it while this runs.

    Yields
    ------
    Step
        The next one; send what became of it (`DONE`, `SKIPPED` or `ANEW`).
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
        if became != ANEW:
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
    while (became := (yield step)) == ANEW:
        pass
    return became


def _marked(kind: str, duration_s: float, stimulus: Stimulus | None = None) -> Step:
    return Step(
        kind, duration_s, stimulus=stimulus, onset_marker=f"{kind}_start", offset_marker=f"{kind}_end"
    )
