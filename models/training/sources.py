"""What models are trained and tested on: published data sets and recordings, with or without their labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from acquisition.errors import ErrorCode, InputError
from acquisition.header import is_simulated
from acquisition.montage import electrode_names, load_montage
from acquisition.record.files import later_parts
from acquisition.xdf.format import is_xdf
from acquisition.xdf.scan import scan_xdf
from models.config import ModelConfig
from models.datasets.eav import load_eav
from models.datasets.files import is_generated
from models.datasets.recordings import Reading, raw_file_sequence, xdf_sequence
from models.datasets.seed import SEED_SETS, load_seed
from models.datasets.splits import by_session, coverage, first_trials, published_split
from models.datasets.trial_table import TableRow, read_rows
from models.datasets.trials import PUBLISHED, Excluded, Trial
from models.features.config import FeatureConfig
from models.training.corpus import Cached, Entry, cached, files_identity


def _is_simulated(file: Path) -> bool:
    try:
        return any(is_simulated(stream.header) for stream in scan_xdf(file).streams.values())
    except InputError:  # a damaged recording is excluded
        return False


@dataclass(frozen=True)
class Source:
    """One data set's folder, one recording, or a table of recordings."""

    kind: str  # of PUBLISHED, or xdf, raw, trials: recordings have no split, and are cross-validated
    path: Path  # of a table without a file: what stands for it in messages
    features: str = "raw"  # published: SEED's own features
    # Of recordings:
    montage: str | None = None  # as ``--montage``
    events: str | None = None  # MARKER=CLASS,...
    trial_s: float | None = None
    rows: tuple[TableRow, ...] = ()  # of a table
    sfreq: float | None = None  # of text tables: `Reading`
    unit: str | None = None

    @property
    def is_dataset(self) -> bool:
        return self.kind in PUBLISHED

    @property
    def is_generated(self) -> bool:
        """True where there are no real subjects: a generated folder, or a recording of simulated streams."""
        if self.is_dataset:
            return is_generated(self.path)
        return any(_is_simulated(file) for file in self.files if is_xdf(file))

    @property
    def files(self) -> tuple[Path, ...]:
        """The recordings; of a data set none."""
        if self.is_dataset:
            return ()
        return tuple(dict.fromkeys(row.file for row in self.rows)) or (self.path,)

    def words(self) -> str:
        return f"{len(self.files)} recordings" if self.kind == "trials" else self.kind

    def identity(self, config: FeatureConfig) -> Any:
        """Return what changes with the files, channel names, kind of features and its settings."""
        if not self.path.exists():
            what = f"expected {'a folder' if self.is_dataset else 'a recording'}, found none"
            raise InputError(what, where=f"--{self.kind} {self.path}", code=ErrorCode.FILE)
        if not self.is_dataset:
            inside = [self.path, *later_parts(self.path)]
            if self.path.is_dir():
                inside = [p for p in self.path.rglob("*") if p.is_file()]
        elif self.kind == "eav":
            inside = [p for p in self.path.glob("*/EEG/*") if p.is_file()]
        else:
            folders = [self.path / name for name in SEED_SETS[self.kind].folders(self.features)]
            inside = [p for folder in folders for p in folder.rglob("*") if p.is_file()]
        files = files_identity(inside, self.path if self.path.is_dir() else self.path.parent)
        names = None if self.montage is None else vars(load_montage(self.montage))
        return [self.kind, self.features, config.digest(), names, self.sfreq, self.unit, files]

    def read(self, config: FeatureConfig, excluded: list[Excluded]) -> Iterable[Trial]:
        """Yield the trials, or the whole recording as one without label; what cannot be read is noted."""
        if self.is_dataset:
            return self._of_dataset(None, config, excluded)
        try:
            reading = Reading(self.montage, config, sfreq=self.sfreq, unit=self.unit)
            whole = (xdf_sequence if self.kind == "xdf" else raw_file_sequence)(self.path, reading)
        except InputError as error:
            excluded.append(Excluded(self.path.name, str(error)))
            return []
        if all(rows is None or not np.isfinite(rows).any() for rows in (whole.eeg, whole.eye)):
            excluded.append(Excluded(self.path.name, "no usable channel: flat, at its rails or not finite"))
            return []
        return [whole]

    def trials(
        self,
        subjects: Sequence[str] | None = None,
        config: ModelConfig | None = None,
        excluded: list[Excluded] | None = None,
    ) -> list[Trial]:
        """Return the labelled trials with a model's features; ``excluded`` takes what cannot be read."""
        features = None if config is None else config.features
        if self.is_dataset:
            trials = list(self._of_dataset(subjects, features, excluded))
            if not trials and not excluded:
                remedy = "is the data set complete?"
                raise InputError("no trials in it", where=str(self.path), remedy=remedy, code=ErrorCode.DATA)
            return trials
        windows, ch_names = (None, electrode_names()) if config is None else (config.windows, config.ch_names)
        reading = Reading(self.montage, features, ch_names, windows, self.sfreq, self.unit)
        rows = self.rows or (TableRow(self.path),)
        return read_rows(rows, reading, events=self.events, trial_s=self.trial_s, excluded=excluded)

    def _of_dataset(
        self, subjects: Sequence[str] | None, config: FeatureConfig | None, excluded: list[Excluded] | None
    ) -> Iterator[Trial]:
        if self.kind == "eav":
            return load_eav(self.path, subjects, config=config, excluded=excluded)
        data_set = SEED_SETS[self.kind]
        return load_seed(data_set, self.path, self.features, subjects, config=config, excluded=excluded)


