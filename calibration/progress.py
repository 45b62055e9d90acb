"""How the model would do so far, after each trial from the fourth: quick enough to run between two trials."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from calibration.adapt import one_thread, used_modalities
from calibration.crossvalidation import HeadFitter, labelled, logits_of, trial_probs
from calibration.rows import RowTable
from calibration.session_tokens import SessionTokens
from calibration.trials import trial_label
from calibration.types import Progress, SessionRecord
from models.checkpoint import Checkpoint
from models.training.scores import wilson_interval

FROM_TRIAL = 4
_WINDOWS_A_TRIAL = 5


def progress_of(
    rows: RowTable,
    record: SessionRecord,
    base: Checkpoint,
    *,
    left_out: Mapping[int, str] | None = None,
    modalities: Collection[str] | None = None,
    labels: str = "intended",
) -> Progress | None:
    """Return how the linear head does on the trials so far, each predicted without itself.

    Unlike the figures of the fit, one normalisation by all trials so far serves every fold (no label enters
    it), and a few windows stand for a trial.

    Parameters
    ----------
    rows, record, base, left_out, modalities, labels
        As `calibration.adapt.fit` takes them; the base model's network is used by this thread alone.

    Returns
    -------
    Progress or None
        None before the fourth usable trial, and where nothing can be said of any trial yet: its class came
        once and the base model does not know it.
    """
    left_out = left_out or {}
    classes = record.classes
    done = [trial for trial in record.trials if trial.state == "done" and trial.number not in left_out]
    trials = [trial for trial in done if trial_label(trial, labels) in classes]
    if len(trials) < FROM_TRIAL:
        return None
    with one_thread():
        source = SessionTokens(
            rows,
            record,
            trials,
            base,
            used_modalities(record, base, modalities),
            windows_a_trial=_WINDOWS_A_TRIAL,
        )
        label = {
            trial.number: classes.index(trial_label(trial, labels))
            for trial in trials
            if (source.trial == trial.number).any()
        }
        probs = _held_out(source, label, HeadFitter(base.network, classes))
    if not probs:
        return None
    right = {number: int(p.argmax()) == label[number] for number, p in probs.items()}
    weakest = _weakest(right, label)
    wrong = {n: probs[n][label[n]] for n, is_right in right.items() if not is_right and label[n] == weakest}
    poor = [trial.number for trial in record.trials if trial.state == "done" and trial.number in left_out]
    n_right = sum(right.values())
    return Progress(
        n_trials=len(right),
        n_correct=n_right,
        interval=wilson_interval(n_right / len(right), len(right)),
        chance=1 / len(classes),
        weakest="" if weakest is None else classes[weakest],
        worth_repeating=poor[0] if poor else min(wrong, key=lambda n: wrong[n], default=0),
    )


def _held_out(source: SessionTokens, label: Mapping[int, int], fitter: HeadFitter) -> dict[int, np.ndarray]:
    """Return the probabilities of each trial that can be judged, by number."""
    data = labelled(source, label)
    found = {}
    for number, own_label in label.items():
        own = data.trial == number
        rest = data.of(~own)
        if fitter.knows_classes or own_label in rest.label:
            found[number] = trial_probs(logits_of(fitter.fit("linear", rest), data.of(own)))
    return found


def _weakest(right: Mapping[int, bool], label: Mapping[int, int]) -> int | None:
    """Return the class with the least share right; None where all are."""
    shares = {
        one: np.mean([is_right for number, is_right in right.items() if label[number] == one])
        for one in sorted({label[number] for number in right})
    }
    worst = min(shares, key=lambda one: shares[one])
    return None if shares[worst] == 1 else worst
