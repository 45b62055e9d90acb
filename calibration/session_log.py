"""Keeps the record of a running session and sends its markers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from calibration.types import Report, SessionRecord, Step, TrialRecord


class SessionLog:
    """What a session writes down as it goes.

    Parameters
    ----------
    record : SessionRecord
        What there is already.
    on_marker : callable
        Gets each marker and its LSL time.
    on_change : callable
        Gets the record whenever it has changed.
    run : int
        Of the recording now made, from 1.
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
        """Send a marker; an empty one is none."""
        if text:
            self._on_marker(text, time)

    def change(self, **changes: Any) -> None:
        """Change fields of the record."""
        self.record = replace(self.record, **changes)
        self._on_change(self.record)

    def keep_baseline(self, step: Step, span: tuple[float, float]) -> None:
        """Note when a baseline was; another kind of step is left alone."""
        if step.kind == "baseline_open":
            self.change(baseline=(span,), baseline_run=self._run)
        elif step.kind == "baseline_closed":
            self.change(baseline=(*self.record.baseline[:1], span))

    def add_trial(
        self, step: Step, span: tuple[float, float], report: Report | None = None, state: str = "done"
    ) -> None:
        """Add what became of a trial; once it is done, an earlier one of its number counts no more."""
        earlier = self.record.trials
        if state == "done":
            earlier = tuple(_superseded(trial) if trial.number == step.trial else trial for trial in earlier)
        trial = TrialRecord(step.trial, step.emotion, *span, report=report, state=state, run=self._run)
        self.change(trials=(*earlier, trial))


def _superseded(trial: TrialRecord) -> TrialRecord:
    return replace(trial, state="repeated") if trial.state == "done" else trial
