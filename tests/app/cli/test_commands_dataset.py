"""make-dataset on the command line."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
from command_line import run

from models.datasets.files import is_generated


def test_a_folder_is_made_that_says_it_is_generated(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = str(tmp_path / "s4")
    options = ("--subjects", "1", "--trials", "6", "--trial-s", "16")
    code, out, _ = run(capsys, "make-dataset", "seed-iv", folder, *options)
    assert code == 0
    assert "generated, no real subjects; 1 subjects in the layout of seed-iv" in out
    notice = (tmp_path / "s4" / "README.md").read_text()
    assert notice.startswith("GENERATED")
    assert "UNFINISHED" not in notice
    assert "make-dataset seed-iv DIR --subjects 1 --seed 0 --difficulty default --trials 6" in notice


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("seed-v", "--raw"), "SEED-V's .cnt recordings are not generated"),
        (("seed-iv", "--difficulty", "nice"), "--difficulty: expected easy"),
        (("eav", "--trials", "17"), "--trials: expected 20 to 200, found 17"),
        (("seed-iv", "--trial-s", "nan"), "--trial-s"),
    ],
)
def test_what_cannot_be_made_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
):
    layout, *options = words
    code, _, err = run(capsys, "make-dataset", layout, str(tmp_path / "x"), *options)
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "x").exists()


def test_a_disk_that_is_full_is_one_line_with_the_half_written_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # no file can grow beyond: as if full
    try:
        words = ("--subjects", "1", "--trials", "6", "--trial-s", "16")
        code, out, err = run(capsys, "make-dataset", "seed-iv", str(tmp_path / "s4"), *words)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"{tmp_path / 's4'}: the folder is half-written: File too large (delete it" in err
    assert is_generated(tmp_path / "s4")
    assert "UNFINISHED" in (tmp_path / "s4" / "README.md").read_text()
