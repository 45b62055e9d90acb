"""Saves pictures of a window with real content, then closes it (``--screenshot``)."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path
from time import monotonic
from typing import Protocol

from PyQt6.QtGui import QPixmap

from app.display import WindowOptions
from app.engine.messages import AskOcclusion
from app.qt.shell.appearance import Appearance
from app.qt.shell.banners import Faults
from app.qt.shell.choosers import Closing
from app.qt.shell.window import MainWindow


class Shown(Protocol):
    """What a window must have to be taken pictures of."""

    faults: Faults
    closing: Closing
    appearance: Appearance

    def width(self) -> int: ...
    def height(self) -> int: ...
    def devicePixelRatioF(self) -> float: ...
    def grab(self) -> QPixmap: ...


class Pictures:
    """Saves what a window shows, and keeps what went wrong; ``say`` tells both."""

    def __init__(self, window: Shown, folder: Path, say: Callable[[str], None]) -> None:
        self._window, self._folder, self._say = window, folder, say
        self.saved: list[Path] = []
        self.faults: list[str] = []

    def save(self, title: str) -> None:
        """Save the window as it is, under a name of title, size, scale and theme."""
        path = self._folder / self._name(title)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self.faults.append(str(error))
            return
        if self._window.grab().save(str(path)):
            self.saved.append(path)
            self._say(f"saved {path}")
        else:
            self.faults.append(f"cannot write {path}")

    def end(self, fault: str = "") -> None:
        """Tell what went wrong, with what the window noticed itself, and close the window."""
        if fault:
            self.faults.append(fault)
        n_faults = self._window.faults.n_faults
        if n_faults:
            self.faults.append(f"{n_faults} internal errors while the window was open")
        for each in self.faults:
            self._say(f"error: {each}")
        self._window.closing.begin()

    def _name(self, title: str) -> str:
        width, height = self._window.width(), self._window.height()
        scale = self._window.devicePixelRatioF()
        times = f"@{scale:g}x" if scale != 1 else ""
        return f"{title}-{width}x{height}{times}-{self._window.appearance.theme.name}.png"


_LOADING_LIMIT_S = 90.0
_SETTLE_S = 1.0  # a tab that has just come to the front draws for so long before its picture
_OCCLUSION_LIMIT_S = 15.0


class _Stage(Enum):
    LOADING = auto()
    RUNNING = auto()
    SHOWING = auto()
    OVER = auto()


class Screenshots:
    """Takes pictures as time goes on; call `poll` now and then."""

    def __init__(
        self,
        window: MainWindow,
        options: WindowOptions,
        say: Callable[[str], None] = print,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        assert options.screenshot is not None
        self._window, self._options, self._clock = window, options, clock
        self.pictures = Pictures(window, options.screenshot, say)
        self._stage = _Stage.LOADING
        self._since = clock()
        self._left = list(options.tabs)
        self._asked_at: float | None = None

    def poll(self) -> None:
        """Go on to the next stage when it is time."""
        waited = self._clock() - self._since
        phase = self._window.session.store.phase
        is_over = phase.name in ("ended", "failed")
        if self._stage is _Stage.LOADING:
            has_content = self._window.session.store.newest_time == self._window.session.store.newest_time
            if has_content or is_over or waited > _LOADING_LIMIT_S:
                self._go_to(_Stage.RUNNING)
        elif self._stage is _Stage.RUNNING:
            if waited > self._options.content_s or is_over:
                self._show_next()
        elif self._stage is _Stage.SHOWING and waited > _SETTLE_S and not self._waits_for_occlusion():
            self.pictures.save(self._left.pop(0))
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
            self._window.session.send(AskOcclusion())
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
        self.pictures.end(phase.message if phase.name == "failed" else "")
