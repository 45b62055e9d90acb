"""A live session with a window that watches it, whatever the session is for."""

from __future__ import annotations

from collections.abc import Callable

from acquisition.types import Chunk
from app.engine.desk import Desk
from app.engine.messages import Opened, Phase
from app.engine.model_info import model_info
from app.engine.notes import NoteOutlet
from app.engine.orders import OrderBox, Stopped
from app.engine.tap import Tap
from app.live import LiveSession, Observer, OpenSession
from app.session_options import SessionOptions
from app.simulated_streams import simulated_streams
from app.telemetry import Telemetry


class WatchedSession(Observer):
    """Shows a live session to a window, with a desk for its orders and a stream for its notes.

    Parameters
    ----------
    options : SessionOptions
    tell : callable
        Sends news; it may wait for the window, so no thread of the session but its own calls it.
    orders : OrderBox
    tap : Tap
        Started; sees everything the session's threads have to show.
    """

    _telemetry: Telemetry  # of the session, before its streams are opened

    def __init__(
        self, options: SessionOptions, tell: Callable[[object], None], orders: OrderBox, tap: Tap
    ) -> None:
        self._options, self._tell, self._orders, self._tap = options, tell, orders, tap
        self._desk: Desk | None = None
        self._notes: NoteOutlet | None = None

    def on_stage(self, stage: str, message: str = "") -> None:
        """Tell the window, and go no further when it wants to stop."""
        if self._orders.must_stop:
            raise Stopped
        self._tell(Phase(stage, message))

    def own_source_ids(self) -> list[str]:
        """Open the notes' stream, which a recording shall hold."""
        self._notes = NoteOutlet()
        return [self._notes.header.source_id]

    def on_open(self, opened: OpenSession) -> None:
        """Tell the window what it will see."""
        if self._orders.must_stop:
            raise Stopped
        assert self._notes is not None
        model = model_info(opened.checkpoint, self._options)
        streams = simulated_streams(opened.source.headers.values())
        self._tell(Opened("live", model, None, bool(streams.simulated), streams.real))
        self._tell(Phase("running"))
        self._desk = Desk(opened, self._notes, self._telemetry, self._tap, model.device)

    def on_recording(self) -> None:
        """Note in the recording what is unplugged as it begins."""
        if self._desk is not None:
            self._desk.restate_plugs()

    def on_chunk(self, chunk: Chunk) -> None:
        """Show a chunk."""
        self._tap.on_chunk(chunk)

    def after_decode(self) -> None:
        """Use the decode thread's free time for an occlusion check."""
        if self._desk is not None:
            self._desk.occlusion.work()

    def _close(self, session: LiveSession | None) -> None:
        """Tell how the recording of a session ended, and withdraw the notes."""
        if self._desk is not None and session is not None:
            self._desk.tell_health(session)
        if self._notes is not None:
            self._notes.close()
