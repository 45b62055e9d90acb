"""The look of an emotion everywhere in the window: a colour, a hatch and a mark together."""

from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import QBrush, QColor, QPainter, QPainterPath, QPen, QPolygonF

from app.qt.theme import Theme

_HATCHES = (
    Qt.BrushStyle.SolidPattern,
    Qt.BrushStyle.BDiagPattern,
    Qt.BrushStyle.HorPattern,
    Qt.BrushStyle.DiagCrossPattern,
    Qt.BrushStyle.VerPattern,
    Qt.BrushStyle.FDiagPattern,
    Qt.BrushStyle.CrossPattern,
    Qt.BrushStyle.Dense6Pattern,
)
_PLUS = ((-4, -12), (4, -12), (4, -4), (12, -4), (12, 4), (4, 4), (4, 12), (-4, 12), (-4, 4), (-12, 4))
_CORNERS = {  # of the marks, in tenths of their radius
    1: ((-9, -9), (9, -9), (9, 9), (-9, 9)),  # square
    2: ((0, -11), (11, 9), (-11, 9)),  # triangle
    3: ((0, -13), (11, 0), (0, 13), (-11, 0)),  # diamond
    4: (*_PLUS, (-12, -4), (-4, -4)),
    5: ((0, 11), (11, -9), (-11, -9)),  # triangle, point down
    6: ((-11, -9), (0, 0), (11, -9), (11, 9), (0, 0), (-11, 9)),  # bow tie
    7: ((-12, -5), (12, -5), (12, 5), (-12, 5)),  # bar
}


def colour_of(theme: Theme, index: int, *, grey: bool = False) -> QColor:
    """Return an emotion's colour."""
    return QColor(theme.stale if grey else theme.category(index))


def hatch_of(index: int) -> Qt.BrushStyle:
    """Return an emotion's hatch."""
    return _HATCHES[index % len(_HATCHES)]


def fill_category(painter: QPainter, rect: QRectF, theme: Theme, index: int, *, grey: bool = False) -> None:
    """Fill a rectangle with an emotion's colour and hatch."""
    fill_hatched(painter, rect, theme, colour_of(theme, index, grey=grey), hatch_of(index))


def fill_hatched(painter: QPainter, rect: QRectF, theme: Theme, colour: QColor, hatch: Qt.BrushStyle) -> None:
    """Fill a rectangle with a colour, and a hatch in the panel's colour upon it."""
    painter.fillRect(rect, colour)
    if hatch is not Qt.BrushStyle.SolidPattern:
        upon = QColor(theme.surface)
        upon.setAlphaF(0.55)
        painter.fillRect(rect, QBrush(upon, hatch))


def fill_uncertain(painter: QPainter, rect: QRectF, theme: Theme) -> None:
    """Fill a rectangle with the hatch that means uncertain everywhere."""
    painter.fillRect(rect, QColor(theme.grid))
    painter.fillRect(rect, QBrush(QColor(theme.muted), Qt.BrushStyle.BDiagPattern))


def draw_mark(
    painter: QPainter, at: QPointF, radius: float, theme: Theme, index: int, colour: QColor
) -> None:
    """Draw an emotion's mark with an edge in the panel's colour."""
    painter.setPen(QPen(QColor(theme.surface), 1))
    painter.setBrush(colour)
    painter.drawPath(_mark(at, radius, index))


def _mark(at: QPointF, radius: float, index: int) -> QPainterPath:
    path = QPainterPath()
    corners = _CORNERS.get(index % (len(_CORNERS) + 1))
    if corners is None:
        path.addEllipse(at, radius, radius)
    else:
        polygon = QPolygonF([at + QPointF(x * radius / 10, y * radius / 10) for x, y in corners])
        path.addPolygon(polygon)
        path.closeSubpath()
    return path
