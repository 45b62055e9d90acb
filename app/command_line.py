"""A request as the words of a command line, for a window that starts another program of ours."""

from __future__ import annotations

import sys
from pathlib import Path

from app.request import CalibrationRequest, LiveRequest, SessionOptions


def program() -> list[str]:
    """Return the words that start this program."""
    return [sys.executable, "-m", "app"]


def calibrate_arguments(subject: str, request: LiveRequest) -> list[str]:
    """Return the command that calibrates ``subject`` with a live session's streams and model."""
    arguments = ["calibrate", "--subject", subject]
    if request.simulated is not None:
        person = ["--simulate", "--seed", str(request.simulated.seed)]
        return [*arguments, *person, *_model_options(request.options)]
    return [*arguments, *_options(request)]


def live_arguments(request: CalibrationRequest, profile: Path) -> list[str]:
    """Return the command that runs a profile live with the streams and the model of its calibration."""
    if request.simulated is not None:
        person = ["demo", "--seed", str(request.simulated.seed)]
        return [*person, "--profile", str(profile), *_model_options(request.options)]
    return ["live", "--profile", str(profile), *_options(request)]


def _options(request: LiveRequest | CalibrationRequest) -> list[str]:
    options = request.options
    named = {
        "--streams": options.streams,
        "--montage": options.montage,
        "--line": options.line,
        "--screen-cm": options.screen_cm,
        "--distance-cm": options.distance_cm,
        "--webcam": request.webcam,
        "--microphone": request.microphone,
    }
    words = [word for name, value in named.items() if value is not None for word in (name, str(value))]
    return [*_model_options(options), *words]


def _model_options(options: SessionOptions) -> list[str]:
    words = ["--model", str(options.model), "--device", options.device]
    return [*words, "--threads", str(options.threads)] if options.threads else words
