"""Eye trackers: which channel means what, and all of them as gaze on a screen, pupils in mm and validity.

A channel is known by the type the XDF gaze meta data give it (ScreenX, Diameter, Confidence, ...) or,
where the type says nothing, by the words of its label. Layouts that this reads, as their programs send
them:

- Pupil Core: ``confidence, norm_pos_x, norm_pos_y, gaze_point_3d_*, ..., diameter0_2d, ..., diameter1_3d``;
  eye 0 is the right one; norm_pos counts from the lower left of the scene camera's picture
- Pupil Neon: ``x, y`` in scene camera pixels, ``PupilDiameter`` an eye in mm
- Tobii Pro: ``left_x, left_y, left_pupil, right_x, ...`` in ``screencoords``, which are 0-1
- EyeLink: ``leftEyeX, leftEyeY, ..., leftPupilArea, ..., pixelsPerDegreeX, ...`` in screen pixels
- Gazepoint: ``BPOGX, BPOGY`` (or ``FPOG``, ``LPOG``, ``RPOG``), 0-1 whatever the unit says, their validity
  ``BPOGV``, pupils ``LPMM``, ``RPMM`` in mm
- Tobii's SDK: ``left_gaze_point_on_display_area_0``, ``_1``, ``left_gaze_point_validity``; Tobii Studio:
  ``GazePointXLeft``, ``ValidityLeft`` with codes from 0, good, to 4, lost
- SMI: ``Diameter_X``; EyeTech and others: percent, 0-1 or 0-100 by the data
- plain ``gaze_x, gaze_y, pupil_left, pupil_right, validity``
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.adapters import AdapterOptions, converted_spec
from acquisition.errors import ErrorCode, InputError
from acquisition.text import stated
from acquisition.types import ChannelInfo, Kind, StreamHeader

_QUANTITY_OF_TYPE = {
    "screenx": "x",
    "screeny": "y",
    "diameter": "pupil",
    "pupildiameter": "pupil",
    "area": "area",
    "pupilarea": "area",
    "confidence": "confidence",
    "validity": "validity",
}

#: Types of the gaze meta data that are known and of no use here.
_USELESS_TYPE = re.compile(
    r"(direction|position|pupil|orientation|eyeballcenter)[xyz]|framenumber|pixelsperdegree.*"
)

#: Labels of makers' own senders that their words do not tell.
_OF_MAKERS = {
    r"(?P<eye>[BFLR])POG(?P<what>[XYV])": {"x": "x", "y": "y", "v": "validity"},
    r"(?P<eye>[LR])PMM": {"": "pupil"},
    r"(?P<eye>left|right)_gaze_point_on_display_area_(?P<what>[01])": {"0": "x", "1": "y"},
    r"(?P<eye>left|right)_pupil_validity": {"": ""},
    r"validity_?(?P<eye>left|right)": {"": "codes"},
    r"(?P<eye>[LR])validity": {"": "codes"},
}
_LOST_CODE = 2  # Tobii's 0 is good, 1 probably this eye; from 2 on the eye is uncertain or lost

#: Words in a label that make x and y something else than gaze.
_OTHER_WORDS = (
    "3d center centre normal normal0 normal1 origin direction eyeball optical axis degree degrees pixels "
    "per timestamp time frame index head accel acc gyro mouse cursor target velocity center0 center1"
)

_SPACE_OF_UNIT = {
    **dict.fromkeys(("px", "pix", "pixel", "pixels"), "px"),
    **dict.fromkeys(("percent", "percentage", "pct", "%"), "percent"),
    **dict.fromkeys(("deg", "degree", "degrees", "dva", "visual degrees", "visualdegrees", "°"), "deg"),
    **dict.fromkeys(("normalized", "normalised", "norm", "fraction", "ratio", "0-1", "0..1", "1"), "0-1"),
    **dict.fromkeys(("screencoords", "adcs", "relative", "screen"), "0-1"),
}

_SCENE_PX = (1600.0, 1200.0)  # Neon's scene camera
_SCREEN_PX = (1920.0, 1080.0)


@dataclass(frozen=True)
class Pupil:
    """A channel that holds a pupil's size."""

    index: int
    unit: str  # of the diameter: mm, px or arbitrary
    is_area: bool = False


