"""Keys of the calibration window, which a screen's own keys precede, and the line below its screens."""

from collections.abc import Callable

from PyQt6.QtCore import QKeyCombination, Qt
from PyQt6.QtGui import QFontMetricsF, QKeyEvent, QKeySequence, QResizeEvent
from PyQt6.QtWidgets import QApplication, QHBoxLayout, QPushButton, QWidget

from app.qt.shell.commands import Command
from app.qt.theme import growth, scaled
from app.qt.widgets import plain_label, put

#: A command without a name is the key of a screen.
KEYS = (
    Command("pause", "", ("P", "Esc"), "pause; then resume the session, skip the trial or end the session"),
    Command("", "", ("1", "2", "3", "4", "5"), "choose the emotion in the self-report"),
    Command("", "", ("Left", "Right"), "move a slider"),
    Command("", "", ("Return",), "press the highlighted button; in the self-report, continue"),
    Command("", "", ("Tab",), "go to the next control"),
    Command("", "", ("R",), "during rest: repeat the suggested trial"),
    Command("switch_theme", "", ("Ctrl+L",), "switch between light and dark"),
    Command("toggle_full_screen", "", ("F11",), "full screen on or off"),
    Command("larger", "", ("Ctrl+Shift+Up",), "larger, takes effect at next start"),
    Command("smaller", "", ("Ctrl+Shift+Down",), "smaller, takes effect at next start"),
    Command("show_keys", "", ("F1",), "show this list"),
    Command("close", "", ("Ctrl+Q",), "close; asks first while recording"),
)


def key_command(event: QKeyEvent) -> str | None:
    """Return the name of a key's command in the window, None without one."""
    pressed = QKeyCombination(event.modifiers(), event.keyCombination().key()).toCombined()
    for key in KEYS:
        if key.name and any(QKeySequence(text)[0].toCombined() == pressed for text in key.keys):
            return key.name
    return None


_FULL_COLUMNS = 210.0


class StatusBar(QWidget):
    """Signs on the left, buttons on the right; calm screens hide the buttons, but their keys work."""

    def __init__(
        self, subject: str, is_simulated: bool, buttons: list[tuple[str, Callable[[], object]]]
    ) -> None:
        super().__init__()
        said = f"{subject}  ·  Emotion inference, for research only"
        self.signs = plain_label(f"SIMULATED DATA  ·  {said}" if is_simulated else said, muted=True)
        row = put(QHBoxLayout(self), (self.signs, 1), margins=(24, 0, 24, 8))
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
        super().resizeEvent(event)
        font = QApplication.font()
        larger = growth(self.width(), QFontMetricsF(font).averageCharWidth() * _FULL_COLUMNS, 1.5)
        self.setFont(scaled(font, larger))
        self._keep_height()

    def _keep_height(self) -> None:
        """Keep the height without buttons, so that all screens have the same size."""
        self.setFixedHeight(max(button.sizeHint().height() for button in self._buttons) + 8)

    def show_buttons(self, *, is_calm: bool, can_pause: bool) -> None:
        """Show the buttons that apply now; the first one pauses."""
        for place, button in enumerate(self._buttons):
            button.setVisible(not is_calm and (place > 0 or can_pause))
