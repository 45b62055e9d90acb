"""Profiles: their files, what is refused, and that the ordinary decoder runs them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from refused import refused
from safetensors.torch import load_file, save_file

from acquisition.errors import ErrorCode, InputError
from acquisition.simulator.source import SimulatedSource, SimulatorOptions
from acquisition.types import Kind, StreamSpec
from app.pipeline import Pipeline
from calibration.profile import (
    CalibrationProfile,
    apply_profile,
    features_sha256,
    load_profile,
    save_profile,
)
from calibration.profile_summary import ProfileSummary, read_summary
from calibration.verdict import VerdictCode
from models.checkpoint import load_checkpoint
from models.config import AnswerConfig, FusionConfig
from models.decoder import Decoder
from models.fusion import FUSIONS
from models.normalise import Normaliser

CLASSES = ("happy", "sad", "bored")  # others than the base model's, and fewer


@pytest.fixture(scope="module")
def checkpoint(random_model):
    return load_checkpoint(random_model)


def ch_names():
    """Return the channels of the simulated cap."""
    source = SimulatedSource(SimulatorOptions(seed=5, streams=("eeg",)))
    return next(event.spec.ch_names for event in source.read(0.0) if getattr(event, "spec", None))


def made(checkpoint, *, head="linear", classes=CLASSES, **changes):
    """Return a profile with a random head."""
    torch.manual_seed(1)
    base = checkpoint.config.network.fusion
    fusion = replace(base, variant="linear") if head == "linear" else base
    module = FUSIONS[fusion.variant](fusion, len(classes))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    known = [name for name in ch_names() if name in checkpoint.config.ch_names]
    values = {
        "subject": "S01",
        "classes": classes,
        "modalities": ("eeg", "eye", "face", "voice"),
        "ch_names": tuple(known),
        "head": head,
        "verdict": VerdictCode.WEAK,
        "words": "Better than guessing.",
        "figures": {"balanced_accuracy": 0.6, "trials": 10, "p_permutation": None},
        "base_name": "random",
        "base_sha256": checkpoint.sha256,
        "features_sha256": features_sha256(checkpoint.config),
        "date": "2025-01-02T03:04:05Z",
        "is_simulated": True,
    }
    normaliser = Normaliser.from_dict(checkpoint.normaliser_tensors, "profile")
    temperature = changes.pop("temperature", 1.0)
    summary = ProfileSummary(**(values | changes))
    return CalibrationProfile(summary, fusion, module.state_dict(), normaliser, temperature)


def decoded(checkpoint, streams=("eeg", "gaze", "video", "audio"), until=6):
    decoder = Decoder(checkpoint)
    pipeline = Pipeline(SimulatedSource(SimulatorOptions(seed=5, streams=streams)), decoder, live=False)
    return [p for hop in range(1, 4 * until + 1) for p in pipeline.step(hop / 4)]


@pytest.mark.parametrize("head", ["linear", "fusion"])
def test_it_survives_its_folder(checkpoint, tmp_path, head):
    profile = made(checkpoint, head=head, temperature=1.7)
    sha256 = save_profile(tmp_path / "profile", profile)
    read = load_profile(tmp_path / "profile")
    assert read.summary == profile.summary == read_summary(tmp_path / "profile")
    assert read.fusion == profile.fusion
    assert read.temperature == 1.7
    assert read.sha256 == sha256
    assert read.normaliser.origin == "profile"
    assert all(torch.equal(read.head[name], profile.head[name]) for name in profile.head)
    assert sorted(path.name for path in (tmp_path / "profile").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]


def test_equal_content_gives_equal_bytes(checkpoint, tmp_path):
    for name in ("a", "b"):
        save_profile(tmp_path / name, made(checkpoint))
    for name in ("config.json", "model.safetensors", "README.md"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_its_card_has_verdict_figures_and_notice(checkpoint, tmp_path):
    save_profile(tmp_path, made(checkpoint, verdict=VerdictCode.NOT_DISTINGUISHABLE))
    text = (tmp_path / "README.md").read_text()
    for words in (
        "workplace",
        "education",
        VerdictCode.NOT_DISTINGUISHABLE,
        "Do not trust this model",
        "simulated",
        "0.6",
        "S01",
    ):
        assert words in text


@pytest.mark.parametrize("head", ["linear", "fusion"])
def test_the_ordinary_decoder_gives_its_labels(checkpoint, head):
    newest = decoded(apply_profile(made(checkpoint, head=head), checkpoint))[-1]
    assert tuple(newest.probs) == CLASSES
    assert newest.label in CLASSES
    assert sum(newest.probs.values()) == pytest.approx(1.0)
    assert sum(newest.modality_attention.values()) == pytest.approx(1.0)
    assert newest.normalisation == "profile"


def test_what_verdicts_rest_on_comes_from_profile_and_base(checkpoint, tmp_path):
    others = AnswerConfig(0.8, 0.7, 0.5, 0.2, 0.6, 0.04, 12, 120)
    base = replace(checkpoint, config=replace(checkpoint.config, profile_answers=others))
    own = tuple(0.05 * k for k in range(10))
    labels = checkpoint.config.labels
    profile = made(checkpoint, head="fusion", classes=labels, verdict=VerdictCode.NOT_DISTINGUISHABLE)
    save_profile(tmp_path, replace(profile, summary=replace(profile.summary, own_scores=own)))
    facts = apply_profile(load_profile(tmp_path), base).facts
    assert (facts.answers, facts.own_scores) == (others, own)
    assert (facts.has_profile, facts.is_guessing) == (True, True)
    assert apply_profile(made(checkpoint), base).facts.answers is None  # of other classes


def test_the_base_model_stays_as_it_was(checkpoint):
    before = {name: tensor.clone() for name, tensor in checkpoint.network.state_dict().items()}
    apply_profile(made(checkpoint, head="fusion", classes=checkpoint.config.labels), checkpoint)
    after = checkpoint.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_profile_that_changes_nothing_predicts_as_its_base(checkpoint):
    labels = checkpoint.config.labels
    profile = replace(
        made(checkpoint, head="fusion", classes=labels), head=checkpoint.network.fusion.state_dict()
    )
    one, other = decoded(checkpoint)[-1], decoded(apply_profile(profile, checkpoint))[-1]
    assert one.probs == other.probs


@pytest.mark.parametrize("head", ["linear", "fusion"])
def test_temperature_divides_the_logits(checkpoint, head):
    tokens = torch.randn(6, 4, checkpoint.config.network.fusion.d_model)
    present = torch.ones(6, 4, dtype=torch.bool)
    with torch.no_grad():
        cold, _ = apply_profile(made(checkpoint, head=head), checkpoint).network.fusion(tokens, present)
        warm, _ = apply_profile(made(checkpoint, head=head, temperature=2.0), checkpoint).network.fusion(
            tokens, present
        )
    assert torch.allclose(cold / 2, warm, atol=1e-5)


def test_a_modality_without_consent_is_masked(checkpoint):
    profile = made(checkpoint, modalities=("eeg", "eye"))
    newest = decoded(apply_profile(profile, checkpoint))[-1]
    assert newest.present == {"eeg": True, "eye": True, "face": False, "voice": False}
    assert newest.modality_attention["face"] == newest.modality_attention["voice"] == 0.0


def test_an_absent_modality_adds_nothing_to_a_linear_head(checkpoint):
    fusion = apply_profile(made(checkpoint), checkpoint).network.fusion
    present = torch.tensor([[True, False, False, False], [False] * 4])
    with torch.no_grad():
        tokens = torch.randn(2, 4, checkpoint.config.network.fusion.d_model)
        logits, shares = fusion(tokens, present)
        assert torch.equal(logits[1], fusion.bias)
        assert torch.allclose(logits[0], tokens[0, 0] @ fusion.weight[:, 0].T + fusion.bias, atol=1e-5)
    assert shares.tolist() == [[1.0, 0.0, 0.0, 0.0], [0.0] * 4]


def test_a_simulated_profile_makes_a_simulated_model(checkpoint):
    real = replace(checkpoint, config=replace(checkpoint.config, is_simulated=False))
    assert apply_profile(made(real, is_simulated=True), real).config.is_simulated
    assert not apply_profile(made(real, is_simulated=False), real).config.is_simulated


@pytest.mark.parametrize(
    ("change", "line", "part"),
    [
        ({"base_sha256": "f" * 64}, None, "base_sha256"),
        ({"features_sha256": "e" * 64}, None, "features_sha256"),
        ({}, 50, "features_sha256"),
        ({"ch_names": ("XX",)}, None, "ch_names"),
    ],
)
def test_another_base_model_or_features_or_channels_are_refused(checkpoint, change, line, part):
    profile = made(checkpoint, **change)
    error = refused(lambda: apply_profile(profile, checkpoint, "--profile P", line_hz=line))
    assert (error.code, error.where) == (ErrorCode.PROFILE, "--profile P")
    assert error.facts == {"part": part}


def test_a_profile_of_another_model_names_both_hashes(checkpoint):
    with pytest.raises(InputError, match=f"{'f' * 16}, found one with {checkpoint.sha256[:16]}"):
        apply_profile(made(checkpoint, base_sha256="f" * 64), checkpoint)


def test_a_stream_with_other_channels_is_refused(checkpoint):
    decoder = Decoder(apply_profile(made(checkpoint, ch_names=("CZ", "PZ", "OZ")), checkpoint))
    decoder.open(StreamSpec("cap", "Cap", Kind.EEG, ("OZ", "CZ", "PZ"), ("uV",) * 3, 250.0))
    with pytest.raises(InputError, match=r"expected the 3 EEG channels .* found 3: without OZ and with FZ"):
        decoder.open(StreamSpec("cap", "Cap", Kind.EEG, ("CZ", "PZ", "FZ"), ("uV",) * 3, 250.0))


def test_channels_do_not_matter_where_the_eeg_is_not_used(checkpoint):
    profile = made(checkpoint, ch_names=(), modalities=("eye",))
    Decoder(apply_profile(profile, checkpoint)).open(
        StreamSpec("cap", "Cap", Kind.EEG, ("CZ",), ("uV",), 250.0)
    )


# --- damaged folders ---


def cut_short(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:200])


def other_tensors(change):
    def damage(folder):
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors")

    return damage


def other_config(**changes):
    def damage(folder):
        path = folder / "config.json"
        data = json.loads(path.read_text()) | changes
        path.write_text(json.dumps({k: v for k, v in data.items() if v != "gone"}))

    return damage


DAMAGES = {
    "no config": (lambda f: (f / "config.json").unlink(), "config.json"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "model.safetensors"),
    "text for config": (lambda f: (f / "config.json").write_text("{"), "config.json"),
    "bytes for config": (lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x00"), "config.json"),
    "a list for config": (lambda f: (f / "config.json").write_text("[]"), "config.json"),
    "weights cut short": (cut_short, "model.safetensors"),
    "empty weights": (lambda f: (f / "model.safetensors").write_bytes(b""), "model.safetensors"),
    "a pickle": (lambda f: (f / "model.safetensors").write_bytes(b"\x80\x04K\x01."), "model.safetensors"),
    "head gone": (other_tensors(lambda t: t.pop("head.weight")), "weight"),
    "NaN": (other_tensors(lambda t: t["head.bias"].fill_(np.nan)), "bias"),
    "other size": (other_tensors(lambda t: t.update({"head.bias": torch.zeros(7)})), "bias"),
    "half a normaliser": (other_tensors(lambda t: t.pop("normaliser.eeg_sd")), "normaliser.eeg_sd"),
    "no scale": (other_tensors(lambda t: t["normaliser.eeg_sd"].zero_()), "normaliser.eeg_sd"),
    "no temperature": (other_tensors(lambda t: t.pop("temperature")), "temperature"),
    "temperature 0": (other_tensors(lambda t: t["temperature"].zero_()), "temperature"),
    "a model": (other_config(kind="gone"), "kind"),
    "other version": (other_config(format_version=9), "format_version"),
    "no subject": (other_config(subject="gone"), "subject"),
    "verdict of its own": (other_config(verdict="perfect"), "verdict"),
    "head of its own": (other_config(head="tail"), "head"),
    "no class": (other_config(classes=[]), "classes"),
    "classes of numbers": (other_config(classes=[1, 2, 3]), "classes"),
    "class twice": (other_config(classes=["a", "a", "b"]), "classes"),
    "modality of its own": (other_config(modalities=["smell"]), "modalities"),
    "fusion of its own": (other_config(fusion={"variant": "magic"}), "fusion"),
    "fusion no object": (other_config(fusion=3), "fusion"),
    "truth in words": (other_config(is_simulated="yes"), "is_simulated"),
    "figure in words": (other_config(figures={"a": "b"}), "figures"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_folder_is_refused_in_a_line(checkpoint, tmp_path, name):
    damage, part = DAMAGES[name]
    save_profile(tmp_path, made(checkpoint))
    damage(tmp_path)
    error = refused(lambda: load_profile(tmp_path))
    assert (error.code, error.facts) == (ErrorCode.PROFILE, {"part": part})
    assert "\n" not in str(error)


def test_a_head_of_another_width_is_refused(checkpoint):
    fusion = FusionConfig(variant="linear", d_model=8)
    profile = replace(made(checkpoint), fusion=fusion, head=FUSIONS["linear"](fusion, 3).state_dict())
    assert refused(lambda: apply_profile(profile, checkpoint)).facts == {"part": "head"}
