"""The MMV-SSTMA paper's tables on a folder of SEED-IV or SEED-V: pre-training, fine-tuning, scores.

Each setting on each subject's session is a job of its own, run here in processes or on a Dask cluster.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.errors import ErrorCode, InputError
from models.baselines import LdaClassifier, modality_arrays
from models.checkpoint import load_checkpoint
from models.datasets.files import is_generated
from models.datasets.splits import by_session, coverage, published_split
from models.datasets.trials import Excluded, Trial, WindowSet, cut_windows, steps_that_fit
from models.process import run_jobs
from models.training.finetune import finetune, training_windows
from models.training.finetune_config import FinetuneOptions, PretrainedEncoders
from models.training.loop import Report
from models.training.pretrain import PretrainOptions, pretrain
from models.training.pretrain_loop import LoopOptions, joined_world
from models.training.scores import Predictions
from models.training.sources import Labels, Source, missing_classes
from models.training.tables import Entry, Row, Table
from tests.studies.label_protocols import (
    Parts,
    SvmClassifier,
    discriminant_answers,
    discriminants,
    hidden,
    kept_answers,
    of_each_session,
)
from tests.studies.papers.settings import MMV, OURS, Setting, settings_of

R = TypeVar("R")
#: What one subject's data make a fit raise; internal errors are mostly others. The last is a GPU's.
FIT_ERRORS = (
    ValueError,
    ArithmeticError,
    np.linalg.LinAlgError,
    torch.linalg.LinAlgError,
    torch.OutOfMemoryError,
)
QUICK_SUBJECTS, QUICK_SESSIONS = 2, 1
_LOOP = LoopOptions(epochs=30)
_QUICK_LOOP = LoopOptions(epochs=2, learning_rate=1e-3)
_QUICK_WINDOWS = 320  # a pass of the quick pre-training
MASKED_TEST = ", masked in the test only"
_OF_GIVEN = {"eeg": ", EEG", "eye": ", EYE", "both": ""}


class MajorityClassifier:
    """Gives every window the training's label frequencies; the largest is the prediction."""

    def __init__(self, n_labels: int, seed: int = 0) -> None:
        self._n_labels = n_labels
        self._probs = np.full(n_labels, 1 / n_labels)

    def fit(self, train: WindowSet) -> Self:
        """Count the labels."""
        modality_arrays(train)
        self._probs = np.bincount(train.label, minlength=self._n_labels) / len(train)
        return self

    def predict_proba(self, test: WindowSet) -> NDArray[np.float64]:
        """Return the frequencies (n, n_labels), the same in every row."""
        return np.tile(self._probs, (len(test), 1))


BASELINES: dict[str, type[MajorityClassifier] | type[LdaClassifier] | type[SvmClassifier]] = {
    "majority": MajorityClassifier,
    "lda": LdaClassifier,
    "svm": SvmClassifier,
}


@dataclass(frozen=True, eq=False)
class Job:
    """One setting on one subject's session, with all it needs: it may run on another machine."""

    setting: Setting
    trials: tuple[Trial, ...]  # of one subject and session, training and test; of ours all sessions
    options: FinetuneOptions
    pretrained: PretrainedEncoders | None
    shortened: bool = False  # of a generated folder, whose sessions may be shorter than the published ones
    others: tuple[Trial, ...] = ()  # of other subjects, where their labels train too

    def fitted_options(self) -> FinetuneOptions:
        """Return the options as setting and trials want them."""
        setting = self.setting
        return replace(
            self.options,
            modalities=setting.modalities,
            fusion=setting.fusion,
            mask=setting.mask,
            dcca=True,  # the paper has it with ten labels too
            max_windows=setting.labels.max_windows,
            n_steps=steps_that_fit(self.trials, self.options.n_steps),
            freeze=self.options.freeze and setting.pretrained,
        )


@dataclass(frozen=True, eq=False)
class Outcome:
    """Scores of one row on one session."""

    model: str
    setting: Setting
    mask: float
    is_main: bool  # the setting's own row, not one with less in the test
    entry: Entry
    labels: str  # those that trained, in words
    notes: tuple[str, ...] = ()


