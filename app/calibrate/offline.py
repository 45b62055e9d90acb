"""A session fitted again from its recordings: the same bytes every time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from acquisition.errors import InputError
from acquisition.record.files import read_sidecar
from acquisition.types import MODALITIES
from app.calibrate.rows import RecordedRun, read_run
from app.request import CalibrationRequest
from calibration.consent import consent_from_record
from calibration.finished import Finished
from calibration.markers import record_from_markers
from calibration.outcome import Material, fit_session
from calibration.storage import STATE_FILE, load_record
from calibration.types import Consent, SessionRecord


def fit_again(
    files: Sequence[Path],
    request: CalibrationRequest,
    consent: Consent | None,
    out: Path | None,
    say: Callable[[str], None],
) -> Finished:
    """Fit a model to recordings of calibrations.

    Parameters
    ----------
    files : sequence of Path
        Runs of one session, or of several, in the order of time.
    request : CalibrationRequest
        Its options and labels count.
    consent : Consent or None
        Where neither a recording's sidecar nor a session's file beside it holds one. Of several consents
        each recording keeps its own, and the model uses what all of them allow.
    out : Path or None
        Folder for profile and report; without it ``fit`` beside the first recording.
    say : callable
        Told in a line how it goes.

    Raises
    ------
    InputError
        If a recording cannot be used, holds no trial of a calibration, or nobody has agreed to its use.
    """
    if twice := [path for path in files if [one.resolve() for one in files].count(path.resolve()) > 1]:
        raise InputError("the file is named twice", where=str(twice[0]), remedy="name each recording once")
    sidecars = [read_sidecar(path) for path in files]
    if len(people := {str(one["subject"]) for one in sidecars if "subject" in one}) > 1:
        raise InputError(
            f"expected recordings of one person, found {' and '.join(sorted(people))}",
            where="--from-xdf",
            remedy="a model is of one person: fit each one's recordings apart",
        )
    consents = [_consent(path, sidecar, consent) for path, sidecar in zip(files, sidecars, strict=True)]
    runs: list[RecordedRun] = []
    record: SessionRecord | None = None
    for number, (path, agreed) in enumerate(zip(files, consents, strict=True), start=1):
        say(f"reading {path.name}")
        runs.append(read_run(path, request.options, agreed.modalities, run=number))
        is_same = number == 1 or _session_of(sidecars[number - 1]) == _session_of(sidecars[number - 2])
        record = _with_run(record, runs[-1], number, is_same_session=is_same)
    assert record is not None
    damage = tuple(f"{run.path.name}: {damage}" for run in runs for damage in run.damage)
    for line in damage:
        say(f"damaged: {line}")
    record = _completed(record, sidecars[0], consents, files, any(run.is_simulated for run in runs))
    done = [trial for trial in record.trials if trial.state == "done"]
    material = Material(
        [run.rows for run in runs],
        [runs[t.run - 1].quality.of_trial(t.number, t.begin, t.end) for t in done],
    )
    folder = out or files[0].absolute().parent / "fit"
    make_folder(folder)
    found = fit_session(
        material,
        record,
        runs[0].checkpoint,
        runs[0].options,
        labels=request.labels,
        folder=folder,
        recordings=[path.absolute() for path in files],
        progress=StageLines(say),
    )
    return replace(found, damage=damage)


def _with_run(
    earlier: SessionRecord | None, run: RecordedRun, number: int, *, is_same_session: bool
) -> SessionRecord:
    """Return the record with what a run's markers say; trials of another session get numbers of their own."""
    if earlier is None or is_same_session:
        record = record_from_markers(run.markers, earlier, number)
    else:
        own = record_from_markers(run.markers, None, number)
        offset = max((trial.number for trial in earlier.trials), default=len(earlier.order))
        offset = max(offset, len(earlier.order))
        later = tuple(replace(trial, number=trial.number + offset) for trial in own.trials)
        record = replace(
            earlier,
            trials=(*earlier.trials, *later),
            order=(*earlier.order, *own.order),
            classes=tuple(sorted({*earlier.classes, *own.classes})),
        )
    if not any(trial.run == number for trial in record.trials):
        raise InputError(
            "expected the markers of a calibration with a trial shown to its end, found none",
            where=str(run.path),
            remedy='of another recording, say which markers begin a trial: --events "MARKER=CLASS,..."',
        )
    return record


def _completed(
    record: SessionRecord,
    sidecar: dict[str, Any],
    consents: Sequence[Consent],
    files: Sequence[Path],
    is_simulated: bool,
) -> SessionRecord:
    """Add what is not in the markers."""
    settings = sidecar.get("calibration")
    settings = dict(settings) if isinstance(settings, dict) else {}
    known = settings.pop("classes", None)
    classes = record.classes
    if isinstance(known, list) and set(map(str, known)) >= set(classes):
        classes = tuple(str(name) for name in known)  # in the order of the protocol
    everybody = tuple(m for m in MODALITIES if all(m in agreed.modalities for agreed in consents))
    session, seed = sidecar.get("session"), settings.pop("seed", 0)
    return replace(
        record,
        session=session if isinstance(session, int) else 1,
        seed=seed if isinstance(seed, int) and seed >= 0 else 0,
        classes=classes,
        consent=replace(consents[0], modalities=everybody),
        recordings=tuple(Path(path.name) for path in files),
        settings=settings,
        is_simulated=is_simulated,
    )


def _consent(path: Path, sidecar: dict[str, Any], given: Consent | None) -> Consent:
    """Return what the person agreed to, as it is kept beside the recording."""
    if isinstance(sidecar.get("consent"), dict):
        try:
            return consent_from_record(sidecar["consent"])
        except InputError as error:
            raise InputError(str(error), where=f"sidecar of {path}") from error
    state = path.parent / STATE_FILE
    if state.is_file():
        return load_record(state).consent
    if given is None:
        raise InputError(
            "no consent is kept beside it",
            where=str(path),
            remedy="name what the person agreed to be used: --consent eeg,eye",
        )
    return given


def _session_of(sidecar: dict[str, Any]) -> tuple[object, object]:
    return sidecar.get("subject"), sidecar.get("session")


def make_folder(folder: Path) -> None:
    """Make a folder for profile and report.

    Raises
    ------
    InputError
        If it cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the folder cannot be made: {error.strerror or error}",
            where=str(folder),
            remedy="name another one with --out",
        ) from error


class StageLines:
    """Says each stage of a fit once.

    Parameters
    ----------
    say : callable
        Prints a line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._stage = say, ""

    def __call__(self, stage: str, share: float) -> None:
        if stage != self._stage:
            self._stage = stage
            self._say(f"fitting: {stage}")
