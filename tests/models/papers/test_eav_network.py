"""EAV's network with open weights: sizes, words, and what of it trains when."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers

from models.datasets.eav import load_eav_clips
from models.network import FusionNetwork
from models.papers.eav import EavJob, EavOptions, SubjectTraining
from models.papers.eav_network import HEAD, EavNetwork


def job_with(small_eav: Path, open_weights: Path) -> EavJob:
    network = EavNetwork(face_weights=str(open_weights / "vit"), voice_weights=str(open_weights / "ast"))
    clips = tuple(load_eav_clips(small_eav, excluded=[]))
    return EavJob("1", clips, EavOptions(small_eav, quick=True, network=network), network.config())


def training_with(small_eav: Path, open_weights: Path) -> SubjectTraining:
    return SubjectTraining(job_with(small_eav, open_weights))


def test_training_begins_with_them(small_eav: Path, open_weights: Path):
    training = training_with(small_eav, open_weights)
    vit = transformers.ViTModel.from_pretrained(open_weights / "vit", add_pooling_layer=False).state_dict()
    ours = training._network.face.model.state_dict()
    folded = "embeddings.patch_embeddings.projection"  # takes the preprocessor's scaling
    assert all(torch.equal(ours[name], vit[name]) for name in vit if not name.startswith(folded))
    ast = transformers.ASTModel.from_pretrained(open_weights / "ast").state_dict()
    ours = training._network.voice.model.state_dict()
    assert all(torch.allclose(ours[name], ast[name], atol=1e-6) for name in ast)


def test_a_subject_looks_up_no_network_again(small_eav: Path, open_weights: Path):
    job = job_with(small_eav, open_weights)
    elsewhere = replace(job, options=replace(job.options, network=EavNetwork("not known here")))
    assert SubjectTraining(elsewhere)._network.config.network == job.config.network


def parameters(training: SubjectTraining, modality: str) -> list[torch.Tensor]:
    """Return copies of the encoder's parameters and of its head's, each in a row."""
    modules = getattr(training._network, modality), training._network.heads[modality]
    return [torch.cat([p.detach().flatten() for p in module.parameters()]) for module in modules]


@pytest.mark.parametrize("modality", ["face", "voice"])
def test_an_encoder_with_them_is_frozen_while_its_head_begins(
    small_eav: Path, open_weights: Path, modality: str
):
    training = training_with(small_eav, open_weights)
    encoder, head = parameters(training, modality)
    training._train_stage(modality, training._options.stages()[modality + HEAD], head_alone=True)
    assert torch.equal(parameters(training, modality)[0], encoder)
    assert not torch.equal(parameters(training, modality)[1], head)


@pytest.mark.parametrize("modality", ["face", "voice"])
def test_in_all_the_head_moves_far_and_an_encoder_with_them_a_little(
    small_eav: Path, open_weights: Path, modality: str
):
    training = training_with(small_eav, open_weights)
    before = parameters(training, modality)
    training._train_alone(modality)
    encoder, head = (
        (now - was).abs().max() for now, was in zip(parameters(training, modality), before, strict=True)
    )
    assert 0 < encoder < 5e-5
    assert head > 5e-4


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (
            EavNetwork(),
            "The paper's ViT and AST are of base size with open weights; here they are small, unless "
            "--preset paper is given, and are initialised at random without --face-weights and "
            "--voice-weights.",
        ),
        (
            EavNetwork("paper"),
            "The paper's ViT and AST are of base size with open weights; here they are of that size and "
            "are initialised at random without --face-weights and --voice-weights.",
        ),
    ],
)
def test_what_differs_follows_the_options(network: EavNetwork, expected: str):
    stages = EavOptions(Path(), network=network).stages()
    assert network.differs(network.config(), stages) == (expected,)


def test_one_encoder_with_weights_leaves_the_other_as_the_preset_has_it(open_weights: Path):
    network = EavNetwork(voice_weights=str(open_weights / "ast"))
    stages = EavOptions(Path(), network=network).stages()
    assert set(stages) == {"eeg", "face", "voice, head", "voice", "fusion"}
    assert (stages["face"].learning_rate, stages["voice"].learning_rate) == (5e-4, 5e-6)
    config = network.config()
    first, second, *_ = network.differs(config, stages)
    assert first == (
        "The paper's ViT is of base size with open weights; here it is small, unless --preset paper is "
        "given, and is initialised at random, without --face-weights."
    )
    assert second.startswith("The AST is initialised with the weights of ")
    assert (config.network.preset, config.features.face_size) == ("small, open weights", 112)
    assert (config.network.face.stem, config.network.face.source) == ("conv", "")


def test_the_papers_preset_has_the_papers_sizes():
    config = EavNetwork("paper").config()
    with torch.device("meta"):  # sizes without the memory
        network = FusionNetwork(config)
    assert sum(p.numel() for p in network.face.parameters()) > 85e6
    assert sum(p.numel() for p in network.voice.parameters()) > 85e6
    assert (config.network.preset, config.features.face_size) == ("paper", 224)
    assert config.network.eegformer.n_maps == 120
