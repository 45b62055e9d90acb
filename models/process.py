"""Worker processes that end with the program that started them, and the memory that training keeps."""

import ctypes
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from acquisition.errors import ErrorCode, InputError

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


def run_jobs(
    run: Callable[[J], R], jobs: Iterable[J], n_jobs: int = 1, dask: str | None = None
) -> Iterator[R]:
    """Yield ``run(job)`` of independent jobs in their order, as they come in, from ``n_jobs`` processes.

    ``run`` must be importable by name. With ``dask``, a scheduler's address, the workers of its cluster run
    them, which need the same checkout. Raises `InputError` if it cannot be reached, or Dask is not installed.
    """
    if dask is not None:
        yield from _on_cluster(run, jobs, dask)
        return
    if n_jobs == 1:
        yield from map(run, jobs)
        return
    from joblib import Parallel, delayed

    parallel = Parallel(n_jobs, "loky", return_as="generator", initializer=end_with_parent)
    yield from parallel(delayed(run)(job) for job in jobs)


def _on_cluster(run: Callable[[J], R], jobs: Iterable[J], address: str) -> Iterator[R]:
    try:
        from distributed import Client
    except ImportError as error:
        what = "dask is not installed"
        remedy = 'pip install "affectscope[cluster]"'
        raise InputError(what, where="--dask", remedy=remedy, code=ErrorCode.INSTALLATION) from error
    try:
        client = Client(address, timeout="10s")
    except (OSError, ValueError, TypeError) as error:
        what = f"no Dask scheduler answers: {(str(error) or type(error).__name__).splitlines()[0]}"
        remedy = "give its address, e.g. tcp://host:8786"
        raise InputError(what, where=f"--dask {address}", remedy=remedy) from error
    with client:
        # Scattered, a job reaches the worker that runs it and nobody else.
        futures = [client.submit(run, client.scatter(job, hash=False), pure=False) for job in jobs]
        for future in futures:
            yield future.result()


_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8  # glibc's malloc.h


def keep_freed_memory() -> None:
    """Ask glibc to keep large blocks at a free: page faults cost a training step more than its arithmetic."""
    mallopt = _of_glibc("mallopt")
    mallopt(_M_MMAP_THRESHOLD, 1 << 30)
    mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
    mallopt(_M_TOP_PAD, 100_000_000)


def share_memory_among_threads() -> None:
    """Have glibc keep two pools rather than one a thread, of which each would keep the most it ever held."""
    _of_glibc("mallopt")(_M_ARENA_MAX, 2)


def give_back_freed_memory() -> None:
    """Ask glibc to return what is free to the system."""
    _of_glibc("malloc_trim")(0)


def _of_glibc(name: str) -> Callable[..., object]:
    """Return a function of glibc, or one that does nothing where there is another C library."""
    library = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
    return getattr(library, name, lambda *arguments: None)
