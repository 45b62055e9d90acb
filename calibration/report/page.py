"""The report as one HTML page without scripts or outside resources, in the order a reader asks."""

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from matplotlib.figure import Figure

from acquisition.errors import printable
from acquisition.text import json_text, number, percent
from assets import REPORT_STYLE
from calibration.consent import INTENDED_USE, TITLES
from calibration.quality import remarks
from calibration.report import figures
from calibration.report.summary import Score, Summary, to_json
from calibration.types import DisplayTiming
from calibration.verdict import ALPHA, DO_NOT_TRUST, VerdictCode
from models.conformal import too_rarely_covered

_LONGEST = 400  # characters of a short text
_SHORT = 16  # rows of a table that stays on one sheet

SIMULATED = (
    "Simulated data: the signals come from the program's own simulator, and no figure here is valid for real "
    "people."
)
_PHOTODIODE = (
    "Markers are stamped at the buffer swap, accurate to ±1 display frame; the panel's own delay is unknown. "
    "If it matters, put a photodiode on a corner of the screen and record it with the EEG."
)
_COURSES = (
    "Each trial as predicted by a model fitted without it. Titles give trial number and label; the thick "
    "line is the labelled emotion. The title summarises the whole trial, not one moment."
)
_LEARNING = (
    "Left: each trial held out, with the labels of the first of the others (band: 95 % Wilson CI; dotted: "
    "chance; square: this session's labels alone). At 0 only other people's count. Right: held-out windows, "
    "by the probability of the top emotion (dotted: as often right as it says)."
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
    texts = {
        "report.html": to_html(summary),
        "report.json": json_text(to_json(summary), indent=1, ensure_ascii=False) + "\n",
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


def to_html(summary: Summary) -> str:
    """Return the page."""
    title = text(f"Calibration of {summary.record.subject}, session {summary.record.session}")
    made = f"Affectscope, report of {moment(summary.made_at)}" if summary.made_at else "Affectscope"
    sections = (_accuracy, _confusion, _answers, _sources, _modalities, _courses, _quality, _self_report)
    parts = [
        f"<h1>{title}</h1>",
        paragraph(f"{made}. {_counts(summary)}", "under"),
        paragraph(SIMULATED, "simulated") if summary.record.is_simulated else "",
        _verdict(summary),
        paragraph(INTENDED_USE, "notice"),
        *(make(summary) for make in sections),
        _timing(summary.record.timing),
        _excluded(summary),
        _settings(summary),
    ]
    body = "\n".join(part for part in parts if part)
    style = REPORT_STYLE.read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
        "</body>\n</html>\n"
    )


def _drawn(draw: Callable[[Summary], Figure | None], summary: Summary, words: str, css: str = "") -> str:
    """Return a figure with its description; nothing where there is nothing to draw."""
    with figures.lettering():
        found = draw(summary)
        name = draw.__name__.removesuffix("_figure")
        return "" if found is None else figure(figures.to_svg(found, name, words), css)


def _counts(summary: Summary) -> str:
    """Return how many trials there were and what became of them."""
    parts = [f"{summary.n_planned} planned", f"{summary.n_staged} shown to their end"]
    if summary.n_repeated:
        parts.append(f"{summary.n_repeated} restarted")
    parts += [f"{len(summary.fit.trials)} used", f"{len(summary.excluded)} excluded"]
    return f"Trials: {', '.join(parts)}."


def _verdict(summary: Summary) -> str:
    verdict = summary.verdict
    label = "Verdict on simulated data" if summary.record.is_simulated else "Verdict"
    return (
        f'<div class="verdict {_CSS.get(verdict.code, "bad")}">\n'
        + paragraph(f"{label}: {verdict.code}", "word")
        + paragraph(_USE[verdict.code], "use")
        + paragraph(verdict.findings)
        + "</div>"
    )


# --- accuracy ---


def _accuracy(summary: Summary) -> str:
    if not summary.fit.trials:
        return ""
    words = "Balanced accuracy with its interval and significance thresholds"
    drawn = _drawn(figures.chance_figure, summary, words)
    return section("Is it better than guessing?", drawn, paragraph(chance_words(summary)))


def chance_words(summary: Summary) -> str:
    """Return the result against both thresholds."""
    verdict, shuffled = summary.verdict, summary.fit.shuffled
    n, least = verdict.n_trials, verdict.threshold
    parts = [f"Chance with {len(summary.fit.classes)} emotions is {percent(verdict.chance)}."]
    if least.balanced_accuracy is None:
        parts.append(f"With {n} trials not even a perfect result would rule out guessing.")
    else:
        sizes = {int(size) for size in summary.confusion.sum(axis=1) if size}
        share = percent(least.balanced_accuracy)
        reached = f"a balanced accuracy of {share}"
        if len(sizes) == 1:
            reached = f"{least.n_correct} or more of {n} trials correct (balanced accuracy {share})"
        parts.append(
            f"Guessing reaches {reached} in fewer than 1 of 20 sessions (binomial p < .05); for this model "
            f"{_p_value(verdict.p_binomial)}."
        )
    if verdict.p_permutation is None:
        parts.append("No fit on shuffled labels was made.")
    else:
        n_as_good = sum(share >= verdict.balanced_accuracy - 1e-9 for share in shuffled)
        parts.append(
            f"Of {len(shuffled)} fits on shuffled labels {n_as_good or 'none'} did as well "
            f"({_p_value(verdict.p_permutation)})."
        )
    parts.append(
        "The interval treats trials as independent; trials of one subject are not fully independent, so it "
        "is somewhat too narrow."
    )
    return " ".join(parts)


def _p_value(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.095 else f"p = {p:.2f}"


def _confusion(summary: Summary) -> str:
    if not summary.fit.trials:
        return ""
    caption = "Held-out trials: rows as labelled, columns as predicted. Outlined: correct."
    return section("Confusion matrix", counts_table(summary.fit.classes, summary.confusion.tolist(), caption))


def _answers(summary: Summary) -> str:
    if not summary.fit.sets:
        return ""
    words = "Share of wrong answers against share of windows answered"
    rows = [
        (
            percent(one.level),
            f"{one.n_inside} of {one.n_trials}",
            f"{one.mean_size:.1f}",
            "not known" if one.others is None else f"{1 - one.others:.2f}",
            "out of reach"
            if one.attainable is None
            else f"{1 - one.own:.2f}, for {percent(one.attainable, 1)}",
        )
        for one in summary.fit.sets
    ]
    columns = (
        "Sets",
        "Held the emotion",
        "Emotions in a set",
        "Least p: other subjects",
        "Least p: these trials",
    )
    return section(
        "When does it answer, and what else could it be?",
        paragraph(answer_words(summary)),
        _drawn(figures.risk_figure, summary, words, "small"),
        table(columns, rows, numeric=(1, 2, 3, 4)),
    )


def answer_words(summary: Summary) -> str:
    """Return the rule of abstention and the sets in words."""
    answers, curve, sets = summary.fit.answers, summary.fit.risk, summary.fit.sets
    n = sets[0].n_trials
    trials = f"With {_trials(n)} of one subject sets have levels of k/{n + 1} only."
    if answers is None or curve is None:
        return (
            "The base model does not know how often profiles of other subjects are wrong: an answer needs a "
            "probability midway between chance and certainty, and nothing should act upon it. The sets rest "
            f"on these trials alone, so their counts below are no test of them. {trials}"
        )
    if answers.abstain_below > 1:
        rule = "Profiles of other subjects were wrong too often at every probability: it never answers."
    else:
        answered, error, n_answered = curve.at(answers.answer_from)
        here = f"of the held-out windows here {percent(answered)}"
        here += f", wrongly {percent(error)} of them, in {_trials(n_answered)}" if n_answered else ""
        others = f"with {answers.n_subjects} other subjects ({answers.n_trials} trials)"
        found = (
            f"that was {percent(answers.answered)} of the windows, of which {percent(answers.error)} wrongly"
        )
        if answers.abstain_below < answers.answer_from:
            found = (
                f"from {percent(answers.abstain_below)} on {percent(answers.error)} of the windows were wrong"
            )
        rule = (
            f"It answers from {percent(answers.answer_from)} on: {others} {found} "
            f"(dot; dotted: {percent(answers.risk)}); {here}."
        )
    differ = ""
    if too_rarely_covered([trial.score for trial in summary.fit.trials], answers.set_90, 0.9):
        differ = " Sets of other subjects held the emotion too rarely here: the wider sets of both are shown."
    return f"{rule} {trials}{differ}"


def _sources(summary: Summary) -> str:
    fit = summary.fit
    rows = [
        (
            one.name,
            one.words,
            _of(one.score),
            percent(one.score.balanced_accuracy),
            f"{100 * one.score.interval[0]:.0f} to {100 * one.score.interval[1]:.0f} %",
        )
        for one in fit.sources
    ]
    if not rows or fit.calibration is None:
        return ""
    words = (
        "Accuracy over the number of labelled trials, and accuracy over the probability of the top emotion"
    )
    columns = ("Labels", "What it is", "Correct trials", "Balanced accuracy", "95 % CI")
    return section(
        "What do other people's trials say, and what this session's?",
        _drawn(figures.learning_figure, summary, words),
        paragraph(_LEARNING),
        paragraph(f"Expected calibration error of these windows: {percent(fit.calibration.error)}."),
        table(columns, rows, numeric=(2, 3, 4)),
    )


def _modalities(summary: Summary) -> str:
    fit = summary.fit
    if not fit.trials or not (fit.alone or fit.removed or fit.base_model is not None):
        return ""
    base = ""
    if fit.base_model is not None:
        base = (
            f"The uncalibrated base model predicts {_of(fit.base_model)} of the same trials correctly "
            f"(balanced accuracy {percent(fit.base_model.balanced_accuracy)})."
        )
    words = "Balanced accuracy of each modality alone and removed"
    drawn = _drawn(figures.modality_figure, summary, words)
    return section("What does each signal add?", drawn, paragraph(does_eeg_add(summary)), paragraph(base))


def does_eeg_add(summary: Summary) -> str:
    """Return in words whether EEG adds anything to the rest: the face-only control."""
    without, face = summary.fit.removed.get("eeg"), summary.fit.alone.get("face")
    if "eeg" not in summary.modalities:
        return "EEG was not used in this session."
    if without is None:
        return "EEG was the only modality: there is nothing to compare it with."
    whole = summary.score
    parts = [f"The face alone predicts {_of(face)} trials correctly."] if face is not None else []
    parts.append(f"Without EEG the model predicts {_of(without)} trials correctly, with it {_of(whole)}.")
    pairs = list(zip(whole.right, without.right, strict=True))
    n_won, n_lost = sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)
    if n_won <= n_lost:
        nothing = "Nothing here shows that EEG adds anything: the model may rely on face, eyes or voice."
        return " ".join([*parts, nothing])
    n = n_won + n_lost
    p = sum(math.comb(n, k) for k in range(n_won, n + 1)) / 2**n
    adds = "it adds to the rest" if p < ALPHA else "too few to show that EEG adds anything"
    test = f"one-sided sign test, {_p_value(p)}"
    return " ".join([*parts, f"EEG corrects {_trials(n_won)} and makes {n_lost} wrong ({test}): {adds}."])


def _courses(summary: Summary) -> str:
    if not summary.fit.trials:
        return ""
    drawn = _drawn(figures.course_figure, summary, "Probabilities over time of each held-out trial")
    return section("How did each held-out trial go?", paragraph(_COURSES), drawn)


# --- signals and answers ---


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
    )