@dataclass
class Found:
    """What the channels of an eye tracker mean."""

    gaze: dict[str, tuple[int, int]] = field(default_factory=dict)  # x and y index by eye
    pupils: dict[str, Pupil] = field(default_factory=dict)  # by eye, left and right
    confidence: list[int] = field(default_factory=list)
    validity: list[tuple[int, str]] = field(default_factory=list)  # index and eye
    codes: list[tuple[int, str]] = field(default_factory=list)  # the same, of Tobii's codes
    unit: str = ""  # of gaze, as stated
    space: str = "unstated"  # 0-1 | percent | px | deg | unstated | unknown
    is_y_up: bool = False
    is_scene: bool = False  # on the scene camera's picture


def find_channels(header: StreamHeader) -> Found:
    """Return what each channel of an eye tracker's stream means; ``gaze`` is empty if none is found."""
    found = Found()
    axes: dict[tuple[str, str], int] = {}
    for index, channel in enumerate(header.channels):
        quantity, eye = _meaning(channel)
        if quantity in ("x", "y"):
            axes.setdefault((eye, quantity), index)
        elif quantity in ("pupil", "area"):
            _add_pupil(found, eye, _pupil_of(index, channel, quantity))
        elif quantity == "confidence" and eye == "both":
            found.confidence.append(index)
        elif quantity in ("validity", "codes"):
            getattr(found, quantity).append((index, eye))
    eyes = [eye for eye in ("both", "left", "right") if (eye, "x") in axes and (eye, "y") in axes]
    if "both" in eyes:  # the tracker has joined the eyes itself
        eyes = ["both"]
    found.gaze = {eye: (axes[eye, "x"], axes[eye, "y"]) for eye in eyes}
    if found.gaze:
        _describe_space(header, found)
    return found


def picture_size(header: StreamHeader, is_scene: bool) -> tuple[tuple[float, float], bool]:
    """Return width and height in pixels of what gaze is measured on, and whether they are assumed."""
    sizes: dict[str, float] = {}
    for path, text in header.desc.items():
        words = _words(path.replace("/", "_"))
        for side in ("width", "height"):
            if side in words and not {"cm", "mm"} & set(words) and (size := stated(text)) >= 1:
                sizes.setdefault(side, size)
    if len(sizes) == 2:
        return (sizes["width"], sizes["height"]), False
    return (_SCENE_PX if is_scene else _SCREEN_PX), True


