"""The figures of a report: accuracy against chance, modalities, courses, self-reports, electrodes.

Categories use the palette of Okabe and Ito (https://jfly.uni-koeln.de/color/), darkened where it is pale on
white; magnitudes use cividis. No meaning rests on colour alone.
"""

import io
import math
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from html import escape
from typing import Any, Protocol

import matplotlib
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from acquisition.errors import printable
from acquisition.text import percent
from acquisition.types import MODALITY_NAMES
from assets import REPORT_FIGURES
from calibration.quality import TrialQuality
from calibration.report.summary import Excluded, HeldOutTrial, Score, Summary

TEXT, MUTED, GRID, PAPER, ABSENT = "#15191f", "#566070", "#d5dae2", "#ffffff", "#c4c9d1"
BLUE, VERMILLION, AMBER = "#0072b2", "#d55e00", "#b37400"
CATEGORIES = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#b37400", "#3a96cf", "#7a6a00")
#: Beside the colours: dashes tell the classes apart on a grey print.
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (6, 1.5, 1.5, 1.5)), (0, (3, 1)), (0, (8, 2)), (0, (1, 2)))
WIDTH_IN = 8.4  # of every figure: they are drawn at the page's width

_COLUMNS = 5  # of the small multiples
_COURSE_ROW_IN = 1.45
_COURSE_EDGES_IN = (0.28, 0.5)  # above: the legend; below: the axis' name
_MOST_NAMED = 30  # markers that fit beside each other over a session's course
_MOST_LINES = 1000  # markers: more of them would be a grey wall
_LEAST = 1e-6  # smaller shares are treated as zero
#: Letters in the cells of electrodes, by cause; a cell without a letter was never bad.
LETTERS = {
    **{"flat": "F", "rails": "R", "mains": "M", "pop": "P", "noise": "N", "drift": "D"},
    **{"amplitude": "A", "NaN": "X"},
}


def lettering() -> AbstractContextManager[None]:
    return matplotlib.rc_context(fname=REPORT_FIGURES)


def _panel(height_in: float, width_in: float = WIDTH_IN) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    return figure, figure.subplots()


def to_svg(figure: Figure, name: str, words: str) -> str:
    """Return a figure as an ``<svg>`` element that may stand in a page with others.

    ``name`` is a short identifier, unique on the page, that begins every id inside; ``words`` are the
    alternative text for readers who cannot see the figure.
    """
    with lettering(), io.StringIO() as file:
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
        svg = file.getvalue()
    svg = svg[svg.index("<svg") :]  # without the prolog, which names a document type elsewhere
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'((?:xlink:)?href="#|url\(#)', rf"\g<1>{name}-", svg)
    head, rest = svg.split(">", 1)
    head = re.sub(r'\s(?:width|height|version|xmlns(?::\w+)?)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{escape(words, quote=True)}">{rest}'.strip()


def chance_figure(summary: Summary) -> Figure:
    """Draw balanced accuracy with its interval and every threshold of chance on one axis."""
    verdict, shuffled = summary.verdict, np.asarray(summary.fit.shuffled)
    figure, axes = _panel(2.5)
    if len(shuffled):
        values, counts = np.unique(shuffled.round(6), return_counts=True)
        axes.vlines(values, 0, 0.62 * counts / counts.max(), color=GRID, linewidth=7, zorder=1, clip_on=False)
        told = f"grey bars: {len(shuffled)} fits on shuffled labels"
        axes.text(0.995, 0.03, told, c=MUTED, size=8, ha="right", va="bottom", transform=axes.transAxes)
    thresholds = [
        ("chance", verdict.chance, ":", MUTED),
        ("binomial p < .05", verdict.threshold.balanced_accuracy, "--", VERMILLION),
        ("permutation p < .05", verdict.permutation_threshold, "-.", AMBER),
    ]
    lines = [(share, name, dash, colour) for name, share, dash, colour in thresholds if share is not None]
    box = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.8}
    for at, (share, name, dash, colour) in enumerate(sorted(lines, key=lambda line: -line[0])):
        level, is_right = 1.48 + 0.24 * at, share > 0.7
        axes.vlines(share, 0, level, color=colour, linestyle=dash, linewidth=1.6, zorder=2)
        x, side = (share - 0.006, "right") if is_right else (share + 0.006, "left")
        said = f"{name}, {percent(share)}"
        axes.text(x, level, said, c=colour, size=8.5, ha=side, va="top", bbox=box, zorder=2.5)
    low, high = verdict.interval
    axes.hlines(1.0, low, high, color=BLUE, linewidth=3, zorder=3)
    axes.vlines([low, high], 0.9, 1.1, color=BLUE, linewidth=2, zorder=3)
    axes.plot(verdict.balanced_accuracy, 1.0, "o", c=BLUE, ms=11, mec=PAPER, zorder=4, clip_on=False)
    _percent_axis(axes, "balanced accuracy of held-out trials (line: 95 % Wilson CI)")
    axes.set_ylim(0, 2.1)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    return figure


