"""A session fitted again from its recordings, read by the path of a live one: the same bytes every time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from acquisition.errors import ErrorCode, InputError
from acquisition.record.files import read_sidecar
from acquisition.select import is_calibration, without
from acquisition.types import MODALITIES, MODALITY_OF_KIND
from acquisition.xdf.outline import read_markers
from app.model_loading import make_decoder
from app.replay import ReplayFile
from app.request import CalibrationRequest, SessionOptions
from app.telemetry import simulated_streams
from calibration.consent import consent_from_record
from calibration.fit import FitOptions
from calibration.markers import record_from_markers
from calibration.outcome import Finished, Material, fit_session
from calibration.quality import QualityLog, TrialQuality
from calibration.rows import RowPump, RowTable
from calibration.storage import STATE_FILE, load_record
from calibration.types import Consent, SessionRecord, TrialRecord
from models.checkpoint import Checkpoint

Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class RecordedRun:
    """What a recording holds of a calibration."""

    path: Path
    rows: RowTable
    quality: QualityLog
    markers: tuple[tuple[float, str], ...]  # of the calibration, LSL seconds and text
    modalities: tuple[str, ...]  # of its streams, as far as they may be used
    damage: tuple[str, ...]
    checkpoint: Checkpoint  # the base model that the rows are for
    options: SessionOptions  # as it was read
    is_simulated: bool

    def qualities(self, trials: Iterable[TrialRecord]) -> list[TrialQuality]:
        """Return the quality of trials."""
        return [self.quality.of_trial(trial.number, trial.begin, trial.end) for trial in trials]


def read_run(
    path: Path, options: SessionOptions, modalities: tuple[str, ...], *, run: int = 1
) -> RecordedRun:
    """Read a recording from front to back.

    The options are completed by what the recording's sidecar says; ``modalities`` are those of the consent,
    and others are not opened. Raises InputError if the file, a stream in it or the model cannot be used.
    """
    others = [modality for modality in MODALITIES if modality not in modalities]
    file = ReplayFile(path, replace(options, streams=without(options.streams, others)))
    source = file.open()
    try:
        first, last = file.span(source)
        decoder = make_decoder(file.checkpoint, file.options, lambda message: None)
        log = QualityLog(line_hz=file.options.line)
        pump = RowPump(source, decoder, run=run, on_event=log.on_event, on_chunk=log.on_chunk)
        pump.run_to(first, last)
        log.finish()
    finally:
        source.close()
    used = {MODALITY_OF_KIND[kind] for kind in file.kinds.values() if kind in MODALITY_OF_KIND}
    return RecordedRun(
        path,
        pump.rows.table(),
        log,
        _markers(file),
        tuple(modality for modality in MODALITIES if modality in used),
        tuple(source.damage),
        file.checkpoint,
        file.options,
        bool(simulated_streams(file.headers).simulated),
    )


def _markers(file: ReplayFile) -> tuple[tuple[float, str], ...]:
    found = [
        pair
        for stream_id, stream in file.index.streams.items()
        if is_calibration(stream.header)
        for pair in read_markers(file.index, stream_id, file.make_intake)
    ]
    return tuple(sorted(found, key=lambda pair: pair[0]))  # stable: those of one moment keep their order


def fit_again(
    files: Sequence[Path], request: CalibrationRequest, consent: Consent | None, out: Path | None, say: Say
) -> Finished:
    """Fit a model to recordings of calibrations.

    The files are runs of one session, or of several, in the order of time. ``consent`` is for recordings with
    none in their sidecar or in the session's file beside them; of several consents each recording keeps its
    own, and the model uses what all of them allow. Without ``out`` profile and report go into ``fit`` beside
    the first recording. Raises InputError if a recording cannot be used, holds no trial of a calibration, or
    nobody has agreed to its use.
    """
    resolved = [path.resolve() for path in files]
    if twice := [path for path in files if resolved.count(path.resolve()) > 1]:
        raise InputError("the file is named twice", where=str(twice[0]), remedy="name each recording once")
    sidecars = [read_sidecar(path) for path in files]
    if len(subjects := {str(one["subject"]) for one in sidecars if "subject" in one}) > 1:
        raise InputError(
            f"expected recordings of one subject, found {' and '.join(sorted(subjects))}",
            where="calibrate refit",
            remedy="a model is of one subject: fit each one's recordings on their own",
            code=ErrorCode.SUBJECT,
        )
    consents = [_consent(path, sidecar, consent) for path, sidecar in zip(files, sidecars, strict=True)]
    runs: list[RecordedRun] = []
    record: SessionRecord | None = None
    sessions = [(one.get("subject"), one.get("session")) for one in sidecars]
    for number, (path, agreed) in enumerate(zip(files, consents, strict=True), start=1):
        say(f"reading {path.name}")
        runs.append(read_run(path, request.options, agreed.modalities, run=number))
        is_same = number == 1 or sessions[number - 1] == sessions[number - 2]
        record = _with_run(record, runs[-1], number, is_same_session=is_same)
    assert record is not None
    damage = tuple(f"{run.path.name}: {damage}" for run in runs for damage in run.damage)
    for line in damage:
        say(f"damaged: {line}")
    record = _completed(record, sidecars[0], consents, files, any(run.is_simulated for run in runs))
    done = [trial for trial in record.trials if trial.state == "done"]
    found = fit_session(
        Material([run.rows for run in runs], [runs[t.run - 1].qualities([t])[0] for t in done]),
        record,
        runs[0].checkpoint,
        fit_options(runs[0].options, request.labels),
        folder=make_folder(out or files[0].absolute().parent / "fit"),
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
        offset = max([len(earlier.order), *(trial.number for trial in earlier.trials)])
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
            remedy='for another recording, say which markers start a trial: --events "MARKER=CLASS,..."',
            code=ErrorCode.RECORDING,
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
    """Return what the participant agreed to, as it is kept beside the recording."""
    if isinstance(sidecar.get("consent"), dict):
        try:
            return consent_from_record(sidecar["consent"])
        except InputError as error:
            raise InputError(str(error), where=f"sidecar of {path}", code=error.code) from error
    state = path.parent / STATE_FILE
    if state.is_file():
        return load_record(state).consent
    if given is None:
        raise InputError(
            "no consent is kept beside it",
            where=str(path),
            remedy="name what the participant agreed to be used: --consent eeg,eye",
            code=ErrorCode.SUBJECT,
        )
    return given


def fit_options(options: SessionOptions, labels: str) -> FitOptions:
    """Return what a fit is told of how the signals were read."""
    return FitOptions(
        labels=labels,
        base_name=options.model.name,
        line_hz=options.line,
        screen_cm=options.screen_cm,
        distance_cm=options.distance_cm,
    )


def make_folder(folder: Path) -> Path:
    """Make a folder for profile and report, and return it; InputError if that fails."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the folder cannot be made: {error.strerror or error}",
            where=str(folder),
            remedy="name another one with --out",
            code=ErrorCode.FILE,
        ) from error
    return folder


class StageLines:
    """Says each stage of a fit once."""

    def __init__(self, say: Say) -> None:
        self._say, self._stage = say, ""

    def __call__(self, stage: str, share: float) -> None:
        if stage != self._stage:
            self._stage = stage
            self._say(f"fitting: {stage}")
