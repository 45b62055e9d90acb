"""What each part of the network's training is worth, on generated data: one change at a time.

Six generated subjects in SEED-IV's layout. Each is judged on the last trials of its three sessions, by its
first ten trials of the session (``transfer``: and all trials of the other five), or by all 16. Differences
are paired by subject. No figure is valid for real brains.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from models.datasets.make.options import MakeOptions
from models.datasets.make.seed import make_seed_iv
from models.datasets.splits import by_session, published_split
from models.datasets.trials import Trial
from models.process import run_here_or_there
from models.training.finetune import finetune
from models.training.finetune_config import FinetuneOptions
from models.training.finetune_tokens import TrialClassifier
from models.training.loop import Report
from models.training.scores import t_interval
from models.training.sources import Source
from models.training.transfer import ALONE, BASE, TransferBase, TransferOptions

SEED, N_SUBJECTS, N_OWN = 101, 6, 10
MASK = 0.5

_TRANSFER = TransferOptions()
_OWN = ALONE.base


def _changed(**changes: Any) -> TransferOptions:
    return replace(_TRANSFER, base=replace(BASE, **changes))


#: Rows of the protocol ``transfer``; the first is what the others are held against.
TRANSFER: dict[str, TransferOptions] = {
    "transfer, as it is": _TRANSFER,
    "without own levels": _changed(own_level=False),
    "eye range from raw extremes": _changed(eye_tails=0.0),
    "trials counted, not windows": _changed(count_trials=True),
    "covariance shrunk by 0.1 at least": _changed(least_shrinkage=0.1),
    "norm after pooling": _changed(token_norm="pooled"),
    "heads of modalities detached": _changed(detach_heads=True),
    "with DCCA": _changed(dcca=True),
    "attention fusion": _changed(fusion="attention"),
    "not adapted": replace(_TRANSFER, adapt_epochs=0),
    "adapted without L2-SP": replace(_TRANSFER, pull=1e-6),
    "absent channels not filled": _changed(fill=False),
    "not filled, trained on 31-62 channels": _changed(fill=False, thinned=0.5),
    "filled, trained on 31-62 channels": _changed(thinned=0.5),
}
#: Rows of own trials, by how many of a session (16: all): the first is what the others are held against.
OWN: dict[str, tuple[FinetuneOptions, int]] = {
    "own session, 10 trials": (_OWN, 10),
    "10 trials, eye range from raw extremes": (replace(_OWN, eye_tails=0.0), 10),
    "10 trials, trials counted, not windows": (replace(_OWN, count_trials=True), 10),
    "10 trials, covariance shrunk by 0.1 at least": (replace(_OWN, least_shrinkage=0.1), 10),
    "10 trials, norm after pooling": (replace(_OWN, token_norm="pooled"), 10),
    "10 trials, heads of modalities detached": (replace(_OWN, detach_heads=True), 10),
    "10 trials, with DCCA": (replace(_OWN, dcca=True), 10),
    "10 trials, absent channels not filled": (replace(_OWN, fill=False), 10),
    "own session, 16 trials": (_OWN, 16),
    "16 trials, epochs by four held-out trials": (replace(_OWN, stop_early=True, epochs=20), 16),
    "16 trials, epochs by four folds": (replace(_OWN, stop_early=True, stop_folds=4, epochs=20), 16),
}
#: Rows of all sessions of one subject.
SESSIONS = {
    "own three sessions, 16 trials each": _OWN,
    "three sessions without own levels": replace(_OWN, own_level=False),
}
#: What a row is held against.
_AGAINST = {
    **dict.fromkeys(TRANSFER, "transfer, as it is"),
    **dict.fromkeys(SESSIONS, "own session, 16 trials"),
}
_AGAINST |= {row: f"own session, {n} trials" for row, (_, n) in OWN.items()}

#: Rows that are also tested with half of the EEG channels masked, others in each window.
_MASKED = ("transfer, as it is", "own session, 10 trials", *(r for r in (*TRANSFER, *OWN) if "filled" in r))

#: Accuracy per window, with all channels and with half of them masked in the test (NaN where not tested).
Scored = dict[str, tuple[float, float]]


@dataclass(frozen=True, eq=False)
class _Job:
    subject: str
    trials: tuple[Trial, ...]
    quick: bool


def ablate(report: Report, *, n_jobs: int = 2, quick: bool = False) -> dict[str, Any]:
    """Return what ``--json`` prints: a row for each change, with its paired difference by subject."""
    with TemporaryDirectory(prefix="affectscope-ablation-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch) / "data"
        make_seed_iv(MakeOptions(folder, N_SUBJECTS, SEED, jobs=n_jobs))
        trials = tuple(Source("seed-iv", folder, "published").trials())
    names = list(dict.fromkeys(trial.subject for trial in trials))[: 2 if quick else None]
    jobs = [_Job(name, trials, quick) for name in names]
    found: dict[str, Scored] = {}
    for scored, job in zip(run_here_or_there(_judge, jobs, n_jobs), jobs, strict=True):
        found[job.subject] = scored
        report("subjects", len(found) / len(jobs), math.nan, f"{len(found)} of {len(jobs)}")
    rows = [_row(row, list(found.values())) for row in found[names[0]]]
    return {"generated": True, "seed": SEED, "n_subjects": len(names), "chance": 0.25, "rows": rows}


def _row(row: str, subjects: Sequence[Scored]) -> dict[str, Any]:
    values, masked = np.array([scored[row] for scored in subjects]).T
    reference = np.array([scored[_AGAINST[row]][0] for scored in subjects])
    low, high = t_interval(list(values - reference)) or (math.nan, math.nan)
    return {
        "row": row,
        "mean": float(values.mean()),
        "masked": None if np.isnan(masked).any() else float(masked.mean()),
        "against": _AGAINST[row],
        "difference": float((values - reference).mean()),
        "interval": [low, high],
        "by_subject": values.tolist(),
    }


def _judge(job: _Job) -> Scored:
    torch.set_num_threads(1)
    own = by_session([trial for trial in job.trials if trial.subject == job.subject])
    sessions = [published_split(session) for session in own.values()][: 1 if job.quick else None]
    others = [trial for trial in job.trials if trial.subject != job.subject]
    found: Scored = {}
    for row, options in TRANSFER.items():
        base = TransferBase(others, options)
        tested = [(base.adapted(train[:N_OWN]), test) for train, test in sessions]
        found[row] = _mean(tested), _mean(tested, MASK) if row in _MASKED else math.nan
    for row, (how, n) in OWN.items():
        tested = [(finetune(train[:n], how), test) for train, test in sessions]
        found[row] = _mean(tested), _mean(tested, MASK) if row in _MASKED else math.nan
    training = [trial for train, _ in sessions for trial in train]
    for row, how in SESSIONS.items():
        model = finetune(training, how)
        found[row] = _mean([(model, test) for _, test in sessions]), math.nan
    return found


def _mean(tested: Sequence[tuple[TrialClassifier, list[Trial]]], mask: float = 0.0) -> float:
    return float(np.mean([model.predict(test, mask=mask).scores().accuracy for model, test in tested]))
