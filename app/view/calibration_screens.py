"""The screen for each state of a calibration, with its words and its timing; without Qt."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from acquisition.text import percent
from app.engine.messages import Phase
from app.view.text import message_line, one_line
from calibration.types import Check, DisplayTiming, Progress, Result, SessionView

#: Screens that fill the window and on which nothing else happens.
CALM_SCREENS = ("fixation", "practice", "hint", "stimulus")
_OF_BASELINE = {"baseline_open": "fixation", "baseline_closed": "fixation"}
_STEP_WORDS = {
    "preflight": "Signal check",
    "baseline_open": "Baseline, eyes open",
    "baseline_closed": "Baseline, eyes closed",
    "finish": "End of the session",
}
LIGHT_WORDS = {"green": "Good", "yellow": "Check", "red": "Stop"}


def screen_of(view: SessionView | None, phase: Phase, *, has_agreed: bool) -> str:
    """Return the name of the screen to show; there is no ``view`` before the engine has sent one."""
    if view is not None and view.result is not None:
        return "finish"
    if phase.name == "failed":
        return "failed"
    if not has_agreed:
        return "notice"
    if phase.name == "ended":
        return "failed"
    if view is None:
        return "waiting"
    if view.is_paused:
        return "pause"
    return _OF_BASELINE.get(view.step.kind, view.step.kind)


def is_armed_to_pause(view: SessionView | None) -> bool:
    """Tell whether there is something to pause: between the signal check and the end."""
    return view is not None and view.step.kind not in ("preflight", "finish") and view.result is None


def by_gravity(checks: Sequence[Check]) -> list[Check]:
    """Return checks, those that stop the session first, otherwise in their order."""
    return sorted(checks, key=lambda check: ("red", "yellow", "green").index(check.light))


def checks_in_words(checks: Sequence[Check]) -> str:
    """Return how many of each light there are: "1 stop, 2 to check, 5 good"."""
    n_of = Counter(check.light for check in checks)
    words = {"red": "stop", "yellow": "to check", "green": "good"}
    return ", ".join(f"{n_of[k]} {word}" for k, word in words.items() if n_of[k] or k == "green")


def done_so_far(view: SessionView) -> int:
    return len({trial.number for trial in view.trials if trial.state == "done"})


def progress_in_words(progress: Progress) -> str:
    """Return the model's accuracy so far, with its uncertainty."""
    share = progress.n_correct / progress.n_trials if progress.n_trials else 0.0
    low, high = map(percent, progress.interval)
    return (
        f"Held-out accuracy: {progress.n_correct} of {progress.n_trials} trials, {percent(share)} "
        f"(95 % CI {low} to {high}; chance {percent(progress.chance)})"
    )


def named_files(result: Result) -> list[str]:
    """Return a line for each file of a session: report, profile, and the recording of every run."""
    recordings = (("Recording", path) for path in result.recordings)
    named = (("Report", result.report), ("Profile", result.profile), *recordings)
    return [f"{what}: {path}" for what, path in named if path is not None]


def step_in_words(view: SessionView | None, phase: Phase) -> str:
    """Return where a session stands, for the operator: "Trial 3 of 10 (happy): stimulus"."""
    if view is None:
        return message_line(phase.message or phase.name).capitalize()
    step = view.step
    words = _STEP_WORDS.get(step.kind, step.kind if step.trial else "Practice")
    if step.trial:
        words = f"Trial {step.trial} of {view.n_trials} ({one_line(step.emotion)}): {words}"
    return f"{words} (paused)" if view.is_paused else words


def trial_rows(view: SessionView | None, order: Sequence[str]) -> list[tuple[str, str, str, str]]:
    """Return number, emotion, state and answer of each trial; ``order`` is the planned emotions."""
    trials = () if view is None else view.trials
    newest = {trial.number: trial for trial in trials}
    rows = []
    for number, emotion in enumerate(order, start=1):
        trial = newest.get(number)
        state = trial.state if trial is not None else "to come"
        if view is not None and view.step.trial == number and view.step.kind not in ("rest", "finish"):
            trial, state = None, view.step.kind
        said = "none" if state == "done" else ""
        if trial is not None and (answer := trial.report) is not None:
            said = f"{one_line(answer.label)} ({answer.valence or '-'}, {answer.arousal or '-'})"
        rows.append((str(number), one_line(emotion), state, said))
    return rows


#: An interval longer than so many medians holds a frame that was not drawn.
MISSED_FROM = 1.5


def display_timing(step: str, drawn: Sequence[float]) -> DisplayTiming | None:
    """Return median interval and missed frames of a step, None of fewer than three frames.

    ``step`` is its onset marker, ``drawn`` when each frame was drawn, in seconds.
    """
    if len(drawn) < 3:
        return None
    intervals = np.diff(np.asarray(drawn, dtype=np.float64))
    median = float(np.median(intervals))
    n_missed = int(np.count_nonzero(intervals > MISSED_FROM * median))
    return DisplayTiming(step, median, len(drawn), n_missed)
