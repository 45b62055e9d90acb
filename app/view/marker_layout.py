"""Where the texts of markers go: as much of each as fits, on a few lines, none upon another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_LEAST_SHARE = 0.4  # of a text's width: less of it says nothing


@dataclass(frozen=True)
class MarkerText:
    """Place of a marker's text."""

    index: int  # of the marker
    row: int
    left: float
    width: float  # less than the text's where it must be cut


def marker_texts(
    places: Sequence[float], widths: Sequence[float], left: float, right: float, n_rows: int
) -> list[MarkerText]:
    """Return where texts stand: right of their line, near the right edge before it.

    Parameters
    ----------
    places : sequence of float
        Where the markers' lines are, ascending.
    widths : sequence of float
        Of the whole texts.
    left, right : float
        Edges of the plot.
    n_rows : int
        Lines of text that may be used; each text takes the first that is free for all of it.

    Returns
    -------
    list of MarkerText
        A text that no row has room for is cut at the next text of the last row, or left out.
    """
    found: list[MarkerText] = []
    ends = [-math.inf] * n_rows
    for index, (x, wanted) in enumerate(zip(places, widths, strict=True)):
        width = min(wanted, right - left)
        start = x if x + width <= right else max(left, x - width)
        row = next((i for i, end in enumerate(ends) if end <= start), None)
        if row is None:  # squeezed in behind the text that ends first
            row = min(range(n_rows), key=lambda i: ends[i])
            start = max(start, ends[row])
            width = min(width, right - start)
            if start > x + 0.5 * wanted or width < _LEAST_SHARE * wanted:
                continue
        found.append(MarkerText(index, row, start, width))
        ends[row] = start + width
    return found
