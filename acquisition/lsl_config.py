"""Keeps liblsl from writing its own log lines between ours."""

from __future__ import annotations

import os
from pathlib import Path

_USERS_OWN = (
    Path("lsl_api.cfg"),
    Path.home() / "lsl_api" / "lsl_api.cfg",
    Path("/etc/lsl_api/lsl_api.cfg"),
)


def quiet_liblsl(config: Path) -> None:
    """Have liblsl log errors only, by pointing it to ``config``, unless the user has a file of their own.

    liblsl reads ``LSLAPICFG`` once, when it is loaded: call this first. Processes started later inherit it.
    """
    if "LSLAPICFG" not in os.environ and not any(path.exists() for path in _USERS_OWN):
        os.environ["LSLAPICFG"] = str(config)
