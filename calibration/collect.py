"""Rows without predictions: a source stepped from second to second, for what wants speed and no answer."""

from __future__ import annotations

from collections.abc import Callable

from acquisition.pump import Pump
from acquisition.types import Chunk, Source, StreamEvent
from calibration.rows import RowCollector
from models.decoder import Decoder


class RowPump:
    """Turns a source that tells what is complete (a file, the simulator) into rows.

    Only windows that end on whole seconds are cut and no fusion runs; the rows are those of a run that
    decodes every hop.

    Parameters
    ----------
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
        self.rows = RowCollector(decoder, run=run)
        self._decoder = decoder
        self._pump = Pump(
            source,
            decoder.config.windows,
            known=decoder.knows,
            on_open=decoder.open,
            on_event=on_event,
            on_chunk=on_chunk,
        )

    def run_to(self, begin: float, end: float) -> None:
        """Take in every whole second (LSL), at least to ``end``; holes are jumped over."""
        for second in self._pump.whole_seconds(begin, end):
            self._decoder.take_steps(self._pump.window_at(second))
