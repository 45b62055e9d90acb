"""No test trial has a part in training, and what only names the trial helps nobody."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from acquisition.montage import SEED_CH_NAMES
from models.datasets.splits import cross_validation, first_trials, published_split
from models.datasets.trials import Trial, cut_windows
from models.normalise import fit_eeg
from models.training.finetune import finetune
from models.training.finetune_config import FinetuneOptions
from models.training.scores import score

CH_NAMES = SEED_CH_NAMES[:6]
OPTIONS = FinetuneOptions(
    modalities=("eeg",), epochs=8, few_epochs=8, patience=8, n_steps=4, dcca=False, n_layers=2, n_heads=2
)
N_TRIALS = 24


def make_trials(seed, *, n_steps=6, per_class=0.0, per_trial=2.0):
    """Noise plus a constant of the trial's own, and one of its class."""
    rng = np.random.default_rng(seed)
    of_class = rng.normal(0, per_class, (2, len(CH_NAMES), 5))
    labels = rng.permutation(np.arange(N_TRIALS) % 2)
    return [
        Trial(
            "seed-iv", "1", 1, number, int(label), ("sad", "happy"), 4.0,
            (rng.normal(0, per_trial, (len(CH_NAMES), 5)) + of_class[label]
             + rng.normal(0, 0.3, (n_steps, len(CH_NAMES), 5))).astype(np.float32),
            None, CH_NAMES, "published", "made here",
        )
        for number, label in enumerate(labels, start=1)
    ]  # fmt: skip


def accuracy(model, trials):
    found = model.predict(trials)
    return score(found.probs, found.label).accuracy


def test_constant_of_the_trial_is_learned_by_heart_and_gains_nothing_on_other_trials():
    by_heart, known, unknown = replace(OPTIONS, few_epochs=14, batch_size=8), [], []
    for seed in range(2):
        training, test = published_split(make_trials(seed))
        model = finetune(first_trials(training, 10), by_heart)
        known.append(accuracy(model, first_trials(training, 10)))
        unknown.append(accuracy(model, test))
    assert np.mean(known) > 0.9  # windows of known trials would look like a success
    assert np.mean(unknown) < 0.75  # 24 trials: chance is 0.5, SD 0.1


def test_what_belongs_to_the_class_is_found_on_other_trials():
    training, test = published_split(make_trials(1, per_class=2.0, per_trial=0.3))
    assert accuracy(finetune(training, replace(OPTIONS, epochs=5)), test) > 0.9


def test_labels_and_features_of_test_trials_change_no_weight():
    training, test = published_split(make_trials(0, n_steps=4))
    one = finetune(training, replace(OPTIONS, epochs=1))
    for trial in test:
        trial.eeg[:] = 1e6
    two = finetune(training, replace(OPTIONS, epochs=1))
    for name, weight in one.network.state_dict().items():
        assert torch.equal(weight, two.network.state_dict()[name])


def test_normalisation_is_that_of_the_training_trials():
    training, _ = published_split(make_trials(0, n_steps=4))
    model = finetune(training, replace(OPTIONS, epochs=1))
    expected = fit_eeg(torch.from_numpy(np.concatenate([trial.eeg for trial in training])))
    assert torch.equal(model.normaliser.eeg.mean, expected.mean)
    assert torch.equal(model.normaliser.eeg.sd, expected.sd)


def test_no_window_stands_on_both_sides_of_a_fold():
    trials = make_trials(0)
    tested = []
    for training, test in cross_validation(trials, 5):
        train_windows, test_windows = cut_windows(training, 4), cut_windows(test, 4)
        assert not set(train_windows.trial) & set(test_windows.trial)
        tested += [trial.trial for trial in test]
    assert sorted(tested) == list(range(1, N_TRIALS + 1))


@pytest.mark.parametrize("n_folds", [2, 5, 30])
def test_folds_hold_both_classes_in_training(n_folds):
    for training, _ in cross_validation(make_trials(2), n_folds):
        assert {trial.label for trial in training} == {0, 1}
