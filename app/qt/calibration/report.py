"""What the person felt: an emotion by key or button, pleasantness and excitement on sliders."""

from __future__ import annotations

from collections.abc import Sequence

from PyQt6.QtCore import Qt
from PyQt6.QtGui import QKeyEvent
from PyQt6.QtWidgets import QButtonGroup, QGridLayout, QHBoxLayout, QLabel, QPushButton, QWidget

from app.engine.messages import Answer
from app.qt.calibration.affective_slider import AffectiveSlider
from app.qt.calibration.screen import Screen, Send, is_enter
from app.qt.calibration.time_bar import TimeBar
from app.qt.theme import Theme
from app.view.plain_text import one_line
from app.view.store import ViewStore
from calibration.types import Report, SessionView

#: What was chosen by then is sent before the time is over: the engine takes nothing afterwards.
_SENT_BEFORE_END_S = 0.4
_SCALES = {
    "valence": ("How pleasant was it?", "unpleasant", "pleasant"),
    "arousal": ("How exciting was it?", "calm", "excited"),
}


class ReportScreen(Screen):
    """Takes the answer; Enter goes from one question to the next, and sends at the last.

    Parameters
    ----------
    send : callable
    labels : sequence of str
        Emotions to choose from, in the order of their keys.
    """

    def __init__(self, send: Send, labels: Sequence[str]) -> None:
        super().__init__("Your answer", send, width=110)
        self._labels: tuple[str, ...] = ()
        self._step_id = 0
        self._is_sent = False
        self.title = self.words("", 1.6, bold=True)
        self.column.addStretch(1)
        self.column.addWidget(self.title)
        self.column.addSpacing(6)
        self.column.addWidget(self.words("What did you feel most?", 1.25))
        self._choices = QHBoxLayout()
        self._choices.setSpacing(8)
        self.buttons = QButtonGroup(self)
        self.buttons.idClicked.connect(self._choose)
        self.column.addLayout(self._choices)
        self.sliders: dict[str, AffectiveSlider] = {}
        self._values: dict[str, QLabel] = {}
        for kind in _SCALES:
            self.column.addSpacing(12)
            self.column.addLayout(self._scale(kind))
        self.column.addSpacing(8)
        self.hint = self.words("", muted=True)
        self.done = self.button("&Done", self.answer, primary=True)
        foot = QHBoxLayout()
        foot.addWidget(self.hint, 1)
        foot.addWidget(self.done)
        self.column.addLayout(foot)
        self.column.addStretch(1)
        self.time = TimeBar()
        self.column.addWidget(self.time)
        self.set_labels(labels)

    def set_labels(self, labels: Sequence[str]) -> None:
        """Take other emotions to choose from."""
        for button in self.buttons.buttons():
            self.buttons.removeButton(button)
            button.deleteLater()
        self._labels = tuple(labels)
        for place, label in enumerate(self._labels):
            words = one_line(label).capitalize()
            button = QPushButton(f"{place + 1}   {words}" if place < 9 else words)
            button.setObjectName("choice")
            button.setAccessibleName(words)
            button.setCheckable(True)
            self.buttons.addButton(button, place)
            self._choices.addWidget(button, 1)
        self.fit_buttons()
        self._look()

    def begin(self, view: SessionView) -> None:
        """Begin with nothing chosen."""
        self._step_id, self._is_sent = view.step_id, False
        trial = view.step.trial
        self.title.setText(f"Trial {trial} of {view.n_trials}" if trial else "Practice: this does not count")
        self.buttons.setExclusive(False)
        for button in self.buttons.buttons():
            button.setChecked(False)
        self.buttons.setExclusive(True)
        for slider in self.sliders.values():
            slider.restart()
        self._inner.setEnabled(True)
        self._look()

    def refresh(self, view: SessionView | None, store: ViewStore, now: float) -> None:
        """Show the time left; send what was chosen just before it is over."""
        self.time.show_time(view, now)
        is_late = view is not None and view.ends is not None and now > view.ends - _SENT_BEFORE_END_S
        if is_late and view is not None and view.step_id == self._step_id:
            self.answer()

    def answer(self) -> None:
        """Send the answer, if an emotion was chosen."""
        if self._is_sent or self.label is None:
            return
        self._is_sent = True
        self._inner.setEnabled(False)
        valence, arousal = (self.sliders[kind].value() for kind in _SCALES)
        self.send(Answer(self._step_id, Report(self.label, valence, arousal)))

    def choose(self, label: str) -> None:
        """Choose an emotion, as its key does."""
        self._choose(self._labels.index(label))

    @property
    def label(self) -> str | None:
        """The emotion chosen."""
        at = self.buttons.checkedId()
        return self._labels[at] if at >= 0 else None

    def first_focus(self) -> QWidget:
        """The first emotion."""
        return self.buttons.buttons()[0]

    def take_key(self, event: QKeyEvent) -> bool:
        """Choose an emotion by its digit; go on with Enter."""
        place = event.key() - Qt.Key.Key_1
        if 0 <= place < len(self._labels) and not event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self._choose(place)
            return True
        if is_enter(event):
            self._go_on()
            return True
        return False

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        self.time.set_theme(theme)
        for slider in self.sliders.values():
            slider.set_theme(theme)

    def _choose(self, place: int) -> None:
        button = self.buttons.button(place)
        if button is not None and button.isEnabled():
            button.setChecked(True)
            self.sliders["valence"].setFocus()
            self._look()

    def _go_on(self) -> None:
        """Go to the next question that has the keys not yet, or send."""
        chain: list[QWidget] = [self.first_focus(), *self.sliders.values(), self.done]
        focus = self.focusWidget()
        if self.label is None:
            self.first_focus().setFocus()
        elif focus is not None and focus in self.sliders.values():
            chain[chain.index(focus) + 1].setFocus()
        elif focus is self.done:
            self.answer()
        else:
            self.sliders["valence"].setFocus()

    def _scale(self, kind: str) -> QGridLayout:
        question, low, high = _SCALES[kind]
        slider = self.sliders[kind] = AffectiveSlider(kind)
        slider.setAccessibleName(f"{question} 1 {low}, 9 {high}")
        slider.valueChanged.connect(self._look)
        value = self._values[kind] = self.words("", 1.25, bold=True)
        value.setAlignment(Qt.AlignmentFlag.AlignRight)
        right = self.words(high, muted=True)
        right.setAlignment(Qt.AlignmentFlag.AlignRight)
        grid = QGridLayout()
        grid.setVerticalSpacing(2)
        grid.addWidget(self.words(question, 1.25), 0, 0)
        grid.addWidget(value, 0, 1)
        grid.addWidget(slider, 1, 0, 1, 2)
        grid.addWidget(self.words(low, muted=True), 2, 0)
        grid.addWidget(right, 2, 1)
        return grid

    def _look(self) -> None:
        for kind, slider in self.sliders.items():
            self._values[kind].setText(str(slider.value()))
        self.done.setEnabled(self.label is not None)
        digits = f"1 to {min(len(self._labels), 9)}"
        if self.label is None:
            self.hint.setText(f"Choose with the keys {digits}.")
        else:
            self.hint.setText("Left and right move a slider, Enter goes on.")
