"""Heads on modality tokens, and what leaving out whole trials says of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from acquisition.types import MODALITIES
from calibration.crossvalidation import (
    HeadFitter,
    HeldOut,
    held_out_folds,
    leave_one_out,
    shuffled_results,
    trial_probs,
)
from calibration.heads import Directions, Labelled, LdaProblem, fit_fusion, initial_fusion, linear_head
from calibration.verdict import binomial_threshold, permutation_p
from models.checkpoint import load_checkpoint
from models.training.scores import balanced_accuracy

N_WINDOWS, D_MODEL = 8, 64
UNKNOWN = ("one", "two", "three", "four", "five")  # to the base model


@pytest.fixture(scope="module")
def base(random_model):
    return load_checkpoint(random_model).network


class Planted:
    """Tokens that need no normalising: noise, a constant of each class and one of each trial."""

    def __init__(self, label, *, class_sd=0.0, trial_sd=0.0, seed=0):
        rng = np.random.default_rng(seed)
        shape = (len(MODALITIES), D_MODEL)
        of_class = class_sd * rng.normal(size=(max(label.values()) + 1, *shape))
        self.trial = np.repeat(list(label), N_WINDOWS)
        tokens = rng.normal(size=(len(self.trial), *shape))
        for number, name in label.items():
            tokens[self.trial == number] += of_class[name] + trial_sd * rng.normal(size=shape)
        self.tokens = torch.from_numpy(tokens).float()
        self.asked = []

    def without(self, trials):
        self.asked.append(tuple(trials))
        return self.tokens, torch.ones(len(self.trial), len(MODALITIES), dtype=torch.bool)


def ten_trials(n_classes=5):
    return {number: number % n_classes for number in range(1, 11)}


def windows(source, label):
    tokens, present = source.without(())
    return Labelled(tokens, present, source.trial, np.array([label[n] for n in source.trial]))


def score(held_out, label):
    said = held_out.predicted()
    return balanced_accuracy([label[n] for n in said], list(said.values()))


@pytest.mark.parametrize("head", ["fusion", "linear"])
def test_classes_that_lie_apart_are_recognised_in_trials_left_out(base, head):
    label = ten_trials()
    data = windows(Planted(label, class_sd=1.0, trial_sd=0.3), label)
    assert score(leave_one_out(data, HeadFitter(base, UNKNOWN), head), label) == 1.0


@pytest.mark.parametrize("head", ["fusion", "linear"])
def test_a_constant_of_each_trial_brings_no_accuracy(base, head):
    label = ten_trials()
    found = [
        score(leave_one_out(windows(Planted(label, trial_sd=3.0, seed=seed), label), fitter, head), label)
        for seed in range(2)
        for fitter in [HeadFitter(base, UNKNOWN)]
    ]
    assert np.mean(found) < binomial_threshold([2] * 5).balanced_accuracy - 0.1


def test_shuffled_labels_are_named_by_chance_and_true_ones_are_not(base, monkeypatch):
    monkeypatch.setattr("calibration.heads.FUSION_STEPS", 1)  # of no interest here
    label = ten_trials()
    fitter = HeadFitter(base, UNKNOWN)
    folds = held_out_folds(Planted(label, class_sd=1.0), label, fitter, lambda stage, share: None)
    shuffled = shuffled_results(folds, label, fitter, n=100)
    assert np.mean(shuffled) < 0.3
    assert permutation_p(1.0, shuffled) < 0.05
    assert shuffled == shuffled_results(folds, label, fitter, n=100)
    assert shuffled != shuffled_results(folds, label, fitter, n=100, seed=1)


def test_shuffling_refits_what_the_linear_head_is(base):
    """A shuffle that changes nothing gives the linear head's own result."""
    label = dict.fromkeys((1, 2, 3), 0)
    fitter = HeadFitter(base, ("one", "two"))
    source = Planted(label | {4: 1}, class_sd=1.0)
    label = label | {4: 1}
    folds = held_out_folds(source, label, fitter, lambda stage, share: None)
    own = [trial_probs(fold.logits("linear")).argmax() for fold in folds]
    same = shuffled_results(folds, label, fitter, n=40)
    assert balanced_accuracy(list(label.values()), own) in same


def test_ten_trials_take_a_bounded_number_of_fits_and_of_encodings(base, monkeypatch):
    label, source = ten_trials(), Planted(ten_trials())
    fitter = HeadFitter(base, UNKNOWN)
    fitted = []

    def count(head, data):
        fitted.append(head)
        return base.fusion if head == "fusion" else original(head, data)

    original = fitter.fit
    monkeypatch.setattr(fitter, "fit", count)
    held_out_folds(source, label, fitter, lambda stage, share: None)
    assert source.asked == [(number,) for number in label]
    assert fitted.count("fusion") == fitted.count("linear") == 10 + 10 * 8


def test_nothing_of_a_trial_enters_its_fold(base):
    label = ten_trials(2)
    label = {number: label[number] for number in range(1, 6)}
    one, two = Planted(label, class_sd=1.0), Planted(label, class_sd=1.0)
    two.tokens[two.trial == 3] += 100.0
    fitter = HeadFitter(base, UNKNOWN)
    first, second = (held_out_folds(s, label, fitter, lambda stage, share: None)[2] for s in (one, two))
    assert first.trial == 3
    assert (first.head, first.temperature) == (second.head, second.temperature)
    for head, model in first.models.items():
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, second.models[head].state_dict()[name]), (head, name)


