"""Pools of processes."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from models.process import end_with_parent


def process_pool(n_jobs: int) -> ProcessPoolExecutor:
    """Return a pool of ``n_jobs`` spawned processes that `end_with_parent`."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(n_jobs, mp_context=context, initializer=end_with_parent)
