"""The participant's window of a guided calibration: each step's screen, and its onset."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from PyQt6.QtCore import QSize, Qt, QUrl, pyqtSignal
from PyQt6.QtGui import QCloseEvent, QDesktopServices, QGuiApplication, QKeyEvent, QKeySequence
from PyQt6.QtWidgets import QHBoxLayout, QPushButton, QStackedWidget, QVBoxLayout, QWidget

from acquisition.clock import LslClock
from acquisition.lsl.discovery import quiet_liblsl
from acquisition.text import say
from app.calibrate.prepare import Prepared, prepare
from app.display import DEFAULT_SIZE, WindowOptions
from app.engine.messages import SessionCommand
from app.engine.process import EngineProcess
from app.qt.application import run_until_closed, run_window
from app.qt.calibration import plain_screens as plain
from app.qt.calibration.operator_window import (
    MonitorScreen,
    NoticeScreen,
    OperatorWindow,
    PreflightScreen,
    distinct_screens,
    screen_words,
)
from app.qt.calibration.plain_screens import FinishScreen, RestScreen
from app.qt.calibration.report import ReportScreen
from app.qt.calibration.stimulus import (
    Screen,
    StepWatch,
    StimulusScreen,
    has_sound,
    kinds_of,
    require_multimedia,
    sound_check,
)
from app.qt.dialogs.base import KeysDialog, ask, key_names
from app.qt.shell.commands import commands_of, pressed_keys
from app.qt.shell.engine_window import EngineWindow, Settings, is_recording
from app.qt.shell.session import EngineSession
from app.qt.theme import Theme
from app.qt.widgets import plain_label, put
from app.request import CalibrationRequest
from app.view.calibration_screens import CALM_SCREENS, is_armed_to_pause, named_files, screen_of
from app.view.conditions import Condition, calibration_conditions
from app.view.text import message_line
from assets import LSL_CONFIG
from calibration.consent import notice
from calibration.protocol import order_of
from calibration.storage import next_session_number, session_place
from calibration.types import Result

KEYS = commands_of("calibration")

_REFRESH_MS = 15
_SAY_IT_THEMSELVES = ("finish", "failed")  # screens with the session's message in them


class CalibrationWindow(EngineWindow):
    """Leads a participant through a session that will be kept in ``folder``.

    With a second screen it fills that one, with one screen it fills it from the first trial on, unless its
    size was given (``is_placed``).
    """

    slow_every = 16
    closed = pyqtSignal()

    def __init__(
        self,
        session: EngineSession[CalibrationRequest],
        settings: Settings,
        prepared: Prepared,
        folder: Path,
        clock: Callable[[], float],
        *,
        is_placed: bool = False,
    ) -> None:
        super().__init__(session, settings)
        self.request = prepared.request
        self.clock, self._is_placed = clock, is_placed
        self.plan = prepared.plan
        self.live_profile: Path | None = None  # the profile to use live, if chosen
        self.commands: dict[str, Callable[[], object]] = {
            "toggle_pause": self.toggle_pause,
            "skip": lambda: self.send(SessionCommand.SKIP_TRIAL),
            "end": self.end,
            "switch_window": self.switch_window,
            "switch_theme": self.appearance.switch_theme,
            "toggle_full_screen": self.toggle_full_screen,
            "larger": lambda: self.appearance.change_scale(1),
            "smaller": lambda: self.appearance.change_scale(-1),
            "show_keys": self.show_keys,
            "close": self.close,
        }
        named = [key for key in (*KEYS["participant"], *KEYS["both"]) if key.name]
        self._calls = {
            QKeySequence(text)[0].toCombined(): self.commands[key.name] for key in named for text in key.keys
        }
        self._has_agreed = False
        self.is_split = False  # whether both windows have a screen of their own
        self._chooses = prepared.record is not None
        self._errors: set[str] = set()  # that the operator was told
        self.screen_name = ""  # of the screen shown, see `Screens`
        self.screens = Screens(self, prepared, folder)
        self._lay_out()
        self.steps = StepWatch(self, self.send, clock)
        self.start_polling(_REFRESH_MS)

    def _lay_out(self) -> None:
        self.setWindowTitle(f"Affectscope: calibration of {self.request.subject}")
        said = f"{self.request.subject}  ·  Emotion inference, for research only"
        self.signs = plain_label(f"SIMULATED DATA  ·  {said}" if self.request.simulated else said, muted=True)
        self.buttons = QPushButton("Pause (P)"), QPushButton("Keys (F1)")
        for button, call in zip(self.buttons, (self.toggle_pause, self.show_keys), strict=True):
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.clicked.connect(lambda _checked=False, call=call: call())
            policy = button.sizePolicy()
            policy.setRetainSizeWhenHidden(True)  # so that all screens have the same size
            button.setSizePolicy(policy)
        status = put(QHBoxLayout(), (self.signs, 1), *self.buttons, margins=(24, 0, 24, 8))
        self.stack = QStackedWidget()
        for screen in dict.fromkeys(self.screens.by_name.values()):
            self.stack.addWidget(screen)
        page = QWidget()
        page.setObjectName("page")
        put(QVBoxLayout(page), (self.stack, 1), status, margins=(0, 0, 0, 0), spacing=0)
        self.setCentralWidget(page)
        self.operator = OperatorWindow(self, (*KEYS["operator"], *KEYS["both"]))
        self.closing.asks_on = self.operator

    def open(self) -> None:
        """Show the first screen; the engine starts meanwhile, but opens no device yet."""
        if not self._chooses:
            self.start()
        self.place()
        application = QGuiApplication.instance()
        if isinstance(application, QGuiApplication):
            application.screenAdded.connect(self.place)
            application.screenRemoved.connect(self.place)
        self._show_screen("resume" if self._chooses else "notice")

    def choose(self, resume: bool) -> None:
        self.request = replace(self.request, resume=resume)
        if not resume:  # its protocol may be another one
            self.plan = prepare(self.request).plan
            self.screens.report.set_labels(self.plan.classes)
            self.screens.monitor.order = order_of(self.plan, self.request.seed)
        self._chooses = False
        self.start()

    def start(self) -> None:
        """Start the engine, from the notice on."""
        self._has_agreed = False
        self.steps.restart()
        self.session.start(self.request)

    def start_again(self) -> None:
        self.request = replace(self.request, resume=True)
        self.start()

    def agree(self) -> None:
        self._has_agreed = True

    def send(self, command: object) -> None:
        self.session.send(command)

    def pause(self) -> None:
        view = self.session.store.calibration
        if is_armed_to_pause(view) and view is not None and not view.is_paused:
            self.send(SessionCommand.PAUSE_SESSION)

    def toggle_pause(self) -> None:
        view = self.session.store.calibration
        if view is not None and view.is_paused:
            self.send(SessionCommand.RESUME_SESSION)
        else:
            self.pause()

    def end(self) -> None:
        if not is_armed_to_pause(self.session.store.calibration):
            return

        def answer(is_wanted: bool) -> None:
            if is_wanted:
                self.screens.finish.is_aborted = True
                self.send(SessionCommand.ABORT_SESSION)

        text = "End the session now? The recording so far is kept, and the session can be resumed later."
        ask(self.operator, "End the session?", text, "&End the session", "&Stay", answer, no_is_default=True)

    @property
    def result(self) -> Result | None:
        """The result of the session; None before the end of the fit."""
        return self.screens.finish.result

    def use_live(self) -> None:
        """Close; the opener of the window continues with the profile."""
        if self.result is not None:
            self.live_profile = self.result.profile
            self.close()

    def open_report(self) -> None:
        if self.result is None:
            return
        path = self.result.report
        if not QDesktopServices.openUrl(QUrl.fromLocalFile(str(path))):
            self.banners.tell(Condition("report", "info", f"No program is set up to open the report: {path}"))

    def refresh(self) -> None:
        store = self.session.store
        view, now = store.calibration, self.clock()
        if not self._chooses:
            self._show_screen(screen_of(view, store.phase, has_agreed=self._has_agreed))
        if view is not None and self._has_agreed:
            self.steps.take_up(view, self.current)
        self.current.refresh(view, store, now)
        self.steps.onset.poll()
        self.operator.refresh(view, store, now)

    @property
    def current(self) -> Screen:
        return self.screens.by_name[self.screen_name]

    def _show_screen(self, name: str) -> None:
        if name == self.screen_name:
            return
        if self.screen_name:
            self.current.leave()
        self.screen_name = name
        screen = self.current
        self.stack.setCurrentWidget(screen)
        is_calm = name in CALM_SCREENS
        can_pause = is_armed_to_pause(self.session.store.calibration) and name != "pause"
        for button, applies in zip(self.buttons, (can_pause, True), strict=True):
            button.setVisible(applies and not is_calm)  # their keys work on calm screens too
        self.setCursor(Qt.CursorShape.BlankCursor if is_calm else Qt.CursorShape.ArrowCursor)
        if is_calm and not self._is_placed and not self.isFullScreen():
            self.showFullScreen()
        screen.first_focus().setFocus()
        self.operator.show_page(name)
        self._choose_window(name)
        if name == "hint" and (view := self.session.store.calibration) is not None:
            self.screens.stimulus.prepare(view.step.stimulus)

    def _choose_window(self, name: str) -> None:
        view = self.session.store.calibration
        if self.is_split:
            if name in self.screens.of_operator:
                self.operator.activateWindow()
            elif name in ("notice", "report") and not self.operator.note.hasFocus():
                self.activateWindow()  # or the participant's keys would reach the operator's window
        elif name != "pause" or (view is not None and view.message):  # which says why it has paused
            self._raise(operator=name == "pause" or name in self.screens.of_operator)

    def _raise(self, *, operator: bool) -> None:
        """Bring a window to the front; on one screen hide the other."""
        self.operator.setVisible(operator or self.is_split)
        front = self.operator if operator else self
        front.raise_()
        front.activateWindow()

    def switch_window(self) -> None:
        """Go to the other window; a session is paused while the operator's covers the participant's."""
        to_operator = not (self.operator.isActiveWindow() if self.is_split else self.operator.isVisible())
        if to_operator:
            self.call_operator()
        else:
            self._raise(operator=False)

    def call_operator(self, *, pauses: bool = False) -> None:
        """Show the operator's window; on one screen the session is paused."""
        if pauses or not self.is_split:
            self.pause()
        self._raise(operator=True)

    def choose_screen(self, words: str) -> None:
        self.settings.keep("participant screen", words)
        self.place()

    def place(self) -> None:
        """Put both windows on their screens: the participant's on the chosen one, else on the second."""
        screens, chosen = distinct_screens(), self.settings.text("participant screen")
        own = next((one for one in screens if screen_words(one) == chosen), screens[min(1, len(screens) - 1)])
        others = [one for one in screens if one is not own]
        if self.is_split and not others:
            self.pause()  # a screen has gone
        self.is_split = bool(others)
        self.operator.show_screens(screens, own)
        if others and self._is_placed:
            self.move(own.availableGeometry().topLeft())
        elif others:
            self.showNormal()  # or it stays on its screen
            self.setGeometry(own.geometry())
            self.showFullScreen()
        room = (others or [own])[0].availableGeometry()
        size = self.size() if self._is_placed else QSize(*DEFAULT_SIZE)
        self.operator.resize(size.boundedTo(room.size()))
        self.operator.move(room.topLeft())
        if self.is_split:
            self.operator.show()

    def refresh_slowly(self) -> None:
        """Refresh the operator's messages; on one screen an error brings the operator's window."""
        store = self.session.store
        found = calibration_conditions(store)
        errors = {condition.key for condition in found if condition.severity == "error"}
        if errors - self._errors and not self.is_split:
            self.call_operator()
        self._errors = errors
        message = store.calibration.message if store.calibration is not None else ""
        if message and self.screen_name not in _SAY_IT_THEMSELVES:
            found.append(Condition("session", "info", message_line(message)))
        self.banners.show_conditions(found)

    def tell(self, message: str) -> None:
        """Show the operator a message of the window itself until it is closed or there is a newer one."""
        if not self.is_split:
            self.call_operator()
        self.banners.tell(Condition("message", "warning", message_line(message)))

    def show_keys(self) -> None:
        is_operator = self.operator.isActiveWindow()
        own = KEYS["operator" if is_operator else "participant"]
        rows = [(key_names(key.keys), key.explanation) for key in (*own, *KEYS["both"])]
        KeysDialog(self.operator if is_operator else self, ("Keys", "What they do"), rows).open()

    def after_painting(self) -> None:
        """Take the time when Qt has handed over what it painted."""
        self.steps.onset.note_flushed()

    def first_focus(self) -> QWidget:
        return self.current.first_focus()

    def button_of(self, name: str) -> tuple[str, Callable[[], None]]:
        """Messages here have no commands."""
        return name, self.start

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Take keys that the focused control does not use: the screen's first, then the window's."""
        if event is None or self.current.take_key(event):
            return
        if (call := self._calls.get(pressed_keys(event))) is not None:
            call()
        else:
            super().keyPressEvent(event)

    def toggle_full_screen(self) -> None:
        self._is_placed = True
        self.appearance.toggle_full_screen()

    def closeEvent(self, event: QCloseEvent | None) -> None:
        """Ask the operator, and pause meanwhile: whoever closes the participant's window ends no session."""
        if is_recording(self.session.store) and not self.closing.is_under_way:
            self.call_operator(pauses=True)
        super().closeEvent(event)
        if event is not None and event.isAccepted():
            self.steps.end_measurement()
            self.current.leave()
            self.operator.hide()
            self.closed.emit()

    def pass_theme_on(self, theme: Theme) -> None:
        pages = (*self.screens.of_operator.values(), self.screens.monitor)
        for screen in (*self.screens.by_name.values(), *pages):
            screen.set_theme(theme)


