"""One run of finetune: initial weights, trials, training, and everything its figures must not hide."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from acquisition.errors import ErrorCode, InputError
from app.tables import StageBars
from models.checkpoint import load_checkpoint, save_checkpoint
from models.datasets.splits import published_split
from models.datasets.trials import PUBLISHED, RECORDINGS, Excluded, Trial, steps_that_fit
from models.training.cards import NO_FIGURES, finetuned_card
from models.training.evaluate_trials import ScoreReport, report_by_cross_validation, report_on_test
from models.training.finetune import Finetuned, finetune
from models.training.finetune_config import (
    FinetuneOptions,
    PretrainedEncoders,
    check_base,
    seen_without_labels,
)
from models.training.provenance import (
    TrainingRecord,
    read_record,
    record_of_labels,
    record_of_recordings,
    write_record,
)
from models.training.sources import Labels, Source, missing_classes


@dataclass(frozen=True, kw_only=True)
class InitialWeights:
    """The weights that training starts with; random ones without `encoders`."""

    encoders: PretrainedEncoders | None = None
    continued: bool = False  # they are those of a classifier
    seen: str = ""  # what they saw of the trials to be tested, in words
    record: TrainingRecord = field(default_factory=TrainingRecord)  # of their training

    @classmethod
    def of(cls, model: Path, kind: str, path: Path, *, continued: bool) -> InitialWeights:
        """Load the model that is fine-tuned on this source.

        Raises `InputError` if there is none, or it cannot be fine-tuned in this way.
        """
        encoders = PretrainedEncoders.of(load_checkpoint(model))
        check_base(encoders.config, continue_training=continued)
        record = read_record(model)
        return cls(
            encoders=encoders,
            continued=continued,
            seen=seen_without_labels(encoders.config, kind, path, record),
            record=record or TrainingRecord(complete=False),
        )

    @property
    def feature_origin(self) -> str:
        """The features that the weights read, raw where there are none."""
        return self.encoders.config.feature_origin if self.encoders else "raw"


@dataclass(frozen=True, kw_only=True)
class FinetuneTask:
    """What is trained on what, and how it is to be marked."""

    source: Source
    subject: str | None  # of a data set
    session: int | None  # None: all
    labels: Labels
    options: FinetuneOptions
    initial: InitialWeights
    out: Path
    command: str
    generated: bool
    quick: bool

    @property
    def is_recording(self) -> bool:
        """True where there is no published split."""
        return self.source.kind in RECORDINGS

    def trials(self) -> tuple[list[Trial], list[Excluded]]:
        """Return the trials to work on, and what of them could not be read.

        Raises `InputError` if there are none of this subject and session.
        """
        encoders = self.initial.encoders
        config = encoders.config if encoders else None
        if self.source.kind not in PUBLISHED:
            return self.source.trials(None, config), []
        if self.subject is None:
            raise InputError(
                "expected the subject's number",
                where=f"--{self.source.kind}",
                remedy="add for example --subject 1",
            )
        excluded: list[Excluded] = []
        trials = self.source.trials([self.subject], config, excluded)
        if not trials:
            raise InputError(excluded[0].why, where=f"subject {self.subject}", code=ErrorCode.DATA)
        return self._of_session(trials, excluded), excluded

    def _of_session(self, trials: list[Trial], excluded: list[Excluded]) -> list[Trial]:
        chosen = [trial for trial in trials if self.session in (None, trial.session)]
        if not chosen:
            found = ", ".join(str(number) for number in sorted({trial.session for trial in trials}))
            remedy = "leave it out to see what could not be read" if excluded else ""
            raise InputError(
                f"expected session {found}, found {self.session}",
                where="--session",
                remedy=remedy,
                code=ErrorCode.DATA,
            )
        return chosen

    def fitted_to(self, trials: list[Trial]) -> FinetuneTask:
        """Return the task with windows no longer than the trials, and no more of them than are labelled."""
        n_steps = steps_that_fit(trials, self.options.n_steps)
        return replace(
            self, options=replace(self.options, n_steps=n_steps, max_windows=self.labels.max_windows)
        )

    def words(self, trials: list[Trial]) -> str:
        """Return what the model is trained on, with everything its figures must not hide."""
        first = trials[0]
        sessions = sorted({trial.session for trial in trials})
        made = ""
        if self.generated:
            made = "simulated " if self.is_recording else "generated data in the layout of "
        labels = self.labels.words()
        if len(sessions) > 1 and self.labels.how in ("first", "per-class"):
            labels += " of each session"
        words = (
            f"{made}{self.source.kind}, subject {first.subject}, session {', '.join(map(str, sessions))}, "
            f"labels: {labels}, {first.origin} features"
        )
        if self.initial.continued and self.initial.encoders is not None:
            words += f"; continued from a classifier ({self.initial.encoders.config.trained_on})"
        elif self.initial.encoders is not None:
            words += f"; began with a model {self.initial.encoders.config.trained_on}"
        return f"{words}; {self.initial.seen}" if self.initial.seen else words

    def protocol(self, tested: str) -> str:
        """Return how the figures came about: what was tested, and what training knew of it before."""
        known = "the classifier it began with was trained with labels: no figure if any were of these trials"
        said = (tested, self.initial.seen, known if self.initial.continued else "")
        return "; ".join(part for part in said if part)

    def marks(self) -> str:
        """Return what no figure may be quoted without, e.g. ``generated data, quick``."""
        marks = {
            "generated data": self.generated,
            "quick": self.quick,
            "transductive": bool(self.initial.seen),
        }
        return ", ".join(mark for mark, there in marks.items() if there)

    def train(self, progress: StageBars) -> Trained:
        """Train the classifier and test it.

        Raises `InputError` if the trials cannot be read or do not suffice.
        """
        trials, excluded = self.trials()
        task = self.fitted_to(trials)
        recordings = [task.source.path] if task.is_recording else []
        read_now = record_of_recordings(recordings, labels=True)  # before training: it may change meanwhile
        judged = task._cross_validated if task.is_recording else task._tested
        model, report, chosen = judged(trials, progress)
        if report is not None:
            report = replace(report, protocol=task.protocol(report.protocol))
        if task.initial.seen:
            model = replace(model, config=replace(model.config, transductive=True))
        notes = [missing_classes(chosen, task.labels), *(entry.why for entry in excluded)]
        record = replace(record_of_labels(chosen, generated=task.generated), quick=task.quick)
        return Trained(
            task=task,
            model=model,
            report=report,
            record=task.initial.record.then(read_now).then(record),
            excluded=excluded,
            notes=[note for note in notes if note],
        )

    def _finetune(self, chosen: list[Trial], trials: list[Trial], progress: StageBars) -> Finetuned:
        """Return a model trained on the chosen ones of these trials."""
        return finetune(
            chosen,
            self.options,
            self.initial.encoders,
            trained_on=self.words(trials),
            is_simulated=self.generated,
            progress=progress,
        )

    def _tested(self, trials: list[Trial], progress: StageBars) -> tuple[Finetuned, ScoreReport, list[Trial]]:
        """Return the model, its report on the published split's test trials, and what it was trained on."""
        training, test = published_split(trials, shortened=self.generated)
        chosen = self.labels.choose(training, self.options.n_steps)
        model = self._finetune(chosen, trials, progress)
        n_sessions = len({trial.session for trial in test})
        pooled = f", {n_sessions} sessions together" if n_sessions > 1 else ""
        words = f"on the {len(test)} test trials of the published split{pooled}"
        return model, report_on_test(model, test, words), chosen

    def _cross_validated(
        self, trials: list[Trial], progress: StageBars
    ) -> tuple[Finetuned, ScoreReport | None, list[Trial]]:
        """Return the model of all trials, a report of models that lacked some, and what it was trained on.

        There is no report where training continues: the classifier may know all of the trials.
        """
        chosen, encoders = self.labels.choose(trials, self.options.n_steps), self.initial.encoders
        report = None
        if not self.initial.continued:
            report = report_by_cross_validation(chosen, self.options, encoders, progress=progress)
        model = self._finetune(chosen, trials, progress)
        return model, report, chosen


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The result of a task."""

    task: FinetuneTask
    model: Finetuned
    report: ScoreReport | None  # None where no figure is honest
    record: TrainingRecord  # of everything that trained the model
    excluded: list[Excluded]
    notes: list[str]  # on missing classes, and on `excluded`

    def save(self) -> str:
        """Write the model's folder and return the checksum of the weights."""
        task, model = self.task, self.model
        card = finetuned_card(model, self.report, task.command, task.generated, task.quick)
        sha256 = save_checkpoint(task.out, model.config, model.network, model.normaliser.to_dict(), card)
        write_record(task.out, self.record)
        return sha256

    def lines(self, sha256: str) -> list[str]:
        """Return the result as text."""
        marks = f" [{self.task.marks()}]" if self.task.marks() else ""
        figures = self.report.lines() if self.report else [f"figures: {NO_FIGURES}"]
        next_step = (
            f"next: affectscope live --model {self.task.out}"
            if self.model.config.feature_origin == "raw"
            else "it reads published features: for tables only (--features raw makes one that runs live)"
        )
        return [
            f"{self.task.out}: {self.model.config.trained_on}, sha256 {sha256[:16]}{marks}",
            *(f"  {line}" for line in (*self.model.notes, *figures)),
            next_step,
        ]

    def to_dict(self, sha256: str) -> dict[str, Any]:
        """Return the same for ``--json``."""
        figures: dict[str, Any] = self.report.to_dict() if self.report else {"protocol": NO_FIGURES}
        return figures | {
            "trained_on": self.model.config.trained_on,
            "notes": list(self.model.notes),
            "left_out": [vars(entry) for entry in self.excluded],
            "sha256": sha256,
            "generated": self.task.generated,
            "quick": self.task.quick,
            "transductive": self.model.config.transductive,
            "continued": self.task.initial.continued,
        }
