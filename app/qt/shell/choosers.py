"""Commands that ask or switch something: streams, model, profile, recording, masks."""

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

from PyQt6.QtGui import QAction
from PyQt6.QtWidgets import QDialog, QFileDialog, QMenu, QWidget

from acquisition.errors import InputError
from acquisition.select import parse_choices, select_streams
from acquisition.types import KIND_OF_MODALITY, MODALITIES, Kind, StreamHeader
from app.devices import RecordedStream, look_at_network, look_in_file, streams_of_file
from app.engine.messages import AddStream, Mask, SessionCommand, StartRecording
from app.environment import new_recording, recordings_folder
from app.model_check import check_model, read_config
from app.qt.dialogs.base import Work, short_path
from app.qt.dialogs.folders import ModelDialog, ProfileDialog, StarterDialog, profiles_below
from app.qt.dialogs.forms import (
    KEPT_OPTIONS,
    N_MARKERS,
    RecordDialog,
    SettingsDialog,
    SummaryDialog,
    marker_name,
)
from app.qt.dialogs.streams import ChannelsDialog, StreamChoice, StreamsDialog
from app.qt.shell.commands import BY_NAME
from app.qt.shell.engine_window import Settings, is_recording
from app.qt.shell.session import Session, continued
from app.qt.widgets import there
from app.request import (
    EEG_SUFFIXES,
    LiveRequest,
    ReplayRequest,
    Request,
    SessionOptions,
    check_recording,
    check_streams,
)
from app.view.conditions import Condition
from app.view.store import ViewStore
from app.view.text import message_line, one_line
from assets import DEMO_MODEL
from calibration.profile_summary import is_profile, model_sha256, read_summary
from calibration.storage import default_data_folder
from calibration.subjects import note_elsewhere

_FILES = f"Recordings (*.xdf *.xdfz *.xdf.gz {' '.join(f'*{suffix}' for suffix in EEG_SUFFIXES)})"


def opened(dialog: QDialog) -> QDialog:
    """Open a dialog that leaves the window running, and return it."""
    dialog.open()
    return dialog


