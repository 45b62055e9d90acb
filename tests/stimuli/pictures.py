"""Abstract pictures for five emotions: colour, shape and rhythm, nothing that depicts a person.

All have the same mean luminance. The pupil follows light long before it follows feeling, and the model would
otherwise learn which picture was bright.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 800, 500
#: Mean relative luminance of every picture, 0..1 (linear light).
LUMINANCE = 0.24

Image = NDArray[np.float64]  # (HEIGHT, WIDTH, 3) BGR in 0..1, as shown
_BGR_LUMINANCE = np.array([0.0722, 0.7152, 0.2126])  # Rec. 709
_Y, _X = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)


def render(draw: Callable[[np.random.Generator], Image], seed: int) -> NDArray[np.uint8]:
    """Return a picture as 8-bit BGR, brought to the common luminance by a gain in linear light."""
    linear = np.clip(draw(np.random.default_rng(seed)), 0, 1) ** 2.2
    low, high = 0.01, 100.0
    for _ in range(40):
        gain = np.sqrt(low * high)
        too_dark = luminance(np.clip(linear * gain, 0, 1)) < LUMINANCE
        low, high = (gain, high) if too_dark else (low, gain)
    return np.round(np.clip(linear * gain, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)


def luminance(linear: Image) -> float:
    """Return the mean relative luminance of a picture in linear light."""
    return float((linear @ _BGR_LUMINANCE).mean())


def _colour(text: str) -> NDArray[np.float64]:
    """Return BGR in 0..1 of ``#rrggbb``."""
    return np.array([int(text[at : at + 2], 16) for at in (5, 3, 1)]) / 255


def _mixed(share: NDArray[np.float64], *colours: str) -> Image:
    """Return colours that follow ``share`` (HEIGHT, WIDTH) from 0 to 1."""
    stops = np.linspace(0, 1, len(colours))
    table = np.stack([_colour(colour) for colour in colours])
    return np.stack([np.interp(share, stops, table[:, at]) for at in range(3)], axis=-1)


def _clouds(rng: np.random.Generator, size: float) -> NDArray[np.float64]:
    """Return smooth noise in 0..1 whose features are about ``size`` pixels."""
    shape = (int(HEIGHT / size) + 3, int(WIDTH / size) + 3)
    field = cv2.resize(rng.random(shape), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return (field - field.min()) / np.ptp(field)


def _polygon(image: Image, points: NDArray[np.float64], colour: str, alpha: float = 1.0) -> None:
    layer = image.copy()
    fixed = np.round(points * 16).astype(np.int32)  # four bits of a pixel's fraction
    cv2.fillPoly(layer, [fixed], _colour(colour).tolist(), cv2.LINE_AA, 4)
    image += alpha * (layer - image)


def _disc(image: Image, x: float, y: float, radius: float, colour: str, alpha: float = 1.0) -> None:
    angle = np.linspace(0, 2 * np.pi, 90)
    _polygon(image, np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], -1), colour, alpha)


def _scattered(
    rng: np.random.Generator, n: int, radii: tuple[float, float]
) -> list[tuple[float, float, float]]:
    """Return up to ``n`` circles (x, y, radius), large ones first, that do not touch."""
    placed: list[tuple[float, float, float]] = []
    for radius in np.sort(rng.uniform(*radii, n))[::-1]:
        for _ in range(30):
            x, y = rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT)
            if all(np.hypot(x - px, y - py) > 1.08 * (radius + pr) for px, py, pr in placed):
                placed.append((x, y, float(radius)))
                break
    return placed


