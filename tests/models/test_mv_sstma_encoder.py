"""MV-SSTMA: equal to the plain reference, causal, blind to what is masked, honest about attention."""

import pytest
import torch

from models.config import MvSstmaConfig
from models.encoders.layers import MaskedBatchNorm
from models.encoders.mv_sstma import MvSstmaDecoder, MvSstmaEncoder, random_channel_mask
from tests.benchmarks.reference_mv_sstma import ReferenceMvSstma

N_CHANNELS, N_STEPS = 14, 10


def make_encoder(**changes) -> MvSstmaEncoder:
    torch.manual_seed(0)
    encoder = MvSstmaEncoder(MvSstmaConfig(**changes), N_CHANNELS).eval()
    for name, buffer in encoder.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_()
        elif name.endswith("running_var"):
            buffer.uniform_(0.3, 3.0)
    for name, parameter in encoder.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(parameter, mean=1.0, std=0.2)
    return encoder


def make_batch(n_batch=2):
    torch.manual_seed(1)
    step_mask = torch.ones(n_batch, N_STEPS, dtype=torch.bool)
    channel_mask = torch.ones(n_batch, N_CHANNELS, dtype=torch.bool)
    step_mask[0, [0, 4]] = False
    channel_mask[0, [2, 9]] = False
    features = torch.randn(n_batch, N_CHANNELS, N_STEPS, 5)
    return features, torch.arange(N_CHANNELS), step_mask, channel_mask


@pytest.mark.parametrize("n_batch", [1, 2])
@pytest.mark.parametrize("shared", [True, False])
def test_plain_and_folded_paths_equal_the_reference(n_batch, shared):
    encoder = make_encoder(shared_attention=shared)
    batch = make_batch(n_batch)
    with torch.inference_mode():
        expected = ReferenceMvSstma.from_encoder(encoder)(*batch)
        plain, plain_received = encoder(*batch)
        encoder.fold()
        folded, received = encoder(*batch)
    assert (plain - expected).abs().max() < 1e-5
    assert (folded - expected).abs().max() < 1e-5
    assert (received - plain_received).abs().max() < 1e-5


def test_folded_path_holds_where_an_artefact_makes_the_scores_huge():
    encoder = make_encoder(n_layers=1)  # each further one multiplies what rounding decides
    with torch.no_grad():
        for block in encoder.blocks:
            for qkv in block.qkv:
                qkv.weight.mul_(6.0)
    features, *rest = make_batch()
    with torch.inference_mode():
        plain, _ = encoder(features * 20, *rest)
        encoder.fold()
        folded, _ = encoder(features * 20, *rest)
    assert (folded - plain).abs().max() < 1e-4


def test_a_later_step_never_changes_an_earlier_token():
    encoder = make_encoder()
    features, *rest = make_batch()
    before, _ = encoder(features, *rest)
    features[:, :, 6:] += 5.0
    after, _ = encoder(features, *rest)
    assert torch.equal(before[:, :6], after[:, :6])
    assert not torch.equal(before[:, 6:], after[:, 6:])


def test_masked_values_do_not_matter():
    encoder = make_encoder()
    features, positions, step_mask, channel_mask = make_batch()
    before, _ = encoder(features, positions, step_mask, channel_mask)
    features[0, :, 4] = float("nan")
    features[0, 9] = 1e6
    after, _ = encoder(features, positions, step_mask, channel_mask)
    valid = step_mask[:, :, None] & channel_mask[:, None]
    assert torch.equal(before[valid], after[valid])
    assert after.isfinite().all()


def test_attention_received_is_a_distribution_over_visible_channels():
    encoder = make_encoder()
    batch = make_batch()
    _, received = encoder(*batch)
    assert torch.allclose(received.sum(1), torch.ones(2), atol=1e-5)
    assert received[~batch[3]].eq(0).all()
    batch[3][:] = False
    tokens, received = encoder(*batch)
    assert tokens.isfinite().all()
    assert received.eq(0).all()


def test_folded_encoder_works_in_every_gradient_mode_and_still_gives_gradients():
    encoder = make_encoder(n_layers=2)
    batch = make_batch()
    expected, _ = encoder(*batch)
    with torch.inference_mode():
        encoder.fold()
        encoder(*batch)
    with torch.no_grad():
        quiet, _ = encoder(*batch)
    recorded, _ = encoder(*batch)
    recorded.sum().backward()
    assert (quiet - expected).abs().max() < 1e-5
    assert torch.equal(recorded, expected)
    assert encoder.blocks[0].convs[0].weight.grad is not None


@pytest.mark.parametrize("change", ["train", "load", "move"])
def test_changed_weights_end_the_folding(change):
    encoder = make_encoder()
    encoder.fold()
    if change == "train":
        encoder.train()
    elif change == "load":
        encoder.load_state_dict(encoder.state_dict())
    else:
        encoder.double()
    assert not encoder.is_folded
    assert all(block.folded is None for block in encoder.blocks)


def test_batch_norm_without_masks_equals_the_library_layer():
    x = torch.randn(20, 6, 9) * 3 + 1
    own, library = MaskedBatchNorm(6), torch.nn.BatchNorm1d(6)
    everything = torch.ones(20, 1, 9)
    assert torch.allclose(own(x, everything), library(x), atol=1e-5)
    assert torch.allclose(own.running_var, library.running_var, atol=1e-5)
    assert torch.allclose(own.eval()(x, everything), library.eval()(x), atol=1e-5)


def test_batch_norm_statistics_leave_out_masked_positions():
    x = torch.randn(20, 6, 9) * 3 + 1
    mask = torch.ones(20, 1, 9)
    mask[:, :, 5:] = 0
    own = MaskedBatchNorm(6)
    expected = torch.nn.BatchNorm1d(6)(x[:, :, :5])
    assert torch.allclose(own(x * mask, mask)[:, :, :5], expected, atol=1e-5)


def test_random_mask_hides_its_share_of_the_present_channels():
    present = torch.ones(4, 62, dtype=torch.bool)
    present[1, 40:] = False
    visible = random_channel_mask(present, 0.3, torch.Generator().manual_seed(0))
    assert visible.sum(1).tolist() == [43, 28, 43, 43]
    assert not (visible & ~present).any()


def test_decoder_rebuilds_every_channel_without_seeing_the_hidden_ones():
    encoder = make_encoder(n_layers=2)
    decoder = MvSstmaDecoder(encoder.config, N_CHANNELS).eval()
    features, positions, step_mask, channel_mask = make_batch()
    visible = random_channel_mask(channel_mask, 0.3, torch.Generator().manual_seed(3))

    def rebuild(values):
        tokens, _ = encoder(values, positions, step_mask, visible)
        return decoder(tokens, visible, positions, step_mask, channel_mask)

    rebuilt = rebuild(features)
    assert rebuilt.shape == features.shape
    changed = torch.where(visible[:, :, None, None], features, torch.tensor(7.0))
    assert torch.equal(rebuilt, rebuild(changed))
