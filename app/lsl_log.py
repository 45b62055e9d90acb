"""Keeps liblsl's own log off the user's terminal."""

from __future__ import annotations

import os
from pathlib import Path

#: Where liblsl looks for a configuration (https://labstreaminglayer.readthedocs.io, "lsl_api.cfg").
_CONFIG_FILES = (
    Path("lsl_api.cfg"),
    Path.home() / "lsl_api" / "lsl_api.cfg",
    Path("/etc/lsl_api/lsl_api.cfg"),
)
_FATAL_ONLY = "[log]\nlevel = -3\n"


def quiet_liblsl() -> None:
    """Have liblsl report nothing but fatal errors; what matters reaches the user in our words.

    Counts for this process and before its first stream. A configuration of the user's own stays in
    force, log level included, because liblsl reads one or the other.
    """
    if "LSLAPICFG" in os.environ or any(path.is_file() for path in _CONFIG_FILES):
        return
    from pylsl import set_config_content

    set_config_content(_FATAL_ONLY)
