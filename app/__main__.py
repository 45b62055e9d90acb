"""The ``affectscope`` command."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

from acquisition.errors import InputError
from app.environment import FAULT, GOOD, INTERRUPTED, WRONG_USE, settle_environment


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code.

    0 good, 1 a fault of the program, 2 wrong use or input, 3 finished but the input was damaged.
    """
    words = sys.argv[1:] if arguments is None else arguments
    settle_environment(words[0] if words else "")
    import typer

    from app.cli.main import app

    # typer may carry a click of its own, so take the class from where its errors come from.
    click_exception: type[Exception] = next(
        c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException"
    )

    try:
        code = app(args=arguments, standalone_mode=False)
    except InputError as error:
        _say(f"error: {error}")
        sys.exit(WRONG_USE)
    except typer.Abort:
        sys.exit(INTERRUPTED)
    except click_exception as error:
        _say_usage(error)
        sys.exit(WRONG_USE)
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): no reason to complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(GOOD)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        _say(f"a fault of the program: {type(error).__name__}: {error}")
        if os.environ.get("AFFECTSCOPE_DEBUG"):
            traceback.print_exc()
        else:
            _say("set AFFECTSCOPE_DEBUG=1 for details, and please report it")
        sys.exit(FAULT)
    sys.exit(code if isinstance(code, int) else GOOD)


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
