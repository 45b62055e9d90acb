"""What speaks for or against an answer, in a line; and which moment "now" is."""

from __future__ import annotations

from dataclasses import dataclass

from app.view.store import ViewStore

SEVERITIES = ("stop", "caution", "info")  # the gravest first
FOLLOWING_S = 1.0  # a moment no older than this counts as now: figures of now speak of it


@dataclass(frozen=True)
class Finding:
    """A reason, and how grave it is."""

    severity: str  # stop: do not use the answer | caution: it may be wrong | info: good to know
    text: str


def is_following(store: ViewStore, t: float) -> bool:
    """Tell whether ``t`` is the present of the session, so that the streams' state now applies to it."""
    return not store.newest_time - t > FOLLOWING_S  # NaN: nothing has come yet, so it is


def reference_time(store: ViewStore, t: float) -> float:
    """Return what "now" is at ``t``.

    When all streams fall silent in a live session, only the engine's own clock goes on.
    """
    if store.mode == "live" and store.health is not None and is_following(store, t):
        return max(t, store.health.time)
    return t