class Screens:
    """All screens, by the names that `app.view.calibration_screens` gives them.

    ``by_name`` are the participant's, ``of_operator`` those pages of the operator's that are not the
    ``monitor``.
    """

    def __init__(self, window: CalibrationWindow, prepared: Prepared, folder: Path) -> None:
        send, plan, request = window.send, prepared.plan, prepared.request
        self.stimulus = StimulusScreen(send, window.clock, window.tell)
        self.notice = NoticeScreen(send, notice(request.subject, folder), window.agree, window.close)
        is_heard = bool(kinds_of(plan) & {"sound", "video"})
        self.preflight = PreflightScreen(send, (sound_check(is_heard),))
        self.report = ReportScreen(send, plan.classes)
        order = prepared.record.order if prepared.record is not None else ()
        self.monitor = MonitorScreen(send, order or order_of(plan, request.seed))
        self.finish = FinishScreen(send, window.open_report, window.use_live, window.close)
        self.failed = plain.FailedScreen(send, window.start_again, window.close)
        self.resume = plain.ResumeScreen(send, prepared.words, window.choose)
        pages = {"resume": self.resume, "preflight": self.preflight, "finish": self.finish}
        self.of_operator: dict[str, Screen] = {**pages, "failed": self.failed}
        begins = plain.WaitingScreen(send, "The session is being prepared.")
        wait = "Please wait for the experimenter."
        self.by_name: dict[str, Screen] = {
            "resume": begins,
            "notice": self.notice,
            "waiting": begins,
            "preflight": plain.WaitingScreen(send, "The signals are being checked. Please sit still."),
            "fixation": plain.FixationScreen(send, has_sound=has_sound()),
            "practice": self.stimulus,
            "hint": plain.HintScreen(send),
            "stimulus": self.stimulus,
            "report": self.report,
            "rest": RestScreen(send),
            "pause": plain.PauseScreen(send, window.toggle_pause),
            "finish": plain.WaitingScreen(send, f"That was everything. {wait}", "Thank you", is_busy=False),
            "failed": plain.WaitingScreen(send, wait, "The session has stopped", is_busy=False),
        }


