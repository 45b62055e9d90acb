"""What is kept of people: listed, packed and deleted, and nothing else touched."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from refused import refused

from acquisition.errors import ErrorCode, InputError
from acquisition.record.files import status_path, write_json
from calibration.storage import SessionPlace, known_subjects, make_session
from calibration.subjects import contents, delete_subject, export_subject, list_subjects, plain

NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def kept_session(data: Path, subject: str) -> SessionPlace:
    """A session of 8 files: recording, sidecar, state, profile (3), report (2)."""
    place = make_session(data, subject)
    place.recording().write_bytes(b"XDF:" + bytes(range(256)) * 8)
    place.recording().with_suffix(".json").write_text("{}", encoding="utf-8")
    trials = [
        {"number": 1, "state": "done"},
        {"number": 2, "state": "skipped"},
        {"number": 2, "state": "done"},
    ]
    consent = {"given_at": "2026-03-01T11:58:00+00:00"}
    place.state.write_text(json.dumps({"consent": consent, "trials": trials}), encoding="utf-8")
    place.profile.mkdir()
    for name in ("config.json", "model.safetensors", "README.md"):
        (place.profile / name).write_text(name, encoding="utf-8")
    place.report.write_text("<html>", encoding="utf-8")
    place.report_json.write_text('{"verdict": "weak"}', encoding="utf-8")
    return place


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """S01 with two sessions, S02 with one, and a file of somebody else's."""
    folder = tmp_path / "data"
    for subject in ("S01", "S01", "S02"):
        kept_session(folder, subject)
    (folder / "notes.txt").write_text("mine", encoding="utf-8")
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def record_into(place: SessionPlace, age_s: float = 0.0) -> None:
    status = {"file": str(place.recording()), "state": "recording", "updated_at": time.time() - age_s}
    write_json(status_path(place.recording()), status)


# --- list ---


def test_the_list_has_sessions_trials_and_verdicts(data: Path) -> None:
    first, second = list_subjects(data)
    assert (first.subject, first.n_files, second.subject, second.n_files) == ("S01", 16, "S02", 8)
    session = first.sessions[1]
    assert (session.number, session.n_trials, session.n_recordings, session.verdict) == (2, 2, 1, "weak")
    assert session.has_profile
    assert session.has_report
    assert not session.is_recording
    assert session.given_at == "2026-03-01T11:58:00+00:00"
    assert first.n_bytes == sum(len(content) for content in tree(data / "sub-S01").values())
    json.dumps(plain(first))


@pytest.mark.parametrize(
    "content", ["", "[]", '{"consent": 3, "trials": "x"}', '{"trials": [1, null]}', "\xff"]
)
def test_a_broken_state_does_not_hide_the_subject(data: Path, content: str) -> None:
    (data / "sub-S02" / "ses-01" / "session.json").write_text(content, encoding="latin-1")
    (data / "sub-S02" / "ses-01" / "report.json").write_text('{"verdict": 7}', encoding="utf-8")
    entry = list_subjects(data)[1]
    assert (entry.sessions[0].given_at, entry.sessions[0].n_trials, entry.sessions[0].verdict) == ("", 0, "")


def test_a_running_recording_is_seen_and_one_that_died_is_none(data: Path) -> None:
    place = make_session(data, "S02")
    record_into(place)
    assert [session.is_recording for session in list_subjects(data)[1].sessions] == [False, True]
    record_into(place, age_s=60)
    assert not list_subjects(data)[1].sessions[1].is_recording


def test_a_link_is_listed_as_a_fault_and_the_others_are_listed(data: Path, tmp_path: Path) -> None:
    (data / "sub-S01" / "ses-01" / "more").symlink_to(tmp_path)
    first, second = list_subjects(data)
    assert "link" in first.fault
    assert not second.fault


# --- delete ---


def test_deleting_removes_all_of_one_person_and_says_what(data: Path) -> None:
    others = {name: content for name, content in tree(data).items() if not name.startswith("sub-S01")}
    before = contents(data, "S01")
    removed = delete_subject(data, "S01")
    assert removed == before
    assert (removed.n_recordings, removed.n_profiles, removed.n_reports, removed.n_other) == (2, 2, 2, 10)
    assert not (data / "sub-S01").exists()
    assert tree(data) == others
    assert known_subjects(data) == ("S02",)


@pytest.mark.parametrize("subject", ["../x", "..", "", "S03", "s01", "sub-S01", "S01/ses-01", "/etc"])
def test_deleting_what_is_no_subject_removes_nothing(data: Path, subject: str) -> None:
    (data.parent / "x").mkdir()
    before = tree(data.parent)
    with pytest.raises(InputError):
        delete_subject(data, subject)
    assert tree(data.parent) == before
    assert (data.parent / "x").is_dir()


