"""How the window opens: its size, colours and scale, and whether it only saves pictures of itself."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from acquisition.errors import InputError

TAB_NAMES = ("now", "why", "signals", "health")
THEME_NAMES = ("dark", "light")
DEFAULT_SIZE = (1366, 768)
#: What the window needs in points so that its toolbar, its signs and its time bar are all there.
LEAST_SIZE = (960, 500)
_SCREENSHOT_S = 30.0


@dataclass(frozen=True)
class WindowOptions:
    """Options of the window; None leaves the choice to what was kept from the last run."""

    screenshot: Path | None = None  # folder for pictures: the window saves them and closes
    seconds: float | None = None  # of content before the pictures; otherwise the window closes after so many
    tabs: tuple[str, ...] = TAB_NAMES  # of which a picture is saved
    size: tuple[int, int] | None = None  # in points; a picture has `scale` times as many pixels
    theme: str | None = None  # dark | light
    scale: float | None = None

    @property
    def content_s(self) -> float:
        """Seconds of content before the pictures are taken."""
        return _SCREENSHOT_S if self.seconds is None else self.seconds


def largest_scale(room: tuple[int, int]) -> float:
    """Return the largest scale, 1 to 2, at which a screen of ``room`` points still holds the window."""
    fitting = min(room[0] / LEAST_SIZE[0], room[1] / LEAST_SIZE[1])
    return min(max(math.floor(100 * fitting) / 100, 1.0), 2.0)


def parse_window_options(
    screenshot: Path | None,
    seconds: float | None,
    tab: str,
    size: str | None,
    theme: str | None,
    scale: float | None,
) -> WindowOptions:
    """Return the options of the command line, checked.

    Raises
    ------
    InputError
        If one cannot be used.
    """
    if tab not in (*TAB_NAMES, "all"):
        raise InputError(f"expected {', '.join(TAB_NAMES)} or all, got {tab!r}", where="--tab")
    if theme not in (*THEME_NAMES, None):
        raise InputError(f"expected {' or '.join(THEME_NAMES)}, got {theme!r}", where="--theme")
    if scale is not None and not 1.0 <= scale <= 2.0:
        raise InputError(f"expected 1 to 2, got {scale:g}", where="--scale")
    return WindowOptions(
        screenshot=screenshot,
        seconds=seconds,
        tabs=TAB_NAMES if tab == "all" else (tab,),
        size=None if size is None else _parse_size(size),
        theme=theme,
        scale=scale,
    )


def _parse_size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{3,5})x(\d{3,5})", text.strip().lower())
    if found is None:
        raise InputError(f"expected width x height, e.g. 1366x768, got {text!r}", where="--size")
    width, height = int(found[1]), int(found[2])
    if not (640 <= width <= 7680 and 480 <= height <= 4320):
        raise InputError(f"expected 640x480 to 7680x4320, got {text}", where="--size")
    return width, height
