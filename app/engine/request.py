"""What the window asks an engine to run. Picklable, and free of torch and Qt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from acquisition.simulator.streams import SimulatorOptions
from app.session_options import SessionOptions


@dataclass(frozen=True)
class LiveRequest:
    """A live session; with ``simulated`` the engine starts those streams first and reads them alone."""

    options: SessionOptions
    webcam: str | None = None
    microphone: str | None = None
    discovery_s: float = 2.0
    simulated: SimulatorOptions | None = None


@dataclass(frozen=True)
class ReplayRequest:
    """A replay of ``path``, at ``speed`` times real time."""

    path: Path
    options: SessionOptions
    start_s: float | None = None
    stop_s: float | None = None
    speed: float = 1.0
    chunk: int | None = None


@dataclass(frozen=True)
class CalibrationRequest:
    """A guided calibration of ``subject``; nothing is opened before the window sends the consent.

    With ``simulated`` the engine starts those streams after the consent and reads them alone.
    """

    options: SessionOptions
    subject: str  # pseudonymous, S01
    plan: Path | None = None  # TOML; None is the plan that comes with the program
    data_dir: Path | None = None  # None is the platform's user data folder
    seed: int = 0  # of the order of trials
    classes: tuple[str, ...] | None = None  # None: those of the plan
    n_trials: int | None = None  # None: as many as the plan has
    time_scale: float = 1.0  # divides hints, answers and rests; a stimulus keeps 20 s
    resume: bool = True  # go on with a session that was broken off, if there is one
    labels: str = "intended"  # or reported
    webcam: str | None = None
    microphone: str | None = None
    discovery_s: float = 2.0
    simulated: SimulatorOptions | None = None


Request = LiveRequest | ReplayRequest  # what the dashboard shows
EngineRequest = Request | CalibrationRequest