def _self_report(summary: Summary) -> str:
    words = "Valence and arousal of each answered trial"
    drawn = _drawn(figures.self_report_figure, summary, words, "small") if summary.reported else ""
    rows = []
    for trial in summary.trials:
        given, same = ("no answer", "", ""), ""
        if (answer := trial.report) is not None:
            given = answer.label, str(answer.valence), str(answer.arousal)
            same = "yes" if answer.label == trial.emotion else "no"
        rows.append((trial.number, trial.emotion, *given, same))
    columns = ("Trial", "Intended", "Reported", "Valence", "Arousal", "Same")
    return section(
        "Did the participant feel what was intended?",
        paragraph(_agreement(summary)),
        drawn,
        table(columns, rows, numeric=(3, 4)),
    )


def _agreement(summary: Summary) -> str:
    """Return how often the participant named the emotion that was intended."""
    n_answered = len(summary.reported)
    fitted = f"The model was fitted to the {summary.fit.labels} emotion."
    if n_answered == 0:
        return f"No trial was answered. {fitted}"
    n_without = summary.n_staged - n_answered
    unanswered = f"No answer to {_trials(n_without)}. " if n_without else ""
    return (
        f"In {summary.n_agreed} of {n_answered} answered trials the participant named the emotion that was "
        f"intended ({percent(summary.n_agreed / n_answered)}). {unanswered}{fitted}"
    )


