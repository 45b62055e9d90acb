"""A session's own level: what it rests on, and that nothing else of a session is left in the input."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.datasets.trials import cut_windows
from models.normalise import fit_eye
from models.training.finetune_config import FinetuneOptions, classifier_config
from models.training.session_levels import SessionLevels, centred, means_of
from models.training.trial_tensors import TrialTensors, fit_normaliser
from tests.models.training.test_finetune_run import CH_NAMES, make_trials

CONFIG = classifier_config(make_trials(), FinetuneOptions(n_steps=3, evidence=True), None, "made here")


def moved(trials, session, by):
    return [replace(t, session=session, eeg=t.eeg + by, eye=t.eye - by) for t in trials]


def of(value, trial):
    """Return a trial whose features are all one value."""
    return replace(trial, eeg=np.full_like(trial.eeg, value), eye=np.full_like(trial.eye, value))


def test_every_trial_counts_the_same_however_long_it_is():
    one, two = make_trials(2)
    two = of(4.0, replace(two, eeg=two.eeg[:1], eye=two.eye[:1]))
    level = SessionLevels.of([of(0.0, one), two], CONFIG).levels([one])[one.key]
    by_channel = level["eeg"].unflatten(0, (len(CONFIG.ch_names), -1))
    known = by_channel[[CONFIG.ch_names.index(name) for name in CH_NAMES]]
    assert known.numpy() == pytest.approx(2.0, abs=0.01)
    assert level["eye"].numpy() == pytest.approx(2.0, abs=0.01)


def test_sessions_that_differ_by_an_offset_alone_give_the_same_input():
    first = make_trials()
    trials = first + moved(first, 2, 5.0)
    levels = SessionLevels.of(trials, CONFIG)
    normaliser = fit_normaliser(centred(trials, levels), CONFIG, None)
    tensors = TrialTensors(
        cut_windows(trials, 3),
        CH_NAMES,
        CONFIG,
        normaliser,
        means=means_of(levels.levels(trials), cut_windows(trials, 3)),
    ).batch(slice(None))
    half = len(tensors.eeg) // 2
    torch.testing.assert_close(tensors.eeg[:half], tensors.eeg[half:], atol=0.05, rtol=0.0)
    torch.testing.assert_close(tensors.eye[:half], tensors.eye[half:], atol=2.0, rtol=0.0)
    assert normaliser.eeg.sd.max() < 1.5  # of the trials, not of the sessions, which are 5 apart


def test_a_drawn_level_rests_on_trials_of_its_own_session():
    trials = [of(float(10 * t.session), t) for t in make_trials(4) + moved(make_trials(4), 2, 0.0)]
    drawn = SessionLevels.of(trials, CONFIG).levels(trials, np.random.default_rng(0))
    for trial in trials:
        assert drawn[trial.key]["eye"].numpy() == pytest.approx(10.0 * trial.session, abs=0.1)


def test_an_unknown_session_begins_near_the_training_mean_and_moves_to_its_own():
    known = make_trials(8) + moved(make_trials(8), 2, 1.0)
    strangers = [of(9.0, t) for t in moved(make_trials(6), 3, 0.0)]
    levels = SessionLevels.of(known, CONFIG)
    found = [levels.levels(strangers)[t.key]["eye"].mean().item() for t in strangers]
    assert -1.0 < found[0] < 9.0
    assert found == sorted(found)
    assert found[-1] > found[0]
    told = levels.knowing(strangers).levels(strangers[:1])[strangers[0].key]
    assert told["eye"].mean().item() == pytest.approx(found[-1], abs=1e-4)


def test_one_glitch_does_not_squeeze_the_scale_of_the_eyes():
    rows = torch.linspace(0.0, 1.0, 1001)[:, None].repeat(1, 2)
    rows[500, 0] = 1000.0
    raw, within = fit_eye(rows), fit_eye(rows, 0.01)
    assert raw.high.tolist() == [1000.0, 1.0]
    assert within.high.tolist() == pytest.approx([0.99, 0.99], abs=0.01)
    assert within.low.tolist() == pytest.approx([0.01, 0.01], abs=0.01)
