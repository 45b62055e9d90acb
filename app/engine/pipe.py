"""An engine's end of the pipe to its window: commands as they come in, and how messages go out."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from app.engine.messages import Opened, Phase, SessionCommand, StartRecording

if TYPE_CHECKING:
    from app.engine.tap import Tap  # with torch


class Stopped(Exception):
    """The window stopped the session before it ran."""


class CommandQueue:
    """Collects commands in a background thread; when the pipe closes, that is a command to stop."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._commands: deque[object] = deque()
        self._came = threading.Event()
        self._is_terminated = False
        threading.Thread(target=self._listen, name="commands", daemon=True).start()

    def take(self) -> list[object]:
        """Return what came since the last call, oldest first."""
        self._came.clear()
        commands = [self._commands.popleft() for _ in range(len(self._commands))]
        if self._is_terminated:
            self._is_terminated = False
            commands.append(SessionCommand.STOP)
        return commands

    def wait(self, timeout_s: float) -> bool:
        """Wait for a command, at most ``timeout_s``; return whether there is one."""
        return self._came.wait(timeout_s)

    def terminate(self) -> None:
        """Leave a command to stop; safe in a signal handler, so `wait` does not end at once."""
        self._is_terminated = True

    @property
    def must_stop(self) -> bool:
        """True while a command to stop has not been taken."""
        return self._is_terminated or any(command is SessionCommand.STOP for command in tuple(self._commands))

    def _listen(self) -> None:
        is_open = True
        while is_open:
            try:
                command = self._connection.recv()
            except (EOFError, OSError):
                command, is_open = SessionCommand.STOP, False
            self._commands.append(command)
            self._came.set()


@dataclass(frozen=True)
class WindowLink:
    tell: Callable[[object], None]  # sends a message; may wait for the window
    commands: CommandQueue
    tap: Tap  # started; takes what the session's threads have to show

    def tell_stage(self, stage: Phase | Opened) -> None:
        """Report a stage of the session; raises `Stopped` if the window has stopped it."""
        if self.commands.must_stop:
            raise Stopped
        self.tell(stage)


def stage_of(command: object) -> str:
    """Return the stage to name in the failure of a command."""
    is_recording = isinstance(command, StartRecording) or command is SessionCommand.STOP_RECORDING
    return "recording" if is_recording else "command"