class Choosers:
    """Streams, model, profile and recording, each in a dialog that leaves the window running."""

    def __init__(
        self,
        parent: QWidget,
        session: Session,
        settings: Settings,
        change_to: Callable[[Request], None],
        tell: Callable[[Condition], None] = lambda _: None,
    ) -> None:
        self._parent, self._session, self._settings, self._change_to = parent, session, settings, change_to
        self._tell = tell

    @property
    def _request(self) -> Request:
        request = self._session.request
        assert request is not None  # a window opens with one
        return request

    def streams(self, request: Request | None = None) -> QDialog:
        """Open the chooser of streams, those of the file in a replay."""
        request = request or self._request
        options, file = request.options, self._xdf_of(request)
        before = StreamChoice(options.streams or ("" if file else self._settings.text("streams")))
        if isinstance(request, LiveRequest):
            before = replace(before, webcam=request.webcam, microphone=request.microphone)
        given = self._parent, before, partial(self._use_streams, request)
        if file is None:

            def check(choice: StreamChoice, headers: list[StreamHeader]) -> None:
                """Refuse a choice that could not run, while the session goes on."""
                check_streams(replace(options, streams=choice.streams), headers)

            return opened(StreamsDialog(*given, map_channels=self.channels, check=check))
        plain = options.of_devices(are_simulated=True, profile=options.profile)  # none of the recording's
        network = LiveRequest(plain, newcomers="offer")

        def look() -> list[RecordedStream]:
            wanted = options.adapter_options(read_config(options.model).ch_names)
            return streams_of_file(file, wanted)

        made = StreamsDialog(
            *given, look, file=file.name, map_channels=self.channels, go_live=partial(self.streams, network)
        )
        return opened(made)

    def _xdf_of(self, request: Request) -> Path | None:
        """Return the XDF file of a replay, of an EEG file its copy."""
        timeline = self._session.store.timeline if request is self._session.request else None
        if timeline is not None and timeline.xdf is not None:
            return timeline.xdf
        return request.path if isinstance(request, ReplayRequest) else None

    def channels(self) -> QDialog:
        """Open the mapping of the EEG's channels: of the recording in a replay, else of the network."""
        request = self._request
        file, streams = self._xdf_of(request), request.options.streams
        look = partial(look_at_network, streams) if file is None else partial(look_in_file, file, streams)

        def use(path: Path | None) -> None:
            """Run again: a mapping that is kept is found by the device, but counts less than a sidecar's."""
            is_stated = file is not None and path is not None
            self._change_options(montage=str(path) if is_stated else None, eeg_unit=None)

        return opened(ChannelsDialog(self._parent, look, use, request.options.montage))

    def add_streams(self) -> None:
        """Let every stream that is offered, and not one of several, join the session."""
        for offer in self._session.store.offers:
            if not offer.n_rivals:
                self._session.send(AddStream(offer.uid))

    def model(self) -> QDialog:
        recent = [path for path in self._settings.paths("models") if path.exists()]
        return opened(ModelDialog(self._parent, self._request.options.model, recent, self._use_model))

    def starter(self) -> QDialog | None:
        """Offer the starter model where the shipped one would look at real people."""
        request = self._request
        if not isinstance(request, LiveRequest) or request.simulated or request.options.model != DEMO_MODEL:
            return None
        return opened(StarterDialog(self._parent, self._use_starter))

    def _use_starter(self, path: Path) -> None:
        request = self._request
        if isinstance(request, LiveRequest) and self._session.store.stream_of(Kind.VIDEO) is None:
            self._settings.keep_recent("models", path)
            options = replace(continued(request).options, model=path, profile=None)
            self._change_to(replace(request, options=options, webcam=request.webcam or "0"))
        else:
            self._use_model(path)

    def profile(self) -> QDialog:
        """Open the chooser of profiles: those used lately and those in the data folder."""
        recent = [path for path in self._settings.paths("profiles") if path.exists()]
        known = [*recent, *profiles_below(default_data_folder())]
        options = self._request.options
        return opened(ProfileDialog(self._parent, options.model, options.profile, known, self._use_profile))

    def recording(self) -> QDialog:
        kept = (self._settings.text(name) for name in ("recordings folder", "record to"))
        folders = [*(Path(text) for text in kept if text), recordings_folder()]
        folder = str(next((folder for folder in folders if folder.is_dir()), Path.home()))
        dialog = QFileDialog(self._parent, "Open a recording", folder, _FILES)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(lambda name: self.replay(Path(name)))
        return opened(dialog)

    def replay(self, path: Path) -> None:
        self._settings.keep("recordings folder", str(path.parent))
        self._settings.keep_recent("recordings", path)
        # Not streams, montage, mains frequency and files: a recording has its own.
        names = ("model", "profile", "screen_cm", "distance_cm", "device", "threads")
        options = SessionOptions(**{name: getattr(self._request.options, name) for name in names})
        self._change_to(ReplayRequest(path, options, speed=1.0))

    def use(self, path: Path) -> None:
        """Use a file or folder by what it is: replay a recording, or use a model or a profile.

        One that cannot be used is refused in a message, and the session runs on.
        """

        def refuse(why: str) -> None:
            said = f"{one_line(path.name)} cannot be used: {message_line(why)}"
            self._tell(Condition("refused", "error", said, "the session runs on"))

        try:
            if not path.exists():
                raise InputError("it is not there any more", where=str(path))
            if path.is_file():
                check_recording(path)
                self.replay(path)
            elif is_profile(path):
                read_summary(path).check_base(model_sha256(self._request.options.model), str(path))
                self._use_profile(path)
            else:
                read_config(path)
                Work(lambda: check_model(path), lambda _: self._use_model(path), refuse, self._parent)
        except InputError as error:
            refuse(str(error))

    def fill_recent(self, menu: QMenu) -> None:
        menu.clear()
        for kind in ("recordings", "models", "profiles"):
            menu.addSeparator()
            for path in self._settings.paths(kind):
                action = there(menu.addAction(short_path(menu, path, 60), partial(self.use, path)))
                action.setEnabled(path.exists())

    def settings(self) -> QDialog:
        return opened(SettingsDialog(self._parent, self._request, self.marker_names(), self._use_settings))

    def marker_names(self) -> list[str]:
        return [marker_name(n, self._settings.text(f"marker {n}")) for n in range(1, N_MARKERS + 1)]

    def _use_settings(self, values: dict[str, object], names: list[str]) -> None:
        for number, name in enumerate(names, 1):
            self._settings.keep(f"marker {number}", name)
        for name, value in values.items():
            self._settings.keep(name, "" if value is None else str(value))
        if any(getattr(self._request.options, n) != v for n, v in values.items()):
            self._change_options(**values)

    def _use_streams(self, request: Request, choice: StreamChoice) -> None:
        options = replace(continued(request).options, streams=choice.streams)
        if isinstance(request, ReplayRequest):
            self._change_to(replace(request, options=options))
            return
        self._settings.keep("streams", choice.streams or "")
        if self._join_chosen(request, choice):
            return
        newcomers: Literal["offer", "join"] = "join" if request.newcomers == "join" else "offer"
        live = replace(request, options=options, wait_s=math.inf, simulated=None, newcomers=newcomers)
        live = replace(live, webcam=choice.webcam, microphone=choice.microphone)
        self._change_to(with_kept(live, self._settings))

    def _join_chosen(self, request: LiveRequest, choice: StreamChoice) -> bool:
        """Let chosen streams that are offered join, where nothing else is changed; tell whether so."""
        used = request.options
        before = StreamChoice(used.streams, request.webcam, request.microphone)
        was, now = (parse_choices(streams or "") for streams in (used.streams, choice.streams))
        changed = {m: now.get(m, "") for m in {*was, *now} if was.get(m) != now.get(m)}
        headers = {offer.uid: offer.header for offer in self._session.store.offers}
        uids: list[str] = []
        try:
            for modality, chosen in changed.items():
                uids += select_streams(headers, f"{modality}={chosen}", (KIND_OF_MODALITY[modality],))
        except (InputError, KeyError):  # of another stream than those on offer
            return False
        if not uids or replace(choice, streams=used.streams) != before:
            return False
        for uid in uids:
            self._session.send(AddStream(uid))
        return True

    def _use_model(self, path: Path) -> None:
        self._settings.keep_recent("models", path)
        self._change_options(model=path, profile=None)

    def _use_profile(self, path: Path | None) -> None:
        if path is not None:
            self._settings.keep_recent("profiles", path)
        self._change_options(profile=path)

    def _change_options(self, **options: Any) -> None:
        following = continued(self._request)
        self._change_to(replace(following, options=replace(following.options, **options)))


