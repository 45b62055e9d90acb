"""A running calibration session: walks through the steps, sends the markers and keeps the record.

Time comes in from outside, as LSL seconds; there is no clock, thread or sleep here. A step's time counts
from the moment that its screen was shown, so a hidden window makes the session wait, not run away.
"""

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TypedDict, Unpack

from acquisition.errors import ErrorCode, InputError
from calibration.markers import ABORTED, NOT_RATED, PAUSE, RESUME, SessionLog
from calibration.plan import Plan
from calibration.protocol import DONE, RESTARTED, SKIPPED, agenda_of, finished_trials, order_of, steps
from calibration.types import Check, DisplayTiming, Progress, Report, Result, SessionRecord, SessionView, Step

#: A step that is over but whose successor is not shown so long afterwards has its offset marker sent.
GRACE_S = 1.0

#: What a pause cuts short, so that it begins again; an answer or a rest continues afterwards.
_RESTARTED = ("baseline_open", "baseline_closed", "practice", "hint", "stimulus")
_OF_A_TRIAL = ("hint", "stimulus", "report")


class _Shows(TypedDict, total=False):
    """What others put into a `SessionView`."""

    checks: tuple[Check, ...]
    progress: Progress | None
    fit_stage: str
    fit_share: float
    result: Result
    message: str


