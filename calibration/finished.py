"""What a calibration came to, for the terminal and for the window."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calibration.report.summary import Summary
from calibration.types import Result


@dataclass(frozen=True, eq=False)
class Finished:
    """A fitted session and where its files are."""

    summary: Summary
    profile: Path
    report: Path
    recordings: tuple[Path, ...]
    damage: tuple[str, ...] = ()  # of the recordings, as far as they were read

    def result(self) -> Result:
        """Return what the window shows."""
        verdict = self.summary.verdict
        return Result(
            verdict.verdict,
            verdict.words,
            verdict.balanced_accuracy,
            verdict.interval,
            verdict.chance,
            self.profile,
            self.report,
            self._recording,
            self.summary.is_simulated,
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        verdict, fit = self.summary.verdict, self.summary.fit
        return {
            "subject": self.summary.subject,
            "session": self.summary.session,
            "verdict": verdict.verdict,
            "balanced_accuracy": verdict.balanced_accuracy,
            "wilson": list(verdict.interval),
            "chance": verdict.chance,
            "chance_threshold": verdict.threshold.balanced_accuracy,
            "p_permutation": verdict.p_permutation,
            "trials_used": verdict.n_trials,
            "trials_rejected": len(self.summary.left_out),
            "fit_seconds": fit.fit_seconds,
            "recording": str(self._recording) if self._recording else None,
            "recordings": [str(path) for path in self.recordings],
            "profile": str(self.profile),
            "report": str(self.report),
            "base_model_accuracy": None if fit.base_model is None else fit.base_model.balanced_accuracy,
            "is_simulated": self.summary.is_simulated,
        }

    def lines(self) -> list[str]:
        """Return the same in words."""
        whose = f"{self.summary.subject}, session {self.summary.session}"
        if self.summary.is_simulated:
            whose += " (simulated: no real person and no real device is involved)"
        left_out = [
            f"left out: trial {one.number} ({one.emotion}): {one.reason}" for one in self.summary.left_out
        ]
        return [
            whose,
            f"{self.summary.verdict.verdict}: {self.summary.verdict.words}",
            *left_out,
            *self.summary.notes,
            f"profile: {self.profile}",
            f"report: {self.report}",
        ]

    @property
    def _recording(self) -> Path | None:
        return self.recordings[-1] if self.recordings else None