def with_kept(request: Request, settings: Settings) -> Request:
    """Return a live session of devices with the settings kept, where the command line says nothing else."""
    if not isinstance(request, LiveRequest) or request.simulated is not None:
        return request
    kept: dict[str, Any] = {}
    for name in KEPT_OPTIONS:
        text = settings.text(name)
        has_level = request.options.profile is not None or request.options.normalise != "subject"
        if text and getattr(request.options, name) is None and not (name == "baseline_s" and has_level):
            with contextlib.suppress(ValueError):
                kept[name] = text if name == "screen_cm" else int(text) if name == "line" else float(text)
    return replace(request, options=replace(request.options, **kept))


class RecordCommand:
    """One command that starts, and then stops, a recording."""

    def __init__(
        self, parent: QWidget, session: Session, settings: Settings, action: Callable[[], QAction]
    ) -> None:
        self._parent, self._session, self._settings, self._action = parent, session, settings, action
        self._shown: tuple[bool, bool] | None = None

    def toggle(self) -> QDialog | None:
        if is_recording(self._session.store):
            self._session.send(SessionCommand.STOP_RECORDING)
            return None
        folder = Path(self._settings.text("record to", str(recordings_folder())))
        dialog = RecordDialog(self._parent, new_recording(folder, datetime.now()))
        dialog.accepted.connect(lambda: self._start(dialog.path))
        return opened(dialog)

    def refresh(self) -> None:
        store = self._session.store
        records = is_recording(store)
        can = store.is_live
        if (records, can) == self._shown:
            return
        self._shown = (records, can)
        action = self._action()
        action.setText("Stop &recording" if records else "&Record…")
        action.setIconText("■ Stop recording" if records else "● Record")
        action.setEnabled(can or records)
        reason = "Record the streams in use (Ctrl+R)" if can else "Only a live session can be recorded"
        action.setToolTip("Stop the recording (Ctrl+R)" if records else reason)

    def _start(self, path: Path) -> None:
        self._settings.keep("record to", str(path.parent))
        if (request := self._session.request) is not None and request.options.profile is not None:
            note_elsewhere(request.options.profile, [path])
        self._session.send(StartRecording(path))


