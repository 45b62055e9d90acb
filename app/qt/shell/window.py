"""The main window: puts header, messages, tabs and time bar together and keeps them up to date."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from PyQt6.QtCore import Qt, QTimer
from PyQt6.QtGui import QDragEnterEvent, QDropEvent, QKeyEvent
from PyQt6.QtWidgets import QMenu, QVBoxLayout, QWidget

from acquisition.clock import LslClock
from acquisition.errors import ErrorCode, InputError
from acquisition.types import MODALITIES
from app.display import TAB_NAMES
from app.engine.messages import REST_S, Note, SelfCheckMark, SessionCommand, SetRest
from app.qt.dialogs.base import KeysDialog, NoticeDialog, key_names
from app.qt.dialogs.forms import N_MARKERS, SelfReportDialog, marker_name
from app.qt.shell.calibrating import CalibrateCommand
from app.qt.shell.choosers import Choosers, MaskCommands, RecordCommand, SummaryCommand
from app.qt.shell.commands import (
    BY_NAME,
    MENUS,
    OF_PANELS,
    PlainKeys,
    ToolBar,
    fill_menus,
    make_actions,
    plain_text,
)
from app.qt.shell.engine_window import EngineWindow, Settings, ask_to_stop, is_recording
from app.qt.shell.session import Playback, Session, continued
from app.qt.shell.tab_set import Header, TabSet
from app.qt.shell.time_bar import ReplayBar
from app.qt.theme import Theme
from app.qt.widgets import put, there
from app.request import LiveRequest, ReplayRequest, Request, check_request, check_streams
from app.view.conditions import Condition, can_report, can_rest, conditions
from app.view.store import ViewStore
from app.view.text import message_line, one_line, tooltip
from calibration.markers import ASKED, UNDO

_REFRESH_MS = 33
_CLOSED_MS = 300  # between two looks at whether a recording is closed


class MainWindow(EngineWindow):
    """Shows and controls a session."""

    def __init__(self, session: Session, settings: Settings) -> None:
        super().__init__(session, settings)
        self.playback = Playback(session)
        self.choosers = Choosers(self, session, settings, self.change_to, self.banners.tell)
        self.recording = RecordCommand(self, session, settings, lambda: self.actions_by_name["record"])
        self.calibrating = CalibrateCommand(
            self, session, settings, self.appearance, self.open, self.banners.tell
        )
        self.summary = SummaryCommand(self, session, self.banners.tell)
        self.actions_by_name = make_actions(self, self._handlers())
        self.masks = MaskCommands(session, self.actions_by_name)
        self._plain_keys = PlainKeys(self.actions_by_name)
        self._trial: tuple[Request, Request] | None = None  # a change, and what to return to if it fails
        self._lay_out()
        self.start_polling(_REFRESH_MS)

    def _lay_out(self) -> None:
        self.setWindowTitle("Affectscope")
        bar = there(self.menuBar())
        fill_menus(bar, self.actions_by_name)
        recent = QMenu("Open recen&t", bar)
        recent.aboutToShow.connect(lambda: self.choosers.fill_recent(recent))
        of_session = there(bar.actions()[0].menu())
        of_session.insertMenu(self.actions_by_name["settings"], recent)
        self.setAcceptDrops(True)
        self.toolbar = ToolBar(self.actions_by_name, lambda text: self.session.send(Note(text)))
        self.addToolBar(self.toolbar)
        self.header = Header()
        self.tabs = TabSet(self.session, self.playback, self.faults, self.header)
        self.tabs.now.answer.map_channels.clicked.connect(lambda: self.choosers.channels())
        self.tabs.signals.traces.use(self.settings)
        self.replay_bar = ReplayBar(self.playback, self.actions_by_name)
        self._page = page = QWidget()
        page.setObjectName("page")
        put(QVBoxLayout(page), self.banners, (self.tabs, 1), self.replay_bar, margins=(6, 2, 6, 0), spacing=3)
        self.setCentralWidget(page)
        page.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        page.setFocus()  # not the first button: Space shall pause the view
        self.toolbar.note.left.connect(page.setFocus)

    def _handlers(self) -> dict[str, Callable[[], object]]:
        playback = self.playback
        handlers: dict[str, Callable[[], object]] = {
            "choose_streams": self.choosers.streams,
            "add_stream": self.choosers.add_streams,
            "map_channels": self.choosers.channels,
            "choose_model": self.choosers.model,
            "choose_profile": self.choosers.profile,
            "calibrate": self.calibrating.start,
            "open_recording": self.choosers.recording,
            "record": self.recording.toggle,
            "choose_electrodes": lambda: self.tabs.signals.traces.choose_electrodes(),
            "start_rest": lambda: self.session.send(SetRest(REST_S)),
            "stop_rest": lambda: self.session.send(SetRest(0.0)),
            "self_report": self._report,
            "undo_update": lambda: self.session.send(SelfCheckMark(UNDO)),
            "settings": self.choosers.settings,
            "show_summary": self.summary.show,
            "stop": self.stop,
            "start_again": self.start_again,
            "quit": self.close,
            "write_note": lambda: self.toolbar.note.setFocus(),
            "toggle": playback.toggle,
            "step_back": lambda: playback.step(-1),
            "step_on": lambda: playback.step(1),
            "jump_back": lambda: playback.jump(-1),
            "jump_on": lambda: playback.jump(1),
            "last_mark": lambda: playback.to_mark(-1),
            "next_mark": lambda: playback.to_mark(1),
            "to_start": playback.to_start,
            "to_end": playback.to_end,
            "slower": lambda: playback.change_speed(-1),
            "faster": lambda: playback.change_speed(1),
            "switch_theme": self.appearance.switch_theme,
            "scale_up": lambda: self.appearance.change_scale(1),
            "scale_down": lambda: self.appearance.change_scale(-1),
            "full_screen": self.appearance.toggle_full_screen,
            "show_shortcuts": lambda: shortcuts_dialog(self, self.choosers.marker_names()).open(),
            "show_notice": lambda: NoticeDialog(self, must_agree=False).open(),
        }
        handlers |= {f"show_{name}": partial(lambda n: self.tabs.show_tab(n), name) for name in TAB_NAMES}
        handlers |= {f"mark_{n}": partial(self._mark, n) for n in range(1, N_MARKERS + 1)}
        handlers |= {f"mask_{m}": partial(lambda m: self.masks.toggle(m), m) for m in MODALITIES}
        return handlers

    def _mark(self, number: int) -> None:
        name = self.choosers.marker_names()[number - 1]
        self.session.send(Note(name, LslClock().now()))
        self.toolbar.note.confirm(name)

    def _name_markers(self) -> None:
        for number, name in enumerate(self.choosers.marker_names(), 1):
            action = self.actions_by_name[f"mark_{number}"]
            if action.text() != (text := one_line(name).replace("&", "&&")):
                action.setText(text)
                action.setIconText(f"F{number + 4}" if name == marker_name(number) else one_line(name, 12))
                action.setToolTip(tooltip(f"Send the marker {one_line(name)} (F{number + 4})"))

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:
        data = event.mimeData() if event is not None else None
        if event is not None and data is not None and data.hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:
        """Replay a recording, or use a model or profile, that is dropped on the window."""
        data = event.mimeData() if event is not None else None
        paths = [url.toLocalFile() for url in data.urls()] if data is not None else []
        if len(paths) == 1 and paths[0]:
            self.choosers.use(Path(paths[0]))
        elif paths:
            text = "One file or folder of this computer can be used at a time"
            self.banners.tell(Condition("refused", "error", text, "the session runs on"))

    def _report(self) -> None:
        model = self.session.store.model
        if model is not None and can_report(self.session.store):
            self.session.send(SelfCheckMark(ASKED))
            SelfReportDialog(self, model.labels, lambda label: self.session.send(SelfCheckMark(label))).open()

    def open(self, request: Request) -> None:
        """Run a request, the first one or after an engine's end."""
        if self.session.store.phase.name in ("running", "paused"):
            self.summary.write()  # of the session that ends
        speed = request.speed if isinstance(request, ReplayRequest) else 1.0
        self.playback.restart(speed)
        self._trial = None
        self.banners.forget("refused")  # it was about an earlier choice
        self.session.start(request)

    def change_to(self, request: Request) -> None:
        """Run another request unless it cannot run; a recording under way is asked about first."""
        self.banners.forget("refused")
        now, store = self.session.request, self.session.store
        try:
            check_request(request)
            of_these = isinstance(now, LiveRequest) and now.options.streams == request.options.streams
            is_whole = isinstance(request, LiveRequest) and not (request.webcam or request.microphone)
            if of_these and is_whole and store.headers:
                check_streams(request.options, store.headers)
        except InputError as error:
            text = f"Not changed: {message_line(str(error))}"
            goes_on = "the session continues as it was" if store.phase.name in ("running", "paused") else ""
            self.banners.tell(Condition("refused", "error", text, goes_on))
            return
        request = self.as_last_time(request)
        self._unless_recording("This change restarts the session", lambda: self._change_to(request))

    def stop(self) -> None:
        """End the session and leave the window open; a recording under way is asked about first."""
        self._unless_recording("This ends the session", partial(self._stop, self.session.store))

    def _stop(self, store: ViewStore) -> None:
        """End the session of ``store`` once its recording is closed, so that the window can tell how."""
        if store is not self.session.store or self.closing.is_under_way:
            return
        if is_recording(store):
            self.session.send(SessionCommand.STOP_RECORDING)
            QTimer.singleShot(_CLOSED_MS, partial(self._stop, store))
        else:
            self.session.stop()

    def _unless_recording(self, what: str, act: Callable[[], object]) -> None:
        if not is_recording(self.session.store):
            act()
            return
        text = f"{what}, which ends the recording. Stop the recording?"
        ask_to_stop(self, text, "&Stop recording", lambda is_wanted: act() if is_wanted else None)

    def _change_to(self, request: Request) -> None:
        before = self.session.last_good
        self.open(request)
        if before is not None:
            self._trial = (request, before)

    def as_last_time(self, request: Request) -> Request:
        """Return a request that takes the streams of the last live session where several fit."""
        if not isinstance(request, LiveRequest) or request.preferred or request.simulated:
            return request
        return replace(request, preferred=tuple(self.settings.names("last streams")))

    def start_again(self) -> None:
        if self.session.request is not None:
            self.change_to(continued(self.session.request))

    def _judge_trial(self) -> None:
        """Return to the previous session if a changed request does not open, and say why."""
        store = self.session.store
        if self._trial is None or self.session.request is not self._trial[0]:
            return
        if store.mode:
            self._trial = None
        elif store.phase.name == "failed":
            tried, code = self._trial[0], store.phase.code
            self.open(continued(self._trial[1]))
            refused = f"The change failed: {message_line(store.phase.message)}"
            self.banners.tell(Condition("refused", "error", refused, "the previous session was restarted"))
            if isinstance(tried, ReplayRequest) and code is ErrorCode.AMBIGUOUS_STREAM:
                self.choosers.streams(tried)  # which of the file's are to be used

    def refresh(self) -> None:
        self._judge_trial()
        self.summary.poll(is_closing=self.closing.is_under_way)
        store, t = self.session.store, self.playback.time
        if not self.isMinimized() and self.calibrating.window is None:  # its screens must not wait
            self.tabs.refresh(store, t)
            self.replay_bar.refresh(store, t)
            self.header.refresh(store, self.playback)

    def refresh_slowly(self) -> None:
        """Refresh messages, and enable the commands that apply now."""
        store = self.session.store
        self.banners.show_conditions(conditions(store))
        self.recording.refresh()
        self.tabs.signals.traces.follow(store)
        self.calibrating.poll()
        request = self.session.request
        if isinstance(request, LiveRequest) and not request.simulated and store.headers:
            ids = [header.source_id for header in store.headers if header.source_id]
            if ids != self.settings.names("last streams"):
                self.settings.keep_names("last streams", ids)
        self.masks.refresh()
        can_note = store.is_live
        self.toolbar.note.allow(can_note)
        self._name_markers()
        rests = store.health is not None and store.health.rest_left_s > 0
        is_enabled = dict.fromkeys(("write_note", "stop", *(one.name for one in MENUS["Markers"])), can_note)
        is_enabled |= dict.fromkeys(("self_report", "undo_update"), can_report(store))
        is_enabled |= dict.fromkeys(("slower", "faster"), self.playback.is_replay)
        is_enabled |= {"start_rest": can_rest(store), "stop_rest": rests and can_rest(store)}
        is_enabled["add_stream"] = any(not offer.n_rivals for offer in store.offers)
        is_enabled["show_summary"] = bool(store.mode)
        for name, value in is_enabled.items():
            self.actions_by_name[name].setEnabled(value)

    def show_notice(self) -> None:
        """Show what the program is for before its first use, then offer the starter model."""
        dialog = NoticeDialog(self, must_agree=True)
        dialog.accepted.connect(lambda: self.settings.keep("notice read", True))
        dialog.accepted.connect(self.choosers.starter)
        dialog.rejected.connect(self.close)
        dialog.open()

    def after_painting(self) -> None:
        self.tabs.note_painted()

    def first_focus(self) -> QWidget:
        return self._page

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        if event is not None and not self._plain_keys.take(event):
            super().keyPressEvent(event)

    def before_closing(self) -> None:
        self.calibrating.close()
        self.settings.keep("geometry", self.saveGeometry())
        self.settings.keep("tab", self.tabs.name)
        super().before_closing()

    def pass_theme_on(self, theme: Theme) -> None:
        self.tabs.set_theme(theme)
        self.replay_bar.timeline.set_theme(theme)
        self.header.set_theme(theme)

    def button_of(self, name: str) -> tuple[str, Callable[[], None]]:
        return plain_text(BY_NAME[name]), self.actions_by_name[name].trigger


def shortcuts_dialog(parent: QWidget | None, markers: Sequence[str] = ()) -> KeysDialog:
    """Return the list of every command with its keys, and the keys of single panels.

    ``markers`` are the names of the marker keys.
    """
    named = {f"mark_{n}": one_line(name) for n, name in enumerate(markers, 1)}
    rows = [
        (key_names(command.keys), named.get(command.name, plain_text(command)), menu, command.explanation)
        for menu, commands in MENUS.items()
        for command in commands
    ] + [(key_names(keys), *words) for keys, *words in OF_PANELS]
    note = "Tab moves between controls, Alt with an underlined letter opens a menu, Escape closes a dialog."
    return KeysDialog(parent, ("Keys", "Command", "Menu", "What it does"), rows, note)
