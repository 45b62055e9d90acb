"""The whole path from source to prediction, on one screen.

    Source.read(now) --Chunk--> Aligner (rings, hop grid) --Window--> Decoder --Prediction--> sinks

`Pipeline` has no thread and reads no clock: live runs drive `acquire` and `decode` from two threads,
replay and tests call `step`. Live and replay differ only in the source and the clock they are given.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from acquisition.clock import stopwatch
from acquisition.types import Change, Chunk, Source, StreamEvent, Window
from acquisition.windowing import Aligner
from app.modality_mask import Plugs
from models.decoder import Decoder
from models.prediction import Latency, Prediction


class Pipeline:
    """Wires a source, the aligner and a decoder.

    Parameters
    ----------
    source : Source
        Where chunks come from.
    decoder : Decoder
        Features and network.
    live : bool
        Windows may be late and may be skipped; a replay never does either.
    on_event : callable
        Told every change of a stream's state.
    on_chunk : callable, optional
        Sees every chunk (for display); must not keep the caller waiting.
    plugs : Plugs, optional
        What is unplugged by hand; by default whatever the decoder's ``masked`` says.
    """

    def __init__(
        self,
        source: Source,
        decoder: Decoder,
        *,
        live: bool,
        on_event: Callable[[StreamEvent], None] = lambda event: None,
        on_chunk: Callable[[Chunk], None] = lambda chunk: None,
        plugs: Plugs | None = None,
    ) -> None:
        self.source = source
        self.decoder = decoder
        self.aligner = Aligner(decoder.config.windows)
        self.live = live
        self._plugs = plugs
        self._stepped_to = -math.inf
        self._stepped: Window | None = None
        self._on_event = on_event
        self._on_chunk = on_chunk

    def acquire(self, now: float) -> None:
        """Move everything that has come in into the rings."""
        for item in self.source.read(now):
            if isinstance(item, Chunk):
                self.aligner.push(item)
                self._on_chunk(item)
            else:
                self._take(item)

    def _take(self, event: StreamEvent) -> None:
        if event.change is Change.OPENED and event.spec is not None:
            self.decoder.open(event.spec)
            self.aligner.open(event.spec)
        elif event.change in (Change.STALE, Change.ENDED, Change.REFUSED):
            self.aligner.wait_for(event.stream, False)
        elif event.change is Change.BACK:
            self.aligner.wait_for(event.stream, True)
        self._on_event(event)

    def newest_window(self, now: float) -> Window | None:
        """Close the freshest window that is due; older ones that are due too count as skipped."""
        due = self.aligner.due(now, self.source.complete_to(now))
        return self._cut(due[-1], now) if due else None

    def _cut(self, index: int, now: float) -> Window:
        return self.aligner.cut(index, now, live=self.live, known=self.decoder.knows)

    def decode(self, window: Window, now: Callable[[], float]) -> Prediction | None:
        """Turn a window into a prediction; None when no modality is present."""
        started = stopwatch()
        if self._plugs is not None:
            self.decoder.masked = self._plugs.of_window(window.t_end)
        prediction = self.decoder.decode(window)
        if prediction is None:
            return None
        latency = prediction.latency
        if not self.live:
            return replace(prediction, latency=replace(latency, total=(stopwatch() - started) * 1e3))
        done = now()
        return replace(
            prediction,
            latency=Latency(
                arrival=(window.newest_arrival - window.newest_push) * 1e3,
                wait=(window.closed_at - window.newest_arrival) * 1e3,
                features=latency.features,
                network=latency.network,
                total=(done - window.newest_push) * 1e3,
                age=(done - window.t_end) * 1e3,
            ),
        )

    def step(self, now: float) -> list[Prediction]:
        """Acquire, and decode every window that is due, in order. For replay and tests."""
        self.acquire(now)
        self._tell_plugs(now)
        predictions = []
        for index in self.aligner.due(now, self.source.complete_to(now)):
            self._stepped = self._cut(index, now)
            prediction = self.decode(self._stepped, lambda: now)
            if prediction is not None:
                predictions.append(prediction)
        return predictions

    def _tell_plugs(self, now: float) -> None:
        for change in self._plugs.between(self._stepped_to, now) if self._plugs is not None else ():
            self._on_event(StreamEvent("", Change.NOTICE, change.time, change.sentence))
        self._stepped_to = now

    def decode_again(self) -> Prediction | None:
        """Decode the newest window of `step` once more, as when a modality was masked since."""
        window = self._stepped
        return None if window is None else self.decode(window, lambda: window.closed_at)
