"""Opens the window on a request and returns its exit code; garbage is collected between paint events."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pyqtgraph as pg
from PyQt6.QtCore import QMessageLogContext, QObject, Qt, QTimer, QtMsgType, qInstallMessageHandler
from PyQt6.QtGui import QGuiApplication
from PyQt6.QtWidgets import QApplication

from app.display import (
    DEFAULT_SIZE,
    TAB_NAMES,
    WindowOptions,
    largest_scale,
    prepare_environment,
    screen_room,
)
from app.engine.messages import Phase
from app.engine.process import EngineProcess
from app.environment import ExitCode, settings_path
from app.qt.screenshots import Screenshots
from app.qt.shell.appearance import Settings, chosen_scale
from app.qt.shell.session import EngineSession, Session
from app.qt.shell.window import MainWindow
from app.qt.theme import THEMES, Theme, let_fonts_through
from app.request import Request
from app.view.conditions import LONGEST
from app.view.text import message_line

_CHECK_MS = 50
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def run_window(request: Request, options: WindowOptions) -> int:
    """Open the window, run ``request`` in it, and return the exit code when it is closed.

    With a screenshot folder nothing is kept in the settings, and the window closes by itself.
    """
    settings = Settings(None if options.screenshot else settings_path())
    wanted = options.scale or chosen_scale(settings)
    scale = wanted if options.screenshot else fitting_scale(wanted)
    application = make_application(scale)
    session = Session(EngineProcess)
    window = MainWindow(session, settings)
    window.appearance.use_theme(chosen_theme(application, options, settings))
    _place(window, options, settings)
    if scale < wanted:
        window.appearance.tell_capped(wanted, scale)
    window.faults.install()
    outcome = Outcome(session)
    garbage = GarbageTimer(window)
    garbage.start()
    try:
        window.open(request)
        window.show()
        if not options.screenshot and not settings.flag("notice read"):
            window.show_notice()
        checks, screenshots = [_watch_time(window, options)], None
        if options.screenshot is not None:
            screenshots = Screenshots(window, options)
            checks = [screenshots.poll]
        checks.insert(0, lambda: None if window.closing.is_under_way else outcome.poll())
        timer = QTimer()
        timer.timeout.connect(lambda: [check() for check in checks])
        timer.start(_CHECK_MS)
        with ended_by_signal(window.closing.begin):
            application.exec()
    finally:
        garbage.stop()
        window.faults.remove()
        session.kill()
        window.calibrating.kill()
    if screenshots is not None and screenshots.pictures.faults:
        return outcome.code or ExitCode.INTERNAL_ERROR
    return outcome.code


def make_application(scale: float) -> QApplication:
    """Make the application, its scale, and what pyqtgraph is to use; return the one there is if any."""
    existing = QApplication.instance()
    if isinstance(existing, QApplication):
        return existing
    prepare_environment(os.environ)
    if scale != 1:
        os.environ["QT_SCALE_FACTOR"] = f"{scale:g}"
    rounding = Qt.HighDpiScaleFactorRoundingPolicy.PassThrough
    QGuiApplication.setHighDpiScaleFactorRoundingPolicy(rounding)
    let_fonts_through()
    qInstallMessageHandler(_tell)
    application = QApplication(["affectscope"])
    application.setApplicationName("affectscope")
    application.setApplicationDisplayName("Affectscope")
    application.setStyle("Fusion")  # the one style that looks alike, and takes style sheets, everywhere
    pg.setConfigOptions(antialias=False, useOpenGL=False, imageAxisOrder="row-major")
    return application


def _tell(kind: QtMsgType, context: QMessageLogContext, message: str | None) -> None:
    """Pass Qt's own messages on, but for the one the offscreen platform has for every window."""
    if message and "propagateSizeHints" not in message:
        print(f"Qt: {message}", file=sys.stderr)


def fitting_scale(wanted: float) -> float:
    """Return the scale, or the largest one that the screen holds."""
    room = screen_room() if wanted > 1 else None
    return wanted if room is None else min(wanted, largest_scale(room))


def chosen_theme(application: QApplication, options: WindowOptions, settings: Settings) -> Theme:
    """Return the colours asked for, else those kept, else those of the system."""
    hints = application.styleHints()
    is_light = hints is not None and hints.colorScheme() == Qt.ColorScheme.Light
    chosen = options.theme or settings.text("theme") or ("light" if is_light else "dark")
    return THEMES.get(chosen, THEMES["dark"])


def _place(window: MainWindow, options: WindowOptions, settings: Settings) -> None:
    geometry = settings.state("geometry")
    if options.size is not None or options.screenshot is not None:
        window.setFixedSize(*(options.size or DEFAULT_SIZE)) if options.screenshot else window.resize(
            *(options.size or DEFAULT_SIZE)
        )
    elif geometry is None or not window.restoreGeometry(geometry):
        window.resize(*DEFAULT_SIZE)
    screen = window.screen()
    if screen is not None and not options.screenshot:
        window.resize(window.size().boundedTo(screen.availableSize()))
    tab = options.tabs[0] if len(options.tabs) == 1 else settings.text("tab", TAB_NAMES[0])
    window.tabs.show_tab(tab if tab in TAB_NAMES else TAB_NAMES[0])


def _watch_time(window: MainWindow, options: WindowOptions) -> Callable[[], None]:
    """Close the window when a session that was given so many seconds has had them."""

    def check() -> None:
        if options.seconds is not None and window.session.store.phase.name == "ended":
            window.closing.begin()

    return check


@contextmanager
def ended_by_signal(close: Callable[[], None]) -> Iterator[None]:
    """Close properly on Ctrl-C in the terminal, a request to terminate, or a terminal that goes."""

    def take(_number: int, _frame: FrameType | None) -> None:
        close()

    before = {number: signal.signal(number, take) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Outcome:
    """Follows the sessions of a window; call `poll` now and then until the window is to close.

    ``say`` takes the line of a failure; by default it goes to stderr.
    """

    def __init__(self, session: EngineSession[Any], say: Callable[[str], None] = _say) -> None:
        self._session, self._say = session, say
        self._last: Phase | None = None

    def poll(self) -> None:
        """Say a failure once."""
        phase = self._session.store.phase
        if phase is self._last:
            return
        self._last = phase
        if phase.name == "failed":
            self._say(f"error: {message_line(phase.message, LONGEST)}")

    @property
    def code(self) -> int:
        """The exit code: that of the headless commands, by how the last session stood."""
        if self._last is None or self._last.name != "failed":
            return ExitCode.GOOD
        return ExitCode.INTERNAL_ERROR if self._last.code is None else ExitCode.WRONG_USE


_EVERY_MS = 1000
_ALL_EVERY = 30  # collections: then of old objects too


class GarbageTimer(QObject):
    """Collects from the event loop, between events, for as long as its parent lives."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._n = 0
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._collect)

    def start(self) -> None:
        """Take over from the automatic collection."""
        gc.collect()
        gc.freeze()  # modules and windows stay: looking at them again and again would only take time
        gc.disable()
        self._timer.start(_EVERY_MS)

    def stop(self) -> None:
        """Leave it to Python again."""
        self._timer.stop()
        gc.enable()
        gc.unfreeze()

    def _collect(self) -> None:
        self._n += 1
        gc.collect(2 if self._n % _ALL_EVERY == 0 else 1)
