"""The figure of electrodes: how much of each trial each of them was bad, and why."""

from __future__ import annotations

from collections import Counter

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from calibration.quality import TrialQuality
from calibration.report.markup import plain
from calibration.report.style import GRID, MUTED, PAPER, TEXT, WIDTH_IN
from calibration.report.summary import Summary

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
