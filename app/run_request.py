"""Runs what a command asks for: in the window where there is a display, else in the terminal.

Nothing heavy is loaded for the window: its engine is another process.
"""

from __future__ import annotations

from app.display import has_display, require_window
from app.engine.request import LiveRequest, Request
from app.exit_codes import GOOD
from app.request_check import check_request
from app.session_options import SessionOptions
from app.window_options import WindowOptions


def opens_window(options: SessionOptions, window: WindowOptions) -> bool:
    """Tell whether a session is shown in a window, and say so where a display is missing.

    A digest and an SVG picture of the terminal are made in the terminal.

    Raises
    ------
    InputError
        If there is a display and Qt cannot use it.
    """
    if options.headless or options.extra_sinks or options.picture is not None:
        return False
    if window.screenshot is None and not has_display():
        print("There is no display here, so it runs in the terminal.", flush=True)
        return False
    require_window()
    return True


def run_request(request: Request, window: WindowOptions, *, in_window: bool) -> int:
    """Run a live session or a replay to its end and return the exit code.

    Raises
    ------
    InputError
        If the request cannot be run; for a window, what can be known is known before it opens.
    """
    if in_window:
        check_request(request)
        from app.qt.application import run_window

        return run_window(request, window)
    from app.live import LiveSession
    from app.replay import ReplaySession
    from app.show import show_live, show_replay

    options = request.options
    if isinstance(request, LiveRequest):
        show_live(LiveSession(options, request.webcam, request.microphone, request.discovery_s))
        return GOOD
    session = ReplaySession(
        request.path,
        options,
        start_s=request.start_s,
        stop_s=request.stop_s,
        speed=request.speed,
        chunk=request.chunk,
    )
    return show_replay(session, quiet=bool(options.extra_sinks))
