"""reproduce on the command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from command_line import refused, run

from acquisition.errors import InputError
from tests.studies.papers import reproduce as tables

pytestmark = pytest.mark.slow  # of a study, not of what runs live


def test_a_folder_like_eav_becomes_a_table_and_a_plot(
    small_eav: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "table"
    options = ("--figure", "2", "--quick", "--out", out, "--json")
    code, printed, _ = run(capsys, "reproduce", "eav", small_eav, *options)
    assert code == 0
    found = json.loads(printed)
    assert set(found) >= {"protocol", "unit", "rows", "subjects", "left_out", "quick"}
    assert json.loads((out / "table.json").read_text()) == found
    with (out / "table.csv").open(newline="") as file:
        rows = {row["model"]: row for row in csv.DictReader(file)}
    assert list(rows) == [row["model"] for row in found["rows"]]
    assert float(rows["Vision, per frame"]["paper_mean"]) == pytest.approx(0.6722)
    assert rows["Vision"]["paper_mean"] == ""
    assert "GENERATED DATA" in rows["EEG"]["marks"]
    assert "What differs from the paper" in (out / "table.md").read_text()
    assert (out / "table.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (("eav",), "reproduce eav"),
        (("seed-iv", "--table", "2"), "DIR"),
        (("eav", "--table", "1"), "DIR"),
    ],
)
def test_what_is_missing_is_named_and_no_folder_is_made(tmp_path: Path, words: tuple[str, ...], where: str):
    data_set, *options = words
    error = refused("reproduce", data_set, tmp_path, *options, "--out", tmp_path / "new")
    assert where.replace("DIR", str(tmp_path)) in error.where
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("words", "epochs", "few_epochs", "pretrain_epochs"),
    [
        ((), 30, 15, 30),
        (("--quick",), 4, 4, 2),
        (("--quick", "--epochs", "9", "--pretrain-epochs", "5"), 9, 9, 5),
        (("--epochs", "20"), 20, 15, 30),
    ],
)
def test_epochs_that_are_given_win_over_quick(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    epochs: int,
    few_epochs: int,
    pretrain_epochs: int,
):
    asked: list[tables.ReproduceOptions] = []

    def stop(options: tables.ReproduceOptions, report: object) -> None:
        asked.append(options)
        raise InputError("that will do", where="here")

    monkeypatch.setattr(tables, "reproduce", stop)
    run(capsys, "reproduce", "seed-iv", tmp_path, "--table", "1", "--out", tmp_path / "out", *words)
    (options,) = asked
    assert (options.finetuning().epochs, options.finetuning().few_epochs) == (epochs, few_epochs)
    assert options.pretraining().epochs == pretrain_epochs
