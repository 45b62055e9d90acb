"""affectscope subjects: list, export, delete."""

from __future__ import annotations

import io
import json
import re
import zipfile
from dataclasses import replace
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


def test_after_delete_a_scan_finds_no_file_and_no_text_with_the_subject(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from PyQt6.QtCore import QByteArray

    from app.engine.main import logs_folder
    from app.qt.shell.engine_window import Settings
    from app.request import ReplayRequest, SessionOptions, check_request

    state, other = tmp_path / "state", Path("/data/sub-S010/a.xdf")
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("AFFECTSCOPE_SETTINGS", str(tmp_path / "window.ini"))
    settings = Settings(tmp_path / "window.ini")
    place = make_session(data, "S01")
    for name in (f"{place.recording().stem}_part-02.xdf", "a.status.json", ".trial-01.npz.tmp", "run.log"):
        (place.folder / name).write_text("of S01")
    (logs_folder() / "engine-1.log").write_text(f"{place.folder}: no such file")
    (logs_folder() / "engine-2.log").write_text("S010, XS01")
    settings.keep("subject", "S01")
    settings.keep("geometry", QByteArray(bytes(range(256))))
    for path in (other, place.recording(), tmp_path / "a, b.xdf"):
        settings.keep_recent("recordings", path)
    settings.save()
    assert run("subjects", "export", "S01", "--out", tmp_path / "a.zip") == 0
    kept = tmp_path / "kept.jsonl"
    kept.write_text("{}")
    recording = Path(__file__).parents[3] / "assets" / "recordings" / "simulated-60s.xdf"
    options = SessionOptions(jsonl=kept)
    monkeypatch.setattr(SessionOptions, "check", lambda self: None)  # there is no profile to read
    check_request(ReplayRequest(recording, replace(options, profile=place.profile)))
    capsys.readouterr()
    assert run("subjects", "delete", "S01", "--yes") == 0
    said = capsys.readouterr().out
    assert str(tmp_path / "a.zip") in said
    assert f"Not deleted, written with the profile: {kept}" in said
    named = re.compile(rb"(?<![A-Za-z0-9])S01(?![A-Za-z0-9])")
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"engine-2.log", "window.ini", "kept.jsonl"} == {path.name for path in left}
    assert not [path for path in left if named.search(bytes(path.relative_to(tmp_path)) + path.read_bytes())]
    again = Settings(tmp_path / "window.ini")
    assert again.paths("recordings") == [tmp_path / "a, b.xdf", other]
    assert again.state("geometry") == QByteArray(bytes(range(256)))
