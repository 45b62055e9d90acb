"""From rows to profile and report: the same for a live session and for its recording."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from acquisition.errors import InputError
from acquisition.types import MODALITIES
from calibration.fit import FitOptions, fit, progress_of
from calibration.profile import save_profile
from calibration.quality import TrialQuality, rejection
from calibration.report.page import write_report
from calibration.report.summary import summarise
from calibration.rows import RowTable
from calibration.types import Progress, SessionRecord
from models.checkpoint import Checkpoint


@dataclass(frozen=True, eq=False)
class Material:
    """What a model is fitted to: rows of each run, and the quality of each trial done."""

    tables: Sequence[RowTable]
    qualities: Sequence[TrialQuality]

    def rows(self) -> RowTable:
        """Return the rows of all runs."""
        return RowTable.concatenate(self.tables)


def rejected(material: Material, record: SessionRecord) -> Mapping[int, str]:
    """Return why trials are left out, by number."""
    used = used_modalities(material, record)
    faults = {quality.trial: rejection(quality, used) for quality in material.qualities}
    return {number: reason for number, reason in faults.items() if reason}


def used_modalities(material: Material, record: SessionRecord) -> tuple[str, ...]:
    """Return what was agreed to and has data."""
    there = {
        "eeg": any(table.eeg_there.any() for table in material.tables),
        "eye": any(table.eye_there.any() for table in material.tables),
        "face": any(table.face_there.any() for table in material.tables),
        "voice": any((table.voice_clip_s > 0).any() for table in material.tables),
    }
    return tuple(m for m in MODALITIES if m in record.consent.modalities and there[m])


def progress_so_far(
    material: Material, record: SessionRecord, checkpoint: Checkpoint, labels: str
) -> Progress | None:
    """Return how a model does on the trials so far, see `calibration.fit`."""
    return progress_of(
        material.rows(),
        record,
        checkpoint,
        left_out=rejected(material, record),
        modalities=used_modalities(material, record),
        labels=labels,
    )


def fit_session(
    material: Material,
    record: SessionRecord,
    checkpoint: Checkpoint,
    options: SessionOptions,
    *,
    labels: str,
    folder: Path,
    recordings: Sequence[Path],
    progress: Callable[[str, float], None],
    notes: Sequence[str] = (),
    keeps_poor: bool = False,
) -> Finished:
    """Fit a model, and write profile and report.

    Parameters
    ----------
    checkpoint : Checkpoint
        The base model; its network is used by the calling thread alone.
    options : SessionOptions
        As the signals were read.
    labels : str
        intended or reported.
    folder : Path
        Gets ``profile``, ``report.html`` and ``report.json``.
    progress : callable
        Told stage and share done.
    notes : sequence of str
        Sentences for the report.
    keeps_poor : bool
        Trials whose signals are poor are used all the same, and noted.

    Raises
    ------
    InputError
        If too few trials are left, or the files cannot be written.
    """
    used = used_modalities(material, record)
    missing = [m for m in record.consent.modalities if m not in used]
    if missing:
        notes = [*notes, f"Agreed to, and without data here: {', '.join(missing)}."]
    faults = rejected(material, record)
    if keeps_poor and faults:
        number, reason = next(iter(faults.items()))
        notes = [*notes, f"Poor signals in {len(faults)} of the trials used, as in trial {number}: {reason}."]
    fitted = fit(
        material.rows(),
        record,
        checkpoint,
        left_out={} if keeps_poor else faults,
        options=FitOptions(
            labels=labels,
            modalities=used,
            seed=record.seed,
            base_name=options.model.name,
            line_hz=options.line,
            date=record.consent.given_at,
            screen_cm=options.screen_cm,
            distance_cm=options.distance_cm,
        ),
        progress=progress,
    )
    profile = folder / "profile"
    save_profile(profile, fitted.profile)
    summary = summarise(
        record,
        fitted.figures,
        material.qualities,
        modalities=used,
        made_at=record.consent.given_at,
        notes=[*notes, *fitted.notes],
    )
    try:
        report, _ = write_report(summary, folder)
    except OSError as error:
        raise InputError(
            f"the report cannot be written: {error.strerror or error}",
            where=str(folder),
            remedy="free some space, and fit again with --from-xdf",
        ) from error
    return Finished(summary, profile, report, tuple(recordings))
