"""Runs a calibration for the dashboard, in a window of its own, while the dashboard's session rests."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QDialog, QMessageBox, QWidget

from app.command_line import calibrate_arguments, program
from app.qt.dialogs.subject import SubjectDialog
from app.qt.shell.recording import is_recording
from app.qt.shell.session import Session, continued
from app.qt.shell.settings import Settings
from app.request import LiveRequest, Request
from app.view.conditions import Condition
from app.view.plain_text import message_line

_RUNS = "The calibration runs in a window of its own; the live session starts again when it has ended."


class CalibrateCommand:
    """One command: ask whose calibration it is, end the session, calibrate, and start again.

    Parameters
    ----------
    parent : QWidget
    session : Session
    settings : Settings
    run : callable
        Runs a request.
    tell : callable
        Shows a message.
    command : sequence of str
        Starts the program.
    """

    def __init__(
        self,
        parent: QWidget,
        session: Session,
        settings: Settings,
        run: Callable[[Request], None],
        tell: Callable[[Condition], None],
        command: Sequence[str] | None = None,
    ) -> None:
        self._parent, self._session, self._settings = parent, session, settings
        self._run, self._tell = run, tell
        self._command = list(command or program())
        self._subject = ""
        self._waiting: LiveRequest | None = None  # for the engine to let go of its devices
        self._before: LiveRequest | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None
        self.question: QMessageBox | None = None

    @property
    def is_running(self) -> bool:
        """True from the order until the calibration has ended."""
        return self._waiting is not None or self._process is not None

    def start(self) -> QDialog | None:
        """Ask whose calibration it is."""
        request = self._session.request
        if self.is_running:
            self._tell(Condition("calibration", "info", _RUNS))
        elif not isinstance(request, LiveRequest):
            text = "A calibration needs live streams: this is a recording."
            self._tell(Condition("calibration", "info", text, "affectscope calibrate --from-xdf FILE"))
        elif is_recording(self._session.store):
            text = "A recording is running: stop it before a calibration."
            self._tell(Condition("calibration", "info", text))
        else:
            dialog = SubjectDialog(self._parent, self._settings.text("subject"), self._end_session)
            dialog.open()
            return dialog
        return None

    def poll(self) -> None:
        """Start the calibration when the session has ended, and this one's session when that has."""
        if self._waiting is not None and self._session.is_over:
            self._before, self._waiting = self._waiting, None
            self._said = tempfile.TemporaryFile()  # noqa: SIM115 - it outlives this call, as the process does
            words = [*self._command, *calibrate_arguments(self._subject, self._before)]
            self._process = subprocess.Popen(words, stdout=self._said, stderr=subprocess.STDOUT)
        elif self._process is not None and self._process.poll() is not None:
            self._take_up(self._process.returncode)

    def _end_session(self, subject: str) -> None:
        request = self._session.request
        if not isinstance(request, LiveRequest):
            return
        self._settings.keep("subject", subject)
        self._subject, self._waiting = subject, request
        self._session.stop()
        self._tell(Condition("calibration", "info", _RUNS))

    def _take_up(self, code: int) -> None:
        """Go on with the live session, and with the profile if it is wanted."""
        assert self._before is not None
        assert self._said is not None
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", "replace").splitlines()
        self._said.close()
        self._process = self._said = None
        before, found = continued(self._before), _named(lines)
        if code != 0:
            reason = next((line for line in reversed(lines) if line.startswith("error")), f"exit code {code}")
            self._tell(Condition("calibration", "warning", f"The calibration ended: {message_line(reason)}"))
        elif "Profile" not in found:
            self._tell(Condition("calibration", "info", "The calibration ended without a profile."))
        if code != 0 or "Profile" not in found:
            self._run(before)
            return
        self._offer(before, Path(found["Profile"]), found.get("Verdict", "unknown"))

    def _offer(self, before: Request, profile: Path, verdict: str) -> None:
        question = self.question = QMessageBox(self._parent)
        question.setWindowTitle("Calibration")
        question.setTextFormat(Qt.TextFormat.PlainText)
        question.setText(
            f"{self._subject} has a profile. Verdict: {message_line(verdict)}. Use it from now on?"
        )
        use = question.addButton("&Use the profile", QMessageBox.ButtonRole.AcceptRole)
        question.addButton("Go on &without", QMessageBox.ButtonRole.RejectRole)

        def go_on() -> None:
            self._settings.keep_recent("profiles", profile)  # either way the chooser offers it
            self._tell(Condition("calibration", "info", f"Profile of {self._subject}: {profile}"))
            is_wanted = question.clickedButton() is use
            options = replace(before.options, profile=profile) if is_wanted else before.options
            self._run(replace(before, options=options))

        question.finished.connect(lambda _code: go_on())
        question.open()


def _named(lines: Sequence[str]) -> dict[str, str]:
    """Return what the calibration's last words name: its recording, profile, report and verdict."""
    pairs = (line.partition(": ") for line in lines)
    return {name: value for name, colon, value in pairs if colon and name in ("Profile", "Verdict")}
