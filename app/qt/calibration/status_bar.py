"""The line below every screen: what the program is, that data are simulated, and what can be done."""

from __future__ import annotations

from collections.abc import Callable

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QWidget


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
        self.setFixedHeight(self.sizeHint().height())  # or a calm screen would be of another height

    def show_buttons(self, *, is_calm: bool, can_pause: bool) -> None:
        """Show what can be done now; the first button pauses."""
        for place, button in enumerate(self._buttons):
            button.setVisible(not is_calm and (place > 0 or can_pause))
