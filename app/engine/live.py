"""The live session of the headless commands, watched and steered over the pipe."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

from acquisition.clock import LslClock
from acquisition.types import Change, StreamEvent
from app.engine.messages import Stop
from app.engine.orders import OrderBox, Stopped
from app.engine.request import LiveRequest
from app.engine.tap import Tap
from app.engine.watched import WatchedSession
from app.live import LiveSession
from app.session_options import SessionOptions
from app.simulator_process import SimulatorProcess, stream_choices
from app.telemetry import Telemetry

#: How long the end waits for the recorded file. LabRecorder needs about 4 s to close one, which is more
#: than a window may take to close; its supervisor stays with it.
_CLOSE_RECORDING_S = 0.0


class LiveEngine(WatchedSession):
    """Runs a live session for a window.

    Parameters
    ----------
    request : LiveRequest
    tell : callable
        Sends news; it may wait for the window, so no thread of the session but its own calls it.
    orders : OrderBox
    tap : Tap
        Started; sees everything the session's threads have to show.
    """

    def __init__(
        self, request: LiveRequest, tell: Callable[[object], None], orders: OrderBox, tap: Tap
    ) -> None:
        super().__init__(request.options, tell, orders, tap)
        self._request = request
        self._telemetry = Telemetry(listener=tap)
        self._stopping = threading.Event()

    def run(self) -> None:
        """Run until told to stop, the time is over, or a thread fails.

        Raises
        ------
        InputError
            If model, streams or files cannot be used.
        """
        request = self._request
        with contextlib.suppress(Stopped), self._simulated() as options:
            session = LiveSession(
                options,
                webcam=request.webcam,
                microphone=request.microphone,
                discovery_s=request.discovery_s,
                telemetry=self._telemetry,
                observer=self,
                interrupted=self._stopping,
                close_recording_s=_CLOSE_RECORDING_S,
            )
            try:
                session.run(lambda: self._attend(session))
            finally:
                self._close(session)

    @contextlib.contextmanager
    def _simulated(self) -> Iterator[SessionOptions]:
        """Start the simulated streams, if they are asked for, and give the options that read them."""
        request = self._request
        if request.simulated is None:
            yield request.options
            return
        self.on_stage("loading", "starting the simulated devices")
        with SimulatorProcess(request.simulated) as simulator:
            simulator.wait_until_found()
            simulator.tell(self._say_emotion)
            yield replace(request.options, streams=stream_choices(request.simulated))

    def _say_emotion(self, emotion: str) -> None:
        message = f"the simulated person now shows: {emotion}"
        self._telemetry.on_event(StreamEvent("", Change.NOTICE, LslClock().now(), message))

    def _attend(self, session: LiveSession) -> None:
        """Do what is due besides acquiring and decoding; ten times a second."""
        desk = self._desk
        assert desk is not None
        for order in self._orders.take():
            if isinstance(order, Stop):
                self._stopping.set()
            else:
                desk.obey(order)
        desk.tell_due(session)
