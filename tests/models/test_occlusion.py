"""Blanking: what is not there changes nothing, and what is counts as if it had been masked."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch

from acquisition.montage import SEED_CH_NAMES
from acquisition.simulator.source import SimulatedSource, SimulatorOptions
from acquisition.types import MODALITIES
from app.pipeline import Pipeline
from models.checkpoint import load_checkpoint
from models.decoder import Decoder
from models.occlusion import (
    REGIONS,
    OcclusionRun,
    region_of,
    variants,
    without_band,
    without_channels,
    without_modality,
)

BANDS = ("delta", "theta", "alpha", "beta", "gamma")


def decoded(model, streams=("eeg", "gaze", "video", "audio"), masked=frozenset(), seconds=7.0):
    """Return the decoder after some seconds of a simulated person."""
    decoder = Decoder(load_checkpoint(model))
    decoder.masked = masked
    pipeline = Pipeline(SimulatedSource(SimulatorOptions(seed=5, streams=streams)), decoder, live=False)
    for hop in range(1, round(seconds / 0.25) + 1):
        pipeline.step(hop * 0.25)
    return decoder


def effects(decoder):
    run = OcclusionRun(decoder, decoder.newest)
    while run.advance():
        pass
    return {(effect.kind, effect.name): effect for effect in run.effects}


@pytest.fixture(scope="module")
def whole(random_model):
    return decoded(random_model)


def test_every_modality_band_and_region_is_asked_about(whole):
    found = effects(whole)
    assert [name for kind, name in found if kind == "modality"] == list(MODALITIES)
    assert [name for kind, name in found if kind == "band"] == list(BANDS)
    assert [name for kind, name in found if kind == "region"] == list(REGIONS)
    assert any(abs(effect.delta_p) > 1e-4 for effect in found.values())


@pytest.mark.parametrize("modality", MODALITIES)
def test_blanking_a_modality_equals_decoding_without_it(random_model, whole, modality):
    prediction = whole.newest
    masked = decoded(random_model, masked=frozenset({modality})).newest
    expected = masked.probs[prediction.label] - prediction.probs[prediction.label]
    assert effects(whole)["modality", modality].delta_p == expected


def test_blanking_an_absent_modality_changes_nothing(random_model):
    decoder = decoded(random_model, streams=("eeg", "audio"), seconds=4.0)
    for modality in ("eye", "face"):
        blanked = decoder.probabilities(without_modality(decoder.newest.inputs, modality))
        assert blanked == decoder.newest.probs
    assert {name for kind, name in effects(decoder) if kind == "modality"} == {"eeg", "voice"}


def test_blanking_channels_that_are_out_of_use_changes_nothing(whole):
    inputs = whole.newest.inputs
    some = torch.arange(62) < 10
    once = without_channels(inputs, some)
    assert whole.probabilities(without_channels(once, some)) == whole.probabilities(once)
    assert whole.probabilities(without_channels(inputs, some & False)) == whole.newest.probs


def test_blanking_a_band_without_eeg_changes_nothing(random_model):
    decoder = decoded(random_model, masked=frozenset({"eeg"}))
    blanked = without_band(decoder.newest.inputs, 2)
    assert decoder.probabilities(blanked) == decoder.newest.probs
    assert {kind for kind, _ in effects(decoder)} == {"modality"}


def test_blanking_a_band_at_its_mean_changes_nothing(whole):
    inputs = whole.newest.inputs
    at_mean = replace(inputs, eeg=inputs.eeg.index_fill(3, torch.tensor([1]), 0.0))
    assert whole.probabilities(without_band(at_mean, 1)) == whole.probabilities(at_mean)


def test_the_window_itself_is_left_as_it_was(whole):
    before = whole.newest.inputs.map(torch.clone)
    effects(whole)
    for name, tensor in vars(whole.newest.inputs).items():
        assert torch.equal(tensor, getattr(before, name)), name


def test_nothing_is_asked_that_would_leave_nothing(random_model):
    decoder = decoded(random_model, streams=("eeg",), seconds=4.0)
    assert {kind for kind, _ in effects(decoder)} == {"band", "region"}
    only_frontal = torch.tensor([region_of(name) == "left frontal" for name in SEED_CH_NAMES])
    inputs = without_channels(decoder.newest.inputs, ~only_frontal)
    assert [v.kind for v in variants(inputs, BANDS, SEED_CH_NAMES)] == ["band"] * 5


def test_regions_part_the_62_channels_evenly():
    counts = Counter(region_of(name) for name in SEED_CH_NAMES)
    assert set(counts) == set(REGIONS)
    assert counts["midline"] == 8
    for region in REGIONS:
        if region.startswith("left "):
            assert counts[region] == counts[region.replace("left", "right")], region


@pytest.mark.parametrize(
    ("name", "region"),
    [
        ("Fp1", "left frontal"),
        ("F8", "right frontal"),
        ("T3", "left temporal"),
        ("TP8", "right temporal"),
        ("FC6", "right central"),
        ("CB1", "left parieto-occipital"),
        ("PO10", "right parieto-occipital"),
        ("FFC5h", "left central"),
        ("Oz", "midline"),
        ("A12", None),
        ("ECG", None),
    ],
)
def test_region_of_a_name(name, region):
    assert region_of(name) == region