@dataclass(frozen=True)
class Corpus:
    """Everything that is there, and what may be trained on."""

    sources: tuple[Source, ...]
    parts: tuple[Cached, ...]  # of the sources
    entries: tuple[Entry, ...]  # that training may use
    n_test: int  # trials excluded because the published split tests on them
    features: str  # raw | published

    @property
    def excluded(self) -> list[Excluded]:
        """What could not be read, files named from their folder on."""
        return [
            Excluded(entry.subject, entry.why.replace(str(source.path), source.path.name))
            for source, part in zip(self.sources, self.parts, strict=True)
            for entry in part.excluded
        ]

    @property
    def used(self) -> list[Source]:
        """The sources that something could be read of."""
        kept = {entry.folder for entry in self.entries}
        return [s for s, part in zip(self.sources, self.parts, strict=True) if str(part.folder) in kept]

    def words(self) -> list[str]:
        """Return a sentence for each source that is used, without paths."""
        lines = []
        for source, part in zip(self.sources, self.parts, strict=True):
            used = set(self.entries) & set(part.entries)
            if not used:
                continue
            n_subjects = len({entry.subject for entry in used})
            steps = sum(entry.n_steps for entry in used)
            what = f"{n_subjects} subjects, {len(used)} trials" if source.is_dataset else source.path.name
            made = "generated, no real subjects; " if source.is_generated else ""
            lines.append(f"{source.kind}: {made}{what}, {steps} steps of {self.entries[0].step_s:g} s")
        return lines


def kind_of_features(sources: Sequence[Source], wanted: str | None) -> str:
    """Return raw or published, as wanted or as there is; raises `InputError` where they cannot be had."""
    if not sources:
        what = "nothing to pre-train on"
        raise InputError(what, where="pretrain", remedy="give --seed-iv, --seed-v, --eav, --xdf or --raw")
    raw_only = [source for source in sources if source.kind not in SEED_SETS]
    if wanted == "published" and raw_only:
        what = f"{raw_only[0].kind} has no published features, and the two kinds cannot be mixed"
        raise InputError(what, where="--features published", remedy="use --features raw, or omit it")
    if wanted is not None:
        return wanted
    folders = [source for source in sources if source not in raw_only]
    has_raw = all((s.path / SEED_SETS[s.kind].raw).is_dir() for s in folders)
    return "raw" if raw_only or has_raw else "published"


