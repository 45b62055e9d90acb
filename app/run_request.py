"""What of a request can be seen to be wrong before a window opens: missing files, broken options."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from acquisition.adapters.options import parse_screen_cm
from acquisition.errors import InputError
from acquisition.montage import load_montage
from acquisition.record.recorder import check_target
from acquisition.xdf.scan import check_xdf
from app.display import has_display, require_window
from app.environment import ExitCode
from app.model_check import WEIGHTS_FILE, read_summary
from app.request import LiveRequest, Request, SessionOptions
from app.window_options import WindowOptions
from calibration.profile_summary import model_sha256

_DEVICES: Collection[str] = ("auto", "cpu", "cuda")


def check_request(request: Request) -> None:
    """Look at what needs no stream and no torch, as the engine would a few seconds later.

    Raises
    ------
    InputError
        If the recording, the model, the montage, a target or an option cannot be used.
    """
    options = request.options
    check_model_and_options(options)
    if not isinstance(request, LiveRequest):
        check_xdf(request.path)
    elif options.record is not None:
        check_target(options.record)


def check_model_and_options(options: SessionOptions) -> None:
    """Look at model and options alone.

    Raises
    ------
    InputError
        If the model, the montage or an option cannot be used.
    """
    _check_model(options.model)
    _check_profile(options)
    _check_options(options)


def _check_model(folder: Path) -> None:
    read_summary(folder)
    if not (folder / WEIGHTS_FILE).is_file():
        raise InputError(
            f"expected {WEIGHTS_FILE}, found none",
            where=str(folder),
            remedy="give a model's folder with --model",
        )


def _check_profile(options: SessionOptions) -> None:
    summary = options.profile_summary()
    if summary is not None:
        summary.check_base(model_sha256(options.model), f"--profile {options.profile}")


def _check_options(options: SessionOptions) -> None:
    if options.montage:
        load_montage(options.montage)
    if options.screen_cm:
        parse_screen_cm(options.screen_cm)
    options.screen()
    if options.device not in _DEVICES:
        raise InputError(f"expected {', '.join(_DEVICES)}, got {options.device!r}", where="--device")


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
    from app.terminal import show_live, show_replay

    options = request.options
    if isinstance(request, LiveRequest):
        show_live(LiveSession(options, request.webcam, request.microphone, request.discovery_s))
        return ExitCode.GOOD
    session = ReplaySession(
        request.path,
        options,
        start_s=request.start_s,
        stop_s=request.stop_s,
        speed=request.speed,
        chunk=request.chunk,
    )
    return show_replay(session, quiet=bool(options.extra_sinks))