def _timing(timing: tuple[DisplayTiming, ...]) -> str:
    rows = [
        (one.step, f"{1e3 * one.interval_s:.2f} ms", one.n_frames, one.n_missed)
        for one in timing
        if one.n_missed > 0
    ]
    columns = ("Screen", "Interval", "Frames", "Missed")
    missed = table(columns, rows, numeric=(1, 2, 3), caption="Screens that missed frames")
    return section("How exact are the markers?", paragraph(timing_words(timing)), missed)


def timing_words(timing: tuple[DisplayTiming, ...]) -> str:
    """Return how exact the markers are."""
    shown = [one for one in timing if one.n_frames > 0 and one.interval_s > 0]
    if not shown:
        return (
            "No display was measured: the session ran without a window, and markers carry the time of the "
            "command to show a stimulus."
        )
    intervals = sorted(one.interval_s for one in shown)
    middle = 1e3 * intervals[len(intervals) // 2]
    n_frames, n_missed = sum(one.n_frames for one in shown), sum(one.n_missed for one in shown)
    return (
        f"Display interval {middle:.1f} ms (median of {len(shown)} steps), so markers are accurate to "
        f"±{middle:.0f} ms. {n_missed} of {n_frames} frames came late by half an interval or more "
        f"({100 * n_missed / n_frames:.2f} %). {_PHOTODIODE}"
    )


# --- exclusions and methods ---


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
        paragraph(consent_words(summary)),
        table((), [*summary.fit.model.items(), *fit, *recordings], caption="Model and recording"),
        table((), settings, caption="Settings of the session"),
    )


