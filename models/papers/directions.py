"""Tests the claims of the MMV-SSTMA paper's tables on generated data: do differences have the same direction?

Several generated sets, one a seed, each with its own subjects: pre-training on all their training trials,
then a classifier a subject, tested on the test trials of the published split. Generated subjects are
independent of each other, so differences are paired by subject. No figure is valid for real brains.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from acquisition.errors import ErrorCode, InputError
from models.checkpoint import load_checkpoint
from models.datasets.make.generator import load_oracle
from models.datasets.make.options import MakeOptions
from models.datasets.make.seed import make_seed_iv
from models.datasets.trials import Excluded
from models.papers.reproduce import Job, jobs_of, run_job, usable
from models.papers.settings import TEN_TRIALS, Setting
from models.process import run_here_or_there
from models.training.finetune_config import FinetuneOptions, PretrainedEncoders
from models.training.label_protocols import LabelTest, evaluate_labels, pooled
from models.training.loop import Report
from models.training.pretrain import PretrainOptions, pretrain
from models.training.pretrain_loop import LoopOptions, joined_world
from models.training.scores import sd_of, t_interval
from models.training.sources import Source

#: Fixed before any run; settings were chosen on the set of seed 7.
SEEDS = (101, 102, 103, 104, 105)
#: Where the difficulty is set to: LDA on EEG, with four classes.
LDA_EEG = (0.45, 0.65)
STREAMED = "streaming "  # prefix of the name of a row with streaming encoders

#: Accuracies, or differences of them, by (seed, subject).
BySubject = dict[tuple[int, str], float]
_N_BOOTSTRAP = 2000
_BATCH = 16  # windows a step of pre-training
_TEN, _EEG = TEN_TRIALS, ("eeg",)
SETTINGS: dict[str, Setting] = {
    "EEG, 10 trials, from scratch": Setting("EEG", modalities=_EEG, labels=_TEN),
    "EEG, 10 trials": Setting("EEG", modalities=_EEG, labels=_TEN, pretrained=True),
    "EEG, 10 trials, 50 % masked": Setting("EEG", modalities=_EEG, labels=_TEN, pretrained=True, mask=0.5),
    "EEG": Setting("EEG", modalities=_EEG, pretrained=True),
    "fused, 10 trials": Setting("fused", labels=_TEN, pretrained=True),
    "fused, 10 trials, 50 % masked": Setting("fused", labels=_TEN, pretrained=True, mask=0.5),
    "fused": Setting("fused", pretrained=True),
    "true discriminant, EEG": Setting("true", kind="oracle", modalities=_EEG),
    "true discriminant": Setting("true", kind="oracle"),
}
STREAMING_SETTINGS: dict[str, Setting] = {
    f"{STREAMED}EEG": Setting("EEG", modalities=_EEG, pretrained=True),
    f"{STREAMED}fused": Setting("fused", pretrained=True),
}
#: Rows of `worth_of_labels` beside them, of the same trials: own labels, their number, model, what is given.
REFERENCES: dict[str, tuple[int | None, str, str]] = {
    "LDA, EEG": (None, "lda", "eeg"),
    "LDA": (None, "lda", "both"),
    "SVM": (None, "svm", "both"),
    "LDA, 10 trials": (10, "lda", "both"),
}
CONTEXTS = {"window": SETTINGS, "streaming": STREAMING_SETTINGS}
#: Claim, the row that should be ahead, the row it is held against; a mask's claim is about what it costs.
_CLAIMS = (
    ("pre-training helps with 10 labelled trials", "EEG, 10 trials", "EEG, 10 trials, from scratch"),
    ("attention fusion beats EEG alone", "fused", "EEG"),
    ("fused is as good as LDA", "fused", "LDA"),
    ("fused is as good as the linear SVM", "fused", "SVM"),
    ("streaming is no worse than windows, EEG", f"{STREAMED}EEG", "EEG"),
    ("streaming is no worse than windows, fused", f"{STREAMED}fused", "fused"),
)
_SPREAD_CLAIM = "and its accuracies differ less from subject to subject (points of SD)"
_MASK_CLAIM = "with 50 % of the channels masked the fused model loses less than EEG alone"


@dataclass(frozen=True)
class DirectionsOptions:
    """How much is run; defaults take under an hour on two cores."""

    seeds: tuple[int, ...] = SEEDS
    n_subjects: int = 6
    difficulty: str | float = "default"
    n_jobs: int = 2
    pretrain_epochs: int = 10
    pretrain_windows: int = 320  # a pass
    # Pre-trained encoders stay frozen, as in the calibration; without pre-training all of it trains.
    # Held-out trials are too few of 16 to choose a number of passes by: it is fixed.
    finetune: FinetuneOptions = FinetuneOptions(  # noqa: RUF009 (frozen)
        freeze=True, max_windows_per_trial=8, stop_early=False, few_epochs=30
    )
    passes_from_nothing: int = 10
    label_networks: bool = True  # of `worth_of_labels`, with other subjects' labels

    def quick(self) -> DirectionsOptions:
        """Return the options with two sets of two subjects and few passes, to try it out."""
        return replace(
            self,
            seeds=self.seeds[:2],
            n_subjects=2,
            pretrain_epochs=1,
            pretrain_windows=64,
            finetune=self.finetune.quick(),
            passes_from_nothing=2,
            label_networks=False,
        )


@dataclass(frozen=True, eq=False)
class Directions:
    """Accuracy per window of every row, set and subject; shares."""

    accuracy: dict[str, BySubject]  # by row, then (seed, subject)
    excluded: tuple[Excluded, ...]
    options: DirectionsOptions
    labels: tuple[dict[str, Any], ...] = ()  # rows of `worth_of_labels`

    def to_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints; ``sd`` is over subjects, ``sd_seeds`` over the sets' means."""
        return {
            "generated": True,
            "seeds": list(self.options.seeds),
            "n_subjects": self.options.n_subjects,
            "chance": 0.25,
            "rows": [_row(name, found) for name, found in self.accuracy.items()],
            "directions": self.claims(),
            "labels": list(self.labels),
            "lda_eeg_from_to": list(LDA_EEG),
            "people": [
                {"row": name, "seed": seed, "subject": subject, "accuracy": value}
                for name, found in self.accuracy.items()
                for (seed, subject), value in found.items()
            ],
            "left_out": [{"subject": one.subject, "why": one.why} for one in self.excluded],
        }

    def claims(self) -> list[dict[str, Any]]:
        """Return each direction with its mean difference over subjects, 95 % t interval and outcome."""
        claims = [
            _claim(claim, _differences(self.accuracy[ahead], self.accuracy[behind]))
            for claim, ahead, behind in _CLAIMS
            if ahead in self.accuracy and behind in self.accuracy
        ]
        eeg, fused = (
            _differences(self.accuracy.get(f"{name}, 10 trials, 50 % masked", {}), self.accuracy[name_whole])
            for name, name_whole in (("EEG", "EEG, 10 trials"), ("fused", "fused, 10 trials"))
        )
        ahead, behind = (self.accuracy[row] for row in _CLAIMS[0][1:])
        return [
            *claims,
            _claim(_MASK_CLAIM, _differences(fused, eeg)),
            _spread_claim(ahead, behind),
            *label_claims(self.labels),
        ]


