"""EEGformer: subsets of channels, masks, attention that adds up, learning, and its place in the network."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from acquisition.errors import InputError
from acquisition.windowing import WindowConfig
from models.config import EegformerConfig, ModelConfig, preset
from models.encoders.eegformer import EegformerEncoder
from models.network import FusionNetwork
from models.window_batch import batch_of

N_CHANNELS = 8
SMALL = EegformerConfig(n_times=200, n_maps=6, n_slots=20, n_layers=1, width=16)
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def encoder() -> EegformerEncoder:
    torch.manual_seed(0)
    encoder = EegformerEncoder(SMALL, N_CHANNELS).eval()
    nn.init.normal_(encoder.channel_places)
    nn.init.normal_(encoder.convolutions.bias)
    return encoder


def window(n_batch=3, n_channels=N_CHANNELS, n_times=200, seed=1):
    eeg = torch.randn(n_batch, n_channels, 1, n_times, generator=torch.Generator().manual_seed(seed))
    step_mask = torch.ones(n_batch, 1, dtype=torch.bool)
    return eeg, torch.arange(n_channels), step_mask, torch.ones(n_batch, n_channels, dtype=torch.bool)


@torch.no_grad()
def test_masked_channels_equal_channels_left_out_in_any_order(encoder):
    eeg, positions, steps, _ = window()
    kept = torch.tensor([5, 1, 6])
    mask = torch.zeros(3, N_CHANNELS, dtype=torch.bool)
    mask[:, kept] = True
    spoiled = eeg.clone()
    spoiled[:, ~mask[0]] = float("nan")
    whole = encoder(spoiled, positions, steps, mask)
    subset = encoder(eeg[:, kept], kept, steps, mask[:, kept])
    assert (whole[0] - subset[0]).abs().max() < TOLERANCE
    assert (whole[1][:, kept] - subset[1]).abs().max() < TOLERANCE
    assert whole[1][~mask].eq(0).all()
    assert (whole[2] - subset[2]).abs().max() < TOLERANCE


@torch.no_grad()
def test_windows_of_a_batch_do_not_see_each_other(encoder):
    eeg, positions, steps, mask = window()
    mask[0, 2:] = False
    together = encoder(eeg, positions, steps, mask)[0]
    alone = encoder(eeg[:1], positions, steps[:1], mask[:1])[0]
    assert (together[:1] - alone).abs().max() < TOLERANCE


@torch.no_grad()
def test_attention_adds_up_to_one_and_to_nothing_without_eeg(encoder):
    eeg, positions, steps, mask = window()
    steps[2] = False
    token, by_channel, by_segment = encoder(eeg, positions, steps, mask)
    assert token.shape == (3, 1, 16)
    assert token.isfinite().all()
    for attention, shape in ((by_channel, (3, N_CHANNELS)), (by_segment, (3, 5))):
        assert attention.shape == shape
        assert attention.sum(dim=1).tolist() == pytest.approx([1.0, 1.0, 0.0], abs=1e-5)


@torch.no_grad()
def test_a_channel_has_filters_of_its_own(encoder):
    eeg, _, steps, mask = window(n_channels=1)
    one = encoder(eeg, torch.tensor([1]), steps, mask)[0]
    other = encoder(eeg, torch.tensor([2]), steps, mask)[0]
    assert (one - other).abs().max() > 1e-3


@torch.no_grad()
def test_full_width_has_120_maps_and_their_weights():
    encoder = EegformerEncoder(EegformerConfig(n_maps=120, n_layers=1), 3)
    maps = encoder.convolutions(torch.randn(1, 2, 500), torch.tensor([0, 2]))
    assert maps.shape == (1, 2, 120, 60)
    assert [tuple(w.shape) for w in encoder.convolutions.weights] == [(3, 1, 10), (3, 1, 10), (3, 120, 10)]


def test_learns_which_channel_holds_the_rhythm():
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(0)
    encoder, head = EegformerEncoder(SMALL, 4), nn.Linear(16, 2)
    seconds = torch.arange(200) / 100

    def batch(n):
        label = torch.randint(0, 2, (n,), generator=rng)
        eeg = torch.randn(n, 4, 200, generator=rng)
        phase = 6.3 * torch.rand(n, 1, generator=rng)
        eeg[torch.arange(n), 3 * label] += 1.5 * torch.sin(2 * torch.pi * 10 * seconds + phase)
        ones = torch.ones(n, 4, dtype=torch.bool)
        return (eeg[:, :, None], torch.arange(4), ones[:, :1], ones), label

    parameters = [*encoder.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(parameters, 3e-3)
    for _ in range(60):
        inputs, label = batch(32)
        loss = nn.functional.cross_entropy(head(encoder(*inputs)[0][:, 0]), label)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert all(parameter.grad is not None for parameter in parameters)
    encoder.eval()
    inputs, label = batch(200)
    with torch.no_grad():
        correct = head(encoder(*inputs)[0][:, 0]).argmax(1) == label
    assert correct.float().mean() > 0.9  # windows it never saw; chance is 0.5


# --- in the network ---


@pytest.fixture(scope="module")
def config() -> ModelConfig:
    return preset(
        "small", labels=("sad", "happy"), ch_names=("FZ", "CZ", "PZ", "OZ"), eeg_encoder="eegformer"
    )


def test_config_goes_to_json_and_back(config):
    assert ModelConfig.from_dict(config.to_dict()) == config
    assert (config.windows.eeg_step_s, config.windows.eeg_n_steps) == (5.0, 1)


@torch.no_grad()
def test_network_shows_eeg_by_channel_and_second(config):
    torch.manual_seed(0)
    network = FusionNetwork(config).prepare_inference()
    inputs = replace(
        batch_of(2, network.config),
        eeg=torch.randn(2, 3, 1, 500),
        eeg_positions=torch.tensor([0, 1, 3]),
        eeg_step_mask=torch.ones(2, 1, dtype=torch.bool),
        eeg_channel_mask=torch.ones(2, 3, dtype=torch.bool),
        present=torch.tensor([[True, False, False, False], [False] * 4]),
    )
    output = network(inputs)
    assert output.logits.isfinite().all()
    assert output.time_attention.shape == (2, 5)
    assert output.time_attention.sum(1).tolist() == pytest.approx([1.0, 0.0], abs=1e-5)
    assert output.channel_attention.sum(1).tolist() == pytest.approx([1.0, 0.0], abs=1e-5)


@pytest.mark.parametrize(
    ("change", "setting"),
    [
        ({"windows": WindowConfig()}, "eeg_step_s"),
        ({"windows": WindowConfig(eeg_step_s=5.0)}, "eeg_n_steps"),
        ({"n_times": 400}, "n_times"),
        ({"eeg_encoder": "lstm"}, "eeg_encoder"),
    ],
)
def test_windows_that_raw_eeg_cannot_come_from_are_refused(config, change, setting):
    network = config.network
    if "n_times" in change:
        network = replace(network, eegformer=replace(network.eegformer, **change))
    elif "eeg_encoder" in change:
        network = replace(network, **change)
    windows = change.get("windows", config.windows)
    with pytest.raises(InputError) as caught:
        replace(config, network=network, windows=windows)
    assert caught.value.facts["setting"] == setting
