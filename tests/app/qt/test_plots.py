"""Plots on the screen: the head map's colours and words, and what every plot can do."""

from __future__ import annotations

import numpy as np
import pytest
from PyQt6.QtCore import QEvent, QPointF, Qt
from PyQt6.QtGui import QColor, QContextMenuEvent, QImage, QKeyEvent, QMouseEvent, QPainter
from PyQt6.QtWidgets import QApplication, QLabel, QMenu
from pyqtgraph.exporters import ImageExporter

from acquisition.montage import SEED_CH_NAMES, unit_positions
from app.qt.plots.axes import Axis, with_unit
from app.qt.plots.heads import ElectrodeState, HeadPlot, head_map
from app.qt.plots.plot import Plot
from app.qt.theme import LIGHT


@pytest.fixture
def widget(qtbot):
    widget = HeadPlot("Alpha")
    widget.set_theme(LIGHT)
    qtbot.addWidget(widget)
    widget.resize(300, 330)
    widget.show()
    return widget


def pixels(widget):
    image = widget.grab().toImage().convertToFormat(widget.grab().toImage().Format.Format_RGB32)
    data = np.frombuffer(image.constBits().asarray(image.sizeInBytes()), np.uint8)
    return data.reshape(image.height(), image.width(), 4)[..., 2::-1].astype(int)


def place_of(name):
    return head_map(SEED_CH_NAMES).xy[SEED_CH_NAMES.index(name)].tolist()


def around(widget, name, reach=4):
    """Mean colour of the surface beside an electrode, clear of its dot."""
    at = widget.pixel_of(*place_of(name))
    column, row = int(at.x()), int(at.y())
    return pixels(widget)[row - 9 : row - 9 + reach, column - 2 : column + 2].reshape(-1, 3).mean(axis=0)


def test_the_surface_is_yellow_where_values_are_high_and_blue_where_low(widget):
    y = unit_positions(SEED_CH_NAMES)[:, 1]
    widget.n_labels = 0
    widget.set_values(SEED_CH_NAMES, y, -1, 1, "nats")
    front, back = around(widget, "AF3"), around(widget, "PO3")
    assert front[0] > 200
    assert front[2] < 120
    assert back[0] < 60
    assert back[2] > 60


def test_a_diverging_scale_is_white_at_its_middle(widget):
    x = unit_positions(SEED_CH_NAMES)[:, 0]
    widget.n_labels = 0
    widget.set_values(SEED_CH_NAMES, x, -1, 1, "percentage points", diverging=True)
    left, middle, right = (around(widget, name) for name in ("C5", "CZ", "C6"))
    assert left[2] > left[0] + 80
    assert middle.min() > 220
    assert right[0] > right[2] + 80


def test_words_say_the_highest_three(widget):
    values = np.zeros(62)
    values[[SEED_CH_NAMES.index(name) for name in ("C3", "O1", "T8")]] = (3.0, 2.0, 1.0)
    widget.set_values(SEED_CH_NAMES, values, 0, 3, "%")
    assert widget.highest(3) == ["C3", "O1", "T8"]
    assert widget.accessibleDescription() == "highest: C3 3.00 %; O1 2.00 %; T8 1.00 %"


def test_keys_walk_through_electrodes_by_value(widget, qtbot):
    values = np.arange(62.0)
    values[0] = np.nan
    widget.set_values(SEED_CH_NAMES, values, 0, 61, "%")
    qtbot.keyClick(widget, Qt.Key.Key_Right)
    assert widget.accessibleDescription() == "CB2 61.0 %"
    qtbot.keyClick(widget, Qt.Key.Key_End)
    assert widget.accessibleDescription() == "FPZ 1.0 %"  # FP1 has no value
    qtbot.keyClick(widget, Qt.Key.Key_Escape)
    assert widget.accessibleDescription().startswith("highest")


