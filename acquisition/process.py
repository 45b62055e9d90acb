"""Start a module of this project as a process that outlives the one that started it."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_PROJECT = Path(__file__).resolve().parent.parent


def start_detached(
    module: str, arguments: Sequence[str], log: Path, *, stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Run ``python -m module arguments`` in a session of its own; ``log`` takes what it prints.

    Ctrl-C in the terminal and the end of this process, by crash or kill, do not reach it; but with a pipe as
    ``stdin`` it can see that end.
    """
    environment = dict(os.environ)
    # The child must find these packages when they run from a checkout that is not installed.
    path = [str(_PROJECT), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(entry for entry in path if entry)
    environment["PYTHONUTF8"] = "1"
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            creationflags=flags,
        )


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Give an event that the first SIGINT or SIGTERM sets; a second one acts as it always does.

    In another thread than the main one no signal can be taken, and the event is never set.
    """
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def interrupt(*_: object) -> None:
        restore()
        interrupted.set()

    for number in before:
        signal.signal(number, interrupt)
    try:
        yield interrupted
    finally:
        restore()
