"""Colours, scale and full screen of a window, and the choices kept between runs."""

import os
from collections.abc import Callable
from pathlib import Path

from PyQt6.QtCore import QByteArray, QSettings
from PyQt6.QtWidgets import QApplication, QMainWindow

from app.display import largest_scale
from app.qt.theme import DARK, THEMES, Theme, palette, style_sheet
from app.view.conditions import Condition

_MAX_RECENT = 8


class Settings:
    """Choices by name, kept in an INI file if there is one; an unreadable one counts as not made."""

    def __init__(self, path: Path | None) -> None:
        self._file: QSettings | None = None
        self._kept: dict[str, object] = {}
        if path is not None:
            self._file = QSettings(str(path), QSettings.Format.IniFormat)

    def text(self, name: str, default: str = "") -> str:
        """Return a text."""
        value = self._value(name)
        return value if isinstance(value, str) else default

    def number(self, name: str, default: float) -> float:
        """Return a number."""
        try:
            return float(str(self._value(name)))
        except ValueError:
            return default

    def flag(self, name: str) -> bool:
        """Return whether something was chosen."""
        return self.text(name) == "yes"

    def state(self, name: str) -> QByteArray | None:
        """Return a Qt state, e.g. a window's geometry."""
        value = self._value(name)
        return value if isinstance(value, QByteArray) else None

    def paths(self, name: str) -> list[Path]:
        """Return paths, the newest first."""
        return [Path(line) for line in self.text(name).split("|") if line]

    def keep(self, name: str, value: str | float | bool | QByteArray) -> None:
        """Keep a choice."""
        kept = ("yes" if value else "no") if isinstance(value, bool) else value
        if self._file is not None:
            self._file.setValue(name, kept if isinstance(kept, QByteArray) else str(kept))
        else:
            self._kept[name] = kept if isinstance(kept, QByteArray) else str(kept)

    def keep_recent(self, name: str, path: Path) -> None:
        """Put a path before the others of that name."""
        paths = [path, *(other for other in self.paths(name) if other != path)]
        self.keep(name, "|".join(str(path) for path in paths[:_MAX_RECENT]))

    def save(self) -> None:
        """Write the file now."""
        if self._file is not None:
            self._file.sync()

    def _value(self, name: str) -> object:
        return self._file.value(name) if self._file is not None else self._kept.get(name)


SCALES = (1.0, 1.25, 1.5, 1.75, 2.0)


class Appearance:
    """Changes the window's appearance and keeps it; ``on_theme`` reaches what style sheets do not."""

    def __init__(
        self,
        window: QMainWindow,
        settings: Settings,
        on_theme: Callable[[Theme], None],
        tell: Callable[[Condition], None],
    ) -> None:
        self._window, self._settings, self._on_theme, self._tell = window, settings, on_theme, tell
        self.theme = DARK

    def use_theme(self, theme: Theme) -> None:
        """Take these colours."""
        self.theme = theme
        QApplication.setPalette(palette(theme))
        self._window.setStyleSheet(style_sheet(theme))
        self._on_theme(theme)

    def switch_theme(self) -> None:
        """Go from dark to light or back."""
        self.use_theme(THEMES["light" if self.theme.name == "dark" else "dark"])
        self._settings.keep("theme", self.theme.name)

    def change_scale(self, direction: int) -> None:
        """Choose the next scale; Qt takes it when the program starts."""
        before = chosen_scale(self._settings)
        at = min(range(len(SCALES)), key=lambda i: abs(SCALES[i] - before))
        scale = SCALES[min(max(at + direction, 0), len(SCALES) - 1)]
        most = largest_scale(self._room())
        if scale > before and scale > most:
            self._say(f"This screen fits up to {100 * most:.0f} %: the scale stays at {100 * before:.0f} %.")
            return
        self._settings.keep("scale", scale)
        self._settings.save()
        self._say(f"The scale of {100 * scale:.0f} % takes effect at next start.")

    def tell_capped(self, wanted: float, used: float) -> None:
        """Say that the screen holds less than the scale that was wanted."""
        self._say(f"A scale of {100 * wanted:.0f} % does not fit this screen: {100 * used:.0f} % is used.")

    def _say(self, text: str) -> None:
        self._tell(Condition("scale", "info", text))

    def _room(self) -> tuple[int, int]:
        """Return the screen's room in points of scale 1."""
        screen = self._window.screen()
        if screen is None:
            return 10_000, 10_000
        used = float(os.environ.get("QT_SCALE_FACTOR", "1"))
        room = screen.availableGeometry()
        return round(room.width() * used), round(room.height() * used)

    def toggle_full_screen(self) -> None:
        """Fill the screen, or return to a window."""
        if self._window.isFullScreen():
            self._window.showNormal()
        else:
            self._window.showFullScreen()


def chosen_scale(settings: Settings) -> float:
    """Return the scale kept from the last run, 1 to 2."""
    return min(max(settings.number("scale", 1.0), 1.0), 2.0)
