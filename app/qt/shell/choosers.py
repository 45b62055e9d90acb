"""Opens the choosers and turns what was chosen into a request for a new engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from PyQt6.QtWidgets import QDialog, QFileDialog, QWidget

from app.environment import recordings_folder
from app.qt.dialogs.model import ModelDialog
from app.qt.dialogs.profile import ProfileDialog, profiles_below
from app.qt.dialogs.streams import StreamChoice, StreamsDialog
from app.qt.shell.session import Session, continued
from app.qt.shell.settings import Settings
from app.request import LiveRequest, ReplayRequest, Request, SessionOptions
from calibration.storage import default_data_folder

_LINES = {"50": 50, "60": 60}
_XDF = "XDF recordings (*.xdf *.xdfz *.xdf.gz)"


class Choosers:
    """Streams, model, profile and recording, each in a dialog that leaves the window running.

    Parameters
    ----------
    parent : QWidget
    session : Session
    settings : Settings
    change_to : callable
        Runs another request instead of the one that runs.
    """

    def __init__(
        self, parent: QWidget, session: Session, settings: Settings, change_to: Callable[[Request], None]
    ) -> None:
        self._parent, self._session, self._settings, self._change_to = parent, session, settings, change_to

    def streams(self) -> QDialog:
        """Open the streams chooser."""
        request = self._session.request
        options = request.options if request is not None else None
        live = request if isinstance(request, LiveRequest) else None
        kept = self._settings
        before = StreamChoice(
            streams=(options.streams if options else None) or kept.text("streams"),
            montage=(options.montage if options else None) or kept.text("montage"),
            line=(options.line if options else None) or _LINES.get(kept.text("line")),
            webcam=live.webcam if live else None,
            microphone=live.microphone if live else None,
        )
        dialog = StreamsDialog(self._parent, before, self._use_streams)
        dialog.open()
        return dialog

    def model(self) -> QDialog | None:
        """Open the model chooser."""
        request = self._session.request
        if request is None:
            return None
        recent = [path for path in self._settings.paths("models") if path.exists()]
        dialog = ModelDialog(self._parent, request.options.model, recent, self._use_model)
        dialog.open()
        return dialog

    def profile(self) -> QDialog | None:
        """Open the chooser of profiles: those used lately and those in the data folder."""
        request = self._session.request
        if request is None:
            return None
        recent = [path for path in self._settings.paths("profiles") if path.exists()]
        known = [*recent, *profiles_below(default_data_folder())]
        options = request.options
        dialog = ProfileDialog(self._parent, options.model, options.profile, known, self._use_profile)
        dialog.open()
        return dialog

    def recording(self) -> QDialog:
        """Choose a recording to replay."""
        kept = (self._settings.text(name) for name in ("recordings folder", "record to"))
        folders = [*(Path(text) for text in kept if text), recordings_folder(), Path.home()]
        folder = str(next((folder for folder in folders if folder.is_dir()), Path.home()))
        dialog = QFileDialog(self._parent, "Open a recording", folder, _XDF)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(lambda name: self.replay(Path(name)))
        dialog.open()
        return dialog

    def replay(self, path: Path) -> None:
        """Replay a recording with the model in use."""
        request = self._session.request
        if request is None:
            return
        self._settings.keep("recordings folder", str(path.parent))
        # Streams, montage, mains frequency and files were this session's; a recording brings its own.
        before = request.options
        options = SessionOptions(
            model=before.model,
            profile=before.profile,
            screen_cm=before.screen_cm,
            distance_cm=before.distance_cm,
            device=before.device,
            threads=before.threads,
        )
        self._change_to(ReplayRequest(path, options))

    def _use_streams(self, choice: StreamChoice) -> None:
        request = self._session.request
        if request is None:
            return
        for name in ("streams", "montage", "line"):
            self._settings.keep(name, str(getattr(choice, name) or ""))
        options = replace(
            continued(request).options, streams=choice.streams, montage=choice.montage, line=choice.line
        )
        self._change_to(LiveRequest(options, webcam=choice.webcam, microphone=choice.microphone))

    def _use_model(self, path: Path) -> None:
        request = self._session.request
        if request is None:
            return
        self._settings.keep_recent("models", path)
        following = continued(request)
        self._change_to(replace(following, options=replace(following.options, model=path, profile=None)))

    def _use_profile(self, path: Path | None) -> None:
        request = self._session.request
        if request is None:
            return
        if path is not None:
            self._settings.keep_recent("profiles", path)
        following = continued(request)
        self._change_to(replace(following, options=replace(following.options, profile=path)))
