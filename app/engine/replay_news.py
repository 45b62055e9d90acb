"""What a replay tells its window of the file, and how it avoids telling things again after seeking."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from acquisition.types import Change, StreamEvent
from acquisition.xdf.outline import Outline
from app.engine.messages import DAMAGED, Mark, Timeline
from app.outputs import Sink
from app.runner import closing
from models.prediction import Prediction

_N_MOST_DAMAGE = 20


def timeline_of(outline: Outline, path: Path, first: float, last: float) -> Timeline:
    """Return the part of a recording from ``first`` to ``last`` (LSL seconds) with its marks and gaps."""
    marks = tuple(
        Mark(marker.time, marker.text, stream=marker.stream)
        for marker in outline.markers
        if first <= marker.time <= last
    )
    gaps = tuple(
        Mark(gap.time, f"{gap.stream}: nothing for {gap.duration_s:.1f} s", gap.duration_s, gap.stream)
        for gap in outline.gaps
        if gap.time + gap.duration_s >= first and gap.time <= last
    )
    return Timeline(path, first, last, marks, gaps)


def damage_events(outline: Outline, time: float) -> Iterator[StreamEvent]:
    """Yield in words what is broken in a file, and what of the file its timeline leaves out."""
    damage = outline.damage
    for entry in damage[:_N_MOST_DAMAGE]:
        yield StreamEvent("", Change.WARNING, time, f"{DAMAGED}{entry}")
    if len(damage) > _N_MOST_DAMAGE:
        text = f"the recording is damaged in {len(damage) - _N_MOST_DAMAGE} more places"
        yield StreamEvent("", Change.WARNING, time, f"{text}; see: affectscope inspect FILE")
    for what, n_shown, n_all in (
        ("markers", len(outline.markers), outline.n_markers),
        ("gaps", len(outline.gaps), outline.n_gaps),
    ):
        if n_shown < n_all:
            message = f"the timeline shows {n_shown} of {n_all} {what}"
            yield StreamEvent("", Change.NOTICE, time, message)


class SaidOnce:
    """Passes events on, each sentence once: every seek opens all streams of the file again.

    That a stream ends is a sentence only where it holds nothing in the part that is replayed. After a
    seek that part begins half a minute before the moment sought, and the sentence would be wrong.
    """

    def __init__(self, on_event: Callable[[StreamEvent], None]) -> None:
        self._on_event = on_event
        self._said: set[tuple[str, str, float]] = set()
        self._is_again = False

    def open_again(self) -> None:
        """Events that come from now on may have come before."""
        self._is_again = True

    def __call__(self, event: StreamEvent) -> None:
        """Pass an event on, without its sentence if that was said before."""
        if self._is_again and event.change is Change.ENDED:
            event = replace(event, message="")
        # Only what is noticed at a moment of the file, such as a modality unplugged, may be said of many.
        is_of_moment = event.change is Change.NOTICE and math.isfinite(event.time)
        sentence = (event.stream, event.message, event.time if is_of_moment else 0.0)
        if self._is_again and sentence in self._said:
            if event.change in (Change.NOTICE, Change.WARNING):
                return
            event = replace(event, message="")
        self._said.add(sentence)
        self._on_event(event)


class OnceInOrder:
    """Writes each prediction once and in order of time, however often a replay seeks.

    Parameters
    ----------
    sinks : sequence of Sink

    Attributes
    ----------
    n_written : int
        Predictions written so far.
    """

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = sinks
        self.n_written = 0
        self._newest = -math.inf

    def write(self, prediction: Prediction) -> None:
        """Write a prediction, unless one of its time or later was written."""
        if prediction.t_end > self._newest:
            self._newest = prediction.t_end
            self.n_written += 1
            for sink in self._sinks:
                sink.write(prediction)

    def close(self) -> None:
        """Finish what was begun."""
        with closing(self._sinks):
            pass
