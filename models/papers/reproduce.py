"""The MMV-SSTMA paper's tables on a folder of SEED-IV or SEED-V: pre-training, fine-tuning, scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from acquisition.errors import InputError
from models.checkpoint import load_checkpoint
from models.datasets.make.options import is_generated
from models.datasets.make.person import load_oracle
from models.datasets.trials import Excluded, Trial
from models.papers.jobs import Outcome, jobs_of, run_job
from models.papers.settings import Setting, settings_of
from models.process import run_here_or_there
from models.training.finetune_config import FinetuneOptions, PretrainedEncoders
from models.training.loop import Report
from models.training.pretrain import PretrainOptions, pretrain
from models.training.pretrain_loop import LoopOptions, joined_world
from models.training.sources import LabelledSource, Source
from models.training.tables import Entry, Row, Table

QUICK_SUBJECTS, QUICK_SESSIONS = 2, 1
_LOOP = LoopOptions(epochs=30)
_QUICK_LOOP = LoopOptions(epochs=2, learning_rate=1e-3)
_QUICK_WINDOWS = 320  # a pass of the quick pre-training
_SPLITS = {
    "seed-iv": "the first 16 trials of each session train, the last 8 test",
    "seed-v": "the first 9 trials of each session train, the last 6 test",
}
_DIFFERS = (
    "Pre-training reads the training trials of all people in the folder and no test trial; what the paper "
    "pre-trained on it does not say.",
    "The paper does not say whether a classifier is of one session or of all three; here it is of one, and a "
    "person counts by the mean of their sessions.",
    "Where training stops is not in the paper; here training trials held out decide, never test trials. With "
    "fewer than 12 training trials the number of epochs is fixed.",
    "Kernel sizes, width of the heads, feed-forward, pooling and the classifier's head are not in the paper; "
    "here every channel has weights of its own, which begin as a shrinkage discriminant of the training "
    "windows: if a network is as good as LDA, that is why.",
    "In fusion training a modality is dropped from one window in ten, so that the model can do without it.",
)
_OF_TABLE = {
    1: "The paper does not say how many labels its Table 1 used: both readings stand here.",
    2: "MAX, fuzzy integral and BDAE are quoted in the paper from another one; here they are trained anew. "
    "LDA, SVM and the most frequent class of training, of which a test may hold few, are not in the paper.",
    3: "'10 labeled data from the beginning' can be ten windows (all of the first trial, one class) or ten "
    "trials (a class may be missing): both stand here, and two trials of each class beside them. The paper's "
    "figures are those of the 30 % column of its Table 4, so they may be of masked data; here nothing is.",
    4: "Which channels are masked is not in the paper; here each window hides others of its EEG channels, "
    "drawn once, in fine-tuning and test alike; eye features stay. 'Masked in the test only' is "
    "ours.",
}


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
        options = self.finetune.quick() if self.quick else self.finetune
        if self.epochs is None:
            return options
        return replace(options, epochs=self.epochs, few_epochs=min(self.epochs, self.finetune.few_epochs))

    def pretraining(self) -> LoopOptions:
        """Return how the encoders are pre-trained."""
        loop = _QUICK_LOOP if self.quick else _LOOP
        return loop if self.pretrain_epochs is None else replace(loop, epochs=self.pretrain_epochs)


def reproduce(options: ReproduceOptions, report: Report) -> Table:
    """Return one of the paper's tables with our figures.

    Raises
    ------
    InputError
        If the folder is not the data set, nothing in it can be used, or every setting failed.
    """
    settings = settings_of(options.dataset, options.table, options.quick)
    excluded: list[Excluded] = []
    source = LabelledSource(options.dataset, options.folder, "published")
    trials = source.trials(excluded=excluded)
    if not trials:
        raise InputError(f"nothing in it can be used; first: {excluded[0].why}", where=str(options.folder))
    if options.quick:
        trials = _few(trials)
    pretrained = _encoders(options, report) if any(setting.pretrained for setting in settings) else None
    jobs = jobs_of(
        settings,
        trials,
        options.finetuning(),
        pretrained,
        load_oracle(options.folder),
        shortened=is_generated(options.folder),
    )
    outcomes: list[Outcome] = []
    for number, result in enumerate(run_here_or_there(run_job, jobs, options.n_jobs, options.dask), start=1):
        if isinstance(result, Excluded):
            excluded.append(result)
        else:
            outcomes += result
        report("fine-tuning", number / len(jobs), float("nan"), f"{number} of {len(jobs)}")
    if not outcomes:
        raise InputError(f"every setting failed; first: {excluded[0].why}", where=str(options.folder))
    return _table(options, settings, outcomes, excluded, pretrained, trials[0].label_names)


def _few(trials: Sequence[Trial]) -> list[Trial]:
    """Return the first sessions of the first people."""
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
    differs = _DIFFERS
    if options.model is not None and pretrained is not None:
        own = f"The pre-trained model is {options.model.name}: {pretrained.config.trained_on}."
        differs = (own, *_DIFFERS[1:])
    return Table(
        title=f"{options.dataset.upper()}, Table {options.table} of the MMV-SSTMA paper",
        protocol=f"{_SPLITS[options.dataset]}; published DE and eye features every 4 s, windows of "
        f"{options.finetune.n_steps} steps inside a trial; accuracy per window, SD over people (n - 1); one "
        "classifier a session, a person is the mean of their sessions",
        rows=tuple(rows),
        excluded=tuple(dict.fromkeys(excluded)),
        differs=(*differs, _OF_TABLE[options.table]),
        quick=options.quick,
        generated=is_generated(options.folder),
        notes=tuple(dict.fromkeys(note for outcome in outcomes for note in outcome.notes)),
        label_names=label_names,
    )


def _row(setting: Setting, model: str, mask: float, found: Sequence[Outcome], transductive: bool) -> Row:
    entries = [Entry(o.subject, o.session, o.window, o.trial, o.classes_seen) for o in found]
    labels = " / ".join(dict.fromkeys(o.labels for o in found))  # sessions may hold fewer than wanted
    row = Row(model, setting.pretrained, labels, mask, tuple(entries), setting.paper)
    if transductive and setting.pretrained:
        row = replace(row, model=f"{model} (transductive)")
    return row if found[0].is_main else replace(row, paper=None)
