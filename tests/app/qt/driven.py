"""A driver of the real window in a process of its own, under an X server where there is one to be had."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

_XVFB = ["xvfb-run", "-a", "-s", "-screen 0 1920x1200x24"]


def drive(driver: str, folder: Path, timeout_s: float) -> dict:
    """Run a driver beside this file, and return what it has seen: its last line, as JSON."""
    environment = {name: value for name, value in os.environ.items() if name != "QT_QPA_PLATFORM"}
    program = [sys.executable, str(Path(__file__).parent / driver), str(folder)]
    if not os.environ.get("DISPLAY"):
        if shutil.which("xvfb-run"):
            program = [*_XVFB, *program]
        else:
            environment["QT_QPA_PLATFORM"] = "offscreen"
    done = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=timeout_s)
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout.splitlines()[-1])
