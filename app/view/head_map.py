"""Values at electrodes as a picture of the head: spherical splines, computed once as one matrix."""

from collections.abc import Sequence

import numpy as np
import scipy  # loads its spatial package when that is used
from numpy.polynomial import legendre
from numpy.typing import ArrayLike, NDArray

from acquisition.montage import unit_positions

#: The rim of the picture lies at least this far from the vertex: just below CB1 and CB2.
_RIM_DEG = 112.0

_N_LEGENDRE = 50
_N_PIXELS = 64  # a side of the picture

#: Added to the diagonal: keeps ripples between 62 electrodes small. A smooth pattern comes out within 2 %
#: at its electrodes, while one electrode alone is blunted, which is why painters show its own value too.
SMOOTHING = 1e-7


class HeadMap:
    """Interpolates values at electrodes on an azimuthal equidistant grid, nose up.

    Spherical splines of order m = 4 after F. Perrin, J. Pernier, O. Bertrand and J. F. Echallier,
    "Spherical splines for scalp potential and current density mapping", Electroencephalography and
    clinical Neurophysiology 72 (1989) 184-187, with the corrigendum 76 (1990) 565: Legendre terms up
    to 50, a constant term, and coefficients that sum to zero. Two deviations: `SMOOTHING` is added to
    the diagonal (Perrin has none; MNE adds 1e-5, which flattens a single electrode), and outside the
    electrodes' convex hull on the flat picture the values at its edge are carried on, since splines
    that stiff make up extremes where nothing was measured. An electrode below the rim's usual 112° from the
    vertex widens the rim, so that all lie inside. ``ch_names`` are 10-20 names in the order of the values,
    ``positions`` (C, 3) unit vectors where they are not those of the names; NaN unknown.
    """

    def __init__(self, ch_names: Sequence[str], positions: NDArray[np.float64] | None = None) -> None:
        self.ch_names = tuple(ch_names)
        self._positions = unit_positions(self.ch_names) if positions is None else positions
        placed: NDArray[np.bool_] = np.isfinite(self._positions[:, 2])
        #: Channels without a known position; their values are not shown.
        self.unplaced = tuple(name for name, ok in zip(self.ch_names, placed, strict=True) if not ok)
        polar = np.degrees(np.arccos(np.clip(self._positions[:, 2], -1, 1)))
        self._rim = max([_RIM_DEG, *(polar[placed] + 3)])
        flat = self._positions[:, :2] / np.maximum(np.hypot(*self._positions[:, :2].T), 1e-12)[:, None]
        #: (C, 2) places in the head's unit circle, x to the right, y to the nose; NaN where unplaced.
        self.xy: NDArray[np.float64] = flat * (polar / self._rim)[:, None]
        centres = (np.arange(_N_PIXELS) + 0.5) * 2 / _N_PIXELS - 1
        self._pixels = np.stack(np.meshgrid(centres, -centres), axis=-1).reshape(-1, 2)
        self._placed = placed
        # One matrix per set of electrodes with a value; in practice all, and a few with one missing.
        self._weights: dict[bytes, NDArray[np.float32]] = {}
        self._weights_of(placed)

    def square(self, values: ArrayLike) -> NDArray[np.float32]:
        """Return the picture (64, 64) of one value per channel (C,), row 0 at the nose.

        Values that are NaN are left to the others; without a single one everything is NaN. The picture has
        values outside the head too: painters clip the circle.
        """
        given, usable = np.asarray(values, dtype=np.float32), self.usable(values)
        if not usable.any():
            return np.full((_N_PIXELS, _N_PIXELS), np.nan, dtype=np.float32)
        return (self._weights_of(usable) @ given[usable]).reshape(_N_PIXELS, _N_PIXELS)

    def usable(self, values: ArrayLike) -> NDArray[np.bool_]:
        """Return which channels (C,) have both a place and a value."""
        return self._placed & np.isfinite(np.asarray(values, dtype=np.float32))

    def _weights_of(self, usable: NDArray[np.bool_]) -> NDArray[np.float32]:
        key = usable.tobytes()
        if key not in self._weights:
            if len(self._weights) > 8:  # 1 MB each
                self._weights.pop(next(iter(self._weights)))
            targets = self._directions(_into_hull(self._pixels, self.xy[usable]))
            weights = spline_weights(self._positions[usable], targets, SMOOTHING)
            self._weights[key] = weights.astype(np.float32)
        return self._weights[key]

    def _directions(self, flat: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the unit vectors (n, 3) of flat positions (n, 2), beyond the rim those of the rim."""
        radius = np.hypot(*flat.T)
        polar = np.radians(np.minimum(radius, 1) * self._rim)
        xy = flat * (np.sin(polar) / np.maximum(radius, 1e-12))[:, None]
        return np.c_[xy, np.cos(polar)]


def _into_hull(points: NDArray[np.float64], electrodes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move points (n, 2) outside the electrodes' hull to its edge, towards the electrodes' middle."""
    try:
        hull = scipy.spatial.ConvexHull(electrodes)
    except (scipy.spatial.QhullError, ValueError):  # fewer than three, or all on one line
        return points
    middle = electrodes.mean(axis=0)
    # An edge is where normal·p + offset = 0, negative inside; t is how far along the way it is met.
    towards = (points - middle) @ hull.equations[:, :2].T
    room = -(hull.equations[:, :2] @ middle + hull.equations[:, 2])
    t = np.divide(room, towards, out=np.full_like(towards, np.inf), where=towards > 1e-12).min(axis=1)
    return middle + (points - middle) * np.minimum(t, 1)[:, None]


def spline_weights(
    sources: NDArray[np.float64], targets: NDArray[np.float64], smoothing: float
) -> NDArray[np.float64]:
    """Return the matrix (n_targets, n_sources) that interpolates from unit vectors to unit vectors."""
    n = len(sources)
    system = np.ones((n + 1, n + 1))
    system[:n, :n] = _spline(sources @ sources.T) + smoothing * np.eye(n)
    system[n, n] = 0
    basis = np.c_[_spline(targets @ sources.T), np.ones(len(targets))]
    # The pseudo-inverse bears two electrodes in one place.
    return (basis @ np.linalg.pinv(system, hermitian=True))[:, :n]


def _spline(cosines: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return g(cos) of Perrin's equation 3, m = 4."""
    order = np.arange(1, _N_LEGENDRE + 1, dtype=float)
    factors = (2 * order + 1) / (order * (order + 1)) ** 4 / (4 * np.pi)
    return legendre.legval(np.clip(cosines, -1, 1), [0, *factors])
