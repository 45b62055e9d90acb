"""A session's summary as a web page, a picture or tables, made with the parts of the calibration's report."""

import io
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from acquisition.errors import file_errors
from acquisition.record.files import write_text
from acquisition.text import TableWriter, duration, number, percent
from app.request import check_summary
from app.summary import MarkerAnswers, SessionSummary
from calibration.consent import INTENDED_USE
from calibration.report.figures import (
    causes_in_words,
    electrode_figure,
    lettering,
    session_figure,
    to_svg,
)
from calibration.report.page import document, figure, ledger_table, paragraph, section, table, text

_MOST_POINTS = 800  # of the course: more are a thicket
_MOST_MARKERS = 40  # rows
_MARKERS = (
    "Means over the windows that end between a marker and the next one, or the end. Windows overlap and look "
    "back up to {context_s:g} s, also across the marker: they are not independent, and no accuracy follows "
    "from them."
)
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


def sections(summary: SessionSummary, course: str, electrodes: str) -> list[str]:
    """Return the page's parts around two figures, which are HTML."""
    whole, labels = summary.seconds, summary.labels
    rows = [(what, duration(s, 1), percent(s / whole if whole else None)) for what, s in summary.shares]
    grouped = summary.answers(together=True)
    columns = ("Marker", "Times", "Until the next", "Windows", "Decoded", "Answered", *labels)
    answers = [_row(one) for one in grouped[:_MOST_MARKERS]]
    more = len(grouped) - len(answers)
    bad = [one for one in summary.quality if one.ch_names]
    return [
        f"<h1>{text(summary.title)}</h1>",
        paragraph(
            f"Affectscope, session of {duration(whole)}, summary of {datetime.now():%Y-%m-%d %H:%M}", "under"
        ),
        paragraph(summary.simulated, "simulated"),
        *map(paragraph, summary.words),
        paragraph(INTENDED_USE, "notice"),
        section(
            "How much of it was decoded?",
            *(paragraph(f"No prediction: {why}.") for why in summary.why_nothing),
            table(("", "Time", "Share"), rows, numeric=(1, 2)),
            paragraph(f"{summary.n_skipped} windows were skipped to keep up." if summary.n_skipped else ""),
            figure(course),
        ),
        section(
            "Answers by marker",
            paragraph(_MARKERS.format(context_s=summary.context_s) if answers else "No marker came."),
            table(columns, answers, numeric=range(1, len(columns))),
            paragraph(f"{more} more texts: the saved tables have all of them." if more else ""),
        ),
        section("What became of the samples?", ledger_table(summary.ledgers) or paragraph("Not known.")),
        section(
            "Electrodes",
            figure(electrodes),
            paragraph(causes_in_words(summary, "part") if bad else "No EEG quality was measured."),
        ),
    ]


def _row(one: MarkerAnswers) -> tuple[str, ...]:
    decoded = percent(one.decoded_s / one.seconds if one.seconds else None)
    answered = percent(one.n_answered / one.n_windows if one.n_windows else None)
    figures = number(one.n_markers), duration(one.seconds, 1), number(one.n_windows), decoded, answered
    return (one.marker, *figures, *map(percent, one.means))


def to_html(summary: SessionSummary) -> str:
    """Return the page."""
    drawn = electrodes(summary)
    svg = (
        "" if drawn is None else to_svg(drawn, "electrodes", "Share of time in which each electrode was bad")
    )
    with lettering():
        return document(
            text(summary.title), sections(summary, to_svg(course(summary), "course", _COURSE), svg)
        )


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
