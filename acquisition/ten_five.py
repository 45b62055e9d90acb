"""Directions of the electrodes of the 10-05 system, from a table that ships with the program.

MNE's template head is the source; its import costs a second or two, which a window cannot wait for, so
the table holds what MNE gives. ``python -m acquisition.ten_five`` writes it anew, a test compares them.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assets import TEN_FIVE


@functools.cache
def ten_five_directions() -> Mapping[str, NDArray[np.float64]]:
    """Return unit vectors (3,) by upper-case 10-05 name: x to the right ear, y to the nose, z up."""
    found = {}
    for line in TEN_FIVE.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith(("#", "name,")):
            name, *xyz = line.split(",")
            ray = np.array([float(value) for value in xyz])
            found[name] = ray / np.linalg.norm(ray)
            found[name].setflags(write=False)
    return found


def directions_from_mne(montage: str) -> dict[str, NDArray[np.float64]]:
    """Return unit vectors from the centre of the fitted sphere to each electrode of an MNE montage.

    Parameters
    ----------
    montage : str
        A name MNE knows, or "10-05" for the template head under whatever name this MNE gives it.

    Returns
    -------
    dict
        Unit vectors (3,) by upper-case label.
    """
    from mne.channels import get_builtin_montages, make_standard_montage

    if montage == "10-05":  # MNE 1.13 renamed it
        montage = "colin27_1005" if "colin27_1005" in get_builtin_montages() else "standard_1005"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # a deprecated name is the user's choice
        positions = make_standard_montage(montage).get_positions()["ch_pos"]
    points = np.array(list(positions.values()), dtype=float)
    # |p|² = 2 c·p + (r² - |c|²): the sphere through the electrodes, linear in its centre c.
    solution = np.linalg.lstsq(np.c_[2 * points, np.ones(len(points))], (points**2).sum(axis=1), rcond=None)[
        0
    ]
    rays = points - solution[:3]
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    return {label.upper(): ray for label, ray in zip(positions, rays, strict=True)}


def write_table(path: Path) -> None:
    """Write the table of MNE's template head, six decimals."""
    head = [
        "# Unit vectors to the 10-05 electrodes of MNE-Python's template head (standard_1005, BSD-3-Clause),",
        "# from the centre of the sphere fitted to them. Written by: python -m acquisition.ten_five",
        "name,x,y,z",
    ]
    rows = [f"{name},{x:.6f},{y:.6f},{z:.6f}" for name, (x, y, z) in directions_from_mne("10-05").items()]
    path.write_text("\n".join([*head, *rows]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_table(TEN_FIVE)
