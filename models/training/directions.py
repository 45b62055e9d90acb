"""What the MMV-SSTMA paper's tables say, asked of generated data: does it point the same way here?

Several generated sets, one a seed, each with its own people: pre-training on the training trials of all of
them, then a classifier a person, judged on the test trials of the published split. Generated people are
independent of each other, so differences are paired by person. No figure of this says anything of a brain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from acquisition.errors import InputError
from models.checkpoint import load_checkpoint
from models.datasets.make.options import MakeOptions
from models.datasets.make.seed_iv import make_seed_iv
from models.datasets.oracle import load_oracle
from models.datasets.types import LeftOut
from models.training.corpus_sources import Source
from models.training.distributed import joined_world
from models.training.finetune_config import FinetuneOptions, PretrainedEncoders
from models.training.paired import paired_interval
from models.training.pretrain import PretrainOptions, pretrain
from models.training.pretrain_loop import LoopOptions, Report
from models.training.protocols import LabelledSource
from models.training.runs import Job, jobs_of, run_here_or_there, run_job
from models.training.settings import TEN_TRIALS, Setting

#: Fixed before anything was run.
SEEDS = (101, 102, 103, 104, 105)
STREAMED = "streaming "  # begins the name of a row whose encoders stream

#: Windows a step of pre-training; a streaming one has 46 time steps in place of 10. Either takes about 5 GB.
_BATCH = {"window": 32, "streaming": 8}
_TEN, _EEG = TEN_TRIALS, ("eeg",)
SETTINGS: dict[str, Setting] = {
    "EEG, 10 trials, from nothing": Setting("EEG", modalities=_EEG, labels=_TEN),
    "EEG, 10 trials": Setting("EEG", modalities=_EEG, labels=_TEN, pretrained=True),
    "EEG, 10 trials, 50 % masked": Setting("EEG", modalities=_EEG, labels=_TEN, pretrained=True, mask=0.5),
    "EEG": Setting("EEG", modalities=_EEG, pretrained=True),
    "fused, 10 trials": Setting("fused", labels=_TEN, pretrained=True),
    "fused, 10 trials, 50 % masked": Setting("fused", labels=_TEN, pretrained=True, mask=0.5),
    "fused": Setting("fused", pretrained=True),
    "LDA, EEG": Setting("LDA", kind="lda", modalities=_EEG),
    "LDA": Setting("LDA", kind="lda"),
    "SVM": Setting("SVM", kind="svm"),
    "LDA, 10 trials": Setting("LDA", kind="lda", labels=_TEN),
    "true discriminant, EEG": Setting("true", kind="oracle", modalities=_EEG),
    "true discriminant": Setting("true", kind="oracle"),
}
STREAMING_SETTINGS: dict[str, Setting] = {
    f"{STREAMED}EEG": Setting("EEG", modalities=_EEG, pretrained=True),
    f"{STREAMED}fused": Setting("fused", pretrained=True),
}
#: Claim, the row that should be ahead, the row it is held against; a mask's claim is about what it costs.
_CLAIMS = (
    ("pre-training helps with 10 labelled trials", "EEG, 10 trials", "EEG, 10 trials, from nothing"),
    ("attention fusion beats EEG alone", "fused", "EEG"),
    ("fused is as good as LDA", "fused", "LDA"),
    ("fused is as good as the linear SVM", "fused", "SVM"),
    ("streaming is no worse than windows, EEG", f"{STREAMED}EEG", "EEG"),
    ("streaming is no worse than windows, fused", f"{STREAMED}fused", "fused"),
)
_MASK_CLAIM = "with 50 % of the channels masked the fused model loses less than EEG alone"


@dataclass(frozen=True)
class DirectionsOptions:
    """How much is run; defaults take under an hour on two cores."""

    seeds: tuple[int, ...] = SEEDS
    n_subjects: int = 6
    difficulty: str | float = "default"
    n_jobs: int = 2
    pretrain_epochs: int = 10
    pretrain_windows: int = 640  # a pass
    # Pre-trained encoders stay frozen, as in the calibration; without pre-training all of it trains.
    finetune: FinetuneOptions = FinetuneOptions(freeze=True, max_windows_per_trial=8)  # noqa: RUF009 (frozen)

    def quick(self) -> DirectionsOptions:
        """Return the options with two sets of two people and few passes, to try it out."""
        return replace(
            self,
            seeds=self.seeds[:2],
            n_subjects=2,
            pretrain_epochs=1,
            pretrain_windows=64,
            finetune=replace(self.finetune.quick(), freeze=True),
        )


@dataclass(frozen=True, eq=False)
class Directions:
    """Accuracy per window of every row, set and person; shares."""

    accuracy: dict[str, dict[tuple[int, str], float]]  # by row, then (seed, subject)
    left_out: tuple[LeftOut, ...]
    options: DirectionsOptions

    def to_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints; ``sd`` is over people, ``sd_seeds`` over the sets' means."""
        return {
            "generated": True,
            "seeds": list(self.options.seeds),
            "n_subjects": self.options.n_subjects,
            "chance": 0.25,
            "rows": [self._row(name) for name in self.accuracy],
            "directions": self.claims(),
            "left_out": [{"subject": one.subject, "why": one.why} for one in self.left_out],
        }

    def _row(self, name: str) -> dict[str, Any]:
        found = self.accuracy[name]
        by_seed = [[v for (seed, _), v in found.items() if seed == wanted] for wanted in self.options.seeds]
        means = [float(np.mean(values)) for values in by_seed if values]
        values = list(found.values())
        return {
            "row": name,
            "mean": float(np.mean(values)),
            "sd": _sd(values),
            "sd_seeds": _sd(means),
            "n": len(values),
        }

    def claims(self) -> list[dict[str, Any]]:
        """Return each direction with its mean difference over people, 95 % t interval, and what came out."""
        claims = [
            _claim(claim, _differences(self.accuracy[ahead], self.accuracy[behind]))
            for claim, ahead, behind in _CLAIMS
            if ahead in self.accuracy and behind in self.accuracy
        ]
        eeg, fused = (
            _differences(self.accuracy.get(f"{name}, 10 trials, 50 % masked", {}), self.accuracy[name_whole])
            for name, name_whole in (("EEG", "EEG, 10 trials"), ("fused", "fused, 10 trials"))
        )
        return [*claims, _claim(_MASK_CLAIM, _differences(fused, eeg))]