def slime(rng: np.random.Generator) -> Image:
    """Disgust: something greenish and wet runs down."""
    ground = _mixed(_clouds(rng, 60), "#2e2a12", "#5a4a1e")
    edge = 150 + 90 * _clouds(rng, 90)[0]
    depth = edge[None, :] - _Y
    for x in np.linspace(40, WIDTH - 40, 13) + rng.uniform(-20, 20, 13):
        width, length = rng.uniform(12, 30), rng.uniform(120, 330)
        start = edge[int(np.clip(x, 0, WIDTH - 1))]
        t = np.clip((_Y - start + 60) / (length + 60), 0, 1)
        half = width * (1.5 - 0.9 * t)
        run = np.where(start + length > _Y, half - np.abs(_X - x), -9.0)
        drop = 1.15 * width - np.hypot(_X - x, (_Y - start - length) * 0.8)
        depth = np.maximum(depth, np.maximum(run, drop))
    inside = np.clip(depth / 2 + 0.5, 0, 1)
    shade = np.clip(depth / 40, 0, 1)
    wet = _mixed(0.65 * shade + 0.35 * _clouds(rng, 35), "#4f5a10", "#8a961c", "#b9bd4a")
    gloss = np.exp(-(((depth - 9) / 3.5) ** 2)) * (_clouds(rng, 22) > 0.5)
    wet += 0.35 * cv2.GaussianBlur(gloss, (0, 0), 1.5)[..., None]
    return ground + inside[..., None] * (wet - ground)


def pores(rng: np.random.Generator) -> Image:
    """Disgust: a skin full of holes, and something in them."""
    image = _mixed(0.6 * _clouds(rng, 90) + 0.4 * _clouds(rng, 14), "#8d6b3c", "#b39a58", "#a58f62")
    for x, y, radius in _scattered(rng, 340, (7.0, 26.0)):
        _disc(image, x, y, 1.25 * radius, "#c9b27a", 0.55)
        _disc(image, x + 0.08 * radius, y + 0.08 * radius, radius, "#5b2f1c", 0.9)
        _disc(image, x + 0.12 * radius, y + 0.12 * radius, 0.78 * radius, "#1d0f0a")
        if rng.random() < 0.55:
            _disc(image, x + 0.2 * radius, y + 0.25 * radius, 0.4 * radius, "#9aa23c", 0.9)
            _disc(image, x + 0.08 * radius, y + 0.12 * radius, 0.12 * radius, "#e9ebc0", 0.9)
    return image


def teeth(rng: np.random.Generator) -> Image:
    """Fear: black spikes close in from all sides on a cold, pale light."""
    distance = np.hypot((_X - WIDTH / 2) / WIDTH, (_Y - HEIGHT / 2) / HEIGHT)
    image = _mixed(np.clip(1.9 * distance, 0, 1), "#e6f0ee", "#7d9096", "#27323a")
    for at, angle in enumerate(np.linspace(0, 2 * np.pi, 46, endpoint=False)):
        angle += rng.uniform(-0.05, 0.05)
        reach = rng.uniform(0.16, 0.26) if at % 2 else rng.uniform(0.3, 0.42)
        sides = angle + np.array([-1, 1]) * rng.uniform(0.05, 0.08)
        far = np.stack([WIDTH / 2 + 900 * np.cos(sides), HEIGHT / 2 + 900 * np.sin(sides)], -1)
        tip = np.array(
            [[WIDTH / 2 + reach * WIDTH * np.cos(angle), HEIGHT / 2 + reach * HEIGHT * np.sin(angle)]]
        )
        _polygon(image, np.concatenate([far, tip]), "#07090b")
    _disc(image, WIDTH / 2, HEIGHT / 2, 17, "#8a0d12", 0.9)
    _disc(image, WIDTH / 2, HEIGHT / 2, 8, "#1a0204")
    return image