class Session:
    """Drives a session from the signal checks to its end.

    Whatever comes for a step that is no longer the current one is ignored; if the participant should know,
    the view's message says so.

    ``record`` is a new one, or that of an interrupted session, which then resumes at its first unfinished
    trial. ``on_marker`` gets each marker and its LSL time, in the order of the events; ``on_change`` the
    record whenever it has changed: keep it on disk. ``run`` is of the recording that the markers go into,
    from 1. Raises InputError if the record is of a session with other classes or another number of trials.
    """

    def __init__(
        self,
        plan: Plan,
        record: SessionRecord,
        *,
        on_marker: Callable[[str, float], None],
        on_change: Callable[[SessionRecord], None],
        run: int = 1,
    ) -> None:
        order = record.order or order_of(plan, record.seed)
        if len(order) != plan.n_trials or set(order) != set(plan.classes):
            raise InputError(
                f"the interrupted session has {len(order)} trials of {', '.join(sorted(set(order)))}; "
                f"the protocol has {plan.n_trials} of {', '.join(sorted(plan.classes))}",
                where=f"session {record.subject}",
                remedy="resume it with the protocol it started with, or start a new session",
                code=ErrorCode.SUBJECT,
                n_trials=len(order),
            )
        record = replace(
            record, classes=plan.classes, order=order, settings=record.settings or plan.settings()
        )
        self._log = SessionLog(record, on_marker, on_change, run)
        self._plan = plan
        self._agenda = agenda_of(plan, record)
        self._steps = steps(plan, record, self._agenda)
        self._step = next(self._steps)
        self._id = 1
        self._issued: float | None = None
        self._began: float | None = None
        self._answered_id = 0
        self._closing: _Closing | None = None
        self._stimulus_span: tuple[float, float] | None = None
        self._paused_after: float | None = None  # how much of the step had gone by
        self._is_paused = False
        self.is_over = False  # nothing more is to be recorded
        self.is_aborted = False  # the participant stopped the session
        self._has_started = False
        self._shows: _Shows = {}

    # --- what it tells ---

    @property
    def record(self) -> SessionRecord:
        return self._log.record

    def view(self, now: float) -> SessionView:
        duration_s = self._step.duration_s
        ends = None
        if self._began is not None and duration_s is not None:
            begun = self._began if self._paused_after is None else now - self._paused_after
            ends = begun + duration_s
        return SessionView(
            step=self._step,
            step_id=self._id,
            began=self._began,
            ends=ends,
            is_paused=self._is_paused,
            n_trials=self._plan.n_trials,
            trials=self.record.trials,
            **self._shows,
        )

    def red_checks(self, overridden: Iterable[str] = ()) -> tuple[str, ...]:
        """Return the names of the red checks that block the session."""
        checks = self._shows.get("checks", ())
        return tuple(check.name for check in checks if check.light == "red" and check.name not in overridden)

    # --- what others put into the view ---

    def show(self, **what: Unpack[_Shows]) -> None:
        """Put into the view what others know, until it is replaced; a message until the next step."""
        self._shows |= what

    def add_recording(self, path: Path) -> None:
        """Note the file of this run, relative to the session's folder."""
        self._log.change(recordings=(*self.record.recordings, path))

    def add_timing(self, timing: DisplayTiming) -> None:
        self._log.change(timing=(*self.record.timing, timing))

    # --- time and the screen ---

    def step(self, now: float) -> None:
        """Continue with the next step where one's time is over."""
        if self.is_over or self._is_paused:
            return
        if self._closing is not None and now > self._closing.due + GRACE_S:
            self._close(self._closing.due)
        if self._began is None:
            # the recording closes even if the final screen is never shown
            if self._step.kind == "finish" and self._issued is not None and now > self._issued + GRACE_S:
                self._begin(now)
        elif self._step.duration_s is not None and now >= self._began + self._step.duration_s:
            self._end(self._began + self._step.duration_s)

    def shown(self, step_id: int, time: float) -> None:
        """Take note that a step's first picture was on the screen at a time; a second one is ignored."""
        if step_id != self._id or self._began is not None or self._is_paused or self.is_over:
            return
        if self._closing is not None:
            time = max(time, self._closing.began)
            is_late = time > self._closing.due + GRACE_S
            self._close(self._closing.due if is_late else time)
        self._begin(time)

    # --- what the participant says ---

    def proceed(self, step_id: int, now: float, overridden: Iterable[str] = ()) -> bool:
        """Leave the signal checks if every red one is overridden; tell whether it did."""
        if step_id != self._id or self._step.kind != "preflight" or self.is_over:
            return False
        overridden = tuple(overridden)
        if red := self.red_checks(overridden):
            self.show(message=f"Failed checks: {', '.join(red)}. Fix them, or override and continue.")
            return False
        ignored = tuple(name for name in self.red_checks() if name not in self.record.overridden)
        self._log.change(overridden=(*self.record.overridden, *ignored))
        self._has_started = True
        self._log.mark(f"session_start/{self.record.subject}", now)
        self._next(DONE, now)
        return True

    def answer(self, step_id: int, report: Report, now: float) -> bool:
        """Take the participant's answer; tell whether it came in time."""
        if step_id != self._id or self._step.kind != "report" or self._began is None:
            if not self.is_over and step_id != self._answered_id:
                self.show(message="That answer came too late. The trial counts without an answer.")
            return False
        if self._is_paused or self.is_over:
            return False
        if not (report.label and _on_scale(report.valence) and _on_scale(report.arousal)):
            self.show(message="An answer needs a label, and valence and arousal from 1 to 9, if rated.")
            return False
        if self._step.trial:
            answer = f"{report.label}/{report.valence or NOT_RATED}/{report.arousal or NOT_RATED}"
            self._log.mark(f"report/{self._step.trial}/{answer}", now)
        self._answered_id = step_id
        self._end(now, report)
        return True

    def pause(self, now: float) -> None:
        """Stop the time; a stimulus, hint, practice or baseline that is running restarts afterwards."""
        if self._is_paused or self.is_over or not self._has_started or self._step.kind == "finish":
            return
        self._settle()
        if self._began is None or self._step.kind in _RESTARTED:
            self._cut(now, restarts=True)
        else:
            self._paused_after = now - self._began
        self._is_paused = True
        self._log.mark(PAUSE, now)

    def resume(self, now: float) -> None:
        if not self._is_paused or self.is_over:
            return
        self._is_paused = False
        self._log.mark(RESUME, now)
        if self._paused_after is not None:
            self._began = now - self._paused_after
            self._paused_after = None
        elif self._step.kind in _RESTARTED:
            self._next(RESTARTED, now)
        else:
            self._issue(self._step, now)  # an answer or a rest that had not been shown yet

    def repeat(self, trial: int, now: float) -> None:
        """Have a trial done again: the running one from its hint at once, an earlier one after this one."""
        step = self._step
        if self.is_over or step.kind == "finish":
            self.show(message="The session is over: no trial can be repeated now.")
        elif step.trial == trial and step.kind in ("hint", "stimulus"):
            if not self._is_paused:
                self._settle()
                self._cut(now, restarts=True)
                self._next(RESTARTED, now)
            self.show(message=f"Trial {trial} restarts.")
        elif not 1 <= trial <= self._plan.n_trials or trial in self._agenda.waiting:
            self.show(message=f"Trial {trial} cannot be repeated: it is still to come, or does not exist.")
        else:
            running = step.emotion if step.trial else None
            also = self._agenda.repeat(trial, running)
            with_it = f", and trial {also} with it to keep the order balanced" if also else ""
            self.show(message=f"Trial {trial} will be repeated{with_it}.")

    def skip(self, now: float) -> None:
        """Skip the running trial, or end a baseline, the practice or a rest early."""
        if self.is_over or not self._has_started or self._step.kind == "finish":
            return
        self.resume(now)
        self._settle()
        if self._step.kind in _OF_A_TRIAL and self._step.trial:
            self._cut(now)
            self._log.mark(f"trial_skipped/{self._step.trial}", now)
            span = None if self._step.kind == "hint" else self._stimulus_span
            self._log.add_trial(self._step, span or (now, now), state="skipped")
        else:
            began = now if self._began is None else self._began
            if self._began is not None:
                self._log.mark(self._step.offset_marker, now)
            self._log.keep_baseline(self._step, (began, now))
        self._next(SKIPPED, now)

    def abort(self, now: float) -> None:
        """Stop the session for good; what was done stays, and the running trial does not count."""
        if self.is_over:
            return
        self.is_over = self.is_aborted = True  # first: the disk may be full, and this must work then
        self._is_paused, self._paused_after = False, None
        try:
            self._settle()
            self._cut(now)
        finally:
            if self._has_started:
                self._log.mark(ABORTED, now)
            self._steps.close()
            self._issue(Step("finish"), now)
        n_over = len(finished_trials(self.record.trials))
        self.show(message=f"Stopped after {n_over} of {self._plan.n_trials} trials.")

    # --- how steps begin and end ---

    def _issue(self, step: Step, now: float) -> None:
        self._step = step
        self._id += 1
        self._issued = now
        self._began = None
        self._shows.pop("message", None)

    def _next(self, became: str, now: float) -> None:
        self._issue(self._steps.send(became), now)

    def _begin(self, time: float) -> None:
        step = self._step
        self._began = time
        self._log.mark(step.onset_marker, time)
        if step.kind == "hint":
            self._stimulus_span = None
            if any(trial.number == step.trial for trial in self.record.trials):
                self._log.mark(f"trial_repeated/{step.trial}", time)
        self.is_over = step.kind == "finish"

    def _end(self, due: float, report: Report | None = None) -> None:
        """End the current step; its offset marker waits for the next one's first picture."""
        assert self._began is not None
        self._settle()
        if self._step.kind == "report" and self._step.trial:
            assert self._stimulus_span is not None
            self._log.add_trial(self._step, self._stimulus_span, report)
        self._closing = _Closing(self._step, self._began, due)
        self._next(DONE, due)

    def _settle(self) -> None:
        """Close the step before if its successor ends before it was seen."""
        if self._closing is not None:
            self._close(self._closing.due)

    def _close(self, time: float) -> None:
        assert self._closing is not None
        step, began = self._closing.step, self._closing.began
        self._closing = None
        self._log.mark(step.offset_marker, time)
        if step.kind == "stimulus":
            self._stimulus_span = (began, time)
        else:
            self._log.keep_baseline(step, (began, time))

    def _cut(self, now: float, restarts: bool = False) -> None:
        """Break the current step off; a baseline without an end marker is one that does not count."""
        if self._began is None:
            return
        if self._step.kind == "stimulus":
            self._log.mark(self._step.offset_marker, now)
            self._stimulus_span = (self._began, now)
            if restarts:
                self._log.mark(f"trial_repeated/{self._step.trial}", now)
                self._log.add_trial(self._step, self._stimulus_span, state="repeated")
        self._began = None


@dataclasses.dataclass(frozen=True)
class _Closing:
    """A step that is over but still on the screen."""

    step: Step
    began: float
    due: float


def _on_scale(value: object) -> bool:
    return value is None or (isinstance(value, int) and 1 <= value <= 9)