class SummaryCommand:
    """Shows what the session came to so far; at the end of a live one by itself."""

    def __init__(self, parent: QWidget, session: Session, tell: Callable[[Condition], None]) -> None:
        self._parent, self._session, self._tell = parent, session, tell
        self._ended: ViewStore | None = None  # whose end was seen

    def show(self) -> SummaryDialog | None:
        summary, request = self._session.store.log.summary(), self._session.request
        if summary is None:
            return None
        folder = request.path.parent if isinstance(request, ReplayRequest) else recordings_folder()
        dialog = SummaryDialog(self._parent, summary, folder if folder.is_dir() else Path.home())
        dialog.show()
        return dialog

    def poll(self, *, is_closing: bool = False) -> None:
        """Show and write the summary of a session that has ended."""
        store, request = self._session.store, self._session.request
        if store is self._ended or not store.mode or store.phase.name not in ("ended", "failed"):
            return
        self._ended = store
        self.write()
        is_stopped = store.mode == "live" and store.phase.name == "ended"
        if is_stopped and not is_closing and request is not None and request.options.seconds is None:
            self.show()

    def write(self) -> None:
        summary, request = self._session.store.log.summary(), self._session.request
        path = None if request is None else request.options.summary
        if summary is None or path is None:
            return
        from app.summary_page import write_summary  # which loads what draws

        try:
            written = ", ".join(map(str, write_summary(summary, path)))
            self._tell(Condition("summary", "info", f"Summary written: {written}"))
        except InputError as error:
            self._tell(Condition("summary", "error", message_line(str(error))))


class MaskCommands:
    """One switch per modality; its state is the engine's, which may refuse a change."""

    def __init__(self, session: Session, actions: Mapping[str, QAction]) -> None:
        self._session = session
        self._known: object = None  # the engine's figures that the switches show
        self._actions = {modality: actions[f"mask_{modality}"] for modality in MODALITIES}

    def toggle(self, modality: str) -> None:
        self._session.send(Mask(modality, self._actions[modality].isChecked()))

    def refresh(self) -> None:
        store = self._session.store
        is_running = store.phase.name in ("running", "paused")
        masked = store.health.masked if store.health is not None else ()
        for modality, action in self._actions.items():
            action.setEnabled(is_running)
            action.setIconText(f"{_WORDS[modality]} off" if action.isChecked() else _WORDS[modality])
            if store.health is not None and self._known is not store.health:
                action.setChecked(modality in masked)
        self._known = store.health


_WORDS = {modality: BY_NAME[f"mask_{modality}"].short for modality in MODALITIES}
