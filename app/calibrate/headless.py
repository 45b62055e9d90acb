"""A session without a window: a simulated subject, or a subject who follows lines in the terminal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial

from acquisition.errors import ErrorCode, InputError, pasteable
from app.calibrate.fitting import FinalFit, earlier_runs
from app.calibrate.offline import StageLines
from app.calibrate.prepare import prepare
from app.calibrate.run import CalibrationRun
from app.request import CalibrationRequest
from calibration.outcome import Finished
from calibration.protocol import simulated_report, too_slow
from calibration.storage import SessionPlace, next_run
from calibration.types import Consent, SessionRecord, SessionView

_LEAST_S = 5.0  # rates are counted over this time
_SETTLE_S = 20.0  # longest wait for yellow checks
_RED_S = 40.0  # and for red ones: a busy computer may make a rate look wrong for a while
_BACK_WITHIN_S = 60.0  # longest wait for a stream that has gone


class HeadlessController:
    """Shows the steps as lines, and answers for a simulated subject.

    ``say`` prints a line; ``seed`` is the simulated subject's. A real subject's report is missing without a
    window to ask in.
    """

    def __init__(self, say: Callable[[str], None], seed: int, *, is_simulated: bool) -> None:
        self._say, self._seed, self._is_simulated = say, seed, is_simulated
        self._seen_step = self._n_trials_told = 0
        self._message = ""
        self._rejected: set[int] = set()
        self._preflight_from: float | None = None
        self._silent_from: float | None = None

    def act(self, run: CalibrationRun, now: float) -> None:
        """Do what is due; gives up where a check stays red or a stream stays away."""
        if run.session.is_over:
            return
        view = run.session.view(now)
        self._tell(view)
        if run.learning is not None:
            self._warn(run.learning.rejected, too_slow(run.session.record))
        if view.step.kind == "preflight":
            self._pass_preflight(run, view, now)
        elif view.step_id != self._seen_step and not view.is_paused:
            self._seen_step = view.step_id
            self._say(_words(view))
            run.session.shown(view.step_id, now)
        elif view.step.kind == "report" and view.began is not None and self._is_simulated:
            step, classes = view.step, run.prepared.plan.classes
            emotion = step.emotion or classes[0]  # of the practice
            report = simulated_report(self._seed, step.trial, emotion, classes)
            run.session.answer(view.step_id, report, now)
        self._care_for_streams(run, view, now)

    def _tell(self, view: SessionView) -> None:
        if view.message and view.message != self._message:
            self._say(view.message)
        self._message = view.message
        progress = view.progress
        if progress is not None and progress.n_trials > self._n_trials_told:
            self._n_trials_told = progress.n_trials
            weakest = f", weakest: {progress.weakest}" if progress.weakest else ""
            self._say(f"so far {progress.n_correct} of {progress.n_trials} trials are correct{weakest}")

    def _warn(self, rejected: Mapping[int, str], remedy: str) -> None:
        """Say of each trial without usable signals that it is, as soon as that is known."""
        for number in sorted(set(rejected) - self._rejected):
            self._rejected.add(number)
            advice = f" ({remedy})" if remedy else ""
            self._say(f"WARNING: trial {number} cannot be used: {rejected[number]}{advice}")

    def _pass_preflight(self, run: CalibrationRun, view: SessionView, now: float) -> None:
        """Continue once all checks are green, or those that are not have had their time."""
        if self._preflight_from is None:
            self._preflight_from = now
        waited_s = now - self._preflight_from
        lights = [check.light for check in view.checks]
        is_settled = waited_s >= (_LEAST_S if set(lights) == {"green"} else _SETTLE_S)
        red = [check for check in view.checks if check.light == "red"]
        if not lights or not is_settled or (red and waited_s < _RED_S):
            return
        if red:
            what = "; ".join(f"{check.name}: {check.finding}" for check in red)
            remedy = "; ".join(check.remedy for check in red if check.remedy)
            run.give_up(InputError(what, where="signal checks", remedy=remedy, code=ErrorCode.DATA), now)
        elif self._seen_step != view.step_id:
            self._seen_step = view.step_id
            for check in view.checks:
                remedy = f" ({check.remedy})" if check.remedy else ""
                self._say(f"{check.light:>6}  {check.name}: {check.finding}{remedy}")
            run.session.shown(view.step_id, now)
            run.proceed(view.step_id, now)

    def _care_for_streams(self, run: CalibrationRun, view: SessionView, now: float) -> None:
        if not view.is_paused:
            self._silent_from = None
        elif not run.silent:
            self._say("all streams are back: the session resumes")
            run.session.resume(now)
        elif self._silent_from is None:
            self._silent_from = now
        elif now > self._silent_from + _BACK_WITHIN_S:
            lost = f"no samples of {', '.join(sorted(run.silent))} for {_BACK_WITHIN_S:.0f} s"
            what = f"{lost}: the session is interrupted; everything recorded is kept"
            remedy = "run the same command again: it resumes where this stopped"
            run.give_up(InputError(what, where="streams", remedy=remedy, code=ErrorCode.NO_STREAM), now)


def _words(view: SessionView) -> str:
    step = view.step
    if step.kind == "hint":
        return f"trial {step.trial} of {view.n_trials}: {step.emotion}"
    if step.kind == "stimulus":
        shown = step.stimulus.text or str(step.stimulus.path) if step.stimulus is not None else ""
        return f"  shown for {step.duration_s:.0f} s: {shown}"
    if step.kind == "finish":
        return "the session is over"
    length = f" ({step.duration_s:.1f} s)" if step.duration_s is not None else ""
    return f"  {step.kind.replace('_', ', ')}{length}"


def calibrate_headless(
    request: CalibrationRequest,
    consent: Consent,
    interrupted: threading.Event,
    say: Callable[[str], None],
    lack: Callable[[str], None] = lambda problem: None,
) -> Finished | None:
    """Run a whole session without a window; None where it was interrupted.

    ``interrupted`` ends it when set; ``say`` is called with each line of progress, ``lack`` with what the
    recording lacks in the end. Raises InputError if something is wrong; what was recorded is kept.
    """
    prepared = prepare(request)
    if prepared.unfitted is not None:
        place, record = prepared.unfitted
        say(f"session {record.session} of {record.subject} is complete but not fitted yet: fitting it")
        runs = partial(earlier_runs, request, place, record, next_run(record), record.consent)
        return _finished(FinalFit(request, place, record, runs), place, record, interrupted, say)
    if request.simulated is not None:
        say("All data in this session is simulated and not valid for real people.")
    if prepared.words:
        say(prepared.words)
    controller = HeadlessController(say, request.seed, is_simulated=request.simulated is not None)
    run = CalibrationRun(prepared, consent, controller.act, interrupted=interrupted)
    record = run.run()
    for problem in run.live.problems:
        lack(problem)
    if run.session.is_aborted:
        say(f"interrupted; everything so far is kept in {run.place.folder}; the same command resumes it")
        return None
    return _finished(run.final_fit(), run.place, record, interrupted, say)


def _finished(
    fit: FinalFit,
    place: SessionPlace,
    record: SessionRecord,
    interrupted: threading.Event,
    say: Callable[[str], None],
) -> Finished | None:
    fit.start()
    tell = StageLines(say)
    while fit.is_alive():
        fit.join(0.1)
        if interrupted.is_set():
            fit.stop()
            files = pasteable(*(place.folder / name for name in record.recordings))
            say(f"not fitted: run the same command again, or: affectscope calibrate refit {files}")
            return None
        tell(fit.stage, fit.share)
    return fit.finished()
