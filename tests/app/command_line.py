"""The program as a user calls it, in this process."""

from __future__ import annotations

import pytest

from app.__main__ import main


def exit_code(*words: object) -> int:
    """Run a command line and return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Run a command line and return exit code, stdout and stderr, without what was said before."""
    capsys.readouterr()
    code = exit_code(*words)
    captured = capsys.readouterr()
    return code, captured.out, captured.err
