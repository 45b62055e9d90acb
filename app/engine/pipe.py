"""The window's orders as they come in, for a session that asks for them when it has time."""

from __future__ import annotations

import threading
from collections import deque
from multiprocessing.connection import Connection

from app.engine.messages import StartRecording, Stop, StopRecording


class Stopped(Exception):
    """The window wants no session any more, before there is one."""


class OrderBox:
    """Collects orders in a thread of its own.

    Parameters
    ----------
    connection : Connection
        The engine's end of the pipe. When the window's end closes, because it ended or crashed, that
        is an order to stop.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._orders: deque[object] = deque()
        self._came = threading.Event()
        self._is_terminated = False
        threading.Thread(target=self._listen, name="orders", daemon=True).start()

    def take(self) -> list[object]:
        """Return what came since the last call, oldest first."""
        self._came.clear()
        orders: list[object] = []
        while self._orders:
            orders.append(self._orders.popleft())
        if self._is_terminated:
            self._is_terminated = False
            orders.append(Stop())
        return orders

    def wait(self, timeout_s: float) -> bool:
        """Wait for an order, at most ``timeout_s``; return whether there is one."""
        return self._came.wait(timeout_s)

    def terminate(self) -> None:
        """Leave an order to stop; safe in a signal handler, so `wait` does not end at once."""
        self._is_terminated = True

    @property
    def must_stop(self) -> bool:
        """True while an order to stop has not been taken."""
        return self._is_terminated or any(isinstance(order, Stop) for order in tuple(self._orders))

    def _listen(self) -> None:
        is_open = True
        while is_open:
            try:
                order = self._connection.recv()
            except (EOFError, OSError):
                order, is_open = Stop(), False
            self._orders.append(order)
            self._came.set()


def stage_of(order: object) -> str:
    """Return which stage a window is told of when an order cannot be carried out."""
    return "recording" if isinstance(order, StartRecording | StopRecording) else "order"
