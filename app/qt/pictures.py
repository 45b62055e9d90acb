"""Pictures of a window, saved one after another until the last one closes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from PyQt6.QtGui import QPixmap

from app.qt.shell.appearance import Appearance
from app.qt.shell.closing import Closing
from app.qt.shell.faults import Faults


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
    """Saves what a window shows, and keeps what went wrong.

    Parameters
    ----------
    window : Shown
    folder : Path
        Made with the first picture.
    say : callable
        Tells what was saved, and at the end what went wrong.

    Attributes
    ----------
    saved : list of Path
    faults : list of str
    """

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
            self.faults.append(f"{n_faults} faults of the program while the window was open")
        for each in self.faults:
            self._say(f"error: {each}")
        self._window.closing.begin()

    def _name(self, title: str) -> str:
        width, height = self._window.width(), self._window.height()
        scale = self._window.devicePixelRatioF()
        times = f"@{scale:g}x" if scale != 1 else ""
        return f"{title}-{width}x{height}{times}-{self._window.appearance.theme.name}.png"
