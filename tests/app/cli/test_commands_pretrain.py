"""pretrain on the command line: what it writes and says, and one line for what it cannot use."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import one_line, refused, run

from models.checkpoint import load_config
from models.training.provenance import read_record

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_quick_run_writes_encoders_and_says_what_comes_next(
    small_seed_iv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "m"
    given = ("--seed-iv", small_seed_iv, "--cache", tmp_path / "cache")
    code, said, _ = run(capsys, "pretrain", *given, "--out", out, "--quick", "--epochs", 1, "--batch", 8)
    assert code == 0
    assert f"affectscope finetune --model {out}" in said
    config = load_config(out)
    assert (config.is_classifier, config.feature_origin, config.transductive) == (False, "published", False)
    record = read_record(out)
    assert (record.quick, record.recordings, config.modalities) == (True, (), ("eeg", "eye"))
    card = (out / "README.md").read_text()
    assert "6 test trials of the published splits were not used" in card
    assert str(tmp_path) not in card


@pytest.mark.parametrize(
    ("words", "where"),
    [
        ((), "pretrain"),
        (("--seed-iv", "SETS"), "SETS"),
        (("--seed-iv", "nowhere-at-all"), "nowhere-at-all"),
        (("--seed-iv", "S4", "--mask", "1.5"), "--mask"),
        (("--seed-iv", "S4", "--features", "raw"), "S4"),
        (("--seed-iv", "S4", "--montage", "standard_1020"), "--montage"),
    ],
)
def test_what_cannot_be_pretrained_on_is_named(
    small_seed_iv: Path, tmp_path: Path, words: tuple[str, ...], where: str
) -> None:
    places = {"SETS": small_seed_iv.parent, "S4": small_seed_iv}
    given = [places.get(word, word) for word in words]
    error = refused("pretrain", *given, "--out", tmp_path / "new")
    assert str(places.get(where, where)) in error.where
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_read(
    small_seed_iv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no folder")
    given = ("--seed-iv", small_seed_iv, "--cache", tmp_path / "c")
    assert "--out" in one_line(capsys, "pretrain", *given, "--out", tmp_path / "file" / "m")
    assert not (tmp_path / "c").exists()
