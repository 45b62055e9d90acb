"""reproduce eav on the command line: its device."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from command_line import refused, run

from tests.studies.papers.eav import EavOptions
from tests.studies.stage import StageOptions

pytestmark = pytest.mark.slow  # of a study, not of what runs live


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (("--device", "cuda", "--jobs", "2"), "--device cuda"),
        (("--device", "cuda", "--dask", "tcp://127.0.0.1:1"), "--device cuda"),
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
