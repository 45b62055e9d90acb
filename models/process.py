"""Worker processes that end with the program that started them."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor

_POLL_S = 1.0


def process_pool(n_jobs: int) -> ProcessPoolExecutor:
    """Return a pool of ``n_jobs`` spawned processes that `end_with_parent`."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(n_jobs, mp_context=context, initializer=end_with_parent)


def end_with_parent() -> None:
    """Have this worker process end as soon as the program that started it has ended.

    A killed parent tells its workers nothing: they would compute to the end of their job, for nobody.
    """
    threading.Thread(target=_end_after_parent, name="end with parent", daemon=True).start()


def _end_after_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    if parent.sentinel is not None:
        parent.join()
    else:  # joblib's workers have it on Windows only; elsewhere an orphan gets another parent
        while os.getppid() == parent.pid:
            time.sleep(_POLL_S)
    os._exit(1)


_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # glibc's malloc.h


def keep_freed_memory() -> None:
    """Ask glibc not to hand large blocks back to the system at every free; does nothing elsewhere.

    Attention maps of a training step are a few megabytes each. By default glibc maps and unmaps every one,
    and the page faults cost more than the arithmetic: a step of 64 EEG windows took 2.9 s without this and
    1.1 s with it.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library
        return
    mallopt(_M_MMAP_THRESHOLD, 1 << 30)
    mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
    mallopt(_M_TOP_PAD, 100_000_000)
