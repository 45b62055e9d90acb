"""A model that was trained with some modalities: the others are never present, and are not encoded."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from acquisition.errors import InputError
from acquisition.montage import SEED_CH_NAMES
from acquisition.simulator.source import SimulatedSource, SimulatorOptions
from app.pipeline import Pipeline
from models.checkpoint import load_checkpoint, save_checkpoint
from models.config import ModelConfig, preset
from models.decoder import Decoder
from models.network import FusionNetwork
from models.normalise import Normaliser
from models.window_batch import NetworkInput

CH_NAMES = ("FP1", "FP2", "CZ", "OZ")
HOP_S = 0.25


def make_network(modalities, variant="attention"):
    torch.manual_seed(0)
    config = preset("small", labels=("sad", "happy"), ch_names=CH_NAMES, modalities=modalities)
    sizes = replace(config.network, fusion=replace(config.network.fusion, variant=variant))
    return FusionNetwork(replace(config, network=sizes)).eval()


def make_input(seed=0, face_and_voice=1.0):
    rng = torch.Generator().manual_seed(seed)
    yes = torch.ones(2, 10, dtype=torch.bool)
    return NetworkInput(
        eeg=torch.randn(2, 4, 10, 5, generator=rng),
        eeg_positions=torch.arange(4),
        eeg_step_mask=yes,
        eeg_channel_mask=yes[:, :4],
        eye=torch.randn(2, 33, 10, generator=rng),
        eye_step_mask=yes,
        eye_feature_mask=torch.ones(2, 33, dtype=torch.bool),
        face_tokens=face_and_voice * torch.randn(2, 6, 128, generator=rng),
        face_mask=yes[:, :6],
        face_times=torch.zeros(2, 6),
        voice_tokens=face_and_voice * torch.randn(2, 9, 128, generator=rng),
        voice_mask=yes[:, :9],
        voice_times=torch.zeros(2, 9),
        present=yes[:, :4],
        evidence=torch.zeros(2, 4, 2),
        reliability=torch.ones(2, 4),
    )


@pytest.mark.parametrize("variant", ["attention", "concat", "shared_attention"])
def test_modality_that_was_not_trained_gets_no_share_and_has_no_influence(variant):
    network = make_network(("eeg", "eye"), variant)
    one, two = network(make_input()), network(make_input(face_and_voice=50.0))
    assert torch.equal(one.logits, two.logits)
    assert one.modality_attention[:, 2:].eq(0).all()
    assert torch.allclose(one.modality_attention[:, :2].sum(1), torch.ones(2))
    assert torch.allclose(one.time_attention.sum(1), torch.ones(2), atol=1e-5)


def test_model_of_one_modality_does_not_run_the_other_encoders():
    network = make_network(("eye",))

    def refuse(*_):
        raise AssertionError("an encoder that was not trained ran")

    network.eeg.register_forward_pre_hook(refuse)
    output = network(make_input())
    assert output.channel_attention.eq(0).all()
    assert torch.equal(output.modality_attention, torch.tensor([[0.0, 1, 0, 0]] * 2))
    assert network.modality_tokens(make_input())[:, [0, 2, 3]].eq(0).all()


def test_presence_is_what_is_there_and_trained():
    inputs = make_input()
    inputs.present = torch.tensor([[True] * 4, [False, True, True, False]])
    inputs.eye_step_mask = torch.tensor([[True], [False]]).expand(-1, 10)
    present = make_network(("eeg", "eye", "voice")).presence(inputs)
    assert present.tolist() == [[True, True, False, True], [False] * 4]


def test_modalities_survive_a_checkpoint_and_are_not_among_the_weights(tmp_path):
    network = make_network(("eeg", "eye"))
    assert set(network.state_dict()) == set(make_network(("eeg",)).state_dict())
    save_checkpoint(tmp_path, network.config, network, {}, "# Random weights\n")
    assert load_checkpoint(tmp_path).config.modalities == ("eeg", "eye")
    assert torch.equal(load_checkpoint(tmp_path).network(make_input()).logits, network(make_input()).logits)


def test_config_written_before_modalities_has_all_four():
    data = make_network(("eeg", "eye", "face", "voice")).config.to_dict()
    del data["modalities"]
    assert ModelConfig.from_dict(json.loads(json.dumps(data))).modalities == ("eeg", "eye", "face", "voice")


@pytest.mark.parametrize("modalities", [(), ("eye", "eeg"), ("eeg", "eeg"), ("eeg", "gaze")])
def test_odd_modalities_are_refused(modalities):
    with pytest.raises(InputError) as caught:
        make_network(modalities)
    assert caught.value.facts["setting"] == "modalities"


def test_live_model_of_eeg_alone_takes_a_camera_and_a_microphone_for_absent(tmp_path):
    config = preset("small", labels=("sad", "happy"), ch_names=SEED_CH_NAMES, modalities=("eeg",))
    torch.manual_seed(0)
    save_checkpoint(tmp_path, config, FusionNetwork(config), Normaliser(None, None).to_dict(), "# Random\n")
    decoder = Decoder(load_checkpoint(tmp_path))
    source = SimulatedSource(SimulatorOptions(seed=5, streams=("eeg", "gaze", "video", "audio")))
    pipeline = Pipeline(source, decoder, live=False)
    newest = [p for hop in range(1, 25) for p in pipeline.step(hop * HOP_S)][-1]
    assert newest.present == {"eeg": True, "eye": False, "face": False, "voice": False}
    assert newest.modality_attention["eeg"] == 1.0
    assert newest.coverage["face"] == 0.0
    assert newest.face_box is not None  # the camera's display goes on
    assert np.isfinite(newest.band_de).all()
