"""The report as one HTML page without scripts or outside resources, in the order a reader asks."""

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path

from matplotlib.figure import Figure

from acquisition.errors import printable
from acquisition.record.files import write_text
from acquisition.stream_words import fates
from acquisition.text import UNKNOWN, duration, json_text, number, percent
from acquisition.types import StreamLedger
from assets import REPORT_STYLE
from calibration.consent import INTENDED_USE, TITLES
from calibration.quality import remarks
from calibration.report import figures, words
from calibration.report.summary import Summary, to_json
from calibration.types import DisplayTiming
from calibration.verdict import DO_NOT_TRUST, VerdictCode

_COURSES = (
    "Each trial as predicted by a model fitted without it. Titles give trial number and label; the thick "
    "line is the labelled emotion. The title summarises the whole trial, not one moment."
)
_LEARNING = (
    "Left: each trial held out, with the labels of the first of the others (band: 95 % Wilson CI; dotted: "
    "chance; square: this session's labels alone). At 0 only other people's trials count. Right: held-out "
    "windows, by the probability of the top emotion (dotted: as often right as it says)."
)
_CSS = {VerdictCode.USABLE: "good", VerdictCode.WEAK: "weak"}
_USE = {
    VerdictCode.NOT_DISTINGUISHABLE: f"{DO_NOT_TRUST.capitalize()}.",
    VerdictCode.WEAK: "The profile is better than guessing, but often wrong.",
    VerdictCode.USABLE: "The profile may be demonstrated, within the limits below.",
}


def write_report(summary: Summary, folder: Path) -> tuple[Path, Path]:
    """Write ``report.html`` and ``report.json``; return their paths.

    Each appears complete or not at all: an earlier report stays until the new one is complete.
    """
    page, content = folder / "report.html", folder / "report.json"
    write_text(page, to_html(summary), durable=True)
    write_text(content, json_text(to_json(summary), indent=1, ensure_ascii=False) + "\n", durable=True)
    return page, content


def to_html(summary: Summary) -> str:
    title = text(f"Calibration of {summary.record.subject}, session {summary.record.session}")
    made = f"Affectscope, report of {words.moment(summary.made_at)}" if summary.made_at else "Affectscope"
    sections = (_accuracy, _confusion, _answers, _sources, _modalities, _courses, _quality, _self_report)
    parts = [
        f"<h1>{title}</h1>",
        paragraph(f"{made}. {words.trial_counts(summary)}", "under"),
        paragraph(words.SIMULATED, "simulated") if summary.record.is_simulated else "",
        _verdict(summary),
        paragraph(INTENDED_USE, "notice"),
        *(make(summary) for make in sections),
        _timing(summary.record.timing),
        _excluded(summary),
        _settings(summary),
    ]
    return document(title, parts)


def document(title: str, parts: Iterable[str]) -> str:
    """Return a page of parts that are HTML, under a title that is too."""
    body = "\n".join(part for part in parts if part)
    style = REPORT_STYLE.read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
        "</body>\n</html>\n"
    )


def _drawn(draw: Callable[[Summary], Figure | None], summary: Summary, about: str, css: str = "") -> str:
    """Return a figure with its description; nothing where there is nothing to draw."""
    with figures.lettering():
        found = draw(summary)
        name = draw.__name__.removesuffix("_figure")
        return "" if found is None else figure(figures.to_svg(found, name, about), css)


def _verdict(summary: Summary) -> str:
    verdict = summary.verdict
    label = "Verdict on simulated data" if summary.record.is_simulated else "Verdict"
    return (
        f'<div class="verdict {_CSS.get(verdict.code, "bad")}">\n'
        + paragraph(f"{label}: {verdict.code}", "word")
        + paragraph(_USE[verdict.code], "use")
        + paragraph(verdict.findings)
        + paragraph(words.against_base(summary))
        + "</div>"
    )


def _accuracy(summary: Summary) -> str:
    if not summary.fit.trials:
        return ""
    about = "Balanced accuracy with its interval and significance thresholds"
    drawn = _drawn(figures.chance_figure, summary, about)
    return section("Is it better than guessing?", drawn, paragraph(words.chance_words(summary)))


def _confusion(summary: Summary) -> str:
    if not summary.fit.trials:
        return ""
    caption = "Held-out trials: rows as labelled, columns as predicted. Outlined: correct."
    return section("Confusion matrix", counts_table(summary.fit.classes, summary.confusion.tolist(), caption))


