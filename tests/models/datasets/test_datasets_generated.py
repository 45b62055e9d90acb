"""What the generated data is like: how hard, how much a trial gives itself away, and the best possible."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from refused import refused
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from acquisition.errors import ErrorCode
from models.datasets.make.generator import load_oracle
from models.datasets.make.options import MakeOptions
from models.datasets.make.seed import make_seed_iv, make_seed_v
from models.datasets.seed import SEED_IV, load_seed
from models.datasets.splits import published_split
from models.datasets.trials import Trial, WindowSet, cut_windows


@pytest.fixture(scope="module")
def default_set(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Trial]]:
    folder = tmp_path_factory.mktemp("default") / "set"
    make_seed_iv(MakeOptions(folder, subjects=4, seed=0, trial_s=60, jobs=1))
    return folder, list(load_seed(SEED_IV, folder))


def flat(windows: WindowSet) -> np.ndarray:
    return windows.eeg.mean(axis=2).reshape(len(windows), -1)


def lda(train: WindowSet, test: WindowSet) -> float:
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(flat(train), train.label)
    return float((model.predict(flat(test)) == test.label).mean())


def of_sessions(trials: list[Trial]) -> list[list[Trial]]:
    keys = sorted({(t.subject, t.session) for t in trials})
    return [[t for t in trials if (t.subject, t.session) == key] for key in keys]


def test_lda_names_about_half_of_the_windows_and_the_oracle_more(default_set):
    folder, trials = default_set
    oracle = load_oracle(folder)
    linear, best, best_of_both = [], [], []
    for session in of_sessions(trials):
        train, test = (cut_windows(part, 10) for part in published_split(session))
        linear.append(lda(train, test))
        subject, number = session[0].subject, session[0].session
        scores = oracle.scores(subject, number, test.eeg)
        best.append((scores.argmax(1) == test.label).mean())
        scores = oracle.scores(subject, number, test.eeg, test.eye)
        best_of_both.append((scores.argmax(1) == test.label).mean())
    assert 0.45 <= np.mean(linear) <= 0.65  # chance 0.25
    assert np.mean(best) > np.mean(linear) + 0.1
    assert np.mean(best_of_both) > np.mean(best) + 0.03


def test_windows_of_one_trial_give_each_other_away(default_set):
    _, trials = default_set
    by_window = []
    for session in of_sessions(trials)[:3]:
        windows = cut_windows(session, 5)
        is_test = np.arange(len(windows)) % 3 == 0
        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
        model.fit(flat(windows)[~is_test], windows.label[~is_test])
        by_window.append(model.score(flat(windows)[is_test], windows.label[is_test]))
    assert np.mean(by_window) > 0.95  # which is why splits take trials


def marked(number: int, label: int, mark: np.ndarray, rng: np.random.Generator) -> Trial:
    eeg = (mark + rng.standard_normal((15, 62, 5))).astype(np.float32)
    names, channels = ("a", "b", "c", "d"), ("X",) * 62
    return Trial("seed-iv", "1", 1, number, label, names, 4.0, eeg, None, channels, "raw", "f")


def test_a_mark_that_only_names_the_trial_gains_nothing_in_a_split_by_trial():
    """Each trial carries a constant of its own, which stands for its label in that trial and no other."""
    rng = np.random.default_rng(0)
    scores, leaking = [], []
    for _ in range(6):
        labels = np.tile(np.arange(4), 6)
        marks = 5 * rng.standard_normal((24, 62, 5))
        trials = [marked(k + 1, int(labels[k]), marks[k], rng) for k in range(24)]
        train, test = (cut_windows(part, 5) for part in published_split(trials))
        assert not set(train.trial) & set(test.trial)
        scores.append(lda(train, test))
        windows = cut_windows(trials, 5)
        held = np.arange(len(windows)) % 3 == 0
        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
        leaking.append(
            model.fit(flat(windows)[~held], windows.label[~held]).score(
                flat(windows)[held], windows.label[held]
            )
        )
    assert np.mean(leaking) > 0.99
    assert abs(np.mean(scores) - 0.25) < 0.15  # 48 test trials: chance is 0.25 with SD 0.06


def test_the_oracles_covariance_is_that_of_the_files(tmp_path: Path):
    make_seed_iv(MakeOptions(tmp_path / "s", subjects=6, seed=1, trial_s=80, jobs=1))
    oracle = load_oracle(tmp_path / "s")
    deviations = []
    for trial in load_seed(SEED_IV, tmp_path / "s"):
        mean = oracle.eeg_mean[int(trial.subject) - 1, trial.session - 1, trial.label]
        deviations.append(trial.eeg[5:15].mean(axis=0).ravel() - mean)
    deviations = np.array(deviations)  # (432, 310): ten steps from the middle of each trial
    expected = oracle._covariance("eeg", 10)
    assert np.abs(deviations.mean(axis=0)).max() < 0.08
    assert np.trace(np.cov(deviations.T)) == pytest.approx(np.trace(expected), rel=0.05)
    weights = np.linalg.eigh(expected)[1][:, -3:]
    np.testing.assert_allclose(
        (deviations @ weights).var(axis=0), np.diag(weights.T @ expected @ weights), rtol=0.25
    )


def test_the_same_seed_makes_the_same_data_and_another_another(tmp_path: Path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        make_seed_iv(MakeOptions(tmp_path / name, subjects=1, seed=seed, trials=6, trial_s=16, jobs=1))
    a, b, c = (next(load_seed(SEED_IV, tmp_path / name)).eeg for name in "abc")
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_without_any_effect_the_oracle_is_at_chance(tmp_path: Path):
    make_seed_iv(MakeOptions(tmp_path / "s", subjects=1, seed=5, difficulty="none", trial_s=40, jobs=1))
    oracle = load_oracle(tmp_path / "s")
    np.testing.assert_allclose(oracle.eeg_mean, oracle.eeg_mean[:, :, :1].repeat(4, axis=2), atol=1e-12)


def test_options_the_layout_cannot_hold_are_refused(tmp_path: Path):
    for wrong, option in (({"trials": 25}, "--trials"), ({"trial_s": 4}, "--trial-s")):
        error = refused(lambda wrong=wrong: make_seed_iv(MakeOptions(tmp_path / "s", **wrong)))
        assert (error.code, error.where) == (ErrorCode.OPTION, option)
    assert refused(lambda: make_seed_v(MakeOptions(tmp_path / "s", raw=True))).where == "--raw"
    assert not (tmp_path / "s").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    assert refused(lambda: make_seed_iv(MakeOptions(tmp_path / "full"))).code is ErrorCode.FILE


def test_a_broken_oracle_is_named_and_a_real_set_has_none(tmp_path: Path):
    assert load_oracle(tmp_path) is None
    (tmp_path / "GENERATED_oracle.npz").write_bytes(b"PK")
    assert refused(lambda: load_oracle(tmp_path)).code is ErrorCode.FILE
