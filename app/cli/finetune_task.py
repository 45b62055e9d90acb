"""One run of finetune: initial weights, trials, training, and the caveats of its figures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from acquisition.errors import ErrorCode, InputError, pasteable
from models.checkpoint import load_checkpoint, save_checkpoint
from models.datasets.splits import published_split
from models.datasets.trials import Excluded, Trial, steps_that_fit
from models.training.cards import GENERATED, LICENCE, LIMITS_OF_FEW, QUICK, card_of
from models.training.evaluate_trials import report_by_cross_validation, report_on_test
from models.training.finetune import finetune
from models.training.finetune_config import FinetuneOptions, PretrainedEncoders, seen_without_labels
from models.training.loop import Progress
from models.training.provenance import (
    TrainingRecord,
    read_record,
    record_of_labels,
    record_of_recordings,
    write_record,
)
from models.training.sources import Labels, Source, missing_classes


class InitialWeights:
    """The weights that training on a source starts with; random ones without a model."""

    def __init__(self, model: Path | None, source: Source) -> None:
        self.encoders: PretrainedEncoders | None = None
        self.seen, self.record = "", TrainingRecord()  # which of the test trials they saw; of their training
        if model is not None:
            self.encoders, record = PretrainedEncoders.of(load_checkpoint(model)), read_record(model)
            self.seen = seen_without_labels(self.encoders.config, source.kind, source.files, record)
            self.record = record or TrainingRecord(complete=False)

    @property
    def feature_origin(self) -> str:
        """The features that the weights read, raw where there are none."""
        return self.encoders.config.feature_origin if self.encoders else "raw"


@dataclass(frozen=True, kw_only=True)
class FinetuneTask:
    source: Source
    subject: str | None  # of a data set: numbers with commas between them, or all
    session: int | None  # None: all
    labels: Labels
    options: FinetuneOptions
    initial: InitialWeights
    out: Path
    command: str
    quick: bool

    def trials(self, excluded: list[Excluded]) -> list[Trial]:
        """Return the trials of the subject and session; what of them could not be read is noted."""
        encoders, source = self.initial.encoders, self.source
        config = encoders.config if encoders else None
        if not source.is_dataset:
            return source.trials(None, config, excluded)
        if self.subject is None:
            what = "expected the subject's number"
            raise InputError(what, where=f"--{source.kind}", remedy="add for example --subject 1")
        subjects = None if self.subject == "all" else [part.strip() for part in self.subject.split(",")]
        trials = source.trials(subjects, config, excluded)
        if not trials:
            raise InputError(excluded[0].why, where=f"subject {self.subject}", code=ErrorCode.DATA)
        chosen = [trial for trial in trials if self.session in (None, trial.session)]
        if not chosen:
            found = ", ".join(str(number) for number in sorted({trial.session for trial in trials}))
            what = f"expected session {found}, found {self.session}"
            remedy = "omit it to see what could not be read" if excluded else ""
            raise InputError(what, where="--session", remedy=remedy, code=ErrorCode.DATA)
        return chosen

    def words(self, trials: list[Trial]) -> str:
        """Return what the model is trained on, with the caveats of its figures."""
        first, initial = trials[0], self.initial
        sessions = [str(number) for number in sorted({trial.session for trial in trials})]
        subjects = dict.fromkeys(trial.subject for trial in trials)
        made = ""
        if self.source.is_generated:
            made = "generated data in the layout of " if self.source.is_dataset else "simulated "
        labels = self.labels.words()
        if len(sessions) > 1 and self.labels.how in ("first", "per-class"):
            labels += " of each session"
        words = (
            f"{made}{self.source.words()}, subject {', '.join(subjects)}, session {', '.join(sessions)}, "
            f"labels: {labels}, {first.origin} features"
        )
        if initial.encoders is not None:
            words += f"; began with a model {initial.encoders.config.trained_on}"
        return f"{words}; {initial.seen}" if initial.seen else words


class Trained:
    """A classifier trained and tested: on the published split's test trials, or by cross-validation.

    Raises `InputError` if the trials cannot be read or do not suffice.
    """

    def __init__(self, task: FinetuneTask, progress: Progress) -> None:
        source, initial, excluded = task.source, task.initial, list[Excluded]()
        trials = task.trials(excluded)
        n_steps = steps_that_fit(trials, task.options.n_steps)
        options = replace(task.options, n_steps=n_steps, max_windows=task.labels.max_windows)
        read_now = record_of_recordings(source.files, labels=True)  # before training changes them
        training, test = trials, list[Trial]()
        if source.is_dataset:
            training, test = published_split(trials, shortened=source.is_generated)
        chosen = task.labels.choose(training, n_steps)
        encoders, trained_on = initial.encoders, task.words(trials)
        if not source.is_dataset:
            report = report_by_cross_validation(chosen, options, encoders, progress=progress)
        model = finetune(
            chosen,
            options,
            encoders,
            trained_on=trained_on,
            is_simulated=source.is_generated,
            progress=progress,
        )
        if source.is_dataset:
            n_sessions = len({trial.session for trial in test})
            pooled = f", {n_sessions} sessions together" if n_sessions > 1 else ""
            report = report_on_test(
                model, test, f"on the {len(test)} test trials of the published split{pooled}"
            )
        if initial.seen:
            report = replace(report, protocol=f"{report.protocol}; {initial.seen}")
            model = replace(model, config=replace(model.config, transductive=True))
        notes = [missing_classes(chosen, task.labels), *(entry.why for entry in excluded)]
        record = replace(record_of_labels(chosen, generated=source.is_generated), quick=task.quick)
        self.task, self.model, self.report, self.excluded = task, model, report, excluded
        self.record = initial.record.then(read_now).then(record)  # of everything that trained the model
        self.notes = [note for note in notes if note]

    def save(self) -> str:
        """Write the model's folder and return the checksum of the weights."""
        task, model = self.task, self.model
        tensors = model.normaliser.to_dict()
        given = task.out, model.config, model.network, tensors, self.card(), model.evidence
        sha256 = save_checkpoint(*given)
        write_record(task.out, self.record)
        return sha256

    def card(self) -> str:
        task, config = self.task, self.model.config
        seen = "Transductive: test trials were used in pre-training, without labels."
        return card_of(
            "finetuned",
            config=config,
            command=task.command,
            marks=self._marks(GENERATED, QUICK, f"{seen} Results on them must be marked transductive."),
            notes=self.model.notes,
            figures=self.report.lines(),
            limits=LIMITS_OF_FEW,
            licence=LICENCE,
        )

    def _marks(self, *of_each: str) -> list[str]:
        """Return what no figure may be quoted without: of words for generated, quick and transductive."""
        applies = self.task.source.is_generated, self.task.quick, self.model.config.transductive
        return [mark for mark, there in zip(of_each, applies, strict=True) if there]

    def lines(self, sha256: str) -> list[str]:
        task, config = self.task, self.model.config
        marked = "; ".join(self._marks("generated data", "quick run, not a result", "transductive"))
        next_step = "it reads published features: for tables only (--features raw makes one that runs live)"
        if config.feature_origin == "raw":
            next_step = f"next: affectscope live --model {pasteable(task.out)}"
            next_step += " --baseline 60" if task.options.normalise == "baseline" else ""
        return [
            f"{task.out}: {config.trained_on}, sha256 {sha256[:16]}{f' [{marked}]' if marked else ''}",
            *(f"  {line}" for line in (*self.model.notes, *self.report.lines())),
            next_step,
        ]

    def to_dict(self, sha256: str) -> dict[str, Any]:
        return self.report.to_dict() | {
            "trained_on": self.model.config.trained_on,
            "notes": list(self.model.notes),
            "left_out": [vars(entry) for entry in self.excluded],
            "sha256": sha256,
            "generated": self.task.source.is_generated,
            "quick": self.task.quick,
            "transductive": self.model.config.transductive,
        }
