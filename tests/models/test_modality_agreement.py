"""Whether modalities change together over a session: known late, and only of two at once."""

import json
import math

import numpy as np
import pytest

from models.agreement import Agreement
from models.trust import AGREEMENT_S, LEAST_AGREEMENT

N_MODALITIES, N_LABELS, TRIAL_S = 4, 5, 12
ALL = np.ones(N_MODALITIES, dtype=bool)


def evidence(n_trials, shown, seed=0):
    """Return (n_seconds, 4, 5): every modality follows the trial's emotion as far as it is ``shown``."""
    rng = np.random.default_rng(seed)
    trials = []
    for _ in range(n_trials):
        emotion = shown * (np.arange(N_LABELS) == rng.integers(N_LABELS))
        of_trial = emotion + rng.normal(size=(N_MODALITIES, N_LABELS))
        trials.append(of_trial + rng.normal(size=(TRIAL_S, N_MODALITIES, N_LABELS)))
    return np.concatenate(trials)


def after(seconds, present=ALL):
    agreement = Agreement(N_MODALITIES, N_LABELS, 1.0)
    for second in seconds:
        agreement.take(second, present)
    return agreement


def test_shown_emotions_move_modalities_together_and_chance_does_not():
    shown = [after(evidence(20, 3.0, seed)).value for seed in range(10)]
    nothing = [after(evidence(20, 0.0, seed)).value for seed in range(10)]
    assert min(shown) > 2 * LEAST_AGREEMENT
    assert max(nothing) < 2 * LEAST_AGREEMENT
    assert np.mean(nothing) == pytest.approx(0.0, abs=0.02)


def test_a_lasting_emotion_shows_nothing_of_it():
    steady = np.random.default_rng(0).normal(size=(200, N_MODALITIES, N_LABELS))
    steady[:, :, 2] += 5.0
    assert abs(after(steady).value) < LEAST_AGREEMENT


def test_it_is_the_correlation_of_probabilities():
    seconds = evidence(10, 2.0)
    q = np.exp(seconds[:, :2]) / np.exp(seconds[:, :2]).sum(axis=2, keepdims=True)
    a, b = (q - q.mean(axis=0)).transpose(1, 0, 2)
    expected = (a * b).sum() / math.sqrt((a**2).sum() * (b**2).sum())
    assert after(seconds, ALL & (np.arange(4) < 2)).value == pytest.approx(expected)


def test_it_is_not_known_early_nor_of_one_modality():
    seconds = evidence(10, 3.0)
    n = round(AGREEMENT_S)
    assert math.isnan(after(seconds[: n - 1]).value)
    assert math.isfinite(after(seconds[:n]).value)
    assert math.isnan(after(seconds, ALL & (np.arange(4) < 1)).value)


def test_it_continues_from_its_state():
    seconds = evidence(10, 3.0)
    begun = after(seconds[:50])
    continued = Agreement(N_MODALITIES, N_LABELS, 1.0)
    continued.restore(json.loads(json.dumps(begun.state())))
    for second in seconds[50:]:
        continued.take(second, ALL)
    assert continued.value == after(seconds).value
    with pytest.raises(ValueError, match="square"):
        continued.restore(begun.state() | {"square": [[math.nan] * 4] * 4})
