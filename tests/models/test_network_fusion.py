"""The fusion network: presence, padding, subsets of channels, attention that adds up, sizes."""

from dataclasses import fields, replace

import pytest
import torch

from acquisition.errors import InputError
from acquisition.types import MODALITIES
from models.config import preset
from models.network import FusionNetwork
from models.window_batch import NetworkInput
from tests.studies.stage import unimodal_logits, unimodal_parameters

LABELS = ("disgust", "fear", "sad", "neutral", "happy")
CH_NAMES = tuple(f"E{i}" for i in range(12))
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def network() -> FusionNetwork:
    torch.manual_seed(0)
    network = FusionNetwork(preset("small", labels=LABELS, ch_names=CH_NAMES)).eval()
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(std=0.3)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2.0)
    return network


def make_input(n_batch=2, n_channels=12, n_steps=10, n_frames=6, n_voice=9, seed=1) -> NetworkInput:
    rng = torch.Generator().manual_seed(seed)

    def noise(*shape):
        return torch.randn(*shape, generator=rng)

    def ones(*shape):
        return torch.ones(*shape, dtype=torch.bool)

    return NetworkInput(
        eeg=noise(n_batch, n_channels, n_steps, 5),
        eeg_positions=torch.arange(n_channels),
        eeg_step_mask=ones(n_batch, n_steps),
        eeg_channel_mask=ones(n_batch, n_channels),
        eye=noise(n_batch, 33, 10),
        eye_step_mask=ones(n_batch, 10),
        eye_feature_mask=ones(n_batch, 33),
        face_tokens=noise(n_batch, n_frames, 128),
        face_mask=ones(n_batch, n_frames),
        face_times=torch.linspace(0, 4.5, n_frames).expand(n_batch, -1),
        voice_tokens=noise(n_batch, n_voice, 128),
        voice_mask=ones(n_batch, n_voice),
        voice_times=torch.linspace(0, 4.9, n_voice).expand(n_batch, -1),
        present=ones(n_batch, 4),
        evidence=torch.zeros(n_batch, 4, 5),
        reliability=torch.ones(n_batch, 4),
    )


def pad_front(tensor: torch.Tensor, dim: int, n: int, value: float) -> torch.Tensor:
    shape = list(tensor.shape)
    shape[dim] = n
    return torch.cat([torch.full(shape, value, dtype=tensor.dtype), tensor], dim=dim)


@torch.inference_mode()
def logits(network, inputs):
    return network(inputs).logits


def test_padding_steps_and_channels_changes_nothing(network):
    short = make_input(n_steps=7)
    padded = replace(
        short,
        eeg=pad_front(pad_front(short.eeg, 2, 3, float("nan")), 1, 2, 1e3),
        eeg_positions=torch.cat([torch.tensor([3, 5]), short.eeg_positions]),
        eeg_step_mask=pad_front(short.eeg_step_mask, 1, 3, False),
        eeg_channel_mask=pad_front(short.eeg_channel_mask, 1, 2, False),
        eye=pad_front(short.eye, 2, 4, float("nan")),
        eye_step_mask=pad_front(short.eye_step_mask, 1, 4, False),
    )
    assert (logits(network, short) - logits(network, padded)).abs().max() < TOLERANCE


def test_padding_frames_and_voice_changes_nothing(network):
    short = make_input()
    padded = replace(
        short,
        face_tokens=pad_front(short.face_tokens, 1, 5, float("nan")),
        face_mask=pad_front(short.face_mask, 1, 5, False),
        face_times=pad_front(short.face_times, 1, 5, 0.0),
        voice_tokens=pad_front(short.voice_tokens, 1, 8, float("nan")),
        voice_mask=pad_front(short.voice_mask, 1, 8, False),
        voice_times=pad_front(short.voice_times, 1, 8, float("nan")),
    )
    one, two = network(short), network(padded)
    assert (one.logits - two.logits).abs().max() < TOLERANCE
    assert (one.time_attention - two.time_attention).abs().max() < TOLERANCE


def test_masked_channels_equal_channels_left_out_in_any_order(network):
    full = make_input()
    kept = torch.tensor([7, 2, 11, 4])
    mask = torch.zeros(2, 12, dtype=torch.bool)
    mask[:, kept] = True
    masked = network(replace(full, eeg_channel_mask=mask))
    subset = network(replace(full, eeg=full.eeg[:, kept], eeg_positions=kept, eeg_channel_mask=mask[:, kept]))
    assert (masked.logits - subset.logits).abs().max() < TOLERANCE
    assert (masked.channel_attention[:, kept] - subset.channel_attention).abs().max() < TOLERANCE
    assert masked.channel_attention[~mask].eq(0).all()


