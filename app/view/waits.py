"""What is being waited for while there is no prediction yet."""

from __future__ import annotations

import math

from acquisition.types import KIND_OF_MODALITY, MODALITIES
from app.view.devices import MODALITY_WORDS
from app.view.findings import Finding, is_following
from app.view.plain_text import message_line
from app.view.store import ViewStore

_READY = "data come"


def missing_context(store: ViewStore, t: float) -> dict[str, float]:
    """Return how many seconds of its context each open modality still lacks, where it does."""
    missing: dict[str, float] = {}
    for modality in MODALITIES if store.model is not None else ():
        stream = store.stream_of(KIND_OF_MODALITY[modality])
        if stream is not None and stream.state == "open":
            assert store.model is not None
            seconds = stream.since + store.model.windows.context_of(modality) - t
            if seconds > 0:
                missing[modality] = math.ceil(seconds)
    return missing


def why_no_prediction(store: ViewStore) -> str:
    """Return in a sentence why a panel has no prediction to show."""
    if store.phase.name in ("failed", "ended"):
        return "No prediction: the session is over."
    return "No prediction yet: it needs a stream and a few seconds of data."


def waits(store: ViewStore, t: float) -> tuple[Finding, ...]:
    """Return what is being waited for while there is no prediction."""
    name, message = store.phase.name, store.phase.message.strip()
    if name == "failed":
        first, *more = (message_line(line) for line in (message or "no reason given").splitlines())
        what = "the session stopped" if store.phase.is_mendable else "the engine failed"
        return (Finding("stop", f"{what}: {first}"), *(Finding("info", line) for line in more))
    if name == "ended":
        return (Finding("info", "the session ended without a prediction"),)
    if name == "loading":
        return (Finding("info", message_line(message) or "loading the model"),)
    if not is_following(store, t):
        return (Finding("info", "no prediction at or before this moment"),)
    opening = {
        "looking for streams": "looking for streams",
        "paused": "paused before the first prediction",
    }.get(name, "waiting for the first prediction")
    states = _readiness(store, t)
    lines = [message_line(message) or opening]
    lines += [f"{MODALITY_WORDS[modality]}: {state}" for modality, state in states.items()]
    if name == "running" and _READY in states.values():
        lines.append("of which there must be enough valid samples: see Health and Signals")
    return tuple(Finding("info", line) for line in lines)


def _readiness(store: ViewStore, t: float) -> dict[str, str]:
    missing = missing_context(store, t)
    states = {}
    for modality in MODALITIES:
        stream = store.stream_of(KIND_OF_MODALITY[modality])
        if stream is None:
            state = "no stream yet"
        elif stream.state != "open":
            state = f"stream {stream.state}"
        elif modality in missing:
            state = f"{missing[modality]:.0f} s of context still missing"
        else:
            state = _READY
        states[modality] = state
    return states
