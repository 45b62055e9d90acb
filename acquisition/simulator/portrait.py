"""The parts of the drawn face that do not move by themselves: skin, hair, nose, background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 320, 240
FACE_CENTRE = (160.0, 122.0)
_HALF_WIDTH, _HALF_HEIGHT = 58.0, 76.0

Colour = tuple[int, int, int]  # BGR

_SKINS = ((172, 198, 232), (150, 180, 220), (128, 160, 205), (105, 140, 188), (88, 120, 168))
_HAIRS = ((28, 30, 36), (35, 48, 70), (50, 72, 104), (40, 40, 44), (30, 36, 60))
_IRISES = ((60, 50, 40), (95, 75, 45), (50, 65, 85))
_BACKDROPS = ((168, 160, 148), (140, 150, 150), (178, 176, 170), (120, 130, 122))


@dataclass(frozen=True)
class Look:
    """Colours and proportions of one person."""

    skin: Colour
    hair: Colour
    iris: Colour
    backdrop: Colour
    shirt: Colour
    lips: Colour
    face_width: float  # relative
    eye_distance: float  # relative
    brow_px: int
    fringe: float  # how far hair comes down the forehead, 0..1

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Look:
        """Return a random look."""
        skin = _SKINS[rng.integers(len(_SKINS))]
        lips = np.array(skin) * (0.62, 0.60, 0.86) + (8, 0, 6)
        return cls(
            skin=skin,
            hair=_HAIRS[rng.integers(len(_HAIRS))],
            iris=_IRISES[rng.integers(len(_IRISES))],
            backdrop=_BACKDROPS[rng.integers(len(_BACKDROPS))],
            shirt=tuple(int(v) for v in rng.integers(50, 150, 3)),  # type: ignore[arg-type]
            lips=tuple(int(v) for v in lips),  # type: ignore[arg-type]
            face_width=float(rng.uniform(0.95, 1.06)),
            eye_distance=float(rng.uniform(0.95, 1.05)),
            brow_px=int(rng.integers(4, 6)),
            fringe=float(rng.uniform(0.0, 1.0)),
        )

    def shade(self, factor: float) -> Colour:
        """Return the skin's colour, darker by ``factor``."""
        blue, green, red = (int(channel * factor) for channel in self.skin)
        return blue, green, red


def paint_portrait(look: Look, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the resting head without eyes, brows and mouth, (240, 320, 3) BGR."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    dx, dy = x - FACE_CENTRE[0], y - FACE_CENTRE[1]
    canvas = np.array(look.backdrop) * (1.08 - 0.2 * y / HEIGHT)[..., None]
    half_width = _HALF_WIDTH * look.face_width

    _lay(canvas, look.hair, _soft(1.0 - np.hypot(dx / (half_width + 13), (dy + 12) / (_HALF_HEIGHT + 13))))
    _lay(canvas, look.shirt, _soft(1.0 - np.hypot(dx / 118, (dy - 128) / 58)))
    _lay(canvas, look.shade(0.72), _soft(1.0 - np.maximum(np.abs(dx) / 27, np.abs(dy - 70) / 38)))

    # The jaw is narrower than the temples.
    jaw = 1.0 - 0.16 * np.clip(dy / _HALF_HEIGHT, 0, 1) ** 2
    radius = np.hypot(dx / (half_width * jaw), dy / _HALF_HEIGHT)
    light = 1.04 - 0.3 * radius**4 + 0.05 * dx / half_width  # a lamp to the right
    skin = np.array(look.skin) * _features_light(light, dx, dy)[..., None]
    _lay(canvas, skin, _soft(1.0 - radius, 40.0))
    for side in (-1, 1):
        ear = 1.0 - np.hypot((dx - side * (half_width + 1)) / 7, (dy + 2) / 15)
        _lay(canvas, look.shade(0.8), _soft(ear))
    _lay(canvas, look.hair, _soft(-(dy + 60 - 8 * look.fringe + (dx / 26) ** 2), 0.7) * _soft(
        1.0 - np.hypot(dx / (half_width + 8), (dy + 10) / (_HALF_HEIGHT + 10))))  # fmt: skip
    grain = rng.normal(0.0, 2.0, (HEIGHT, WIDTH, 1))
    return np.clip(canvas + grain, 0, 255).astype(np.uint8)


def _features_light(
    light: NDArray[np.float64], dx: NDArray[np.float64], dy: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Add the shading by which people (and Haar cascades) know a face."""

    def glow(x: float, y: float, width: float, height: float) -> NDArray[np.float64]:
        return np.exp(-((dx - x) ** 2) / (2 * width**2) - (dy - y) ** 2 / (2 * height**2))

    for side in (-1, 1):
        light = light - 0.30 * glow(27 * side, -16, 14, 7.5)  # eye sockets
        light = light + 0.07 * glow(30 * side, 12, 13, 10)  # cheeks
        light = light - 0.12 * glow(9 * side, 4, 3.0, 13)  # sides of the nose
        light = light - 0.40 * glow(5.5 * side, 20, 2.6, 1.8)  # nostrils
    light = light + 0.10 * glow(0, -10, 5, 16)  # bridge of the nose
    light = light + 0.05 * glow(0, -46, 30, 10)  # forehead
    light = light - 0.14 * glow(0, 24, 10, 3)  # under the nose
    return light - 0.12 * glow(0, 55, 12, 3)  # under the lip


def _soft(depth: NDArray[np.float64], sharpness: float = 25.0) -> NDArray[np.float64]:
    """Return a mask that rises from 0 to 1 where ``depth`` changes sign."""
    return 1.0 / (1.0 + np.exp(-np.clip(sharpness * depth, -40, 40)))


def _lay(
    canvas: NDArray[np.float64], colour: Colour | NDArray[np.float64], mask: NDArray[np.float64]
) -> None:
    canvas += mask[..., None] * (np.asarray(colour) - canvas)