def eyes(rng: np.random.Generator) -> Image:
    """Fear: two slits look out of the dark at the end of a passage."""
    image = np.zeros((HEIGHT, WIDTH, 3))
    image[:] = _colour("#8fa0a8")
    for at in range(13):
        share = at / 12
        half = np.array([WIDTH, HEIGHT]) / 2 * (1.12 - 0.82 * share**0.8)
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half + rng.uniform(-9, 9, (4, 2))
        centre = np.array([WIDTH / 2, HEIGHT / 2 + 12 * share])
        grey = int(165 * (1 - share) ** 1.5)
        _polygon(image, centre + corners, f"#{grey:02x}{int(grey * 1.08):02x}{int(grey * 1.13):02x}")
    for side in (-1, 1):
        t = np.linspace(0, 2 * np.pi, 60)
        x = WIDTH / 2 + side * (46 + 27 * np.cos(t))
        y = HEIGHT / 2 + 10 + 10 * np.sin(t) * np.abs(np.sin(t)) ** 0.4 - 7 * np.cos(t)
        _polygon(image, np.stack([x, y], -1), "#ffe9a0")
        _polygon(
            image,
            np.stack([WIDTH / 2 + side * (46 + 4 * np.cos(t)), HEIGHT / 2 + 9 + 10 * np.sin(t)], -1),
            "#110000",
        )
    return image


def rain(rng: np.random.Generator) -> Image:
    """Sad: grey rain, and a flower that has let its head down."""
    image = _mixed(_Y / HEIGHT, "#5d6b7c", "#8492a1", "#4c5764")
    for _ in range(230):
        x, y, length = rng.uniform(0, WIDTH), rng.uniform(-60, HEIGHT), rng.uniform(25, 80)
        box = np.array([[x, y], [x + 1.6, y], [x - 2.4, y + length], [x - 4, y + length]])
        _polygon(image, box, "#b4c0cc", rng.uniform(0.12, 0.4))
    _polygon(image, np.array([[0, 430], [WIDTH, 418], [WIDTH, HEIGHT], [0, HEIGHT]]), "#333d48")
    rise, bend = np.linspace(0, 1, 80), np.linspace(0, 0.97 * np.pi, 80)
    x = np.concatenate([400 + 26 * np.sin(1.6 * rise), 380 + 46 * np.cos(bend)])
    y = np.concatenate([430 - 160 * rise, 268 - 62 * np.sin(bend)])
    for at_x, at_y in zip(x, y, strict=True):
        _disc(image, at_x, at_y, 5, "#39493f")
    for turn in np.linspace(0.25, np.pi - 0.25, 6):
        tip = np.array([x[-1] + 52 * np.cos(turn), y[-1] + 8 + 52 * np.sin(turn)])
        side = 12 * np.array([-np.sin(turn), np.cos(turn)])
        middle = (tip + np.array([x[-1], y[-1]])) / 2
        _polygon(image, np.array([[x[-1], y[-1]], middle + side, tip, middle - side]), "#6b6387", 0.9)
    _disc(image, x[-1], y[-1], 13, "#4b4a58")
    return image


def shore(rng: np.random.Generator) -> Image:
    """Sad: an empty sea at dusk and one small light far out."""
    image = _mixed(np.clip(_Y / 300, 0, 1), "#56627a", "#75809a", "#98a0b0")
    sea = _mixed((_Y - 300) / 200, "#6a7790", "#3c485c", "#262f3e")
    image = np.where((_Y > 300)[..., None], sea, image)
    for _ in range(120):
        y = 303 + 190 * rng.random() ** 1.6
        length = 20 + (y - 300) * rng.uniform(0.3, 0.9)
        x = rng.uniform(-50, WIDTH)
        thick = 0.8 + (y - 300) / 90
        wave = np.array([[x, y], [x + length / 2, y - thick], [x + length, y], [x + length / 2, y + thick]])
        _polygon(image, wave, "#9aa6b8", 0.28)
    for radius, alpha in ((26, 0.1), (14, 0.18), (4, 0.9)):
        _disc(image, 560, 294, radius, "#e6d9b8", alpha)
    return image


