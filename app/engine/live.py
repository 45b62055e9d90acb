"""A live session with a window."""

import contextlib
import threading
from collections.abc import Collection

from acquisition.types import Chunk, StreamHeader
from app.engine.command_handler import CommandHandler
from app.engine.health import model_info
from app.engine.messages import ModelInfo, Opened, Phase, PhaseName, SessionCommand
from app.engine.pipe import Stopped, WindowLink
from app.live import LiveSession, NotingObserver, OpenSession
from app.request import LiveRequest, SessionOptions
from app.telemetry import Telemetry, simulated_streams


class WatchedSession(NotingObserver):
    """Connects a live session to a window: shows it, handles commands, and sends notes as a stream."""

    _telemetry: Telemetry  # of the session, before its streams are opened
    _model: ModelInfo  # once the session is open
    _check_every_s: float | None = None  # of a self-check

    def __init__(self, options: SessionOptions, link: WindowLink) -> None:
        self._options, self._link = options, link
        self._handler: CommandHandler | None = None

    def on_stage(self, stage: PhaseName, message: str = "") -> None:
        """Tell the window; raises `Stopped` if it has stopped the session."""
        self._link.tell_stage(Phase(stage, message))

    def on_open(self, opened: OpenSession) -> None:
        assert self._notes is not None
        self._model = model = model_info(opened.checkpoint, self._options)
        self._link.tell_stage(self._opening(opened.source.headers.values()))
        self._link.tell(Phase("running"))
        given = opened, self._notes, self._telemetry, self._link.tap, model.device, self._check_every_s
        self._handler = CommandHandler(*given)

    def on_streams(self, headers: Collection[StreamHeader]) -> None:
        self._link.tell(self._opening(headers))

    def _opening(self, headers: Collection[StreamHeader]) -> Opened:
        streams = simulated_streams(headers)
        return Opened("live", self._model, None, bool(streams.simulated), streams.real, tuple(headers))

    def on_recording(self) -> None:
        """Note in the recording what is masked, and whether the participant rests, at its start."""
        if self._handler is not None:
            self._handler.restate()

    def on_chunk(self, chunk: Chunk) -> None:
        self._link.tap.on_chunk(chunk)

    def after_decode(self) -> None:
        if self._handler is not None:
            self._handler.occlusion.work()

    def _close(self, session: LiveSession | None) -> None:
        if self._handler is not None and session is not None:
            self._handler.tell_health(session)
        self.close()


#: Seconds to wait at the end for the recorded file. LabRecorder needs about 4 s to close one, longer than a
#: window may take to close; its supervisor waits instead.
_CLOSE_RECORDING_S = 0.0


class LiveEngine(WatchedSession):
    def __init__(self, request: LiveRequest, link: WindowLink) -> None:
        super().__init__(request.options, link)
        self._request, self._check_every_s = request, request.check_every_s
        self._telemetry = Telemetry(listener=link.tap)
        self._stopping = threading.Event()

    def run(self) -> None:
        """Run until told to stop, the time is over, or a thread fails.

        Raises `InputError` if model, streams or files cannot be used.
        """
        with contextlib.suppress(Stopped):
            session = LiveSession(
                self._request,
                telemetry=self._telemetry,
                observer=self,
                interrupted=self._stopping,
                close_recording_s=_CLOSE_RECORDING_S,
            )
            try:
                session.run(lambda: self._attend(session))
            finally:
                self._close(session)

    def _attend(self, session: LiveSession) -> None:
        handler = self._handler
        assert handler is not None
        for command in self._link.commands.take():
            if command is SessionCommand.STOP:
                self._stopping.set()
            else:
                handler.handle(command)
        handler.tell_due(session)
