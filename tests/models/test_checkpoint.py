"""Model folders: what is written comes back to the bit, what is broken is refused in one line."""

import json
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from acquisition.errors import ErrorCode, InputError
from models.checkpoint import load_checkpoint, save_checkpoint
from models.config import AnswerConfig, AstConfig, ModelConfig, VitConfig, preset
from models.network import FusionNetwork


@pytest.fixture(scope="module")
def config() -> ModelConfig:
    config = preset(
        "small", labels=("sad", "happy"), ch_names=("FZ", "CZ", "PZ"), trained_on="simulated data only"
    )
    tiny = {"width": 16, "n_layers": 1, "n_heads": 2, "ffn_dim": 16}
    sizes = replace(config.network, face=VitConfig(**tiny, image_size=112), voice=AstConfig(**tiny))
    return replace(config, network=sizes)


@pytest.fixture
def folder(tmp_path, config):
    torch.manual_seed(0)
    save_checkpoint(tmp_path, config, FusionNetwork(config), {"eeg.mean": torch.randn(3, 5)}, "# Card\n")
    return tmp_path


def test_round_trip_is_equal_to_the_bit(tmp_path, config):
    network = FusionNetwork(config)
    digest = save_checkpoint(tmp_path / "model", config, network, {"eye.low": torch.arange(33.0)}, "# Card\n")
    loaded = load_checkpoint(tmp_path / "model")
    assert loaded.config == config
    assert loaded.sha256 == digest
    assert loaded.normaliser_tensors.keys() == {"eye.low"}
    assert torch.equal(loaded.normaliser_tensors["eye.low"], torch.arange(33.0))
    own, theirs = network.state_dict(), loaded.network.state_dict()
    assert own.keys() == theirs.keys()
    assert all(torch.equal(own[name], theirs[name]) for name in own)
    assert not loaded.network.training


def test_answers_come_back_and_a_config_of_before_them_has_none(config):
    answers = AnswerConfig(0.85, 0.7, 0.55, 0.2, 0.6, 0.04, 12, 120, temperature=1.3)
    data = json.loads(json.dumps(replace(config, answers=answers).to_dict()))
    assert ModelConfig.from_dict(data).answers == answers
    assert ModelConfig.from_dict(data).profile_answers is None
    assert ModelConfig.from_dict({k: v for k, v in data.items() if "answers" not in k}).answers is None


def test_saving_again_writes_the_same_bytes(folder):
    first = load_checkpoint(folder)
    again = save_checkpoint(
        folder / "again", first.config, first.network, first.normaliser_tensors, "# Card\n"
    )
    assert again == first.sha256


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(InputError) as caught:
        load_checkpoint(folder)
    assert (caught.value.code, caught.value.where) == (ErrorCode.MODEL, str(folder / name))


@pytest.mark.parametrize("keep", [0, 7, 5000])
def test_cut_weights_are_refused(folder, keep):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError) as caught:
        load_checkpoint(folder)
    assert (caught.value.code, caught.value.where) == (ErrorCode.MODEL, str(path))


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff\xfe", b"null", b"[" * 100_000])
def test_broken_config_is_refused(folder, content):
    (folder / "config.json").write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_checkpoint(folder)
    assert (caught.value.code, caught.value.where) == (ErrorCode.MODEL, str(folder / "config.json"))


def test_weights_of_a_network_that_is_larger_are_refused_before_it_is_built(folder):
    change_config(folder, ("network", "face", "ffn_dim"), 1 << 13)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match="face"):
        load_checkpoint(folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


@pytest.mark.parametrize(
    ("path", "value", "setting"),
    [
        (("format_version",), 99, "format_version"),
        (("labels",), "sad", "labels"),
        (("labels",), ["sad", "sad"], "labels"),
        (("extra",), 1, "extra"),
        (("network", "eeg", "dim"), "wide", "dim"),
        (("network", "eeg", "width"), 3, "width"),
        (("network", "eeg"), 3, "eeg"),
        (("network", "n_eye_features"), 31, "n_eye_features"),
        (("network", "eeg", "in_features"), 4, "in_features"),
        (("network", "face", "image_size"), 96, "image_size"),
        (("network", "eeg", "n_layers"), 10**9, "network.eeg.n_layers"),
        (("network", "voice", "width"), 10**9, "network.voice.width"),
        (("network", "fusion", "d_model"), -1, "network.fusion.d_model"),
        (("network", "fusion", "dropout"), 7.0, "network.fusion.dropout"),
        (("windows", "pupil_s"), 12.0, "pupil_s"),
        (("windows", "eeg_shift_s"), 0.5, "eeg_shift_s"),
        (("windows", "max_gap_s"), 0.2, "max_gap_s"),
        (("features",), 3, "features"),
        (("features", "colour"), 3, "features"),
        (("ch_names",), [], "ch_names"),
    ],
)
def test_changed_config_is_refused(folder, path, value, setting):
    change_config(folder, path, value)
    with pytest.raises(InputError) as caught:
        load_checkpoint(folder)
    assert (caught.value.code, caught.value.facts["setting"]) == (ErrorCode.MODEL, setting)


def test_a_refusal_says_what_was_expected_and_what_was_found(folder):
    change_config(folder, ("network", "n_eye_features"), 31)
    with pytest.raises(InputError, match=r"n_eye_features: expected 33 like eye_features of .*, got 31"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("windows", "hop_s"), 0.3),
        (("windows", "hop_s"), 0.0),
        (("network", "fusion", "d_model"), 32),  # not that of the weights
    ],
)
def test_a_config_of_another_model_is_refused(folder, path, value):
    change_config(folder, path, value)
    with pytest.raises(InputError):
        load_checkpoint(folder)


def change_config(folder, path, value):
    file = folder / "config.json"
    data = json.loads(file.read_text())
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    file.write_text(json.dumps(data))


@pytest.mark.parametrize("fault", ["missing", "unknown", "shape", "dtype", "nan"])
def test_weights_that_do_not_fit_are_refused(folder, fault):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    name = "network.heads.eeg.weight"
    if fault == "missing":
        del tensors[name]
    elif fault == "unknown":
        tensors["network.other"] = torch.zeros(1)
    elif fault == "shape":
        tensors[name] = tensors[name][:1].clone()
    elif fault == "dtype":
        tensors[name] = tensors[name].half()
    else:
        tensors[name][0, 0] = float("nan")
    save_file(tensors, path)
    with pytest.raises(InputError) as caught:
        load_checkpoint(folder)
    assert (caught.value.code, caught.value.where) == (ErrorCode.MODEL, str(path))


def test_feature_settings_changed_after_training_are_refused(folder):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["features"]["bands"][0][1] = 2.0
    path.write_text(json.dumps(config))
    with pytest.raises(InputError) as caught:
        load_checkpoint(folder)
    assert caught.value.facts == {"setting": "features"}


@pytest.mark.slow
def test_a_model_is_read_without_the_compiler_of_torch() -> None:
    code = (
        "import sys, models.checkpoint as c; c.load_checkpoint('assets/models/small-simulated'); "
        "sys.exit(bool({'torch._dynamo', 'sympy'} & set(sys.modules)))"
    )
    project = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=project, check=False).returncode == 0