def _answers(summary: Summary) -> str:
    if not summary.fit.sets:
        return ""
    about = "Share of wrong answers against share of windows answered"
    rows = [
        (
            percent(one.level),
            f"{one.n_inside} of {one.n_trials}",
            f"{one.mean_size:.1f}",
            "not known" if one.others is None else f"{1 - one.others:.2f}",
            "out of reach" if one.attainable is None else f"{1 - one.own:.2f} ({percent(one.attainable, 1)})",
        )
        for one in summary.fit.sets
    ]
    columns = (
        "Sets",
        "Held the emotion",
        "Emotions in a set",
        "Probability that puts an emotion in: by other subjects",
        "By these trials alone (and the coverage that gives)",
    )
    return section(
        "When does it answer, and what else could it be?",
        paragraph(words.answer_words(summary)),
        _drawn(figures.risk_figure, summary, about, "small"),
        table(columns, rows, numeric=(1, 2, 3, 4)),
    )


def _sources(summary: Summary) -> str:
    fit = summary.fit
    rows = [
        (
            one.name,
            one.words,
            words.out_of(one.score),
            percent(one.score.balanced_accuracy),
            f"{100 * one.score.interval[0]:.0f} to {100 * one.score.interval[1]:.0f} %",
        )
        for one in fit.sources
    ]
    if not rows or fit.calibration is None:
        return ""
    about = (
        "Accuracy over the number of labelled trials, and accuracy over the probability of the top emotion"
    )
    columns = ("Labels", "What it is", "Correct trials", "Balanced accuracy", "95 % CI")
    return section(
        "What do other people's trials say, and what this session's?",
        _drawn(figures.learning_figure, summary, about),
        paragraph(_LEARNING),
        paragraph(f"Expected calibration error of these windows: {percent(fit.calibration.error)}."),
        table(columns, rows, numeric=(2, 3, 4)),
    )


def _modalities(summary: Summary) -> str:
    fit = summary.fit
    if not fit.trials or not (fit.alone or fit.removed or fit.base_model is not None):
        return ""
    about = "Balanced accuracy of each modality alone and removed"
    drawn = _drawn(figures.modality_figure, summary, about)
    return section("What does each signal add?", drawn, paragraph(words.does_eeg_add(summary)))


def _courses(summary: Summary) -> str:
    if not summary.fit.trials:
        return ""
    drawn = _drawn(figures.course_figure, summary, "Probabilities over time of each held-out trial")
    return section("How did each held-out trial go?", paragraph(_COURSES), drawn)


def _quality(summary: Summary) -> str:
    if not summary.quality:
        return ""
    rows = [
        (
            one.trial,
            *(percent(one.coverage.get(m, 0.0)) if m in summary.modalities else "not used" for m in TITLES),
            percent(one.gaze_valid),
            percent(one.face_found),
            number(one.voice_rms_db, 0, "dB"),
            percent(one.voice_clipped),
            "; ".join(remarks(one, summary.modalities)),
        )
        for one in summary.quality
    ]
    columns = ("Trial", "EEG", "Eyes", "Face", "Voice", "Gaze valid", "Face found", "Voice level", "Clipped")
    caption = "Share of each stimulus with data, and its quality."
    return section(
        "How good were the signals?",
        _drawn(figures.electrode_figure, summary, "Share of each trial in which each electrode was bad"),
        paragraph(figures.causes_in_words(summary)) if any(one.ch_names for one in summary.quality) else "",
        table((*columns, "Remarks"), rows, numeric=range(1, 9), caption=caption),
        ledger_table(summary.ledgers, "What became of the samples of each stream."),
    )


def ledger_table(ledgers: Iterable[StreamLedger], caption: str = "") -> str:
    """Return what became of each stream's samples; nothing without any stream."""
    rows = [
        (
            one.name,
            number(one.n_received),
            number(one.n_used),
            duration(one.decodable_s) if one.modality else "",
            f"not used: {one.refused}" if one.refused else "; ".join(fates(one)),
        )
        for one in ledgers
    ]
    columns = ("Stream", "Samples received", "Used", "Decodable", "What befell them")
    return table(columns, rows, numeric=(1, 2, 3), caption=caption)


def _self_report(summary: Summary) -> str:
    about = "Valence and arousal of each answered trial"
    drawn = _drawn(figures.self_report_figure, summary, about, "small") if summary.reported else ""
    rows = []
    for trial in summary.trials:
        given, same = ("no answer", "", ""), ""
        if (answer := trial.report) is not None:
            given = answer.label, str(answer.valence or UNKNOWN), str(answer.arousal or UNKNOWN)
            same = "yes" if answer.label == trial.emotion else "no"
        rows.append((trial.number, trial.emotion, *given, same))
    columns = ("Trial", "Intended", "Reported", "Valence", "Arousal", "Same")
    return section(
        "Did the participant feel what was intended?",
        paragraph(words.agreement(summary)),
        drawn,
        table(columns, rows, numeric=(3, 4)),
    )


