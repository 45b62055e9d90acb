"""The state of a session, collected in one place for the screens; safe to read from any thread."""

import threading
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import numpy as np

from acquisition.header import is_simulated
from acquisition.select import kind_of
from acquisition.types import Change, Kind, StreamEvent, StreamHeader, StreamSpec
from models.prediction import Prediction


@dataclass(frozen=True)
class Failure:
    """What failed, and when (LSL seconds)."""

    stage: str
    error: str
    time: float


_STATES = {
    Change.OPENED: "open",
    Change.BACK: "open",
    Change.STALE: "stale",
    Change.ENDED: "ended",
    Change.REFUSED: "refused",
}


#: What a user reads of a stream that does not send.
STATE_WORDS = {"stale": "silent", "ended": "ended", "refused": "refused"}


@dataclass(frozen=True)
class StreamState:
    spec: StreamSpec
    state: str  # open | stale | ended | refused
    since: float  # LSL seconds
    message: str = ""  # the newest sentence about it


def state_after(event: StreamEvent, known: StreamState | None) -> StreamState | None:
    """Return a stream's state after an event, ``known`` before it; None for an event about no stream."""
    state = _STATES.get(event.change) or (known.state if known else None)
    if not event.stream or state is None:
        return None
    # A stream can be refused before its adapter could describe it.
    unknown = StreamSpec(event.stream, event.stream, Kind.OTHER, (), (), 0.0)
    spec = event.spec or (known.spec if known else unknown)
    if known is None or known.state != state or event.spec is not None:
        return StreamState(spec, state, event.time, event.message)
    return StreamState(spec, state, known.since, event.message or known.message)


#: Percentiles of latency are of this many predictions, two minutes at four a second: enough for a 99th
#: percentile, and few enough that a hitch long ago does not speak of now.
N_LATENCIES = 480
_N_MESSAGES = 200

#: Stages of a prediction's latency, see `models.prediction.Latency`.
STAGES = ("arrival", "wait", "hand_over", "features", "network", "total")


class Listener:
    """Is called at once, in the thread in which something happens, and must not keep it waiting.

    This base class does nothing.
    """

    def on_event(self, event: StreamEvent) -> None:
        """Take a change of a stream's state."""

    def on_prediction(self, prediction: Prediction) -> None:
        """Take a prediction."""

    def on_failure(self, failure: Failure) -> None:
        """Take a dead or degraded stage."""


@dataclass
class Telemetry:
    """Collects predictions, stream events, failures and latencies; the terminal takes its lines from it."""

    listeners: list[Listener] = field(default_factory=list)
    prediction: Prediction | None = None  # the newest
    n_predictions: int = 0
    n_skipped: int = 0
    messages: deque[str] = field(default_factory=lambda: deque(maxlen=_N_MESSAGES))  # not taken yet
    failures: deque[Failure] = field(default_factory=lambda: deque(maxlen=_N_MESSAGES))
    _latencies: dict[str, deque[float]] = field(
        default_factory=lambda: {stage: deque(maxlen=N_LATENCIES) for stage in STAGES}
    )
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def on_event(self, event: StreamEvent) -> None:
        if event.message:
            self.messages.append(event.message)
        for listener in self.listeners:
            listener.on_event(event)

    def on_prediction(self, prediction: Prediction) -> None:
        with self._lock:
            self.prediction = prediction
            self.n_predictions += 1
            for stage, values in self._latencies.items():
                values.append(getattr(prediction.latency, stage))
        for listener in self.listeners:
            listener.on_prediction(prediction)

    def on_failure(self, failure: Failure) -> None:
        self.failures.append(failure)
        for listener in self.listeners:
            listener.on_failure(failure)

    def say(self, message: str, time: float, change: Change = Change.NOTICE) -> None:
        """Take a message about no stream; ``time`` in LSL seconds."""
        self.on_event(StreamEvent("", change, time, message))

    def latency_ms(self, *percents: float) -> list[dict[str, float]]:
        """Return percentiles in ms of the newest `N_LATENCIES` times of each stage; NaN without a value."""
        with self._lock:
            values = {stage: tuple(latencies) for stage, latencies in self._latencies.items()}
        return [{stage: percentile(v, percent) for stage, v in values.items()} for percent in percents]


def percentile(values: Collection[float], q: float) -> float:
    """Return a percentile of the finite values, NaN without any."""
    array = np.array(values)
    finite = array[np.isfinite(array)]
    return float(np.percentile(finite, q)) if len(finite) else float("nan")


class SimulatedStreams:
    """Names of a session's simulated streams and of the others; markers count where they are simulated."""

    def __init__(self, headers: Iterable[StreamHeader]) -> None:
        headers = list(headers)
        self.simulated = tuple(header.name for header in headers if is_simulated(header))
        others = (header for header in headers if not is_simulated(header))
        self.real = tuple(header.name for header in others if kind_of(header) is not Kind.MARKERS)

    @property
    def notice(self) -> str:
        """What to say of it, empty where nothing is simulated."""
        if not self.simulated:
            return ""
        if not self.real:
            return "the streams are simulated: no real participant or device is involved"
        return f"simulated streams: {', '.join(self.simulated)}; not simulated: {', '.join(self.real)}"
