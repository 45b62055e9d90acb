"""Pools of processes here, and jobs on a Dask cluster."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from acquisition.errors import ErrorCode, InputError
from models.process import end_with_parent, run_jobs

J = TypeVar("J")
R = TypeVar("R")


def process_pool(n_jobs: int) -> ProcessPoolExecutor:
    """Return a pool of ``n_jobs`` spawned processes that `end_with_parent`."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(n_jobs, mp_context=context, initializer=end_with_parent)


def run_here_or_there(run: Callable[[J], R], jobs: Iterable[J], n_jobs: int, dask: str | None) -> Iterator[R]:
    """Yield what `run_jobs` does; with ``dask``, a scheduler's address, from the workers of its cluster.

    The workers need the same checkout. Raises `InputError` if it cannot be reached, or dask is not installed.
    """
    yield from run_jobs(run, jobs, n_jobs) if dask is None else _on_cluster(run, jobs, dask)


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
