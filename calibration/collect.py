"""Rows without predictions: a source stepped from second to second, for what wants speed and no answer."""

from __future__ import annotations

import math
from collections.abc import Callable

from acquisition.types import Change, Chunk, Source, StreamEvent
from acquisition.windowing import Aligner
from calibration.rows import RowCollector
from models.decoder import Decoder


class RowPump:
    """Turns a source that tells what is complete (a file, the simulator) into rows.

    Only windows that end on whole seconds are cut and no fusion runs; the rows are those of a run that
    decodes every hop.

    Parameters
    ----------
    source : Source
    decoder : Decoder
    run : int
        Of the recording.
    on_event, on_chunk : callable
        See every event and every chunk, e.g. for the signals' quality.
    """

    def __init__(
        self,
        source: Source,
        decoder: Decoder,
        *,
        run: int = 1,
        on_event: Callable[[StreamEvent], None] = lambda event: None,
        on_chunk: Callable[[Chunk], None] = lambda chunk: None,
    ) -> None:
        self.source = source
        self.rows = RowCollector(decoder, run=run)
        self._decoder = decoder
        self._aligner = Aligner(decoder.config.windows)
        self._on_event, self._on_chunk = on_event, on_chunk
        self._n_hops = round(1.0 / decoder.config.windows.hop_s)  # a second

    def step(self, now: float) -> None:
        """Take in everything that is due at ``now`` (LSL seconds); steps of about a second suit."""
        for item in self.source.read(now):
            if isinstance(item, Chunk):
                self._aligner.push(item)
                self._on_chunk(item)
            else:
                self._take(item)
        due = self._aligner.due(now, self.source.complete_to(now))
        for index in range(-(-due.start // self._n_hops) * self._n_hops, due.stop, self._n_hops):
            self._aligner.pass_over(index)
            self._decoder.take_steps(self._aligner.cut(index, now, live=False, known=self._decoder.knows))

    def _take(self, event: StreamEvent) -> None:
        if event.change is Change.OPENED and event.spec is not None:
            self._decoder.open(event.spec)
            self._aligner.open(event.spec)
        self._on_event(event)

    def run_to(self, begin: float, end: float) -> None:
        """Step from whole second to whole second (LSL), at least to ``end``; holes are jumped over."""
        second = math.floor(begin) + 1
        while second < end + 1.0 and not self.source.exhausted:
            self.step(float(second))
            upcoming = self.source.next_time
            second = max(second + 1, math.floor(upcoming) if upcoming is not None else 0)
