"""The engine as the window has it: a process to start, to receive from, to send to and to end.

No call waits for the engine, except `EngineProcess.stop`: one thread reads the pipe, another one writes.
"""

import atexit
import contextlib
import multiprocessing
import queue
import signal
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from time import monotonic

from acquisition.record.recorder import ask_to_stop, is_running
from app.engine.main import engine_process, log_path
from app.engine.messages import HealthPart, Phase, SessionCommand, StartRecording
from app.request import EngineRequest, LiveRequest

_MAX_UNREAD = 1000  # messages; then the engine waits and drops data for display
_RECEIVE_LIMIT_S = 0.008
_TERMINATE_S = 0.7
_LAST_WORDS_S = 1.0  # after its end, if another process keeps the pipe open


class EngineProcess:
    """An engine in a spawned process, which outlives neither its window nor the window's command to stop."""

    def __init__(self, request: EngineRequest) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, self._far_end = context.Pipe()
        # Not a daemon: it starts processes of its own, which a daemon may not.
        self._process = context.Process(
            target=engine_process, args=(self._far_end, request), name="affectscope engine", daemon=False
        )
        self._received: queue.Queue[object] = queue.Queue(_MAX_UNREAD)
        self._has_ended_pipe = threading.Event()
        self._is_stopping = False
        self._commands: queue.SimpleQueue[object | None] = queue.SimpleQueue()
        self._recording = request.options.record if isinstance(request, LiveRequest) else None
        self._last_phase: str = ""
        self._found_dead_at: float | None = None
        self._is_started = False
        self._has_told_end = False  # its end was told

    def start(self) -> None:
        """Start the process, once; returns at once."""
        if self._is_started:
            raise RuntimeError("this engine was already started")
        self._is_started = True
        with _ctrl_c_ignored():  # inherited: Ctrl-C in a terminal reaches all processes
            self._process.start()
        self._far_end.close()  # so that the end of the process ends the pipe
        # At exit, multiprocessing waits for its processes: this one must be stopped first.
        atexit.register(self.stop)
        for target in (self._listen, self._speak):
            threading.Thread(target=target, args=(self._connection,), daemon=True).start()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """True until the process has ended and `receive` has returned all its messages."""
        if not self._is_started:
            return False
        if self._process.is_alive():
            return True
        if self._found_dead_at is None:
            self._found_dead_at = monotonic()
        if self._has_ended_pipe.is_set():
            return False
        return self._received.full() or monotonic() < self._found_dead_at + _LAST_WORDS_S

    def receive(self) -> list[object]:
        """Return what came since the last call, without waiting and for at most some milliseconds.

        The last piece is a `Phase` ``ended`` or ``failed``, also when the engine died without a word.
        """
        deadline = monotonic() + _RECEIVE_LIMIT_S
        is_over = self._is_started and not self.is_alive
        pieces: list[object] = []
        while not self._received.empty() and (is_over or monotonic() < deadline):
            pieces.append(self._received.get())
        for piece in pieces:
            if isinstance(piece, Phase):
                self._last_phase = piece.name
            elif isinstance(piece, HealthPart) and piece.recording is not None:
                self._recording = piece.recording.path
        if is_over and not self._has_told_end:
            self._has_told_end = True
            # A replay at its end keeps running, and may die afterwards.
            has_died = self._process.exitcode != 0 and not self._is_stopping
            if has_died or self._last_phase not in ("ended", "failed"):
                pieces.append(Phase("failed", self._exit_message()))
        return pieces

    def send(self, command: object) -> None:
        """Pass a command on; does nothing if the engine has gone."""
        if isinstance(command, StartRecording):
            self._recording = command.path
        self._commands.put(command)

    def stop(self, timeout_s: float = 3.0) -> None:
        """End the process: ask it, terminate it after ``timeout_s`` seconds, and then kill it.

        A recording of its own is ended too; its supervisor closes the file later.
        """
        if not self._is_started:
            return
        atexit.unregister(self.stop)
        self._is_stopping = True
        with self._received.mutex:  # messages are no longer read: take them all, so that it can end
            self._received.maxsize = 0
            self._received.not_full.notify()
        self.send(SessionCommand.STOP)
        self._process.join(timeout_s)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(_TERMINATE_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._has_ended_pipe.wait(_LAST_WORDS_S)  # the listener sees the end a moment after it
        self._commands.put(None)
        if self._recording is not None:
            ask_to_stop(self._recording)

    def _listen(self, connection: Connection) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                self._received.put(connection.recv())
        self._has_ended_pipe.set()

    def _speak(self, connection: Connection) -> None:
        while (command := self._commands.get()) is not None:
            with contextlib.suppress(OSError, ValueError):
                connection.send(command)

    def _exit_message(self) -> str:
        code = self._process.exitcode
        words = f"the engine ended with {_exit_words(code)}"
        if self._process.pid is not None and (path := log_path(self._process.pid)).exists():
            words += f", see {path}"
        if self._recording is not None and is_running(self._recording):
            words += f"; {self._recording.name} is kept up to this point"
        return f"{words}; restart the session"


def _exit_words(code: int | None) -> str:
    if code is not None and code < 0:
        try:
            return f"signal {-code} ({signal.Signals(-code).name})"
        except ValueError:
            return f"signal {-code}"
    return f"exit code {code}"


@contextlib.contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        if before is not None:  # None: a handler in C
            signal.signal(signal.SIGINT, before)
