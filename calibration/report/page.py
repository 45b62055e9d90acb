"""The report as one HTML page without scripts or outside resources; the templates are in ``assets/pages``.

What a template writes between double braces is escaped, unless it is markup already.
"""

import json
import math
import re
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from acquisition.errors import printable
from acquisition.record.files import write_text
from acquisition.stream_words import fates
from acquisition.text import UNKNOWN, duration, json_text, number, percent
from assets import PAGES, REPORT_STYLE
from calibration.consent import INTENDED_USE, TITLES
from calibration.quality import TrialQuality, remarks
from calibration.report import figures, words
from calibration.report.summary import Summary, to_json

_LONGEST = 400  # characters of a short text


def write_report(summary: Summary, folder: Path) -> tuple[Path, Path]:
    """Write ``report.html`` and ``report.json``; return their paths.

    Each appears complete or not at all: an earlier report stays until the new one is complete.
    """
    page, content = folder / "report.html", folder / "report.json"
    write_text(page, to_html(summary), durable=True)
    write_text(content, json_text(to_json(summary), indent=1, ensure_ascii=False) + "\n", durable=True)
    return page, content


def to_html(summary: Summary) -> str:
    def drawn(name: str, about: str) -> Markup:
        """Return a figure with its description; nothing where there is nothing to draw."""
        with figures.lettering():
            found = getattr(figures, f"{name}_figure")(summary)
            return Markup("" if found is None else figures.to_svg(found, name, about))

    def covered(one: TrialQuality) -> tuple[str, ...]:
        used = summary.modalities
        return tuple(percent(one.coverage.get(m, 0.0)) if m in used else "not used" for m in TITLES)

    title = f"Calibration of {summary.record.subject}, session {summary.record.session}"
    fit = [("fit", f"{summary.fit.fit_seconds:.1f} s")] if math.isfinite(summary.fit.fit_seconds) else []
    recordings = [("recording", path.as_posix()) for path in summary.record.recordings]
    made_of = [*fit, *recordings]
    given = {"summary": summary, "title": title, "drawn": drawn, "covered": covered, "model": made_of}
    return document(title, rendered("report.html", **given))


def document(title: str, body: Markup) -> str:
    style = Markup(REPORT_STYLE.read_text(encoding="utf-8"))
    return rendered("page.html", title=title, style=style, body=body)


def rendered(template: str, **given: Any) -> Markup:
    return Markup(_pages().get_template(template).render(given))


@cache
def _pages() -> Environment:
    pages = Environment(
        loader=FileSystemLoader(PAGES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_escaped,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    for function in (duration, fates, number, percent, remarks, tuple):
        pages.globals[function.__name__] = function
    pages.globals |= {"causes": figures.causes_in_words, "intended_use": INTENDED_USE, "words": words}
    pages.globals["unknown"] = UNKNOWN
    pages.filters |= {"percent": percent, "short": _short}
    pages.filters["json"] = lambda value: json.dumps(value, ensure_ascii=False, default=str)
    pages.tests["digest"] = lambda value: re.fullmatch(r"[0-9a-f]{16,}", str(value)) is not None
    return pages


def _escaped(value: object) -> Markup:
    """Escape a text, without control characters, and keep a figure and its unit on one line."""
    if isinstance(value, Markup):
        return value
    line = printable(str(value)).replace(" %", "\u00a0%").replace("p < ", "p\u00a0<\u00a0")
    return Markup(escape(line, quote=True))


def _short(value: object) -> Markup:
    """Escape a text, and cut it where it is longer than any name should be."""
    line = printable(str(value)[: 2 * _LONGEST])
    return _escaped(line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…")
