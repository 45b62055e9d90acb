"""Why a signal is not shown, or not to be trusted, and what to do about it, in a sentence."""

from __future__ import annotations

from acquisition.types import Kind
from app.view.devices import DEVICES, Device
from app.view.plain_text import message_line
from app.view.store import ViewStore

_STATES = {"stale": "silent", "ended": "ended", "refused": "refused"}


def stream_note(store: ViewStore, kind: Kind, t: float) -> str:
    """Return what a panel of that kind of stream should say at ``t``; empty when all is well.

    Of a moment before the stream fell silent nothing is said: what was there then is shown.
    """
    device = DEVICES[kind]
    stream = store.stream_of(kind)
    if stream is None:
        return _absence(store, device)
    if stream.state == "open" or t < stream.since:
        return ""
    said = f"{device.signal} stream {_STATES[stream.state]}"
    return f"{said}: {message_line(stream.message)}" if stream.message else said


def _absence(store: ViewStore, device: Device) -> str:
    phase, name = store.phase.name, device.signal
    if phase in ("failed", "ended"):
        return f"no {name} stream: the session has {phase}"
    if phase not in ("running", "paused"):
        return f"no {name} stream yet: {phase}"
    if store.mode == "replay":
        return f"this recording has no {name} stream"
    return f"no {name} stream: {device.if_missing}"
