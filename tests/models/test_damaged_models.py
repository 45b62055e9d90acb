"""What a model folder or a profile may hold of evidence, answers and levels, and what is refused."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from profiles import changed_tensors, eye_discriminant, model_with_evidence
from refused import refused

from acquisition.errors import ErrorCode, InputError
from models.checkpoint import load_checkpoint, read_discriminant, save_checkpoint
from models.config import AnswerConfig, EvidenceConfig
from models.level import Evidence, SignalRange
from models.mixed_discriminant import LabelledTrial, MixedDiscriminant

BAD_NUMBERS = (math.nan, math.inf, -1.0, 1e300)


@pytest.fixture(scope="module")
def stored():
    """Return tensors and settings of a discriminant with own trials, as a model's files hold them."""
    own = LabelledTrial("", 1, 2, {"eye": np.random.default_rng(1).normal(size=(4, 33))})
    state, settings = eye_discriminant(3).update([own]).state()
    signals = SignalRange({"eye": np.full(33, 0.02, np.float32)}, {"eye": (-1.0, 1.0, 2.0)})
    tensors = {f"discriminant.{name}": tensor for name, tensor in state.items()}
    tensors["steps.eye"] = torch.from_numpy(signals.steps["eye"])
    return tensors, settings | {"signal_bounds": signals.stated_bounds()}


@pytest.fixture(scope="module")
def linear():
    """Return those of a linear SVM."""
    rng = np.random.default_rng(2)
    trials = [LabelledTrial("", 1, n % 2, {"eye": rng.normal(n % 2, 1.0, (4, 33))}) for n in range(6)]
    state, settings = MixedDiscriminant.linear(trials, 2).state()
    tensors = {f"discriminant.{name}": tensor for name, tensor in state.items()}
    return tensors, settings | {"signal_bounds": {}}


@pytest.mark.parametrize("wrong", [None, math.nan, (2, 33)])
def test_planes_that_are_missing_cut_or_nan_are_refused(linear, wrong):
    tensors, settings = linear
    assert read_discriminant(*linear)[0].part("eye").planes.shape == (2, 34)
    name = "discriminant.eye.planes"
    changed = {k: v for k, v in tensors.items() if k != name}
    if wrong is not None:
        changed[name] = tensors[name][:, :-1] if wrong == (2, 33) else torch.full_like(tensors[name], wrong)
    assert refused(lambda: read_discriminant(changed, settings)).code == ErrorCode.DATA


def test_what_is_stored_whole_is_read(stored):
    discriminant, signals = read_discriminant(*stored)
    assert (discriminant.modalities, signals.bounds) == (("eye",), {"eye": (-1.0, 1.0, 2.0)})


def test_no_tensor_may_be_missing_cut_or_nan(stored):
    tensors, settings = stored
    for name, tensor in tensors.items():
        damaged = [tensor[..., :-1], tensor[None]] + ([] if name == "steps.eye" else [None])
        if tensor.is_floating_point() and name != "steps.eye":
            damaged.append(torch.full_like(tensor, math.nan))
        for other in damaged:
            changed = {k: v for k, v in {**tensors, name: other}.items() if v is not None}
            error = refused(lambda changed=changed: read_discriminant(changed, settings))
            assert error.code == ErrorCode.DATA, (name, other)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("eye.directions.between", -1.0),
        ("eye.directions.between", 0.0),
        ("eye.directions.within", -1.0),
        ("eye.directions.basis", 0.0),
        ("eye.size", -1.0),
        ("eye.shared.mean", 1e30),
        ("eye.own.count", 0.0),
        ("eye.own.label", 3),
        ("eye.own.noise", -1.0),
        ("eye.level.kappa", -1.0),
        ("eye.gain", 0.0),
        ("eye.gains.group", 5),
        ("eye.used", False),
    ],
)
def test_numbers_that_nothing_can_be_computed_with_are_refused(stored, name, value):
    tensors, settings = stored
    name = f"discriminant.{name}"
    changed = {**tensors, name: torch.full_like(tensors[name], value)}
    assert refused(lambda: read_discriminant(changed, settings)).code == ErrorCode.DATA


@pytest.mark.parametrize("change", ["negative", "asymmetric"])
def test_a_covariance_that_is_none_is_refused(stored, change):
    tensors, settings = stored
    covariance = torch.eye(3).repeat(33, 1, 1)
    covariance[5] = (
        -torch.eye(3) if change == "negative" else torch.tensor([[1.0, 1, 0], [0, 1, 0], [0, 0, 1]])
    )
    changed = {**tensors, "discriminant.eye.shared.covariance": covariance}
    assert refused(lambda: read_discriminant(changed, settings)).code == ErrorCode.DATA


@pytest.mark.parametrize(
    "path",
    [
        ("n_labels",),
        ("session",),
        ("level_trials",),
        ("modalities",),
        ("signal_bounds",),
        ("modalities", "eye"),
        ("modalities", "eye", "course"),
        ("modalities", "eye", "course", "rho"),
        ("modalities", "eye", "shared"),
        ("modalities", "eye", "mark"),
        ("signal_bounds", "eye"),
    ],
)
def test_no_setting_may_be_missing_or_of_another_kind(stored, path):
    tensors, settings = stored
    for value in (None, "x", [], -1, math.nan, {}):
        changed = json.loads(json.dumps(settings))
        inner = changed
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        if path == ("session",) and value == -1:
            continue
        if path == ("signal_bounds",) and value == {}:
            continue  # nothing is known of the signals
        error = refused(lambda changed=changed: read_discriminant(tensors, changed))
        assert error.code == ErrorCode.DATA, value


