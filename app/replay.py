"""A replay session: a recorded file through the very path of a live session."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from acquisition.clock import ReplayClock
from acquisition.types import Change, StreamEvent
from app.failure import Failure
from app.model_loading import make_decoder
from app.pipeline import Pipeline
from app.plugs import Plugs
from app.replay_file import ReplayFile
from app.replay_steps import run_replay
from app.runner import closing
from app.session_options import SessionOptions
from app.simulated_streams import simulated_streams
from app.telemetry import Telemetry
from models.checkpoint import Checkpoint


@dataclass
class ReplaySession:
    """Opens a recording and steps it through the pipeline.

    Parameters
    ----------
    path : Path
        XDF file.
    options : SessionOptions
    start_s, stop_s : float or None
        Part to replay, seconds from the recording's first sample.
    speed : float
        Times real time; infinity runs as fast as it goes.
    chunk : int or None
        Samples a chunk; None takes what the file holds.
    """

    path: Path
    options: SessionOptions
    start_s: float | None = None
    stop_s: float | None = None
    speed: float = float("inf")
    chunk: int | None = None
    telemetry: Telemetry = field(default_factory=Telemetry)
    damage: tuple[str, ...] = ()
    duration_s: float = 0.0

    def __post_init__(self) -> None:
        self.file = ReplayFile(self.path, self.options, self.start_s, self.stop_s, self.chunk)
        self.options = self.file.options
        if self.file.notice:
            self.telemetry.on_event(StreamEvent("", Change.NOTICE, math.nan, self.file.notice))

    @property
    def checkpoint(self) -> Checkpoint:
        """The model, loaded once."""
        return self.file.checkpoint

    def run(self, progress: Callable[[float], None]) -> None:
        """Replay to the end; ``progress`` is told the share done, 0..1.

        Raises
        ------
        InputError
            If the file, a stream in it or the model cannot be used.
        """
        checkpoint = self.checkpoint
        source = self.file.open()
        first, last = self.file.span(source)
        self.duration_s = max(0.0, last - first)
        clock = ReplayClock(first, self.speed)
        if notice := simulated_streams(self.file.headers).notice:
            self.telemetry.on_event(StreamEvent("", Change.NOTICE, first, notice))

        def on_failure(message: str) -> None:
            self.telemetry.on_failure(Failure("device", message, clock.now()))

        decoder = make_decoder(checkpoint, self.options, on_failure)
        plugs = Plugs(self.file.recorded_plugs)
        pipeline = Pipeline(source, decoder, live=False, on_event=self.telemetry.on_event, plugs=plugs)
        sinks = self.file.sinks()
        try:
            with closing(sinks):
                run_replay(
                    pipeline,
                    clock,
                    first,
                    last,
                    sinks,
                    self.telemetry,
                    progress=lambda now: progress((now - first) / max(last - first, 1e-9)),
                )
            if decoder.is_in_baseline:
                message = f"the baseline of {self.options.baseline_s:g} s did not end: it was not used"
                self.telemetry.on_event(StreamEvent("", Change.WARNING, last, message))
        finally:
            self.damage = tuple(source.damage)
            source.close()
