"""Sizes of dialogs, and paths in them."""

from __future__ import annotations

from pathlib import Path

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QWidget

_SHARE = 0.95  # of the screen


def fit_screen(dialog: QWidget, width: int, height: int) -> None:
    """Make a dialog so large, or as large as the screen allows."""
    screen = dialog.screen()
    if screen is not None:
        room = screen.availableGeometry()
        width, height = min(width, round(_SHARE * room.width())), min(height, round(_SHARE * room.height()))
    dialog.resize(width, height)


def short_path(widget: QWidget, path: Path, n_characters: int) -> str:
    """Return a path cut in its middle where it is wider than so many characters of average width."""
    width = widget.fontMetrics().averageCharWidth() * n_characters
    return widget.fontMetrics().elidedText(str(path), Qt.TextElideMode.ElideMiddle, width)
