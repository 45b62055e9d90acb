"""What a screen may want to know, collected in one place; views only read it.

Safe to read from any thread: a snapshot is made under the lock and holds plain values.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from acquisition.types import Change, StreamEvent, StreamSpec
from app.failure import Failure
from models.prediction import Prediction

_N_LATENCIES = 2000  # eight minutes at four predictions a second
_N_MESSAGES = 200


@dataclass(frozen=True)
class StreamState:
    """One stream as a user sees it."""

    spec: StreamSpec
    state: str  # open | stale | ended | refused
    since: float  # LSL seconds


@dataclass(frozen=True)
class Snapshot:
    """The state at one moment."""

    prediction: Prediction | None
    streams: dict[str, StreamState]
    messages: tuple[str, ...]  # the newest ones
    n_messages: int  # all there ever were
    failures: tuple[Failure, ...]  # the newest ones
    n_failures: int  # all there ever were
    n_predictions: int
    n_skipped: int
    total_p50_ms: float
    total_p99_ms: float
    arrival_p50_ms: float
    recording: str

    def new_messages(self, n_seen: int) -> tuple[str, ...]:
        """Return the messages after the first ``n_seen``, as far as they are still kept."""
        return self.messages[max(0, len(self.messages) - (self.n_messages - n_seen)) :]

    def new_failures(self, n_seen: int) -> tuple[Failure, ...]:
        """Return the failures after the first ``n_seen``, as far as they are still kept."""
        return self.failures[max(0, len(self.failures) - (self.n_failures - n_seen)) :]


@dataclass
class Telemetry:
    """Collects predictions, stream events, failures and latencies."""

    recording: str = ""
    n_skipped: int = 0
    _prediction: Prediction | None = None
    _streams: dict[str, StreamState] = field(default_factory=dict)
    _messages: deque[str] = field(default_factory=lambda: deque(maxlen=_N_MESSAGES))
    _failures: deque[Failure] = field(default_factory=lambda: deque(maxlen=_N_MESSAGES))
    _totals: deque[float] = field(default_factory=lambda: deque(maxlen=_N_LATENCIES))
    _arrivals: deque[float] = field(default_factory=lambda: deque(maxlen=_N_LATENCIES))
    _n_predictions: int = 0
    _n_messages: int = 0
    _n_failures: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    _STATE_OF = {  # noqa: RUF012  (a dataclass leaves an unannotated class attribute alone)
        Change.OPENED: "open",
        Change.BACK: "open",
        Change.STALE: "stale",
        Change.ENDED: "ended",
        Change.REFUSED: "refused",
    }

    def on_event(self, event: StreamEvent) -> None:
        """Take a change of a stream's state."""
        with self._lock:
            if event.message:
                self._messages.append(event.message)
                self._n_messages += 1
            known = self._streams.get(event.stream)
            spec = event.spec or (known.spec if known else None)
            state = self._STATE_OF.get(event.change)
            if spec is not None and state is not None:
                self._streams[event.stream] = StreamState(spec, state, event.time)

    def on_prediction(self, prediction: Prediction) -> None:
        """Take a prediction."""
        with self._lock:
            self._prediction = prediction
            self._n_predictions += 1
            self._totals.append(prediction.latency.total)
            self._arrivals.append(prediction.latency.arrival)

    def on_failure(self, failure: Failure) -> None:
        """Take a dead or degraded stage."""
        with self._lock:
            self._failures.append(failure)
            self._n_failures += 1

    def snapshot(self) -> Snapshot:
        """Return the state now."""
        with self._lock:
            return Snapshot(
                prediction=self._prediction,
                streams=dict(self._streams),
                messages=tuple(self._messages),
                n_messages=self._n_messages,
                failures=tuple(self._failures),
                n_failures=self._n_failures,
                n_predictions=self._n_predictions,
                n_skipped=self.n_skipped,
                total_p50_ms=_percentile(self._totals, 50),
                total_p99_ms=_percentile(self._totals, 99),
                arrival_p50_ms=_percentile(self._arrivals, 50),
                recording=self.recording,
            )


def _percentile(values: deque[float], q: float) -> float:
    finite = [v for v in values if np.isfinite(v)]
    return float(np.percentile(finite, q)) if finite else float("nan")
