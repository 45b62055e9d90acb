"""The words of a session's markers, and how a recording's markers are read back into trials."""

from __future__ import annotations

from calibration.types import Report

PAUSE = "pause"
RESUME = "resume"
ABORTED = "session_aborted"


def session_start(subject: str) -> str:
    """Return the marker of a run's beginning."""
    return f"session_start/{subject}"


def report(trial: int, answer: Report) -> str:
    """Return the marker of an answer."""
    return f"report/{trial}/{answer.label}/{answer.valence}/{answer.arousal}"


def trial_skipped(trial: int) -> str:
    """Return the marker of a trial given up: what it has shown since its hint does not count."""
    return f"trial_skipped/{trial}"


def trial_repeated(trial: int) -> str:
    """Return the marker of a trial that begins anew: what it has shown since its hint does not count."""
    return f"trial_repeated/{trial}"
