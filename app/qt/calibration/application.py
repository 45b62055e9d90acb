"""Opens the window of a guided calibration and returns when it is closed."""

from __future__ import annotations

from pathlib import Path

from PyQt6.QtCore import QTimer

from acquisition.clock import LslClock
from acquisition.lsl.discovery import quiet_liblsl
from app.calibrate.prepare import Prepared, prepare
from app.engine.process import EngineProcess
from app.environment import ExitCode, settings_path
from app.qt.application import chosen_theme, ended_by_signal, fitting_scale, make_application
from app.qt.calibration.multimedia import require_multimedia
from app.qt.calibration.screen_set import kinds_of
from app.qt.calibration.screenshots import Screenshots
from app.qt.calibration.window import CalibrationWindow
from app.qt.garbage import GarbageTimer
from app.qt.outcome import Outcome
from app.qt.shell.appearance import chosen_scale
from app.qt.shell.session import EngineSession
from app.qt.shell.settings import Settings
from app.request import CalibrationRequest
from app.window_options import DEFAULT_SIZE, WindowOptions
from assets import LSL_CONFIG
from calibration.storage import next_session_number, session_place

_CHECK_MS = 50


def run_calibration_window(request: CalibrationRequest, options: WindowOptions) -> int:
    """Lead a person through a session in a window, and return the exit code when it is closed.

    Parameters
    ----------
    request : CalibrationRequest
    options : WindowOptions
        With a screenshot folder a picture of every screen is saved, and the session goes on by itself.

    Raises
    ------
    InputError
        If something is wrong that can be known before, see `app.calibrate.prepare`, or a stimulus cannot be
        played here.
    """
    prepared = prepare(request)
    settings = Settings(None if options.screenshot else settings_path())
    wanted = options.scale or chosen_scale(settings)
    scale = wanted if options.screenshot else fitting_scale(wanted)
    application = make_application(scale)
    require_multimedia(kinds_of(prepared.plan))
    quiet_liblsl(LSL_CONFIG)
    session: EngineSession[CalibrationRequest] = EngineSession(EngineProcess)
    window = CalibrationWindow(
        session,
        settings,
        prepared,
        _folder(prepared),
        LslClock().now,
        is_placed=options.size is not None or options.screenshot is not None,
    )
    window.appearance.use_theme(chosen_theme(application, options, settings))
    _place(window, options)
    if scale < wanted:
        window.appearance.tell_capped(wanted, scale)
    window.faults.install()
    outcome = Outcome(session)
    garbage = GarbageTimer(window)
    garbage.start()
    screenshots = Screenshots(window, options) if options.screenshot is not None else None
    try:
        window.open()
        window.show()
        timer = QTimer()
        timer.timeout.connect(lambda: None if window.closing.is_under_way else outcome.poll())
        if screenshots is not None:
            timer.timeout.connect(screenshots.poll)
        timer.start(_CHECK_MS)
        with ended_by_signal(window.closing.begin):
            application.exec()
    finally:
        garbage.stop()
        window.faults.remove()
        session.kill()
    _say_result(window)
    if screenshots is not None and screenshots.pictures.faults:
        return outcome.code or ExitCode.INTERNAL_ERROR
    return outcome.code


def _place(window: CalibrationWindow, options: WindowOptions) -> None:
    size = options.size or DEFAULT_SIZE
    if options.screenshot is not None:
        window.setFixedSize(*size)
        return
    window.resize(*size)
    screen = window.screen()
    if screen is not None:
        window.resize(window.size().boundedTo(screen.availableSize()))


def _folder(prepared: Prepared) -> Path:
    """Return where the session will be kept."""
    if prepared.place is not None:
        return prepared.place.folder
    subject = prepared.request.subject
    return session_place(prepared.data, subject, next_session_number(prepared.data, subject)).folder


def _say_result(window: CalibrationWindow) -> None:
    """Leave a line a file for whoever started this: the dashboard reads the profile's."""
    result = window.screens.finish.result
    if result is None:
        return
    named = (("Recording", result.recording), ("Profile", result.profile), ("Report", result.report))
    for what, path in named:
        if path is not None:
            print(f"{what}: {path}", flush=True)
    print(f"Verdict: {result.verdict}", flush=True)
