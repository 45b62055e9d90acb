"""Puts a session's report into its folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

from calibration.report.as_json import to_json
from calibration.report.page import to_html
from calibration.report.summary import Summary


def write_report(summary: Summary, folder: Path) -> tuple[Path, Path]:
    """Write ``report.html`` and ``report.json``; return their paths.

    Each appears whole or not at all: a report from before stays until the new one is complete.
    """
    texts = {
        "report.html": to_html(summary),
        "report.json": json.dumps(to_json(summary), indent=1, ensure_ascii=False) + "\n",
    }
    paths = []
    for name, content in texts.items():
        path = folder / name
        part = path.with_name(f".{name}.part")
        try:
            # A lone surrogate, as from a broken file name, is written as JSON's escape for it.
            with part.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        paths.append(path)
    return paths[0], paths[1]
