"""A folder is gone again if nothing came into it."""

from pathlib import Path

import pytest

from acquisition.errors import new_folder


def test_what_was_made_and_stays_empty_is_removed_and_nothing_else(tmp_path: Path):
    (tmp_path / "there").mkdir()
    with new_folder(tmp_path / "there"), new_folder(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()
    assert list(tmp_path.iterdir()) == [tmp_path / "there"]


def test_what_was_made_and_stayed_empty_is_removed_when_the_block_raises(tmp_path: Path):
    (tmp_path / "a").mkdir()
    with pytest.raises(ValueError, match="wrong"), new_folder(tmp_path / "a" / "b" / "c"):
        raise ValueError("wrong")
    assert list(tmp_path.rglob("*")) == [tmp_path / "a"]


def test_what_holds_something_stays(tmp_path: Path):
    with new_folder(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "model").touch()
    assert (tmp_path / "a" / "b" / "model").exists()