def _timing(timing: tuple[DisplayTiming, ...]) -> str:
    rows = [
        (one.step, f"{1e3 * one.interval_s:.2f} ms", one.n_frames, one.n_missed)
        for one in timing
        if one.n_missed > 0
    ]
    columns = ("Screen", "Interval", "Frames", "Missed")
    missed = table(columns, rows, numeric=(1, 2, 3), caption="Screens that missed frames")
    return section("How exact are the markers?", paragraph(words.timing_words(timing)), missed)


def _excluded(summary: Summary) -> str:
    rows = [(one.number, one.emotion, one.reason) for one in summary.excluded]
    nothing = "" if rows else "Nothing: all planned trials are included above."
    content = table(("Trial", "Intended", "Reason"), rows)
    return section("What was excluded, and why?", paragraph(nothing), content)


def _settings(summary: Summary) -> str:
    fit = [("fit", f"{summary.fit.fit_seconds:.1f} s")] if math.isfinite(summary.fit.fit_seconds) else []
    recordings = [("recording", path.as_posix()) for path in summary.record.recordings]
    settings = [
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
        for name, value in summary.record.settings.items()
    ]
    return section(
        "Methods",
        *(paragraph(note) for note in summary.notes),
        paragraph(words.consent_words(summary)),
        table((), [*summary.fit.model.items(), *fit, *recordings], caption="Model and recording"),
        table((), settings, caption="Settings of the session"),
    )


_LONGEST = 400  # characters of a short text
_SHORT = 16  # rows of a table that stays on one sheet


def text(value: object) -> str:
    """Return a short text fit for HTML, cut where it is longer than any name should be."""
    line = printable(str(value)[: 2 * _LONGEST])
    return _escaped(line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…")


def _escaped(line: str) -> str:
    """Escape, and keep a figure and its unit on one line."""
    return escape(line.replace(" %", "\u00a0%").replace("p < ", "p\u00a0<\u00a0"), quote=True)


def paragraph(words: str, css: str = "") -> str:
    return f"<p{_css(css)}>{_escaped(printable(words))}</p>" if words else ""


def section(title: str, *parts: str) -> str:
    return f"<section>\n<h2>{text(title)}</h2>\n" + "\n".join(part for part in parts if part) + "\n</section>"


def figure(svg: str, css: str = "") -> str:
    """Return a figure around an ``<svg>`` element, which is taken as it is."""
    return f'<div class="figure {css}">{svg}</div>' if svg else ""


def table(
    head: Sequence[object],
    rows: Iterable[Sequence[object]],
    *,
    numeric: Iterable[int] = (),
    caption: str = "",
) -> str:
    """Return a table; the first column heads its rows, columns in ``numeric`` are set flush right."""
    flush_right = frozenset(numeric)
    lines = []
    for row in rows:
        first, *others = row
        cells = "".join(
            f"<td{_css(_kind(one, at in flush_right))}>{text(one)}</td>" for at, one in enumerate(others, 1)
        )
        lines.append(f'<tr><th scope="row">{text(first)}</th>{cells}</tr>')
    if not lines:
        return ""
    heads = "".join(f'<th scope="col">{text(cell)}</th>' for cell in head)
    top = f"<thead><tr>{heads}</tr></thead>" if head else ""
    return _wide(caption, f"{top}<tbody>\n" + "\n".join(lines) + "\n</tbody>")


def counts_table(classes: Sequence[str], counts: Sequence[Sequence[int]], caption: str) -> str:
    """Return counts (n, n): rows true, columns predicted; darker cells hold more of their row."""
    lines = []
    for at, row in enumerate(counts):
        total = max(1, sum(row))
        cells = "".join(
            f'<td class="count{" hit" if column == at else ""}" '
            f'style="background:rgba(0,114,178,{0.55 * n / total:.2f})">{n}</td>'
            for column, n in enumerate(row)
        )
        lines.append(f'<tr><th scope="row">{text(classes[at])}</th>{cells}<td class="n">{sum(row)}</td></tr>')
    heads = "".join(f'<th scope="col">{text(name)}</th>' for name in classes)
    top = f'<thead><tr><th scope="col">labelled</th>{heads}<th scope="col">trials</th></tr></thead>'
    return _wide(caption, f"{top}<tbody>\n" + "\n".join(lines) + "\n</tbody>")


def _wide(caption: str, rows: str) -> str:
    """Return a table that scrolls by itself where the page is narrow; a short one stays on its sheet."""
    css = "wide short" if rows.count("<tr>") <= _SHORT else "wide"
    return f'{paragraph(caption, "caption")}<div class="{css}"><table>{rows}</table></div>'


def _kind(cell: object, is_numeric: bool) -> str:
    if is_numeric:
        return "n"
    return "hash" if re.fullmatch(r"[0-9a-f]{16,}", str(cell)) else ""


def _css(name: str) -> str:
    return f' class="{name}"' if name else ""