def test_bounds_out_of_order_are_refused(stored):
    tensors, settings = stored
    for three in ([1.0, -1.0, 2.0], [-1.0, 1.0, 0.0], [math.nan, 1.0, 2.0], [-1.0, 1.0]):
        bounds = {"signal_bounds": {"eye": three}}
        assert refused(lambda bounds=bounds: read_discriminant(tensors, settings | bounds))


@pytest.mark.parametrize("name", [f for f, v in asdict(EvidenceConfig()).items() if f != "profile_weights"])
def test_evidence_is_weighed_by_numbers_that_mean_something(name):
    value = getattr(EvidenceConfig(), name)
    wrong = (
        [*BAD_NUMBERS]
        if isinstance(value, float)
        else [value[1:], (*value[:3], -1.0), (*value[:3], math.nan)]
    )
    for other in wrong:
        error = refused(lambda other=other: replace(EvidenceConfig(), **{name: other}))
        assert error.facts == {"setting": f"evidence.{name}"}, other
    if name in ("max_trials", "level_temperature", "average_s", "trial_s"):
        assert refused(lambda: replace(EvidenceConfig(), **{name: 0.0}))
    assert refused(lambda: EvidenceConfig(profile_weights=(1.0, 1.0)))


@pytest.mark.parametrize("name", ["set_90", "set_80", "abstain_below", "error", "temperature", "n_trials"])
def test_answers_are_fitted_figures(name):
    whole = AnswerConfig(0.9, 0.8, 0.5, 0.1, 0.9, 0.05, 3, 30)
    for value in (math.nan, -1, *([] if name == "n_trials" else [1e300])):
        error = refused(lambda value=value: replace(whole, **{name: value}))
        assert error.facts == {"setting": f"answers.{name}"}


@pytest.fixture(scope="module")
def with_evidence(random_model, tmp_path_factory):
    """Return the folder of a model with a discriminant beside its network."""
    return model_with_evidence(random_model, tmp_path_factory.mktemp("evidence"))


def changed_config(text):
    def change(folder):
        data = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(text(data))

    return change


def without_bounds(data):
    return json.dumps(data | {"discriminant": data["discriminant"] | {"signal_bounds": 3}})


def cut(tensors):
    tensors["normaliser.eeg_mean"] = tensors["normaliser.eeg_mean"][1:].clone()


def linked_out(folder):
    other = folder.with_suffix(".elsewhere")
    (folder / "model.safetensors").rename(other)
    (folder / "model.safetensors").symlink_to(other)


def fifo(folder):
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")


def endless(folder):
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to("/dev/zero")


DAMAGES = {
    "link out of the folder": linked_out,
    "FIFO": fifo,
    "device": endless,
    "50 GB": lambda folder: os.truncate(folder / "model.safetensors", 50 * 2**30),
    "no discriminant": changed_config(lambda d: json.dumps(d | {"discriminant": None})),
    "no bounds": changed_config(without_bounds),
    "NaN weight": changed_config(lambda d: json.dumps(d | {"evidence": {"network_weight": math.nan}})),
    "number without end": changed_config(lambda d: json.dumps(d).replace("0.25", "1" + "0" * 400, 1)),
    "infinity": changed_config(lambda d: json.dumps(d).replace("0.25", "1e999", 1)),
    "deep nesting": changed_config(lambda d: "[" * 100_000),
    "NaN mean": changed_tensors(lambda t: t["discriminant.eye.shared.mean"].fill_(math.nan)),
    "scale 0": changed_tensors(lambda t: t["normaliser.eeg_sd"].zero_()),
    "NaN scale": changed_tensors(lambda t: t["normaliser.eye_mean"].fill_(math.nan)),
    "scale cut": changed_tensors(cut),
    "half a scale": changed_tensors(lambda t: t.pop("normaliser.eeg_sd")),
    "other weights": changed_tensors(lambda t: t["normaliser.eye_mean"].add_(0.01)),
    "no steps": changed_tensors(lambda t: t.update({"steps.eye": torch.zeros(7)})),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_model_is_refused_in_a_line(with_evidence, tmp_path, name):
    for file in ("config.json", "model.safetensors"):
        (tmp_path / file).write_bytes((with_evidence / file).read_bytes())
    DAMAGES[name](tmp_path)
    error = refused(lambda: load_checkpoint(tmp_path))
    assert error.code == ErrorCode.MODEL
    assert str(tmp_path) in error.where
    assert error.remedy
    assert "\n" not in str(error)


def test_a_discriminant_of_other_labels_than_the_model_is_refused(random_model, tmp_path):
    base = load_checkpoint(random_model)
    config = replace(base.config, evidence=EvidenceConfig())
    evidence = Evidence(eye_discriminant(2), SignalRange({}), config.evidence)
    save_checkpoint(tmp_path, config, base.network, base.normaliser_tensors, "card", evidence)
    with pytest.raises(InputError) as caught:
        load_checkpoint(tmp_path)
    assert caught.value.code == ErrorCode.MODEL
