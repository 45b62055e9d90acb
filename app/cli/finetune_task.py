"""What finetune trains on what: the weights it begins with, the trials, and what is to be said of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from acquisition.errors import InputError
from models.checkpoint import load_checkpoint
from models.datasets.trials import PUBLISHED, RECORDINGS, Excluded, Trial, steps_that_fit
from models.training.finetune_config import (
    FinetuneOptions,
    PretrainedEncoders,
    check_base,
    seen_without_labels,
)
from models.training.provenance import TrainingRecord, read_record
from models.training.sources import LabelledSource, Labels


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """The weights that training begins with; at random without `encoders`."""

    encoders: PretrainedEncoders | None = None
    goes_on: bool = False  # they are a classifier's
    seen: str = ""  # of the trials to be tested by them, in words
    record: TrainingRecord = field(default_factory=TrainingRecord)  # of their training

    @classmethod
    def of(cls, model: Path, kind: str, path: Path, *, goes_on: bool) -> Beginning:
        """Load the model that is fine-tuned on this source.

        Raises
        ------
        InputError
            If there is none, or it cannot be fine-tuned in this way.
        """
        encoders = PretrainedEncoders.of(load_checkpoint(model))
        check_base(encoders.config, goes_on=goes_on)
        record = read_record(model)
        return cls(
            encoders=encoders,
            goes_on=goes_on,
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

    source: LabelledSource
    subject: str | None  # of a data set
    session: int | None  # None: all
    labels: Labels
    options: FinetuneOptions
    begins: Beginning
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

        Raises
        ------
        InputError
            If there are none of this person and session.
        """
        encoders = self.begins.encoders
        config = encoders.config if encoders else None
        if self.source.kind not in PUBLISHED:
            return self.source.trials(None, config), []
        if self.subject is None:
            raise InputError(
                "expected the person's number",
                where=f"--{self.source.kind}",
                remedy="add for example --subject 1",
            )
        excluded: list[Excluded] = []
        trials = self.source.trials([self.subject], config, excluded)
        if not trials:
            raise InputError(excluded[0].why, where=f"subject {self.subject}")
        return self._of_session(trials, excluded), excluded

    def _of_session(self, trials: list[Trial], excluded: list[Excluded]) -> list[Trial]:
        chosen = [trial for trial in trials if self.session in (None, trial.session)]
        if not chosen:
            found = ", ".join(str(number) for number in sorted({trial.session for trial in trials}))
            remedy = "leave it out to see what could not be read" if excluded else ""
            raise InputError(
                f"expected session {found}, found {self.session}", where="--session", remedy=remedy
            )
        return chosen

    def fitted_to(self, trials: list[Trial]) -> FinetuneTask:
        """Return the task with windows no longer than the trials, and no more of them than are labelled."""
        n_steps = steps_that_fit(trials, self.options.n_steps)
        return replace(
            self, options=replace(self.options, n_steps=n_steps, max_windows=self.labels.max_windows)
        )

    def words(self, trials: list[Trial]) -> str:
        """Return in words what the model is trained on, with all that a figure must not hide."""
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
        if self.begins.goes_on and self.begins.encoders is not None:
            words += f"; continued from a classifier ({self.begins.encoders.config.trained_on})"
        elif self.begins.encoders is not None:
            known = self.begins.encoders.config.trained_on.removesuffix("; not fine-tuned")
            words += f"; began with a model {known}"
        return f"{words}; {self.begins.seen}" if self.begins.seen else words

    def protocol(self, tested: str) -> str:
        """Return how the figures came about: what was tested, and what training knew of it before."""
        known = "the classifier it began with was trained with labels: no figure if any were of these trials"
        said = (tested, self.begins.seen, known if self.begins.goes_on else "")
        return "; ".join(part for part in said if part)

    def marks(self) -> str:
        """Return what no figure may be quoted without, e.g. ``generated data, quick``."""
        marks = {
            "generated data": self.generated,
            "quick": self.quick,
            "transductive": bool(self.begins.seen),
        }
        return ", ".join(mark for mark, there in marks.items() if there)
