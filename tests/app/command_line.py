"""The program as a user calls it, in this process."""

from __future__ import annotations

import pytest

from acquisition.errors import InputError
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


def refused(*words: object) -> InputError:
    """Run a command line that cannot be carried out and return why."""
    from app.cli.main import app

    with pytest.raises(InputError) as error:
        app(args=[str(word) for word in words], standalone_mode=False)
    return error.value


def one_line(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """Run a command line that is refused: exit code 2, nothing on stdout, one line on stderr, returned."""
    code, out, err = run(capsys, *words)
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert (code, out, len(errors)) == (2, "", 1), err
    assert "Traceback" not in err
    return errors[0]