def test_a_subject_that_is_a_link_is_not_followed(data: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    kept_session(elsewhere, "S09")
    before = tree(elsewhere)
    (data / "sub-S09").symlink_to(elsewhere / "sub-S09", target_is_directory=True)
    for call in (delete_subject, contents):
        assert refused(lambda call=call: call(data, "S09")).facts == {"found": "link"}
    assert tree(elsewhere) == before
    assert (data / "sub-S09").is_symlink()


@pytest.mark.parametrize("target", ["folder", "file", "nothing", "inside"])
def test_a_link_below_a_subject_stops_everything_before_it_begins(
    data: Path, tmp_path: Path, target: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("precious", encoding="utf-8")
    leads_to = {"folder": elsewhere, "file": elsewhere / "file", "nothing": tmp_path / "gone"}
    leads_to["inside"] = data / "sub-S01" / "ses-01"
    (data / "sub-S01" / "ses-02" / "link").symlink_to(leads_to[target])
    before = tree(tmp_path)
    assert refused(lambda: delete_subject(data, "S01")).facts == {"found": "link"}
    export = refused(lambda: export_subject(data, "S01", tmp_path / "S01.zip", NOON))
    assert export.facts == {"found": "link"}
    assert tree(tmp_path) == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")
def test_a_pipe_is_neither_read_nor_removed(data: Path) -> None:
    os.mkfifo(data / "sub-S01" / "pipe")
    assert refused(lambda: delete_subject(data, "S01")).facts == {"found": "other"}


def test_a_running_recording_stops_deletion_and_export(data: Path, tmp_path: Path) -> None:
    place = make_session(data, "S01")
    record_into(place)  # the file itself is not there yet: LabRecorder needs two seconds
    before = tree(data)
    for call in (
        lambda: delete_subject(data, "S01"),
        lambda: export_subject(data, "S01", tmp_path / "S01.zip", NOON),
    ):
        assert refused(call).facts == {"found": "recording"}
    assert tree(data) == before
    record_into(place, age_s=60)  # its program died
    delete_subject(data, "S01")


def test_what_cannot_be_removed_is_told_and_can_be_removed_later(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.unlink

    def read_only(path: str | Path, *, dir_fd: int | None = None) -> None:
        if str(path).endswith(".xdf"):
            raise OSError(30, "Read-only file system", str(path))
        real(path, dir_fd=dir_fd)

    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", read_only)
        assert refused(lambda: delete_subject(data, "S01")).facts == {"n_left": 2}
    assert contents(data, "S01").n_recordings == 2
    assert delete_subject(data, "S01").n_recordings == 2


# --- export ---


def test_an_export_holds_every_byte_and_a_true_manifest(data: Path, tmp_path: Path) -> None:
    shares: list[float] = []
    expected = {f"sub-S01/{name}": content for name, content in tree(data / "sub-S01").items()}
    done = export_subject(data, "S01", tmp_path / "out" / "S01.zip", NOON, shares.append)
    with zipfile.ZipFile(done.path) as archive:
        assert archive.testzip() is None
        packed = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(packed.pop("manifest.json"))
    assert packed == expected
    assert (manifest["subject"], manifest["exported_at"]) == ("S01", "2026-03-01T12:00:00+00:00")
    assert manifest["n_files"] == done.n_files == 16
    for entry in manifest["files"]:
        content = expected[entry["path"]]
        assert (entry["n_bytes"], entry["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert os.listdir(tmp_path / "out") == ["S01.zip"]


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps rights in another way")
def test_an_export_is_the_user_s_alone(data: Path, tmp_path: Path) -> None:
    done = export_subject(data, "S01", tmp_path / "S01.zip", NOON)
    assert stat.S_IMODE(done.path.stat().st_mode) == 0o600


def test_an_export_overwrites_nothing_and_does_not_hold_itself(data: Path, tmp_path: Path) -> None:
    (tmp_path / "S01.zip").write_text("older", encoding="utf-8")
    (tmp_path / "dangling.zip").symlink_to(tmp_path / "victim")
    for name in ("S01.zip", "dangling.zip"):
        assert (
            refused(lambda name=name: export_subject(data, "S01", tmp_path / name, NOON)).code
            is ErrorCode.FILE
        )
    inside = data / "sub-S01" / "S01.zip"
    assert refused(lambda: export_subject(data, "S01", inside, NOON)).code is ErrorCode.FILE
    assert (tmp_path / "S01.zip").read_text(encoding="utf-8") == "older"
    assert not (tmp_path / "victim").exists()


def test_too_little_room_is_told_before_anything_is_written(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    error = refused(lambda: export_subject(data, "S01", tmp_path / "S01.zip", NOON))
    assert error.code is ErrorCode.FILE
    assert not list(tmp_path.glob("*.zip*"))


def test_a_disk_that_fills_up_leaves_no_half_export(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: zipfile.ZipFile, *_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    error = refused(lambda: export_subject(data, "S01", tmp_path / "S01.zip", NOON))
    assert error.code is ErrorCode.FILE
    assert not list(tmp_path.glob("S01.zip*"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_a_sentence_and_not_a_traceback(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open
    monkeypatch.setattr(
        os, "open", lambda path, *rest, **more: real("/dev/full", os.O_WRONLY)
        if str(path).endswith(".part") else real(path, *rest, **more)
    )  # fmt: skip
    assert refused(lambda: export_subject(data, "S01", tmp_path / "S01.zip", NOON)).code is ErrorCode.FILE


@pytest.mark.parametrize("kind", ["fifo", "damaged", "long"])
def test_what_stands_where_an_export_was_noted_is_neither_read_nor_in_the_way(
    data: Path, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / ("out" if kind != "long" else "x" * 400)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "damaged":
        export_subject(data, "S01", path, NOON)
        content = bytearray(path.read_bytes())
        content[-900:-300] = bytes(600)
        path.write_bytes(content)
    write_json(data / "sub-S01" / "elsewhere.json", {"paths": [str(path)]})
    delete_subject(data, "S01")
    assert not (data / "sub-S01").exists()


def test_a_folder_nested_too_deep_is_refused_and_hides_no_other_subject(data: Path) -> None:
    (data / "sub-S01" / "/".join("a" * 120)).mkdir(parents=True)
    with pytest.raises(InputError):
        delete_subject(data, "S01")
    first, second = list_subjects(data)
    assert first.fault
    assert second.n_files == 8


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux")
def test_a_file_name_that_is_no_text_is_exported(data: Path, tmp_path: Path) -> None:
    (data / "sub-S01" / os.fsdecode(b"a\xff.xdf")).write_bytes(b"XDF:")
    done = export_subject(data, "S01", tmp_path / "S01.zip", NOON)
    assert done.n_files == 17