def run_calibration_window(request: CalibrationRequest, options: WindowOptions) -> int:
    """Lead a participant through a session in a window, and return the exit code when it is closed.

    Raises `InputError` for an invalid request or a stimulus that cannot be played here.
    """
    prepared = prepare(request)

    def begin(window: CalibrationWindow) -> None:
        window.open()
        window.show()

    window, code = run_until_closed(lambda s: open_calibration(prepared, s, options.size), begin, options)
    if (result := window.result) is not None:
        for line in named_files(result):
            say(line)
        say(f"Verdict: {result.verdict.code}")
    if window.live_profile is not None:
        return run_window(request.live(window.live_profile), replace(options, seconds=None))
    return code


def open_calibration(
    prepared: Prepared, settings: Settings, size: tuple[int, int] | None = None
) -> CalibrationWindow:
    """Return the window of a session, not yet shown; `InputError` if a stimulus cannot be played here."""
    require_multimedia(kinds_of(prepared.plan))
    quiet_liblsl(LSL_CONFIG)
    session: EngineSession[CalibrationRequest] = EngineSession(EngineProcess)
    folder, is_placed = _folder(prepared), size is not None
    window = CalibrationWindow(session, settings, prepared, folder, LslClock().now, is_placed=is_placed)
    window.resize(*(size or DEFAULT_SIZE))
    if (screen := window.screen()) is not None:
        window.resize(window.size().boundedTo(screen.availableSize()))
    return window


def _folder(prepared: Prepared) -> Path:
    if prepared.place is not None:
        return prepared.place.folder
    subject = prepared.request.subject
    return session_place(prepared.data, subject, next_session_number(prepared.data, subject)).folder
