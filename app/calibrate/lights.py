"""The pre-flight's traffic lights, from what a running session sees of its streams."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from pathlib import Path

from acquisition.lsl.discovery import discover
from acquisition.lsl.stream import StreamHealth
from acquisition.quality import ChannelQuality, QualityMeter
from acquisition.types import Change, Chunk, Kind, StreamEvent, StreamHeader, StreamSpec
from calibration.quality import LEAST_SFREQ
from calibration.signal_checks import SignalMeter, preflight, sights
from calibration.types import Check, Consent
from models.prediction import Prediction


class Lights:
    """Watches the streams until the session begins.

    Parameters
    ----------
    headers : sequence of StreamHeader
        Of the streams in use; all others on the network are looked for in a thread beside.
    recorded : sequence of StreamHeader
        Those of them that the recording takes.
    folder : Path
        Where the session is kept.
    seconds : float
        How long it lasts.
    line_hz : float, optional
        Mains frequency.

    Notes
    -----
    `on_event` and `on_chunk` come from one thread, `on_prediction` and `checks` may come from others.
    """

    def __init__(
        self,
        consent: Consent,
        headers: list[StreamHeader],
        recorded: list[StreamHeader],
        folder: Path,
        seconds: float,
        line_hz: float | None = None,
    ) -> None:
        self._consent, self._folder, self._seconds, self._line_hz = consent, folder, seconds, line_hz
        self._found, self._recorded = headers, recorded
        self._specs: dict[str, StreamSpec] = {}
        self._trouble: dict[str, str] = {}
        self._refused: set[str] = set()
        self._meter = SignalMeter()
        self._electrodes: tuple[ChannelQuality, ...] = ()
        self._eeg: dict[str, QualityMeter] = {}
        self._assessed_at = -math.inf
        self._lock = threading.Lock()
        threading.Thread(target=self._look_around, name="streams", daemon=True).start()

    def on_event(self, event: StreamEvent) -> None:
        """Take a change of a stream's state, before the stream's first chunk."""
        with self._lock:
            if event.change is Change.OPENED and event.spec is not None:
                self._open(event.stream, event.spec)
            elif event.change is Change.REFUSED:
                self._refused.add(event.stream)
            if event.stream and event.change in (Change.WARNING, Change.REFUSED):
                self._trouble[event.stream] = event.message

    def _open(self, key: str, spec: StreamSpec) -> None:
        self._specs[key] = spec
        if spec.kind is Kind.EEG and spec.sfreq >= LEAST_SFREQ:
            self._eeg[key] = QualityMeter(spec.ch_names, spec.sfreq, self._line_hz)

    def on_chunk(self, chunk: Chunk) -> None:
        """Take a chunk of any stream."""
        with self._lock:
            spec, electrodes = self._specs.get(chunk.stream), self._eeg.get(chunk.stream)
            if spec is None or len(chunk.times) == 0:
                return
            self._meter.push(spec.kind, chunk)
            if electrodes is not None and not isinstance(chunk.data, tuple):
                electrodes.push(chunk.data, chunk.breaks)
                if chunk.times[-1] >= self._assessed_at + 1.0:
                    self._assessed_at = float(chunk.times[-1])
                    self._electrodes = electrodes.assess(self._assessed_at) or self._electrodes

    def on_prediction(self, prediction: Prediction) -> None:
        """Take whether the decoder's newest frame showed a face."""
        if not math.isnan(prediction.face_time):
            with self._lock:
                self._meter.push_face(prediction.face_time, prediction.face_box is not None)

    def checks(self, health: Mapping[str, StreamHealth]) -> tuple[Check, ...]:
        """Return the lights now; ``health`` is that of each stream, by key."""
        with self._lock:
            seen = sights(self._specs, health, self._trouble, self._refused)
            measured = self._meter.measured(self._electrodes)
            found = self._found
        return preflight(
            self._consent,
            seen,
            measured,
            found=found,
            folder=self._folder,
            seconds=self._seconds,
            recorded=self._recorded,
        )

    def _look_around(self) -> None:
        headers = [stream.header for stream in discover(1.0)]
        with self._lock:
            # What is in use answered before: one that was missed now is there all the same.
            known = {header.uid for header in headers}
            self._found = headers + [header for header in self._found if header.uid not in known]