def jobs_of(
    settings: Sequence[Setting],
    trials: Sequence[Trial],
    options: FinetuneOptions,
    pretrained: PretrainedEncoders | None,
    *,
    shortened: bool = False,
) -> list[Job]:
    """Return a job for each setting, subject and session; of our own settings one for each subject."""
    jobs = [
        Job(
            setting, tuple(group), options, pretrained if setting.pretrained else None, shortened
        )
        for group in by_session(trials).values()
        for setting in settings
        if setting.kind != OURS
    ]  # fmt: skip
    whole = [t for group in by_session(trials).values() if _has_split(group, shortened) for t in group]
    for subject in dict.fromkeys(trial.subject for trial in whole):
        mine = tuple(trial for trial in whole if trial.subject == subject)
        others = tuple(trial for trial in trials if trial.subject != subject)
        jobs += [
            Job(setting, mine, options, None, shortened, others if setting.others else ())
            for setting in settings
            if setting.kind == OURS and (others or not setting.others)
        ]
    return jobs


def _has_split(session: Sequence[Trial], shortened: bool) -> bool:
    try:
        return bool(published_split(session, shortened=shortened))
    except InputError:  # other settings' jobs exclude it in words
        return False


def run_job(job: Job) -> list[Outcome] | Excluded:
    """Train and score by the published split; data that cannot be read or fitted exclude the session."""
    torch.set_num_threads(1)
    setting, first = job.setting, job.trials[0]
    try:
        training, test = published_split(job.trials, shortened=job.shortened)
    except InputError as error:  # no setting's fault: the same words from all of them
        return Excluded(first.subject, str(error))
    try:
        chosen = setting.labels.choose(training, steps_that_fit(job.trials, job.options.n_steps))
        answers_of = {"network": _network_answers, OURS: _our_answers}.get(setting.kind, _reference_answers)
        answers = answers_of(job, chosen, test)
    except (InputError, *FIT_ERRORS) as error:
        return Excluded(first.subject, f"session {first.session}, {setting.name}: {in_words(error)}")
    labels, sessions = setting.labels, by_session(chosen)
    said = (told(own, labels) for own in sessions.values() for told in (too_few, missing_classes))
    notes = tuple(filter(None, said))
    outcomes = []
    for number, (model, mask, predictions) in enumerate(answers):
        for one in of_each_session(predictions):
            own = sessions[str(one.subject[0]), int(one.session[0])]
            entry = Entry.of(one, sum(count > 0 for count in coverage(own).counts))
            outcomes.append(Outcome(model, setting, mask, number == 0, entry, labels.words(own), notes))
    return outcomes


def too_few(chosen: Sequence[Trial], labels: Labels) -> str:
    """Return one sentence on what one session has fewer of than wanted; empty where nothing."""
    names, counts = chosen[0].label_names, coverage(chosen).counts
    of_session = f"{chosen[0].dataset}, session {chosen[0].session}"
    if labels.how == "first" and sum(counts) < labels.k:
        return f"{of_session}: only {sum(counts)} training trials, fewer than {labels.k}"
    short = [f"{name} {n}" for name, n in zip(names, counts, strict=True) if 0 < n < labels.k]
    if labels.how == "per-class" and short:
        return f"{of_session}: classes with fewer than {labels.k} training trials: {', '.join(short)}"
    return ""


def usable(
    results: Iterable[R | Excluded], n: int, stage: str, excluded: list[Excluded], report: Report
) -> Iterator[R]:
    """Yield what jobs came to, in order, and report each of the ``n``; the excluded ones are collected."""
    for number, result in enumerate(results, start=1):
        if isinstance(result, Excluded):
            excluded.append(result)
        else:
            yield result
        report(stage, number / n, math.nan, f"{number} of {n}")


