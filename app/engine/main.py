"""The engine's process: runs a window's request, reports on it, and leaves a log of crashes.

Nothing heavy is loaded before the first message to the window.
"""

import contextlib
import faulthandler
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TextIO

from platformdirs import user_log_path

from acquisition.errors import InputError
from app.engine.messages import Phase
from app.engine.pipe import CommandQueue, WindowLink
from app.environment import settle_environment
from app.request import CalibrationRequest, EngineRequest, LiveRequest
from models.process import share_memory_among_threads

#: Switch interval between threads, s: at the default of 5 ms, the thread that packs messages would delay each
#: of the hundreds of operations of a forward pass by that much.
_SWITCH_S = 2e-4


def engine_process(connection: Connection, request: EngineRequest) -> None:
    """Run an engine as a process; the entry of a spawned one."""
    share_memory_among_threads()
    run_engine(connection, request)
    connection.close()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, AttributeError, ValueError):
            stream.flush()
    # Everything is closed; unloading torch and liblsl would take seconds, and sometimes crashes.
    os._exit(0)


def run_engine(connection: Connection, request: EngineRequest) -> None:
    """Run ``request`` until its end, with this end of the pipe to the window."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the window's, which then asks to stop
    settle_environment()
    sys.setswitchinterval(_SWITCH_S)
    sending = threading.Lock()

    def tell(message: object) -> None:  # from any thread, unless the window has gone
        with sending, contextlib.suppress(OSError):
            connection.send(message)

    tell(Phase("loading", "loading the program"))
    commands = CommandQueue(connection)
    signal.signal(signal.SIGTERM, lambda *_: commands.terminate())
    with open_log(os.getpid()) as log:
        faulthandler.enable(log)
        try:
            _run(request, tell, commands)
        except InputError as error:
            tell(Phase("failed", str(error), code=error.code, facts=error.facts))
        except Exception as error:
            traceback.print_exc(file=log)
            words = f"internal error: {type(error).__name__}: {error}"
            tell(Phase("failed", f"{words} (details in {log_path(os.getpid())}; please report it)"))
        else:
            tell(Phase("ended"))
        faulthandler.disable()
    with contextlib.suppress(OSError):
        if log_path(os.getpid()).stat().st_size == 0:
            log_path(os.getpid()).unlink()


def _run(request: EngineRequest, tell: Callable[[object], None], commands: CommandQueue) -> None:
    from app.engine.tap import Tap
    from models.checkpoint import load_config

    if not isinstance(request, CalibrationRequest):
        request = replace(request, options=replace(request.options, shows_unmapped=True))
    tap = Tap(tell, load_config(request.options.model))
    tap.start()
    link = WindowLink(tell, commands, tap)
    try:
        if isinstance(request, LiveRequest):
            from app.engine.live import LiveEngine

            LiveEngine(request, link).run()
        elif isinstance(request, CalibrationRequest):
            from app.engine.calibrate import CalibrationEngine

            CalibrationEngine(request, link).run()
        else:
            from app.engine.replay import run_replay

            run_replay(request, link)
    finally:
        tap.stop()


_PROGRAM = "affectscope"
_KEPT = 20  # logs of earlier engines


def log_path(pid: int) -> Path:
    return logs_folder() / f"engine-{pid}.log"


def open_log(pid: int) -> TextIO:
    for old in sorted(logs_folder().glob("engine-*.log"), key=_age)[:-_KEPT]:
        with contextlib.suppress(OSError):
            old.unlink()
    return log_path(pid).open("w", encoding="utf-8")


def logs_folder() -> Path:
    """Return the folder of the engines' logs, made if need be."""
    folder = user_log_path(_PROGRAM, appauthor=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # a home that cannot be written
        return Path(tempfile.gettempdir())
    return folder


def _age(path: Path) -> float:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return 0.0
