"""How large text is: the system's font, and larger where there is room to read it from farther away."""

from __future__ import annotations

from PyQt6.QtCore import QCoreApplication, QSize, Qt
from PyQt6.QtGui import QFont, QFontMetricsF, QResizeEvent
from PyQt6.QtWidgets import QApplication, QWidget

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
    """A page whose text, in all widgets upon it, is larger where the page is."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.text_growth = 1.0

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Take the font that suits the size."""
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
