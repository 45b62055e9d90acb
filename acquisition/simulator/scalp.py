"""Where the 10-20 electrodes lie on a unit sphere, and smooth maps over them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Degrees from the vertex of each row's midline electrode (front positive), and degrees round the
# head's equator, from the front, of the row's outermost electrode.
_ROWS = {
    "FP": (90.0, 18.0),
    "AF": (67.5, 36.0),
    "F": (45.0, 54.0),
    "FC": (22.5, 72.0),
    "FT": (22.5, 72.0),
    "C": (0.0, 90.0),
    "T": (0.0, 90.0),
    "CP": (-22.5, 108.0),
    "TP": (-22.5, 108.0),
    "P": (-45.0, 126.0),
    "PO": (-67.5, 144.0),
    "O": (-90.0, 162.0),
}


def electrode_positions(ch_names: Sequence[str]) -> NDArray[np.float64]:
    """Return unit vectors (n_channels, 3) of 10-10 electrodes: x right, y front, z up.

    Rows are great arcs from the midline electrode to the equator, divided in four; CB1 and CB2 lie
    below O1 and O2.
    """
    return np.stack([_position(name) for name in ch_names])


def _position(name: str) -> NDArray[np.float64]:
    match = re.fullmatch(r"([A-Z]+?)(Z|\d+)", name)
    if match is None:
        raise ValueError(f"not a 10-20 name: {name!r}")
    row, place = match.groups()
    side = 0.0 if place == "Z" else (-1.0 if int(place) % 2 else 1.0)
    if row == "CB":
        return _on_sphere(azimuth_deg=155.0 * side, elevation_deg=-22.0)
    sagittal_deg, equator_deg = _ROWS[row]
    midline = _on_sphere(0.0, 90.0 - sagittal_deg)
    outer = _on_sphere(equator_deg * side, 0.0)
    steps = 0 if place == "Z" else (int(place) + 1) // 2
    # FP1 and O1 are the first of their row and lie on the equator already.
    fraction = 1.0 if row in ("FP", "O") and steps else steps / 4.0
    angle = np.arccos(np.clip(midline @ outer, -1.0, 1.0))
    if steps == 0:
        return midline
    return (np.sin((1 - fraction) * angle) * midline + np.sin(fraction * angle) * outer) / np.sin(angle)


def _on_sphere(azimuth_deg: float, elevation_deg: float) -> NDArray[np.float64]:
    azimuth, elevation = np.radians(azimuth_deg), np.radians(elevation_deg)
    return np.array(
        [np.cos(elevation) * np.sin(azimuth), np.cos(elevation) * np.cos(azimuth), np.sin(elevation)]
    )


def spread(
    centres: NDArray[np.float64], positions: NDArray[np.float64], width_rad: float
) -> NDArray[np.float64]:
    """Return how strongly each centre is seen at each position, a Gaussian of the angle between them.

    Parameters
    ----------
    centres, positions : ndarray, (n_centres, 3) and (n_positions, 3)
        Unit vectors.

    Returns
    -------
    ndarray, (n_centres, n_positions)
        1 where they coincide.
    """
    angle = np.arccos(np.clip(centres @ positions.T, -1.0, 1.0))
    return np.exp(-0.5 * (angle / width_rad) ** 2)