def directions(options: DirectionsOptions, report: Report) -> Directions:
    """Generate every set, train, judge, and gather.

    Raises
    ------
    InputError
        If every setting of a row failed.
    """
    accuracy: dict[str, dict[tuple[int, str], float]] = {}
    left_out: list[LeftOut] = []
    for number, seed in enumerate(options.seeds):
        with TemporaryDirectory(prefix="affectscope-directions-", ignore_cleanup_errors=True) as scratch:
            told = _of_set(report, number, len(options.seeds))
            named = _jobs(Path(scratch), seed, options, told)
            results = run_here_or_there(run_job, [job for _, job in named], options.n_jobs)
            for done, ((name, job), result) in enumerate(zip(named, results, strict=True), start=1):
                if isinstance(result, LeftOut):
                    left_out.append(result)
                else:
                    key = (seed, job.trials[0].subject)
                    accuracy.setdefault(name, {})[key] = result[0].window.accuracy
                told("fine-tuning", done / len(named), math.nan, f"{done} of {len(named)}")
    missing = [name for name in (*SETTINGS, *STREAMING_SETTINGS) if name not in accuracy]
    if missing:
        raise InputError(
            f"nothing came out for {', '.join(missing)}: {left_out[0].why}",
            where="evaluate generated",
            remedy="mend that, or try it out first with --quick",
        )
    return Directions(accuracy, tuple(left_out), options)


def _jobs(scratch: Path, seed: int, options: DirectionsOptions, report: Report) -> list[tuple[str, Job]]:
    """Generate a set, pre-train on it in both contexts, and return (row, job) for each of its people."""
    folder = scratch / "set"
    make_seed_iv(
        MakeOptions(folder, options.n_subjects, seed, options.difficulty, jobs=1), lambda n_done: None
    )
    trials = [t for t in LabelledSource("seed-iv", folder, "published").trials() if t.session == 1]
    oracle = load_oracle(folder)
    named: list[tuple[str, Job]] = []
    for context, settings in (("window", SETTINGS), ("streaming", STREAMING_SETTINGS)):
        encoders = _pretrained(scratch, folder, context, seed, options, report)
        named += [
            (name, _with_its_budget(job))
            for name, setting in settings.items()
            for job in jobs_of([setting], trials, options.finetune, encoders, oracle)
        ]
    return named


def _with_its_budget(job: Job) -> Job:
    """Return the job; a network that begins with nothing needs its encoders trained, in fewer passes."""
    if job.setting.kind == "network" and not job.setting.pretrained:
        return replace(job, options=replace(job.options, freeze=False))
    return job


def _pretrained(
    scratch: Path, folder: Path, context: str, seed: int, options: DirectionsOptions, report: Report
) -> PretrainedEncoders:
    out = scratch / context
    run = PretrainOptions(
        sources=(Source("seed-iv", folder),),
        out=out,
        cache=scratch / "cache",
        features="published",
        context=context,
        batch=_BATCH[context],
        seed=seed,
        most_a_pass=options.pretrain_windows,
        loop=LoopOptions(epochs=options.pretrain_epochs, learning_rate=1e-3),
    )

    def told(stage: str, share: float, loss: float, words: str) -> None:
        report(f"{context} form, {stage}", share, loss, words)

    with joined_world("cpu") as world:
        pretrain(run, world, told)
    return PretrainedEncoders.of(load_checkpoint(out))


def _of_set(report: Report, number: int, n: int) -> Report:
    """Return a report that names the set."""

    def told(stage: str, share: float, loss: float, words: str) -> None:
        report(f"set {number + 1} of {n}: {stage}", share, loss, words)

    return told


def _differences(
    ahead: dict[tuple[int, str], float], behind: dict[tuple[int, str], float]
) -> dict[tuple[int, str], float]:
    return {key: ahead[key] - behind[key] for key in ahead if key in behind}


def _claim(claim: str, differences: dict[tuple[int, str], float]) -> dict[str, Any]:
    """Return the claim with figures; it ``holds`` on average, and is ``shown`` where the interval says so."""
    values = list(differences.values())
    mean = float(np.mean(values))
    low, high = paired_interval(values) or (math.nan, math.nan)
    return {
        "claim": claim,
        "difference": mean,
        "interval": [low, high],
        "holds": mean >= 0,
        "shown": low > 0,
        "refuted": high < 0,
    }


def _sd(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None
