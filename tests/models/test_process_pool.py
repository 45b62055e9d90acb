"""Workers end with their program, also when it is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, threading
from models.process_pool import process_pool

if __name__ == "__main__":
    with process_pool(1) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        pool.submit(threading.Event().wait).result()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.timeout(60)
def test_workers_of_a_killed_program_end(tmp_path):
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    program = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, env=environment, text=True
    )
    assert int(program.stdout.readline()) > 0
    program.send_signal(signal.SIGKILL)
    program.wait()
    assert program.stdout.read() == ""  # comes to its end once the worker, which inherited it, has ended
