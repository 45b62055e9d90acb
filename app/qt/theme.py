"""Colours of the window, light and dark, readable by the colour-blind, and the look of an emotion.

Categories use the palette of Okabe and Ito (https://jfly.uni-koeln.de/color/), magnitudes cividis; no
meaning rests on colour alone: an emotion has a colour, a hatch and a mark everywhere in the window.
"""

from dataclasses import asdict, dataclass
from functools import cache
from string import Template

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PyQt6.QtCore import QCoreApplication, QPointF, QRectF, QSize, Qt
from PyQt6.QtGui import (
    QBrush,
    QColor,
    QFont,
    QFontMetricsF,
    QPainter,
    QPalette,
    QPen,
    QPixmap,
    QResizeEvent,
    QTransform,
)
from PyQt6.QtWidgets import QApplication, QWidget
from pyqtgraph.graphicsItems.ScatterPlotItem import Symbols

from acquisition.text import parse_toml
from app.view.explanation import UNCERTAIN
from assets import THEMES as THEMES_FILE
from assets import WINDOW_STYLE
from models.config import built


@dataclass(frozen=True)
class Theme:
    """Colours as #rrggbb."""

    name: str  # light | dark
    window: str  # behind everything
    surface: str  # of a panel
    text: str
    muted: str  # axes, captions
    grid: str
    accent: str  # selection, focus
    good: str
    suspect: str
    bad: str
    stale: str  # what is greyed
    trace: str  # signals
    categories: tuple[str, ...]  # emotions and modalities, in order

    def category(self, index: int) -> str:
        """Return the colour of the index-th category, cycling after the last."""
        return self.categories[index % len(self.categories)]


THEMES: dict[str, Theme] = {
    name: built(Theme, {"name": name, **colours}, "themes")
    for name, colours in parse_toml(THEMES_FILE.read_bytes()).items()
}
LIGHT, DARK = THEMES["light"], THEMES["dark"]


@cache
def colour_table(is_diverging: bool = False) -> NDArray[np.uint8]:
    """Return the colours (256, 3) of a scale: cividis, dark blue to yellow, or those of signed values.

    These are Okabe and Ito's blue and vermillion, mixed linearly with near white in the middle.
    """
    signed = pg.ColorMap([0.0, 0.5, 1.0], [(0, 114, 178), (245, 245, 245), (213, 94, 0)])
    colours = signed if is_diverging else pg.colormap.get("cividis")
    return np.asarray(colours.getLookupTable(nPts=256, alpha=False), dtype=np.uint8)


def style_sheet(theme: Theme) -> str:
    names = {"folder": WINDOW_STYLE.parent.as_posix(), **asdict(theme)}
    return Template(WINDOW_STYLE.read_text(encoding="utf-8")).substitute(names)


def palette(theme: Theme) -> QPalette:
    """Return the palette, for what style sheets do not reach: scroll bars, selections, disabled text."""
    made = QPalette()
    role = QPalette.ColorRole
    texts = (role.WindowText, role.Text, role.ButtonText)
    roles_of = (
        (theme.window, (role.Window, role.AlternateBase, role.HighlightedText)),
        (theme.surface, (role.Button, role.Base, role.ToolTipBase)),
        (theme.grid, (role.Mid, role.Midlight, role.Light, role.Dark)),
        (theme.accent, (role.Highlight, role.Link)),
        (theme.muted, (role.PlaceholderText,)),
        (theme.text, (*texts, role.ToolTipText)),
    )
    for colour, roles in roles_of:
        for each in roles:
            made.setColor(each, QColor(colour))
    for each in texts:
        made.setColor(QPalette.ColorGroup.Disabled, each, QColor(theme.stale))
    return made


#: A page of so many lines and characters is full at the system's font: what is more lets text grow.
_FULL_LINES, _FULL_COLUMNS = 50.0, 210.0
_MOST = 1.5
_STEP = 0.05  # or text would creep at every pixel a window is drawn larger


