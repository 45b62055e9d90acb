"""Unreferenced widgets are collected between events, never while something is painted."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest
from PyQt6.QtCore import QObject
from PyQt6.QtWidgets import QWidget

from app.qt import application as garbage
from app.qt.application import collected_between_events


@pytest.fixture
def timer(qtbot, monkeypatch) -> Iterator[None]:
    monkeypatch.setattr(garbage, "_EVERY_MS", 10)
    owner = QObject()
    with collected_between_events(owner):
        yield
    assert gc.isenabled()


class Painting(QWidget):
    """Makes unreachable widgets and plenty of objects while it paints."""

    lost: weakref.ref[QWidget] | None = None
    was_lost_while_painting = False

    def paintEvent(self, event) -> None:
        widget = QWidget()
        widget.cycle = widget
        self.lost = weakref.ref(widget)
        del widget
        kept = [[i] for i in range(5000)]  # more than the automatic collection waits for
        self.was_lost_while_painting = self.lost() is None
        kept.clear()


def test_a_lost_widget_survives_the_painting_and_is_collected_after_it(qtbot, timer) -> None:
    widget = Painting()
    qtbot.addWidget(widget)
    widget.show()
    qtbot.waitUntil(lambda: widget.lost is not None)
    assert not widget.was_lost_while_painting
    qtbot.waitUntil(lambda: widget.lost() is None)
