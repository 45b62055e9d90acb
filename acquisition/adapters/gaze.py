"""Eye trackers: every known layout becomes gaze_x, gaze_y, pupil_left, pupil_right, validity.

Which channel means what is read from ``acquisition.adapters.gaze_channels``; here the values are
converted. ``gaze_x`` and ``gaze_y`` are fractions of the screen (or of the scene camera's picture), 0-1,
y downwards; a pupil is its diameter; ``validity`` is 1 where gaze is known and 0 elsewhere. What is not
known is NaN. Each sample is converted on its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.adapters.gaze_channels import Found, find_channels, picture_size
from acquisition.adapters.options import AdapterOptions
from acquisition.errors import InputError
from acquisition.types import Kind, StreamHeader, StreamSpec

COLUMNS = ("gaze_x", "gaze_y", "pupil_left", "pupil_right", "validity")

_MIN_CONFIDENCE = 0.6  # Pupil Labs' own threshold
_FARTHEST = (
    0.5  # gaze half a screen beside the screen is a tracking fault; Tobii also writes -1 for a lost eye
)
_EYELINK_MISSING = -32768.0

Scale = Callable[[NDArray[np.float64]], NDArray[np.float64]]


class GazeAdapter:
    """Converts one eye tracker's samples; with two eyes, gaze is the mean of the valid ones.

    Parameters
    ----------
    header : StreamHeader
        The stream's description.
    key : str
        `StreamSpec.key`.
    options : AdapterOptions
        Screen size and distance, for gaze in degrees.

    Raises
    ------
    InputError
        If no gaze channels are found, their unit is not known, or degrees come without a screen.
    """

    def __init__(self, header: StreamHeader, key: str, options: AdapterOptions) -> None:
        where = f"gaze stream {header.name!r}"
        if header.channel_format == "string":
            raise InputError("expected numbers, the stream sends text", where=where)
        found = find_channels(header)
        if not found.gaze:
            labels = " ".join(channel.label or "?" for channel in header.channels) or "no labels"
            raise InputError(
                f"found no gaze x and y among {header.n_channels} channels: {labels}",
                where=where,
                remedy="label the channels gaze_x and gaze_y, or choose another with --streams eye=...",
            )
        notes: list[str] = []
        self._found = found
        self._scale_x, self._scale_y = _scales(header, found, options, notes, where)
        if found.is_scene:
            notes.append("gaze is on the scene camera's picture, not on a screen: it moves with the head")
        if not found.pupils:
            notes.append("the stream holds no pupil size")
        self.spec = StreamSpec(
            key=key,
            name=header.name,
            kind=Kind.GAZE,
            ch_names=COLUMNS,
            units=("scene" if found.is_scene else "screen",) * 2
            + tuple(found.pupils[eye].unit if eye in found.pupils else "absent" for eye in ("left", "right"))
            + ("0/1",),
            sfreq=header.nominal_sfreq,
            source_id=header.source_id,
            notes=tuple(notes),
        )

    def convert(self, values: NDArray[Any] | Sequence[Any]) -> NDArray[np.float64]:
        """Return (n_samples, 5) float64 columns from (n_samples, n_stream_channels) values."""
        raw = np.asarray(values, dtype=np.float64)
        trusted = self._trusted(raw)
        xy = np.zeros((len(raw), 2))
        n_eyes = np.zeros(len(raw))
        for eye, (x_at, y_at) in self._found.gaze.items():
            x, y = raw[:, x_at], raw[:, y_at]
            tracked = trusted & np.isfinite(x) & np.isfinite(y) & self._tracked(raw, eye, x, y)
            eye_xy = np.column_stack([self._scale_x(x), self._scale_y(y)])
            with np.errstate(invalid="ignore"):
                tracked &= (np.abs(eye_xy - 0.5) <= 0.5 + _FARTHEST).all(axis=1)
            xy[tracked] += eye_xy[tracked]
            n_eyes += tracked
        columns = np.full((len(raw), 5), np.nan)
        seen = n_eyes > 0
        columns[seen, :2] = xy[seen] / n_eyes[seen, None]
        columns[:, 2] = self._pupil(raw, "left", trusted)
        columns[:, 3] = self._pupil(raw, "right", trusted)
        columns[:, 4] = seen
        return columns

    def _trusted(self, raw: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which samples the tracker itself vouches for, (n_samples,)."""
        trusted = np.ones(len(raw), dtype=bool)
        for index in self._found.confidence:
            trusted &= raw[:, index] >= _MIN_CONFIDENCE  # NaN compares False
        for index in self._found.validity:
            trusted &= raw[:, index] > 0.5
        return trusted

    def _tracked(
        self, raw: NDArray[np.float64], eye: str, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> NDArray[np.bool_] | bool:
        """Return where this eye is tracked: trackers that count in pixels write zeros where it is not."""
        if self._found.space != "px":
            return True
        tracked = ~((x == 0) & (y == 0)) & (x > _EYELINK_MISSING) & (y > _EYELINK_MISSING)
        pupil = self._found.pupils.get(eye)
        if pupil is not None and pupil.is_area:
            tracked &= raw[:, pupil.index] > 0
        return tracked

    def _pupil(
        self, raw: NDArray[np.float64], eye: str, trusted: NDArray[np.bool_]
    ) -> NDArray[np.float64] | float:
        """Return the pupil's diameter, NaN where there is none; an area gives its circle's diameter."""
        pupil = self._found.pupils.get(eye)
        if pupil is None:
            return float("nan")
        size = raw[:, pupil.index]
        with np.errstate(invalid="ignore"):
            size = np.where(trusted & np.isfinite(size) & (size > 0), size, np.nan)
        return 2.0 * np.sqrt(size / np.pi) if pupil.is_area else size


def _scales(
    header: StreamHeader, found: Found, options: AdapterOptions, notes: list[str], where: str
) -> tuple[Scale, Scale]:
    """Return the functions that bring x and y to 0-1, y downwards."""
    if found.space == "px":
        (width, height), is_assumed = picture_size(header, found.is_scene)
        if is_assumed:
            what = "scene camera" if found.is_scene else "screen"
            notes.append(
                f"the stream does not say how large the {what} is: {width:g} x {height:g} px assumed"
            )
        return (lambda x: x / width), (lambda y: y / height)
    if found.space == "deg":
        return _degree_scales(found, options, notes, where)
    if found.space == "unknown":
        raise InputError(
            f"gaze comes in {found.unit!r}: expected normalised 0-1, pixels or degrees",
            where=where,
            remedy="state the unit in desc/channels/channel/unit",
        )
    if found.space == "unstated":
        notes.append("the stream states no unit for gaze: taken as 0-1 from the upper left")
    return (lambda x: x), ((lambda y: 1.0 - y) if found.is_y_up else (lambda y: y))


def _degree_scales(
    found: Found, options: AdapterOptions, notes: list[str], where: str
) -> tuple[Scale, Scale]:
    """Return the scales for visual degrees from the middle of a flat screen: offset = distance * tan."""
    if options.screen_cm is None or options.distance_cm is None:
        raise InputError(
            "gaze comes in degrees: expected the screen's size and distance, got none",
            where=where,
            remedy="pass --screen-cm 53x30 --distance-cm 60 with your own measures",
        )
    width, height = options.screen_cm
    distance = options.distance_cm
    sign = -1.0 if found.is_y_up else 1.0
    notes.append(
        f"degrees to screen with {width:g} x {height:g} cm at {distance:g} cm, "
        f"y {'upwards' if found.is_y_up else 'downwards'} in the stream"
    )

    def scale_x(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return 0.5 + np.tan(np.radians(x)) * distance / width

    def scale_y(y: NDArray[np.float64]) -> NDArray[np.float64]:
        return 0.5 + sign * np.tan(np.radians(y)) * distance / height

    return scale_x, scale_y
