"""A session's summary as a web page, a picture or tables, made with the parts of the calibration's report."""

import io
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from acquisition.errors import file_errors
from acquisition.record.files import write_text
from acquisition.text import TableWriter, duration
from app.request import check_summary
from app.summary import SessionSummary
from calibration.report.figures import electrode_figure, lettering, session_figure, to_svg
from calibration.report.page import document, rendered

_MOST_POINTS = 800  # of the course: more are a thicket
_MOST_MARKERS = 40  # rows
_COURSE = "Probabilities over time of the session, with its markers"


def course(summary: SessionSummary) -> Figure:
    """Draw the probabilities, as means of many windows where the session is long."""
    n = int(np.clip(summary.seconds / 0.5, 1, _MOST_POINTS))
    edges = np.linspace(0.0, summary.seconds, n + 1)
    at = np.clip(np.searchsorted(edges, summary.times) - 1, 0, n - 1)
    means = np.full((n, len(summary.labels)), np.nan, np.float32)
    for bin_ in np.unique(at):
        means[bin_] = summary.probs[at == bin_].mean(axis=0)
    return session_figure(edges[1:].tolist(), means, summary.labels, summary.markers, summary.seconds)


def to_png(drawn: Figure) -> bytes:
    with lettering(), io.BytesIO() as file:
        drawn.savefig(file, format="png", dpi=144)
        return file.getvalue()


def electrodes(summary: SessionSummary) -> Figure | None:
    """Draw how long each electrode was bad over time; None if none ever was, or none was assessed."""
    names = [f"to {duration(end)}" for end in summary.stretches]
    return electrode_figure(summary, "part of the session", names)


def body(summary: SessionSummary, course: str, electrodes: str) -> Markup:
    """Return the page's content around two figures, which are HTML."""
    grouped = summary.answers(together=True)
    return rendered(
        "session.html",
        summary=summary,
        made=f"{datetime.now():%Y-%m-%d %H:%M}",
        course=Markup(course),
        electrodes=Markup(electrodes),
        answers=grouped[:_MOST_MARKERS],
        n_more=max(0, len(grouped) - _MOST_MARKERS),
        context_s=f"{summary.context_s:g}",
    )


def to_html(summary: SessionSummary) -> str:
    drawn, about = electrodes(summary), "Share of time in which each electrode was bad"
    svg = "" if drawn is None else to_svg(drawn, "electrodes", about)
    with lettering():
        return document(summary.title, body(summary, to_svg(course(summary), "course", _COURSE), svg))


def tables(summary: SessionSummary) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Return the answers after each marker, and what became of each stream's samples, as rows by column."""
    answers = [asdict(one) for one in summary.answers(together=False)]
    for row in answers:
        row |= {f"mean_p_{label}": p for label, p in zip(summary.labels, row.pop("means"), strict=True)}
    ledgers = [asdict(one) for one in summary.ledgers]
    for row in ledgers:
        row |= {f"n_{fate}": n for fate, n in row.pop("n_with").items()}
        row |= {f"{fate}_s": seconds for fate, seconds in row.pop("seconds").items()}
    return answers, ledgers


def write_summary(summary: SessionSummary, path: Path) -> list[Path]:
    """Write a page, a picture of the course, or two tables, by the name's ending; return the paths.

    The tables are the answers by marker and, in ``NAME-streams.csv``, what became of the samples. Raises
    `InputError` for another ending, or where the file cannot be written.
    """
    check_summary(path)
    kind = path.suffix.lower()
    with file_errors("the summary cannot be written", path, "choose another folder"):
        if kind == ".png":
            with lettering():
                path.write_bytes(to_png(course(summary)))
        elif kind == ".csv":
            written = [path, path.with_name(f"{path.stem}-streams.csv")]
            for target, rows in zip(written, tables(summary), strict=True):
                with target.open("w", newline="", encoding="utf-8") as file:
                    names = list(rows[0]) if rows else ["marker"]
                    TableWriter(file).writerows([names, *(row.values() for row in rows)])
            return written
        else:
            write_text(path, to_html(summary))
    return [path]
