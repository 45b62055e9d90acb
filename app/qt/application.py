"""Opens the window on a request and returns its exit code, or saves pictures of it and closes it."""

import gc
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from math import isnan
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import Any, TypeVar

import pyqtgraph as pg
from PyQt6.QtCore import QMessageLogContext, QObject, QSize, Qt, QTimer, QtMsgType, qInstallMessageHandler
from PyQt6.QtGui import QGuiApplication
from PyQt6.QtWidgets import QApplication, QStyle

from acquisition.errors import printable
from acquisition.stream_words import why_nothing
from acquisition.text import say
from app import display
from app.display import WindowOptions
from app.engine.messages import Phase, SessionCommand
from app.engine.process import EngineProcess
from app.environment import ExitCode, settings_path
from app.qt.shell.choosers import with_kept
from app.qt.shell.engine_window import EngineWindow, Settings, chosen_scale
from app.qt.shell.session import EngineSession, Session
from app.qt.shell.window import MainWindow
from app.qt.theme import THEMES, Theme, let_fonts_through
from app.qt.widgets import lay_out
from app.request import CalibrationRequest, Request
from app.view.conditions import LONGEST
from app.view.text import message_line

_LOADING_LIMIT_S = 90.0
_SETTLE_S = 1.0  # a tab that has just come to the front draws for so long before its picture
_OCCLUSION_LIMIT_S = 15.0


