"""The correlation loss: known values, gradients against finite differences, and its known traps."""

import numpy as np
import pytest
import torch
from sklearn.cross_decomposition import CCA

from models.dcca import PAIRS_PER_DIMENSION, DccaLoss, total_correlation


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def correlated(n, rho):
    """Return two batches (n, 3) whose population canonical correlations are ``rho``."""
    shared, own = normal(n, 3), normal(n, 3, seed=1)
    rho = torch.tensor(rho, dtype=torch.float64)
    mixed = (rho * shared + (1 - rho**2).sqrt() * own) @ normal(3, 3, seed=2)  # a change of basis
    return shared, mixed


def reference(one, two):
    """Sum of canonical correlations by QR and SVD (Björck and Golub 1973), without a ridge."""
    bases = [np.linalg.qr(x - x.mean(0))[0] for x in (one.numpy(), two.numpy())]
    return np.linalg.svd(bases[0].T @ bases[1], compute_uv=False).sum()


def test_known_population_correlations_are_found():
    one, two = correlated(200_000, [0.9, 0.5, 0.2])
    assert float(total_correlation(one, two)) == pytest.approx(1.6, abs=0.01)


def test_value_is_that_of_linear_cca_without_a_ridge():
    one, two = correlated(60, [0.9, 0.5, 0.2])
    value = float(total_correlation(one, two, r=1e-9))
    assert value == pytest.approx(reference(one, two), abs=1e-6)
    scores = CCA(n_components=3, max_iter=10_000, tol=1e-12).fit_transform(one.numpy(), two.numpy())
    by_sklearn = sum(np.corrcoef(scores[0][:, i], scores[1][:, i])[0, 1] for i in range(3))
    assert value == pytest.approx(by_sklearn, abs=1e-4)


def test_ridge_costs_little_and_scale_and_offset_nothing():
    one, two = correlated(60, [0.9, 0.5, 0.2])
    value = total_correlation(one, two)
    assert float(value) == pytest.approx(reference(one, two), abs=0.02)
    assert float(total_correlation(1e4 * one + 1e6, 7 * two)) == pytest.approx(float(value), abs=1e-6)


def test_gradient_is_that_of_finite_differences():
    one, two = normal(24, 4), normal(24, 3, seed=1)
    assert torch.autograd.gradcheck(total_correlation, (one.requires_grad_(), two.requires_grad_()))


def test_repeated_correlations_have_a_finite_gradient_that_is_right():
    # Three correlations of exactly 0.8 / (1 + r), by orthonormal columns.
    basis = torch.linalg.qr(normal(25, 7) - normal(25, 7).mean(0)).Q[:, :6]
    one = basis[:, :3] * 24**0.5
    two = (0.8 * basis[:, :3] + 0.6 * basis[:, 3:]) * 24**0.5
    value = total_correlation(one, two)
    assert float(value) == pytest.approx(3 * 0.8 / 1.001, abs=1e-9)
    assert torch.autograd.gradcheck(total_correlation, (one.requires_grad_(), two.requires_grad_()))


@pytest.mark.parametrize("what", ["the same", "constant", "one column repeated"])
def test_degenerate_rows_have_finite_values_and_gradients(what):
    one = normal(24, 4)
    degenerate = {"the same": one, "constant": torch.ones(24, 4).double()}
    two = degenerate.get(what, one[:, :1].expand(-1, 4)).clone().requires_grad_()
    one.requires_grad_()
    value = total_correlation(one, two)
    value.backward()
    assert 0 <= value.item() <= 4
    assert one.grad.isfinite().all()
    assert two.grad.isfinite().all()
    assert max(one.grad.abs().max(), two.grad.abs().max()) < 1e3


def tokens_of(n, seed=0, width=64):
    return normal(n, 4, width, seed=seed).float(), torch.ones(n, 4, dtype=torch.bool)


def test_random_tokens_of_a_small_batch_do_not_look_correlated():
    torch.manual_seed(0)
    loss = DccaLoss(64)
    values = [-loss(*tokens_of(loss.min_pairs, seed)).item() / 8 for seed in range(20)]
    assert np.mean(values) < 0.5  # a mean square of k / n = 1/4 is to be expected
    tokens, _ = tokens_of(loss.min_pairs)
    assert float(total_correlation(tokens[:, 0], tokens[:, 1])) / (loss.min_pairs - 1) > 0.95  # the trap


def test_batch_below_the_stated_size_is_skipped():
    loss = DccaLoss(64, n_dims=8)
    assert loss.min_pairs == 8 * PAIRS_PER_DIMENSION
    tokens, present = tokens_of(loss.min_pairs)
    assert loss(tokens, present) < 0
    present[0, 1] = False  # one pair too few
    assert loss(tokens, present) == 0
    assert loss(tokens[:1], present[:1]) == 0


def test_windows_without_both_modalities_do_not_count():
    loss = DccaLoss(64)
    tokens, present = tokens_of(50)
    present[:10, 0] = False
    odd = torch.where(present[..., None], tokens, torch.tensor(1e6))
    assert torch.equal(loss(odd, present), loss(tokens[10:], present[10:]))


def test_all_pairs_of_modalities_are_averaged():
    torch.manual_seed(0)
    loss = DccaLoss(64, ("eeg", "eye", "voice"))
    tokens, present = tokens_of(64)
    tokens[:, 1] = tokens[:, 3] = tokens[:, 0]
    with torch.no_grad():
        for projection in loss.projections.values():
            projection.weight.copy_(loss.projections["eeg"].weight)
    assert loss(tokens, present).item() == pytest.approx(-8, abs=0.05)


def test_training_raises_the_correlation_of_what_is_shared():
    torch.manual_seed(0)
    shared = normal(512, 4).float()
    tokens, present = tokens_of(512)
    tokens[:, 0, :4] += 3 * shared  # hidden in the first of 64 directions, among noise
    tokens[:, 1, 30:34] += 3 * shared
    loss = DccaLoss(64, n_dims=4)
    optimiser = torch.optim.Adam(loss.parameters(), 1e-2)
    before = loss(tokens, present).item()
    for _ in range(150):
        optimiser.zero_grad()
        value = loss(tokens, present)
        value.backward()
        optimiser.step()
    assert before > -2
    assert float(value.detach()) < -3.4  # the population's is -4 · 0.9


def test_one_modality_has_nothing_to_correlate():
    with pytest.raises(ValueError, match="at least two"):
        DccaLoss(64, ("eeg",))
