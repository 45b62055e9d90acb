"""Tells whether a window can open here, without letting Qt abort this process, and how it opens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from acquisition.errors import ErrorCode, InputError
from acquisition.text import say

if TYPE_CHECKING:
    from app.request import SessionOptions

#: Debian packages that PyQt6's wheels need for a window on X11.
QT_LIBRARIES = (
    "libegl1 libfontconfig1 libdbus-1-3 libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 "
    "libxcb-image0 libxcb-render-util0 libxcb-shape0 libxcb-xinerama0"
)
_MAKE_APPLICATION = "import pyqtgraph; from PyQt6.QtWidgets import QApplication; QApplication([])"
_PROBE_WITHIN_S = 30.0


def has_display() -> bool:
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def prepare_environment(environment: MutableMapping[str, str]) -> None:
    """Choose Qt's platform: offscreen drawing where there is no screen."""
    # OpenCV points Qt at the plugins of the older Qt that it ships.
    if "cv2" in environment.get("QT_QPA_PLATFORM_PLUGIN_PATH", ""):
        del environment["QT_QPA_PLATFORM_PLUGIN_PATH"]
    if not has_display():
        environment.setdefault("QT_QPA_PLATFORM", "offscreen")


def qt_fault() -> str:
    """Return why a window cannot open here, "" if it can; takes half a second."""
    environment = dict(os.environ)
    prepare_environment(environment)
    # Qt aborts where a library or the display is missing, so it is tried in another process.
    command = [sys.executable, "-c", _MAKE_APPLICATION]
    try:
        answer = subprocess.run(command, env=environment, capture_output=True, timeout=_PROBE_WITHIN_S)
    except subprocess.TimeoutExpired:
        return f"Qt does not start within {_PROBE_WITHIN_S:.0f} s"
    if answer.returncode == 0:
        return ""
    said = answer.stderr.decode("utf-8", "replace").strip().splitlines()
    telling = [line for line in said if "rror" in line or "could not" in line.lower()]
    return (telling or said or [f"Qt ended with code {answer.returncode}"])[-1]


def remedy_for_qt() -> str:
    libraries = f"apt-get install {QT_LIBRARIES}; " if sys.platform.startswith("linux") else ""
    return libraries + "pip install PyQt6 pyqtgraph"


def require_window() -> None:
    """Raise an `InputError` if Qt, one of its libraries or the display does not answer."""
    if fault := qt_fault():
        what = f"the window cannot open: {' '.join(fault.split())}"
        remedy = f"{remedy_for_qt()}; or add --headless"
        raise InputError(what, where="display", remedy=remedy, code=ErrorCode.DEVICE)


TAB_NAMES = ("now", "why", "signals", "health")
DEFAULT_SIZE = (1366, 768)
_SCREENSHOT_S = 30.0


@dataclass(frozen=True)
class WindowOptions:
    """Options of the window; None leaves the choice to what was kept from the last run."""

    screenshot: Path | None = None  # folder for pictures: the window saves them and closes
    seconds: float | None = None  # of content before the pictures; otherwise the window closes after so many
    tabs: tuple[str, ...] = TAB_NAMES  # of which a picture is saved
    size: tuple[int, int] | None = None  # in points; a picture has `scale` times as many pixels
    theme: str | None = None  # dark | light
    scale: float | None = None

    @property
    def content_s(self) -> float:
        """Seconds of content before the pictures are taken."""
        return _SCREENSHOT_S if self.seconds is None else self.seconds


def parse_size(text: str) -> tuple[int, int]:
    """Return width and height of ``1366x768``; refuse a size that cannot be used."""
    found = re.fullmatch(r"(\d{3,5})x(\d{3,5})", text.strip().lower())
    if found is None:
        raise InputError(f"expected width x height, e.g. 1366x768, got {text!r}", where="--size")
    width, height = int(found[1]), int(found[2])
    if not (640 <= width <= 7680 and 480 <= height <= 4320):
        raise InputError(f"expected 640x480 to 7680x4320, got {text}", where="--size")
    return width, height


def opens_window(options: SessionOptions, window: WindowOptions) -> bool:
    """Tell whether a session is shown in a window, and say so where a display is missing.

    A digest is made in the terminal. Raises `InputError` if there is a
    display and Qt cannot use it.
    """
    if options.headless or options.extra_sinks:
        return False
    if window.screenshot is None and not has_display():
        say("There is no display here: running in the terminal.")
        return False
    require_window()
    return True