def test_the_tooltip_names_the_electrode_below_the_mouse(widget):
    widget.set_values(SEED_CH_NAMES, np.full(62, 0.5), 0, 1, "nats")
    x, y = place_of("PZ")
    assert widget.text_at(x + 0.02, y) == "PZ 0.50 nats"
    assert widget.text_at(1.1, 1.1) == ""
    assert widget.table()[1][SEED_CH_NAMES.index("PZ")] == ("PZ", "0.5", "")


def test_states_are_letters_and_words(widget):
    widget.set_states({"C3": ElectrodeState("M", "bad", "bad, mains 63 %")}, SEED_CH_NAMES)
    assert widget.accessibleDescription() == "C3, bad, mains 63 %"
    point = widget.pixel_of(*place_of("C3"))
    row, column = int(point.y()), int(point.x())
    disc = pixels(widget)[row - 6 : row + 6, column - 6 : column + 6].reshape(-1, 3)
    assert (np.abs(disc - QColor(LIGHT.bad).getRgb()[:3]).sum(axis=1) < 12).sum() > 20


def test_what_is_missing_is_said(widget):
    widget.set_values(SEED_CH_NAMES, np.ones(62), 0, 1, "%")
    widget.set_notice("absent")
    assert widget.accessibleDescription() == "absent"
    widget.set_values(SEED_CH_NAMES, np.ones(62), 0, 1, "%")
    assert widget.accessibleDescription().startswith("highest")


def test_the_bar_has_both_ends_of_the_scale(widget):
    widget.set_values(SEED_CH_NAMES, np.ones(62), 0, 1, "%")
    below = int(widget.pixel_of(0, -1).y()) + 3
    strip = pixels(widget)[below : below + 20].reshape(-1, 3)
    for end in ((0, 34, 78), (254, 232, 56)):  # cividis
        assert np.abs(strip - end).sum(axis=1).min() < 40


@pytest.mark.parametrize("values", [np.full(62, np.nan), np.r_[np.nan, np.inf, np.zeros(60)]])
def test_odd_values_are_drawn(widget, values):
    widget.set_values(SEED_CH_NAMES, values, 0, 0, "%")
    assert pixels(widget).std() > 0


class Squares(Plot):
    """A plot of nothing, whose values are its places."""

    def __init__(self):
        axes = (Axis("left"), Axis("bottom", with_unit("s")))
        super().__init__("Squares", axes, x=(-10.0, 0.0), y=(0.0, 5.0))

    def text_at(self, x, y):
        return f"{x:.0f} and {y:.0f}"

    def table(self):
        return ["x", "square"], [(x, x * x) for x in range(3)]


@pytest.fixture
def plot(qtbot):
    plot = Squares()
    qtbot.addWidget(plot)
    plot.resize(400, 300)
    plot.show()
    return plot


def labels_of(plot):
    return [label.text() for label in plot.findChildren(QLabel) if label.isVisible()]


def move_mouse(plot, x, y):
    """Tell the plot of a move, without the pointer: whichever window lies below it would be told, or left."""
    at, none = plot.pixel_of(x, y), Qt.MouseButton.NoButton
    where = QPointF(plot.viewport().mapToGlobal(at.toPoint()))
    move = QMouseEvent(QEvent.Type.MouseMove, at, where, none, none, Qt.KeyboardModifier.NoModifier)
    QApplication.sendEvent(plot.viewport(), move)


def test_the_value_is_said_beside_the_mouse(plot):
    move_mouse(plot, -4, 2)
    assert labels_of(plot) == ["-4 and 2"]
    plot.set_notice("no data")
    move_mouse(plot, -3, 2)
    assert labels_of(plot) == ["no data"]


def test_the_wheel_zooms_and_a_double_click_shows_all_again(plot, qtbot):
    plot._notice_zoom()
    plot.view.scaleBy(x=0.5)
    assert plot.view.viewRange()[0] == pytest.approx([-7.5, -2.5], abs=0.01)
    qtbot.mouseDClick(plot.viewport(), Qt.MouseButton.LeftButton, pos=plot.pixel_of(-5, 2).toPoint())
    qtbot.mouseRelease(plot.viewport(), Qt.MouseButton.LeftButton, pos=plot.pixel_of(-5, 2).toPoint())
    assert plot.view.viewRange()[0] == pytest.approx([-10, 0], abs=0.01)


