"""Opens the window of a guided calibration: as an application of its own, or for the dashboard."""

from dataclasses import replace
from pathlib import Path

from acquisition.clock import LslClock
from acquisition.lsl.discovery import quiet_liblsl
from acquisition.text import say
from app.calibrate.prepare import Prepared, prepare
from app.display import DEFAULT_SIZE, WindowOptions
from app.engine.process import EngineProcess
from app.qt.application import run_until_closed, run_window
from app.qt.calibration.stimulus import kinds_of, require_multimedia
from app.qt.calibration.window import CalibrationWindow
from app.qt.shell.engine_window import Settings
from app.qt.shell.session import EngineSession
from app.request import CalibrationRequest
from app.view.calibration_screens import named_files
from assets import LSL_CONFIG
from calibration.storage import next_session_number, session_place


def run_calibration_window(request: CalibrationRequest, options: WindowOptions) -> int:
    """Lead a participant through a session in a window, and return the exit code when it is closed.

    Raises `InputError` for an invalid request or a stimulus that cannot be played here.
    """
    prepared = prepare(request)

    def begin(window: CalibrationWindow) -> None:
        window.open()
        window.show()

    window, code = run_until_closed(lambda s: open_calibration(prepared, s, options.size), begin, options)
    if (result := window.result) is not None:
        for line in named_files(result):
            say(line)
        say(f"Verdict: {result.verdict.code}")
    if window.live_profile is not None:
        return run_window(request.live(window.live_profile), replace(options, seconds=None))
    return code


def open_calibration(
    prepared: Prepared, settings: Settings, size: tuple[int, int] | None = None
) -> CalibrationWindow:
    """Return the window of a session, not yet shown; `InputError` if a stimulus cannot be played here."""
    require_multimedia(kinds_of(prepared.plan))
    quiet_liblsl(LSL_CONFIG)
    session: EngineSession[CalibrationRequest] = EngineSession(EngineProcess)
    folder, is_placed = _folder(prepared), size is not None
    window = CalibrationWindow(session, settings, prepared, folder, LslClock().now, is_placed=is_placed)
    window.resize(*(size or DEFAULT_SIZE))
    if (screen := window.screen()) is not None:
        window.resize(window.size().boundedTo(screen.availableSize()))
    return window


def _folder(prepared: Prepared) -> Path:
    if prepared.place is not None:
        return prepared.place.folder
    subject = prepared.request.subject
    return session_place(prepared.data, subject, next_session_number(prepared.data, subject)).folder
