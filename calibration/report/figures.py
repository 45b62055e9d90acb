"""The figures of held-out predictions: accuracy against chance, modalities, courses, self-reports."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from calibration.quality import TrialQuality
from calibration.report.markup import (
    AMBER,
    BLUE,
    DASHES,
    GRID,
    MUTED,
    PAPER,
    TEXT,
    VERMILLION,
    WIDTH_IN,
    category,
    plain,
)
from calibration.report.summary import HeldOutTrial, Score, Summary
from calibration.verdict import percent

_COLUMNS = 5  # of the small multiples
_COURSE_ROW_IN = 1.45
_COURSE_EDGES_IN = (0.28, 0.5)  # above: the legend; below: the axis' name


def chance_figure(summary: Summary) -> Figure:
    """Draw balanced accuracy with its interval and every threshold of chance on one axis."""
    verdict = summary.verdict
    shuffled = np.asarray(summary.fit.shuffled)
    figure = Figure(figsize=(WIDTH_IN, 2.5), layout="constrained")
    axes = figure.subplots()
    if len(shuffled):
        values, counts = np.unique(shuffled.round(6), return_counts=True)
        axes.vlines(values, 0, 0.62 * counts / counts.max(), color=GRID, linewidth=7, zorder=1, clip_on=False)
        axes.text(
            0.995,
            0.03,
            f"grey bars: {len(shuffled)} fits on shuffled labels",
            color=MUTED,
            ha="right",
            va="bottom",
            transform=axes.transAxes,
            fontsize=8,
        )
    lines = [("chance", verdict.chance, ":", MUTED)]
    if verdict.threshold.balanced_accuracy is not None:
        lines.append(("binomial p < .05", verdict.threshold.balanced_accuracy, "--", VERMILLION))
    if verdict.permutation_threshold is not None:
        lines.append(("permutation p < .05", verdict.permutation_threshold, "-.", AMBER))
    for at, (name, share, dash, colour) in enumerate(sorted(lines, key=lambda line: -line[1])):
        level = 1.5 + 0.24 * at
        axes.vlines(share, 0, level - 0.02, color=colour, linestyle=dash, linewidth=1.6, zorder=2)
        is_right = share > 0.7
        axes.text(
            share + (-0.006 if is_right else 0.006),
            level - 0.02,
            f"{name}, {percent(share)}",
            color=colour,
            ha="right" if is_right else "left",
            va="top",
            fontsize=8.5,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.8},
            zorder=2.5,
        )
    low, high = verdict.interval
    axes.hlines(1.0, low, high, color=BLUE, linewidth=3, zorder=3)
    axes.vlines([low, high], 0.9, 1.1, color=BLUE, linewidth=2, zorder=3)
    axes.plot(
        verdict.balanced_accuracy,
        1.0,
        "o",
        color=BLUE,
        markersize=11,
        markeredgecolor=PAPER,
        zorder=4,
        clip_on=False,
    )
    _percent_axis(axes, "balanced accuracy of held-out trials (line: 95 % Wilson interval)")
    axes.set_ylim(0, 2.1)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    return figure


def modality_figure(summary: Summary) -> Figure:
    """Draw each modality alone and removed beside the whole model, with intervals and chance."""
    fit = summary.fit
    rows: list[tuple[str, Score, str]] = [("everything", summary.score, TEXT)]
    rows += [(f"{_name(m)} alone", score, BLUE) for m, score in fit.alone.items()]
    rows += [(f"without {_name(m)}", score, VERMILLION) for m, score in fit.removed.items()]
    if fit.base_model is not None:
        rows.append(("base model, not calibrated", fit.base_model, MUTED))
    figure = Figure(figsize=(WIDTH_IN, 0.75 + 0.27 * len(rows)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(summary.verdict.chance, color=MUTED, linestyle=":", linewidth=1.4)
    markers = {TEXT: "o", BLUE: "s", VERMILLION: "D", MUTED: "^"}
    for at, (_, score, colour) in enumerate(rows):
        axes.hlines(at, *score.interval, color=colour, linewidth=2)
        axes.plot(score.balanced_accuracy, at, markers[colour], color=colour, markersize=7, clip_on=False)
        axes.text(1.1, at, percent(score.balanced_accuracy), va="center", ha="right")
        axes.text(1.13, at, f"{score.n_correct} of {score.n_trials}", va="center", ha="left")
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0, pad=9)
    axes.spines["left"].set_visible(False)
    _percent_axis(axes, "balanced accuracy, 95 % Wilson interval; dotted: chance")
    return figure


def course_figure(summary: Summary) -> Figure:
    """Draw the probabilities over time of each held-out trial, one small panel a trial."""
    fit = summary.fit
    n_rows = math.ceil(len(fit.trials) / _COLUMNS)
    height = _COURSE_EDGES_IN[0] + _COURSE_EDGES_IN[1] + _COURSE_ROW_IN * n_rows
    figure = Figure(figsize=(WIDTH_IN, height))
    # Placed by hand and not shared: 48 panels would otherwise take ten times as long.
    grid = figure.subplots(n_rows, _COLUMNS, squeeze=False).ravel()
    figure.subplots_adjust(
        left=0.085,
        right=0.99,
        top=1 - (_COURSE_EDGES_IN[0] + 0.38) / height,
        bottom=_COURSE_EDGES_IN[1] / height,
        wspace=0.14,
        hspace=0.8,
    )
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
    handles = grid[0].get_lines()[: len(fit.classes)]
    if handles:
        figure.legend(
            handles,
            [_short(name) for name in fit.classes],
            loc="upper center",
            ncols=min(7, len(fit.classes)),
            frameon=False,
            handlelength=3,
        )
    return figure


def _draw_course(axes: Axes, trial: HeldOutTrial, classes: Sequence[str]) -> None:
    for at in range(len(classes)):
        is_true = at == trial.label
        axes.plot(
            trial.times,
            trial.course[:, at] if len(trial.times) else [],
            color=category(at),
            linestyle=DASHES[at % len(DASHES)],
            linewidth=2.2 if is_true else 1.1,
        )
    is_right = trial.predicted == trial.label
    axes.set_title(
        f"{trial.number}  {_short(classes[trial.label])}\n"
        + ("✓ recognised" if is_right else f"✗ taken for {_short(classes[trial.predicted])}"),
        color=TEXT if is_right else VERMILLION,
        loc="left",
        fontsize=8.5,
    )
    axes.set_ylim(-0.02, 1.02)
    axes.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    axes.grid(axis="y")


def self_report_figure(summary: Summary) -> Figure:
    """Draw valence and arousal of every answered trial, by intended emotion."""
    emotions = list(dict.fromkeys([*summary.fit.classes, *(trial.emotion for trial in summary.reported)]))
    figure = Figure(figsize=(4.6, 3.7), layout="constrained")
    axes = figure.subplots()
    taken: dict[tuple[int, int], int] = {}
    for trial in summary.reported:
        if trial.report is None:
            continue
        place = trial.report.valence, trial.report.arousal
        n_before = taken.get(place, 0)
        taken[place] = n_before + 1
        index = emotions.index(trial.emotion)
        x, y = place[0] + 0.55 * n_before, place[1]  # equal answers side by side
        axes.plot(x, y, "o", color=category(index), markersize=13, markeredgecolor=PAPER)
        axes.text(
            x, y, str(trial.number), color=PAPER, ha="center", va="center_baseline", fontsize=8, weight="bold"
        )
    axes.axhline(5, color=GRID, zorder=0)
    axes.axvline(5, color=GRID, zorder=0)
    axes.set(xlim=(0.5, 9.6), ylim=(0.5, 9.5), xticks=range(1, 10), yticks=range(1, 10))
    axes.set_xlabel("valence: 1 unpleasant, 9 pleasant")
    axes.set_ylabel("arousal: 1 calm, 9 excited")
    named = [emotion for emotion in emotions if any(t.emotion == emotion for t in summary.reported)]
    dots = [
        axes.plot([], [], "o", color=category(emotions.index(emotion)), markersize=8)[0] for emotion in named
    ]
    figure.legend(
        dots,
        [f"{_short(one)} ({_numbers(summary, one)})" for one in named],
        loc="outside right upper",
        frameon=False,
        title="intended (trials)",
        alignment="left",
    )
    return figure


def _numbers(summary: Summary, emotion: str) -> str:
    return ", ".join(str(trial.number) for trial in summary.reported if trial.emotion == emotion)


def _percent_axis(axes: Axes, label: str) -> None:
    axes.set_xlim(0, 1)
    axes.set_xticks(np.linspace(0, 1, 6), [f"{share} %" for share in range(0, 101, 20)])
    axes.set_xlabel(label)


def _name(modality: str) -> str:
    return NAMES.get(modality, modality)


NAMES: Mapping[str, str] = {"eeg": "EEG", "eye": "eyes", "face": "face", "voice": "voice"}


def _short(text: str) -> str:
    text = plain(text)
    return text if len(text) <= 14 else text[:13] + "…"


_LEAST = 1e-6  # a share below is none
#: Letters in the cells, by cause; a cell without a letter was never bad.
LETTERS = {
    "flat": "F",
    "rails": "R",
    "mains": "M",
    "pop": "P",
    "noise": "N",
    "drift": "D",
    "amplitude": "A",
    "NaN": "X",
}


def electrode_figure(summary: Summary) -> Figure | None:
    """Draw a heat map of trials by electrodes; None where no electrode was ever bad, or looked at."""
    trials = [one for one in summary.quality if one.ch_names]
    if not any(share >= _LEAST for one in trials for share in one.bad_share):
        return None
    ch_names = trials[-1].ch_names
    shares = np.full((len(trials), len(ch_names)), np.nan)
    for row, trial in enumerate(trials):
        by_name = dict(zip(trial.ch_names, trial.bad_share, strict=True))
        shares[row] = [by_name.get(name, np.nan) for name in ch_names]
    figure = Figure(figsize=(WIDTH_IN, 1.35 + 0.25 * len(trials)), layout="constrained")
    axes = figure.subplots()
    axes.set_facecolor("#c4c9d1")  # of electrodes that were not there
    shades = colormaps["cividis_r"].resampled(64).with_extremes(under=PAPER)  # white: never bad
    image = axes.pcolormesh(shares, cmap=shades, vmin=_LEAST, vmax=1, edgecolor=GRID, linewidth=0.6)
    is_wide = len(ch_names) > 32
    for row, trial in enumerate(trials):
        _write_letters(axes, row, trial, ch_names, 5.5 if is_wide else 8)
    left_out = {one.number for one in summary.left_out}
    axes.set_yticks(
        np.arange(len(trials)) + 0.5,
        [f"{one.trial}{' (left out)' if one.trial in left_out else ''}" for one in trials],
    )
    axes.set_xticks(
        np.arange(len(ch_names)) + 0.5,
        [plain(name) for name in ch_names],
        rotation=90 if len(ch_names) > 16 else 0,
        fontsize=6 if is_wide else 8,
    )
    axes.set_ylabel("trial")
    axes.invert_yaxis()
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    bar = figure.colorbar(image, ax=axes, pad=0.01, fraction=0.03, ticks=[_LEAST, 0.5, 1])
    bar.solids.set_rasterized(False)  # type: ignore[union-attr]  # else a picture inside the figure
    bar.solids.set_edgecolor("face")  # type: ignore[union-attr]
    bar.ax.set_yticklabels(["0 %", "50 %", "100 %"])
    bar.set_label("of the time bad", color=MUTED)
    bar.outline.set_visible(False)
    return figure


def _write_letters(axes: Axes, row: int, trial: TrialQuality, ch_names: tuple[str, ...], size: float) -> None:
    for name, share, reason in zip(trial.ch_names, trial.bad_share, trial.reasons, strict=True):
        if reason and name in ch_names:
            colour = PAPER if share > 0.45 else TEXT
            axes.text(
                ch_names.index(name) + 0.5,
                row + 0.52,
                LETTERS.get(reason, "?"),
                ha="center",
                va="center",
                color=colour,
                fontsize=size,
                in_layout=False,
            )


def causes_in_words(summary: Summary) -> str:
    """Return what the letters mean, for those that occur, with the number of cells."""
    found = Counter(reason for trial in summary.quality for reason in trial.reasons if reason)
    if not found:
        return "No electrode was bad at any time."
    parts = [
        f"{LETTERS.get(name, '?')} {name} ({n})"
        for name, n in sorted(found.items(), key=lambda x: (-x[1], x[0]))
    ]
    return "Letters give the most frequent cause: " + ", ".join(parts) + " (trials times electrodes)."
