"""Models of a table of recordings, tested on subjects or trials that trained none of them.

| protocol      | trains                                        | tested                    |
|---------------|-----------------------------------------------|---------------------------|
| loso          | all other subjects                            | each subject in turn      |
| within        | the subject's other trials, five folds        | each trial of the subject |
| transfer:K    | other subjects, and the subject's first K     | the subject's other ones  |

What is kept is chosen within the part that trains (`models.training.evidence.preferred_kind`, and by the
network's share), as `finetune` does; the other rows are references. Answers are per trial.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from acquisition.errors import ErrorCode, InputError
from models.config import ModelConfig
from models.datasets.splits import cross_validation
from models.datasets.trials import Excluded, Trial, exclude, label_names_of, steps_that_fit
from models.level import Evidence
from models.process import run_jobs
from models.training.evaluate_trials import joined
from models.training.evidence import candidates, fit_evidence, follow, preferred_kind
from models.training.finetune import finetune
from models.training.finetune_config import FinetuneOptions, classifier_config
from models.training.loop import Report
from models.training.scores import Predictions, balanced_accuracy, interval_over, per_trial
from models.training.session_levels import SessionLevels, about_level
from models.training.trial_tensors import cut_for

_MOST_WINDOWS = 20  # of a trial that is told


@dataclass(frozen=True)
class RecordingsTest:
    """What is tested, and how."""

    protocol: str  # loso | within | transfer:K
    normalise: str = "subject"  # training | subject | baseline
    network: bool = False  # a network is trained too, and may get a share of what is kept
    options: FinetuneOptions = FinetuneOptions(evidence=True, eye_tails=0.01, fill=True)  # noqa: RUF009
    n_jobs: int = 1

    @property
    def n_own(self) -> int | None:
        """K of ``transfer:K``; None for another protocol. Raises `InputError` if it is none of them."""
        how, _, number = self.protocol.partition(":")
        if how == "transfer" and number.isdigit() and int(number):
            return int(number)
        if self.protocol in ("loso", "within"):
            return None
        what = f"expected loso, within or transfer:K, found {self.protocol!r}"
        raise InputError(what, where="--protocol", remedy="for example transfer:10")


@dataclass(frozen=True, eq=False)
class Fold:
    """What trains and what is tested of one subject."""

    test: RecordingsTest
    subject: str
    train: list[Trial]
    tested: list[Trial]


def folds_of(
    test: RecordingsTest, trials: Sequence[Trial], excluded: list[Excluded] | None = None
) -> Iterator[Fold]:
    """Yield the folds by subject; ``excluded`` takes those whose own trials do not suffice for ``within``."""
    subjects, n_own = list(dict.fromkeys(trial.subject for trial in trials)), test.n_own
    if test.protocol != "within" and len(subjects) < 2:
        what, remedy = f"expected several subjects, found {len(subjects)}", "use --protocol within"
        raise InputError(what, where=f"--protocol {test.protocol}", remedy=remedy, code=ErrorCode.SUBJECT)
    for subject in subjects:
        mine = sorted((t for t in trials if t.subject == subject), key=lambda t: (t.session, t.trial))
        others = [t for t in trials if t.subject != subject]
        if test.protocol == "within":
            try:
                yield from (Fold(test, subject, *parts) for parts in cross_validation(mine))
            except InputError as error:
                exclude(excluded, subject, error)
            continue
        if n_own and len(mine) <= n_own:
            what = f"expected more than {n_own} trials of each subject, found {len(mine)}"
            remedy = "choose a smaller K, or cut the recordings into more trials with start_s and stop_s"
            raise InputError(what, where=f"subject {subject}", remedy=remedy, code=ErrorCode.DATA)
        yield Fold(test, subject, others + mine[: n_own or 0], mine[n_own or 0 :])


def answers_of(fold: Fold) -> tuple[dict[str, Predictions], str]:
    """Return what each model says of a fold's tested trials, one row a trial, and which kind is kept."""
    torch.set_num_threads(1)
    test = fold.test
    train = about_level(fold.train, test.normalise, fold.train)
    tested = about_level(fold.tested, test.normalise, fold.train)
    n_steps = steps_that_fit([*train, *tested], test.options.n_steps)
    options = replace(test.options, n_steps=n_steps, normalise=test.normalise)
    config = classifier_config(train, options, None, "")
    found, levels = {}, {}
    for kind in candidates([*train, *tested], config):
        evidence = fit_evidence(train, config, kind, fold.subject)
        of_training = SessionLevels.of(train, config, evidence.discriminant.tangent)
        levels[kind] = of_training.exact([*train, *tested])
        found[kind] = _of_evidence(evidence, tested, config, levels[kind])
    kept = preferred_kind(train, config)
    found["kept"] = found[kept]
    if test.network:
        model = finetune(train, replace(options, kind=kept))
        model = replace(model, levels=levels[kept])
        found["kept"] = per_trial(model.predict(tested, max_per_trial=_MOST_WINDOWS))
        found["network"] = per_trial(model.predict_parts(model.hear(tested))["network"])
    return found, kept


