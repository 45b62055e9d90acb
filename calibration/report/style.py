"""Colours and lettering of the report's figures, for screen and paper, readable by the colour-blind.

Categories use the palette of Okabe and Ito (https://jfly.uni-koeln.de/color/), darkened where it is pale on
white; magnitudes use cividis. No meaning rests on colour alone.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

import matplotlib
from matplotlib.figure import Figure

TEXT, MUTED, GRID, PAPER = "#15191f", "#566070", "#d5dae2", "#ffffff"
BLUE, VERMILLION, GREEN, AMBER = "#0072b2", "#d55e00", "#009e73", "#b37400"
CATEGORIES = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#b37400", "#3a96cf", "#7a6a00")
#: Beside the colours: dashes tell the classes apart on a grey print.
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (6, 1.5, 1.5, 1.5)), (0, (3, 1)), (0, (8, 2)), (0, (1, 2)))

WIDTH_IN = 8.4  # of every figure: they are drawn at the page's width

_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: to be searched, copied and read aloud
    "svg.hashsalt": "report",  # the same figure, the same bytes
    "text.parse_math": False,  # a dollar sign in somebody's label is a dollar sign
    "axes.unicode_minus": True,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 9.0,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": TEXT,
    "axes.titlesize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "text.color": TEXT,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": TEXT,
    "ytick.labelcolor": TEXT,
    "figure.facecolor": PAPER,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "hatch.linewidth": 0.6,
}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


@contextmanager
def lettering() -> Iterator[None]:
    """Draw figures within this."""
    with matplotlib.rc_context(_SETTINGS):
        yield


def category(index: int) -> str:
    """Return the colour of the index-th class, beginning anew after the last."""
    return CATEGORIES[index % len(CATEGORIES)]


def to_svg(figure: Figure, name: str, words: str) -> str:
    """Return a figure as an ``<svg>`` element that may stand in a page beside others.

    Parameters
    ----------
    figure : Figure
    name : str
        A short identifier, unique on the page: it begins every id inside.
    words : str
        What the figure shows, for those who cannot see it; plain text.
    """
    with lettering(), io.StringIO() as file:
        figure.savefig(file, format="svg", metadata=_NO_METADATA)
        svg = file.getvalue()
    svg = svg[svg.index("<svg") :]  # without the prolog, which names a document type elsewhere
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'((?:xlink:)?href="#|url\(#)', rf"\g<1>{name}-", svg)
    head, rest = svg.split(">", 1)
    head = re.sub(r'\s(?:width|height|version|xmlns(?::\w+)?)="[^"]*"', "", head)
    label = f' role="img" aria-label="{escape(words, quote=True)}"'
    return f"{head}{label}>{rest}".strip()