@pytest.mark.parametrize(("n_steps", "n_frames", "n_voice"), [(3, 1, 6), (20, 30, 62), (10, 0, 0)])
def test_window_lengths_give_finite_logits(network, n_steps, n_frames, n_voice):
    output = network(make_input(n_steps=n_steps, n_frames=n_frames, n_voice=n_voice))
    assert output.logits.isfinite().all()
    assert output.time_attention.shape == (2, n_steps)


@pytest.mark.parametrize("absent", range(4))
def test_absent_modality_gets_no_attention_and_has_no_influence(network, absent):
    inputs = make_input()
    inputs.present[:, absent] = False
    other = replace(make_input(seed=9), present=inputs.present)
    prefixes = {"eeg": "eeg", "eye": "eye", "face": "face", "voice": "voice"}
    keep = prefixes[MODALITIES[absent]]
    changes = {f.name: getattr(other, f.name) for f in fields(other) if f.name.startswith(keep)}
    one, two = network(inputs), network(replace(inputs, **changes))
    assert torch.equal(one.logits, two.logits)
    assert one.modality_attention[:, absent].eq(0).all()
    assert torch.allclose(one.modality_attention.sum(1), torch.ones(2))


def test_attention_adds_up_to_one(network):
    output = network(make_input())
    for weights in (output.modality_attention, output.channel_attention, output.time_attention):
        assert (weights >= 0).all()
        assert torch.allclose(weights.sum(1), torch.ones(2), atol=1e-5)


def test_time_attention_lies_where_the_only_valid_samples_are(network):
    inputs = make_input()
    inputs.present[:] = torch.tensor([False, False, True, False])
    inputs.face_mask[:] = torch.tensor([False, False, False, True, False, False])
    inputs = replace(inputs, face_times=torch.full((2, 6), 2.7))
    weights = network(inputs).time_attention
    assert torch.allclose(weights[:, 7], torch.ones(2))  # 2.7 s before t_end: third 1 s step from the end


def test_nothing_present_gives_finite_logits_and_no_attention(network):
    inputs = make_input()
    inputs.present[:] = False
    output = network(inputs)
    assert output.logits.isfinite().all()
    for weights in (output.modality_attention, output.channel_attention, output.time_attention):
        assert weights.eq(0).all()


def test_modality_with_an_empty_mask_counts_as_absent(network):
    inputs = make_input()
    inputs.face_mask[0] = False
    weights = network(inputs).modality_attention
    assert weights[0, 2] == 0
    assert weights[1, 2] > 0


def test_unimodal_logits_are_the_heads_of_the_whole_network(network):
    inputs = make_input()
    tokens = network.modality_tokens(inputs)
    for index, modality in enumerate(MODALITIES):
        expected = network.heads[modality](tokens[:, index])
        assert expected.shape == (2, 5)
        assert torch.allclose(unimodal_logits(network, modality, inputs), expected, atol=1e-6)


def test_prepared_network_gives_the_same_answer(network):
    inputs = make_input()
    with torch.inference_mode():
        plain = network(inputs)
        fast = network.prepare_inference()(inputs)
        network.eeg.unfold()
        network.eye.unfold()
    for field in fields(plain):
        assert (getattr(plain, field.name) - getattr(fast, field.name)).abs().max() < TOLERANCE


def test_every_parameter_learns(network):
    trained = FusionNetwork(network.config).train()
    inputs = make_input()
    loss = trained(inputs).logits.square().sum()
    for modality in MODALITIES:
        loss = loss + unimodal_logits(trained, modality, inputs).square().sum()
    loss.backward()
    without = [
        name
        for name, parameter in trained.named_parameters()
        if parameter.grad is None and not name.startswith(("face.", "voice."))
    ]
    assert without == []


def test_modality_parameters_do_not_overlap_and_leave_out_the_fusion(network):
    groups = [{id(p) for p in unimodal_parameters(network, modality)} for modality in MODALITIES]
    fusion = {id(p) for p in network.fusion.parameters()}
    assert len(set.union(*groups)) == sum(len(group) for group in groups)
    assert set.union(*groups) | fusion == {id(p) for p in network.parameters()}
    assert not set.union(*groups) & fusion


def test_small_preset_is_small(network):
    def count(module):
        return sum(parameter.numel() for parameter in module.parameters())

    assert count(network.face) <= 1_000_000
    assert count(network.voice) <= 1_000_000
    assert count(network) < 5_000_000


def test_unknown_preset_and_fusion_are_refused(network):
    with pytest.raises(InputError, match="small"):
        preset("huge", labels=LABELS, ch_names=CH_NAMES)
    sizes = network.config.network
    odd = replace(sizes, fusion=replace(sizes.fusion, variant="mean"))
    with pytest.raises(InputError) as caught:
        replace(network.config, network=odd)
    assert caught.value.facts["setting"] == "fusion.variant"
