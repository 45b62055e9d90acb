"""What a process of this program settles before it loads torch or liblsl."""

from __future__ import annotations

import os

from acquisition.lsl_config import quiet_liblsl
from assets import LSL_CONFIG


def settle_environment() -> None:
    """Set the variables that libraries read once, where the user has not set them."""
    # Waiting OpenMP threads must sleep, not spin: beside the acquire thread and other programs, spinning
    # turned a 12 ms forward pass into one of 60 ms and more. Read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # pymovements' tables hold a few rows: a thread pool for them only waits.
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    # liblsl reports every lost connection on stderr; what matters of it reaches the user in our words.
    quiet_liblsl(LSL_CONFIG)
