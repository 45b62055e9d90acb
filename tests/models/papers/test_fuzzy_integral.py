"""The fuzzy integral and the maximum rule, against examples worked by hand."""

import numpy as np
import pytest

from models.papers.baselines import BdaeConfig, BimodalAutoencoder, choquet, sugeno_lambda


def test_lambda_of_two_sources_is_the_closed_form():
    # (1 + 0.5 λ)(1 + 0.8 λ) = 1 + λ gives λ = (1 - 0.5 - 0.8) / (0.5 · 0.8)
    assert sugeno_lambda([0.5, 0.8]) == pytest.approx(-0.75)
    assert sugeno_lambda([0.2, 0.3]) == pytest.approx(0.5 / 0.06)


def test_lambda_of_three_sources_solves_its_equation():
    # Densities of 1/2 each: λ³/8 + 3λ²/4 + λ/2 = 0, λ = -3 + sqrt(5).
    assert sugeno_lambda([0.5, 0.5, 0.5]) == pytest.approx(-3 + 5**0.5)
    for densities in ([0.1, 0.2, 0.15], [0.9, 0.95, 0.7], [0.01, 0.01], [0.99, 0.99]):
        lam = sugeno_lambda(densities)
        assert lam > -1
        assert np.prod(1 + lam * np.array(densities)) == pytest.approx(1 + lam)


def test_additive_densities_have_lambda_0_and_the_integral_is_their_mean():
    assert sugeno_lambda([0.3, 0.7]) == 0.0
    assert sugeno_lambda([0.4]) == 0.0
    assert choquet(np.array([[0.9], [0.2]]), [0.3, 0.7])[0] == pytest.approx(0.3 * 0.9 + 0.7 * 0.2)


def test_integral_of_two_sources_by_hand():
    # Class 1: 0.9 of a source with density 0.5, then 0.4 of both: (0.9 - 0.4) 0.5 + 0.4 · 1 = 0.65.
    # Class 2: the order is the other way round: (0.6 - 0.1) 0.8 + 0.1 · 1 = 0.5.
    assert choquet(np.array([[0.9, 0.1], [0.4, 0.6]]), [0.5, 0.8]) == pytest.approx([0.65, 0.5])


def test_integral_of_three_sources_by_hand():
    # g of two sources: 0.5 + 0.5 + λ/4 = (1 + sqrt 5) / 4.
    two = (1 + 5**0.5) / 4
    expected = (0.8 - 0.5) * 0.5 + (0.5 - 0.2) * two + 0.2
    for order in ([0.8, 0.5, 0.2], [0.2, 0.8, 0.5]):
        assert choquet(np.array(order)[:, None], [0.5] * 3)[0] == pytest.approx(expected)


def test_integral_of_what_all_agree_on_is_that():
    assert choquet(np.full((3, 2, 4), 0.25), [0.2, 0.9, 0.4]) == pytest.approx(np.full((2, 4), 0.25))


def test_autoencoder_rebuilds_each_modality_from_the_other_when_one_cause_drives_both():
    import torch

    torch.manual_seed(0)
    cause = torch.randn(256, 2)
    features = {"eeg": cause @ torch.randn(2, 12), "eye": cause @ torch.randn(2, 5)}
    network = BimodalAutoencoder({"eeg": 12, "eye": 5}, BdaeConfig(n_hidden=20, n_code=4))
    assert network.encode(features).shape == (256, 4)
    before = network.loss(features).item()
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(200):
        optimiser.zero_grad()
        network.loss(features).backward()
        optimiser.step()
    assert before > 1.5
    assert network.loss(features).item() < 0.1
