"""affectscope subjects: list, export, delete."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
from command_line import exit_code as run
from command_line import one_line, refused

from calibration.storage import make_session


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    place = make_session(folder, "S01")
    place.recording().write_bytes(b"XDF:" + bytes(1_500_000))
    place.report_json.write_text('{"verdict": "usable for demonstration"}', encoding="utf-8")
    place.state.write_text('{"consent": {"given_at": "2026-03-01T11:58:00+00:00"}}', encoding="utf-8")
    monkeypatch.setenv("AFFECTSCOPE_DATA", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.mark.parametrize("columns", ["80", "160"])
def test_list_fits_the_terminal(
    data: Path, columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert run("subjects", "list") == 0
    table = capsys.readouterr().out.rsplit("In ", 1)[0]
    for words in ("S01", "ses-01", "2026-03-01", "1.5 MB", "usable"):
        assert words in table
    assert max(map(len, table.splitlines())) <= int(columns)


def test_list_as_json(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("subjects", "list", "--data-dir", data, "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["data_dir"] == str(data)
    assert listed["subjects"][0]["sessions"][0]["verdict"] == "usable for demonstration"


def test_an_empty_place_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AFFECTSCOPE_DATA", str(tmp_path / "none"))
    assert run("subjects", "list", "--json") == 0
    assert json.loads(capsys.readouterr().out)["subjects"] == []
    assert run("subjects", "list") == 0


def test_a_mistyped_data_dir_is_refused(tmp_path: Path) -> None:
    error = refused("subjects", "list", "--data-dir", tmp_path / "none")
    assert (error.code, error.where) == ("file", f"--data-dir {tmp_path / 'none'}")


def test_export_goes_to_the_current_folder_unless_told(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("subjects", "export", "S01") == 0
    with zipfile.ZipFile(data.parent / "sub-S01.zip") as archive:
        assert len(archive.namelist()) == 4
    assert "sub-S01.zip" in refused("subjects", "export", "S01").where


@pytest.mark.parametrize("command", ["export", "delete"])
def test_a_path_is_no_subject(data: Path, command: str) -> None:
    assert refused("subjects", command, "../x").code == "subject"


def test_delete_asks_for_yes_where_it_cannot_ask(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    said = one_line(capsys, "subjects", "delete", "S01")
    assert "1 recording, 0 profiles, 0 reports and 2 other files (1.5 MB) of S01" in said
    assert "--yes" in said
    assert (data / "sub-S01").is_dir()


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("typed", "code", "is_left"), [("n\n", 130, True), ("\n", 130, True), ("y\n", 0, False)]
)
def test_delete_asks_and_does_as_told(
    data: Path, typed: str, code: int, is_left: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    assert run("subjects", "delete", "S01") == code
    assert (data / "sub-S01").is_dir() == is_left


def test_delete_says_what_it_removed(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("subjects", "delete", "S01", "--yes", "--json") == 0
    removed = json.loads(capsys.readouterr().out)["removed"]
    assert (removed["subject"], removed["n_recordings"], removed["n_other"]) == ("S01", 1, 2)
    assert not (data / "sub-S01").exists()
    assert run("subjects", "delete", "S01", "--yes") == 2
