"""Starts and stops the recording from the window."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from PyQt6.QtGui import QAction
from PyQt6.QtWidgets import QDialog, QWidget

from app.engine.messages import StartRecording, StopRecording
from app.environment import new_recording, recordings_folder
from app.qt.dialogs.record import RecordDialog
from app.qt.shell.session import Session
from app.qt.shell.settings import Settings
from app.view.store import ViewStore

_UNDER_WAY = ("starting", "recording", "stopping")


class RecordCommand:
    """One command that starts, and then stops, a recording.

    Parameters
    ----------
    parent : QWidget
    session : Session
    settings : Settings
    action : callable
        Returns the command's action, once there is one.
    """

    def __init__(
        self, parent: QWidget, session: Session, settings: Settings, action: Callable[[], QAction]
    ) -> None:
        self._parent, self._session, self._settings, self._action = parent, session, settings, action
        self._shown: tuple[bool, bool] | None = None

    def toggle(self) -> QDialog | None:
        """Stop the recording, or ask where to record to."""
        if is_recording(self._session.store):
            self._session.send(StopRecording())
            return None
        folder = Path(self._settings.text("record to", str(recordings_folder())))
        dialog = RecordDialog(self._parent, new_recording(folder, datetime.now()))
        dialog.accepted.connect(lambda: self._start(dialog.path))
        dialog.open()
        return dialog

    def refresh(self) -> None:
        """Have the action say what it does now."""
        store = self._session.store
        records = is_recording(store)
        can = store.mode == "live" and store.phase.name == "running"
        if (records, can) == self._shown:
            return
        self._shown = (records, can)
        action = self._action()
        action.setText("Stop &recording" if records else "&Record…")
        action.setIconText("■ Stop recording" if records else "● Record")
        action.setEnabled(can or records)
        reason = (
            "Record the streams in use (Ctrl+R)" if can else "Only a running live session can be recorded"
        )
        action.setToolTip("Stop the recording (Ctrl+R)" if records else reason)

    def _start(self, path: Path) -> None:
        self._settings.keep("record to", str(path.parent))
        self._session.send(StartRecording(path))


def is_recording(store: ViewStore) -> bool:
    """Tell whether a recording is under way."""
    recording = store.health.recording if store.health is not None else None
    return (
        recording is not None
        and recording.state in _UNDER_WAY
        and store.phase.name not in ("failed", "ended")
    )
