"""Covariances of EEG seconds, their tangent space, and a model that reads them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from refused import refused
from sklearn.linear_model import LogisticRegression

from acquisition.errors import ErrorCode, InputError
from acquisition.types import MODALITIES, Kind, Step, StreamSpec, Window
from models.checkpoint import load_checkpoint, save_checkpoint
from models.datasets.layout import covariance_steps, entropy_steps
from models.datasets.trials import Trial, cut_windows
from models.decoder import Decoder
from models.features.config import FeatureConfig
from models.features.covariance import COVARIANCE_HZ, Seconds, Tangent, covariances, geometric_mean
from models.mixed_discriminant import MixedDiscriminant
from models.steps import StepFeatures
from models.training.evidence import candidates, follow, preferred_kind
from models.training.finetune import finetune
from models.training.finetune_config import FinetuneOptions, classifier_config
from models.training.session_levels import onto

SFREQ, NAMES = 100.0, ("FZ", "CZ", "PZ", "OZ")
OPTIONS = FinetuneOptions(evidence=True, n_steps=3, kind="riemann", network=False, n_layers=1, n_heads=1)

pytestmark = pytest.mark.usefixtures("one_thread")


def signals(n_subjects: int = 4, n_each: int = 3, seconds: int = 6) -> list[tuple[str, int, np.ndarray]]:
    """Return (subject, label, samples (C, n)): one class couples two channels whose power stays as it is."""
    rng, found = np.random.default_rng(0), []
    for subject in range(n_subjects):
        own = rng.uniform(0.5, 2.0, (len(NAMES), 1))
        for number in range(2 * n_each):
            x = rng.normal(0, 10, (len(NAMES), int(seconds * SFREQ)))
            if number % 2:
                x[1] = (x[0] + 0.5 * x[1]) / math.sqrt(1.25)
            found.append((f"S{subject}", number % 2, own * x))
    return found


def trial_of(number: int, subject: str, label: int, x: np.ndarray) -> Trial:
    config = FeatureConfig()
    eeg, covariance = entropy_steps(x, SFREQ, config), covariance_steps(x, SFREQ, config)
    names = ("apart", "coupled")
    return Trial("raw", subject, 1, number, label, names, 1.0, eeg, None, NAMES, "raw", "made", covariance)


@pytest.fixture(scope="module")
def trials() -> list[Trial]:
    return [trial_of(number, *one) for number, one in enumerate(signals(), start=1)]


@pytest.fixture(scope="module")
def model(trials):
    return finetune(trials, OPTIONS)


def test_a_covariance_holds_what_lies_in_its_band_and_neither_offset_nor_drift():
    t = np.arange(500) / 500
    alpha, fast = np.sin(2 * np.pi * 10 * t), np.sin(2 * np.pi * 80 * t)
    x = np.stack([4 * alpha, 2 * alpha + fast, 300 + 50 * t, fast])
    found = covariances(x, 500.0, COVARIANCE_HZ, 3)
    expected = np.zeros((4, 4))
    expected[:2, :2] = [[8, 4], [4, 2]]
    np.testing.assert_allclose(found, expected, atol=0.1)
    np.testing.assert_array_equal(covariances(np.stack([x, 2 * x]), 500.0, COVARIANCE_HZ, 3)[0], found)
    assert covariances(x, 500.0, None, 3) is None
    assert covariances(np.zeros((65, 500)), 500.0, COVARIANCE_HZ, 3) is None


def test_training_and_live_take_the_same_covariance():
    x = signals()[0][2]
    x[2, :100] = 0.0  # flat in the first second
    config = FeatureConfig(covariance_hz=COVARIANCE_HZ)
    live = StepFeatures(config, torch.device("cpu"))
    for at, whole in enumerate(covariance_steps(x, SFREQ, FeatureConfig())):
        step = live.eeg(Step(at, at + 1.0, True, 1.0, SFREQ, x[:, 100 * at : 100 * at + 100]))
        np.testing.assert_allclose(step.covariance, whole, rtol=1e-6)
    assert StepFeatures(FeatureConfig(), torch.device("cpu")).eeg(step_of(x[:, :100])).covariance is None
    assert config.digest() != FeatureConfig().digest()
    assert FeatureConfig.from_dict(config.to_dict()) == config


def step_of(x: np.ndarray, index: int = 0) -> Step:
    return Step(index, index + 1.0, True, 1.0, SFREQ, x)


def test_the_mean_of_covariances_is_that_of_their_logarithms_where_they_commute():
    found = geometric_mean(np.stack([np.diag([1.0, 4.0]), np.diag([4.0, 16.0])]))
    np.testing.assert_allclose(found, np.diag([2.0, 8.0]), rtol=1e-9)
    rng = np.random.default_rng(0)
    some = np.stack([(x := rng.normal(size=(3, 9))) @ x.T for _ in range(4)])
    turn = rng.normal(size=(3, 3))
    np.testing.assert_allclose(  # it moves with any change of channels
        geometric_mean(np.stack([turn @ c @ turn.T for c in some])),
        turn @ geometric_mean(some) @ turn.T,
        rtol=1e-6,
    )


def spread(n: int = 6, c: int = 4) -> list[Seconds]:
    rng = np.random.default_rng(1)
    x = [rng.normal(size=(5, c, 40)) * rng.uniform(0.5, 2, (c, 1)) for _ in range(n)]
    return [Seconds(one @ one.swapaxes(1, 2), np.ones((5, c), dtype=bool)) for one in x]


def test_vectors_are_as_long_as_covariances_are_far_from_the_mean():
    tangent = Tangent.fit(spread())
    assert tangent.axes.shape == (5, 10)  # six trials differ along five axes
    np.testing.assert_allclose(tangent.axes @ tangent.axes.T, np.eye(5), atol=1e-6)
    whole = replace(tangent, axes=np.eye(10))
    doubled = Seconds(
        2 * tangent.mean[None] - 0.01 * np.trace(tangent.mean) / 2 * np.eye(4), np.ones((1, 4), bool)
    )
    assert np.linalg.norm(whole.rows(doubled)) == pytest.approx(2 * math.log(2), rel=0.02)  # sqrt(C) log 2
    labels = np.arange(6) % 2
    means = [np.stack([space.rows(one).mean(axis=0) for one in spread()]) for space in (tangent, whole)]
    said = [LogisticRegression().fit(rows, labels).predict_proba(rows) for rows in means]
    np.testing.assert_allclose(said[0], said[1], atol=1e-3)  # the axes lose nothing


def test_a_channel_without_signal_is_what_the_others_lead_to_expect():
    tangent = replace(Tangent.fit(spread()), axes=np.eye(10))
    usable = np.array([[True, True, True, False], [True, False, False, False]])
    given = np.stack([tangent.mean] * 2)
    given[:, 3] = given[:, :, 3] = 0.0
    rows = tangent.rows(Seconds(given, usable))
    assert np.abs(rows[0]).max() < 0.02  # the mean itself, but for the ridge
    assert np.isnan(rows[1]).all()


def test_channels_that_training_never_saw_do_not_count():
    some = [Seconds.of(one.covariance, one.usable, (1, 3, 4, 6), 12) for one in spread()]
    tangent, alone = Tangent.fit(some), Tangent.fit(spread())
    assert tangent.axes.shape == (5, 78)
    for one, other in zip(some, spread(), strict=True):  # but for the ridge
        lengths = [np.linalg.norm(space.rows(x)) for space, x in ((tangent, one), (alone, other))]
        assert lengths[0] == pytest.approx(lengths[1], rel=1e-3)
    turns = [replace(one, usable=np.arange(5)[:, None] % 4 != np.arange(4)) for one in spread()]
    assert np.isfinite(Tangent.fit(turns).rows(turns[0])).all()
    with pytest.raises(InputError) as caught:
        Tangent.fit([replace(one, usable=~one.usable) for one in spread()])
    assert caught.value.code == ErrorCode.DATA


def test_a_model_on_covariances_says_what_the_classifier_says(trials, model):
    discriminant = model.evidence.discriminant
    mapped = onto(trials, model.config, discriminant.tangent)
    means = np.stack([t.tangent.mean(axis=0, dtype=np.float64) for t in mapped])
    who = np.array([t.subject for t in trials])
    for name in set(who):
        means[who == name] -= means[who == name].mean(axis=0)
    label = np.array([t.label for t in trials])
    expected = LogisticRegression(max_iter=1000).fit(means, label).predict_proba(means)
    rows = np.zeros((len(means), discriminant.part("eeg").used.size))
    rows[:, -means.shape[1] :] = means
    x, known = torch.from_numpy(rows), torch.ones(rows.shape, dtype=torch.bool)
    for one in (discriminant, MixedDiscriminant.from_state(*discriminant.state())):
        said = torch.softmax(one.evidence("eeg", x, torch.full((len(x),), 3.0), known), dim=1)
        np.testing.assert_allclose(said.numpy(), expected, atol=1e-3)
        one.part("eeg").check(2)


def test_it_is_kept_where_only_covariances_tell_and_needs_them_in_all_trials(trials):
    config = classifier_config(trials, OPTIONS, None, "")
    assert preferred_kind(trials, config) == "riemann"
    assert "riemann" not in candidates([*trials, replace(trials[0], covariance=None)], config)
    with pytest.raises(InputError) as caught:
        finetune([replace(trial, covariance=None) for trial in trials], OPTIONS)
    assert caught.value.code == ErrorCode.DATA


def test_a_saved_model_says_live_what_it_says_of_trials(trials, model, tmp_path):
    assert model.config.features.covariance_hz == COVARIANCE_HZ
    parts = model.config, model.network, model.normaliser.to_dict(), "# Card", model.evidence
    save_checkpoint(tmp_path, *parts)
    loaded = load_checkpoint(tmp_path)
    decoder = Decoder(loaded)
    decoder.open(StreamSpec("cap", "Cap", Kind.EEG, NAMES, ("uV",) * len(NAMES), SFREQ))
    _, label, x = signals()[-1]
    n = int(x.shape[1] / SFREQ)
    trial = trial_of(1, "new", label, x)
    windows = cut_windows([trial], n, max_per_trial=1)
    config = replace(loaded.config, windows=replace(loaded.config.windows, eeg_n_steps=n))
    mapped = onto([trial], config, loaded.evidence.discriminant.tangent)[0].tangent
    steps = tuple(step_of(x[:, 100 * at : 100 * at + 100], at) for at in range(n))
    absent = dict.fromkeys(MODALITIES, False)
    present, coverage = absent | {"eeg": True}, dict.fromkeys(MODALITIES, 1.0)
    window = Window(n, float(n), {"eeg": steps}, present, coverage, 0.0, 0.0)
    decoder.take_steps(window)
    live = np.stack([decoder._row(decoder._cached["eeg", at]) for at in range(n)])
    np.testing.assert_allclose(live[:, -mapped.shape[1] :], mapped, atol=1e-4)
    assert live.shape[1] == loaded.evidence.discriminant.part("eeg").used.size
    before = decoder._row(decoder._cached["eeg", 0])
    decoder.mark_bad(("FZ",))
    assert np.abs(decoder._row(decoder._cached["eeg", 0]) - before)[-mapped.shape[1] :].max() > 0.01
    assert np.isfinite(decoder._row(decoder._cached["eeg", 0])[-mapped.shape[1] :]).all()
    course = follow([trial], loaded.evidence, config, windows)
    assert course.evidence.abs().sum() > 0


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("tangent_mean", lambda x: -x),
        ("tangent_mean", lambda x: x * math.nan),
        ("tangent_axes", lambda x: x[:, :-1]),
        ("tangent_axes", lambda x: x + 2),
        ("tangent_axes", None),
    ],
)
def test_a_damaged_tangent_space_is_refused(model, name, change):
    tensors, settings = model.evidence.discriminant.state()
    changed = {key: x for key, x in tensors.items() if key != f"eeg.{name}"}
    if change is not None:
        changed[f"eeg.{name}"] = change(tensors[f"eeg.{name}"])
    assert refused(lambda: MixedDiscriminant.from_state(changed, settings)).code == ErrorCode.DATA
