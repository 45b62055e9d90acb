"""What the generated data is like: how hard, and how much a trial gives itself away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from refused import refused
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from acquisition.errors import ErrorCode
from models.datasets.seed import SEED_IV, load_seed
from models.datasets.splits import published_split
from models.datasets.trials import Trial, WindowSet, cut_windows
from tests.studies.data_sets.options import MakeOptions
from tests.studies.data_sets.seed import make_seed_iv, make_seed_v


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


def test_lda_names_about_half_of_the_windows(default_set):
    _, trials = default_set
    linear = []
    for session in of_sessions(trials):
        train, test = (cut_windows(part, 10) for part in published_split(session))
        linear.append(lda(train, test))
    assert 0.45 <= np.mean(linear) <= 0.65  # chance 0.25


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


def test_the_same_seed_makes_the_same_data_and_another_another(tmp_path: Path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        make_seed_iv(MakeOptions(tmp_path / name, subjects=1, seed=seed, trials=6, trial_s=16, jobs=1))
    a, b, c = (next(load_seed(SEED_IV, tmp_path / name)).eeg for name in "abc")
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_options_the_layout_cannot_hold_are_refused(tmp_path: Path):
    for wrong, option in (({"trials": 25}, "--trials"), ({"trial_s": 4}, "--trial-s")):
        error = refused(lambda wrong=wrong: make_seed_iv(MakeOptions(tmp_path / "s", **wrong)))
        assert (error.code, error.where) == (ErrorCode.OPTION, option)
    assert refused(lambda: make_seed_v(MakeOptions(tmp_path / "s", raw=True))).where == "--raw"
    assert not (tmp_path / "s").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    assert refused(lambda: make_seed_iv(MakeOptions(tmp_path / "full"))).code is ErrorCode.FILE