def scaled_font(widget: QWidget, factor: float, *, bold: bool = False) -> QFont:
    """Return the widget's font, ``factor`` times as large."""
    font = scaled(widget.font(), factor)
    font.setBold(bold)
    return font


def scaled(font: QFont, factor: float) -> QFont:
    """Return a font ``factor`` times as large."""
    made = QFont(font)
    if made.pointSizeF() > 0:
        made.setPointSizeF(made.pointSizeF() * factor)
    else:  # a style sheet gave it pixels
        made.setPixelSize(max(1, round(made.pixelSize() * factor)))
    return made


def growth(available: float, needed: float, most: float = 1.6) -> float:
    """Return how many times larger text may be where there is more room than needed, at most ``most``."""
    return min(max(1.0, available / needed), most)


def let_fonts_through() -> None:
    """Have a page's font reach the widgets upon it where there is a style sheet, as it does without one."""
    QCoreApplication.setAttribute(Qt.ApplicationAttribute.AA_UseStyleSheetPropagationInWidgetStyles)


class GrowingPage(QWidget):
    """A page in the theme's colours that enlarges the text of all its widgets as it grows."""

    theme: Theme = DARK
    text_growth = 1.0

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self.theme = theme
        self.update()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        super().resizeEvent(event)
        font = QApplication.font()
        metrics = QFontMetricsF(font)
        lines, columns = self.height() / metrics.height(), self.width() / metrics.averageCharWidth()
        larger = min(growth(lines, _FULL_LINES, _MOST), growth(columns, _FULL_COLUMNS, _MOST))
        larger = int(larger / _STEP + 1e-6) * _STEP
        if larger != self.text_growth:
            self.text_growth = larger
            self.setFont(scaled(font, larger))

    def minimumSizeHint(self) -> QSize:
        """Return the room needed at the system's font: a page must be able to shrink again."""
        return super().minimumSizeHint() / self.text_growth


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
_MARKS = ("o", "s", "t1", "d", "t", "star", "p")  # of `pyqtgraph.ScatterPlotItem`


def colour_of(theme: Theme, index: int, *, grey: bool = False) -> QColor:
    return QColor(theme.stale if grey else theme.category(index))


def hatch_of(index: int) -> Qt.BrushStyle:
    return _HATCHES[index % len(_HATCHES)]


def pixmap_of(widget: QWidget, size: QSize) -> QPixmap:
    """Return an empty picture of so many of the widget's pixels, to be painted on."""
    ratio = widget.devicePixelRatioF()
    made = QPixmap(size * ratio)
    made.setDevicePixelRatio(ratio)
    made.fill(Qt.GlobalColor.transparent)
    return made


def fill_category(painter: QPainter, rect: QRectF, theme: Theme, index: int, *, grey: bool = False) -> None:
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


def fill_answer(painter: QPainter, rect: QRectF, theme: Theme, answer: int) -> None:
    """Fill a rectangle with an answer of `app.view.explanation`: while warming up it is an outline."""
    if answer >= 0:
        fill_category(painter, rect, theme, answer)
    elif answer == UNCERTAIN:
        fill_uncertain(painter, rect, theme)
    else:
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(theme.muted), 1, Qt.PenStyle.DotLine))
        painter.drawRect(rect.adjusted(0.5, 0.5, -1, -1))


def draw_mark(
    painter: QPainter, at: QPointF, radius: float, theme: Theme, index: int, colour: QColor
) -> None:
    """Draw an emotion's mark with an edge in the panel's colour."""
    shape = QTransform.fromTranslate(at.x(), at.y()).scale(2.4 * radius, 2.4 * radius)
    painter.setPen(QPen(QColor(theme.surface), 1))
    painter.setBrush(colour)
    painter.drawPath(shape.map(Symbols[_MARKS[index % len(_MARKS)]]))
