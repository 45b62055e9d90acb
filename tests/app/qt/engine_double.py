"""An engine that is not a process: says what a test gives it and keeps the commands it gets."""

from __future__ import annotations

from collections.abc import Iterable

from app.engine.messages import Phase, SessionCommand
from app.request import Request


class ScriptedEngine:
    """Stands where the engine's process is; what it says is real messages."""

    def __init__(self, request: Request, messages: Iterable[object] = ()) -> None:
        self.request = request
        self.unread: list[object] = list(messages)
        self.commands: list[object] = []
        self.is_alive = False
        self.obeys_stop = True
        self.was_killed = False

    def start(self) -> None:
        self.is_alive = True

    def receive(self) -> list[object]:
        said, self.unread = self.unread, []
        return said

    def send(self, command: object) -> None:
        self.commands.append(command)
        if command is SessionCommand.STOP and self.obeys_stop:
            self.end(Phase("ended"))

    def stop(self, timeout_s: float = 3.0) -> None:
        self.was_killed = self.was_killed or self.is_alive
        self.is_alive = False

    def end(self, *last_words: object) -> None:
        self.unread += last_words
        self.is_alive = False


class Engines:
    """Makes scripted engines and remembers them, the newest last."""

    def __init__(self, messages: Iterable[object] = ()) -> None:
        self.messages = list(messages)
        self.made: list[ScriptedEngine] = []

    def __call__(self, request: Request) -> ScriptedEngine:
        self.made.append(ScriptedEngine(request, self.messages))
        return self.made[-1]

    @property
    def newest(self) -> ScriptedEngine:
        return self.made[-1]

    @property
    def commands(self) -> list[object]:
        return self.newest.commands
