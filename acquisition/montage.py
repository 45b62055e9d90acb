"""Directions of the electrodes of the 10-05 system, from a table that ships with the program.

MNE's template head is the source; its import costs a second or two, which a window cannot wait for, so
the table holds what MNE gives. ``python -m acquisition.montage`` writes it, a test compares them.
"""

import difflib
import functools
import math
import re
import tomllib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import ErrorCode, InputError, read_limited
from acquisition.text import parse_toml
from assets import HEADSETS, TEN_FIVE

_TEN_FIVE = "10-05"
_K = TypeVar("_K")


@functools.cache
def electrode_directions(montage: str = _TEN_FIVE) -> Mapping[str, NDArray[np.float64]]:
    """Return unit vectors (3,) by upper-case label: x to the right ear, y to the nose, z up."""
    if montage != _TEN_FIVE:
        return directions_from_mne(montage)
    found = {}
    for line in TEN_FIVE.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith(("#", "name,")):
            name, *xyz = line.split(",")
            ray = np.array([float(value) for value in xyz])
            found[name] = ray / np.linalg.norm(ray)
            found[name].setflags(write=False)
    return found


def directions_from_mne(montage: str) -> dict[str, NDArray[np.float64]]:
    """Return unit vectors (3,) from the fitted sphere's centre to the electrodes, by upper-case label.

    ``montage`` is a name MNE knows, or "10-05" for the template head under whatever name this MNE gives it.
    """
    from mne.channels import get_builtin_montages, make_standard_montage

    if montage == _TEN_FIVE:  # MNE 1.13 renamed it
        montage = "colin27_1005" if "colin27_1005" in get_builtin_montages() else "standard_1005"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # a deprecated name is the user's choice
        positions = make_standard_montage(montage).get_positions()["ch_pos"]
    points = np.array(list(positions.values()), dtype=float)
    # |p|² = 2 c·p + (r² - |c|²): the sphere through the electrodes, linear in its centre c.
    sphere = np.c_[2 * points, np.ones(len(points))]
    solution, *_ = np.linalg.lstsq(sphere, (points**2).sum(axis=1), rcond=None)
    rays = points - solution[:3]
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    return {label.upper(): ray for label, ray in zip(positions, rays, strict=True)}


def write_table(path: Path) -> None:
    """Write the table of MNE's template head, six decimals."""
    head = [
        "# Unit vectors to the 10-05 electrodes of MNE-Python's template head (standard_1005, BSD-3-Clause),",
        "# from the centre of the sphere fitted to them. Written by: python -m acquisition.montage",
        "name,x,y,z",
    ]
    rows = [f"{name},{x:.6f},{y:.6f},{z:.6f}" for name, (x, y, z) in directions_from_mne(_TEN_FIVE).items()]
    path.write_text("\n".join([*head, *rows]) + "\n", encoding="utf-8")


# fmt: off
#: The 62 channels of the SEED data sets, in the order of their files.
SEED_CH_NAMES: tuple[str, ...] = (
    "FP1", "FPZ", "FP2", "AF3", "AF4", "F7", "F5", "F3", "F1", "FZ", "F2", "F4", "F6", "F8", "FT7",
    "FC5", "FC3", "FC1", "FCZ", "FC2", "FC4", "FC6", "FT8", "T7", "C5", "C3", "C1", "CZ", "C2", "C4",
    "C6", "T8", "TP7", "CP5", "CP3", "CP1", "CPZ", "CP2", "CP4", "CP6", "TP8", "P7", "P5", "P3", "P1",
    "PZ", "P2", "P4", "P6", "P8", "PO7", "PO5", "PO3", "POZ", "PO4", "PO6", "PO8", "CB1", "O1", "OZ",
    "O2", "CB2",
)
# fmt: on

_REFERENCES = ("A1", "A2", "M1", "M2")


def electrode_names() -> tuple[str, ...]:
    """Return all electrodes that a model may have, SEED's first; no references, and no old names."""
    others = (name for name in electrode_directions() if name not in (*_REFERENCES, *_OLD_NAMES))
    return tuple(dict.fromkeys((*SEED_CH_NAMES, *others)))


#: Names of the old 10-20 system and of mastoid-like positions that one cap calls otherwise.
_OLD_NAMES = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}

#: MNE has no cerebellar CB1, CB2; Neuroscan's caps hold them where the 10-10 system says PO9, PO10.
_POSITION_OF = {"CB1": "PO9", "CB2": "PO10"}

#: An electrode takes the name of a 10-20 position this near to it, degrees on the fitted sphere.
_NEAR_DEG = 12.0
#: A headset's electrode may stand for one that a model knows up to here: neighbours of the 10-10 system are
#: 18 to 23 degrees apart.
_FAR_DEG = 25.0

#: What amplifiers write around a name: a kind before it, a reference behind it.
_DECORATION = re.compile(
    r"^(EEG|POL)[\s_:-]+|^EEG(?=[A-Z])|[\s_-]+(REF|REFERENCE|LE|CLE|LER|RLE|AVG|AV|AR|CAR|A1|A2|A1A2|M1|M2|M1M2|CZREF)$|\.+$"
)


