"""Saves pictures of a window with real content, then closes it (``--screenshot``)."""

from abc import abstractmethod
from collections.abc import Callable
from enum import Enum, auto
from math import isnan
from pathlib import Path
from time import monotonic

from app.display import WindowOptions
from app.engine.messages import SessionCommand
from app.qt.shell.engine_window import EngineWindow
from app.qt.shell.window import MainWindow
from app.qt.widgets import lay_out


class Pictures:
    """Saves pictures of a window, keeps its errors, and closes it; ``say`` reports both."""

    def __init__(
        self,
        window: EngineWindow,
        options: WindowOptions,
        say: Callable[[str], None] = print,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        assert options.screenshot is not None
        self._engine_window, self._folder, self._say = window, options.screenshot, say
        self._clock, self._since = clock, clock()
        self.saved: list[Path] = []
        self.faults: list[str] = []

    @abstractmethod
    def poll(self) -> None:
        """Take the next step if it is due; called now and then."""

    def save(self, title: str) -> None:
        """Save the window as it is, under a name of title, size, scale and theme."""
        path = self._folder / self._name(title)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self.faults.append(str(error))
            return
        lay_out()  # or a text that has just changed is cut
        if self._engine_window.grab().save(str(path)):
            self.saved.append(path)
            self._say(f"saved {path}")
        else:
            self.faults.append(f"cannot write {path}")

    def end(self, fault: str = "") -> None:
        """Report errors, also the window's own, and close the window."""
        if fault:
            self.faults.append(fault)
        n_faults = self._engine_window.faults.n_faults
        if n_faults:
            self.faults.append(f"{n_faults} internal errors while the window was open")
        for each in self.faults:
            self._say(f"error: {each}")
        self._engine_window.closing.begin()

    def _name(self, title: str) -> str:
        window = self._engine_window
        scale = window.devicePixelRatioF()
        times = f"@{scale:g}x" if scale != 1 else ""
        return f"{title}-{window.width()}x{window.height()}{times}-{window.appearance.theme.name}.png"


_LOADING_LIMIT_S = 90.0
_SETTLE_S = 1.0  # a tab that has just come to the front draws for so long before its picture
_OCCLUSION_LIMIT_S = 15.0


class _Stage(Enum):
    LOADING = auto()
    RUNNING = auto()
    SHOWING = auto()
    OVER = auto()


class Screenshots(Pictures):
    """Takes a picture of each tab after the seconds asked for."""

    def __init__(
        self,
        window: MainWindow,
        options: WindowOptions,
        say: Callable[[str], None] = print,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        super().__init__(window, options, say, clock)
        self._window, self._options = window, options
        self._stage = _Stage.LOADING
        self._left = list(options.tabs)
        self._asked_at: float | None = None

    def poll(self) -> None:
        waited = self._clock() - self._since
        phase = self._window.session.store.phase
        is_over = phase.name in ("ended", "failed")
        if self._stage is _Stage.LOADING:
            has_content = not isnan(self._window.session.store.newest_time)
            if has_content or is_over or waited > _LOADING_LIMIT_S:
                self._go_to(_Stage.RUNNING)
        elif self._stage is _Stage.RUNNING:
            if waited > self._options.content_s or is_over:
                self._show_next()
        elif self._stage is _Stage.SHOWING and waited > _SETTLE_S and not self._waits_for_occlusion():
            self.save(self._left.pop(0))
            self._show_next()

    def _go_to(self, stage: _Stage) -> None:
        self._stage, self._since = stage, self._clock()

    def _show_next(self) -> None:
        if not self._left:
            self._finish()
            return
        self._window.tabs.show_tab(self._left[0])
        if self._left[0] == "why":
            self._asked_at = self._clock()
            self._window.session.send(SessionCommand.ASK_OCCLUSION)
        self._go_to(_Stage.SHOWING)

    def _waits_for_occlusion(self) -> bool:
        """Tell whether the check that the Why tab shows is still under way."""
        if self._left[0] != "why" or self._asked_at is None or not self._window.session.is_running:
            return False
        has_come = self._window.session.store.occlusion is not None
        return not has_come and self._clock() - self._asked_at < _OCCLUSION_LIMIT_S

    def _finish(self) -> None:
        phase = self._window.session.store.phase
        self._go_to(_Stage.OVER)
        self.end(phase.message if phase.name == "failed" else "")
