"""pretrain on the command line: what it writes and says, and one line for what it cannot use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import run

from models.checkpoint import load_config

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_quick_run_writes_encoders_and_says_what_comes_next(
    small_seed_iv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "m"
    given = ("--seed-iv", small_seed_iv, "--cache", tmp_path / "cache")
    code, said, _ = run(capsys, "pretrain", *given, "--out", out, "--quick", "--epochs", 1, "--batch", 8)
    assert code == 0
    assert "seed-iv: generated, nobody was measured; 1 subjects, 12 trials" in said
    assert "pre-trained, not fine-tuned; 6 test trials left out" in said
    assert f"next: affectscope finetune --model {out}" in said
    config = load_config(out)
    assert (config.is_classifier, config.feature_origin, config.transductive) == (False, "published", False)
    report = json.loads((out / "pretraining.json").read_text())
    assert (report["quick"], report["generated"], report["recordings"]) == (True, ["seed-iv"], [])
    assert {"eeg", "eye"} == set(report["outcomes"])
    card = (out / "README.md").read_text()
    assert "6 test trials of the published splits did not enter" in card
    assert str(tmp_path) not in card


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "nothing to pre-train on"),
        (("--seed-iv", "SETS"), "expected eeg_feature_smooth/1"),
        (("--seed-iv", "nowhere-at-all"), "expected a folder, found none"),
        (("--seed-iv", "S4", "--mask", "1.5"), "--mask: expected more than 0 and less than 1, got 1.5"),
        (("--seed-iv", "S4", "--features", "raw"), "choose --features published, which it holds"),
        (("--seed-iv", "S4", "--montage", "standard_1020"), "--montage: only recordings are named by it"),
    ],
)
def test_what_cannot_be_pretrained_on_is_one_line(
    small_seed_iv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    places = {"SETS": small_seed_iv.parent, "S4": small_seed_iv}
    given = [places.get(word, word) for word in words]
    code, _, err = run(capsys, "pretrain", *given, "--out", tmp_path / "new" / "m")
    assert code == 2
    assert said in err
    assert not (tmp_path / "new").exists()
    assert [line for line in err.splitlines() if line.startswith("error: ")] == [err.splitlines()[-1]]


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_read(
    small_seed_iv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no folder")
    given = ("--seed-iv", small_seed_iv, "--cache", tmp_path / "c")
    code, _, err = run(capsys, "pretrain", *given, "--out", tmp_path / "file" / "m")
    assert code == 2
    assert "the folder cannot be written" in err
    assert "reading" not in err
    assert not (tmp_path / "c").exists()