def tiles(rng: np.random.Generator) -> Image:
    """Neutral: a plain pattern of rounded squares."""
    image = np.zeros((HEIGHT, WIDTH, 3))
    image[:] = _colour("#9a9a98")
    for row in range(5):
        for column in range(8):
            x, y = column * 100 + 50, row * 100 + 50
            t = np.linspace(0, 2 * np.pi, 80)
            corner = np.stack([np.sign(f) * np.abs(f) ** 0.4 for f in (np.cos(t), np.sin(t))], -1)
            grey = ("#8b8d90", "#a8a6a0")[(row + column) % 2]
            _polygon(image, np.array([x, y]) + 34 * corner, grey)
    return image


def bands(rng: np.random.Generator) -> Image:
    """Neutral: even, soft bands."""
    return _mixed(0.5 + 0.5 * np.sin(2 * np.pi * _Y / 125), "#868c92", "#989c9e", "#aaa9a4")


def sun(rng: np.random.Generator) -> Image:
    """Happy: a sun with many rays in a blue sky, and confetti."""
    x, y = _X - WIDTH / 2, _Y - HEIGHT * 0.55
    distance = np.hypot(x, y)
    image = _mixed(np.clip(distance / 480, 0, 1), "#3a92e0", "#1458b0")
    rays = np.clip(8 * np.sin(15 * np.arctan2(y, x)), 0, 1) * np.clip(1.25 - distance / 330, 0, 1)
    image += rays[..., None] * (_colour("#ffd23c") - image)
    colours = ["#ff4f7a", "#ffe34d", "#5fe06a", "#ff9a2e", "#ffffff"]
    for at, (px, py, radius) in enumerate(_scattered(rng, 80, (5.0, 16.0))):
        if np.hypot(px - WIDTH / 2, py - HEIGHT * 0.55) > 135:
            _disc(image, px, py, radius, colours[at % len(colours)])
    _disc(image, WIDTH / 2, HEIGHT * 0.55, 104, "#ffb81c")
    _disc(image, WIDTH / 2, HEIGHT * 0.55, 94, "#ffe766")
    t = np.linspace(0.12 * np.pi, 0.88 * np.pi, 40)
    arc = [np.stack([WIDTH / 2 + r * np.cos(t), HEIGHT * 0.55 + 4 + r * np.sin(t)], -1) for r in (46, 57)]
    _polygon(image, np.concatenate([arc[0], arc[1][::-1]]), "#f07a1c")
    return image


def balloons(rng: np.random.Generator) -> Image:
    """Happy: round, bright things rise into a clear sky."""
    image = _mixed(_Y / HEIGHT, "#1a60be", "#3688d8", "#6cb4ee")
    colours = ["#ff3f5f", "#ffb01e", "#5fdc63", "#ff86c0", "#ffe84a", "#f6f6ff"]
    for at, (x, y, radius) in enumerate(_scattered(rng, 30, (22.0, 52.0))):
        t = np.linspace(0, 2 * np.pi, 80)
        string = np.linspace(0, 1, 20)
        sway = x + 6 * np.sin(7 * string)
        down = y + 1.2 * radius + 1.5 * radius * string
        line = np.concatenate([np.stack([sway - 0.8, down], -1), np.stack([sway + 0.8, down], -1)[::-1]])
        _polygon(image, line, "#5a6a70", 0.6)
        body = np.stack([x + radius * np.cos(t), y + radius * (1.12 + 0.1 * np.sin(t)) * np.sin(t)], -1)
        _polygon(image, body, colours[at % len(colours)])
        _disc(image, x - 0.35 * radius, y - 0.42 * radius, 0.2 * radius, "#ffffff", 0.65)
    return image


#: By file name without ending; two for each emotion.
PICTURES: dict[str, Callable[[np.random.Generator], Image]] = {
    "disgust-1": slime,
    "disgust-2": pores,
    "fear-1": teeth,
    "fear-2": eyes,
    "sad-1": rain,
    "sad-2": shore,
    "neutral-1": tiles,
    "neutral-2": bands,
    "happy-1": sun,
    "happy-2": balloons,
}
