"""From rows to profile and report: the same for a live session and for its recording."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from acquisition.errors import InputError
from acquisition.types import MODALITIES
from app.calibrate.outcome import Finished
from app.session_options import SessionOptions
from calibration.adapt import FitOptions, fit, one_thread
from calibration.crossvalidation import HeadFitter, labelled, leave_one_out, logits_of, trial_probs
from calibration.profile import save_profile
from calibration.quality import TrialQuality, rejection
from calibration.report.summary import summarise
from calibration.report.write import write_report
from calibration.rows import RowTable
from calibration.session_tokens import SessionTokens
from calibration.tokens import TrialWindows, modality_tokens
from calibration.trials import LEAST_PER_CLASS
from calibration.types import Progress, SessionRecord, TrialRecord
from models.checkpoint import Checkpoint
from models.features.normalise import Normaliser
from models.training.scores import wilson_interval


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


@torch.no_grad()
def named_trials(
    model: Checkpoint, rows: RowTable, trials: Sequence[TrialRecord]
) -> tuple[list[int], list[int]]:
    """Return the true class of each trial and the one that a model names, as indices of its labels.

    A trial is named by the mean of its windows' log-probabilities; one without a window is left out.
    """
    windows = TrialWindows(rows, trials, model.config)
    normaliser = Normaliser.from_dict(model.normaliser_tensors)
    given = modality_tokens(model.network, windows, normaliser, model.config.modalities)
    logits, _ = model.network.fusion(given.tokens, given.present)
    log_probs = torch.log_softmax(logits.double(), dim=-1).numpy()
    true, said = [], []
    for trial in trials:
        inside = windows.trial == trial.number
        if inside.any():
            true.append(model.config.labels.index(trial.emotion))
            said.append(int(log_probs[inside].mean(axis=0).argmax()))
    return true, said


def progress_of(
    material: Material, record: SessionRecord, checkpoint: Checkpoint, labels: str
) -> Progress | None:
    """Return how a model does so far on trials that neither it nor the person's level has seen.

    While a class still waits for its second trial, the base model answers from the person's level; then the
    linear head does, the faster one. None where the base model does not know the classes and too few trials
    are done for a head.

    Parameters
    ----------
    checkpoint : Checkpoint
        The base model; its network is used by the calling thread alone.
    """
    faults = rejected(material, record)
    counts = Counter(trial.emotion for trial in record.trials if trial.state == "done")
    has_pairs = all(counts[name] >= LEAST_PER_CLASS for name in record.classes)
    config = checkpoint.config
    if not has_pairs and not (config.is_classifier and set(record.classes) <= set(config.labels)):
        return None
    try:
        classes, trials, label = _so_far(record, faults, labels)
    except InputError:  # those that were left out are missed
        return None
    with one_thread():
        source = SessionTokens(material.rows(), record, trials, checkpoint, used_modalities(material, record))
        if has_pairs:
            fitter = HeadFitter(checkpoint.network, classes)
            said = leave_one_out(labelled(source, label), fitter, "linear").predicted()
        else:
            said = _by_base_model(source, label, checkpoint, classes)
    right = {number: said.get(number) == found for number, found in label.items()}
    weakest = _weakest(label, right)
    wrong = [number for number, is_right in right.items() if not is_right and label[number] == weakest]
    return Progress(
        n_trials=len(right),
        n_correct=sum(right.values()),
        interval=wilson_interval(sum(right.values()) / len(right), len(right)),
        chance=1 / len(classes),
        weakest="" if weakest is None else classes[weakest],
        worth_repeating=next(iter([*faults, *wrong]), 0),
    )


def _so_far(
    record: SessionRecord, faults: Mapping[int, str], labels: str
) -> tuple[tuple[str, ...], tuple[TrialRecord, ...], dict[int, int]]:
    """Return classes, usable trials and the class of each."""
    done = [trial for trial in record.trials if trial.state == "done" and trial.number not in faults]
    named = {
        t.number: t.emotion if labels == "intended" or t.report is None else t.report.label for t in done
    }
    trials = tuple(trial for trial in done if named[trial.number] in record.classes)
    if not trials:
        raise InputError("no trial can be used yet", where="calibration")
    return record.classes, trials, {t.number: record.classes.index(named[t.number]) for t in trials}


def _by_base_model(
    source: SessionTokens, label: Mapping[int, int], checkpoint: Checkpoint, classes: Sequence[str]
) -> dict[int, int]:
    """Return the class that the base model names for each trial, by the person's level of the others."""
    columns = [checkpoint.config.labels.index(name) for name in classes]
    said = {}
    for number in label:
        data = labelled(source, label, without=(number,))
        logits = logits_of(checkpoint.network.fusion, data.of(data.trial == number))[:, columns]
        if len(logits):
            said[number] = int(trial_probs(logits).argmax())
    return said


def _weakest(label: Mapping[int, int], right: Mapping[int, bool]) -> int | None:
    """Return the class with the smallest share of trials right; None where all are."""
    shares: dict[int, list[bool]] = {}
    for number, found in label.items():
        shares.setdefault(found, []).append(right[number])
    weakest = min(shares, key=lambda found: sum(shares[found]) / len(shares[found]))
    return None if all(shares[weakest]) else weakest


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
) -> Finished:
    """Fit a model, and write profile and report.

    Parameters
    ----------
    material : Material
    record : SessionRecord
    checkpoint : Checkpoint
        The base model; its network is used by the calling thread alone.
    options : SessionOptions
        As the signals were read.
    labels : str
        intended or reported.
    folder : Path
        Gets ``profile``, ``report.html`` and ``report.json``.
    recordings : sequence of Path
    progress : callable
        Told stage and share done.
    notes : sequence of str
        Sentences for the report.

    Raises
    ------
    InputError
        If too few trials are left, or the files cannot be written.
    """
    used = used_modalities(material, record)
    missing = [m for m in record.consent.modalities if m not in used]
    if missing:
        notes = [*notes, f"Agreed to, and without data here: {', '.join(missing)}."]
    fitted = fit(
        material.rows(),
        record,
        checkpoint,
        left_out=rejected(material, record),
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