def modality_figure(summary: Summary) -> Figure:
    """Draw the accuracy with all modalities, each alone and each removed, with intervals and chance."""
    fit = summary.fit
    rows: list[tuple[str, Score, str, str]] = [("all modalities", summary.score, TEXT, "o")]
    rows += [(f"{MODALITY_NAMES[m]} alone", score, BLUE, "s") for m, score in fit.alone.items()]
    rows += [(f"without {MODALITY_NAMES[m]}", score, VERMILLION, "D") for m, score in fit.removed.items()]
    if fit.base_model is not None:
        rows.append(("uncalibrated base model", fit.base_model, MUTED, "^"))
    figure, axes = _panel(0.75 + 0.27 * len(rows))
    axes.axvline(summary.verdict.chance, color=MUTED, linestyle=":", linewidth=1.4)
    for at, (_, score, colour, marker) in enumerate(rows):
        axes.hlines(at, *score.interval, color=colour, linewidth=2)
        axes.plot(score.balanced_accuracy, at, marker, color=colour, markersize=7, clip_on=False)
        axes.text(1.1, at, percent(score.balanced_accuracy), va="center", ha="right")
        axes.text(1.13, at, f"{score.n_correct} of {score.n_trials}", va="center", ha="left")
    axes.set_yticks(range(len(rows)), [name for name, *_ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0, pad=9)
    axes.spines["left"].set_visible(False)
    _percent_axis(axes, "balanced accuracy, 95 % Wilson CI; dotted: chance")
    return figure


def risk_figure(summary: Summary) -> Figure | None:
    """Draw how often answers are wrong against how many there are, and the rule in use."""
    curve, answers = summary.fit.risk, summary.fit.answers
    if curve is None:
        return None
    figure, axes = _panel(2.6, WIDTH_IN / 2)
    axes.plot(curve.answered, curve.error, color=BLUE, linewidth=2, drawstyle="steps-post")
    if answers is not None:
        axes.axhline(answers.risk, color=MUTED, linestyle=":", linewidth=1.4)
        answered, error, n_trials = curve.at(answers.answer_from)
        if n_trials:
            axes.plot(answered, error, "o", color=VERMILLION, markersize=9, clip_on=False)
    _share_axis(axes, "wrong answers")
    _percent_axis(axes, "windows answered, the surest first")
    return figure


def learning_figure(summary: Summary) -> Figure | None:
    """Draw accuracy over the number of labelled trials, and over the probability of the top emotion."""
    fit, chance = summary.fit, summary.verdict.chance
    if not fit.curve or fit.calibration is None:
        return None
    figure = Figure(figsize=(WIDTH_IN, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    shares, n = np.array([score.balanced_accuracy for score in fit.curve]), np.arange(len(fit.curve))
    low, high = np.array([score.interval for score in fit.curve]).T
    left.fill_between(n, low, high, color=BLUE, alpha=0.15, linewidth=0)
    left.plot(n, shares, "o-", color=BLUE, linewidth=2, markersize=5, clip_on=False)
    left.axhline(chance, color=MUTED, linestyle=":", linewidth=1.4)
    own = next((one.score.balanced_accuracy for one in fit.sources if one.name == "own"), None)
    if own is not None:
        left.plot(n[-1], own, "s", color=VERMILLION, markersize=7, clip_on=False)
    left.set_xlabel("other trials of this session with a label")
    _share_axis(left, "balanced accuracy")
    left.xaxis.get_major_locator().set_params(integer=True)
    curve = fit.calibration
    right.plot([0, 1], [0, 1], color=MUTED, linestyle=":", linewidth=1.4)
    right.vlines(curve.confidence, *curve.interval.T, color=BLUE, linewidth=2)
    right.plot(curve.confidence, curve.accuracy, "o", color=BLUE, markersize=7, clip_on=False)
    _percent_axis(right, "probability of the top emotion")
    _share_axis(right, "windows that are right")
    return figure


def course_figure(summary: Summary) -> Figure:
    """Draw the probabilities over time of each held-out trial, one small panel a trial."""
    fit = summary.fit
    n_rows = math.ceil(len(fit.trials) / _COLUMNS)
    above, below = _COURSE_EDGES_IN
    height = above + below + _COURSE_ROW_IN * n_rows
    figure = Figure(figsize=(WIDTH_IN, height))
    # Placed manually and not shared: 48 panels would otherwise take ten times as long.
    grid = figure.subplots(n_rows, _COLUMNS, squeeze=False).ravel()
    top, bottom = 1 - (above + 0.38) / height, below / height
    figure.subplots_adjust(left=0.085, right=0.99, top=top, bottom=bottom, wspace=0.14, hspace=0.8)
    longest = max((float(trial.times[-1]) for trial in fit.trials if len(trial.times)), default=1.0)
    for at, axes in enumerate(grid):
        if at >= len(fit.trials):
            axes.set_axis_off()
            continue
        _draw_course(axes, fit.trials[at], fit.classes)
        axes.set_xlim(0, longest)
        axes.tick_params(labelleft=at % _COLUMNS == 0, labelbottom=at + _COLUMNS >= len(fit.trials))
    figure.supxlabel("seconds since the stimulus began", fontsize=9, y=0.06 / height, va="bottom")
    figure.supylabel("probability", fontsize=9, x=0.004)
    names = [_short(name) for name in fit.classes]
    if handles := grid[0].get_lines()[: len(names)]:
        columns = min(7, len(names))
        figure.legend(handles, names, loc="upper center", ncols=columns, frameon=False, handlelength=3)
    return figure


def session_figure(
    seconds: Sequence[float],
    probs: NDArray[np.float32],
    classes: Sequence[str],
    markers: Sequence[tuple[float, str]],
    longest: float,
) -> Figure:
    """Draw a session's probabilities over its seconds, NaN where there is none, and its markers.

    ``probs`` is (n, n_classes); ``longest`` is the session's length in seconds.
    """
    figure, axes = _panel(3.4)
    for at, name in enumerate(classes):
        axes.plot(seconds, probs[:, at], c=_category(at), ls=_dashes(at), lw=1.4, label=_short(name))
    markers = markers if len(markers) <= _MOST_LINES else ()
    axes.vlines([time for time, _ in markers], 0, 1, color=MUTED, linewidth=0.6, zorder=0)
    free_from = math.inf
    for time, name in reversed(markers):  # of those too close to be read, the last
        if time <= free_from:
            axes.text(time, 1.03, _short(name, 24), rotation=40, fontsize=7, va="bottom", color=MUTED)
            free_from = time - longest / _MOST_NAMED
    axes.set_xlim(0, longest or 1.0)
    _share_axis(axes, "probability")
    axes.set_xlabel("seconds since the start" + ("; vertical lines: markers" if markers else ""))
    figure.legend(loc="outside lower center", ncols=min(7, len(classes)), frameon=False, handlelength=3)
    return figure


def _draw_course(axes: Axes, trial: HeldOutTrial, classes: Sequence[str]) -> None:
    for at in range(len(classes)):
        width = 2.2 if at == trial.label else 1.1
        axes.plot(
            trial.times, trial.course[:, at], color=_category(at), linestyle=_dashes(at), linewidth=width
        )
    is_right = trial.predicted == trial.label
    result = "✓ correct" if is_right else f"✗ predicted {_short(classes[trial.predicted])}"
    title = f"{trial.number}  {_short(classes[trial.label])}\n{result}"
    axes.set_title(title, color=TEXT if is_right else VERMILLION, loc="left", fontsize=8.5)
    _share_axis(axes)
    axes.set_ylim(-0.02, 1.02)
    axes.grid(axis="y")


def self_report_figure(summary: Summary) -> Figure:
    """Draw valence and arousal of every answered trial, by intended emotion."""
    emotions = list(dict.fromkeys([*summary.fit.classes, *(trial.emotion for trial in summary.reported)]))
    figure, axes = _panel(3.7, 4.6)
    taken: Counter[tuple[int, int]] = Counter()
    for trial in summary.reported:
        assert trial.report is not None
        if trial.report.valence is None or trial.report.arousal is None:
            continue
        place = trial.report.valence, trial.report.arousal
        x, y = place[0] + 0.55 * taken[place], place[1]  # equal answers side by side
        taken[place] += 1
        colour = _category(emotions.index(trial.emotion))
        axes.plot(x, y, "o", color=colour, markersize=13, markeredgecolor=PAPER)
        number = str(trial.number)
        axes.text(x, y, number, c=PAPER, size=8, weight="bold", ha="center", va="center_baseline")
    axes.axhline(5, color=GRID, zorder=0)
    axes.axvline(5, color=GRID, zorder=0)
    axes.set(xlim=(0.5, 9.6), ylim=(0.5, 9.5), xticks=range(1, 10), yticks=range(1, 10))
    axes.set_xlabel("valence: 1 unpleasant, 9 pleasant")
    axes.set_ylabel("arousal: 1 calm, 9 excited")
    handles, names = [], []
    for index, emotion in enumerate(emotions):
        if numbers := ", ".join(str(one.number) for one in summary.reported if one.emotion == emotion):
            handles += axes.plot([], [], "o", color=_category(index), markersize=8)
            names.append(f"{_short(emotion)} ({numbers})")
    title = "intended (trials)"
    figure.legend(handles, names, loc="outside right upper", frameon=False, title=title, alignment="left")
    return figure


class HasQuality(Protocol):
    """The electrodes of the trials of a calibration, or of a session's stretches."""

    @property
    def quality(self) -> Sequence[TrialQuality]: ...
    @property
    def excluded(self) -> Sequence[Excluded]: ...


def electrode_figure(
    summary: HasQuality, what: str = "trial", names: Sequence[str] | None = None
) -> Figure | None:
    """Draw a heat map of trials by electrodes; None if no electrode was ever bad, or assessed.

    ``what`` rows are, and their ``names``, by default the trials' numbers.
    """
    trials = [one for one in summary.quality if one.ch_names]
    if not any(share >= _LEAST for one in trials for share in one.bad_share):
        return None
    ch_names = trials[-1].ch_names
    shares = np.full((len(trials), len(ch_names)), np.nan)
    for row, trial in enumerate(trials):
        by_name = dict(zip(trial.ch_names, trial.bad_share, strict=True))
        shares[row] = [by_name.get(name, np.nan) for name in ch_names]
    figure, axes = _panel(1.35 + 0.25 * len(trials))
    axes.set_facecolor(ABSENT)  # electrodes that were not connected
    shades = colormaps["cividis_r"].resampled(64).with_extremes(under=PAPER)  # white: never bad
    image = axes.pcolormesh(shares, cmap=shades, vmin=_LEAST, vmax=1, edgecolor=GRID, linewidth=0.6)
    is_wide = len(ch_names) > 32
    for row, trial in enumerate(trials):
        _write_letters(axes, row, trial, ch_names, 5.5 if is_wide else 8)
    excluded = {one.number for one in summary.excluded}
    names = names or [f"{one.trial}{' (excluded)' if one.trial in excluded else ''}" for one in trials]
    axes.set_yticks(np.arange(len(trials)) + 0.5, names)
    axes.set_xticks(
        np.arange(len(ch_names)) + 0.5,
        [printable(name) for name in ch_names],
        rotation=90 if len(ch_names) > 16 else 0,
        fontsize=6 if is_wide else 8,
    )
    axes.set_ylabel(what)
    axes.invert_yaxis()
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    bar = figure.colorbar(image, ax=axes, pad=0.01, fraction=0.03, ticks=[_LEAST, 0.5, 1])
    bar.solids.set_rasterized(False)  # type: ignore[union-attr]  # else a picture inside the figure
    bar.solids.set_edgecolor("face")  # type: ignore[union-attr]
    bar.ax.set_yticklabels(["0 %", "50 %", "100 %"])
    bar.set_label("share of time bad", color=MUTED)
    bar.outline.set_visible(False)
    return figure


def _write_letters(axes: Axes, row: int, trial: TrialQuality, ch_names: tuple[str, ...], size: float) -> None:
    for name, share, reason in zip(trial.ch_names, trial.bad_share, trial.reasons, strict=True):
        if reason and name in ch_names:
            x, colour = ch_names.index(name) + 0.5, PAPER if share > 0.45 else TEXT
            letter = LETTERS.get(reason, "?")
            axes.text(x, row + 0.52, letter, c=colour, size=size, ha="center", va="center", in_layout=False)


def causes_in_words(summary: HasQuality, what: str = "trial") -> str:
    """Return what the letters mean, for those that occur, with the number of cells."""
    found = Counter(reason for trial in summary.quality for reason in trial.reasons if reason)
    if not found:
        return "No electrode was bad at any time."
    ranked = sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))
    parts = [f"{LETTERS.get(name, '?')} {name} ({n})" for name, n in ranked]
    return f"Letters give the most frequent cause: {', '.join(parts)} ({what}s times electrodes)."


def _percent_axis(axes: Axes, label: str) -> None:
    axes.set_xlim(0, 1)
    axes.set_xticks(np.linspace(0, 1, 6), [f"{share} %" for share in range(0, 101, 20)])
    axes.set_xlabel(label)


def _share_axis(axes: Axes, label: str = "") -> None:
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    axes.set_ylabel(label)


def _dashes(index: int) -> Any:
    return DASHES[index % len(DASHES)]


def _category(index: int) -> str:
    return CATEGORIES[index % len(CATEGORIES)]


def _short(text: str, longest: int = 14) -> str:
    text = printable(text)
    return text if len(text) <= longest else text[: longest - 1] + "…"
