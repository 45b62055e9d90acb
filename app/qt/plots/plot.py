"""The base of every chart: a pyqtgraph plot in the theme's colours and the page's font."""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pyqtgraph as pg
from PyQt6.QtCore import QEvent, QPoint, QPointF, QRectF, QSize, Qt, pyqtSignal
from PyQt6.QtGui import (
    QAction,
    QColor,
    QContextMenuEvent,
    QFocusEvent,
    QFont,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPen,
)
from PyQt6.QtWidgets import QFileDialog, QGraphicsItem, QMenu, QSizePolicy, QToolButton
from pyqtgraph.exporters import Exporter, ImageExporter, SVGExporter

from acquisition.text import TableWriter
from app.qt.plots.axes import Axis
from app.qt.theme import DARK, Theme
from app.qt.widgets import plain_label

Span = tuple[float, float]
#: Names of columns, and rows.
Table = tuple[Sequence[str], Sequence[Sequence[object]]]


class Plot(pg.PlotWidget):
    """A plot with zoom, pan, the value under the mouse, and a menu to save the picture or the data.

    The wheel zooms, dragging pans, a double click or the button shows the whole again; the menu key opens
    the menu. `table` is the content of the CSV, `text_at` the text beside the mouse.
    """

    clicked = pyqtSignal(float, float)  # the place of a click, in the plot's own units

    def __init__(
        self,
        name: str,  # for assistive technology
        axes: Sequence[Axis] = (),  # those that are seen
        *,
        x: Span = (0.0, 1.0),  # the view without zoom
        y: Span = (0.0, 1.0),
        zoom: str = "xy",  # the directions that zoom and pan
        least: tuple[int, float] = (20, 6.0),  # characters and lines of text there is always room for
        aspect: float | None = None,  # how long a unit of x is, in units of y; free where not given
        is_downward: bool = False,  # whether y grows downward
    ) -> None:
        self.view = _View(self)
        super().__init__(
            viewBox=self.view, axisItems={axis.orientation: axis for axis in axes}, enableMenu=False
        )
        self.theme: Theme = DARK
        self._axes, self._least = tuple(axes), least
        self.pixel_items: list[PixelItem] = []
        self._is_zoomed = False
        self.home: tuple[Span, Span] = (x, y)
        plot = self.plot_item
        plot.hideButtons()
        for side in {"left", "bottom"} - {axis.orientation for axis in axes}:
            plot.hideAxis(side)
        for axis in axes:
            axis.setZValue(-1000)  # its grid lies under what the view draws
            # Texts are redrawn when they change, not with every picture.
            axis.setCacheMode(QGraphicsItem.CacheMode.DeviceCoordinateCache)
        self.view.setMouseEnabled(x="x" in zoom, y="y" in zoom)
        self.view.invertY(is_downward)
        self.view.setAspectLocked(aspect is not None, ratio=aspect or 1)
        self.view.setDefaultPadding(0.0)
        self.view.disableAutoRange()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(name)
        self._value, self._notice = plain_label(), plain_label(wraps=True)
        for label in (self._value, self._notice):
            label.setParent(self)
            label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
            label.hide()
        self._notice.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._reset = QToolButton(self)
        self._reset.setText("Show all")
        self._reset.setToolTip("Show the whole plot again (double click)")
        self._reset.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._reset.clicked.connect(self.reset_zoom)
        self._reset.hide()
        self.view.sigRangeChangedManually.connect(self._notice_zoom)
        self.view.sigResized.connect(self._place_labels)
        # Left alone, Qt paints each scene in a pass of its own; `redraw` gathers a window's plots in one.
        self.setViewportUpdateMode(pg.GraphicsView.ViewportUpdateMode.NoViewportUpdate)
        self.view.sigRangeChanged.connect(self.redraw)
        self._apply_home()
        Plot.set_theme(self, DARK)

    @property
    def plot_item(self) -> pg.PlotItem:
        return self.getPlotItem()

    @property
    def notice(self) -> str:
        return self._notice.text()

    def set_notice(self, notice: str) -> None:
        """Grey the plot and say why; an empty text undoes it."""
        if notice != self.notice:
            self._notice.setText(notice)
            self._notice.setVisible(bool(notice))
            self.setAccessibleDescription(notice)
            self._place_labels()

    def redraw(self, *_: object) -> None:
        """Paint the plot with the window's next picture; after any change of its items."""
        self.viewport().update()

    def set_home(self, x: Span | None = None, y: Span | None = None) -> None:
        """Show another part of the plane unless the user has zoomed."""
        home = (x or self.home[0], y or self.home[1])
        if home != self.home:
            self.home = home
            self._apply_home()

    def set_theme(self, theme: Theme) -> None:
        """Take other colours; subclasses recolour their curves."""
        self.theme = theme
        self.setBackground(theme.surface)
        veil = QColor(theme.surface)
        veiled = f"background: rgba({veil.red()}, {veil.green()}, {veil.blue()}, 200)"
        framed = f"background: {theme.surface}; padding: 1px 4px; border: 1px solid {theme.muted}"
        self._notice.setStyleSheet(f"{veiled}; color: {theme.text};")
        self._value.setStyleSheet(f"{framed}; color: {theme.text};")
        self._restyle()

    def text_at(self, x: float, y: float) -> str:
        """Return the text at a place in the plot's own units, empty where there is nothing."""
        return ""

    def table(self) -> Table:
        """Return the columns' names and the rows of what is drawn."""
        raise NotImplementedError

    def save_table(self, path: str | Path) -> None:
        names, rows = self.table()
        with open(path, "w", newline="", encoding="utf-8") as file:
            TableWriter(file).writerows([names, *rows])

    def reset_zoom(self) -> None:
        self._is_zoomed = False
        self._reset.hide()
        self._apply_home()

    @property
    def line(self) -> float:
        """Height of a line of text, pixels."""
        return float(self.fontMetrics().height())

    def plot_rect(self) -> QRectF:
        """Return where the data are drawn, in the widget's coordinates."""
        return self.view.mapRectToScene(self.view.rect())

    def pixel_of(self, x: float, y: float) -> QPointF:
        """Return where a place of the plane lies, in the widget's coordinates."""
        return self.view.mapViewToScene(QPointF(x, y))

    def minimumSizeHint(self) -> QSize:
        characters, lines = self._least
        return QSize(round(characters * self.fontMetrics().averageCharWidth()), round(lines * self.line))

    def sizeHint(self) -> QSize:
        """Return the least size: layouts share the rest among plots."""
        return self.minimumSizeHint()

    def changeEvent(self, event: QEvent | None) -> None:
        super().changeEvent(event)
        if event is not None and event.type() in (QEvent.Type.FontChange, QEvent.Type.ParentChange):
            self._restyle()
            self.updateGeometry()

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        super().mouseMoveEvent(event)
        if event is not None:
            self._say_value(event.position())

    def leaveEvent(self, event: QEvent | None) -> None:
        super().leaveEvent(event)
        self._value.hide()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Leave keys to the window, which steps through time with them."""
        if event is not None:
            event.ignore()

    def contextMenuEvent(self, event: QContextMenuEvent | None) -> None:
        """Open the menu on its key; a right click comes through the view, as a right drag zooms."""
        if event is not None and event.reason() is QContextMenuEvent.Reason.Keyboard:
            self.open_menu(self.mapToGlobal(self.rect().center()))

    def focusInEvent(self, event: QFocusEvent | None) -> None:
        super().focusInEvent(event)
        self.redraw()

    def focusOutEvent(self, event: QFocusEvent | None) -> None:
        super().focusOutEvent(event)
        self.redraw()

    def drawForeground(self, painter: QPainter | None, rect: QRectF) -> None:
        if painter is not None and self.hasFocus():
            painter.setPen(QPen(QColor(self.theme.accent), 2))
            painter.drawRect(QRectF(self.viewport().rect()).adjusted(1, 1, -1, -1))

    def open_menu(self, at: QPoint) -> None:
        menu = QMenu(self)
        for text, act in self.menu_actions():
            action = QAction(text, menu)
            action.triggered.connect(act)
            menu.addAction(action)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(at)

    def menu_actions(self) -> list[tuple[str, Callable[[], object]]]:
        zooms: list[tuple[str, Callable[[], object]]] = [
            ("Show &all", self.reset_zoom),
            ("Zoom &in", lambda: self._zoom(0.5)),
            ("Zoom &out", lambda: self._zoom(2.0)),
        ]
        return [
            *(zooms if any(self.view.mouseEnabled()) else ()),
            ("&Copy picture", lambda: ImageExporter(self.plot_item).export(copy=True)),
            ("Save &data as CSV…", self._ask_where_to_save),
            ("&Export picture…", self._export),
        ]

    def _ask_where_to_save(self) -> None:
        dialog = QFileDialog(self, "Save data as CSV", filter="CSV (*.csv)")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("csv")
        dialog.fileSelected.connect(self.save_table)
        dialog.open()

    def _export(self) -> None:
        scene = self.scene()
        scene.contextMenuItem = self.plot_item
        scene.showExportDialog()

    def _zoom(self, factor: float) -> None:
        x, y = self.view.mouseEnabled()
        self.view.scaleBy(x=factor if x else None, y=factor if y else None)
        self._notice_zoom()

    def _notice_zoom(self) -> None:
        if not self._is_zoomed:
            self._is_zoomed = True
            self._reset.show()
            self._place_labels()

    def _apply_home(self) -> None:
        (x0, x1), (y0, y1) = self.home
        if not self.view.state["aspectLocked"]:
            off_x, off_y = 1e-6 * (x1 - x0), 1e-6 * (y1 - y0)
            self.view.setLimits(xMin=x0 - off_x, xMax=x1 + off_x, yMin=y0 - off_y, yMax=y1 + off_y)
        if not self._is_zoomed:
            # A hair more, or the ticks at the ends fall victim to rounding.
            self.view.setRange(xRange=(x0, x1), yRange=(y0, y1), padding=1e-6, disableAutoRange=True)

    def _restyle(self) -> None:
        if self.closed:
            return
        drawn: list[Axis | PixelItem] = [*self._axes, *self.pixel_items]
        for each in drawn:
            each.restyle(self.theme, self.font())
        self.redraw()
        self.plot_item.layout.setContentsMargins(*self._margins())
        self._place_labels()

    def _margins(self) -> tuple[int, int, int, int]:
        """Return left, top, right and bottom margin: half a text reaches beyond the ends of an axis."""
        sides = {axis.orientation: axis.reaches_out for axis in self._axes}
        half = math.ceil(0.45 * self.line)
        beside = 3 * half if sides.get("bottom") else 1
        return (
            1 if "left" in sides else beside,
            half if sides.get("left") and "top" not in sides else 1,
            1 if "right" in sides else beside,
            1,
        )

    def _place_labels(self, *_: object) -> None:
        rect = self.plot_rect().toRect()
        if self.notice:
            is_narrow = rect.width() < 16 * self.fontMetrics().averageCharWidth()
            self._notice.setGeometry(self.rect() if is_narrow else rect)
        if self._reset.isVisible():
            self._reset.adjustSize()
            self._reset.move(rect.right() - self._reset.width() - 4, rect.top() + 4)

    def _say_value(self, at: QPointF) -> None:
        place = self.view.mapSceneToView(at)
        is_inside = self.plot_rect().contains(at) and not self.notice
        text = self.text_at(place.x(), place.y()) if is_inside else ""
        self._value.setVisible(bool(text))
        if text:
            self._value.setText(text)
            self._value.adjustSize()
            width, height = self._value.width(), self._value.height()
            has_room = at.x() + 14 + width <= self.width()
            x = at.x() + 14 if has_room else at.x() - 14 - width
            y = min(max(at.y() - height - 8, 0), self.height() - height)
            self._value.move(round(max(x, 0)), round(y))


class PixelItem(pg.GraphicsObject):
    """An item in its plot's own pixels: hatches, texts and marks keep their size when the plot is zoomed."""

    z = 0.0  # below 0 it lies under the curves
    content: tuple[Any, ...] = ()  # what it draws, where it is not the plot that holds it

    def __init__(self, plot: Plot) -> None:
        super().__init__(plot.view)
        self.plot, self.view = plot, plot.view
        self.setZValue(self.z)
        plot.pixel_items.append(self)
        self.restyle(plot.theme, plot.font())

    def set_content(self, content: Iterable[Any]) -> None:
        if (given := tuple(content)) != self.content:
            self.content = given
            self.update()

    def restyle(self, theme: Theme, font: QFont) -> None:
        self.theme, self.font = theme, font
        self.update()

    def update(self, *area: Any) -> None:
        """Redraw the item with the next picture."""
        super().update(*area)
        self.plot.redraw()

    def boundingRect(self) -> QRectF:
        return self.view.rect()

    def viewTransformChanged(self) -> None:
        super().viewTransformChanged()
        self.prepareGeometryChange()
        self.update()

    def paint(self, painter: QPainter, option: Any, widget: Any) -> None:
        """Draw, clipped to the view."""
        painter.setClipRect(self.boundingRect(), Qt.ClipOperation.IntersectClip)
        painter.setFont(self.font)
        self.draw(painter)

    def draw(self, painter: QPainter) -> None:
        """Draw in the view's pixels."""
        raise NotImplementedError

    def x_of(self, x: Any) -> Any:
        """Return where values lie, pixels from the view's left edge."""
        (x0, x1), _ = self.view.viewRange()
        return (x - x0) / ((x1 - x0) or 1.0) * self.boundingRect().width()

    def y_of(self, y: Any) -> Any:
        """Return where values lie, pixels from the view's upper edge."""
        _, (y0, y1) = self.view.viewRange()
        share = (y - y0) / ((y1 - y0) or 1.0)
        return (share if self.view.yInverted() else 1 - share) * self.boundingRect().height()

    def point(self, x: float, y: float) -> QPointF:
        """Return where a place of the plane lies."""
        return QPointF(self.x_of(x), self.y_of(y))


class _View(pg.ViewBox):
    """Passes clicks on to its plot."""

    def __init__(self, plot: Plot) -> None:
        super().__init__(enableMenu=False)
        self.plot = plot

    def mouseClickEvent(self, event: Any) -> None:
        button, at = event.button(), self.mapSceneToView(event.scenePos())
        if button is Qt.MouseButton.RightButton:
            event.accept()
            self.plot.open_menu(event.screenPos().toPoint())
        elif button is Qt.MouseButton.LeftButton and event.double():
            self.plot.reset_zoom()
        elif button is Qt.MouseButton.LeftButton:
            self.plot.clicked.emit(at.x(), at.y())


#: What pyqtgraph's dialog offers: not its own CSV, nor what needs further packages.
Exporter.Exporters[:] = [ImageExporter, SVGExporter]


def figure_text(value: float, digits: int = 2) -> str:
    """Return a number as a hover text says it, with a true minus sign; "-" where there is none."""
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}") if math.isfinite(value) else "-"
