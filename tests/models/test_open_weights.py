"""Open weights: the scaling that their folder names, what is refused in one line, and names of the hub."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers
from tiny_open_models import IMAGENET, TINY, save_ast, save_vit

from acquisition.errors import ErrorCode, InputError
from models.encoders.open_classifier import (
    folder_of,
    import_transformers,
    log_mel_scaling,
    pinned,
    pixel_scaling,
    read_classifier,
)
from models.features.config import FeatureConfig
from models.features.log_mel import log_mel


def is_of_model(error: InputError) -> bool:
    return error.code == ErrorCode.MODEL


def change_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("preprocessor", "expected"),
    [
        (None, lambda pixels: (pixels / 255 - 0.5) / 0.5),
        (
            IMAGENET,
            lambda pixels: (
                (pixels / 255 - torch.tensor(IMAGENET["image_mean"]).view(3, 1, 1))
                / torch.tensor(IMAGENET["image_std"]).view(3, 1, 1)
            ),
        ),
        ({"do_normalize": False, "rescale_factor": 0.01}, lambda pixels: pixels * 0.01),
        ({"do_rescale": False, "image_mean": 100, "image_std": 50}, lambda pixels: (pixels - 100) / 50),
    ],
    ids=["none", "imagenet", "unnormalised", "unscaled"],
)
def test_pixels_are_scaled_as_the_folders_own_preprocessor_does(tmp_path, preprocessor, expected):
    save_vit(tmp_path, preprocessor)
    gain, offset = (torch.tensor(x).view(3, 1, 1) for x in pixel_scaling(str(tmp_path)))
    pixels = torch.randint(0, 256, (2, 3, 24, 24)).float()
    assert ((pixels / 255 - 0.5) / 0.5 * gain + offset - expected(pixels)).abs().max() < 1e-4


@pytest.mark.parametrize("settings", [{}, {"mean": -6.8, "std": 5.5}, {"do_normalize": False}])
def test_frames_are_scaled_as_the_folders_own_extractor_does(tmp_path, settings):
    extractor = transformers.ASTFeatureExtractor(num_mel_bins=64, max_length=498, **settings)
    extractor.save_pretrained(tmp_path)
    (gain,), (offset,) = log_mel_scaling(str(tmp_path))
    wave = np.random.default_rng(0).normal(0, 0.1, 80_000).astype(np.float32)  # 5 s
    theirs = torch.from_numpy(
        np.asarray(extractor(wave, sampling_rate=16000)["input_values"], dtype=np.float32)
    )
    ours = log_mel(torch.from_numpy(wave), FeatureConfig(n_mels=64))
    assert (ours * gain + offset - theirs[0]).abs().max() < 1e-2


@pytest.mark.parametrize(
    ("kind", "preprocessor", "setting"),
    [
        ("face", {"image_mean": [0.5, 0.5]}, "image_mean"),
        ("face", {"image_std": 0}, "image_std"),
        ("voice", {"sampling_rate": 8000}, "sampling_rate"),
        ("voice", {"std": 0}, "std"),
        ("voice", {"mean": "loud"}, "mean"),
    ],
)
def test_a_preprocessor_that_makes_no_sense_is_refused(tmp_path, kind, preprocessor, setting):
    (save_vit if kind == "face" else save_ast)(tmp_path, preprocessor)
    with pytest.raises(InputError) as caught:
        read_classifier(kind, str(tmp_path))
    assert caught.value.code == ErrorCode.MODEL
    assert caught.value.facts == {"file": "preprocessor_config.json", "setting": setting}
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "bert"},
        {"model_type": None},
        {"patch_size": 48},
        {"hidden_size": "wide"},
        {"hidden_size": 8},
        {"num_hidden_layers": 3},
        {"num_hidden_layers": 1},
        {"num_attention_heads": 3},
    ],
)
def test_sizes_that_are_not_those_of_the_weights_are_refused(tmp_path, changes):
    save_vit(tmp_path)
    change_config(tmp_path, **changes)
    with pytest.raises(InputError, check=is_of_model):
        read_classifier("face", str(tmp_path))


@pytest.mark.parametrize("setting", ["dtype", "torch_dtype"])
def test_a_classifier_published_in_half_precision_is_read_in_full(tmp_path, setting):
    save_vit(tmp_path)
    change_config(tmp_path, **{"dtype": None, setting: "float16"})
    tensors = read_classifier("face", str(tmp_path)).weights.tensors
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}


def test_another_models_weights_are_not_taken_for_a_vits(tmp_path):
    save_vit(tmp_path)
    settings = (tmp_path / "config.json").read_text()
    bert = transformers.BertConfig(**TINY, vocab_size=100)
    transformers.BertModel(bert).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(settings)
    with pytest.raises(InputError, check=is_of_model):
        read_classifier("face", str(tmp_path))


def test_damaged_weights_and_files_are_one_line(tmp_path, capfd):
    save_vit(tmp_path)
    path = tmp_path / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(InputError, check=is_of_model):
        read_classifier("face", str(tmp_path))
    path.unlink()
    with pytest.raises(InputError, check=is_of_model):
        read_classifier("face", str(tmp_path))
    for text in ("{", "[" * 100_000):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(InputError, check=is_of_model):
            read_classifier("face", str(tmp_path))
    (tmp_path / "config.json").unlink()
    with pytest.raises(InputError, check=is_of_model):
        read_classifier("face", str(tmp_path))
    assert "LOAD REPORT" not in "".join(capfd.readouterr())


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    model = save_vit(tmp_path)
    with torch.no_grad():
        model.layernorm.weight[0] = torch.nan
    classifier = transformers.ViTForImageClassification(model.config)
    classifier.vit.load_state_dict(model.state_dict())
    classifier.save_pretrained(tmp_path)
    with pytest.raises(InputError, check=is_of_model):
        read_classifier("face", str(tmp_path))


def test_a_path_that_is_not_there_never_reaches_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").mkdir()
    for missing in ("vit", "weights/vit", "./owner/vit", str(tmp_path / "vit"), "a/b/c", "a/b@", "a@b"):
        with pytest.raises(InputError, check=is_of_model):
            folder_of(missing)


def test_a_hub_name_without_a_network_is_one_line(tmp_path):
    code = """
