"""Worker processes that end with the program that started them, and the memory that training keeps."""

import ctypes
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

J = TypeVar("J")
R = TypeVar("R")

_POLL_S = 1.0


def end_with_parent() -> None:
    """Have this worker process end as soon as the program that started it has ended."""
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


def run_jobs(run: Callable[[J], R], jobs: Iterable[J], n_jobs: int = 1) -> Iterator[R]:
    """Yield ``run(job)`` of independent jobs in their order, as they come in, from ``n_jobs`` processes.

    ``run`` must be importable by name.
    """
    if n_jobs == 1:
        yield from map(run, jobs)
        return
    from joblib import Parallel, delayed

    parallel = Parallel(n_jobs, "loky", return_as="generator", initializer=end_with_parent)
    yield from parallel(delayed(run)(job) for job in jobs)


_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # glibc's malloc.h


def keep_freed_memory() -> None:
    """Ask glibc to keep large blocks at a free: page faults cost a training step more than its arithmetic."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library
        return
    mallopt(_M_MMAP_THRESHOLD, 1 << 30)
    mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
    mallopt(_M_TOP_PAD, 100_000_000)
