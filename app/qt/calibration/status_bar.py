"""The line below every screen: what the program is, that data are simulated, and what can be done."""

from __future__ import annotations

from collections.abc import Callable

from PyQt6.QtCore import Qt
from PyQt6.QtGui import QFontMetricsF, QResizeEvent
from PyQt6.QtWidgets import QApplication, QHBoxLayout, QLabel, QPushButton, QWidget

from app.qt.text_size import growth, scaled

_FULL_COLUMNS = 210.0


class StatusBar(QWidget):
    """Signs on the left, buttons on the right; on a calm screen the buttons go, their keys stay.

    Parameters
    ----------
    subject : str
    is_simulated : bool
    buttons : sequence of (str, callable)
    """

    def __init__(
        self, subject: str, is_simulated: bool, buttons: list[tuple[str, Callable[[], object]]]
    ) -> None:
        super().__init__()
        said = f"{subject}  ·  Emotion inference, for research only"
        self.signs = QLabel(f"SIMULATED DATA  ·  {said}" if is_simulated else said)
        self.signs.setTextFormat(Qt.TextFormat.PlainText)
        self.signs.setProperty("muted", True)
        row = QHBoxLayout(self)
        row.setContentsMargins(24, 0, 24, 8)
        row.addWidget(self.signs, 1)
        self._buttons: list[QPushButton] = []
        for text, call in buttons:
            button = QPushButton(text)
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.setAccessibleName(text)
            button.clicked.connect(lambda _checked=False, call=call: call())
            row.addWidget(button)
            self._buttons.append(button)
        self._keep_height()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Grow the text with the window."""
        super().resizeEvent(event)
        font = QApplication.font()
        larger = growth(self.width(), QFontMetricsF(font).averageCharWidth() * _FULL_COLUMNS, 1.5)
        self.setFont(scaled(font, larger))
        self._keep_height()

    def _keep_height(self) -> None:
        """Stay as high without buttons: a calm screen is of the same size as the others."""
        self.setFixedHeight(max(button.sizeHint().height() for button in self._buttons) + 8)

    def show_buttons(self, *, is_calm: bool, can_pause: bool) -> None:
        """Show what can be done now; the first button pauses."""
        for place, button in enumerate(self._buttons):
            button.setVisible(not is_calm and (place > 0 or can_pause))
