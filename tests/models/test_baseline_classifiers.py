"""Every baseline: learns what is there, bears NaN and missing classes, refuses what does not fit."""

from dataclasses import replace

import numpy as np
import pytest
from refused import refused
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from acquisition.errors import ErrorCode
from models.baselines import FlatRows, LdaClassifier, ledoit_wolf, trial_folds
from models.datasets.trials import WindowSet
from models.training.scores import trial_ids
from tests.studies.label_protocols import SvmClassifier
from tests.studies.papers.reproduce import BASELINES

N_LABELS = 3


def generate(seed=0, n_trials=12, n_windows=10, strength=1.0, shape=(6, 4, 5), n_eye=7, labels=N_LABELS):
    """Return generated windows whose label shifts half of the features of both modalities."""
    rng = np.random.default_rng(seed)
    pattern = np.random.default_rng(99)
    n = n_trials * n_windows
    trial = np.repeat(np.arange(n_trials), n_windows)
    label = trial % labels
    eeg_means = pattern.normal(size=(N_LABELS, *shape)) * (pattern.random(shape) < 0.5)
    eye_means = pattern.normal(size=(N_LABELS, n_eye, shape[1]))
    return WindowSet(
        eeg=(3 + strength * eeg_means[label] + rng.normal(size=(n, *shape))).astype(np.float32),
        eye=(20 + 5 * (strength * eye_means[label] + rng.normal(size=(n, n_eye, shape[1])))).astype(
            np.float32
        ),
        label=label.astype(np.int64),
        subject=np.full(n, "1"),
        session=np.ones(n, dtype=np.int64),
        trial=trial.astype(np.int64) + 1,
        end_step=np.tile(np.arange(n_windows), n_trials),
    )


def take(windows, at):
    names = ("eeg", "eye", "label", "subject", "session", "trial", "end_step")
    return WindowSet(**{name: getattr(windows, name)[at] for name in names})


@pytest.fixture(params=sorted(BASELINES))
def name(request):
    return request.param


def accuracy(probs, windows):
    return float(np.mean(probs.argmax(axis=1) == windows.label))


def test_baseline_learns_what_is_there(name):
    train, test = generate(), generate(seed=1)
    probs = BASELINES[name](N_LABELS, 0).fit(train).predict_proba(test)
    assert probs.shape == (len(test), N_LABELS)
    assert (probs >= 0).all()
    assert np.allclose(probs.sum(axis=1), 1)
    assert accuracy(probs, test) > 0.95 or name == "majority"


def test_baseline_is_at_chance_where_there_is_nothing(name):
    train, test = generate(strength=0.0), generate(seed=1, n_trials=60, strength=0.0)
    probs = BASELINES[name](N_LABELS, 0).fit(train).predict_proba(test)
    assert accuracy(probs, test) == pytest.approx(1 / 3, abs=0.12)


@pytest.mark.parametrize("missing", ["eeg", "eye"])
def test_baseline_takes_one_modality_alone(name, missing):
    train, test = (replace(generate(seed=s), **{missing: None}) for s in (0, 1))
    probs = BASELINES[name](N_LABELS, 0).fit(train).predict_proba(test)
    assert accuracy(probs, test) > 0.6 or name == "majority"


def test_baseline_bears_nan(name):
    train, test = generate(), generate(seed=1)
    rng = np.random.default_rng(2)
    for windows in (train, test):
        windows.eeg[rng.random(windows.eeg.shape) < 0.1] = np.nan
        windows.eye[:, 2] = np.nan  # a row that is never there
        windows.eye[:5] = np.nan
    probs = BASELINES[name](N_LABELS, 0).fit(train).predict_proba(test)
    assert np.isfinite(probs).all()
    assert accuracy(probs, test) > 0.9 or name == "majority"


@pytest.mark.parametrize("n_seen", [1, 2])
def test_label_that_training_never_saw_gets_nothing(name, n_seen):
    train, test = generate(labels=n_seen), generate(seed=1)
    probs = BASELINES[name](N_LABELS, 0).fit(train).predict_proba(test)
    assert (probs[:, n_seen:] == 0).all()
    assert np.allclose(probs.sum(axis=1), 1)


def test_one_window_a_class_is_enough_to_answer(name):
    train = generate(n_trials=3, n_windows=1)
    probs = BASELINES[name](N_LABELS, 0).fit(train).predict_proba(generate(seed=1))
    assert np.isfinite(probs).all()
    assert np.allclose(probs.sum(axis=1), 1)


def test_same_seed_gives_the_same_answer(name):
    train, test = generate(), generate(seed=1)
    one, two = (BASELINES[name](N_LABELS, 7).fit(train).predict_proba(test) for _ in range(2))
    assert np.array_equal(one, two)


