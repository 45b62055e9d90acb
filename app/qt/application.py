"""Opens the window on a request and returns when it is closed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import pyqtgraph as pg
from PyQt6.QtCore import QMessageLogContext, Qt, QTimer, QtMsgType, qInstallMessageHandler
from PyQt6.QtGui import QGuiApplication
from PyQt6.QtWidgets import QApplication

from app.display import prepare_environment, screen_room
from app.engine.process import EngineProcess
from app.environment import ExitCode, settings_path
from app.qt.garbage import GarbageTimer
from app.qt.outcome import Outcome
from app.qt.screenshots import Screenshots
from app.qt.shell.appearance import chosen_scale
from app.qt.shell.session import Session
from app.qt.shell.settings import Settings
from app.qt.shell.window import MainWindow
from app.qt.text_size import let_fonts_through
from app.qt.theme import THEMES, Theme
from app.request import Request
from app.window_options import DEFAULT_SIZE, TAB_NAMES, WindowOptions, largest_scale

_CHECK_MS = 50
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def run_window(request: Request, options: WindowOptions) -> int:
    """Open the window, run ``request`` in it, and return the exit code when it is closed.

    Parameters
    ----------
    request : LiveRequest or ReplayRequest
    options : WindowOptions
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
