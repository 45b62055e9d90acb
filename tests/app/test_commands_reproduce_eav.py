"""reproduce eav with open weights on the command line: sizes, words, models that stand alone, refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from command_line import run

from app.replay import ReplaySession
from app.session_options import SessionOptions
from models.checkpoint import WEIGHTS_FILE, load_checkpoint
from models.datasets.eav import load_eav_clips
from models.datasets.make.eav import make_eav
from models.datasets.make.options import MakeOptions
from models.network import FusionNetwork
from models.training.eav_network import HEAD, EavNetwork
from models.training.reproduce_eav import EavJob, EavOptions, _Person

RECORDING = Path(__file__).parents[2] / "assets" / "recordings" / "simulated-30s.xdf"
TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def save_vit(folder: Path) -> None:
    config = transformers.ViTConfig(**TINY, image_size=24, patch_size=8)
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    preprocessor = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))


def save_ast(folder: Path, max_length: int = 512) -> None:
    config = transformers.ASTConfig(**TINY, num_mel_bins=64, time_stride=16, max_length=max_length)
    transformers.ASTForAudioClassification(config).save_pretrained(folder)


@pytest.fixture(scope="module")
def eav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set") / "eav"
    make_eav(MakeOptions(folder, subjects=1, seed=3, trials=20, trial_s=5, jobs=1))
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    save_vit(folder / "vit")
    save_ast(folder / "ast")
    return folder


def test_open_weights_are_taken_told_of_and_no_longer_needed(
    eav: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    mine = Path(shutil.copytree(weights, tmp_path / "weights"))
    out = tmp_path / "table"
    named = ("--face-weights", mine / "vit", "--voice-weights", mine / "ast")
    options = ("--table", "1", "--quick", "--keep-models", "--out", out)
    code, printed, err = run(capsys, "reproduce", "eav", eav, *options, *named)
    assert code == 0, err
    assert "LOAD REPORT" not in err
    for words in (printed, (out / "table.md").read_text()):
        assert f"The ViT begins with the weights of {mine / 'vit'} (2 layers of width 16)" in words
        assert "Its head trains first, 4 epochs at a learning rate of up to 5e-4" in words
        assert "then both, 6 epochs at up to 5e-6, in batches of 8; the paper's code has 10 and 15" in words
        assert "at random" not in words
    model = out / "models" / "sub-1"
    card = (model / "README.md").read_text()
    begun = f"ViT from {mine / 'vit'}, AST from {mine / 'ast'}"
    assert f"**Before training:** {begun}; all else at random" in card
    assert "its head trains first while it is frozen" in card
    assert "that of the open weights" in card
    shutil.rmtree(mine)
    config = load_checkpoint(model).config
    assert (config.features.face_size, config.features.n_mels) == (24, 64)
    assert (config.network.face.source, config.network.voice.source) == (
        str(mine / "vit"), str(mine / "ast")
    )  # fmt: skip
    assert config.trained_on.endswith(f"; open weights: {begun}")
    predictions = []

    class Keep:
        def write(self, prediction):
            predictions.append(prediction)

        def close(self):
            pass

    session = ReplaySession(RECORDING, SessionOptions(model=model, extra_sinks=(Keep(),)))
    session.run(lambda share: None)
    assert {m for m, there in predictions[-1].present.items() if there} == {"eeg", "face", "voice"}


def person_with(eav: Path, weights: Path) -> _Person:
    network = EavNetwork(face_weights=str(weights / "vit"), voice_weights=str(weights / "ast"))
    clips = tuple(load_eav_clips(eav, left_out=[]))
    return _Person(EavJob("1", clips, EavOptions(eav, quick=True, network=network)))


def test_training_begins_with_them(eav: Path, weights: Path):
    person = person_with(eav, weights)
    vit = transformers.ViTModel.from_pretrained(weights / "vit", add_pooling_layer=False).state_dict()
    ours = person._network.face.model.state_dict()
    folded = "embeddings.patch_embeddings.projection"  # takes the preprocessor's scaling
    assert all(torch.equal(ours[name], vit[name]) for name in vit if not name.startswith(folded))
    ast = transformers.ASTModel.from_pretrained(weights / "ast").state_dict()
    ours = person._network.voice.model.state_dict()
    assert all(torch.allclose(ours[name], ast[name], atol=1e-6) for name in ast)


def parameters(person: _Person, modality: str) -> list[torch.Tensor]:
    """Return copies of the encoder's parameters and of its head's, each in a row."""
    modules = getattr(person._network, modality), person._network.heads[modality]
    return [torch.cat([p.detach().flatten() for p in module.parameters()]) for module in modules]


@pytest.mark.parametrize("modality", ["face", "voice"])
def test_an_encoder_with_them_is_frozen_while_its_head_begins(eav: Path, weights: Path, modality: str):
    person = person_with(eav, weights)
    encoder, head = parameters(person, modality)
    person._train_head(modality, person._options.stages()[modality + HEAD])
    assert torch.equal(parameters(person, modality)[0], encoder)
    assert not torch.equal(parameters(person, modality)[1], head)


@pytest.mark.parametrize("modality", ["face", "voice"])
def test_in_all_the_head_moves_far_and_an_encoder_with_them_a_little(eav: Path, weights: Path, modality: str):
    person = person_with(eav, weights)
    before = parameters(person, modality)
    person._train_alone(modality)
    encoder, head = (
        (now - was).abs().max() for now, was in zip(parameters(person, modality), before, strict=True)
    )
    assert 0 < encoder < 5e-5
    assert head > 5e-4


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (
            EavNetwork(),
            "The paper's ViT and AST are of base size with open weights; here they are small, unless "
            "--preset paper is given, and begin at random, without --face-weights and --voice-weights.",
        ),
        (
            EavNetwork("paper"),
            "The paper's ViT and AST are of base size with open weights; here they are of that size and "
            "begin at random, without --face-weights and --voice-weights.",
        ),
    ],
)
def test_what_differs_follows_the_options(network: EavNetwork, expected: str):
    assert network.differs(EavOptions(Path(), network=network).stages()) == (expected,)


def test_one_encoder_with_weights_leaves_the_other_as_the_preset_has_it(weights: Path):
    network = EavNetwork(voice_weights=str(weights / "ast"))
    stages = EavOptions(Path(), network=network).stages()
    assert set(stages) == {"eeg", "face", "voice, head", "voice", "fusion"}
    assert (stages["face"].learning_rate, stages["voice"].learning_rate) == (5e-4, 5e-6)
    first, second, *_ = network.differs(stages)
    assert first.startswith("The paper's ViT is of base size with open weights; here it is small")
    assert second.startswith("The AST begins with the weights of ")
    config = network.config()
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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("eav", "--epochs", "3"), "--epochs: each stage of EAV's training has its own number of epochs"),
        (("eav", "--pretrain-epochs", "3"), "--pretrain-epochs: nothing is pre-trained for EAV"),
        (("eav", "--model", "m"), "--model: EAV's encoders take no pre-trained model"),
        (("eav", "--freeze"), "--freeze: EAV's encoders are always trained alone first"),
        (("eav", "--device", "tpu"), "--device: expected auto, cpu or cuda, got 'tpu'"),
        (("seed-iv", "--preset", "small"), "--preset: SEED's tables have neither face nor voice"),
        (("seed-v", "--face-weights", "w"), "--face-weights: SEED's tables have neither face nor voice"),
        (("seed-v", "--voice-weights", "w"), "--voice-weights: SEED's tables have neither face nor voice"),
        (("eav", "--face-weights", "nowhere"), "nowhere: expected a folder, found none"),
        (("eav", "--face-weights", ""), "--face-weights: expected a folder or a hub name, got nothing"),
    ],
)
def test_options_of_the_other_data_set_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
):
    data_set, *options = words
    given = ("--table", "1", "--out", tmp_path / "out", *options)
    code, _, err = run(capsys, "reproduce", data_set, tmp_path, *given)
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize("shared", [("--jobs", "2"), ("--dask", "tcp://127.0.0.1:1")])
def test_processes_do_not_share_a_gpu(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], shared: tuple[str, ...]
):
    given = ("--table", "1", "--out", tmp_path / "out", "--device", "cuda", *shared)
    code, _, err = run(capsys, "reproduce", "eav", tmp_path, *given)
    assert code == 2
    assert "--device cuda: EAV's people train one after another on a GPU" in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_gpu_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    given = ("--table", "1", "--out", tmp_path / "out", "--device", "cuda")
    code, _, err = run(capsys, "reproduce", "eav", tmp_path, *given)
    assert code == 2
    assert "--device cuda: no CUDA device is available" in err
    assert len(err.strip().splitlines()) == 1


def test_without_a_device_people_train_on_the_cpu(
    eav: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    given = ("--table", "1", "--quick", "--keep-models", "--json")
    tables, weights = [], []
    for name, options in (("without", ()), ("with", ("--device", "cpu"))):
        code, printed, err = run(capsys, "reproduce", "eav", eav, *given, "--out", tmp_path / name, *options)
        assert code == 0, err
        tables.append(json.loads(printed))
        weights.append((tmp_path / name / "models" / "sub-1" / WEIGHTS_FILE).read_bytes())
    assert tables[0] == tables[1]
    assert weights[0] == weights[1]


def test_weights_that_do_not_serve_are_one_line(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    bert = transformers.BertModel(transformers.BertConfig(**TINY, vocab_size=10))
    bert.save_pretrained(tmp_path / "bert")
    save_ast(tmp_path / "short", max_length=128)
    broken = Path(shutil.copytree(weights / "vit", tmp_path / "broken"))
    (broken / "model.safetensors").write_bytes(b"nothing")
    capsys.readouterr()
    for option, folder, message in (
        ("--face-weights", "bert", "model_type: expected vit, found bert"),
        ("--voice-weights", "bert", "model_type: expected audio-spectrogram-transformer, found bert"),
        ("--voice-weights", "short", "max_length: expected at least 498 frames, 5 s of voice, found 128"),
        ("--face-weights", "broken", "no model could be loaded"),
        ("--face-weights", ".", "expected a model, found no config.json"),
    ):
        given = ("--table", "1", "--out", tmp_path / "out", option, tmp_path / folder)
        code, _, err = run(capsys, "reproduce", "eav", tmp_path, *given)
        assert code == 2
        assert message in err
        assert len(err.strip().splitlines()) == 1
