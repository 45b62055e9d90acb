"""Figures of streams, latency and machine, as the health tab shows them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import psutil
import torch

from acquisition.lsl_stream import StreamHealth
from app.engine.messages import HealthPart, RecordingInfo
from app.telemetry import Telemetry

#: How often the window is told.
PERIOD_S = 0.5


class HealthMeter:
    """Makes a `HealthPart` of what a session knows and of what this process uses.

    Parameters
    ----------
    telemetry : Telemetry
    device : str
        ``cpu``, or the name of the card in use.
    """

    def __init__(self, telemetry: Telemetry, device: str) -> None:
        self._telemetry, self._device = telemetry, device
        self._process = psutil.Process()
        self._process.cpu_percent()  # the first call begins the count

    def part(
        self,
        time: float,
        *,
        streams: Mapping[str, StreamHealth] | None = None,
        recording: RecordingInfo | None = None,
        masked: Collection[str] = (),
        n_view_dropped: int = 0,
        n_predictions: int | None = None,
    ) -> HealthPart:
        """Return the figures at ``time`` (LSL seconds).

        ``n_predictions`` is of those that were handed on, where a replay decodes some of them again.
        """
        p50, p99 = self._telemetry.latency_ms(50, 99)
        return HealthPart(
            time=time,
            streams=dict(streams or {}),
            latency_p50_ms=p50,
            latency_p99_ms=p99,
            n_predictions=self._telemetry.n_predictions if n_predictions is None else n_predictions,
            n_skipped=self._telemetry.n_skipped,
            cpu_percent=self._process.cpu_percent(),
            memory_mb=self._process.memory_info().rss / 1e6,
            gpu=self._gpu(),
            recording=recording,
            masked=tuple(masked),
            n_view_dropped=n_view_dropped,
        )

    def _gpu(self) -> str:
        if self._device == "cpu":
            return ""
        try:
            free, total = torch.cuda.mem_get_info()
        except RuntimeError:  # the context is lost; the decoder says so and goes on on the CPU
            return f"{self._device}, does not answer"
        return f"{self._device}, {(total - free) / 1e9:.1f} of {total / 1e9:.1f} GB in use"
