"""The report as one HTML page: no script, nothing from outside, in the order in which a laboratory asks."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path

from calibration.consent import INTENDED_USE, TITLES
from calibration.quality import remarks
from calibration.report import figures, words
from calibration.report.as_json import to_json
from calibration.report.figures import causes_in_words, electrode_figure
from calibration.report.markup import (
    STYLE,
    counts_table,
    figure,
    lettering,
    paragraph,
    section,
    table,
    text,
    to_svg,
)
from calibration.report.summary import Summary
from calibration.verdict import USABLE, WEAK, percent

_CSS = {USABLE: "good", WEAK: "weak"}


def to_html(summary: Summary) -> str:
    """Return the page."""
    title = f"Calibration of {summary.subject}, session {summary.session}"
    parts = [
        f"<h1>{text(title)}</h1>",
        _under(summary),
        paragraph(words.SIMULATED, "simulated") if summary.is_simulated else "",
        _verdict(summary),
        paragraph(INTENDED_USE, "notice"),
        _accuracy(summary),
        _confusion(summary),
        _heads(summary),
        _modalities(summary),
        _courses(summary),
        _quality(summary),
        _self_report(summary),
        section(
            "How exact are the markers?", paragraph(words.timing_words(summary.timing)), _timing(summary)
        ),
        _left_out(summary),
        _settings(summary),
    ]
    body = "\n".join(part for part in parts if part)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
        "</body>\n</html>\n"
    )


def _under(summary: Summary) -> str:
    made = f"Affectscope, report of {words.moment(summary.made_at)}" if summary.made_at else "Affectscope"
    return paragraph(f"{made}. {words.counts(summary)}", "under")


def _verdict(summary: Summary) -> str:
    verdict = summary.verdict
    label = "Verdict on simulated data" if summary.is_simulated else "Verdict"
    return (
        f'<div class="verdict {_CSS.get(verdict.verdict, "bad")}">\n'
        + paragraph(f"{label}: {verdict.verdict}", "word")
        + paragraph(words.trust(summary), "use")
        + paragraph(verdict.words.removesuffix(words.trust(summary)))
        + "</div>"
    )


def _accuracy(summary: Summary) -> str:
    if not summary.fit.trials:
        return ""
    with lettering():
        svg = to_svg(
            figures.chance_figure(summary),
            "chance",
            "Balanced accuracy with its interval and thresholds of chance",
        )
    return section("Is it better than guessing?", figure(svg), paragraph(words.chance_words(summary)))


def _confusion(summary: Summary) -> str:
    if not summary.fit.trials:
        return ""
    caption = "Held-out trials: rows as labelled, columns as recognised. Outlined: recognised."
    return section(
        "Which emotions are taken for which?",
        counts_table(summary.fit.classes, summary.confusion.tolist(), caption),
    )


def _heads(summary: Summary) -> str:
    rows = [
        (
            head.name,
            head.words,
            words.of(head.score),
            percent(head.score.balanced_accuracy),
            _interval(head.score.interval),
            "yes" if head.is_kept else "",
        )
        for head in summary.fit.heads
    ]
    if not rows:
        return ""
    columns = ("Head", "What it is", "Trials right", "Balanced accuracy", "95 % interval", "Kept")
    return section(
        "Which classifier was kept?",
        table(columns, rows, numeric=(2, 3, 4)),
        paragraph(summary.fit.choice),
    )


def _modalities(summary: Summary) -> str:
    fit = summary.fit
    if not fit.trials or not (fit.alone or fit.removed or fit.base_model is not None):
        return ""
    with lettering():
        svg = to_svg(
            figures.modality_figure(summary),
            "modality",
            "Balanced accuracy of each modality alone and removed",
        )
    base = ""
    if fit.base_model is not None:
        base = (
            f"The base model, not calibrated, gets {words.of(fit.base_model)} of the same trials right "
            f"(balanced accuracy {percent(fit.base_model.balanced_accuracy)})."
        )
    return section(
        "What does each signal add?",
        figure(svg),
        paragraph(words.does_eeg_add(summary)),
        paragraph(base),
    )


def _courses(summary: Summary) -> str:
    if not summary.fit.trials:
        return ""
    with lettering():
        svg = to_svg(
            figures.course_figure(summary), "course", "Probabilities over time of each held-out trial"
        )
    explained = (
        "Each trial as a model sees it that was fitted without it; number and label above, the labelled "
        "emotion's line is thick. The heading follows the whole trial, not a single moment."
    )
    return section("How did each held-out trial go?", paragraph(explained), figure(svg))


def _quality(summary: Summary) -> str:
    if not summary.quality:
        return ""
    svg = ""
    with lettering():
        drawn = electrode_figure(summary)
        if drawn is not None:
            svg = to_svg(drawn, "electrodes", "Share of each trial in which each electrode was bad")
    rows = [
        (
            one.trial,
            *(percent(one.coverage.get(m, 0.0)) if m in summary.modalities else "not used" for m in TITLES),
            percent(one.gaze_valid),
            percent(one.face_found),
            "unknown" if math.isnan(one.voice_rms_db) else f"{one.voice_rms_db:.0f} dB",
            percent(one.voice_clipped),
            "; ".join(remarks(one, summary.modalities)),
        )
        for one in summary.quality
    ]
    columns = (
        *("Trial", "EEG", "Eyes", "Face", "Voice"),
        *("Gaze valid", "Face found", "Voice level", "Clipped", "Remarks"),
    )
    return section(
        "How good were the signals?",
        figure(svg),
        paragraph(causes_in_words(summary)) if any(one.ch_names for one in summary.quality) else "",
        table(
            columns,
            rows,
            numeric=range(1, 9),
            caption="Share of each stimulus with data, and what it was like.",
        ),
    )


def _self_report(summary: Summary) -> str:
    svg = ""
    if summary.reported:
        with lettering():
            svg = to_svg(
                figures.self_report_figure(summary), "report", "Valence and arousal of each answered trial"
            )
    rows = []
    for trial in summary.trials:
        answer = trial.report
        given = (
            (answer.label, answer.valence, answer.arousal) if answer is not None else ("no answer", "", "")
        )
        same = "" if answer is None else "yes" if answer.label == trial.emotion else "no"
        rows.append((trial.number, trial.emotion, *given, same))
    columns = ("Trial", "Intended", "Reported", "Valence", "Arousal", "Same")
    return section(
        "Did the person feel what was intended?",
        paragraph(words.agreement_words(summary)),
        figure(svg, "small"),
        table(columns, rows, numeric=(3, 4)),
    )


def _timing(summary: Summary) -> str:
    rows = [
        (one.step, f"{1e3 * one.interval_s:.2f} ms", one.n_frames, one.n_missed)
        for one in summary.timing
        if one.n_missed > 0
    ]
    columns = ("Screen", "Interval", "Frames", "Missed")
    return table(columns, rows, numeric=(1, 2, 3), caption="Screens that missed frames")


def _left_out(summary: Summary) -> str:
    rows = [(one.number, one.emotion, one.reason) for one in summary.left_out]
    nothing = "" if rows else "Nothing: every planned trial is in the figures above."
    return section(
        "What was left out, and why?", paragraph(nothing), table(("Trial", "Intended", "Reason"), rows)
    )


def _settings(summary: Summary) -> str:
    fit = [("fit", f"{summary.fit.fit_seconds:.1f} s")] if math.isfinite(summary.fit.fit_seconds) else []
    recordings = [("recording", name) for name in summary.recordings]
    return section(
        "With what was this made?",
        *(paragraph(note) for note in summary.notes),
        paragraph(words.consent_words(summary)),
        table((), [*summary.fit.model.items(), *fit, *recordings], caption="Model and recording"),
        table((), _rows_of(summary.settings), caption="Settings of the session"),
    )


def _rows_of(settings: Mapping[str, object]) -> list[tuple[str, object]]:
    return [
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
        for name, value in settings.items()
    ]


def _interval(interval: tuple[float, float]) -> str:
    return f"{100 * interval[0]:.0f} to {100 * interval[1]:.0f} %"


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
