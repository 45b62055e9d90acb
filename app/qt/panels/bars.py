"""The probability of every emotion as a bar, with the chance level and the level of an answer."""

from __future__ import annotations

from PyQt6.QtCore import QRectF, QSize, Qt
from PyQt6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPaintEvent, QPen
from PyQt6.QtWidgets import QSizePolicy, QWidget

from app.qt.category import fill_category
from app.qt.panel import Panel
from app.qt.theme import Theme, growth, scaled_font
from app.view.store import ViewStore
from app.view.trust import judge, threshold
from models.prediction import Prediction

_TICKS = (0, 20, 40, 60, 80, 100)  # %


class BarsPanel(Panel):
    """Bars in the order of the model's labels."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Probability of each emotion", parent)
        self.view = BarsView(self.theme)
        self.body.addWidget(self.view, 1)

    def refresh(self, store: ViewStore, t: float) -> None:
        """Show the probabilities at ``t``."""
        prediction = store.predictions.at(t)
        labels = store.model.labels if store.model is not None else ()
        verdict = judge(prediction, store, t)
        if verdict.state == "nothing":
            prediction = None  # what there is speaks of another moment
        self.view.show_prediction(prediction, labels, is_grey=verdict.is_grey)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        self.view.theme = theme
        self.view.update()


class BarsView(QWidget):
    """Paints the bars."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.theme = theme
        self.labels: tuple[str, ...] = ()
        self.values: tuple[float, ...] = ()  # one for each label, NaN where there is none
        self._prediction: Prediction | None = None
        self._is_grey = True
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName("Probability of each emotion")

    def minimumSizeHint(self) -> QSize:
        """Room for a line of text for each emotion, the lines' names and the axis."""
        metrics = QFontMetricsF(self.font())
        n_lines = max(4, len(self.labels)) + 2.6
        return QSize(round(34 * metrics.averageCharWidth()), round(n_lines * metrics.height()))

    def show_prediction(
        self, prediction: Prediction | None, labels: tuple[str, ...], *, is_grey: bool
    ) -> None:
        """Show a prediction's probabilities; without one, empty bars of the labels."""
        if prediction is not None:
            labels = tuple(prediction.probs)
        if prediction is self._prediction and is_grey == self._is_grey and labels == self.labels:
            return
        if labels != self.labels:
            self.labels = labels
            self.updateGeometry()
        probs = prediction.probs if prediction is not None else {}
        self.values = tuple(probs.get(label, float("nan")) for label in labels)
        self._prediction, self._is_grey = prediction, is_grey
        self.update()

    # --- geometry, also for whoever checks a screenshot ---

    def plot_rect(self) -> QRectF:
        """Return where 0 to 100 % lies, in the widget's coordinates."""
        metrics = QFontMetricsF(self._font())
        longest = max((metrics.horizontalAdvance(label) for label in self.labels), default=0.0)
        left = min(longest, 0.4 * self.width()) + metrics.averageCharWidth()
        right = metrics.horizontalAdvance("100 % ") + metrics.averageCharWidth()
        line = QFontMetricsF(self._small_font()).height()
        return QRectF(
            left, line, max(10.0, self.width() - left - right), max(10.0, self.height() - 2.2 * line)
        )

    def bar_rect(self, index: int) -> QRectF:
        """Return the place of a label's bar at its present value."""
        plot = self.plot_rect()
        row = plot.height() / max(1, len(self.labels))
        value = self.values[index] if self.values[index] == self.values[index] else 0.0
        return QRectF(plot.left(), plot.top() + (index + 0.14) * row, plot.width() * value, 0.72 * row)

    def _font(self) -> QFont:
        """Return the font of names and figures: larger where the bars are."""
        metrics = QFontMetricsF(self.font())
        row = (self.height() - 2 * metrics.height()) / max(1, len(self.labels))
        return scaled_font(self, growth(row, 2.2 * metrics.height()))

    def _small_font(self) -> QFont:
        """Return the font of the axis and the levels."""
        return scaled_font(self, 0.9 * growth(self.height(), 18 * QFontMetricsF(self.font()).height()))

    # --- painting ---

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Paint."""
        painter = QPainter(self)
        if not self.labels:
            painter.setPen(QColor(self.theme.muted))
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "the emotions come with the model")
            return
        plot = self.plot_rect()
        self._paint_axis(painter, plot)
        font = self._font()
        metrics = QFontMetricsF(font)
        painter.setFont(font)
        text = QColor(self.theme.stale if self._is_grey else self.theme.text)
        for index, label in enumerate(self.labels):
            bar = self.bar_rect(index)
            fill_category(painter, bar, self.theme, index, grey=self._is_grey)
            painter.setPen(text)
            name = metrics.elidedText(label, Qt.TextElideMode.ElideRight, plot.left() - 2)
            middle = Qt.AlignmentFlag.AlignVCenter
            at = QRectF(0, bar.top(), plot.left() - metrics.averageCharWidth(), bar.height())
            painter.drawText(_tall(at, metrics), Qt.AlignmentFlag.AlignRight | middle, name)
            value = self.values[index]
            figure = f"{100 * value:.0f} %" if value == value else "-"
            at = QRectF(plot.right(), bar.top(), self.width() - plot.right(), bar.height())
            painter.drawText(_tall(at, metrics), Qt.AlignmentFlag.AlignRight | middle, figure)
        self._paint_levels(painter, plot)
        painter.end()

    def _paint_axis(self, painter: QPainter, plot: QRectF) -> None:
        font = self._small_font()
        painter.setFont(font)
        width = QFontMetricsF(font).horizontalAdvance("100 %")
        for tick in _TICKS:
            x = plot.left() + plot.width() * tick / 100
            painter.setPen(QPen(QColor(self.theme.grid), 1))
            painter.drawLine(int(x), int(plot.top()), int(x), int(plot.bottom()))
            painter.setPen(QColor(self.theme.muted))
            at = QRectF(x - width, plot.bottom(), 2 * width, self.height() - plot.bottom())
            painter.drawText(
                at, Qt.AlignmentFlag.AlignHCenter, f"{tick} %" if tick in (0, 100) else f"{tick}"
            )

    def _paint_levels(self, painter: QPainter, plot: QRectF) -> None:
        """Paint the chance level, named to its left, and the level of an answer, named to its right."""
        n_labels = len(self.labels)
        painter.setFont(self._small_font())
        for level, name, style, side in (
            (1 / n_labels, "chance", Qt.PenStyle.DotLine, Qt.AlignmentFlag.AlignRight),
            (threshold(n_labels), "answer from", Qt.PenStyle.DashLine, Qt.AlignmentFlag.AlignLeft),
        ):
            x = plot.left() + plot.width() * level
            painter.setPen(QPen(QColor(self.theme.text), 1, style))
            painter.drawLine(int(x), int(plot.top() * 0.6), int(x), int(plot.bottom()))
            name = f"{name} {100 * level:.3g} %"
            if x + 4 + QFontMetricsF(painter.font()).horizontalAdvance(name) > self.width():
                name = name.removeprefix("answer ")
            is_left = side is Qt.AlignmentFlag.AlignRight
            at = (
                QRectF(0, 0, x - 4, plot.top()) if is_left else QRectF(x + 4, 0, self.width() - x, plot.top())
            )
            painter.drawText(at, side | Qt.AlignmentFlag.AlignVCenter, name)


def _tall(rect: QRectF, metrics: QFontMetricsF) -> QRectF:
    """Return ``rect``, at least a line high: text must not be cut where bars are thin."""
    missing = max(0.0, metrics.height() - rect.height()) / 2
    return rect.adjusted(0, -missing, 0, missing)
