"""The head map on the screen: colours where the values are, words for who cannot see them."""

from __future__ import annotations

import numpy as np
import pytest
from PyQt6.QtCore import Qt
from PyQt6.QtGui import QColor

from acquisition.montage import SEED_CH_NAMES, unit_positions
from app.qt.plots.heads import ElectrodeState, HeadMapWidget, head_map
from app.qt.theme import LIGHT


@pytest.fixture
def widget(qtbot):
    widget = HeadMapWidget("Alpha")
    widget.set_theme(LIGHT)
    qtbot.addWidget(widget)
    widget.resize(300, 330)
    return widget


def pixels(widget):
    image = widget.grab().toImage().convertToFormat(widget.grab().toImage().Format.Format_RGB32)
    data = np.frombuffer(image.constBits().asarray(image.sizeInBytes()), np.uint8)
    return data.reshape(image.height(), image.width(), 4)[..., 2::-1].astype(int)


def around(widget, name, reach=4):
    """Mean colour of the surface beside an electrode, clear of its dot."""
    x, y = head_map(SEED_CH_NAMES).xy[SEED_CH_NAMES.index(name)]
    shape = widget.shape()
    column, row = int(shape.centre.x() + x * shape.radius), int(shape.centre.y() - y * shape.radius)
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
    centre = widget.shape().point(head_map(SEED_CH_NAMES).xy[SEED_CH_NAMES.index("PZ")])
    assert widget.text_at(centre.x() + 1, centre.y()) == "PZ 0.50 nats"
    assert widget.text_at(2, 2) == ""


def test_states_are_letters_and_words(widget):
    widget.set_states({"C3": ElectrodeState("M", "bad", "bad, mains 63 %")}, SEED_CH_NAMES)
    assert widget.accessibleDescription() == "C3, bad, mains 63 %"
    shape = widget.shape()
    point = shape.point(head_map(SEED_CH_NAMES).xy[SEED_CH_NAMES.index("C3")])
    row, column = int(point.y()), int(point.x())
    disc = pixels(widget)[row - 6 : row + 6, column - 6 : column + 6].reshape(-1, 3)
    assert (np.abs(disc - QColor(LIGHT.bad).getRgb()[:3]).sum(axis=1) < 12).sum() > 20


def test_what_is_missing_is_said(widget):
    widget.set_values(SEED_CH_NAMES, np.ones(62), 0, 1, "%")
    widget.set_missing("absent")
    assert widget.accessibleDescription() == "absent"
    widget.set_values(SEED_CH_NAMES, np.ones(62), 0, 1, "%")
    assert widget.accessibleDescription().startswith("highest")


def test_the_bar_has_both_ends_of_the_scale(widget):
    widget.set_values(SEED_CH_NAMES, np.ones(62), 0, 1, "%")
    below = int(widget.shape().bottom) + 3
    strip = pixels(widget)[below : below + 20].reshape(-1, 3)
    for end in ((0, 34, 78), (254, 232, 56)):  # cividis
        assert np.abs(strip - end).sum(axis=1).min() < 40


@pytest.mark.parametrize("values", [np.full(62, np.nan), np.r_[np.nan, np.inf, np.zeros(60)]])
def test_odd_values_are_drawn(widget, values):
    widget.set_values(SEED_CH_NAMES, values, 0, 0, "%")
    assert pixels(widget).std() > 0
