"""What can be done with a result: open its report, run the dashboard with its profile."""

from __future__ import annotations

from pathlib import Path

from PyQt6.QtCore import QProcess, QUrl
from PyQt6.QtGui import QDesktopServices

from app.command_line import live_arguments, program
from app.request import CalibrationRequest


def open_file(path: Path) -> bool:
    """Open a file with what the system has for it; return whether there is something."""
    return bool(QDesktopServices.openUrl(QUrl.fromLocalFile(str(path))))


def use_live(request: CalibrationRequest, profile: Path) -> bool:
    """Start a live session with a profile in a process of its own; return whether that went well."""
    command, *before = program()
    started, _ = QProcess.startDetached(command, [*before, *live_arguments(request, profile)])
    return started
