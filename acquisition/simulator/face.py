"""Simulated webcam: a drawn face whose mouth, brows, eyes and head follow the emotion.

Each picture is a function of the session time alone, so a camera of 2 frames a second shows exactly what
one of 15 would have shown at those moments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.simulator.behaviour import Behaviour

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
    """Colours and proportions of one subject."""

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
    """Add the shading by which Haar cascades recognise a face."""

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
    return 1.0 / (1.0 + np.exp(-np.clip(sharpness * depth, -40, 40)))


def _lay(
    canvas: NDArray[np.float64], colour: Colour | NDArray[np.float64], mask: NDArray[np.float64]
) -> None:
    canvas += mask[..., None] * (np.asarray(colour) - canvas)


FPS = 15.0
JPEG_QUALITY = 85
_SHIFT = 4  # OpenCV's fixed-point bits: drawing to 1/16 pixel
_SWAY_HZ = np.array([0.07, 0.13, 0.29])
_SWAY_PX = np.array([5.0, 3.0, 1.2])
_EYE_X, _EYE_Y = 27.0, -14.0  # from the face's centre, pixels
_MOUTH_Y, _BROW_Y = 41.0, -31.0
_N_NOISE = 8  # prepared pictures of sensor noise


class DrawnFace:
    """The face of one simulated subject."""

    width, height = WIDTH, HEIGHT

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        rng = behaviour.subject.rng("look")
        self.look = Look.draw(rng)
        self._portrait = paint_portrait(self.look, rng)
        self._sway_phases = rng.uniform(0, 2 * np.pi, (3, len(_SWAY_HZ)))
        noise = rng.normal(0.0, 2.0, (_N_NOISE, HEIGHT, WIDTH, 3))
        self._noise = np.clip(np.round(noise) + 8, 0, 16).astype(np.uint8)
        self._noise_mean = np.full((HEIGHT, WIDTH, 3), 8, dtype=np.uint8)

    def picture(self, t: float) -> NDArray[np.uint8]:
        """Return the BGR picture at session time ``t`` in seconds, (240, 320, 3)."""
        import cv2

        z = self.behaviour.latent("face", t)
        place = self._head(t, z)
        picture: Any = cv2.warpAffine(self._portrait, place, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
        pen = _Pen(picture, place)
        self._draw_eyes(pen, t, z)
        self._draw_brows(pen, z)
        self._draw_mouth(pen, z)
        picture = cv2.GaussianBlur(picture, (3, 3), 0.7)
        # Saturating sum and difference: noise of mean 0 in unsigned bytes.
        noisy = cv2.add(picture, self._noise[int(t * FPS + 0.5) % _N_NOISE])
        return cv2.subtract(noisy, self._noise_mean).astype(np.uint8, copy=False)

    def jpeg(self, t: float) -> bytes:
        import cv2

        _, encoded = cv2.imencode(".jpg", self.picture(t), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        return encoded.tobytes()

    def _head(self, t: float, z: dict[str, float]) -> NDArray[np.float64]:
        """Return the affine map, (2, 3), of the resting portrait to where the head is now."""
        sway = np.sin(2 * np.pi * _SWAY_HZ * t + self._sway_phases) @ _SWAY_PX
        tilt = np.radians(0.35 * sway[2])
        scale = 1.0 + 0.004 * sway[0]
        cos, sin = scale * np.cos(tilt), scale * np.sin(tilt)
        linear = np.array([[cos, -sin], [sin, cos]])
        centre = np.array(FACE_CENTRE)
        shift = centre - linear @ centre + (sway[0], 0.5 * sway[1] + 3.0 * np.clip(z["head_drop"], -3, 3))
        return np.column_stack([linear, shift])

    def _draw_eyes(self, pen: _Pen, t: float, z: dict[str, float]) -> None:
        lids = 1.0 - self.behaviour.lid_closure(np.array([t, t + 1e-3]))[0]
        opening = float(np.clip(5.2 * np.exp(0.13 * z["eye_opening"]), 2.5, 9.0) * lids)
        glance = 1.5 * np.sin(2 * np.pi * 0.31 * t + self._sway_phases[1, 0])
        for side in (-1, 1):
            x = side * _EYE_X * self.look.eye_distance
            pen.ellipse((x, _EYE_Y), (14.0, opening + 2.5), self.look.shade(0.62))
            if opening > 1.0:
                pen.ellipse((x, _EYE_Y), (12.0, opening), (225, 228, 230))
                iris = min(5.6, opening + 0.6)
                pen.ellipse((x + glance, _EYE_Y), (5.6, iris), self.look.iris)
                pen.ellipse((x + glance, _EYE_Y), (2.6, min(2.6, opening)), (15, 12, 12))
                pen.ellipse((x + glance - 1.5, _EYE_Y - 1.5), (1.0, min(1.0, opening)), (250, 250, 250))
            angle = np.linspace(np.pi, 2 * np.pi, 9)
            lash = np.stack([x + 13.0 * np.cos(angle), _EYE_Y + opening * np.sin(angle)], axis=1)
            pen.line(lash, self.look.shade(0.25), 2)

    def _draw_brows(self, pen: _Pen, z: dict[str, float]) -> None:
        slant = np.clip(2.2 * z["brow_slant"], -9, 9)  # inner end up, pixels
        lift = np.clip(2.0 * z["brow_height"], -6, 8)
        along = np.linspace(-1.0, 1.0, 7)  # inner to outer end
        for side in (-1, 1):
            x = side * (_EYE_X * self.look.eye_distance + 15.0 * along)
            y = _BROW_Y - lift + slant * 0.5 * along - 2.5 * (1 - along**2)
            pen.line(np.stack([x, y], axis=1), self.look.hair, self.look.brow_px)

    def _draw_mouth(self, pen: _Pen, z: dict[str, float]) -> None:
        curve = np.clip(3.2 * z["mouth_curve"], -11, 13)  # corners up, pixels
        open_px = np.clip(2.0 + 1.8 * z["mouth_open"], 0.0, 10.0)
        half_width = 21.0 + 0.5 * curve
        along = np.linspace(-1.0, 1.0, 13)
        middle = _MOUTH_Y - curve * (along**2 - 0.4)
        gap = open_px * (1 - along**2)
        x = half_width * along
        upper = np.stack([x, middle - 0.4 * gap], axis=1)
        lower = np.stack([x, middle + 0.6 * gap], axis=1)
        lip = 4.0 * (1 - along**2) + 0.5
        ring = np.concatenate([upper - np.stack([0 * x, lip], axis=1),
                               (lower + np.stack([0 * x, 1.2 * lip], axis=1))[::-1]])  # fmt: skip
        pen.fill(ring, self.look.lips)
        pen.fill(np.concatenate([upper, lower[::-1]]), (45, 35, 70))
        if open_px > 4.0:
            teeth = np.stack([0.8 * x, middle - 0.4 * gap + 0.35 * gap], axis=1)
            pen.fill(np.concatenate([upper * (0.8, 1.0), teeth[::-1]]), (215, 222, 226))
        pen.line(upper, self.look.shade(0.35), 1)


class _Pen:
    """Draws in the face's own coordinates (pixels from its centre, y down) onto a picture."""

    def __init__(self, picture: NDArray[np.uint8], place: NDArray[np.float64]) -> None:
        self.picture, self.place = picture, place

    def ellipse(self, centre: tuple[float, float], radii: tuple[float, float], colour: tuple) -> None:
        angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        points = np.stack([np.cos(angle) * radii[0], np.sin(angle) * radii[1]], axis=1) + centre
        self.fill(points, colour)

    def fill(self, points: NDArray[np.float64], colour: tuple) -> None:
        import cv2

        cv2.fillPoly(self.picture, [self._fixed(points)], colour, cv2.LINE_AA, _SHIFT)

    def line(self, points: NDArray[np.float64], colour: tuple, width: int) -> None:
        import cv2

        cv2.polylines(self.picture, [self._fixed(points)], False, colour, width, cv2.LINE_AA, _SHIFT)

    def _fixed(self, points: NDArray[np.float64]) -> NDArray[np.int32]:
        moved = (points + FACE_CENTRE) @ self.place[:, :2].T + self.place[:, 2]
        return np.round(moved * (1 << _SHIFT)).astype(np.int32)
