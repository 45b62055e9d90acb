"""Profiles: their files, what is refused, and that the ordinary decoder runs them."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from profiles import changed_tensors, noise_discriminant, noise_profile
from refused import refused

from acquisition.errors import ErrorCode, InputError
from acquisition.simulator.source import SimulatedSource, SimulatorOptions
from acquisition.types import Kind, StreamSpec
from app.pipeline import Pipeline
from calibration.profile import (
    apply_profile,
    features_sha256,
    load_profile,
    save_profile,
)
from calibration.profile_summary import ProfileSummary, read_summary
from calibration.verdict import VerdictCode
from models.checkpoint import load_checkpoint
from models.config import AnswerConfig
from models.decoder import Decoder

CLASSES = ("happy", "sad", "bored")  # others than the base model's, and fewer


@pytest.fixture(scope="module")
def checkpoint(random_model):
    return load_checkpoint(random_model)


def ch_names():
    """Return the channels of the simulated cap."""
    source = SimulatedSource(SimulatorOptions(seed=5, streams=("eeg",)))
    return next(event.spec.ch_names for event in source.read(0.0) if getattr(event, "spec", None))


def made(checkpoint, *, classes=CLASSES, **changes):
    """Return a profile of noise."""
    known = [name for name in ch_names() if name in checkpoint.config.ch_names]
    values = {
        "subject": "S01",
        "classes": classes,
        "modalities": ("eeg", "eye", "face", "voice"),
        "ch_names": tuple(known),
        "head": "discriminant",
        "verdict": VerdictCode.WEAK,
        "words": "Better than guessing.",
        "figures": {"balanced_accuracy": 0.6, "trials": 10, "p_permutation": None},
        "base_name": "random",
        "base_sha256": checkpoint.sha256,
        "features_sha256": features_sha256(checkpoint.config),
        "date": "2025-01-02T03:04:05Z",
        "is_simulated": True,
    }
    temperature = changes.pop("temperature", 1.0)
    return noise_profile(ProfileSummary(**(values | changes)), temperature)


def decoded(checkpoint, streams=("eeg", "gaze", "video", "audio"), until=6):
    decoder = Decoder(checkpoint)
    pipeline = Pipeline(SimulatedSource(SimulatorOptions(seed=5, streams=streams)), decoder, live=False)
    return [p for hop in range(1, 4 * until + 1) for p in pipeline.step(hop / 4)]


def test_it_survives_its_folder(checkpoint, tmp_path):
    profile = made(checkpoint, temperature=1.7)
    sha256 = save_profile(tmp_path / "profile", profile)
    read = load_profile(tmp_path / "profile")
    assert read.summary == profile.summary == read_summary(tmp_path / "profile")
    assert read.temperature == 1.7
    assert read.sha256 == sha256
    assert all(np.array_equal(read.level[m], profile.level[m]) for m in profile.level)
    (one, of_one), (two, of_two) = read.discriminant.state(), profile.discriminant.state()
    assert of_one == of_two
    assert all(torch.equal(one[name], two[name]) for name in two)
    assert sorted(path.name for path in (tmp_path / "profile").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]


def test_bounds_that_a_signal_does_not_have_survive_its_folder(checkpoint, tmp_path):
    bounds = {
        "eeg": (-0.5, 0.25, 1.5),
        "voice": (-math.inf, math.inf, 0.75),
    }  # one voice step has no variance
    profile = made(checkpoint)
    save_profile(tmp_path, replace(profile, range=replace(profile.range, bounds=bounds)))
    assert load_profile(tmp_path).range.bounds == bounds
    assert "Infinity" not in (tmp_path / "config.json").read_text()


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


def test_the_ordinary_decoder_gives_its_labels(checkpoint):
    newest = decoded(apply_profile(made(checkpoint), checkpoint))[-1]
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
    profile = made(checkpoint, classes=labels, verdict=VerdictCode.NOT_DISTINGUISHABLE)
    save_profile(tmp_path, replace(profile, summary=replace(profile.summary, own_scores=own)))
    facts = apply_profile(load_profile(tmp_path), base).facts
    assert (facts.answers, facts.own_scores) == (others, own)
    assert (facts.has_profile, facts.is_guessing) == (True, True)
    assert apply_profile(made(checkpoint), base).facts.answers is None  # of other classes


def test_the_base_model_stays_as_it_was(checkpoint):
    before = {name: tensor.clone() for name, tensor in checkpoint.network.state_dict().items()}
    apply_profile(made(checkpoint, classes=checkpoint.config.labels), checkpoint)
    after = checkpoint.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_its_level_is_what_the_decoder_centres_on_from_the_first_window(checkpoint):
    decoder = Decoder(apply_profile(made(checkpoint), checkpoint))
    assert (decoder.normaliser.eeg.mean == 1.5).all()
    assert (decoder.normaliser.eye.mean == 0.4).all()


def test_temperature_divides_what_both_parts_say(checkpoint):
    cold, warm = (
        apply_profile(made(checkpoint, temperature=t), checkpoint).config.evidence for t in (1.0, 2.0)
    )
    assert warm.weights == tuple(weight / 2 for weight in cold.weights)
    assert warm.network_weight == cold.network_weight / 2
    assert warm.persistence == cold.persistence / 2


def test_a_modality_without_consent_is_masked(checkpoint):
    profile = made(checkpoint, modalities=("eeg", "eye"))
    newest = decoded(apply_profile(profile, checkpoint))[-1]
    assert newest.present == {"eeg": True, "eye": True, "face": False, "voice": False}
    assert newest.modality_attention["face"] == newest.modality_attention["voice"] == 0.0


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
    "part gone": (changed_tensors(lambda t: t.pop("discriminant.eeg.used")), "discriminant"),
    "NaN": (changed_tensors(lambda t: t["discriminant.eye.size"].fill_(np.nan)), "discriminant.eye.size"),
    "infinite level": (changed_tensors(lambda t: t["level.eye"].fill_(np.inf)), "level.eye"),
    "no temperature": (changed_tensors(lambda t: t.pop("temperature")), "temperature"),
    "temperature 0": (changed_tensors(lambda t: t["temperature"].zero_()), "temperature"),
    "other weights": (changed_tensors(lambda t: t["level.eye"].add_(0.01)), "model.safetensors"),
    "temperature 1e300": (changed_tensors(lambda t: t["temperature"].fill_(1e300)), "temperature"),
    "a model": (other_config(kind="gone"), "kind"),
    "other version": (other_config(format_version=9), "format_version"),
    "no subject": (other_config(subject="gone"), "subject"),
    "verdict of its own": (other_config(verdict="perfect"), "verdict"),
    "head of its own": (other_config(head="tail"), "head"),
    "no class": (other_config(classes=[]), "classes"),
    "classes of numbers": (other_config(classes=[1, 2, 3]), "classes"),
    "class twice": (other_config(classes=["a", "a", "b"]), "classes"),
    "modality of its own": (other_config(modalities=["smell"]), "modalities"),
    "discriminant no object": (other_config(discriminant=3), "discriminant"),
    "an older head": (other_config(format_version=1, head="linear"), "format_version"),
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


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda p: replace(p, level={**p.level, "eye": np.zeros(7)}), "level.eye"),
        (lambda p: replace(p, discriminant=noise_discriminant(2)), "discriminant"),
    ],
)
def test_other_features_or_labels_than_the_base_models_are_refused(checkpoint, change, part):
    profile = change(made(checkpoint))
    assert refused(lambda: apply_profile(profile, checkpoint)).facts == {"part": part}
