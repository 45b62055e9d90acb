"""Steps a recording through a pipeline on the hop grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from acquisition.clock import ReplayClock
from app.outputs import Sink
from app.pipeline import Pipeline
from app.telemetry import Telemetry
from models.prediction import Prediction


class ReplaySteps:
    """The hops of a recording, one after the other; nothing is late and nothing is skipped.

    Parameters
    ----------
    pipeline : Pipeline
    index : int
        The first hop, ``index * hop_s`` in LSL seconds.
    last_time : float
        LSL seconds of the recording's last sample.
    """

    def __init__(self, pipeline: Pipeline, index: int, last_time: float) -> None:
        self.pipeline = pipeline
        self._config = pipeline.aligner.config
        self._index = index
        self._last_time = last_time

    @property
    def next_time(self) -> float:
        """LSL time of the next hop."""
        return self._index * self._config.hop_s

    @property
    def is_over(self) -> bool:
        """True when there is no further hop."""
        return self.next_time > self._last_time or self.pipeline.source.exhausted

    def step(self) -> list[Prediction]:
        """Do the next hop and return its predictions."""
        now = self.next_time
        predictions = self.pipeline.step(now)
        self._index += 1
        # A clock that was reset can leave a hole of hours or years, and no window in it holds anything.
        next_sample = self.pipeline.source.next_time
        if next_sample is not None and next_sample > now + self._config.context_s + 1.0:
            self._index = max(self._index, int(next_sample // self._config.hop_s))
            self.pipeline.aligner.pass_over(self._index)
        return predictions


def run_replay(
    pipeline: Pipeline,
    clock: ReplayClock,
    first_time: float,
    last_time: float,
    sinks: Sequence[Sink],
    telemetry: Telemetry,
    progress: Callable[[float], None] = lambda time: None,
) -> None:
    """Replay a recording to its end.

    Parameters
    ----------
    first_time, last_time : float
        LSL seconds of the recording's first and last sample.
    """
    hop_s = pipeline.aligner.config.hop_s
    steps = ReplaySteps(pipeline, int(first_time // hop_s) + 1, last_time)
    while not steps.is_over:
        now = steps.next_time
        clock.wait_until(now)
        for prediction in steps.step():
            telemetry.on_prediction(prediction)
            for sink in sinks:
                sink.write(prediction)
        progress(now)
        if steps.next_time > now + 1.5 * hop_s:
            clock.restart(steps.next_time)  # nobody waits for the end of a hole
