"""From rows to profile and report: the same for a live session and for its recording."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from acquisition.errors import InputError, file_errors
from acquisition.record.files import read_sidecar
from acquisition.types import MODALITIES, StreamLedger
from calibration.fit import FitOptions, fit
from calibration.profile import save_profile
from calibration.quality import TrialQuality, rejection
from calibration.report.page import write_report
from calibration.report.summary import Summary, summarise, to_json
from calibration.report.words import against_base
from calibration.rows import RowTable
from calibration.types import Result, SessionRecord
from models.checkpoint import Checkpoint

#: What ``--json`` takes over from the report's file.
_OF_REPORT = (
    *("subject", "session", "verdict", "balanced_accuracy", "wilson", "chance", "chance_threshold"),
    *("p_permutation", "trials_used", "trials_rejected", "fit_seconds", "base_model_accuracy"),
    "against_base_model",
)


@dataclass(frozen=True, eq=False)
class Finished:
    """A fitted session and where its files are."""

    summary: Summary
    profile: Path
    report: Path
    recordings: tuple[Path, ...]
    damage: tuple[str, ...] = ()  # of the recordings, as far as they were read

    def result(self) -> Result:
        is_simulated, said = self.summary.record.is_simulated, against_base(self.summary)
        return Result(self.summary.verdict, self.profile, self.report, self.recordings, is_simulated, said)

    def to_json(self) -> dict[str, Any]:
        report = to_json(self.summary)
        return {name: report[name] for name in _OF_REPORT} | {
            "recording": str(self.recordings[-1]) if self.recordings else None,
            "recordings": [str(path) for path in self.recordings],
            "profile": str(self.profile),
            "report": str(self.report),
            "is_simulated": self.summary.record.is_simulated,
        }

    def lines(self) -> list[str]:
        summary = self.summary
        subject = f"{summary.record.subject}, session {summary.record.session}"
        if summary.record.is_simulated:
            subject += " (simulated: not valid for real people)"
        return [
            subject,
            f"{summary.verdict.code}: {summary.verdict.words}",
            *filter(None, [against_base(summary)]),
            *(f"excluded: trial {one.number} ({one.emotion}): {one.reason}" for one in summary.excluded),
            *summary.notes,
            f"profile: {self.profile}",
            f"report: {self.report}",
        ]


@dataclass(frozen=True, eq=False)
class Material:
    """What a model is fitted to: rows of each run, and the quality of each trial done."""

    tables: Sequence[RowTable]
    qualities: Sequence[TrialQuality]
    ledgers: Sequence[StreamLedger] = ()  # as read, where no sidecar holds what the live run noted

    def rows(self) -> RowTable:
        return RowTable.concatenate(self.tables)

    def used_modalities(self, record: SessionRecord) -> tuple[str, ...]:
        held = [(t.eeg_there, t.eye_there, t.face_there, t.voice_clip_s > 0) for t in self.tables]
        found = {m: any(rows[at].any() for rows in held) for at, m in enumerate(MODALITIES)}
        return tuple(m for m in MODALITIES if m in record.consent.modalities and found[m])

    def rejected(self, record: SessionRecord) -> dict[int, str]:
        """Return why the signals of trials cannot be used, by number."""
        used = self.used_modalities(record)
        return {one.trial: reason for one in self.qualities if (reason := rejection(one, used))}


def recorded_ledgers(recordings: Sequence[Path]) -> list[StreamLedger]:
    """Return what the live runs noted of their samples in the sidecars; nothing of unreadable ones."""
    found: list[StreamLedger] = []
    for path in recordings:
        with contextlib.suppress(InputError, KeyError, TypeError):
            found += map(StreamLedger.from_record, read_sidecar(path).get("ledger", ()))
    return found


def fit_session(
    material: Material,
    record: SessionRecord,
    checkpoint: Checkpoint,
    options: FitOptions,
    *,
    folder: Path,
    recordings: Sequence[Path],
    progress: Callable[[str, float], None],
    keeps_poor: bool = False,
) -> Finished:
    """Fit a model, and write ``profile``, ``report.html`` and ``report.json`` into a folder.

    The base model's network is used by the calling thread alone; what follows from material and record
    (modalities, seed, date) is filled into the options. With ``keeps_poor`` trials of poor signals are used
    all the same, and noted. Raises InputError if too few trials are left, or the files cannot be written.
    """
    used, faults, notes = material.used_modalities(record), material.rejected(record), []
    if missing := [m for m in record.consent.modalities if m not in used]:
        notes.append(f"Consented to, but no data here: {', '.join(missing)}.")
    if keeps_poor and faults:
        number, reason = next(iter(faults.items()))
        notes.append(f"Poor signals in {len(faults)} of the trials used, e.g. trial {number}: {reason}.")
    date = record.consent.given_at
    fitted = fit(
        material.rows(),
        record,
        checkpoint,
        excluded={} if keeps_poor else faults,
        options=replace(options, modalities=used, seed=record.seed, date=date),
        progress=progress,
    )
    save_profile(folder / "profile", fitted.profile)
    notes += fitted.notes
    summary = summarise(
        record,
        fitted.figures,
        material.qualities,
        modalities=used,
        made_at=date,
        notes=notes,
        ledgers=recorded_ledgers(recordings) or material.ledgers,
    )
    remedy = "free some space and fit again: affectscope calibrate refit FILE"
    with file_errors("the report cannot be written", folder, remedy):
        report, _ = write_report(summary, folder)
    return Finished(summary, folder / "profile", report, tuple(recordings))
