"""The self-report after a trial: an emotion by key or button, valence and arousal on sliders."""

from collections.abc import Sequence

from PyQt6.QtCore import Qt
from PyQt6.QtGui import QKeyEvent
from PyQt6.QtWidgets import (
    QButtonGroup,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QWidget,
)

from app.engine.messages import Answer
from app.qt.calibration.screen import Screen, Send, TimeBar, is_enter
from app.qt.widgets import put
from app.view.store import ViewStore
from app.view.text import one_line
from calibration.types import Report, SessionView

#: So long before its end the report is sent as it is: afterwards the engine takes none.
_SENT_BEFORE_END_S = 0.4
_SCALES = {
    "valence": ("How pleasant was it?", "unpleasant", "pleasant"),
    "arousal": ("How exciting was it?", "calm", "excited"),
}
LOWEST, MIDDLE, HIGHEST = 1, 5, 9  # as of the SAM scale


class ReportScreen(Screen):
    """Takes the answer; Enter goes from one question to the next, and sends at the last."""

    def __init__(self, send: Send, labels: Sequence[str]) -> None:
        super().__init__("Your answer", send, width=110)
        self._labels: tuple[str, ...] = ()
        self._step_id = 0
        self._is_sent = False
        self.title = self.words("", 1.6, bold=True)
        self._choices = put(QHBoxLayout(), spacing=8)
        self.buttons = QButtonGroup(self)
        self.buttons.idClicked.connect(self._choose)
        self.sliders: dict[str, QSlider] = {}
        self._values: dict[str, QLabel] = {}
        scales = [part for kind in _SCALES for part in (None, self._scale(kind))]
        self.hint = self.words("", muted=True)
        self.done = self.button("&Done", self.answer, primary=True)
        self.time = TimeBar()
        question = self.words("What did you feel most?", 1.25)
        foot = self.row((self.hint, 1), self.done)
        self.stack(1, self.title, None, question, self._choices, *scales, None, foot, 1, self.time)
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
        self._update()

    def begin(self, view: SessionView) -> None:
        self._step_id, self._is_sent = view.step_id, False
        trial = view.step.trial
        self.title.setText(f"Trial {trial} of {view.n_trials}" if trial else "Practice: this does not count")
        self.buttons.setExclusive(False)
        for button in self.buttons.buttons():
            button.setChecked(False)
        self.buttons.setExclusive(True)
        for slider in self.sliders.values():
            slider.setValue(MIDDLE)
        self._inner.setEnabled(True)
        self._update()

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
        return self.buttons.buttons()[0]

    def take_key(self, event: QKeyEvent) -> bool:
        """Choose an emotion by its digit; continue with Enter."""
        place = event.key() - Qt.Key.Key_1
        if 0 <= place < len(self._labels) and not event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self._choose(place)
            return True
        if is_enter(event):
            self._continue()
            return True
        return False

    def _choose(self, place: int) -> None:
        button = self.buttons.button(place)
        if button is not None and button.isEnabled():
            button.setChecked(True)
            self.sliders["valence"].setFocus()
            self._update()

    def _continue(self) -> None:
        """Move the focus to the next question, or send."""
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
        slider = self.sliders[kind] = QSlider(Qt.Orientation.Horizontal)
        slider.setObjectName("scale")
        slider.setRange(LOWEST, HIGHEST)
        slider.setPageStep(2)
        slider.setValue(MIDDLE)
        slider.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        slider.setAccessibleName(f"{question} 1 {low}, 9 {high}")
        slider.valueChanged.connect(self._update)
        value = self._values[kind] = self.words("", 1.25, bold=True, align=Qt.AlignmentFlag.AlignRight)
        right = self.words(high, muted=True, align=Qt.AlignmentFlag.AlignRight)
        grid = QGridLayout()
        grid.setVerticalSpacing(2)
        grid.addWidget(self.words(question, 1.25), 0, 0)
        grid.addWidget(value, 0, 1)
        grid.addWidget(slider, 1, 0, 1, 2)
        grid.addWidget(self.words(low, muted=True), 2, 0)
        grid.addWidget(right, 2, 1)
        return grid

    def _update(self) -> None:
        for kind, slider in self.sliders.items():
            self._values[kind].setText(str(slider.value()))
        self.done.setEnabled(self.label is not None)
        digits = f"1 to {min(len(self._labels), 9)}"
        if self.label is None:
            self.hint.setText(f"Choose an emotion with the keys {digits}.")
        else:
            self.hint.setText("Left and Right move a slider, Enter continues.")