def _of_evidence(
    evidence: Evidence, trials: Sequence[Trial], config: ModelConfig, levels: SessionLevels
) -> Predictions:
    """Return what evidence says of trials by the mean over their windows; scaled so that none is clipped."""
    windows = cut_for(config, trials, max_per_trial=_MOST_WINDOWS)
    scores = follow(trials, evidence, config, windows, levels).evidence.sum(dim=1)
    probs = torch.softmax(scores / (scores.abs().max() / 5).clamp_min(1.0), dim=-1)
    return per_trial(Predictions.of(probs.double().numpy(), windows))


def evaluate_recordings(
    test: RecordingsTest,
    trials: Sequence[Trial],
    report: Report,
    excluded: list[Excluded] | None = None,
) -> dict[str, Any]:
    """Return a row for each model: the mean over subjects of their accuracy per trial, and its interval."""
    names = label_names_of(trials)
    if test.normalise == "subject" and len({trial.subject for trial in trials}) == len(trials):
        raise InputError(
            f"expected several trials a subject, found one of each of {len(trials)}: no level is its own",
            where="--normalise subject",
            remedy="say whose each file is (column subject, or --subject-from), or use --normalise training",
            code=ErrorCode.SUBJECT,
        )
    folds = list(folds_of(test, trials, excluded))
    if not folds:
        why = excluded[0].why if excluded else "no subject"
        raise InputError(
            f"nobody can be tested; first: {why}", where="--protocol within", code=ErrorCode.DATA
        )
    answers: dict[str, list[Predictions]] = {}
    kinds: list[str] = []
    for number, (found, kept) in enumerate(run_jobs(answers_of, folds, test.n_jobs), start=1):
        kinds.append(kept)
        for model, predictions in found.items():
            answers.setdefault(model, []).append(predictions)
        report("folds", number / len(folds), math.nan, f"{number} of {len(folds)}")
    order = ["kept", "network", "discriminant", "lda", "svm", "riemann"]
    whole = {model: joined(answers[model]) for model in order if model in answers}
    return {
        "rows": [_row(model, test, predictions) for model, predictions in whole.items()],
        "labels": list(names),
        "kept": {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)},
        "transductive": test.normalise == "subject",
    }


def _row(model: str, test: RecordingsTest, found: Predictions) -> dict[str, Any]:
    right = found.probs.argmax(axis=1) == found.label
    subjects = list(dict.fromkeys(found.subject.tolist()))
    means = [float(right[found.subject == name].mean()) for name in subjects]
    scores = found.scores()
    return {
        "model": model,
        "protocol": test.protocol,
        "normalise": test.normalise,
        "mean": float(np.mean(means)),
        "interval": interval_over(means, len(right)),
        "chance": scores.chance,
        "balanced": balanced_accuracy(found.label, found.probs.argmax(axis=1)),
        "n_subjects": len(subjects),
        "n_trials": len(right),
        "subjects": [{"subject": n, "mean": m} for n, m in zip(subjects, means, strict=True)],
    }


def sentences(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the rows' figures need beside them."""
    kept = ", ".join(f"{kind} {n} times" for kind, n in result["kept"].items())
    yield f"Kept, chosen inside the training part of each fold: {kept}."
    if all(row["chance"] == 1 for row in result["rows"]):
        yield (
            "All tested trials are of one class, so these figures say nothing: "
            "mix the classes in the order of trials, or test more trials of each subject."
        )
    if result["named_by_file"]:
        yield "Without a column subject each file counts as a subject: people may be on both sides."
    if result["transductive"]:
        yield "Transductive: a subject's level is taken from all trials of the session, tested ones too."
