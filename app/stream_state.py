"""What is known of a stream, kept up to date by its events; the same in a terminal and in the window."""

from __future__ import annotations

from dataclasses import dataclass

from acquisition.types import Change, Kind, StreamEvent, StreamSpec

_STATES = {
    Change.OPENED: "open",
    Change.BACK: "open",
    Change.STALE: "stale",
    Change.ENDED: "ended",
    Change.REFUSED: "refused",
}


@dataclass(frozen=True)
class StreamState:
    """One stream as a user sees it."""

    spec: StreamSpec
    state: str  # open | stale | ended | refused
    since: float  # LSL seconds
    message: str = ""  # the newest sentence about it


def state_after(event: StreamEvent, known: StreamState | None) -> StreamState | None:
    """Return a stream's state after an event; None for an event about no stream.

    Parameters
    ----------
    event : StreamEvent
    known : StreamState or None
        Its state before, None before its first event.
    """
    state = _STATES.get(event.change) or (known.state if known else None)
    if not event.stream or state is None:
        return None
    # A stream can be refused before its adapter could describe it.
    unknown = StreamSpec(event.stream, event.stream, Kind.OTHER, (), (), 0.0)
    spec = event.spec or (known.spec if known else unknown)
    if known is None or known.state != state or event.spec is not None:
        return StreamState(spec, state, event.time, event.message)
    return StreamState(spec, state, known.since, event.message or known.message)
