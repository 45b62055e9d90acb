"""The self-report after a trial: an emotion by key or button, valence and arousal on sliders."""

from collections.abc import Sequence

from PyQt6.QtCore import QPointF, QRectF, QSize, Qt
from PyQt6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPainterPath, QPaintEvent, QPen, QPolygonF
from PyQt6.QtWidgets import (
    QButtonGroup,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSlider,
    QWidget,
)

from app.engine.messages import Answer
from app.qt.calibration.screen import Screen, Send, TimeBar, is_enter
from app.qt.theme import DARK, Theme
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
        self.sliders: dict[str, AffectiveSlider] = {}
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
            slider.restart()
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
        slider = self.sliders[kind] = AffectiveSlider(kind)
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


LOWEST, MIDDLE, HIGHEST = 1, 5, 9


class AffectiveSlider(QSlider):
    """Valence or arousal from 1 to 9, with a face at each end, after the Affective Slider; arrows move it.

    A. Betella and P. F. M. J. Verschure, "The Affective Slider: A Digital Self-Assessment Scale for the
    Measurement of Human Emotions", PLOS ONE 11 (2016) e0148037: a slider each for pleasure and arousal, with
    two stylised faces and a wedge that grows in both directions. This one is redrawn and has nine steps, as
    the SAM scale, where theirs is continuous.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self.theme: Theme = DARK
        self._kind = kind
        self.was_moved = False
        self.setRange(LOWEST, HIGHEST)
        self.setSingleStep(1)
        self.setPageStep(2)
        self.setValue(MIDDLE)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.valueChanged.connect(self._note_move)

    def restart(self) -> None:
        """Return to the middle, unmoved."""
        self.setValue(MIDDLE)
        self.was_moved = False
        self.update()

    def set_theme(self, theme: Theme) -> None:
        self.theme = theme
        self.update()

    def sizeHint(self) -> QSize:
        side = self._side
        return QSize(side * 8, round(side * 1.25))

    minimumSizeHint = sizeHint

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        if event is not None and event.button() == Qt.MouseButton.LeftButton:
            self._go_to(event.position().x())

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        if event is not None and event.buttons() & Qt.MouseButton.LeftButton:
            self._go_to(event.position().x())

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:
        """Do nothing: the handle stays where it was released."""

    def paintEvent(self, event: QPaintEvent | None) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        left, right = self._ends
        side, y = self._side, self.height() * 0.42
        self._draw_face(painter, QPointF(side / 2, y), low=True)
        self._draw_face(painter, QPointF(self.width() - side / 2, y), low=False)
        self._draw_wedges(painter, left, right)
        painter.setPen(QPen(QColor(self.theme.stale), 4, cap=Qt.PenCapStyle.RoundCap))
        painter.drawLine(QPointF(left, y), QPointF(right, y))
        painter.setPen(QPen(QColor(self.theme.muted), 2))
        for value in range(LOWEST, HIGHEST + 1):
            x = self._x(value)
            painter.drawLine(QPointF(x, y - 5), QPointF(x, y + 5))
        self._draw_handle(painter, QPointF(self._x(self.value()), y))

    @property
    def _side(self) -> int:
        return round(self.fontMetrics().height() * 2.6)

    @property
    def _ends(self) -> tuple[float, float]:
        return self._side * 1.6, self.width() - self._side * 1.6

    def _x(self, value: int) -> float:
        left, right = self._ends
        return left + (right - left) * (value - LOWEST) / (HIGHEST - LOWEST)

    def _go_to(self, x: float) -> None:
        left, right = self._ends
        share = min(max((x - left) / max(right - left, 1), 0.0), 1.0)
        self.setValue(round(LOWEST + share * (HIGHEST - LOWEST)))
        self._note_move()
        self.setFocus()

    def _note_move(self) -> None:
        self.was_moved = True
        self.update()

    def _draw_wedges(self, painter: QPainter, left: float, right: float) -> None:
        top, bottom, middle = self.height() * 0.80, self.height() * 0.97, (left + right) / 2
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(self.theme.grid))
        for end in (left, right):
            corners = [QPointF(middle, bottom), QPointF(end, bottom), QPointF(end, top)]
            painter.drawPolygon(QPolygonF(corners))

    def _draw_handle(self, painter: QPainter, at: QPointF) -> None:
        radius = self._side * 0.27
        painter.setPen(QPen(QColor(self.theme.text), 4 if self.hasFocus() else 2))
        painter.setBrush(QColor(self.theme.accent if self.was_moved else self.theme.surface))
        painter.drawEllipse(at, radius, radius)
        if self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(self.theme.accent), 2))
            painter.drawEllipse(at, radius + 5, radius + 5)

    def _draw_face(self, painter: QPainter, centre: QPointF, *, low: bool) -> None:
        painter.save()
        painter.translate(centre)
        painter.scale(self._side / 44, self._side / 44)
        painter.setBrush(QColor(self.theme.surface))
        pen = QPen(QColor(self.theme.text), 2.2, cap=Qt.PenCapStyle.RoundCap)
        painter.setPen(pen)
        painter.drawEllipse(QPointF(0, 0), 19, 19)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        if self._kind == "valence":
            self._draw_eyes(painter, 2.2)
            painter.drawPath(_mouth(8, 7, -7.0 if low else 7.0))
        elif low:
            for x in (-7.0, 7.0):  # closed eyes
                painter.drawLine(QPointF(x - 3.5, -4), QPointF(x + 3.5, -4))
            painter.drawLine(QPointF(-4, 8), QPointF(4, 8))
        else:
            self._draw_eyes(painter, 4.2)
            painter.drawEllipse(QPointF(0, 9), 4.2, 5.4)
        painter.restore()

    def _draw_eyes(self, painter: QPainter, radius: float) -> None:
        painter.setBrush(QColor(self.theme.text))
        for x in (-7.0, 7.0):
            painter.drawEllipse(QRectF(x - radius, -5 - radius, 2 * radius, 2 * radius))
        painter.setBrush(Qt.BrushStyle.NoBrush)


def _mouth(half_width: float, y: float, bend: float) -> QPainterPath:
    """Return a curve, bent downwards (a smile) for a positive ``bend``."""
    path = QPainterPath(QPointF(-half_width, y - bend / 4))
    path.quadTo(QPointF(0, y + bend), QPointF(half_width, y - bend / 4))
    return path
