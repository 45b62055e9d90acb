"""Colours of the window, light and dark, readable by the colour-blind.

Categories use the palette of Okabe and Ito (https://jfly.uni-koeln.de/color/), magnitudes cividis; no
meaning rests on colour alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Theme:
    """Colours as #rrggbb."""

    name: str  # light | dark
    window: str  # behind everything
    surface: str  # of a panel
    text: str
    muted: str  # axes, captions
    grid: str
    accent: str  # selection, focus
    good: str
    suspect: str
    bad: str
    stale: str  # what is greyed
    trace: str  # signals
    categories: tuple[str, ...]  # emotions and modalities, in order

    def category(self, index: int) -> str:
        """Return the colour of the index-th category, beginning anew after the last."""
        return self.categories[index % len(self.categories)]


LIGHT = Theme(
    name="light",
    window="#eceff3",
    surface="#ffffff",
    text="#15191f",
    muted="#566070",
    grid="#d5dae2",
    accent="#0072b2",
    good="#00795a",
    suspect="#9a6700",
    bad="#b94a00",
    stale="#9aa3af",
    trace="#1d3f66",
    categories=("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#b37400", "#3a96cf", "#7a6a00"),
)
DARK = Theme(
    name="dark",
    window="#12151a",
    surface="#1b2027",
    text="#e8ecf1",
    muted="#a3adba",
    grid="#323a45",
    accent="#56b4e9",
    good="#2fc59a",
    suspect="#f0c542",
    bad="#ff8a4c",
    stale="#6b7480",
    trace="#9fc6ee",
    categories=("#ff8a4c", "#56b4e9", "#2fc59a", "#e29ac3", "#e69f00", "#8fb8ff", "#f0e442"),
)
THEMES = {theme.name: theme for theme in (LIGHT, DARK)}


def cividis(n: int = 256) -> NDArray[np.uint8]:
    """Return the cividis colours (n, 3), dark blue to yellow, from pyqtgraph's copy of the map."""
    import pyqtgraph as pg

    table = pg.colormap.get("cividis").getLookupTable(nPts=n, alpha=False)
    return np.asarray(table, dtype=np.uint8)


def diverging(n: int = 256) -> NDArray[np.uint8]:
    """Return colours (n, 3) for signed values: blue below, near white at the middle, vermillion above.

    The ends are Okabe and Ito's blue and vermillion, mixed linearly with the middle.
    """
    low, middle, high = (np.array(c, float) for c in ((0, 114, 178), (245, 245, 245), (213, 94, 0)))
    at = np.linspace(-1, 1, n)[:, None]
    colours = np.where(at < 0, middle + (low - middle) * -at, middle + (high - middle) * at)
    return colours.round().astype(np.uint8)
