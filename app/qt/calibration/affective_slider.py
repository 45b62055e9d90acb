"""A slider with a face at each end, after the Affective Slider.

A. Betella and P. F. M. J. Verschure, "The Affective Slider: A Digital Self-Assessment Scale for the
Measurement of Human Emotions", PLOS ONE 11 (2016) e0148037: a slider each for pleasure and arousal, with
two stylised faces and a wedge that grows in both directions. Drawn here anew; it deviates in having nine
steps, as the SAM scale, where theirs is continuous.
"""

from __future__ import annotations

from PyQt6.QtCore import QPointF, QRectF, QSize, Qt
from PyQt6.QtGui import QColor, QMouseEvent, QPainter, QPainterPath, QPaintEvent, QPen, QPolygonF
from PyQt6.QtWidgets import QSizePolicy, QSlider

from app.qt.theme import DARK, Theme

LOWEST, MIDDLE, HIGHEST = 1, 5, 9


class AffectiveSlider(QSlider):
    """Valence or arousal from 1 to 9; arrows move it, digits 1 to 9 too where nothing else takes them.

    Parameters
    ----------
    kind : str
        ``valence`` or ``arousal``: which faces are drawn.
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
        """Take other colours."""
        self.theme = theme
        self.update()

    def sizeHint(self) -> QSize:
        """Return room for the faces."""
        side = self._side
        return QSize(side * 8, round(side * 1.25))

    minimumSizeHint = sizeHint

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Go where the mouse is."""
        if event is not None and event.button() == Qt.MouseButton.LeftButton:
            self._go_to(event.position().x())

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Follow the mouse."""
        if event is not None and event.buttons() & Qt.MouseButton.LeftButton:
            self._go_to(event.position().x())

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:
        """Nothing more: the handle is where it was let go."""

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw faces, wedges, line, steps and handle."""
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

    # --- geometry ---

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

    # --- drawing ---

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
