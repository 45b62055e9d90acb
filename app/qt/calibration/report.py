"""The self-report after a trial: an emotion by key or button, valence and arousal on sliders."""

from collections.abc import Sequence

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtGui import QKeyEvent, QMouseEvent, QWheelEvent
from PyQt6.QtWidgets import (
    QButtonGroup,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QStyle,
    QWidget,
)

from app.engine.messages import Answer
from app.qt.calibration.screen import Screen, Send, TimeBar, is_enter, restyle
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
_ARROWS = (Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Up, Qt.Key.Key_Down)


class Scale(QSlider):
    """A rating that has no value until a key or a click gives one."""

    rated = pyqtSignal()

    def __init__(self) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self.setObjectName("scale")
        self.setRange(LOWEST, HIGHEST)
        self.setPageStep(2)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.valueChanged.connect(lambda: self._rate(True))
        self.clear()

    @property
    def rating(self) -> int | None:
        return None if self.property("unset") else self.value()

    def clear(self) -> None:
        self.setValue(MIDDLE)
        self._rate(False)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        if event is not None and self.rating is None and event.key() in _ARROWS:
            self._rate(True)
        else:
            super().keyPressEvent(event)

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        if event is not None and event.button() == Qt.MouseButton.LeftButton:
            end = self.fontMetrics().height() // 2  # half a handle
            at = round(event.position().x()) - end
            self.setValue(QStyle.sliderValueFromPosition(LOWEST, HIGHEST, at, self.width() - 2 * end))
            self._rate(True)
        super().mousePressEvent(event)

    def wheelEvent(self, event: QWheelEvent | None) -> None:
        """Ignore it: a page that is scrolled rates nothing."""
        if event is not None:
            event.ignore()

    def _rate(self, is_rated: bool) -> None:
        if self.property("unset") is not (not is_rated):
            self.setProperty("unset", not is_rated)
            self.setAccessibleDescription("" if is_rated else "no value yet")
            restyle(self)
        self.rated.emit()


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
        self.sliders: dict[str, Scale] = {}
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
            slider.clear()
        self._inner.setEnabled(True)
        self._update()

    def refresh(self, view: SessionView | None, store: ViewStore, now: float) -> None:
        """Show the time left; send what was chosen just before it is over."""
        self.time.show_time(view, now)
        is_late = view is not None and view.ends is not None and now > view.ends - _SENT_BEFORE_END_S
        if is_late and view is not None and view.step_id == self._step_id:
            self._send_answer()

    def answer(self) -> None:
        if self.is_complete:
            self._send_answer()

    @property
    def is_complete(self) -> bool:
        return self.label is not None and all(slider.rating is not None for slider in self.sliders.values())

    def _send_answer(self) -> None:
        if self._is_sent or self.label is None:
            return
        self._is_sent = True
        self._inner.setEnabled(False)
        valence, arousal = (self.sliders[kind].rating for kind in _SCALES)
        self.send(Answer(self._step_id, Report(self.label, valence, arousal)))

    @property
    def label(self) -> str | None:
        at = self.buttons.checkedId()
        return self._labels[at] if at >= 0 else None

    def first_focus(self) -> QWidget:
        return self  # an answer that has the focus is more easily given

    def take_key(self, event: QKeyEvent) -> bool:
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
        focus = self.focusWidget()
        unrated = [slider for slider in self.sliders.values() if slider.rating is None]
        if self.label is None or (isinstance(focus, Scale) and focus.rating is None):
            return
        if unrated:
            unrated[0].setFocus()
        elif focus is self.sliders["valence"]:
            self.sliders["arousal"].setFocus()
        elif focus is self.done:
            self.answer()
        else:
            self.done.setFocus()

    def _scale(self, kind: str) -> QGridLayout:
        question, low, high = _SCALES[kind]
        slider = self.sliders[kind] = Scale()
        slider.setAccessibleName(f"{question} 1 {low}, 9 {high}")
        slider.rated.connect(self._update)
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
            self._values[kind].setText("-" if slider.rating is None else str(slider.rating))
        self.done.setEnabled(self.is_complete)
        digits = f"1 to {min(len(self._labels), 9)}"
        if self.label is None:
            self.hint.setText(f"Choose an emotion: click, or press {digits}.")
        elif not self.is_complete:
            self.hint.setText("Rate both: click a line, or press Left and Right; Enter continues.")
        else:
            self.hint.setText("Enter continues.")