@pytest.mark.parametrize("odd", ["none", "no modality"])
def test_nothing_to_learn_from_is_refused(name, odd):
    train = generate()
    train = take(train, slice(0, 0)) if odd == "none" else replace(train, eeg=None, eye=None)
    assert refused(lambda: BASELINES[name](N_LABELS, 0).fit(train)).code is ErrorCode.DATA


@pytest.mark.parametrize("name", ["lda", "svm"])
def test_other_windows_than_in_training_are_refused(name):
    fitted = BASELINES[name](N_LABELS, 0).fit(generate())
    for windows in (replace(generate(), eye=None), generate(shape=(5, 4, 5))):
        error = refused(lambda windows=windows: fitted.predict_proba(windows))
        assert (error.code, error.where) == (ErrorCode.DATA, "baseline")


def test_majority_is_the_most_frequent_class():
    train = take(generate(), np.arange(0, 70))  # 30, 20 and 20 windows
    probs = BASELINES["majority"](N_LABELS, 0).fit(train).predict_proba(generate(seed=1))
    assert np.allclose(probs, [3 / 7, 2 / 7, 2 / 7])


def test_rotation_into_the_span_keeps_lengths_angles_and_inner_products_with_new_rows():
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(20, 10, 9)), rng.normal(size=(5, 10, 9))
    flat = FlatRows().fit(train)
    few, new = flat.transform(train), flat.transform(test)
    whole = ((train - train.mean(0)) / train.std(0)).reshape(20, -1)
    whole_new = ((test - train.mean(0)) / train.std(0)).reshape(5, -1)
    assert few.shape == (20, 20)
    assert np.allclose(few @ few.T, whole @ whole.T)
    assert np.allclose(new @ few.T, whole_new @ whole.T)


def test_shrinkage_is_scikit_learns_with_and_without_rotation():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(30, 80)) * rng.uniform(0.5, 2, 80)
    expected = ledoit_wolf_shrinkage(rows, assume_centered=True)
    rotated = rows @ np.linalg.qr(rows.T)[0]
    for some in (rows, rotated):
        share, variance = ledoit_wolf(some, 80)
        assert share == pytest.approx(expected)
        assert variance == pytest.approx((rows**2).sum() / 30 / 80)


def test_a_share_of_shrinkage_grows_as_fewer_rows_are_independent():
    rng = np.random.default_rng(0)
    trials = rng.standard_normal((20, 30)) * np.linspace(0.2, 2, 30)
    windows = np.repeat(trials, 8, axis=0)  # which say nothing that trials did not
    assert ledoit_wolf(windows, 30)[0] < 0.5 * ledoit_wolf(trials, 30)[0]
    assert ledoit_wolf(windows, 30, n_independent=20) == pytest.approx(ledoit_wolf(trials, 30))


def test_lda_is_scikit_learns_on_all_features():
    train, test = generate(strength=0.2), generate(seed=1, strength=0.2)
    train, test = replace(train, eye=None), replace(test, eye=None)
    rows, new = (w.eeg.reshape(len(w.eeg), -1).astype(float) for w in (train, test))
    mean, sd = rows.mean(0), rows.std(0)
    rows, new = (rows - mean) / sd, (new - mean) / sd
    centred = rows - np.stack([rows[train.label == k].mean(0) for k in range(N_LABELS)])[train.label]
    share = ledoit_wolf_shrinkage(centred, assume_centered=True)
    reference = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=share).fit(rows, train.label)
    probs = LdaClassifier(N_LABELS).fit(train).predict_proba(test)
    assert np.allclose(probs, reference.predict_proba(new), atol=1e-6)


def test_svm_is_not_sure_of_itself_where_there_is_nothing():
    train = generate(strength=0.0, n_trials=30, n_windows=5)
    probs = SvmClassifier(N_LABELS).fit(train).predict_proba(generate(seed=1, strength=0.0))
    assert probs.max(axis=1).mean() < 0.55


def test_folds_split_no_trial():
    windows = generate()
    trials = trial_ids(windows)
    folds = trial_folds(windows.label, trials)
    assert len(folds) == 3
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(len(windows)))
    for train, test in folds:
        assert not set(trials[train]) & set(trials[test])
        assert set(windows.label[train]) == {0, 1, 2}
    assert trial_folds(windows.label[:10], trials[:10]) == []


def test_trials_of_two_sessions_or_subjects_are_different_trials():
    windows = generate(n_trials=2, n_windows=2)
    windows = replace(windows, session=np.array([1, 1, 1, 2]), subject=np.array(["1", "10", "1", "1"]))
    assert len(set(trial_ids(windows))) == 4