def test_an_absent_modality_adds_nothing(base):
    label = ten_trials()
    data = windows(Planted(label, class_sd=1.0), label)
    head = HeadFitter(base, UNKNOWN).fit("linear", data)
    absent = data.present.clone()
    absent[:, 1] = False
    at_mean = data.tokens.clone()
    at_mean[:, 1] = head.mean[1]
    with torch.no_grad():
        logits, shares = head(data.tokens, absent)
        torch.testing.assert_close(logits, head(at_mean, data.present)[0])
    assert (shares[:, 1] == 0).all()


def test_lda_on_white_noise_is_the_nearest_mean(base):
    """Equal variances without correlation: weights are the class means by the variance, bias -|mean|²/2."""
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1], 10)
    trial = np.repeat(np.arange(20), 400)
    tokens = torch.from_numpy(rng.normal(size=(len(trial), 4, 2))).float()
    tokens[np.repeat(label, 400) == 1, :, 0] += 2.0
    directions = Directions(np.broadcast_to(np.eye(2), (4, 2, 2)).copy(), None)
    present = torch.ones(len(trial), 4, dtype=torch.bool)
    weight, bias = LdaProblem(tokens, present, trial, directions).solve(label, 2)
    np.testing.assert_allclose(weight[1, :, 0] - weight[0, :, 0], 2.0, atol=0.15)
    np.testing.assert_allclose(weight[..., 1], 0.0, atol=0.1)
    np.testing.assert_allclose(bias, -4 * 1.0 / 2, atol=0.3)


def test_trials_weigh_alike_however_many_windows_they_have(base):
    label = ten_trials(2)
    data = windows(Planted(label, class_sd=0.5, trial_sd=1.0), label)
    twice = np.repeat(np.arange(len(data.trial)), np.where(data.trial == 1, 5, 1))
    more = Labelled(data.tokens[twice], data.present[twice], data.trial[twice], data.label[twice])
    for part in (data, more):
        of_trial = np.bincount(part.trial, part.weights())[1:]
        np.testing.assert_allclose(of_trial, 0.1)
    problems = [LdaProblem(d.tokens, d.present, d.trial, directions(base, d)) for d in (data, more)]
    np.testing.assert_allclose(problems[0].mean, problems[1].mean, atol=1e-12)


def directions(base, data):
    return Directions.of(base, UNKNOWN, data.tokens, data.present)


def test_the_fusion_begins_with_what_the_base_model_knows(base):
    labels = base.config.labels
    classes = (labels[3], labels[0])
    tokens = torch.randn(6, 4, D_MODEL, generator=torch.Generator().manual_seed(0))
    present = torch.ones(6, 4, dtype=torch.bool)
    with torch.no_grad():
        expected = base.eval().fusion(tokens, present)[0][:, [3, 0]]
        torch.testing.assert_close(initial_fusion(base, classes)(tokens, present)[0], expected)
        assert (initial_fusion(base, UNKNOWN)(tokens, present)[0] == 0).all()


def test_the_fusion_stays_near_the_base_model(base):
    label = ten_trials()
    data = windows(Planted(label, class_sd=1.0), label)
    start = initial_fusion(base, base.config.labels)
    fitted = fit_fusion(start, data)
    moved = [(a - b).abs().max().item() for a, b in zip(start.parameters(), fitted.parameters(), strict=True)]
    assert 0 < max(moved) < 0.03
    with torch.no_grad():
        assert not torch.equal(start(data.tokens, data.present)[0], fitted(data.tokens, data.present)[0])


def test_of_a_base_that_is_no_classifier_the_tokens_components_are_taken(base):
    label = ten_trials(2)
    data = windows(Planted(label, class_sd=1.0), label)
    rows = data.tokens[:, 0].double().numpy()
    found = _components_of(base, data)[0]
    values = (rows - rows.mean(axis=0)) @ found.T
    assert (np.diff(values.var(axis=0)) <= 1e-9).all()  # the widest first
    np.testing.assert_allclose(found @ found.T, np.eye(len(found)), atol=1e-9)


def _components_of(base, data):
    from dataclasses import replace
    from types import SimpleNamespace

    encoders = SimpleNamespace(config=replace(base.config, is_classifier=False))
    return Directions.of(encoders, UNKNOWN, data.tokens, data.present).weight


def test_the_temperature_is_that_of_the_least_nll():
    logits = {1: np.array([[2.0, 0.0]]), 2: np.array([[2.0, 0.0]]), 3: np.array([[2.0, 0.0]])}
    label = {1: 0, 2: 0, 3: 1}  # right two times of three: log 2 = 2 / T
    found = HeldOut(logits).temperature(label)
    assert found == pytest.approx(2 / np.log(2), rel=0.1)


def test_linear_head_is_a_module_of_the_profile(base):
    label = ten_trials()
    data = windows(Planted(label, class_sd=1.0), label)
    first = np.unique(data.trial, return_index=True)[1]
    fitter = HeadFitter(base, UNKNOWN)
    problem = fitter.problem(data)
    head = linear_head(problem, data.label[first], 5, fitter.config("linear"))
    weight, bias = problem.solve(data.label[first], 5)
    centred = data.tokens.double().numpy() - problem.mean
    expected = np.einsum("nmd,lmd->nl", centred, weight) + bias
    with torch.no_grad():
        np.testing.assert_allclose(head(data.tokens, data.present)[0].numpy(), expected, rtol=1e-3, atol=1e-3)
