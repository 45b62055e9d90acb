"""Absent EEG channels filled from the others."""

from dataclasses import replace

import numpy as np
import torch

from models.normalise import Normaliser, fit_eeg, fit_likeness
from models.window_batch import filled_from_other_channels

N_BANDS = 5


def likeness_of(mixing, n=4000):
    """Return correlations of channels that see few sources, and windows (n, T, C, F) of them."""
    rng = np.random.default_rng(0)
    sources = rng.standard_normal((n, N_BANDS, mixing.shape[1]))
    entropy = torch.from_numpy(np.einsum("nbs,cs->ncb", sources, mixing)).float()
    return fit_likeness(entropy), entropy


def part_of(eeg, mask):
    """Return windows (n, C, T, F) of which all steps are valid."""
    return {"eeg": eeg, "eeg_channel_mask": mask, "eeg_step_mask": torch.ones(len(eeg), eeg.shape[2]).bool()}


def test_an_absent_channel_is_filled_from_those_that_are_like_it():
    mixing = np.random.default_rng(1).standard_normal((8, 2))
    likeness, entropy = likeness_of(mixing)
    z = fit_eeg(entropy).apply(entropy)[:10].reshape(2, 5, 8, N_BANDS).transpose(1, 2)  # (2, 8, 5, F)
    mask = torch.ones(2, 8, dtype=torch.bool)
    mask[0, :3] = False
    part = part_of(z * mask[..., None, None], mask)
    filled = filled_from_other_channels(part, likeness)
    assert filled["eeg_channel_mask"].all()
    assert (filled["eeg"][0, :3] - z[0, :3]).abs().mean() < 0.25 * z[0, :3].abs().mean()
    assert torch.equal(filled["eeg"][1], z[1])
    assert torch.equal(filled["eeg"][0, 3:], z[0, 3:])


def test_channels_stay_absent_where_hardly_any_is_known_or_nothing_is_known_of_their_likeness():
    likeness, _ = likeness_of(np.ones((8, 1)))
    mask = torch.zeros(1, 8, dtype=torch.bool)
    mask[0, 0] = True  # an eighth
    part = part_of(torch.zeros(1, 8, 5, N_BANDS), mask)
    assert torch.equal(filled_from_other_channels(part, likeness)["eeg_channel_mask"], mask)
    mask[0, :4] = True
    assert filled_from_other_channels(part, None) is part
    assert filled_from_other_channels(part, likeness)["eeg_channel_mask"].all()


def test_a_scale_keeps_its_likeness_through_a_checkpoint_and_does_without_one():
    likeness, entropy = likeness_of(np.eye(8)[:, :3] + 0.1)
    scale = replace(fit_eeg(entropy), likeness=likeness)
    again = Normaliser.from_dict(Normaliser(scale).to_dict()).eeg
    two = again.centred_on(torch.zeros(8, N_BANDS)).select(torch.tensor([2, 5]))
    assert torch.equal(two.likeness, likeness[:, [2, 5]][:, :, [2, 5]])
    assert Normaliser.from_dict(Normaliser(fit_eeg(entropy)).to_dict()).eeg.likeness is None


def test_a_window_is_filled_with_the_same_bits_alone_and_among_others():
    likeness, _ = likeness_of(np.random.default_rng(2).standard_normal((62, 6)))
    torch.manual_seed(0)
    eeg, mask = torch.randn(70, 62, 10, N_BANDS), torch.rand(70, 62) > 0.4
    all_of_them = filled_from_other_channels(part_of(eeg, mask), likeness)["eeg"]
    for at in (0, 7, 69):
        alone = filled_from_other_channels(part_of(eeg[at : at + 1], mask[at : at + 1]), likeness)["eeg"]
        assert torch.equal(alone[0], all_of_them[at])
