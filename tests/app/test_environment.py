"""How threads wait: sleeping where streams are read, spinning in training. Who may read files."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from acquisition.process import start_detached
from acquisition.record.files import write_sidecar
from app.environment import TRAINING, settle_environment


@pytest.fixture(autouse=True)
def kept() -> Iterator[None]:
    before, mask = dict(os.environ), os.umask(0o022)
    yield
    os.umask(mask)
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.parametrize("command", ["", "live", "replay", "calibrate", *TRAINING])
def test_threads_sleep_between_windows_but_not_in_training(command: str) -> None:
    os.environ.pop("OMP_WAIT_POLICY", None)
    settle_environment(command)
    assert os.environ.get("OMP_WAIT_POLICY") == (None if command in TRAINING else "PASSIVE")


def test_what_the_user_has_set_stays() -> None:
    os.environ["OMP_WAIT_POLICY"] = "ACTIVE"
    settle_environment("live")
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
def test_what_is_written_is_the_users_alone_in_child_processes_too(tmp_path: Path) -> None:
    settle_environment("live")
    write_sidecar(tmp_path / "of" / "a.xdf", {"subject": "S01"})
    log = tmp_path / "of" / "child.log"
    made = tmp_path / "of" / "made"
    touch = f"open({str(made)!r}, 'w')"
    assert start_detached("timeit", ["-n1", "-r1", touch], log).wait(60) == 0
    assert made.exists()
    assert stat.S_IMODE((tmp_path / "of").stat().st_mode) == 0o700
    files = list((tmp_path / "of").iterdir())
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
