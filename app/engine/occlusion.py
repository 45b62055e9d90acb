"""The occlusion check on demand, in slices between the windows that the decode thread has to decode."""

from __future__ import annotations

import threading
from collections.abc import Callable

from acquisition.clock import stopwatch
from app.engine.messages import Occlusion, OcclusionRow
from models.decoder import Decoder
from models.occlusion import OcclusionRun

#: Seconds a slice may take; a window comes every 0.25 s and takes 10 to 30 ms itself.
BUDGET_S = 0.04


class OcclusionCheck:
    """Answers `AskOcclusion` without making decoding late.

    Parameters
    ----------
    decoder : Decoder
    tell : callable
        Takes the answer, in the thread that calls `work`.
    budget_s : float
        Seconds of a slice. One variant is asked about in any case, so that the check ends.
    time : callable
        A stopwatch.
    """

    def __init__(
        self,
        decoder: Decoder,
        tell: Callable[[Occlusion], None],
        budget_s: float = BUDGET_S,
        time: Callable[[], float] = stopwatch,
    ) -> None:
        self._decoder = decoder
        self._tell = tell
        self._budget_s = budget_s
        self._time = time
        self._asked = threading.Event()
        self._run: OcclusionRun | None = None

    def ask(self) -> None:
        """Have the newest window checked; from any thread. A check that runs already is the answer."""
        self._asked.set()

    @property
    def has_work(self) -> bool:
        """True while `work` would do something."""
        return self._run is not None or (self._asked.is_set() and self._decoder.newest is not None)

    def forget(self) -> None:
        """Drop what was asked: the windows before are void."""
        self._asked.clear()
        self._run = None

    def work(self) -> None:
        """Do a slice of what was asked, if anything; in the decode thread, after each window it decoded."""
        if not self.has_work:
            return
        if self._run is None:
            assert self._decoder.newest is not None
            self._run = OcclusionRun(self._decoder, self._decoder.newest)
        end = self._time() + self._budget_s
        while self._run.advance():
            if self._time() >= end:
                return
        self._tell(_answer(self._run))
        self._run = None
        self._asked.clear()


def _answer(run: OcclusionRun) -> Occlusion:
    prediction = run.decoded.prediction
    return Occlusion(
        prediction.t_end,
        prediction.label,
        prediction.probs[prediction.label],
        tuple(OcclusionRow(e.kind, e.name, e.delta_p, e.ch_names) for e in run.effects),
    )