def _words(label: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", label)
    return [word.lower() for word in re.split(r"[^A-Za-z0-9]+", spaced) if word]


def _meaning(channel: ChannelInfo) -> tuple[str, str]:
    """Return quantity (x, y, pupil, area, confidence, validity, codes or "") and eye of a channel."""
    for pattern, quantities in _OF_MAKERS.items():
        if match := re.fullmatch(pattern, channel.label.strip(), re.IGNORECASE):
            side = match["eye"].lower()[0]
            what = match.groupdict().get("what", "").lower()
            return quantities[what], {"l": "left", "r": "right"}.get(side, "both")
    words = _words(channel.label)
    eye = _eye(channel, words)
    type_ = re.sub(r"[^a-z0-9]", "", channel.type.lower())
    if type_ in _QUANTITY_OF_TYPE:
        return _QUANTITY_OF_TYPE[type_], eye
    if _USELESS_TYPE.fullmatch(type_):
        return "", eye
    return _quantity_of_words(words), eye


def _quantity_of_words(words: list[str]) -> str:
    of_pupil = any(word.startswith(("pupil", "diameter")) for word in words)
    if of_pupil and "area" in words:
        return "area"
    if of_pupil and (not {"x", "y", "z"} & set(words) or {"diameter", "x"} <= set(words)):
        return "pupil"
    if "confidence" in words:
        return "confidence"
    if {"validity", "valid"} & set(words):
        return "validity"
    if of_pupil or not set(words).isdisjoint(_OTHER_WORDS.split()):
        return ""
    axis = [word for word in words if word in ("x", "y")]
    return axis[0] if len(axis) == 1 else ""


def _eye(channel: ChannelInfo, words: list[str]) -> str:
    if channel.eye in ("left", "right", "both"):
        return channel.eye
    if {"left", "l", "diameter1"} & set(words):  # Pupil Core: eye 1 is the left one
        return "left"
    if {"right", "r", "diameter0"} & set(words):
        return "right"
    return "both"


def _pupil_of(index: int, channel: ChannelInfo, quantity: str) -> Pupil:
    if quantity == "area":
        return Pupil(index, "arbitrary", is_area=True)
    unit, label, words = channel.unit.strip().lower(), channel.label.strip().upper(), _words(channel.label)
    is_mm = unit in ("mm", "millimeter", "millimeters", "millimetre", "millimetres")
    if is_mm or label in ("LPMM", "RPMM") or (not unit and "3d" in words):
        return Pupil(index, "mm")
    is_px = unit.startswith(("px", "pixel")) or "2d" in words
    return Pupil(index, "px" if is_px else "arbitrary")


def _add_pupil(found: Found, eye: str, pupil: Pupil) -> None:
    """Keep the best measure of each eye: millimetres before pixels before anything else."""
    rank = ("mm", "px", "arbitrary").index
    for side in ("left", "right") if eye == "both" else (eye,):
        known = found.pupils.get(side)
        if known is None or rank(pupil.unit) < rank(known.unit):
            found.pupils[side] = pupil


def _describe_space(header: StreamHeader, found: Found) -> None:
    x_at, y_at = next(iter(found.gaze.values()))
    channel = header.channels[y_at]
    words = [_words(header.channels[i].label) for i in (x_at, y_at)]
    system = channel.coordinate_system.lower()
    is_pupil_core = all({"norm", "pos"} <= set(label) for label in words)
    is_neon = "neon gaze" in header.name.lower()
    is_eyelink = all({"eye"} < set(label) for label in words) and any(
        p.is_area for p in found.pupils.values()
    )
    found.unit = channel.unit.strip() or channel.type.strip()
    found.is_scene = is_pupil_core or is_neon or "scene" in system or "world" in system
    unit = channel.unit.strip().lower()
    if re.fullmatch(r"[BFLR]POGY", channel.label.strip()):
        found.space = "0-1"
    elif unit in _SPACE_OF_UNIT:
        found.space = _SPACE_OF_UNIT[unit]
    elif is_pupil_core:  # it states odd units
        found.space = "0-1"
    elif is_neon or is_eyelink:
        found.space = "px"
    else:
        found.space = "unknown" if unit else "unstated"
    # Degrees are counted upwards unless the stream says otherwise; pixels always run downwards.
    upwards = is_pupil_core or re.search(r"\bup(wards?)?\b|bottom|lower", system) is not None
    downwards = re.search(r"down|top|upper", system) is not None
    found.is_y_up = found.space != "px" and (upwards or (found.space == "deg" and not downwards))


COLUMNS = ("gaze_x", "gaze_y", "pupil_left", "pupil_right", "validity")

_MIN_CONFIDENCE = 0.6  # Pupil Labs' own threshold
_FARTHEST = 0.5  # gaze half a screen beside it is a tracking fault; Tobii also writes -1 for a lost eye
_EYELINK_MISSING = -32768.0
_LARGEST_PUPIL = 1e6  # in any unit; the power of far larger numbers is infinite

Scale = Callable[[NDArray[np.float64]], NDArray[np.float64]]


class GazeAdapter:
    """Converts one eye tracker's samples; with two eyes, gaze is the mean of the valid ones.

    ``gaze_x`` and ``gaze_y`` are fractions of the screen (or of the scene camera's picture), y downwards. A
    pupil is its diameter, ``validity`` is 1 where gaze is known and 0 elsewhere. What is not known is NaN.
    Raises `InputError` if no gaze channels are found, their unit is not known, or degrees come without a
    screen.
    """

    def __init__(self, header: StreamHeader, key: str, options: AdapterOptions) -> None:
        where = f"gaze stream {header.name!r}"
        if header.channel_format == "string":
            what = "expected numbers, but the stream sends text"
            raise InputError(what, where=where, code=ErrorCode.CHANNELS)
        found = find_channels(header)
        if not found.gaze:
            labels = " ".join(channel.label or "?" for channel in header.channels) or "no labels"
            what = f"found no gaze x and y among {header.n_channels} channels: {labels}"
            remedy = "label the channels gaze_x and gaze_y, or choose another with --streams eye=..."
            raise InputError(what, where=where, remedy=remedy, code=ErrorCode.CHANNELS)
        notes: list[str] = []
        self._found = found
        self._is_hundred = False  # percent: a value beyond 1.5 was seen
        self._scale_x, self._scale_y = _scales(header, found, options, notes, where)
        if found.is_scene:
            notes.append("gaze is in scene-camera coordinates, not on a screen: it moves with the head")
        if not found.pupils:
            notes.append("the stream has no pupil size")
        place = "scene" if found.is_scene else "screen"
        pupils = (found.pupils.get(eye) for eye in ("left", "right"))
        units = [place, place, *(pupil.unit if pupil else "absent" for pupil in pupils), "0/1"]
        self.spec = converted_spec(header, key, Kind.GAZE, COLUMNS, units, notes)

    def convert(self, values: NDArray[Any] | Sequence[Any]) -> NDArray[np.float64]:
        """Return (n_samples, 5) float64 columns from (n_samples, n_stream_channels) values."""
        raw = np.asarray(values, dtype=np.float64)
        trusted = self._trusted(raw, "both")
        if self._found.space == "percent":
            raw = self._as_fractions(raw)
        xy = np.zeros((len(raw), 2))
        n_eyes = np.zeros(len(raw))
        for eye, (x_at, y_at) in self._found.gaze.items():
            x, y = raw[:, x_at], raw[:, y_at]
            tracked = (
                trusted
                & self._trusted(raw, eye)
                & np.isfinite(x)
                & np.isfinite(y)
                & self._tracked(raw, eye, x, y)
            )
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

    def _as_fractions(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return samples whose gaze is 0-1, from the first value on that only 0-100 has."""
        columns = sorted({at for axes in self._found.gaze.values() for at in axes})
        with np.errstate(invalid="ignore"):
            beyond = (np.abs(raw[:, columns] - 75.75) < 74.25).any(axis=1)  # 1.5 to 150: no fault's value
        is_hundred = np.logical_or.accumulate(beyond) | self._is_hundred
        self._is_hundred |= bool(beyond.any())
        raw = raw.copy()
        raw[:, columns] *= np.where(is_hundred, 0.01, 1.0)[:, None]
        return raw

    def _trusted(self, raw: NDArray[np.float64], eye: str) -> NDArray[np.bool_]:
        """Return where the tracker itself calls an eye valid, or what it says of both, (n_samples,)."""
        trusted = np.ones(len(raw), dtype=bool)
        for index in self._found.confidence:
            trusted &= raw[:, index] >= _MIN_CONFIDENCE  # NaN compares False
        for index, of_eye in self._found.validity:
            trusted &= (raw[:, index] > 0.5) | (of_eye != eye)
        for index, of_eye in self._found.codes:
            trusted &= (raw[:, index] < _LOST_CODE) | (of_eye != eye)
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
            size = np.where(trusted & (size > 0) & (size < _LARGEST_PUPIL), size, np.nan)
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
                f"the stream does not state the size of the {what}: assumed to be {width:g} x {height:g} px"
            )
        return (lambda x: x / width), (lambda y: y / height)
    if found.space == "deg":
        return _degree_scales(found, options, notes, where)
    if found.space == "unknown":
        what = f"gaze unit is {found.unit!r}: expected normalised 0-1, pixels or degrees"
        remedy = "state the unit in desc/channels/channel/unit"
        raise InputError(what, where=where, remedy=remedy, code=ErrorCode.CHANNELS)
    if found.space == "unstated":
        notes.append("the stream states no unit for gaze: assumed to be 0-1 from the upper left")
    return (lambda x: x), ((lambda y: 1.0 - y) if found.is_y_up else (lambda y: y))


def _degree_scales(
    found: Found, options: AdapterOptions, notes: list[str], where: str
) -> tuple[Scale, Scale]:
    """Return the scales for visual degrees from the middle of a flat screen: offset = distance * tan."""
    if options.screen_cm is None or options.distance_cm is None:
        what = "gaze unit is degrees: expected the screen's size and distance, got none"
        remedy = "pass --screen-cm 53x30 --distance-cm 60 with your own measurements"
        raise InputError(what, where=where, remedy=remedy, code=ErrorCode.CHANNELS)
    width, height = options.screen_cm
    distance = options.distance_cm
    sign = -1.0 if found.is_y_up else 1.0
    notes.append(
        f"degrees converted to screen coordinates ({width:g} x {height:g} cm at {distance:g} cm; "
        f"stream y points {'up' if found.is_y_up else 'down'})"
    )
    return (
        lambda x: 0.5 + np.tan(np.radians(x)) * distance / width,
        lambda y: 0.5 + sign * np.tan(np.radians(y)) * distance / height,
    )
