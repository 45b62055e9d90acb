"""The head of a profile, and what leaving out whole trials says of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from profiles import SIZES, noise_discriminant

from calibration.crossvalidation import (
    LeaveOneOut,
    log_probs,
    shuffled_results,
    temperature_of,
    top,
)
from calibration.fit import FitOptions, fit
from calibration.heads import Beginning, fusion_of
from calibration.tokens import Session
from calibration.types import Consent, SessionRecord, TrialRecord
from calibration.verdict import permutation_p
from models.checkpoint import load_checkpoint
from models.config import EvidenceConfig
from models.level import Evidence, RunningLevel, SignalRange
from models.mixed_discriminant import MixedDiscriminant

CLASSES = ("disgust", "fear", "sad")
TRIAL_S = 14


@pytest.fixture(scope="module")
def base(random_model):
    """A model with the discriminant of people who share a pattern; its network says nothing."""
    checkpoint = load_checkpoint(random_model)
    config = EvidenceConfig(network_weight=0.0)
    steps = SignalRange({m: np.full(size, 0.02, np.float32) for m, size in SIZES.items()})
    evidence = Evidence(noise_discriminant(5, 0.05), steps, config)
    return replace(checkpoint, config=replace(checkpoint.config, evidence=config), evidence=evidence)


def session_of(base, effect, seed=0, n_trials=9, positions=62, modalities=("eeg", "eye")):
    """Return a session of trials in which labels add ``effect`` to every fifth feature, and its labels."""
    from test_fit import rows_of

    trials = tuple(
        TrialRecord(n, CLASSES[n % 3], 20.0 * n, 20.0 * n + TRIAL_S) for n in range(1, n_trials + 1)
    )
    record = SessionRecord("S01", 1, CLASSES, 0, Consent(modalities), trials=trials)
    rows, rng = rows_of(record, base, difference=0.0), np.random.default_rng(seed)
    rows = replace(rows, positions=np.arange(positions))
    rows.eeg[:] = 1.5 + 0.1 * rng.normal(size=rows.eeg.shape)
    rows.eye[:] = 0.4 + 0.1 * rng.normal(size=rows.eye.shape)
    for trial in trials:
        at = (rows.t_end > trial.begin) & (rows.t_end <= trial.end)
        flat = rows.eeg.reshape(len(rows), -1)
        flat[at, base.config.labels.index(trial.emotion) :: 5] += effect
        rows.eye[at, base.config.labels.index(trial.emotion) :: 5] += effect
    label = {trial.number: CLASSES.index(trial.emotion) for trial in trials}
    return Session(rows, record, trials, base, modalities), label, rows, record


def n_right(held_out, **which):
    said = held_out.predicted(**which)
    return sum(one == true for one, true in zip(said, held_out.label.values(), strict=True))


def test_own_trials_are_told_from_each_other_and_others_people_labels_help_before_the_first(base):
    session, label, *_ = session_of(base, 0.05)
    held_out = LeaveOneOut(Beginning(session, CLASSES), label)
    assert n_right(held_out) == 9
    assert n_right(held_out, first=0) > 6  # no own label: what other people's say
    assert n_right(held_out, first=0, alone=True) < 6  # and without theirs nothing is known
    assert n_right(held_out, alone=True) > 6


def test_a_fold_is_the_discriminant_updated_with_the_other_trials(base):
    """The matrix products of the folds are `MixedDiscriminant.update`, about the level without the trial."""
    session, label, *_ = session_of(base, 0.03, positions=40, modalities=("eeg",))
    beginning = Beginning(session, CLASSES)
    found = LeaveOneOut(beginning, label).logits(4)
    level = session.level((4,))
    others = {number: one for number, one in label.items() if number != 4}
    updated = beginning.discriminant().update(session.labelled(others, level))
    evidence = Evidence(updated, beginning.range, beginning.config)
    running = RunningLevel(updated, beginning.config, level)
    ends = session.windows.ends[session.windows.trial == 4]
    expected = [evidence.scores(evidence.given(session.windows.recent(e), running)).sum(dim=0) for e in ends]
    np.testing.assert_allclose(found, torch.stack(expected).numpy(), atol=2e-3)


def test_nothing_of_a_trial_enters_its_fold(base):
    session, label, rows, record = session_of(base, 0.03)
    at = (rows.t_end > record.trials[2].begin) & (rows.t_end <= record.trials[2].end)
    changed = replace(rows, eeg=rows.eeg.copy(), eye=rows.eye.copy())
    changed.eeg[at] += 0.5
    other = Session(changed, record, record.trials, base, ("eeg", "eye"))
    moved = {**label, 3: (label[3] + 1) % 3}
    one, two = (LeaveOneOut(Beginning(s, CLASSES), which) for s, which in ((session, label), (other, moved)))
    for number in (1, 2):  # what they say of each other without the third
        np.testing.assert_allclose(one.logits(number, without=3), two.logits(number, without=3), atol=1e-6)


def test_shuffled_labels_are_named_by_chance_and_true_ones_are_not(base):
    session, label, *_ = session_of(base, 0.05)
    held_out = LeaveOneOut(Beginning(session, CLASSES), label)
    shuffled = shuffled_results(held_out, n=99)
    assert np.mean(shuffled) == pytest.approx(1 / 3, abs=0.1)
    assert permutation_p(1.0, shuffled) < 0.05
    assert shuffled == shuffled_results(held_out, n=99)
    assert shuffled != shuffled_results(held_out, n=99, seed=1)


def test_a_shuffle_that_changes_nothing_gives_the_same_answer(base):
    session, label, *_ = session_of(base, 0.03)
    held_out = LeaveOneOut(Beginning(session, CLASSES), label)
    same = np.array([list(label.values())] * 2)
    for number in (1, 5):
        np.testing.assert_allclose(held_out.labellings(number, same)[1], held_out.logits(number), atol=1e-9)


def test_of_a_base_model_without_labels_the_session_alone_is_fitted(base, random_model):
    session, label, *_ = session_of(load_checkpoint(random_model), 0.1)
    beginning = Beginning(session, CLASSES)
    assert not beginning.has_others
    assert beginning.config.network_weight == 0.0
    held_out = LeaveOneOut(beginning, label)
    assert n_right(held_out) > 6
    assert (np.ptp(held_out.logits(1, first=0), axis=1) < 1e-9).all()  # no label, nothing known


def test_a_fit_says_what_came_from_whom(base):
    _, _, rows, record = session_of(base, 0.05)
    found = fit(rows, record, base, options=FitOptions(n_shuffles=9))
    sources = {source.name: source.score.n_correct for source in found.figures.sources}
    curve = [score.n_correct for score in found.figures.curve]
    assert sources["others"] == curve[0] == found.figures.base_model.n_correct
    assert sources["both"] == curve[-1] == found.verdict.n_correct == 9
    assert len(curve) == 9


def test_the_fusion_begins_with_what_the_base_model_knows(base, random_model):
    labels = base.config.labels
    tokens, present = torch.randn(6, 4, 64), torch.ones(6, 4, dtype=torch.bool)
    present[0, 1:] = False
    network = base.network.eval()
    network.config = base.config
    with torch.no_grad():
        expected = network.fusion(tokens, present)[0][:, [3, 0]]
        torch.testing.assert_close(fusion_of(network, (labels[3], labels[0]))(tokens, present)[0], expected)
        network.config = load_checkpoint(random_model).config
        logits, attention = fusion_of(network, ("one", "two"))(tokens, present)
    assert (logits == 0).all()
    assert attention[0].tolist() == [1, 0, 0, 0]
    assert attention[1].tolist() == [0.25] * 4


# --- the restricted discriminant ---


def test_restricting_to_all_features_and_labels_changes_nothing():
    whole = noise_discriminant(5, 0.05)
    same = whole.restricted(range(5), {m: np.ones(n, dtype=bool) for m, n in SIZES.items()})
    given = torch.randn(3, 33), torch.full((3,), 2.0), torch.ones(3, 33, dtype=torch.bool)
    torch.testing.assert_close(same.evidence("eye", *given), whole.evidence("eye", *given))


def test_restricting_to_some_features_scores_as_if_the_others_were_unknown():
    whole = noise_discriminant(5, 0.05)
    known = np.arange(33) < 20
    few = whole.restricted([3, 1], {"eye": known})
    assert few.modalities == ("eye",)
    given = 0.1 * torch.randn(6, 33), torch.full((6,), 2.0), torch.from_numpy(known).expand(6, -1)
    expected = whole.evidence("eye", *given)[:, [3, 1]]
    found = few.evidence("eye", *given)
    torch.testing.assert_close(found - found[:, :1], expected - expected[:, :1], atol=0.05, rtol=0.05)
    assert isinstance(few, MixedDiscriminant)


# --- temperature ---


def windows_that_say(p, n=4):
    return np.tile(np.log([p, 1 - p]), (n, 1))


def test_ten_trials_justify_no_more_than_eleven_twelfths():
    sure = [windows_that_say(0.9999)] * 10
    temperature = temperature_of(sure, [0] * 10)
    assert np.exp(log_probs(sure[0], temperature)).max() <= 11 / 12 + 1e-3


def test_a_temperature_stays_near_one_where_trials_do_not_speak_against_it():
    said = [windows_that_say(0.7)] * 7 + [windows_that_say(0.3)] * 3
    assert temperature_of(said, [0] * 10) == pytest.approx(1.0, abs=0.35)
    wrong = [windows_that_say(0.99)] * 10
    assert temperature_of(wrong, [0] * 5 + [1] * 5) > 2
    assert top(wrong[0]) == 0