def open_corpus(
    sources: Sequence[Source],
    cache: Path,
    config: FeatureConfig,
    *,
    features: str,
) -> Corpus:
    """Return the corpus, from the cache where it is there."""
    sources = [replace(source, features=features) for source in sources]
    parts = [cached(cache, source.identity(config), partial(source.read, config)) for source in sources]
    usable: list[Entry] = []
    n_test = 0
    for source, part in zip(sources, parts, strict=True):
        tested = _test_trials(part.entries) if source.is_dataset else set()
        usable += [entry for entry in part.entries if entry not in tested]
        n_test += len(tested)
    if not usable:
        why = next((entry.why for part in parts for entry in part.excluded), "no trial holds a step")
        raise InputError(f"nothing could be read; first: {why}", where="pretrain", code=ErrorCode.DATA)
    return Corpus(tuple(sources), tuple(parts), tuple(usable), n_test, features)


def _test_trials(entries: Sequence[Entry]) -> set[Entry]:
    """Return the trials the published split tests on, counted over the set or over a session alone.

    A session that lacks trials would be split elsewhere if it is looked at alone: those are excluded too.
    """
    if not entries:
        return set()
    tested = set(published_split(entries)[1])
    for of_session in by_session(entries).values():
        try:
            tested |= set(published_split(of_session)[1])
        except InputError:  # too few trials to be split alone: no test is of it alone
            continue
    return tested


@dataclass(frozen=True)
class Labels:
    """How many labelled trials of each session train; of training trials only."""

    how: str = "all"  # all | first | per-class | first-windows
    k: int = 0
    at_most: bool = False  # fewer are taken where a session has no more; else it is refused

    @classmethod
    def parse(cls, text: str) -> Labels:
        """Read ``all``, ``first:K``, ``per-class:K`` or ``first-windows:K``."""
        how, _, number = text.partition(":")
        if text == "all":
            return cls()
        if how in ("first", "per-class", "first-windows") and number.isdigit() and int(number) > 0:
            return cls(how, int(number))
        what = f"expected all, first:K, per-class:K or first-windows:K, found {text!r}"
        raise InputError(what, where="--labels", remedy="write for example --labels first:10")

    def choose(self, training: Sequence[Trial], n_steps: int = 10) -> list[Trial]:
        """Return a session's trials whose labels are used; raises `InputError` where there are too few."""
        if self.how in ("first", "per-class"):
            per_class = self.how == "per-class"
            return first_trials(training, self.k, per_class=per_class, at_most=self.at_most)
        if self.how == "first-windows":
            counts = [max(0, trial.n_steps - n_steps + 1) for trial in training]
            return [t for at, t in enumerate(training) if sum(counts[:at]) < self.k]
        return list(training)

    @property
    def max_windows(self) -> int | None:
        """How many windows train at most, counted from the session's start."""
        return self.k if self.how == "first-windows" else None

    def words(self, chosen: Sequence[Trial] | None = None) -> str:
        """Return for example ``first 10 trials``, or what was ``chosen`` of one session that has fewer."""
        counts = () if chosen is None else coverage(chosen).counts
        if self.how == "first" and 0 < sum(counts) < self.k:
            return f"all {sum(counts)} training trials (fewer than {self.k})"
        if self.how == "per-class" and any(0 < count < self.k for count in counts):
            return f"up to {self.k} trials per class"
        words = {
            "first": "first {} trials",
            "per-class": "{} trials per class",
            "first-windows": "first {} windows",
        }
        return words.get(self.how, "all").format(self.k)


def missing_classes(trials: Sequence[Trial], labels: Labels) -> str:
    """Return one sentence on classes that a subject's sessions lack; empty where each has them all."""
    first = trials[0]
    lacking = [
        f"no {' and no '.join(missing)} in session {session}"
        for session in sorted({trial.session for trial in trials})
        if (missing := coverage([trial for trial in trials if trial.session == session]).missing)
    ]
    if not lacking:
        return ""
    seen = "cannot predict them" if coverage(trials).missing else "learns them from other sessions"
    return (
        f"{first.dataset}, subject {first.subject}: {labels.words()} hold {', '.join(lacking)}; the model "
        f"{seen} (--labels per-class:K includes every class)"
    )