def is_numbered_cap(labels: Iterable[str]) -> bool:
    """Tell if labels are a cap's own numbering, such as BioSemi's A1-D32 (its C3 is not the 10-20 C3)."""
    return sum(re.fullmatch(r"[BDEGH]\d+", label.strip().upper()) is not None for label in labels) >= 4


def canonical_name(label: str) -> str:
    """Return a label as an upper-case 10-20 name: "EEG Fp1-CLE", "Fc5." and "T7/T3" become FP1, FC5 and T7.

    A label that is not an electrode name is only made upper-case.
    """
    name = label.strip().upper()
    for _ in range(3):
        name = _DECORATION.sub("", name).strip()
    both = {_OLD_NAMES.get(part.strip(), part.strip()) for part in name.split("/")}
    return both.pop() if len(both) == 1 else name


@dataclass(frozen=True)
class Montage:
    """Which channel of a stream is which 10-20 electrode."""

    name: str  # what the user gave: an MNE montage name or a file
    labels: Mapping[str, str] = field(default_factory=dict)  # 10-20 name by the stream's upper-case label
    #: 10-20 name by channel index, from 0. Empty for an MNE montage: the order of its list is not the order
    #: of an amplifier's channels, so a stream without labels cannot use it.
    indices: Mapping[int, str] = field(default_factory=dict)
    complete: bool = True  # a file: what it does not name is excluded, and what it names must exist
    is_headset: bool = False  # ships with the program: labels of the stream may serve
    near: bool = False  # a near electrode may stand for one that the model knows
    unit: str = ""  # of all channels, as ``--eeg-unit``; "": as the stream says


def load_montage(text: str) -> Montage:
    """Return the montage that ``--montage`` names.

    Either a headset of `assets.HEADSETS`; or a TOML file with a table ``[labels]`` (``TP9 = "TP7"``), a table
    ``[indices]`` (``1 = "C3"``, counted from 0) or both, before them ``unit`` and ``near`` (of `Montage`); or
    the name of an MNE montage, whose electrodes take the name of the 10-20 position nearest to them. Raises
    `InputError` if there is no such file or montage, the TOML is broken, or a name is not a 10-20 name.
    """
    if text.lower() in headsets():
        return headsets()[text.lower()]
    if text.lower().endswith(".toml") or Path(text).is_file():
        return _from_toml(Path(text))
    return _from_mne(text)


@functools.cache
def headsets() -> Mapping[str, Montage]:
    """Return the montages of headsets that ship with the program, by name."""
    entries = tomllib.loads(HEADSETS.read_text(encoding="utf-8"))
    return {
        name: Montage(
            name=name,
            labels=entry.get("labels", {}),
            indices={int(index): electrode for index, electrode in entry.get("indices", {}).items()},
            complete=False,
            is_headset=True,
            near=True,
        )
        for name, entry in entries.items()
    }


def headset_of(labels: Sequence[str], device: str) -> str:
    """Return the name of a headset that may have sent these labels, from a device's or file's name too."""
    upper = {label.strip().upper() for label in labels}
    if is_numbered_cap(upper) or {f"A{n}" for n in range(1, 17)} <= upper:
        if (n := sum(re.fullmatch(r"E\d+", label) is not None for label in upper)) > 32:  # EGI: all are E
            nets = {64: "64_1.0", 65: "65_1.0", 128: "128", 129: "129", 256: "256", 257: "257"}
            return next((f"GSN-HydroCel-{name}" for net, name in nets.items() if n <= net), "")
        n = sum(re.fullmatch(r"[A-H]\d+", label) is not None for label in upper)
        return next((f"biosemi{cap}" for cap in (16, 32, 64, 128, 160, 256) if n <= cap), "")
    for name, montage in headsets().items():
        if set(list(montage.labels)[:4]) <= upper if montage.labels else name.split("-")[0] in device.lower():
            return name
    n_numbered = sum(re.fullmatch(r"[AB]\d+", label) is not None for label in upper)
    return f"biosemi{n_numbered}" if f"biosemi{n_numbered}" in _BIOSEMI else ""


def nearest_wanted(names: Mapping[int, str], wanted: Sequence[str]) -> dict[int, tuple[str, float]]:
    """Return a stand-in for each electrode that is not wanted: the nearest wanted one, and degrees to it.

    None is farther than `_FAR_DEG` or taken by another channel.
    """
    known = electrode_directions()
    others = {index: known[name] for index, name in names.items() if name not in wanted and name in known}
    return _nearest(others, _places([name for name in wanted if name not in names.values()]), _FAR_DEG)


def _places(names: Iterable[str]) -> dict[str, NDArray[np.float64]]:
    """Return the directions (3,) of those of some electrodes that have a place."""
    known = electrode_directions()
    return {name: known[at] for name in names if (at := _POSITION_OF.get(name, name)) in known}


