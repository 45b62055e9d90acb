"""Where the screen is, so that gaze in shares of the screen becomes degrees of visual angle."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import InputError


@dataclass(frozen=True)
class ScreenGeometry:
    """A flat screen in front of the eyes.

    Raises
    ------
    InputError
        If a length is not positive.
    """

    width_cm: float
    height_cm: float
    distance_cm: float

    def __post_init__(self) -> None:
        if not all(0 < length < math.inf for length in (self.width_cm, self.height_cm, self.distance_cm)):
            raise InputError(
                f"expected lengths above 0 cm, got {self.width_cm} x {self.height_cm} at {self.distance_cm}",
                where="screen geometry",
                remedy="--screen-cm 53x30 --distance-cm 60",
            )

    def degrees(self, gaze: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return gaze (n, 2), 0 to 1 across the screen, as degrees from its centre."""
        size = np.array([self.width_cm, self.height_cm])
        return np.degrees(np.arctan((gaze - 0.5) * (size / self.distance_cm)))


#: Assumed where nobody says what the screen is: a 24-inch screen at arm's length.
NOMINAL_SCREEN = ScreenGeometry(53.0, 30.0, 60.0)


def gaze_positions(
    gaze: NDArray[np.floating], screen: ScreenGeometry | None
) -> tuple[NDArray[np.float64], float]:
    """Return gaze in the unit of the eye features, and that unit in degrees.

    Parameters
    ----------
    gaze : ndarray, (n, 2)
        0 to 1 across the screen.
    screen : ScreenGeometry or None
        None gives screen widths, and thresholds in degrees are read on the nominal screen.

    Returns
    -------
    positions : ndarray, (n, 2)
        Degrees, or screen widths (the height is taken as 30/53 of the width).
    unit_deg : float
        1 for degrees; 47.7 for screen widths.
    """
    if screen is not None:
        return screen.degrees(gaze), 1.0
    widths = np.asarray(gaze, dtype=np.float64) * (1.0, NOMINAL_SCREEN.height_cm / NOMINAL_SCREEN.width_cm)
    return widths, 2 * math.degrees(math.atan(NOMINAL_SCREEN.width_cm / 2 / NOMINAL_SCREEN.distance_cm))
