"""Meters of the window: passes of painting are counted, a late timer is a stall."""

import pytest
from PyQt6.QtWidgets import QApplication, QVBoxLayout, QWidget

from tests.benchmarks import measured_window as measure
from tests.benchmarks.measured_window import FrameCounter, StallMeter


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when a test says so."""
    time = [100.0]
    monkeypatch.setattr(measure, "stopwatch", lambda: time[0])
    return time


def test_a_pass_of_painting_counts_once_however_many_widgets_it_paints(qtbot, clock):
    window = QWidget()
    qtbot.addWidget(window)
    window.resize(300, 200)
    layout = QVBoxLayout(window)
    parts = [QWidget() for _ in range(3)]
    for part in parts:
        layout.addWidget(part)
    with qtbot.waitExposed(window):
        window.show()
    QApplication.processEvents()
    counter = FrameCounter(window)
    for i in range(4):
        for part in parts:
            part.update()
        qtbot.waitUntil(lambda n=i + 1: counter.n_frames >= n, timeout=1000)
    clock[0] += 2.0
    assert counter.n_frames == 4
    assert counter.fps == 2.0
    counter.restart()
    assert counter.n_frames == 0


def test_the_longest_wait_of_the_event_loop_is_kept(qtbot, clock):
    meter = StallMeter()
    for step_s in (0.005, 0.125, 0.006):
        clock[0] += step_s
        meter._tick()
    assert meter.longest_ms == pytest.approx(120.0)
    meter.restart()
    assert meter.longest_ms == 0.0
