"""What a model is trained on: where the trials come from, and how many of their labels are used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from acquisition.errors import InputError
from acquisition.montage import SEED_CH_NAMES
from models.config import ModelConfig
from models.datasets.eav import load_eav
from models.datasets.recordings import parse_events, raw_file_trials, xdf_trials
from models.datasets.seed_iv import load_seed_iv
from models.datasets.seed_v import load_seed_v
from models.datasets.splits import coverage, first_trials, trials_per_class
from models.datasets.trials import Excluded, Trial
from models.training.corpus_sources import Source


@dataclass(frozen=True)
class Labels:
    """How many labelled trials of each session train; of training trials only."""

    how: str = "all"  # all | first | per-class | first-windows
    k: int = 0
    at_most: bool = False  # fewer are taken where a session has no more; else it is refused

    @classmethod
    def parse(cls, text: str) -> Labels:
        """Read ``all``, ``first:K``, ``per-class:K`` or ``first-windows:K``.

        Raises
        ------
        InputError
            If it is none of them.
        """
        how, _, number = text.partition(":")
        if text == "all":
            return cls()
        if how in ("first", "per-class", "first-windows") and number.isdigit() and int(number) > 0:
            return cls(how, int(number))
        raise InputError(
            f"expected all, first:K, per-class:K or first-windows:K, found {text!r}",
            where="--labels",
            remedy="write for example --labels first:10",
        )

    def choose(self, training: Sequence[Trial], n_steps: int = 10) -> list[Trial]:
        """Return those of a session's training trials whose labels are used.

        ``n_steps`` is the length of a window: the first windows are those of the first trials.

        Raises
        ------
        InputError
            If there are fewer than asked for, unless ``at_most`` is set.
        """
        if self.how == "first":
            return first_trials(training, self.k, at_most=self.at_most)
        if self.how == "per-class":
            return trials_per_class(training, self.k, at_most=self.at_most)
        if self.how == "first-windows":
            counts = [max(0, trial.n_steps - n_steps + 1) for trial in training]
            return [t for at, t in enumerate(training) if sum(counts[:at]) < self.k]
        return list(training)

    @property
    def max_windows(self) -> int | None:
        """How many windows train at most, counted from the session's start."""
        return self.k if self.how == "first-windows" else None

    def words(self) -> str:
        """Return for example ``first 10 trials``."""
        return {
            "all": "all",
            "first": f"first {self.k} trials",
            "per-class": f"{self.k} trials per class",
            "first-windows": f"first {self.k} windows",
        }[self.how]

    def words_of(self, chosen: Sequence[Trial]) -> str:
        """Return `words`, or what was taken where one session's training trials were too few."""
        counts = coverage(chosen).counts
        if self.how == "first" and sum(counts) < self.k:
            return f"all {sum(counts)} training trials (fewer than {self.k})"
        if self.how == "per-class" and any(0 < count < self.k for count in counts):
            return f"{self.k} trials per class, or what there is"
        return self.words()

    def too_few(self, chosen: Sequence[Trial]) -> str:
        """Return one sentence on what one session has fewer of than wanted; empty where nothing."""
        names, counts = chosen[0].label_names, coverage(chosen).counts
        of_session = f"{chosen[0].dataset}, session {chosen[0].session}"
        if self.how == "first" and sum(counts) < self.k:
            return f"{of_session}: all {sum(counts)} training trials: fewer than {self.k}"
        short = [f"{name} {n}" for name, n in zip(names, counts, strict=True) if 0 < n < self.k]
        if self.how == "per-class" and short:
            return f"{of_session}: training trials of a class fewer than {self.k}: {', '.join(short)}"
        return ""


ALL_LABELS = Labels()


@dataclass(frozen=True)
class LabelledSource:
    """A data set's folder or a recording."""

    kind: str  # seed-iv | seed-v | eav | xdf | raw
    path: Path
    features: str = "raw"  # published: SEED's own features
    montage: str | None = None  # xdf and raw
    events: str | None = None  # xdf and raw: MARKER=CLASS,...
    trial_s: float | None = None  # xdf and raw

    @property
    def is_generated(self) -> bool:
        """True where nobody was measured."""
        return Source(self.kind, self.path).is_generated

    def trials(
        self,
        subjects: Sequence[str] | None = None,
        config: ModelConfig | None = None,
        excluded: list[Excluded] | None = None,
    ) -> list[Trial]:
        """Return the labelled trials.

        Parameters
        ----------
        subjects : sequence of str, optional
            Of a data set: their numbers; all without it.
        config : ModelConfig, optional
            Raw features are computed as this model wants them.
        excluded : list of Excluded, optional
            Takes what cannot be read; without it the first such file raises.

        Raises
        ------
        InputError
            If the folder or file cannot be used.
        """
        features = None if config is None else config.features
        if self.kind == "seed-iv":
            found = load_seed_iv(self.path, self.features, subjects, config=features, excluded=excluded)
        elif self.kind == "seed-v":
            found = load_seed_v(self.path, self.features, subjects, config=features, excluded=excluded)
        elif self.kind == "eav":
            found = load_eav(self.path, subjects, config=features, excluded=excluded)
        else:
            return self._recorded(config)
        trials = list(found)
        if not trials and not excluded:
            raise InputError("no trials in it", where=str(self.path), remedy="is the data set complete?")
        return trials

    def _recorded(self, config: ModelConfig | None) -> list[Trial]:
        events = None if self.events is None else parse_events(self.events)
        features = None if config is None else config.features
        ch_names = SEED_CH_NAMES if config is None else config.ch_names
        if self.kind == "raw":
            return raw_file_trials(
                self.path,
                events,
                montage=self.montage,
                trial_s=self.trial_s,
                config=features,
                ch_names=ch_names,
            )
        if events is None:
            raise InputError(
                "expected which markers begin a trial of which class",
                where="--events",
                remedy='write for example --events "1=left,2=right,3=idle"',
            )
        windows = None if config is None else config.windows
        return xdf_trials(
            self.path,
            self.montage,
            events,
            trial_s=self.trial_s,
            features=features,
            windows=windows,
            ch_names=ch_names,
        )


def missing_classes(trials: Sequence[Trial], labels: Labels) -> str:
    """Return one sentence on classes that a person's sessions lack; empty where each has them all."""
    first = trials[0]
    lacking = [
        f"no {' and no '.join(missing)} in session {session}"
        for session in sorted({trial.session for trial in trials})
        if (missing := coverage([trial for trial in trials if trial.session == session]).missing)
    ]
    if not lacking:
        return ""
    seen = "never predicts what it never saw" if coverage(trials).missing else "has them of other sessions"
    return (
        f"{first.dataset}, subject {first.subject}: {labels.words()} hold {', '.join(lacking)}; the model "
        f"{seen} (--labels per-class:K has every class)"
    )
