"""Whether a window can open here, found out without Qt's habit of ending the process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import MutableMapping

from acquisition.errors import InputError

#: What PyQt6's wheels need of a bare Debian beside libegl1, for a window on X11.
QT_LIBRARIES = (
    "libegl1 libfontconfig1 libdbus-1-3 libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 "
    "libxcb-image0 libxcb-render-util0 libxcb-shape0 libxcb-xinerama0"
)
_MAKE_APPLICATION = """
import pyqtgraph
from PyQt6.QtWidgets import QApplication
application = QApplication([])
screen = application.primaryScreen()
if screen is not None:
    room = screen.availableGeometry()
    print("room", room.width(), room.height())
"""
_PROBE_WITHIN_S = 30.0


def has_display() -> bool:
    """Tell whether there is a screen that a window could be on."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def prepare_environment(environment: MutableMapping[str, str]) -> None:
    """Settle which of Qt's platforms is used: drawing without a screen where there is none."""
    # OpenCV points Qt at the plugins of its own, older Qt.
    if "cv2" in environment.get("QT_QPA_PLATFORM_PLUGIN_PATH", ""):
        del environment["QT_QPA_PLATFORM_PLUGIN_PATH"]
    if not has_display():
        environment.setdefault("QT_QPA_PLATFORM", "offscreen")


def qt_fault() -> str:
    """Return why a window cannot open here, "" if it can; takes half a second."""
    return _probe()[0]


def screen_room() -> tuple[int, int] | None:
    """Return width and height that a window may have at scale 1, in points; None where there is no screen.

    Qt takes its scale before it tells the screen's size, so another process is asked.
    """
    return _probe()[1]


def _probe() -> tuple[str, tuple[int, int] | None]:
    """Start Qt elsewhere; return what went wrong, and the room on the screen."""
    environment = dict(os.environ)
    prepare_environment(environment)
    # Qt aborts where a library or the display is missing, so it is tried in another process.
    command = [sys.executable, "-c", _MAKE_APPLICATION]
    try:
        answer = subprocess.run(command, env=environment, capture_output=True, timeout=_PROBE_WITHIN_S)
    except subprocess.TimeoutExpired:
        return f"Qt does not start within {_PROBE_WITHIN_S:.0f} s", None
    if answer.returncode == 0:
        room = re.search(r"^room (\d+) (\d+)", answer.stdout.decode("utf-8", "replace"), re.MULTILINE)
        return "", (int(room[1]), int(room[2])) if room else None
    said = answer.stderr.decode("utf-8", "replace").strip().splitlines()
    telling = [line for line in said if "rror" in line or "could not" in line.lower()]
    return (telling or said or [f"Qt ended with code {answer.returncode}"])[-1], None


def remedy_for_qt() -> str:
    """Return what to install where Qt does not start."""
    libraries = f"apt-get install {QT_LIBRARIES}; " if sys.platform.startswith("linux") else ""
    return libraries + "pip install PyQt6 pyqtgraph"


def require_window() -> None:
    """Make sure that a window can open.

    Raises
    ------
    InputError
        If Qt, one of its libraries or the display does not answer.
    """
    if fault := qt_fault():
        raise InputError(
            f"the window cannot open: {' '.join(fault.split())}",
            where="display",
            remedy=f"{remedy_for_qt()}; or add --headless",
        )
