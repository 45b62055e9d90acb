"""The window's own keys; a screen's keys come before them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PyQt6.QtCore import QKeyCombination, Qt
from PyQt6.QtGui import QFontMetricsF, QKeyEvent, QKeySequence, QResizeEvent
from PyQt6.QtWidgets import (
    QApplication,
    QDialog,
    QDialogButtonBox,
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from app.qt.dialogs.base import fit_screen
from app.qt.theme import growth, scaled


@dataclass(frozen=True)
class Key:
    """A key, the window's method that it calls (empty: a screen takes it), and what it does."""

    keys: tuple[str, ...]
    command: str
    explanation: str


KEYS = (
    Key(("P", "Esc"), "pause", "hold the session; from there go on, skip the trial or end the session"),
    Key(("1", "2", "3", "4", "5"), "", "choose the emotion in the answer"),
    Key(("Left", "Right"), "", "move a slider"),
    Key(("Return",), "", "press the button that is marked; in the answer, go on to the next question"),
    Key(("Tab",), "", "go to the next control"),
    Key(("R",), "", "in the rest: repeat the trial that is worth it"),
    Key(("Ctrl+L",), "switch_theme", "light or dark"),
    Key(("F11",), "toggle_full_screen", "fill the screen, or not"),
    Key(("Ctrl+Shift+Up",), "larger", "scale the window up, from the next start on"),
    Key(("Ctrl+Shift+Down",), "smaller", "scale the window down, from the next start on"),
    Key(("F1",), "show_keys", "this list"),
    Key(("Ctrl+Q",), "close", "close; asks while something is recorded"),
)


def key_command(event: QKeyEvent) -> str | None:
    """Return the window's method that a key calls, None if it has none."""
    pressed = QKeyCombination(event.modifiers(), event.keyCombination().key()).toCombined()
    for key in KEYS:
        if key.command and any(QKeySequence(text)[0].toCombined() == pressed for text in key.keys):
            return key.command
    return None


class KeysDialog(QDialog):
    """Every key with what it does."""

    def __init__(self, parent: QWidget | None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys")
        table = QTableWidget(len(KEYS), 2)
        table.setHorizontalHeaderLabels(["Keys", "What they do"])
        table.setAccessibleName("All keys")
        table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        table.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
        if (numbers := table.verticalHeader()) is not None:
            numbers.hide()
        for row, key in enumerate(KEYS):
            shown = " or ".join(
                QKeySequence(text).toString(QKeySequence.SequenceFormat.NativeText) for text in key.keys
            )
            for column, words in enumerate((shown, key.explanation)):
                table.setItem(row, column, QTableWidgetItem(words))
        table.selectRow(0)
        table.resizeColumnsToContents()
        if (header := table.horizontalHeader()) is not None:
            header.setStretchLastSection(True)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        column_layout = QVBoxLayout(self)
        column_layout.addWidget(table, 1)
        column_layout.addWidget(buttons)
        metrics = self.fontMetrics()
        fit_screen(self, metrics.averageCharWidth() * 110, metrics.height() * 28)


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


def ask_to_end(parent: QWidget, end: Callable[[], object]) -> QMessageBox:
    """Ask whether the session shall end, and call ``end`` if so."""
    question = QMessageBox(parent)
    question.setWindowTitle("End the session?")
    question.setTextFormat(Qt.TextFormat.PlainText)
    question.setText(
        "End the session now? What was recorded is kept, and the next start offers to go on from here."
    )
    yes = question.addButton("&End the session", QMessageBox.ButtonRole.AcceptRole)
    stay = question.addButton("&Stay", QMessageBox.ButtonRole.RejectRole)
    question.setDefaultButton(stay)
    question.finished.connect(lambda: end() if question.clickedButton() is yes else None)
    question.open()
    return question
