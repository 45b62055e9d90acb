"""Colours, scale and full screen of a window, and the choices kept between runs."""

from collections.abc import Callable, Iterable
from pathlib import Path

from PyQt6.QtCore import QByteArray, QSettings
from PyQt6.QtWidgets import QApplication, QMainWindow

from app.qt.theme import DARK, THEMES, Theme, palette, style_sheet
from app.view.conditions import Condition

_MAX_RECENT = 8


class Settings:
    """Choices by name, kept in an INI file if there is one; an unreadable one counts as not made."""

    def __init__(self, path: Path | None) -> None:
        self._file = None if path is None else QSettings(str(path), QSettings.Format.IniFormat)
        self._kept = (
            {} if self._file is None else {key: self._file.value(key) for key in self._file.allKeys()}
        )

    def text(self, name: str, default: str = "") -> str:
        value = self._kept.get(name)
        return value if isinstance(value, str) else default

    def number(self, name: str, default: float) -> float:
        try:
            return float(str(self._kept.get(name)))
        except ValueError:
            return default

    def flag(self, name: str) -> bool:
        return self.text(name) == "yes"

    def state(self, name: str) -> QByteArray | None:
        """Return a Qt state, e.g. a window's geometry."""
        value = self._kept.get(name)
        return value if isinstance(value, QByteArray) else None

    def names(self, name: str) -> list[str]:
        return [each for each in self.text(name).split("|") if each]

    def paths(self, name: str) -> list[Path]:
        """Return paths, the newest first."""
        return [Path(each) for each in self.names(name)]

    def keep(self, name: str, value: str | float | bool | QByteArray) -> None:
        if isinstance(value, bool):
            value = "yes" if value else "no"
        self._kept[name] = kept = value if isinstance(value, QByteArray) else str(value)
        if self._file is not None:
            self._file.setValue(name, kept)

    def keep_names(self, name: str, names: Iterable[str]) -> None:
        self.keep(name, "|".join(names))

    def keep_recent(self, name: str, path: Path) -> None:
        """Put a path before the others of that name."""
        paths = [path, *(other for other in self.paths(name) if other != path)]
        self.keep_names(name, map(str, paths[:_MAX_RECENT]))

    def save(self) -> None:
        if self._file is not None:
            self._file.sync()


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
        self.theme = theme
        QApplication.setPalette(palette(theme))
        self._window.setStyleSheet(style_sheet(theme))
        self._on_theme(theme)

    def switch_theme(self) -> None:
        self.use_theme(THEMES["light" if self.theme.name == "dark" else "dark"])
        self._settings.keep("theme", self.theme.name)

    def change_scale(self, direction: int) -> None:
        """Choose the next scale; Qt takes it when the program starts."""
        before = chosen_scale(self._settings)
        at = min(range(len(SCALES)), key=lambda i: abs(SCALES[i] - before))
        scale = SCALES[min(max(at + direction, 0), len(SCALES) - 1)]
        self._settings.keep("scale", scale)
        self._settings.save()
        text = f"The scale of {100 * scale:.0f} % takes effect at next start."
        self._tell(Condition("scale", "info", text))

    def toggle_full_screen(self) -> None:
        if self._window.isFullScreen():
            self._window.showNormal()
        else:
            self._window.showFullScreen()


def chosen_scale(settings: Settings) -> float:
    """Return the scale kept from the last run, 1 to 2."""
    return min(max(settings.number("scale", 1.0), 1.0), 2.0)
