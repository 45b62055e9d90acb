"""Commands about this computer: doctor, bench."""

from __future__ import annotations

import json

from app.cli import options as opt
from app.environment import ExitCode


def doctor(as_json: opt.Json = False) -> int:
    """Check what is installed, what is missing, and how to get it.

    The exit code is 2 if something essential to demo and live is missing.

    \b
    Example:
      affectscope doctor
    """
    from app.doctor import examine
    from app.tables import print_checks

    results = examine()
    if as_json:
        print(json.dumps([result.to_json() for result in results]))
    else:
        print_checks(results)
    is_usable = all(result.ok for result in results if result.is_essential)
    return ExitCode.GOOD if is_usable else ExitCode.WRONG_USE
