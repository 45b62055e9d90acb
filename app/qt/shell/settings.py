"""What a person chose, kept between runs in a file that can be read and deleted."""

from __future__ import annotations

from pathlib import Path

from PyQt6.QtCore import QByteArray, QSettings

_MAX_RECENT = 8


class Settings:
    """Choices by name; one that cannot be understood counts as not made.

    Parameters
    ----------
    path : Path or None
        An INI file; without one nothing is kept.
    """

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
        """Return what Qt calls a state, e.g. a window's geometry."""
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