class Screenshots:
    """Saves a picture of each tab after the seconds asked for, keeps errors, and closes the window.

    ``say`` reports pictures and errors.
    """

    def __init__(
        self,
        window: MainWindow,
        options: WindowOptions,
        say: Callable[[str], None] = print,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        assert options.screenshot is not None
        self._window, self._options, self._say = window, options, say
        self._folder, self._clock = options.screenshot, clock
        self.saved: list[Path] = []
        self.faults: list[str] = []
        self._steps = self._run()

    def poll(self) -> None:
        """Take the next step if it is due; called now and then."""
        next(self._steps, None)

    def _run(self) -> Iterator[None]:
        """Do all of it, giving way wherever there is something to wait for."""
        session = self._window.session

        def has_begun() -> bool:
            return session.store.is_over or not isnan(session.store.newest_time)

        def is_checked() -> bool:
            return session.store.occlusion is not None or not session.is_running

        yield from self._wait(_LOADING_LIMIT_S, has_begun)
        yield from self._wait(self._options.content_s, lambda: session.store.is_over)
        for tab in self._options.tabs:
            self._window.tabs.show_tab(tab)
            if tab == "why":
                session.send(SessionCommand.ASK_OCCLUSION)
            yield from self._wait(_SETTLE_S)
            if tab == "why":
                yield from self._wait(_OCCLUSION_LIMIT_S, is_checked)
            self._save(tab)
        phase, n_faults = session.store.phase, self._window.faults.n_faults
        self.faults += [phase.message] if phase.name == "failed" else []
        self.faults += [f"{n_faults} internal errors while the window was open"] if n_faults else []
        for each in self.faults:
            self._say(f"error: {each}")
        self._window.closing.begin()

    def _wait(self, most_s: float, until: Callable[[], bool] = lambda: False) -> Iterator[None]:
        end = self._clock() + most_s
        while not until() and self._clock() <= end:
            yield

    def _save(self, tab: str) -> None:
        """Save the window as it is, under a name of tab, size, scale and theme."""
        window, scale = self._window, self._window.devicePixelRatioF()
        times = f"@{scale:g}x" if scale != 1 else ""
        theme = window.appearance.theme.name
        path = self._folder / f"{tab}-{window.width()}x{window.height()}{times}-{theme}.png"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self.faults.append(str(error))
            return
        lay_out()  # or a text that has just changed is cut
        if window.grab().save(str(path)):
            self.saved.append(path)
            self._say(f"saved {path}")
        else:
            self.faults.append(f"cannot write {path}")


_CHECK_MS = 50
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


W = TypeVar("W", bound=EngineWindow)


def run_window(request: Request, options: display.WindowOptions) -> int:
    """Open the window, run ``request`` in it, and return the exit code when it is closed.

    With a screenshot folder nothing is kept in the settings, and the window closes by itself.
    """

    def make(settings: Settings) -> MainWindow:
        window = MainWindow(Session(EngineProcess), settings)
        place(window, options, settings)
        return window

    pictures: list[Screenshots] = []

    def begin(window: MainWindow) -> None:
        window.open(window.as_last_time(with_kept(request, window.settings)))
        window.show()
        if options.screenshot is not None:
            pictures.append(Screenshots(window, options))
        elif not window.settings.flag("notice read"):
            window.show_notice()

    def poll(window: MainWindow) -> None:
        """Take pictures, or close the window when a session that was given so many seconds has had them."""
        if pictures:
            pictures[0].poll()
        elif options.seconds is not None and window.session.store.phase.name == "ended":
            window.closing.begin()

    window, code = run_until_closed(make, begin, options, poll)
    window.calibrating.kill()
    if pictures and pictures[0].faults:
        return code or ExitCode.INTERNAL_ERROR
    return code


def run_until_closed(
    make: Callable[[Settings], W],
    begin: Callable[[W], None],
    options: display.WindowOptions,
    on_poll: Callable[[W], None] = lambda _: None,
) -> tuple[W, int]:
    """Make a window, start its session, and return it with its exit code when it is closed."""
    settings = Settings(None if options.screenshot else settings_path())
    application = make_application(options.scale or chosen_scale(settings))
    window = make(settings)
    window.appearance.use_theme(chosen_theme(application, options, settings))
    outcome = Outcome(window.session)

    def poll() -> None:
        if not window.closing.is_under_way:
            outcome.poll()
        on_poll(window)

    timer = QTimer()
    timer.timeout.connect(poll)
    window.faults.install()
    try:
        with collected_between_events(window), ended_by_signal(window.closing.begin):
            begin(window)
            timer.start(_CHECK_MS)
            application.exec()
    finally:
        window.faults.remove()
        window.session.kill()
    outcome.say_end()
    return window, outcome.code


def make_application(scale: float) -> QApplication:
    """Make the application, its scale, and what pyqtgraph is to use; return the one there is if any."""
    existing = QApplication.instance()
    if isinstance(existing, QApplication):
        return existing
    display.prepare_environment(os.environ)
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
        say(f"Qt: {message}", error=True)


def chosen_theme(application: QApplication, options: display.WindowOptions, settings: Settings) -> Theme:
    """Return the colours asked for, else those kept, else those of the system."""
    hints = application.styleHints()
    is_light = hints is not None and hints.colorScheme() == Qt.ColorScheme.Light
    chosen = options.theme or settings.text("theme") or ("light" if is_light else "dark")
    return THEMES.get(chosen, THEMES["dark"])


def place(window: MainWindow, options: display.WindowOptions, settings: Settings) -> None:
    geometry = settings.state("geometry")
    if options.size is not None or options.screenshot is not None:
        set_size = window.setFixedSize if options.screenshot else window.resize
        set_size(*(options.size or display.DEFAULT_SIZE))
    elif geometry is None or not window.restoreGeometry(geometry):
        window.resize(*display.DEFAULT_SIZE)
    screen = window.screen()
    style = window.style()
    if screen is not None and style is not None and not options.screenshot:
        title = style.pixelMetric(QStyle.PixelMetric.PM_TitleBarHeight)  # the frame's is known once shown
        room = screen.availableSize() - QSize(0, title)
        if window.size() != window.size().boundedTo(room):  # or the time bar is below the screen
            window.resize(window.size().boundedTo(room))
            window.setWindowState(window.windowState() | Qt.WindowState.WindowMaximized)
    tab = options.tabs[0] if len(options.tabs) == 1 else settings.text("tab", display.TAB_NAMES[0])
    window.tabs.show_tab(tab if tab in display.TAB_NAMES else display.TAB_NAMES[0])


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


_say = partial(say, error=True)


class Outcome:
    """Follows the sessions of a window and says a failure once, by default on stderr."""

    def __init__(self, session: EngineSession[Any], say: Callable[[str], None] = _say) -> None:
        self._session, self._say = session, say
        self._last: Phase | None = None

    def poll(self) -> None:
        phase = self._session.store.phase
        if phase is self._last:
            return
        self._last = phase
        if phase.name == "failed":
            self._say(f"error: {message_line(phase.message, LONGEST)}")

    @property
    def code(self) -> int:
        """The exit code: that of the headless commands, by how the last session stood."""
        if self._last is not None and self._last.name == "failed":
            return ExitCode.INTERNAL_ERROR if self._last.code is None else ExitCode.of(self._last.code)
        lacks = any(failure.stage in ("recording", "output") for failure in self._session.store.failures)
        return ExitCode.DAMAGED_INPUT if self.why_nothing or lacks else ExitCode.GOOD

    @property
    def why_nothing(self) -> list[str]:
        """Why the last session gave no prediction; empty where it did, or was never under way."""
        store, request = self._session.store, self._session.request
        if isinstance(request, CalibrationRequest) or store.predictions.newest is not None:
            return []
        if store.phase.name == "waiting" or not store.mode:
            return [message_line(store.phase.message)] if store.phase.name == "waiting" else []
        ledgers = store.health.ledgers.values() if store.health is not None else ()
        return why_nothing(ledgers, store.modalities)

    def say_end(self) -> None:
        for reason in self.why_nothing if self.code == ExitCode.DAMAGED_INPUT else ():
            self._say(f"no prediction: {printable(reason)}")


_EVERY_MS = 1000
_ALL_EVERY = 30  # collections: then of old objects too


@contextmanager
def collected_between_events(parent: QObject) -> Iterator[None]:
    """Collect garbage from the event loop, between events, instead of whenever Python would."""
    numbers = count(1)
    timer = QTimer(parent)
    timer.timeout.connect(lambda: gc.collect(1 if next(numbers) % _ALL_EVERY else 2))
    gc.collect()
    gc.freeze()  # modules and windows stay: looking at them again and again would only take time
    gc.disable()
    timer.start(_EVERY_MS)
    try:
        yield
    finally:
        timer.stop()
        gc.enable()
        gc.unfreeze()