def _nearest(
    electrodes: Mapping[_K, NDArray[np.float64]], targets: Mapping[str, NDArray[np.float64]], most_deg: float
) -> dict[_K, tuple[str, float]]:
    """Return the nearest target of electrodes, and degrees to it: one each, nearest pairs first."""
    pairs = [
        (math.degrees(math.acos(np.clip(ray @ place, -1.0, 1.0))), electrode, target)
        for electrode, ray in electrodes.items()
        for target, place in targets.items()
    ]
    found: dict[_K, tuple[str, float]] = {}
    taken = set()
    for degrees, electrode, target in sorted(pairs, key=lambda pair: pair[0]):
        if degrees <= most_deg and electrode not in found and target not in taken:
            found[electrode] = target, degrees
            taken.add(target)
    return found


def unit_positions(ch_names: Sequence[str]) -> NDArray[np.float64]:
    """Return (n_channels, 3) electrode positions on the unit sphere for display.

    x to the right ear, y to the nose, z up; CB1 and CB2 are shown at PO9 and PO10, a row of NaN stands for a
    name without a known position.
    """
    names = [canonical_name(ch_name) for ch_name in ch_names]
    rows = [electrode_directions().get(_POSITION_OF.get(name, name), np.full(3, np.nan)) for name in names]
    return np.array(rows).reshape(-1, 3)


def _from_toml(path: Path) -> Montage:
    where = f"montage {path}"
    refused = partial(InputError, where=where, code=ErrorCode.CHANNELS)
    try:
        document = parse_toml(read_limited(path))
    except ValueError as error:
        raise refused(str(error)) from error
    except OSError as error:
        raise refused(f"cannot be read: {error.strerror}") from error
    unknown = [key for key in document if key not in ("name", "labels", "indices", "unit", "near")]
    labels, indices = document.get("labels", {}), document.get("indices", {})
    if unknown or not isinstance(labels, dict) or not isinstance(indices, dict) or not (labels or indices):
        raise refused(
            f"expected tables [labels] or [indices], found {', '.join(document) or 'an empty file'}",
            remedy='write for example [labels] and below it TP9 = "TP7"',
        )
    if bad := [key for key in indices if not key.isdecimal() or len(key) > 6]:
        raise refused(f"[indices] holds {bad[0]!r}: expected channel numbers from 0")
    return Montage(
        name=str(document.get("name", path.name)),
        labels={key.strip().upper(): _checked(value, key, where) for key, value in labels.items()},
        indices={int(key): _checked(value, key, where) for key, value in indices.items()},
        near=document.get("near") is True,
        unit=str(document.get("unit", "")),
    )


def _checked(value: object, key: str, where: str) -> str:
    """Return a 10-20 name, or say which known name it resembles."""
    name = canonical_name(value) if isinstance(value, str) else str(value)
    known = [*SEED_CH_NAMES, *electrode_directions()]
    if isinstance(value, str) and name in known:
        return name
    similar = difflib.get_close_matches(name, known, n=3)
    what = f"{value!r} (for {key}) is not a 10-20 name"
    remedy = f"perhaps {' or '.join(similar)}" if similar else "use names such as FP1, CZ, PO8"
    raise InputError(what, where=where, remedy=remedy, code=ErrorCode.CHANNELS)


_BIOSEMI = ("biosemi16", "biosemi32", "biosemi64")


def _from_mne(name: str) -> Montage:
    from mne.channels import get_builtin_montages

    if name not in get_builtin_montages():
        similar = difflib.get_close_matches(name, get_builtin_montages(), n=3)
        hint = f"; similar: {', '.join(similar)}" if similar else ""
        what = f"{name!r} is neither a file nor an MNE montage{hint}"
        remedy = (
            f'give a TOML file with [labels], one of {", ".join(headsets())}, or a name such as "biosemi64"'
        )
        raise InputError(what, where="--montage", remedy=remedy, code=ErrorCode.CHANNELS)
    electrodes = electrode_directions(name)
    ten_five = electrode_directions()
    known = {*ten_five, *SEED_CH_NAMES}
    labels = {label: canonical_name(label) for label in electrodes if canonical_name(label) in known}
    if name in _BIOSEMI:  # a list in the order of the amplifier's A1, A2, ..., B32
        numbered = (f"{bank}{number}" for bank in "AB" for number in range(1, 33))
        labels |= {label: labels[electrode] for label, electrode in zip(numbered, electrodes, strict=False)}
    # A cap with its own numbering (A1-D32, E1-E128) goes by position: its C3 is not the 10-20 C3.
    if len(labels) < len(electrodes) / 2:
        nearest = _nearest(electrodes, _places(SEED_CH_NAMES), _NEAR_DEG)
        labels = {label: target for label, (target, _) in nearest.items()}
    return Montage(name=name, labels=labels, complete=False)


if __name__ == "__main__":
    write_table(TEN_FIVE)
