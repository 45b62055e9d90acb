"""reproduce eav with open weights on the command line: words and refusals."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers
from command_line import refused, run
from tiny_open_models import TINY, save_ast

from models.papers.eav import EavOptions
from models.training.loop import StageOptions

RECORDING = Path(__file__).parents[3] / "assets" / "recordings" / "simulated-60s.xdf"


def test_open_weights_are_taken_and_told_of(
    small_eav: Path, open_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    mine = Path(shutil.copytree(open_weights, tmp_path / "weights"))
    out = tmp_path / "table"
    named = ("--face-weights", mine / "vit", "--voice-weights", mine / "ast")
    options = ("--table", "1", "--quick", "--out", out)
    code, printed, err = run(capsys, "reproduce", "eav", small_eav, *options, *named)
    assert code == 0, err
    assert "LOAD REPORT" not in err
    for words in (printed, (out / "table.md").read_text()):
        assert f"The ViT is initialised with the weights of {mine / 'vit'} (2 layers of width 16)" in words
        assert "Its head trains first, 4 epochs at a learning rate of up to 5e-4" in words
        assert "then both, 6 epochs at up to 5e-6, in batches of 8; the paper's code has 10 and 15" in words
        assert "at random" not in words


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (("--device", "cuda", "--jobs", "2"), "--device cuda"),
        (("--device", "cuda", "--dask", "tcp://127.0.0.1:1"), "--device cuda"),
        (("--face-weights", "nowhere"), "nowhere"),
        (("--face-weights", ""), "--face-weights"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, words: tuple[str, ...], where: str):
    given = ("--table", "1", "--out", tmp_path / "out", *words)
    assert where in refused("reproduce", "eav", tmp_path, *given).where


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_gpu_that_is_not_there_is_refused(tmp_path: Path):
    given = ("--table", "1", "--out", tmp_path / "out", "--device", "cuda")
    error = refused("reproduce", "eav", tmp_path, *given)
    assert (error.code, error.where) == ("device", "--device cuda")


def test_without_a_device_people_train_on_the_cpu(
    small_eav: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    whole = EavOptions.stages

    def brief(options: EavOptions) -> dict[str, StageOptions]:
        return {name: replace(stage, epochs=1) for name, stage in whole(options).items()}

    monkeypatch.setattr(EavOptions, "stages", brief)
    given = ("--table", "1", "--quick", "--json")
    tables = []
    for name, options in (("without", ()), ("with", ("--device", "cpu"))):
        code, printed, err = run(
            capsys, "reproduce", "eav", small_eav, *given, "--out", tmp_path / name, *options
        )
        assert code == 0, err
        tables.append(json.loads(printed))
    assert tables[0] == tables[1]


def test_weights_that_do_not_serve_are_one_line(
    open_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    bert = transformers.BertModel(transformers.BertConfig(**TINY, vocab_size=10))
    bert.save_pretrained(tmp_path / "bert")
    save_ast(tmp_path / "short", max_length=128)
    broken = Path(shutil.copytree(open_weights / "vit", tmp_path / "broken"))
    (broken / "model.safetensors").write_bytes(b"nothing")
    capsys.readouterr()
    for option, folder, message in (
        ("--face-weights", "bert", "model_type: expected vit, found bert"),
        ("--voice-weights", "bert", "model_type: expected audio-spectrogram-transformer, found bert"),
        ("--voice-weights", "short", "max_length: expected at least 498 frames, 5 s of voice, found 128"),
        ("--face-weights", "broken", "the model cannot be loaded"),
        ("--face-weights", ".", "cannot read config.json of the model"),
    ):
        given = ("--table", "1", "--out", tmp_path / "out", option, tmp_path / folder)
        code, _, err = run(capsys, "reproduce", "eav", tmp_path, *given)
        assert code == 2
        assert message in err
        assert len(err.strip().splitlines()) == 1
