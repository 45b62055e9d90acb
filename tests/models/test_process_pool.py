"""Workers end with their program, also when it is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

POOL = """
import os, threading
from tests.studies.jobs import process_pool

if __name__ == "__main__":
    with process_pool(1) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        pool.submit(threading.Event().wait).result()
"""

JOBS = """
import os, threading
from models.process import run_jobs

def say_and_wait(number):
    os.write(1, f"{os.getpid()}\\n".encode())
    threading.Event().wait()

if __name__ == "__main__":
    list(run_jobs(say_and_wait, range(2), n_jobs=2))
"""


@pytest.mark.parametrize(("program_text", "n_workers"), [(POOL, 1), (JOBS, 2)])
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_workers_of_a_killed_program_end(tmp_path, program_text, n_workers):
    script = tmp_path / "program.py"
    script.write_text(program_text)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    program = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, env=environment, text=True
    )
    try:
        workers = [psutil.Process(int(program.stdout.readline())) for _ in range(n_workers)]
    finally:
        program.kill()
        program.wait()
    _, left = psutil.wait_procs(workers, timeout=30)
    for worker in left:
        worker.kill()
    assert not left
