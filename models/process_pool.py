"""Worker processes that end with the program that started them."""

from __future__ import annotations

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor


def process_pool(n_jobs: int) -> ProcessPoolExecutor:
    """Return a pool of ``n_jobs`` spawned processes.

    A killed parent tells its workers nothing: they would compute to the end of their job, for nobody.
    """
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(n_jobs, mp_context=context, initializer=_end_with_parent)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, name="end with parent", daemon=True).start()