from acquisition.errors import ErrorCode, InputError
from models.encoders.open_classifier import folder_of
try:
    folder_of("nobody/nothing")
except InputError as error:
    print(error)
"""
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:1", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=nowhere, capture_output=True, text=True, timeout=60
    )
    (line,) = done.stdout.splitlines()
    assert line.startswith("nobody/nothing: there is no such folder, and the hub does not give it: ")


def test_a_hub_name_that_was_downloaded_needs_no_network_and_keeps_its_commit(tmp_path):
    older, newer = "0" * 40, "1" * 40
    kept = tmp_path / "hub" / "models--owner--vit"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text(newer)
    for commit in (older, newer):
        (kept / "snapshots" / commit).mkdir(parents=True)
        (kept / "snapshots" / commit / "config.json").write_text("{}")
        (kept / "snapshots" / commit / "model.safetensors").write_bytes(b"")
    code = """
from models.encoders.open_classifier import pinned
for source in ("owner/vit", "owner/vit@main", "owner/vit@" + "0" * 40):
    print(pinned(source))
"""
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:1", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=nowhere, capture_output=True, text=True, timeout=60
    )
    found = [f"owner/vit@{newer}", f"owner/vit@{newer}", f"owner/vit@{older}"]
    assert done.stdout.splitlines() == found, done.stderr


def test_a_folder_is_named_as_it_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_vit(tmp_path / "owner" / "vit")
    assert pinned("owner/vit") == "owner/vit"


def test_published_classifiers_need_the_library_and_say_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InputError) as caught:
        import_transformers("here")
    assert caught.value.code == ErrorCode.INSTALLATION
