"""The ``affectscope`` command."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

from acquisition.errors import InputError
from app.environment import ExitCode, settle_environment


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code, an `ExitCode`."""
    words = sys.argv[1:] if arguments is None else arguments
    settle_environment(words[0] if words else "")
    import typer

    from app.cli.main import app, modern

    # typer may bring its own click, so take the class from where its errors come from.
    click_exception: type[Exception] = next(
        c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException"
    )

    try:
        code = app(args=modern(words), prog_name="affectscope", standalone_mode=False)
    except InputError as error:
        _say(f"error: {error}")
        sys.exit(ExitCode.WRONG_USE)
    except typer.Abort:
        sys.exit(ExitCode.INTERRUPTED)
    except click_exception as error:
        _say_usage(error)
        sys.exit(ExitCode.WRONG_USE)
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): no reason to complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitCode.GOOD)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except Exception as error:
        _say(f"internal error: {type(error).__name__}: {error}")
        if os.environ.get("AFFECTSCOPE_DEBUG"):
            traceback.print_exc()
        else:
            _say("set AFFECTSCOPE_DEBUG=1 for details, and please report this")
        sys.exit(ExitCode.INTERNAL_ERROR)
    sys.exit(code if isinstance(code, int) else ExitCode.GOOD)


def _say_usage(error: Any) -> None:
    """Tell a mistake in the command line in one line, with where to look it up."""
    message, context = error.format_message(), getattr(error, "ctx", None)
    if "\n" in message:  # no command at all: the message is the help
        error.show()
        return
    command = context.command_path.removeprefix(context.find_root().command_path) if context else ""
    _say(f"error: {message} (see affectscope{command} --help)")


def _say(message: str) -> None:
    print(message, file=sys.stderr)


if __name__ == "__main__":
    main()
