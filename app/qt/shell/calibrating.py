"""Runs a calibration from the dashboard, which pauses its own session meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QDialog, QMessageBox, QWidget

from acquisition.errors import InputError
from app.qt.dialogs.base import ask
from app.qt.dialogs.forms import SubjectDialog
from app.qt.shell.engine_window import Appearance, Settings, is_recording
from app.qt.shell.session import Session, continued
from app.request import CalibrationRequest, LiveRequest, Request
from app.view.conditions import Condition
from app.view.text import message_line

if TYPE_CHECKING:
    from app.qt.calibration.window import CalibrationWindow

_RUNS = "The calibration runs in its own window; the live session restarts afterwards."


def open_window(request: CalibrationRequest, settings: Settings) -> CalibrationWindow:
    """Return the window of a calibration, not yet shown; raises `InputError` for an invalid request."""
    from app.calibrate.prepare import prepare
    from app.qt.calibration.window import open_calibration

    return open_calibration(prepare(request), settings)


class CalibrateCommand:
    """Asks for the participant, ends the live session, calibrates, and restarts the session."""

    def __init__(
        self,
        parent: QWidget,
        session: Session,
        settings: Settings,
        appearance: Appearance,
        run: Callable[[Request], None],
        tell: Callable[[Condition], None],
        open_window: Callable[[CalibrationRequest, Settings], CalibrationWindow] = open_window,
    ) -> None:
        self._parent, self._session, self._settings = parent, session, settings
        self._appearance = appearance
        self._run, self._tell, self._open_window = run, tell, open_window
        self._subject = ""
        self._waiting: LiveRequest | None = None  # for the engine to release its devices
        self._is_closing = False
        self.window: CalibrationWindow | None = None  # while a calibration runs
        self.question: QMessageBox | None = None

    @property
    def is_running(self) -> bool:
        """True from the command until the calibration has ended."""
        return self._waiting is not None or self.window is not None

    def start(self) -> QDialog | None:
        request = self._session.request
        if self.is_running:
            self._say(_RUNS)
        elif not isinstance(request, LiveRequest):
            remedy = "affectscope calibrate refit FILE"
            self._say("A calibration needs live streams: this is a replay.", remedy)
        elif is_recording(self._session.store):
            self._say("A recording is running: stop it first.")
        else:
            dialog = SubjectDialog(self._parent, self._settings.text("subject"), self._end_session)
            dialog.open()
            return dialog
        return None

    def poll(self) -> None:
        if self._waiting is not None and self._session.is_over:
            before, self._waiting = self._waiting, None
            self._open(before)

    def close(self) -> None:
        """End a calibration for good, because the dashboard closes."""
        self._is_closing, self._waiting = True, None
        if self.window is not None:
            self.window.closing.begin()

    def kill(self) -> None:
        """End what is left by force."""
        if self.window is not None:
            self.window.session.kill()

    def _end_session(self, subject: str) -> None:
        request = self._session.request
        if not isinstance(request, LiveRequest):
            return
        self._settings.keep("subject", subject)
        self._subject, self._waiting = subject, request
        self._session.stop()
        self._say(_RUNS)

    def _open(self, before: LiveRequest) -> None:
        try:
            window = self._open_window(before.calibration(self._subject), self._settings)
        except InputError as error:
            self._tell_failure(str(error))
            self._run(continued(before))
            return
        self.window = window
        window.setWindowModality(Qt.WindowModality.ApplicationModal)
        window.closed.connect(lambda: self._resume(window, before))
        window.appearance.use_theme(self._appearance.theme)
        window.faults.install()
        window.open()
        window.show()

    def _resume(self, window: CalibrationWindow, before: LiveRequest) -> None:
        self.window = None
        window.faults.remove()
        window.deleteLater()
        if self._is_closing:
            return
        self._appearance.use_theme(window.appearance.theme)
        request, phase, result = continued(before), window.session.store.phase, window.result
        if phase.name == "failed":
            self._tell_failure(phase.message)
            self._run(request)
        elif result is None or result.profile is None:
            self._say("The calibration ended without a profile.")
            self._run(request)
        elif window.live_profile is not None:
            self._run_with(request, result.profile, is_wanted=True)
        else:
            self._offer(request, result.profile, result.verdict.code)

    def _say(self, text: str, remedy: str = "") -> None:
        self._tell(Condition("calibration", "info", text, remedy))

    def _tell_failure(self, message: str) -> None:
        self._tell(Condition("calibration", "warning", f"The calibration ended: {message_line(message)}"))

    def _offer(self, request: Request, profile: Path, verdict: str) -> None:
        self.question = ask(
            self._parent,
            "Calibration",
            f"{self._subject} has a profile. Verdict: {message_line(verdict)}. Use it from now on?",
            "&Use the profile",
            "Continue &without",
            lambda is_wanted: self._run_with(request, profile, is_wanted=is_wanted),
        )

    def _run_with(self, request: Request, profile: Path, *, is_wanted: bool) -> None:
        self._settings.keep_recent("profiles", profile)  # either way the chooser offers it
        self._say(f"Profile of {self._subject}: {profile}")
        options = replace(request.options, profile=profile) if is_wanted else request.options
        self._run(replace(request, options=options))
