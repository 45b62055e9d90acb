"""The scrolling EEG panel against redrawing as many curves of pyqtgraph, pictures on a second."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from app.display import prepare_environment
from tests.benchmarks.rows import Row, Say, interleaved, row
from tests.benchmarks.setting import in_own_process

_N_CHANNELS, _SPAN_S = 62, 10.0
_N_POINTS = 1200  # of each curve
_FPS = 30.0
_SIZE = (700, 560)  # what the panel gets at 1366x768


def bench_window_traces(quick: bool, say: Say) -> list[Row]:
    """Return the row ``window_traces``: milliseconds of one picture, data taken in and painted."""
    say("scrolling EEG panel against curves")
    measured = in_own_process(measure_traces, 40 if quick else 200)
    return [row("window_traces", measured["panel_ms"], measured["curves_ms"], measured["detail"])]


def measure_traces(n_rounds: int) -> dict[str, Any]:
    """Time pictures of both turn by turn; in a process of its own, which has no Qt yet."""
    prepare_environment(os.environ)
    from PyQt6.QtWidgets import QApplication

    application = QApplication([])
    panel, curves = _PanelPicture(), _CurvesPicture()
    application.processEvents()  # a window that is not yet on the screen would not paint
    took = interleaved({"panel": panel.next, "curves": curves.next, "whole": panel.whole}, n_rounds)
    detail = {
        "n_channels": _N_CHANNELS,
        "pixels": list(_SIZE),
        "fps": _FPS,
        "platform": application.platformName(),
        "panel_best_ms": 1e3 * took["panel"].best_s,
        "curves_best_ms": 1e3 * took["curves"].best_s,
        "whole_window_ms": 1e3 * took["whole"].median_s,
    }
    return {
        "panel_ms": 1e3 * took["panel"].median_s,
        "curves_ms": 1e3 * took["curves"].median_s,
        "detail": detail,
    }


class _PanelPicture:
    """The panel on a store that gets 33 ms of EEG before each picture."""

    def __init__(self) -> None:
        from app.engine.messages import Phase
        from app.qt.panels.traces import TracesPanel
        from app.view.store import ViewStore

        self._store, self._panel = ViewStore(), TracesPanel()
        self._store.take(Phase("running"))
        self._names = tuple(f"E{i + 1}" for i in range(_N_CHANNELS))
        self._rng = np.random.default_rng(0)
        self._n_bins = 0
        self._open_stream()
        self._take(_N_POINTS)
        self._panel.resize(*_SIZE)
        self._panel.show()

    def next(self) -> None:
        """Take in the newest samples and paint."""
        self._take(round(_N_POINTS / _SPAN_S / _FPS))
        self._paint()

    def whole(self) -> None:
        """Draw every column anew, as after a seek."""
        self._store.eeg.n_restarts += 1
        self._paint()

    def _paint(self) -> None:
        self._panel.refresh(self._store, self._store.newest_time)
        self._panel.plot.viewport().repaint()

    def _take(self, n: int) -> None:
        from app.engine.messages import EegPart

        middle = 20.0 * self._rng.standard_normal((n, _N_CHANNELS)).astype(np.float32)
        bins = np.arange(self._n_bins, self._n_bins + n)
        self._n_bins += n
        self._store.take(EegPart(self._names, "uV", _SPAN_S / _N_POINTS, bins, middle - 3, middle + 3))

    def _open_stream(self) -> None:
        from acquisition.types import Change, Kind, StreamEvent, StreamSpec

        units = ("uV",) * _N_CHANNELS
        spec = StreamSpec("eeg", "EEG", Kind.EEG, self._names, units, 1000.0)
        self._store.take(StreamEvent("eeg", Change.OPENED, 0.0, "", spec))


class _CurvesPicture:
    """One plot with a curve a channel, all given new data before each picture."""

    def __init__(self) -> None:
        import pyqtgraph as pg

        self._plot = pg.PlotWidget()
        self._plot.setMouseEnabled(x=False, y=False)
        self._plot.setXRange(0, _SPAN_S)
        self._plot.setYRange(0, _N_CHANNELS * 50.0)
        self._curves = []
        for _ in range(_N_CHANNELS):
            curve = pg.PlotCurveItem(pen=pg.mkPen("w", width=1), antialias=False)
            self._plot.addItem(curve)
            self._curves.append(curve)
        self._x = np.arange(_N_POINTS) * _SPAN_S / _N_POINTS
        rng = np.random.default_rng(0)
        rows = 50.0 * np.arange(_N_CHANNELS)[:, None]
        self._y = 20.0 * rng.standard_normal((_N_CHANNELS, _N_POINTS)) + rows
        self._plot.resize(*_SIZE)
        self._plot.show()

    def next(self) -> None:
        """Give each curve its samples and paint."""
        self._y = np.roll(self._y, -round(_N_POINTS / _SPAN_S / _FPS), axis=1)
        for curve, y in zip(self._curves, self._y, strict=True):
            curve.setData(self._x, y)
        self._plot.viewport().repaint()