def in_words(error: Exception) -> str:
    """Return one line on what ended one subject's fit."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, torch.OutOfMemoryError):  # its own words are a paragraph on the allocator
        return "the GPU has too little free memory: end other programs on it, or train with --device cpu"
    return ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])


def _network_answers(
    job: Job, chosen: Sequence[Trial], test: Sequence[Trial]
) -> list[tuple[str, float, Predictions]]:
    """Return (row's model, mask, predictions), the setting's own row first."""
    setting, options = job.setting, job.fitted_options()
    model = finetune(chosen, options, job.pretrained)
    whole = model.hear(test)
    heard = whole.hiding(setting.mask) if setting.mask else whole
    answers = [(setting.model, setting.mask, heard.predict())]
    for share in setting.test_masks:
        masked = whole.hiding(share).predict()
        answers.append((setting.model + MASKED_TEST, share, masked))
    alone = setting.modalities if setting.alone else ()
    return answers + [
        (f"{setting.model}, {modality.upper()} alone", setting.mask, heard.predict([modality]))
        for modality in alone
    ]


def _our_answers(
    job: Job, chosen: Sequence[Trial], test: Sequence[Trial]
) -> list[tuple[str, float, Predictions]]:
    """Return (row's model, mask, predictions) of our model, by what is given and what the test hides."""
    setting, options = job.setting, job.options
    parts = Parts.made(job.others, chosen, test, steps_that_fit(job.trials, options.n_steps))
    models = discriminants(parts)

    def split(session: Sequence[Trial]) -> tuple[list[Trial], list[Trial]]:  # another subject's, the same way
        training, tested = published_split(session, shortened=job.shortened)
        return setting.labels.choose(training, parts.n_steps), tested

    found = [(setting.model, "", 0.0, discriminant_answers(parts, models))]
    if setting.kept:
        found.append(("kept", "", 0.0, kept_answers(parts, split, found[0][3])[0]))
    for share in setting.test_masks:
        answers = discriminant_answers(parts, models, share)
        found.append((setting.model, MASKED_TEST, share, answers))
    theirs = ", other subjects' labels too" if setting.others else ""
    return [
        (f"{model}{_OF_GIVEN[given]}{theirs}{masked}", mask, answers[given])
        for model, masked, mask, answers in found
        for given in setting.given
        if given in answers
    ]


def _reference_answers(
    job: Job, chosen: Sequence[Trial], test: Sequence[Trial]
) -> list[tuple[str, float, Predictions]]:
    """Return (row's model, mask, predictions) of a reference, the whole test first."""
    setting, options = job.setting, job.fitted_options()
    windows = cut_windows(test, options.n_steps).only(options.modalities)
    classifier = BASELINES[setting.kind](len(chosen[0].label_names), options.seed)
    classifier.fit(training_windows(chosen, options).only(options.modalities))
    answers = [(setting.model, setting.mask, Predictions.of(classifier.predict_proba(windows), windows))]
    for share in setting.test_masks:
        probs = classifier.predict_proba(hidden(windows, share))
        answers.append((setting.model + MASKED_TEST, share, Predictions.of(probs, windows)))
    return answers


@dataclass(frozen=True)
class ReproduceOptions:
    """What is run, and where."""

    dataset: str  # seed-iv | seed-v
    folder: Path
    table: int
    quick: bool = False
    n_jobs: int = 1
    dask: str | None = None
    model: Path | None = None  # pre-trained already; without it `pretrain` runs first
    pretrain_epochs: int | None = None  # None: 30, or 2 if quick
    keep_pretrained: Path | None = None  # where the model of that goes
    device: str = "cpu"  # of pre-training
    epochs: int | None = None  # of fine-tuning, at most; wins over quick
    finetune: FinetuneOptions = FinetuneOptions()  # noqa: RUF009 (frozen)

    def finetuning(self) -> FinetuneOptions:
        """Return how the classifiers are trained."""
        return self.finetune.shortened(quick=self.quick, epochs=self.epochs)

    def pretraining(self) -> LoopOptions:
        """Return how the encoders are pre-trained."""
        loop = _QUICK_LOOP if self.quick else _LOOP
        return loop if self.pretrain_epochs is None else replace(loop, epochs=self.pretrain_epochs)


def reproduce(options: ReproduceOptions, report: Report) -> Table:
    """Return one of the paper's tables with our figures."""
    settings = settings_of(options.dataset, options.table, options.quick)
    excluded: list[Excluded] = []
    source = Source(options.dataset, options.folder, "published")
    trials = source.trials(excluded=excluded)
    if not trials:
        raise _nothing_of(options.folder, "no usable subject in it", excluded)
    if options.quick:
        trials = _few(trials)
    pretrained = _encoders(options, report) if any(setting.pretrained for setting in settings) else None
    shortened = is_generated(options.folder)
    jobs = jobs_of(settings, trials, options.finetuning(), pretrained, shortened=shortened)
    outcomes: list[Outcome] = []
    results = run_jobs(run_job, jobs, options.n_jobs, options.dask)
    for result in usable(results, len(jobs), "fine-tuning", excluded, report):
        outcomes += result
    if not outcomes:
        raise _nothing_of(options.folder, "every setting failed", excluded)
    return _table(options, settings, outcomes, excluded, pretrained, trials[0].label_names)


def _nothing_of(folder: Path, what: str, excluded: Sequence[Excluded]) -> InputError:
    return InputError(f"{what}; first: {excluded[0].why}", where=str(folder), code=ErrorCode.DATA)


def _few(trials: Sequence[Trial]) -> list[Trial]:
    """Return the first sessions of the first subjects."""
    subjects = list(dict.fromkeys(trial.subject for trial in trials))[:QUICK_SUBJECTS]
    sessions = sorted({trial.session for trial in trials})[:QUICK_SESSIONS]
    return [t for t in trials if t.subject in subjects and t.session in sessions]


def _encoders(options: ReproduceOptions, report: Report) -> PretrainedEncoders:
    """Return the given model's encoders, or those of a pre-training on the folder's training trials."""
    if options.model is not None:
        return PretrainedEncoders.of(load_checkpoint(options.model))
    with TemporaryDirectory(prefix="affectscope-pretrain-", ignore_cleanup_errors=True) as scratch:
        out = options.keep_pretrained or Path(scratch) / "pretrained"
        run = PretrainOptions(
            sources=(Source(options.dataset, options.folder),),
            out=out,
            cache=Path(scratch) / "cache",
            features="published",
            quick=options.quick,
            most_a_pass=_QUICK_WINDOWS if options.quick else None,
            loop=options.pretraining(),
        )
        with joined_world(options.device) as world:
            pretrain(run, world, report)
        return PretrainedEncoders.of(load_checkpoint(out))


def _table(
    options: ReproduceOptions,
    settings: Sequence[Setting],
    outcomes: Sequence[Outcome],
    excluded: Sequence[Excluded],
    pretrained: PretrainedEncoders | None,
    label_names: tuple[str, ...],
) -> Table:
    transductive = pretrained is not None and pretrained.config.transductive
    grouped: dict[tuple[Setting, str, float], list[Outcome]] = {}
    for outcome in outcomes:
        grouped.setdefault((outcome.setting, outcome.model, outcome.mask), []).append(outcome)
    order = {setting: at for at, setting in enumerate(settings)}
    rows = [
        _row(setting, model, mask, found, transductive)
        for (setting, model, mask), found in sorted(grouped.items(), key=lambda item: order[item[0][0]])
    ]
    differs = list(MMV["differs"])
    if options.model is not None and pretrained is not None:
        own = f"The pre-trained model is {options.model.name}: {pretrained.config.trained_on}."
        differs[0] = own
    return Table(
        title=f"{options.dataset.upper()}, Table {options.table} of the MMV-SSTMA paper",
        protocol=f"{MMV['split'][options.dataset]}; published differential entropy (DE) and "
        f"eye features every 4 s, windows of {options.finetune.n_steps} steps inside a trial; accuracy per "
        "window, SD over subjects (n - 1); "
        "one classifier a session, a subject's score is the mean over sessions",
        rows=tuple(rows),
        excluded=tuple(dict.fromkeys(excluded)),
        differs=(*differs, MMV["ours_differ"], MMV["differs_in_table"][str(options.table)]),
        quick=options.quick,
        generated=is_generated(options.folder),
        notes=tuple(dict.fromkeys(note for outcome in outcomes for note in outcome.notes)),
        label_names=label_names,
    )


def _row(setting: Setting, model: str, mask: float, found: Sequence[Outcome], transductive: bool) -> Row:
    labels = " / ".join(dict.fromkeys(o.labels for o in found))  # sessions may hold fewer than wanted
    row = Row(model, setting.pretrained, labels, mask, tuple(o.entry for o in found), setting.paper)
    if transductive and setting.pretrained:
        row = replace(row, model=f"{model} (transductive)")
    return row if found[0].is_main else replace(row, paper=None)