def _row(name: str, found: BySubject) -> dict[str, Any]:
    of_sets: dict[int, list[float]] = {}
    for (seed, _), value in found.items():
        of_sets.setdefault(seed, []).append(value)
    values = list(found.values())
    sd_seeds = sd_of([float(np.mean(of_set)) for of_set in of_sets.values()])
    return {
        "row": name,
        "mean": float(np.mean(values)),
        "sd": sd_of(values),
        "sd_seeds": sd_seeds,
        "n": len(values),
    }


def label_claims(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return how far what is kept is ahead of the better of LDA and SVM, by EEG and eyes and by subject."""
    found = {(r["protocol"], r["labels"], r["model"]): r for r in rows if r["modalities"] == "both"}
    claims = []
    for n, (ours, theirs) in product(
        (10, "all"), (("transfer", "transfer"), ("transfer", "own"), ("own", "own"))
    ):
        if (ours, n, "kept") not in found or (theirs, n, "lda") not in found:
            continue
        best = max((found[theirs, n, model] for model in ("lda", "svm")), key=lambda row: row["mean"])
        ahead, behind = (
            {(0, one["subject"]): one["mean"] for one in row["subjects"]}
            for row in (found[ours, n, "kept"], best)
        )
        words = f"{n} own trials: kept, {ours}, is ahead of {best['model'].upper()}, {theirs}"
        claims.append(_claim(words, _differences(ahead, behind)))
    return claims


def worth_of_labels(
    folders: Mapping[int, Path], options: DirectionsOptions, report: Report
) -> tuple[tuple[dict[str, Any], ...], dict[str, BySubject]]:
    """Return rows of `label_protocols` over all sets, and `REFERENCES` of the first sessions."""
    rows: list[dict[str, Any]] = []
    references: dict[str, BySubject] = {}
    for protocol, n_labels in product(("own", "transfer"), (10, None)):
        results = {}
        for seed, folder in folders.items():
            source = Source("seed-iv", folder, "published")
            network = protocol == "transfer" and options.label_networks
            test = LabelTest(source, protocol, n_labels, n_jobs=options.n_jobs, network=network)
            results[seed] = evaluate_labels(test, report)
        rows += pooled(results).to_dict()["rows"]
        for name, (n, *key) in REFERENCES.items() if protocol == "own" else ():
            if n == n_labels:
                references[name] = {
                    (seed, entry.subject): entry.window.accuracy
                    for seed, result in results.items()
                    for entry in result.entries[key[0], key[1]]
                    if entry.session == 1
                }
    return tuple(rows), references


def labels_alone(options: DirectionsOptions, report: Report) -> dict[str, Any]:
    """Return what ``--labels --json`` prints: the rows of `worth_of_labels` and its claims."""
    with _made(options) as folders:
        rows, _ = worth_of_labels(folders, options, report)
    return {"generated": True, "seeds": list(options.seeds), "labels": rows, "directions": label_claims(rows)}


@contextmanager
def _made(options: DirectionsOptions) -> Iterator[dict[int, Path]]:
    """Generate the sets in a folder that goes when they have served."""
    with TemporaryDirectory(prefix="affectscope-directions-", ignore_cleanup_errors=True) as scratch:
        folders = {seed: Path(scratch) / str(seed) for seed in options.seeds}
        for seed, folder in folders.items():
            make_seed_iv(
                MakeOptions(folder, options.n_subjects, seed, options.difficulty, jobs=options.n_jobs)
            )
        yield folders


def directions(options: DirectionsOptions, report: Report) -> Directions:
    """Generate every set, train, judge, and gather."""
    with _made(options) as folders:
        labels, accuracy = worth_of_labels(folders, options, report)
        runs = [
            PretrainOptions(
                sources=(Source("seed-iv", folder),),
                out=folder.with_name(f"{seed}-{context}"),
                features="published",
                context=context,
                batch=_BATCH,
                seed=seed,
                most_a_pass=options.pretrain_windows,
                loop=LoopOptions(epochs=options.pretrain_epochs, learning_rate=1e-3),
            )
            for seed, folder in folders.items()
            for context in CONTEXTS
        ]
        encoders: dict[tuple[int, str], PretrainedEncoders] = {}
        for run, found in zip(runs, run_here_or_there(_pretrained, runs, options.n_jobs), strict=True):
            encoders[run.seed, run.context] = found
            report("pre-training", len(encoders) / len(runs), math.nan, f"{len(encoders)} of {len(runs)}")
        jobs = [
            (seed, *named)
            for (seed, context), of_context in encoders.items()
            for named in _jobs(folders[seed], context, of_context, options)
        ]
    excluded: list[Excluded] = []
    results = run_here_or_there(_accuracy, jobs, options.n_jobs)
    for name, key, share in usable(results, len(jobs), "fine-tuning", excluded, report):
        accuracy.setdefault(name, {})[key] = share
    missing = [name for name in (*SETTINGS, *STREAMING_SETTINGS) if name not in accuracy]
    if missing:
        what, where = f"no results for {', '.join(missing)}: {excluded[0].why}", "evaluate generated"
        raise InputError(what, where=where, remedy="fix that, or try --quick first", code=ErrorCode.DATA)
    return Directions(accuracy, tuple(excluded), options, labels)


def _jobs(
    folder: Path, context: str, encoders: PretrainedEncoders, options: DirectionsOptions
) -> list[tuple[str, Job]]:
    """Return (row, job) for each subject of a set, first session, and each setting of a context."""
    trials = [t for t in Source("seed-iv", folder, "published").trials() if t.session == 1]
    oracle, named = load_oracle(folder), []
    for name, setting in CONTEXTS[context].items():
        how = options.finetune
        if setting.kind == "network" and not setting.pretrained:  # its encoders train, in fewer passes
            how = replace(how, freeze=False, few_epochs=options.passes_from_nothing)
        named += [(name, job) for job in jobs_of([setting], trials, how, encoders, oracle)]
    return named


def _accuracy(named: tuple[int, str, Job]) -> tuple[str, tuple[int, str], float] | Excluded:
    """Return the row, (seed, subject) and accuracy per window of one job."""
    seed, name, job = named
    result = run_job(job)
    if isinstance(result, Excluded):
        return result
    return name, (seed, job.trials[0].subject), result[0].entry.window.accuracy


def _pretrained(run: PretrainOptions) -> PretrainedEncoders:
    torch.set_num_threads(1)
    with joined_world("cpu") as world:
        pretrain(run, world, lambda stage, share, loss, words: None)
    return PretrainedEncoders.of(load_checkpoint(run.out))


def _differences(ahead: BySubject, behind: BySubject) -> BySubject:
    return {key: ahead[key] - behind[key] for key in ahead if key in behind}


def _claim(claim: str, differences: BySubject) -> dict[str, Any]:
    values = list(differences.values())
    low, high = t_interval(values) or (math.nan, math.nan)
    return _verdict(claim, float(np.mean(values)), low, high)


def _verdict(claim: str, difference: float, low: float, high: float) -> dict[str, Any]:
    """Return the claim with figures; it ``holds`` on average, and is ``shown`` where the interval says so."""
    return {
        "claim": claim,
        "difference": difference,
        "interval": [low, high],
        "holds": difference >= 0,
        "shown": low > 0,
        "refuted": high < 0,
    }


def _spread_claim(ahead: BySubject, behind: BySubject) -> dict[str, Any]:
    """Return by how much less ``ahead`` spreads over subjects, with a bootstrap interval over subjects."""
    keys = [key for key in ahead if key in behind]
    if len(keys) < 2:
        return _verdict(_SPREAD_CLAIM, math.nan, math.nan, math.nan)
    pairs = np.array([[ahead[key], behind[key]] for key in keys])
    picks = np.random.default_rng(0).integers(len(keys), size=(_N_BOOTSTRAP, len(keys)))
    sds = pairs[picks].std(axis=1, ddof=1)  # (n, 2)
    low, high = np.percentile(sds[:, 1] - sds[:, 0], [2.5, 97.5])
    difference = float(np.subtract(*pairs.std(axis=0, ddof=1)[::-1]))
    return _verdict(_SPREAD_CLAIM, difference, float(low), float(high))
