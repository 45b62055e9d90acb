"""Saves pictures of a window with real content, then closes it (``--screenshot``)."""

from collections.abc import Callable
from enum import Enum, auto
from math import isnan
from pathlib import Path
from time import monotonic

from app.display import WindowOptions
from app.engine.messages import SessionCommand
from app.qt.shell.window import MainWindow
from app.qt.widgets import lay_out

_LOADING_LIMIT_S = 90.0
_SETTLE_S = 1.0  # a tab that has just come to the front draws for so long before its picture
_OCCLUSION_LIMIT_S = 15.0


class _Stage(Enum):
    LOADING = auto()
    RUNNING = auto()
    SHOWING = auto()
    OVER = auto()


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
        self._folder, self._clock, self._since = options.screenshot, clock, clock()
        self.saved: list[Path] = []
        self.faults: list[str] = []
        self._stage = _Stage.LOADING
        self._left = list(options.tabs)
        self._asked_at: float | None = None

    def poll(self) -> None:
        """Take the next step if it is due; called now and then."""
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
            self._save(self._left.pop(0))
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

    def _finish(self) -> None:
        """Report errors, also the window's own, and close the window."""
        phase, n_faults = self._window.session.store.phase, self._window.faults.n_faults
        self._go_to(_Stage.OVER)
        self.faults += [phase.message] if phase.name == "failed" else []
        self.faults += [f"{n_faults} internal errors while the window was open"] if n_faults else []
        for each in self.faults:
            self._say(f"error: {each}")
        self._window.closing.begin()
