"""A profile from recordings, read like live streams: of a calibration, or with events of another program."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from acquisition.errors import ErrorCode, InputError, file_errors, real_path
from acquisition.record.files import read_sidecar, recording_parts
from acquisition.select import is_calibration, without
from acquisition.text import percent
from acquisition.types import MODALITIES, MODALITY_OF_KIND
from acquisition.xdf.scan import check_xdf
from app.model_loading import make_decoder
from app.replay import ReplayFile
from app.request import CalibrationRequest, ReplayRequest, SessionOptions
from app.telemetry import SimulatedStreams
from calibration.consent import consent_from_record
from calibration.crossvalidation import named_trials
from calibration.fit import FitOptions
from calibration.markers import record_from_markers
from calibration.outcome import Finished, Material, fit_session
from calibration.plan import LEAST_PER_CLASS
from calibration.profile import apply_profile, load_profile
from calibration.quality import QualityLog, TrialQuality
from calibration.report.summary import Score
from calibration.rows import RowPump
from calibration.storage import STATE_FILE, load_record
from calibration.types import Consent, SessionRecord, TrialRecord
from calibration.verdict import ChanceThreshold, binomial_threshold
from models.datasets.recordings import class_names, marked_spans, parse_events

Say = Callable[[str], None]


class RecordedRun:
    """What a recording holds of a calibration, read from front to back.

    The options are completed by what the recording's sidecar says; ``modalities`` are those of the consent,
    and others are not opened. Raises InputError if the file, a stream in it or the model cannot be used.
    """

    def __init__(
        self, path: Path, options: SessionOptions, modalities: tuple[str, ...], *, run: int = 1
    ) -> None:
        others = [modality for modality in MODALITIES if modality not in modalities]
        file = ReplayFile(ReplayRequest(path, replace(options, streams=without(options.streams, others))))
        self.file, source, log = file, file.open(), QualityLog(line_hz=file.options.line)
        try:
            first, last = file.span(source)
            decoder = make_decoder(file.checkpoint, file.options, lambda message: None)
            pump = RowPump(source, decoder, run=run, on_event=log.on_event, on_chunk=log.on_chunk)
            pump.run_to(first, last)
            log.finish()
        finally:
            source.close()
        self.rows, self.ledgers, self._quality = pump.rows.table(), pump.ledgers(), log
        self.damage = tuple(source.damage)
        self.is_simulated = bool(SimulatedStreams(file.headers).simulated)
        used = {MODALITY_OF_KIND[kind] for kind in file.kinds.values() if kind in MODALITY_OF_KIND}
        self.modalities = tuple(modality for modality in MODALITIES if modality in used)
        #: Of the calibration, LSL seconds and text; those of one moment keep their order.
        self.markers = tuple(sorted(file.markers(is_calibration), key=itemgetter(0)))

    def qualities(self, trials: Iterable[TrialRecord]) -> list[TrialQuality]:
        return [self._quality.of_trial(trial.number, trial.begin, trial.end) for trial in trials]


def fit_again(
    files: Sequence[Path], request: CalibrationRequest, consent: Consent | None, out: Path | None, say: Say
) -> Finished:
    """Fit a model to recordings of calibrations.

    The files are runs of one session, or of several, in the order of time. ``consent`` is for recordings with
    none in their sidecar or in the session's file next to them; of several consents each recording keeps its
    own, and the model uses what all of them allow. Without ``out`` profile and report go into ``fit`` in
    the first recording's folder. Raises InputError if a recording cannot be used, holds no trial of a
    calibration, or has no consent.
    """
    resolved = [real_path(path) for path in files]
    if twice := [path for path in files if resolved.count(real_path(path)) > 1]:
        raise InputError("the file is given twice", where=str(twice[0]), remedy="give each recording once")
    for path in files:
        check_xdf(path)
    files = list(dict.fromkeys(recording_parts(path)[0] for path in files))  # a recording in parts is one run
    sidecars = [read_sidecar(path) for path in files]
    if len(subjects := {str(one["subject"]) for one in sidecars if "subject" in one}) > 1:
        what = f"expected recordings of one subject, found {' and '.join(sorted(subjects))}"
        remedy = "a profile belongs to one subject: fit each subject's recordings separately"
        raise InputError(what, where="calibrate refit", remedy=remedy, code=ErrorCode.SUBJECT)
    consents = [_consent(path, sidecar, consent) for path, sidecar in zip(files, sidecars, strict=True)]
    runs: list[RecordedRun] = []
    record: SessionRecord | None = None
    sessions = [(one.get("subject"), one.get("session")) for one in sidecars]
    for number, (path, agreed) in enumerate(zip(files, consents, strict=True), start=1):
        say(f"reading {path.name}")
        runs.append(RecordedRun(path, request.options, agreed.modalities, run=number))
        is_same = number == 1 or sessions[number - 1] == sessions[number - 2]
        record = _with_run(record, runs[-1], number, is_same_session=is_same)
    assert record is not None
    damage = tuple(f"{run.file.path.name}: {damage}" for run in runs for damage in run.damage)
    for line in damage:
        say(f"damaged: {line}")
    record = _completed(record, sidecars[0], consents, files, any(run.is_simulated for run in runs))
    done = [trial for trial in record.trials if trial.state == "done"]
    found = fit_session(
        Material(
            [run.rows for run in runs],
            [runs[t.run - 1].qualities([t])[0] for t in done],
            [ledger for run in runs for ledger in run.ledgers],
        ),
        record,
        runs[0].file.checkpoint,
        fit_options(runs[0].file.options, request.labels),
        folder=_made(out or files[0].absolute().parent / "fit"),
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
        what = "expected the markers of a calibration with a trial shown to its end, found none"
        remedy = 'for another recording, say which markers start a trial: --events "MARKER=CLASS,..."'
        raise InputError(what, where=str(run.file.path), remedy=remedy, code=ErrorCode.RECORDING)
    return record


def _completed(
    record: SessionRecord,
    sidecar: dict[str, Any],
    consents: Sequence[Consent],
    files: Sequence[Path],
    is_simulated: bool,
) -> SessionRecord:
    settings = sidecar.get("calibration")
    settings = dict(settings) if isinstance(settings, dict) else {}
    known = settings.pop("classes", None)
    classes = record.classes
    if isinstance(known, list) and set(map(str, known)) >= set(classes):
        classes = tuple(str(name) for name in known)  # in the order of the protocol
    agreed_by_all = tuple(m for m in MODALITIES if all(m in agreed.modalities for agreed in consents))
    session, seed = sidecar.get("session"), settings.pop("seed", 0)
    return replace(
        record,
        session=session if isinstance(session, int) else 1,
        seed=seed if isinstance(seed, int) and seed >= 0 else 0,
        classes=classes,
        consent=replace(consents[0], modalities=agreed_by_all),
        recordings=tuple(Path(path.name) for path in files),
        settings=settings,
        is_simulated=is_simulated,
    )


def _consent(path: Path, sidecar: dict[str, Any], given: Consent | None) -> Consent:
    if isinstance(sidecar.get("consent"), dict):
        try:
            return consent_from_record(sidecar["consent"])
        except InputError as error:
            where = f"sidecar of {path}"
            raise InputError(
                error.what, where=where, remedy=error.remedy, code=error.code, **error.facts
            ) from error
    state = path.parent / STATE_FILE
    if state.is_file():
        return load_record(state).consent
    if given is None:
        remedy = "list the modalities the subject consented to: --consent eeg,eye"
        what = "no consent is stored with this recording"
        raise InputError(what, where=str(path), remedy=remedy, code=ErrorCode.SUBJECT)
    return given


def fit_options(options: SessionOptions, labels: str) -> FitOptions:
    """Return the options of a fit that follow from how the signals were read."""
    return FitOptions(
        labels=labels,
        base_name=options.model.name,
        line_hz=options.line,
        screen_cm=options.screen_cm,
        distance_cm=options.distance_cm,
    )


def _made(folder: Path) -> Path:
    with file_errors("the folder cannot be made", folder, "choose another with --out"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


class StageLines:
    """Says each stage of a fit once."""

    def __init__(self, say: Say) -> None:
        self._say, self._stage = say, ""

    def __call__(self, stage: str, share: float) -> None:
        if stage != self._stage:
            self._stage = stage
            self._say(f"fitting: {stage}")


_FIRST = 10


class EventTrials:
    """Which trials a recording holds, and which of them a profile is fitted to.

    ``events`` has the class of each marker, ``trial_s`` is None to the next marker, ``per_class`` takes the
    place of ``n_first``. InputError for unreadable events or both counts.
    """

    def __init__(
        self, events: str, trial_s: float | None, n_first: int | None, per_class: int | None
    ) -> None:
        if n_first is not None and per_class is not None:
            what = "expected only one of them"
            raise InputError(what, where="--trials and --per-class", remedy="omit one of them")
        self.events, self.trial_s = parse_events(events), trial_s
        self.n_first, self.per_class = n_first or _FIRST, per_class

    def choose(self, trials: Sequence[TrialRecord]) -> tuple[list[TrialRecord], dict[str, int]]:
        """Return the trials to fit to, and by class with too few of them how many there were."""
        first = list(trials[: self.n_first])
        if self.per_class is not None:
            seen: dict[str, Iterator[int]] = defaultdict(count)
            first = [trial for trial in trials if next(seen[trial.emotion]) < self.per_class]
        counts = Counter(trial.emotion for trial in first)
        few = {label: counts[label] for label in class_names(self.events) if counts[label] < LEAST_PER_CLASS}
        return [trial for trial in first if trial.emotion not in few], few

    @property
    def words(self) -> str:
        if self.per_class is not None:
            return f"the first {self.per_class} trials of each class"
        return f"the first {self.n_first} trials"


@dataclass(frozen=True, eq=False)
class Tested:
    """A profile and its accuracy on the trials that it was not fitted to."""

    finished: Finished
    protocol: str  # which trials it was fitted to
    test: Score
    threshold: ChanceThreshold
    chance: float
    n_per_class: Mapping[str, int]  # tested
    n_empty: int  # trials that could not be tested: they contain no complete window
    dropped: Mapping[str, int]  # excluded classes, and how many trials were among those to fit to

    def to_json(self) -> dict[str, Any]:
        return self.finished.to_json() | {
            "protocol": self.protocol,
            "test": {
                "trials": self.test.n_trials,
                "correct": self.test.n_correct,
                "balanced_accuracy": self.test.balanced_accuracy,
                "wilson": list(self.test.interval),
                "chance": self.chance,
                "chance_threshold": self.threshold.balanced_accuracy,
                "per_class": dict(self.n_per_class),
                "without_a_window": self.n_empty,
            },
            "dropped": _dropped(self.dropped, self.protocol),
            "dropped_classes": dict(self.dropped),
        }

    def lines(self) -> list[str]:
        low, high = self.test.interval
        threshold = self.threshold.balanced_accuracy
        least = "not reachable" if threshold is None else percent(threshold, 1)
        empty = f"; {self.n_empty} more contain no complete window" if self.n_empty else ""
        return [
            *self.finished.lines(),
            *_dropped(self.dropped, self.protocol),
            f"tested on the {self.test.n_trials} other trials: {self.test.n_correct} correct, balanced "
            f"accuracy {percent(self.test.balanced_accuracy, 1)}, 95 % CI {percent(low, 1)} to "
            f"{percent(high, 1)}; chance {percent(self.chance, 1)}, significance threshold {least}{empty}",
        ]


def calibrate_events(
    path: Path, request: CalibrationRequest, wanted: EventTrials, out: Path | None, say: Say
) -> Tested:
    """Fit a profile to some trials of a recording and test it on the others.

    Without ``out`` profile and report go into a folder named after the file, in the current one. Raises
    InputError if the recording cannot be used, fewer than two classes are left, or no trial is left to test
    on.
    """
    options = request.options
    spans = marked_spans(path, wanted.events, trial_s=wanted.trial_s, streams=options.streams)
    trials = [
        TrialRecord(number, wanted.events[span.event], span.begin, span.end)
        for number, span in enumerate(spans, start=1)
    ]
    chosen, few = wanted.choose(trials)
    classes = tuple(label for label in class_names(wanted.events) if label not in few)
    if len(classes) < 2:
        found = f"{len(classes)}: {'; '.join(_dropped(few, wanted.words))}"
        least = f"{LEAST_PER_CLASS} or more trials in {wanted.words}"
        what = f"expected at least two classes with {least}, found {found}"
        remedy = "use more with --trials, or a number per class with --per-class, such as 4"
        raise InputError(what, where=str(path), remedy=remedy, code=ErrorCode.DATA, n_classes=len(classes))
    used = {trial.number for trial in chosen}
    others = [trial for trial in trials if trial.number not in used and trial.emotion in classes]
    if not others:
        remedy = "fit to fewer trials with --trials or --per-class"
        raise InputError("no trial is left to test on", where=str(path), remedy=remedy, code=ErrorCode.DATA)
    say(f"reading {path.name}: {len(trials)} trials")
    run = RecordedRun(path, options, MODALITIES)
    own = tuple(replace(trial, number=number) for number, trial in enumerate(chosen, start=1))
    record = SessionRecord(
        request.subject or "foreign1",
        1,
        classes,
        request.seed,
        Consent(run.modalities),  # whoever publishes or passes on a recording is responsible for it
        trials=own,
        recordings=(Path(path.name),),
        order=tuple(trial.emotion for trial in own),
        is_simulated=run.is_simulated,
    )
    finished = fit_session(
        Material([run.rows], run.qualities(own), run.ledgers),
        record,
        run.file.checkpoint,
        fit_options(run.file.options, "intended"),
        folder=_made(out or Path(f"{path.stem}_fit")),
        recordings=[path.absolute()],
        keeps_poor=True,  # they cannot be repeated
        progress=StageLines(say),
    )
    personal = apply_profile(load_profile(finished.profile), run.file.checkpoint)
    true, predicted = named_trials(personal, run.rows, others)
    counts = np.bincount(true, minlength=len(classes)).tolist()
    return Tested(
        finished,
        wanted.words,
        Score.of(true, predicted),
        binomial_threshold(counts, len(classes)),
        1 / len(classes),
        dict(zip(classes, counts, strict=True)),
        len(others) - len(true),
        few,
    )


def _dropped(few: Mapping[str, int], words: str) -> list[str]:
    return [
        f"class {label!r} is excluded: {words} contain only {n}; {LEAST_PER_CLASS} needed"
        for label, n in few.items()
    ]