def test_nobody_zooms_out_beyond_the_whole(plot):
    dict(plot.menu_actions())["Zoom &out"]()
    assert plot.view.viewRange()[0] == pytest.approx([-10, 0], abs=0.01)


def test_the_menu_opens_by_key(plot):
    event = QContextMenuEvent(QContextMenuEvent.Reason.Keyboard, plot.rect().center())
    QApplication.sendEvent(plot, event)
    menu = plot.findChild(QMenu)
    assert [action.text() for action in menu.actions()] == [text for text, _ in plot.menu_actions()]
    menu.close()


def test_keys_of_the_window_pass_a_plot(plot):
    event = QKeyEvent(QKeyEvent.Type.KeyPress, Qt.Key.Key_Left, Qt.KeyboardModifier.NoModifier)
    plot.keyPressEvent(event)
    assert not event.isAccepted()


def test_ticks_have_units_and_a_true_minus_sign():
    axis = Axis("bottom", with_unit("s"))
    assert axis.tickStrings([-0.5, 0.0, 1.0], 1.0, 0.5) == ["\N{MINUS SIGN}0.5 s", "0.0 s", "1.0 s"]


def test_picture_and_data_can_be_exported(plot, tmp_path):
    plot.save_table(tmp_path / "data.csv")
    assert (tmp_path / "data.csv").read_text().splitlines() == ["x,square", "0,0", "1,1", "2,4"]
    ImageExporter(plot.plot_item).export(str(tmp_path / "picture.png"))
    assert QImage(str(tmp_path / "picture.png")).width() > 100


def test_a_plot_is_named_reached_and_coloured(plot):
    assert plot.accessibleName() == "Squares"
    assert plot.focusPolicy() & Qt.FocusPolicy.TabFocus
    plot.set_theme(LIGHT)
    assert plot.grab().toImage().pixelColor(2, 2) == QColor(LIGHT.surface)
    plot.set_notice("no data")
    assert (plot.notice, plot.accessibleDescription()) == ("no data", "no data")


def test_few_electrodes_are_dots_with_nothing_made_up_between_them(widget):
    names = ("FP1", "FP2", "TP7", "TP8")
    widget.set_values(names, [1.0, 2.0, 3.0, np.nan], 0.0, 3.0, "nats")
    rect = widget.plot_rect()
    middle = pixels(widget)[int(rect.center().y()), int(rect.center().x())]
    assert tuple(middle) == QColor(LIGHT.window).getRgb()[:3]
    x, y = head_map(names).xy[2]
    at = widget.pixel_of(x, y)
    dot = pixels(widget)[int(at.y()), int(at.x())]
    assert tuple(dot) == tuple(widget.colours_of(np.array([3.0], np.float32))[0])
    assert widget.text_at(*head_map(names).xy[3]) == "TP8 no value"


def test_numbers_of_an_axis_never_overlap_however_little_room_there_is(qtbot):
    axis = Axis("left", with_unit("Hz"), room="00 Hz")
    plot = Plot("crowded", (axis, Axis("bottom", with_unit("s"))), x=(-30.0, 0.0), y=(0.0, 50.0))
    axis.setTicks([[(hz, f"{hz} Hz") for hz in (1, 10, 20, 30, 40, 50)]])
    qtbot.addWidget(plot)
    plot.resize(140, 70)
    plot.show()
    drawn, image = {}, QImage(9, 9, QImage.Format.Format_RGB32)
    painter = QPainter(image)
    for each in plot._axes:
        specs = each.generateDrawSpecs(painter)
        drawn[each.orientation] = [(rect, text) for rect, _, text in specs[2]]
        rects = [rect for rect, _ in drawn[each.orientation]]
        assert not any(a.intersects(b) for i, a in enumerate(rects) for b in rects[:i])
    painter.end()
    assert drawn["left"][0][1] == "50 Hz"
    assert len(drawn["left"]) < 6
