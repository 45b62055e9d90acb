"""One program at a time works on a session, and nobody deletes what is being worked on."""

from __future__ import annotations

import subprocess
import sys

from refused import refused

from acquisition.errors import ErrorCode
from calibration.storage import SessionLock, is_held, make_session, remove_unused
from calibration.subjects import contents, delete_subject


def test_a_session_that_is_held_is_refused_until_it_is_let_go(tmp_path):
    assert not is_held(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with SessionLock(tmp_path):
        assert is_held(tmp_path)
        error = refused(lambda: SessionLock(tmp_path))
        assert (error.code, error.where) == (ErrorCode.SUBJECT, str(tmp_path))
    assert not is_held(tmp_path)
    SessionLock(tmp_path).close()


def test_a_program_that_is_killed_leaves_no_lock(tmp_path):
    code = (
        "import os, sys; from pathlib import Path\n"
        "from calibration.storage import SessionLock, is_held as held\n"
        "lock = SessionLock(Path(sys.argv[1])); print(held(Path(sys.argv[1])), flush=True)\n"
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.stdout == "True\n"
    assert done.returncode != 0
    assert not is_held(tmp_path)


def test_a_folder_that_has_gone_is_told_in_a_line(tmp_path):
    assert refused(lambda: SessionLock(tmp_path / "gone")).code is ErrorCode.FILE


def test_a_running_session_is_not_deleted(tmp_path):
    place = make_session(tmp_path, "S01")
    with SessionLock(place.folder):
        assert refused(lambda: delete_subject(tmp_path, "S01")).facts == {"found": "session"}
        assert place.folder.is_dir()
    assert contents(tmp_path, "S01").n_other == 1
    delete_subject(tmp_path, "S01")
    assert not place.folder.parent.exists()


def test_a_folder_in_which_nothing_was_kept_goes_and_any_other_stays(tmp_path):
    used = make_session(tmp_path, "S01")
    used.state.write_text("{}")
    for subject in ("S01", "S02"):
        place = make_session(tmp_path, subject)
        SessionLock(place.folder).close()
        remove_unused(place.folder)
        remove_unused(place.folder)
    remove_unused(used.folder)
    assert [path.name for path in tmp_path.iterdir()] == ["sub-S01"]
    assert [path.name for path in (tmp_path / "sub-S01").iterdir()] == ["ses-01"]
