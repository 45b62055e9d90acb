"""The ``affectscope`` command."""

import errno
import io
import os
import sys
import traceback
from typing import Any, NoReturn

from acquisition.errors import InputError
from acquisition.text import say
from app.environment import ExitCode, settle_environment


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code, an `ExitCode`."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        sys.exit(_run(words))
    except InputError as error:
        say(f"error: {error}", error=True)
        sys.exit(ExitCode.of(error.code))
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ENOSPC, errno.EDQUOT):
            _fail(error)
        # Nothing more can be printed, nor what is left in the buffer when the program ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == errno.EPIPE:  # the reader of our output has gone (`| head`): nothing is wrong
            sys.exit(ExitCode.GOOD)
        say(f"error: cannot write: {error.strerror} (free some space)", error=True)
        sys.exit(ExitCode.WRONG_USE)
    except Exception as error:
        _fail(error)


def _run(words: list[str]) -> int:
    settle_environment(words[0] if words else "")
    # Where a terminal lacks a letter, its code is better than no answer.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    import typer

    from app.cli.main import app

    # typer may bring its own click, so take the class from where its errors come from.
    click_exception: type[Exception] = next(
        c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException"
    )
    try:
        code = app(args=words, prog_name="affectscope", standalone_mode=False)
        sys.stdout.flush()
    except typer.Abort:
        return ExitCode.INTERRUPTED
    except click_exception as error:
        _say_usage(error)
        return ExitCode.WRONG_USE
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # typer ends the program by itself then
            raise error.__context__ from None
        raise
    return code if isinstance(code, int) else ExitCode.GOOD


def _fail(error: Exception) -> NoReturn:
    say(f"internal error: {type(error).__name__}: {error}", error=True)
    if os.environ.get("AFFECTSCOPE_DEBUG"):
        traceback.print_exc()
    else:
        say("set AFFECTSCOPE_DEBUG=1 for details, and please report this", error=True)
    sys.exit(ExitCode.INTERNAL_ERROR)


def _say_usage(error: Any) -> None:
    """Tell a mistake in the command line in one line, with where to look it up."""
    message, context = error.format_message(), getattr(error, "ctx", None)
    if "\n" in message:  # no command at all: the message is the help
        error.show()
        return
    command = context.command_path.removeprefix(context.find_root().command_path) if context else ""
    say(f"error: {message} (see affectscope{command} --help)", error=True)


if __name__ == "__main__":
    main()
