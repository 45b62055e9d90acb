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


Request = LiveRequest | ReplayRequest