def consent_words(summary: Summary) -> str:
    """Return what the participant consented to, without a name."""
    consent = summary.record.consent
    agreed = [TITLES.get(one, one) for one in consent.modalities]
    declined = [title for one, title in TITLES.items() if one not in consent.modalities]
    raw = {"video of the face": consent.keep_face_video, "voice": consent.keep_voice}
    kept = " and ".join(name for name, is_kept in raw.items() if is_kept)
    parts = [f"Consented to: {', '.join(agreed) or 'nothing'}."]
    if declined:
        parts.append(f"No consent, neither recorded nor used: {', '.join(declined)}.")
    parts.append(f"Raw {kept} kept in the recording." if kept else "Neither raw video nor raw sound is kept.")
    if consent.given_at:
        parts.append(f"Consent given {moment(consent.given_at)} (notice version {consent.notice_version}).")
    if summary.record.overridden:
        parts.append(f"Signal checks at Stop that were overridden: {', '.join(summary.record.overridden)}.")
    return " ".join(parts)


def moment(stamp: str) -> str:
    """Return an ISO 8601 time as "2026-03-02 10:30 UTC"; anything else as it is."""
    try:
        time = datetime.fromisoformat(stamp)
    except ValueError:
        return stamp
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if time.tzinfo else f"{time:%Y-%m-%d %H:%M}"


def _of(score: Score) -> str:
    return f"{score.n_correct} of {score.n_trials}"


def _trials(n: int) -> str:
    return f"{n} trial{'' if n == 1 else 's'}"


# --- pieces of HTML; every text that goes through here is escaped ---


def text(value: object) -> str:
    """Return a short text fit for HTML, cut where it is longer than any name should be."""
    line = printable(str(value)[: 2 * _LONGEST])
    return _escaped(line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…")


def _escaped(line: str) -> str:
    """Escape, and keep a figure and its unit on one line."""
    return escape(line.replace(" %", "\u00a0%").replace("p < ", "p\u00a0<\u00a0"), quote=True)


def paragraph(words: str, css: str = "") -> str:
    """Return a paragraph of any length; nothing for no words."""
    return f"<p{_css(css)}>{_escaped(printable(words))}</p>" if words else ""


def section(title: str, *parts: str) -> str:
    """Return a titled section."""
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
