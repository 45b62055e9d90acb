"""Names of subjects and sessions, and the folders they become."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from refused import refused

from acquisition.errors import ErrorCode, InputError
from calibration.storage import (
    check_subject,
    default_data_folder,
    known_subjects,
    make_session,
    next_session_number,
    session_numbers,
    session_place,
    subject_folder,
)


@pytest.mark.parametrize("subject", ["S01", "1", "a1B2", "P" + "0" * 31])
def test_codes_of_letters_and_digits_are_taken(subject: str) -> None:
    assert check_subject(subject) == subject


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "../x",
        "..",
        ".",
        "S01/../S02",
        "S 01",
        "S-01",
        "S_01",
        "S01\n",
        "Ä1",
        "S０1",
        "C:1",
        "con1",
        "NUL1",
        "Lpt9",
        "\0",
        "P" + "0" * 32,
    ],
)
def test_anything_that_is_no_plain_code_is_refused_in_a_line(subject: str) -> None:
    assert "\n" not in str(refused(lambda: check_subject(subject)))


def test_what_may_be_a_name_is_refused() -> None:
    assert refused(lambda: check_subject("Maria")).code is ErrorCode.SUBJECT


def test_a_prefix_that_is_added_anyway_is_pointed_out() -> None:
    with pytest.raises(InputError, match="omit sub-"):
        check_subject("sub-S01")


def test_names_follow_the_layout(tmp_path: Path) -> None:
    place = make_session(tmp_path / "data", "S01")
    folder = tmp_path / "data" / "sub-S01" / "ses-01"
    assert place.folder == folder
    assert folder.is_dir()
    assert place.recording(2) == folder / "sub-S01_ses-01_task-calibration_run-02.xdf"
    assert place.state == folder / "session.json"
    assert (place.profile, place.report) == (folder / "profile", folder / "report.html")


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps rights in another way")
def test_folders_are_the_user_s_alone_even_if_they_were_not(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (tmp_path / "data" / "sub-S01").mkdir(parents=True, mode=0o755)
    place = make_session(data, "S01")
    made = make_session(tmp_path / "new", "S02")
    for folder in (place.folder, place.folder.parent, made.folder.parent, tmp_path / "new"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_sessions_are_numbered_on_and_gaps_stay(tmp_path: Path) -> None:
    assert next_session_number(tmp_path, "S01") == 1
    for name in ("ses-01", "ses-07", "ses-00", "ses-001", "ses-x", "ses-8", "notes"):
        (tmp_path / "sub-S01" / name).mkdir(parents=True)
    assert session_numbers(tmp_path, "S01") == (1, 7)
    assert make_session(tmp_path, "S01").number == 8
    assert session_numbers(tmp_path, "S01") == (1, 7, 8)
    assert session_numbers(tmp_path, "S02") == ()


def test_more_than_99_sessions_are_found_again(tmp_path: Path) -> None:
    (tmp_path / "sub-S01" / "ses-99").mkdir(parents=True)
    assert make_session(tmp_path, "S01").folder.name == "ses-100"
    assert session_numbers(tmp_path, "S01") == (99, 100)


def test_only_folders_of_subjects_are_known(tmp_path: Path) -> None:
    for name in ("sub-S02", "sub-S01", "sub-", "S03", "sub-a b"):
        (tmp_path / name).mkdir()
    (tmp_path / "sub-S04").write_text("a file", encoding="utf-8")
    assert known_subjects(tmp_path) == ("S01", "S02")
    assert known_subjects(tmp_path / "none") == ()


def test_a_link_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "ses-01").mkdir(parents=True)
    data = tmp_path / "data"
    (data / "sub-S02").mkdir(parents=True)
    (data / "sub-S01").symlink_to(elsewhere)
    (data / "sub-S02" / "ses-01").symlink_to(elsewhere)
    for call in (lambda: subject_folder(data, "S01"), lambda: make_session(data, "S01")):
        assert refused(call).facts == {"found": "link"}
    assert session_numbers(data, "S02") == ()
    assert refused(lambda: session_place(data, "S02", 1)).facts == {"found": "link"}


def test_a_file_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sub-S01").write_text("", encoding="utf-8")
    assert refused(lambda: make_session(tmp_path, "S01")).facts == {"found": "file"}


def test_ids_that_some_disks_would_mix_up_are_refused(tmp_path: Path) -> None:
    make_session(tmp_path, "S01")
    assert refused(lambda: make_session(tmp_path, "s01")).code is ErrorCode.SUBJECT


def test_a_disk_that_takes_nothing_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, mode: int = 0, parents: bool = False, exist_ok: bool = False) -> None:
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "mkdir", full)
    error = refused(lambda: make_session(tmp_path, "S01"))
    assert (error.code, error.where) == (ErrorCode.FILE, str(tmp_path / "sub-S01"))


def test_the_default_folder_can_be_named_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AFFECTSCOPE_DATA", raising=False)
    assert "affectscope" in str(default_data_folder())
    monkeypatch.setenv("AFFECTSCOPE_DATA", str(tmp_path))
    assert default_data_folder() == tmp_path
