"""Open ViT and AST weights: sizes and scaling from their own folder, and what is refused in one line."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers
from tiny_open_models import IMAGENET, TINY, save_ast, save_vit

from acquisition.errors import ErrorCode, InputError
from models.encoders.open_weights import folder_of
from models.encoders.transformer import AstEncoder, VitEncoder, open_ast, open_vit
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
def test_a_vit_sees_pixels_as_its_own_preprocessor_gives_them(tmp_path, preprocessor, expected):
    model = save_vit(tmp_path, preprocessor)
    encoder = VitEncoder(open_vit(str(tmp_path)))
    encoder.load_open_weights()
    pixels = torch.randint(0, 256, (2, 3, 24, 24)).float()
    with torch.no_grad():
        theirs = model(expected(pixels)).last_hidden_state[:, 0]
        ours = encoder.eval()((pixels / 255 - 0.5) / 0.5)
    assert (ours - theirs).abs().max() < 1e-4


@pytest.mark.parametrize("settings", [{}, {"mean": -6.8, "std": 5.5}, {"do_normalize": False}])
def test_an_ast_hears_frames_as_its_own_extractor_gives_them(tmp_path, settings):
    extractor = transformers.ASTFeatureExtractor(num_mel_bins=64, max_length=498, **settings)
    extractor.save_pretrained(tmp_path)
    model = save_ast(tmp_path)
    encoder = AstEncoder(open_ast(str(tmp_path)))
    encoder.load_open_weights()
    wave = np.random.default_rng(0).normal(0, 0.1, 80_000).astype(np.float32)  # 5 s
    theirs_in = torch.from_numpy(
        np.asarray(extractor(wave, sampling_rate=16000)["input_values"], dtype=np.float32)
    )
    ours_in = log_mel(torch.from_numpy(wave), FeatureConfig(n_mels=64))[None]
    with torch.no_grad():
        theirs = model(theirs_in).last_hidden_state[:, 2:]
        ours, mask, _ = encoder.eval()(ours_in, torch.ones(1, 498, dtype=torch.bool))
    n_columns = ours.shape[1]
    assert mask.all()
    assert (ours - theirs.unflatten(1, (-1, n_columns)).mean(dim=1)).abs().max() < 1e-3


def test_sizes_are_those_of_the_folder(tmp_path):
    save_vit(tmp_path / "vit", hidden_dropout_prob=0.1)
    save_ast(tmp_path / "ast", time_stride=12, frequency_stride=11)
    face, voice = open_vit(str(tmp_path / "vit")), open_ast(str(tmp_path / "ast"))
    assert (face.width, face.n_layers, face.n_heads, face.ffn_dim) == (16, 2, 2, 32)
    assert (face.image_size, face.patch_size, face.pooling, face.dropout) == (24, 8, "cls", 0.1)
    assert (face.stem, face.token_norm) == ("patch", "none")
    assert (voice.width, voice.n_mels, voice.max_frames) == (16, 64, 498)
    assert (voice.time_stride, voice.frequency_stride) == (12, 11)
    assert face.source == str(tmp_path / "vit")


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"model_type": "bert"}, "model_type"),
        ({"model_type": None}, "model_type"),
        ({"hidden_act": "relu"}, "hidden_act"),
        ({"layer_norm_eps": 1e-5}, "layer_norm_eps"),
        ({"num_channels": 1}, "num_channels"),
        ({"patch_size": [8, 4]}, "patch_size"),
        ({"patch_size": 48}, "patch_size"),
        ({"hidden_size": "wide"}, ""),
        ({"hidden_size": 0}, "hidden_size"),
        ({"num_attention_heads": 3}, "num_attention_heads"),
    ],
)
def test_a_vit_that_is_none_or_is_not_built_here_is_refused(tmp_path, changes, setting):
    save_vit(tmp_path)
    change_config(tmp_path, **changes)
    with pytest.raises(InputError) as caught:
        open_vit(str(tmp_path))
    assert caught.value.code == ErrorCode.MODEL
    assert caught.value.facts == {"file": "config.json", "setting": setting}
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("changes", "preprocessor", "setting"),
    [
        ({"model_type": "vit"}, {}, "model_type"),
        ({"num_mel_bins": 8}, {}, "num_mel_bins"),
        ({"time_stride": 0}, {}, "time_stride"),
        ({}, {"sampling_rate": 8000}, "sampling_rate"),
        ({}, {"num_mel_bins": 128}, "num_mel_bins"),
        ({}, {"std": 0}, "std"),
        ({}, {"mean": "loud"}, "mean"),
    ],
)
def test_an_ast_of_another_sound_is_refused(tmp_path, changes, preprocessor, setting):
    save_ast(tmp_path, preprocessor)
    change_config(tmp_path, **changes)
    with pytest.raises(InputError) as caught:
        open_ast(str(tmp_path))
    assert caught.value.facts["setting"] == setting


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 32}, r"by config.json, found \("),
        ({"num_hidden_layers": 3}, "16 tensors missing, e.g. layers.2."),
        ({"num_hidden_layers": 1}, "16 tensors more than config.json has, e.g. vit.layers.1."),
    ],
)
def test_weights_of_other_sizes_than_their_config_are_refused(tmp_path, changes, message):
    save_vit(tmp_path)
    change_config(tmp_path, **changes)
    encoder = VitEncoder(open_vit(str(tmp_path)))
    with pytest.raises(InputError, match=message):
        encoder.load_open_weights()


def test_another_models_weights_are_not_taken_for_a_vits(tmp_path):
    save_vit(tmp_path)
    settings = (tmp_path / "config.json").read_text()
    bert = transformers.BertConfig(**TINY, vocab_size=10)
    transformers.BertModel(bert).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(settings)
    with pytest.raises(InputError, check=is_of_model):
        VitEncoder(open_vit(str(tmp_path))).load_open_weights()


def test_damaged_weights_and_files_are_one_line(tmp_path, capfd):
    save_vit(tmp_path, {"image_mean": [0.5, 0.5]})
    with pytest.raises(InputError, match="image_mean: expected 3 numbers"):  # the wording of this family
        open_vit(str(tmp_path))
    (tmp_path / "preprocessor_config.json").unlink()
    config, path = open_vit(str(tmp_path)), tmp_path / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, check=is_of_model):
        VitEncoder(config).load_open_weights()
    path.unlink()
    with pytest.raises(InputError, check=is_of_model):
        VitEncoder(config).load_open_weights()
    for text in ("{", "[" * 100_000):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(InputError, check=is_of_model):
            open_vit(str(tmp_path))
    (tmp_path / "config.json").unlink()
    with pytest.raises(InputError, check=is_of_model):
        open_vit(str(tmp_path))
    assert "LOAD REPORT" not in "".join(capfd.readouterr())


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    model = save_vit(tmp_path)
    with torch.no_grad():
        model.layernorm.weight[0] = torch.nan
    model.save_pretrained(tmp_path)
    with pytest.raises(InputError, check=is_of_model):
        VitEncoder(open_vit(str(tmp_path))).load_open_weights()


def test_a_path_that_is_not_there_never_reaches_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").mkdir()
    for missing in ("vit", "weights/vit", "./owner/vit", str(tmp_path / "vit"), "a/b/c", "a/b@", "a@b"):
        with pytest.raises(InputError, check=is_of_model):
            folder_of(missing)


def test_a_hub_name_without_a_network_is_one_line(tmp_path):
    code = """
from acquisition.errors import ErrorCode, InputError
from models.encoders.open_weights import folder_of
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
    save_vit(kept / "snapshots" / older)
    save_vit(kept / "snapshots" / newer, image_size=32)
    code = """
from models.encoders.transformer import VitEncoder, open_vit
for source in ("owner/vit", "owner/vit@main", "owner/vit@" + "0" * 40):
    config = open_vit(source)
    VitEncoder(config).load_open_weights()
    print(config.source, config.image_size)
"""
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:1", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=nowhere, capture_output=True, text=True, timeout=60
    )
    found = [f"owner/vit@{newer} 32", f"owner/vit@{newer} 32", f"owner/vit@{older} 24"]
    assert done.stdout.splitlines() == found, done.stderr


def test_a_folder_is_named_as_it_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_vit(tmp_path / "owner" / "vit")
    assert open_vit("owner/vit").source == "owner/vit"
