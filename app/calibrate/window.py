"""Runs a calibration in its window, where there is a display."""

from __future__ import annotations

from app.display import has_display, require_window
from app.request import CalibrationRequest
from app.window_options import WindowOptions


def run_in_window(request: CalibrationRequest, window: WindowOptions) -> int | None:
    """Lead a person through a session in a window and return the exit code; None where there is no display.

    Raises
    ------
    InputError
        If something is wrong that can be known before, or there is a display that Qt cannot use.
    """
    if window.screenshot is None and not has_display():
        print("There is no display here, so it runs in the terminal.", flush=True)
        return None
    require_window()
    from app.qt.calibration.application import run_calibration_window

    return run_calibration_window(request, window)
