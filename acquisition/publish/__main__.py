"""``python -m acquisition.publish webcam 0``: one publisher as a process."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from acquisition.errors import InputError
from acquisition.publish.devices import camera_from_text, microphone_from_text
from acquisition.publish.microphone import publish_microphone
from acquisition.publish.webcam import publish_webcam


def main(arguments: Sequence[str] | None = None) -> int:
    """Publish until a signal, the control folder's ``.stop`` or the end of a file; return the exit code."""
    options = _parse(arguments)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    control: Path | None = options.control
    if control is not None:
        record = {"pid": os.getpid(), "kind": options.kind, "device": options.device}
        control.with_suffix(".json").write_text(json.dumps(record), encoding="utf-8")

    def stopped() -> bool:
        return stop.is_set() or (control is not None and control.with_suffix(".stop").exists())

    try:
        _publish(options, stopped)
    except InputError as error:
        print(error, flush=True)
        return 2
    finally:
        if control is not None:
            control.with_suffix(".json").unlink(missing_ok=True)
            control.with_suffix(".stop").unlink(missing_ok=True)
    return 0


def _publish(options: argparse.Namespace, stopped: Callable[[], bool]) -> None:
    settings: dict[str, Any] = {
        "stop": stopped,
        "report": partial(print, flush=True),
        "loop": options.loop,
        "await_consumer": options.await_consumer,
        "idle_limit_s": options.idle_limit,
    }
    if options.name:
        settings["name"] = options.name
    if options.kind == "webcam":
        publish_webcam(camera_from_text(options.device), fps=options.fps, **settings)
    else:
        publish_microphone(microphone_from_text(options.device), **settings)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m acquisition.publish", description=__doc__)
    parser.add_argument("kind", choices=["webcam", "microphone"])
    parser.add_argument("device", help="a number, 'default', a device's name, or a file")
    parser.add_argument("--name", default="")
    parser.add_argument("--fps", type=float, default=0.0)
    parser.add_argument("--loop", action="store_true", help="begin a file again at its end")
    parser.add_argument("--await-consumer", action="store_true", help="begin a file when somebody listens")
    parser.add_argument("--idle-limit", type=float, default=float("inf"), metavar="SECONDS")
    parser.add_argument("--control", type=Path, help="the control files of this process, less their suffix")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
