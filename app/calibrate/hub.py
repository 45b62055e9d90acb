"""Everything that a calibration hears of its streams, handed on to those who want it."""

from __future__ import annotations

from acquisition.types import Chunk, StreamEvent
from app.calibrate.bystander import Bystander
from app.calibrate.lights import Lights
from app.failure import Failure
from app.telemetry import Listener
from calibration.quality_log import QualityLog
from models.prediction import Prediction


class Hub:
    """Listens to telemetry and chunks; the signals' quality is worked out in a thread of its own.

    Parameters
    ----------
    quality : QualityLog
    listener : Listener, optional
        Hears of everything, too.

    Attributes
    ----------
    lights : Lights or None
        Of the pre-flight; None before the streams are open and once the session has begun.
    """

    def __init__(self, quality: QualityLog, listener: Listener | None) -> None:
        self.lights: Lights | None = None
        self._quality, self._listener = quality, listener
        self._aside = Bystander(self._look_at_event, self._look_at_chunk)
        self._aside.start()

    def on_event(self, event: StreamEvent) -> None:
        """Take a change of a stream's state."""
        self._aside.put(event)
        if self._listener is not None:
            self._listener.on_event(event)

    def on_chunk(self, chunk: Chunk) -> None:
        """Take a chunk."""
        self._aside.put(chunk)

    def on_prediction(self, prediction: Prediction) -> None:
        """Take a prediction."""
        if self.lights is not None:
            self.lights.on_prediction(prediction)
        if self._listener is not None:
            self._listener.on_prediction(prediction)

    def on_failure(self, failure: Failure) -> None:
        """Take a dead or degraded stage."""
        if self._listener is not None:
            self._listener.on_failure(failure)

    @property
    def error(self) -> Exception | None:
        """What ended the thread that looks at the signals; None while all is well."""
        return self._aside.error

    def close(self) -> None:
        """Look at what waits, and end."""
        self._aside.stop()
        self._quality.finish()

    def _look_at_event(self, event: StreamEvent) -> None:
        self._quality.on_event(event)
        if self.lights is not None:
            self.lights.on_event(event)

    def _look_at_chunk(self, chunk: Chunk) -> None:
        self._quality.on_chunk(chunk)
        if self.lights is not None:
            self.lights.on_chunk(chunk)
