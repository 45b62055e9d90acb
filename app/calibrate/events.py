"""Another program's recording with its own events: a profile from its first trials, tested on the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from acquisition.errors import ErrorCode, InputError
from acquisition.types import MODALITIES
from app.calibrate.offline import RecordedRun, Say, StageLines, fit_options, make_folder, read_run
from app.request import CalibrationRequest
from calibration.crossvalidation import named_trials
from calibration.outcome import Finished, Material, fit_session
from calibration.plan import LEAST_PER_CLASS
from calibration.profile import apply_profile, load_profile
from calibration.report.summary import Score
from calibration.types import Consent, SessionRecord, TrialRecord
from calibration.verdict import ChanceThreshold, binomial_threshold, percent
from models.datasets.recordings import class_names, marked_spans, parse_events

_FIRST = 10


@dataclass(frozen=True)
class EventTrials:
    """Which trials a recording holds, and which of them a profile is fitted to."""

    events: Mapping[str, str]  # class by marker
    trial_s: float | None = None  # None: to the next marker
    n_first: int | None = _FIRST
    per_class: int | None = None  # instead of n_first

    @classmethod
    def parse(
        cls, events: str, trial_s: float | None, n_first: int | None, per_class: int | None
    ) -> EventTrials:
        """Return what the command line asks for; InputError for unreadable events or both counts."""
        if n_first is not None and per_class is not None:
            raise InputError("expected one of them", where="--trials and --per-class", remedy="leave one out")
        first = None if per_class is not None else n_first or _FIRST
        return cls(parse_events(events), trial_s, first, per_class)

    def choose(self, trials: Sequence[TrialRecord]) -> tuple[list[TrialRecord], dict[str, int]]:
        """Return the trials to fit to, and by class how many those had of which too few were among them."""
        if self.per_class is not None:
            seen: Counter[str] = Counter()
            first = []
            for trial in trials:
                seen[trial.emotion] += 1
                if seen[trial.emotion] <= self.per_class:
                    first.append(trial)
        else:
            first = list(trials[: self.n_first])
        counts = Counter(trial.emotion for trial in first)
        few = {label: counts[label] for label in class_names(self.events) if counts[label] < LEAST_PER_CLASS}
        return [trial for trial in first if trial.emotion not in few], few

    @property
    def words(self) -> str:
        """Which trials are fitted to."""
        if self.per_class is not None:
            return f"the first {self.per_class} trials of each class"
        return f"the first {self.n_first} trials"


@dataclass(frozen=True, eq=False)
class Tested:
    """A profile and how it did on the trials that it was not fitted to."""

    finished: Finished
    protocol: str  # which trials it was fitted to
    test: Score
    threshold: ChanceThreshold
    chance: float
    n_per_class: Mapping[str, int]  # tested
    n_empty: int  # trials that could not be tested: no whole window lies in them
    dropped: Mapping[str, int]  # excluded classes, and how many trials were among those to fit to

    def to_json(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
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
        """Return the same in words."""
        low, high = self.test.interval
        threshold = self.threshold.balanced_accuracy
        beyond = "out of reach" if threshold is None else percent(threshold, 1)
        empty = f"; {self.n_empty} more hold no whole window" if self.n_empty else ""
        return [
            *self.finished.lines(),
            *_dropped(self.dropped, self.protocol),
            f"tested on the {self.test.n_trials} other trials: {self.test.n_correct} right, "
            f"balanced accuracy {percent(self.test.balanced_accuracy, 1)}, 95 % interval {percent(low, 1)} "
            f"to {percent(high, 1)}; chance {percent(self.chance, 1)}, its threshold {beyond}{empty}",
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
        raise InputError(
            f"{wanted.words} hold two or more of {len(classes)} of {len(classes) + len(few)} classes: "
            f"{'; '.join(_dropped(few, wanted.words))}",
            where=str(path),
            remedy="take more with --trials, or so many of each with --per-class 4",
            code=ErrorCode.DATA,
            n_classes=len(classes),
        )
    used = {trial.number for trial in chosen}
    others = [trial for trial in trials if trial.number not in used and trial.emotion in classes]
    if not others:
        raise InputError(
            "no trial is left to test on",
            where=str(path),
            remedy="fit to fewer with --trials or --per-class",
            code=ErrorCode.DATA,
        )
    say(f"reading {path.name}: {len(trials)} trials")
    run = read_run(path, options, MODALITIES)
    finished = _fit(run, request, chosen, classes, make_folder(out or Path(f"{path.stem}_fit")), say)
    personal = apply_profile(load_profile(finished.profile), run.checkpoint)
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


def _fit(
    run: RecordedRun,
    request: CalibrationRequest,
    chosen: Sequence[TrialRecord],
    classes: tuple[str, ...],
    folder: Path,
    say: Say,
) -> Finished:
    trials = tuple(replace(trial, number=number) for number, trial in enumerate(chosen, start=1))
    record = SessionRecord(
        request.subject or "foreign1",
        1,
        classes,
        request.seed,
        Consent(run.modalities),  # who publishes or hands over a recording answers for it
        trials=trials,
        recordings=(Path(run.path.name),),
        order=tuple(trial.emotion for trial in trials),
        is_simulated=run.is_simulated,
    )
    return fit_session(
        Material([run.rows], run.qualities(trials)),
        record,
        run.checkpoint,
        fit_options(run.options, "intended"),
        folder=folder,
        recordings=[run.path.absolute()],
        keeps_poor=True,  # nobody can repeat them
        progress=StageLines(say),
    )


def _dropped(few: Mapping[str, int], words: str) -> list[str]:
    """Return a sentence for each excluded class."""
    return [
        f"class {label!r} is excluded: {words} hold {n} of it, and {LEAST_PER_CLASS} are needed"
        for label, n in few.items()
    ]
