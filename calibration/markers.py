"""The markers of a session, and how a recording's markers are read back into a record.

``hint/N/EMOTION`` begins an attempt at trial N; the trial is shown between ``trial_start/EMOTION/N`` and
``trial_end/EMOTION/N``. ``report/N/LABEL/VALENCE/AROUSAL`` is the answer, which completes it; without one,
``rest_start/N`` does. ``trial_skipped/N`` gives the attempt up, ``trial_repeated/N`` discards what it has
shown so far (after a new hint: nothing). The last completed attempt counts. A baseline is between
``baseline_open_start`` and ``baseline_open_end``; a start without an end does not count.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from calibration.types import Consent, Report, SessionRecord, Step, TrialRecord

PAUSE = "pause"
RESUME = "resume"
ABORTED = "session_aborted"
ENDED = "session_end"
NOT_RATED = "-"  # in a report, of valence or arousal
ASKED, UNDO = "asked", "undo"  # of a self-check, see `calibration.check`


def record_from_markers(
    markers: Iterable[tuple[float, str]], earlier: SessionRecord | None = None, run: int = 1
) -> SessionRecord:
    """Return the record of a session as far as a recording's markers hold it.

    Markers are (time, text) in the order of the stream; those of other programs are ignored. ``earlier`` is
    the record of the runs before.

    The record has subject, trials, baseline and, as far as trials began, classes and order; the rest (number
    of the session, seed, consent) is not in the markers. It has no trials if there are no session markers.
    """
    reader = _Reader(earlier or SessionRecord("", 1, (), 0, Consent(())), run)
    for time, text in markers:
        reader.take(time, text)
    return reader.record()


class _Reader:
    def __init__(self, record: SessionRecord, run: int) -> None:
        self._log = SessionLog(record, lambda text, time: None, lambda record: None, run)
        self._order = dict(enumerate(record.order, 1))
        self._trial = Step("stimulus")  # of the attempt
        self._begin: float | None = None
        self._span: tuple[float, float] | None = None

    def record(self) -> SessionRecord:
        order = tuple(self._order[number] for number in sorted(self._order))
        return replace(self._log.record, order=order, classes=tuple(sorted(set(order))))

    def take(self, time: float, text: str) -> None:
        match text.split("/"):
            case ["session_start", subject]:
                self._log.change(subject=subject)
            case [("baseline_open_start" | "baseline_closed_start"), *_]:
                self._begin = time
            case [("baseline_open_end" | "baseline_closed_end") as name] if self._begin is not None:
                self._log.keep_baseline(Step(name.removesuffix("_end")), (self._begin, time))
                self._begin = None
            case ["hint", number, emotion] if number.isdigit():
                self._attempt(int(number), emotion)
            case ["trial_start", emotion, number] if number.isdigit():
                self._attempt(int(number), emotion)
                self._begin = time
            case ["trial_end", _, number] if self._is_shown(number):
                self._span = (self._begin or time, time)
            case ["report", number, label, valence, arousal] if self._is_shown(number) and all(
                one.isdigit() or one == NOT_RATED for one in (valence, arousal)
            ):
                rated = (int(one) if one.isdigit() else None for one in (valence, arousal))
                self._add("done", Report(label, *rated))
            case ["rest_start", number] if self._is_shown(number):
                self._add("done")
            case ["trial_skipped", number] if number == str(self._trial.trial):
                self._span = self._span or (time, time)
                self._add("skipped")
            case ["trial_repeated", number] if self._is_shown(number):
                self._add("repeated")

    def _attempt(self, number: int, emotion: str) -> None:
        self._trial = Step("stimulus", trial=number, emotion=emotion)
        self._order[number] = emotion
        self._begin = self._span = None

    def _is_shown(self, number: str) -> bool:
        return number == str(self._trial.trial) and self._begin is not None

    def _add(self, state: str, answer: Report | None = None) -> None:
        if self._span is not None:
            self._log.add_trial(self._trial, self._span, answer, state)
        self._begin = self._span = None


class SessionLog:
    """What a session writes down as it goes.

    ``on_marker`` gets each marker and its LSL time, ``on_change`` the record whenever it has changed. ``run``
    is of the recording now made, from 1.
    """

    def __init__(
        self,
        record: SessionRecord,
        on_marker: Callable[[str, float], None],
        on_change: Callable[[SessionRecord], None],
        run: int,
    ) -> None:
        self.record = record
        self._on_marker = on_marker
        self._on_change = on_change
        self._run = run

    def mark(self, text: str, time: float) -> None:
        if text:
            self._on_marker(text, time)

    def change(self, **changes: Any) -> None:
        self.record = replace(self.record, **changes)
        self._on_change(self.record)

    def keep_baseline(self, step: Step, span: tuple[float, float]) -> None:
        """Note when a baseline was; ignore any other kind of step."""
        if step.kind == "baseline_open":
            self.change(baseline=(span,), baseline_run=self._run)
        elif step.kind == "baseline_closed":
            self.change(baseline=(*self.record.baseline[:1], span))

    def add_trial(
        self, step: Step, span: tuple[float, float], report: Report | None = None, state: str = "done"
    ) -> None:
        """Add the outcome of a trial; once it is completed, earlier attempts no longer count."""
        earlier = self.record.trials
        if state == "done":
            old = ("done", step.trial)
            earlier = tuple(
                replace(one, state="repeated") if (one.state, one.number) == old else one for one in earlier
            )
        trial = TrialRecord(step.trial, step.emotion, *span, report=report, state=state, run=self._run)
        self.change(trials=(*earlier, trial))
