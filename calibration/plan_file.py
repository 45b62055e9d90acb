"""Reads a protocol file (TOML) and checks every key and every clip that it names."""

from __future__ import annotations

import difflib
import re
import reprlib
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from acquisition.errors import InputError
from calibration.types import STIMULUS_KINDS, Stimulus

#: What the window's player and picture reader take.
SUFFIXES = {
    "image": (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp"),
    "sound": (".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a", ".aac"),
    "video": (".mp4", ".m4v", ".mkv", ".webm", ".mov", ".avi", ".mpg", ".mpeg", ".wmv", ".ogv"),
}

_NAMES = ("classes", "pleasant", "long_rest_after")
_KEYS = ("name", "n_trials", *_NAMES, "durations", "practice", "stimuli")
_MAY_BE_ZERO = ("baseline_s", "practice_s")
_DURATIONS = ("hint_s", "stimulus_s", "report_s", "rest_s", "long_rest_s", *_MAY_BE_ZERO)
_LONGEST_S = 3600.0
#: Parts of markers, separated there by slashes.
_EMOTION = re.compile(r"[\w-]+")


def read_protocol(path: Path) -> dict[str, Any]:
    """Return what a protocol file says, under the names of a Plan's fields.

    Parameters
    ----------
    path : Path
        The TOML file. Clips are found relative to its folder.

    Raises
    ------
    InputError
        If it cannot be read, is no TOML (with line and column), has an unknown key or kind, a value of
        another type than expected, or names a clip that is missing, empty or of another kind.
    """
    where = f"protocol {path}"
    document = _parsed(path, where)
    _known(document, _KEYS, "", where)
    plan: dict[str, Any] = {}
    if "name" in document:
        plan["name"] = _text(document["name"], "name", where)
    if "n_trials" in document:
        plan["n_trials"] = _count(document["n_trials"], "n_trials", where)
    for key in _NAMES:
        if key in document:
            plan[key] = _emotions(document[key], key, where)
    durations = _table(document.get("durations", {}), "durations", where)
    _known(durations, _DURATIONS, "durations", where)
    for key, value in durations.items():
        plan[key] = _seconds(value, f"durations.{key}", where)
    if "practice" not in document:
        raise InputError("expected a table [practice], found none", where=where, remedy="add what is shown")
    plan["practice"] = _stimulus(document["practice"], "practice", path, where)
    plan["stimuli"] = _stimuli(document.get("stimuli", {}), path, where)
    plan.setdefault("classes", tuple(plan["stimuli"]))
    return plan


def _parsed(path: Path, where: str) -> dict[str, Any]:
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError("there is no such file", where=where, remedy="check the path") from error
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}", where=where, remedy="check path and rights"
        ) from error
    try:
        return tomllib.loads(raw.decode("utf-8-sig"))  # editors of Windows put a mark before it
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        raise InputError(
            f"is no UTF-8 text (at line {line}, column {column})", where=where, remedy="save it as UTF-8"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(
            f"is no valid TOML: {_with_place(str(error), raw)}", where=where, remedy="mend that line"
        ) from error
    except RecursionError as error:
        raise InputError("brackets are nested too deep", where=where, remedy="write a flat list") from error


def _with_place(message: str, raw: bytes) -> str:
    lines = raw.decode("utf-8").splitlines() or [""]
    end = f"line {len(lines)}, column {len(lines[-1]) + 1}, the end"  # tomllib says where but at the end
    return message.replace("at end of document", f"at {end}")


def _stimuli(value: object, path: Path, where: str) -> dict[str, tuple[Stimulus, ...]]:
    stimuli = {}
    for emotion, listed in _table(value, "stimuli", where).items():
        key = f"stimuli.{emotion}"
        _emotions([emotion], key, where)
        if not isinstance(listed, list):
            raise _wrong(f"tables [[{key}]]", listed, key, where)
        stimuli[emotion] = tuple(
            _stimulus(entry, f"{key}[{index}]", path, where) for index, entry in enumerate(listed, 1)
        )
    return stimuli


def _stimulus(value: object, key: str, path: Path, where: str) -> Stimulus:
    entry = _table(value, key, where)
    _known(entry, ("kind", "text", "path"), key, where)
    kind = entry.get("kind")
    if not isinstance(kind, str) or kind not in STIMULUS_KINDS:
        raise _wrong(f"one of {', '.join(STIMULUS_KINDS)}", kind, f"{key}.kind", where)
    text = _text(entry.get("text", ""), f"{key}.text", where).strip()
    if "path" not in entry:
        if kind != "text":
            raise _wrong("the path of a file", None, f"{key}.path", where)
        if not text:
            raise _wrong("a text to show", text, f"{key}.text", where)
        return Stimulus(kind, text)
    clip = _clip(path.parent / _text(entry["path"], f"{key}.path", where), kind, f"{key}.path", where)
    if kind != "text":
        return Stimulus(kind, text, clip)
    if text:
        raise InputError(
            f"{key} has both a text and a path", where=where, remedy="a text is either here or in its file"
        )
    return Stimulus(kind, _read_text(clip, f"{key}.path", where))


def _clip(clip: Path, kind: str, key: str, where: str) -> Path:
    suffixes = SUFFIXES.get(kind)
    if suffixes and clip.suffix.lower() not in suffixes:
        raise _wrong(f"a file of kind {kind} ({', '.join(suffixes)})", clip.name, key, where)
    try:
        if clip.exists() and not clip.is_file():
            raise _wrong("a file", str(clip), key, where)
        with clip.open("rb") as file:
            is_empty = not file.read(1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        found = str(getattr(error, "strerror", None) or error)
        raise InputError(
            f"{key} names {clip}, which cannot be read: {found}",
            where=where,
            remedy="paths count from the protocol's folder",
        ) from error
    if is_empty:
        raise InputError(f"{key} names {clip}, which is empty", where=where, remedy="put a whole file there")
    return clip.resolve()


def _read_text(clip: Path, key: str, where: str) -> str:
    try:
        text = clip.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError as error:
        raise InputError(
            f"{key} names {clip}, which is no UTF-8 text", where=where, remedy="save it as UTF-8"
        ) from error
    if not text:
        raise InputError(f"{key} names {clip}, which holds no words", where=where, remedy="write the prompt")
    return text


def _known(table: dict[str, Any], known: Iterable[str], inside: str, where: str) -> None:
    known = tuple(known)
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            raise InputError(
                f"unknown key {f'{inside}.{key}' if inside else key!s}: expected {', '.join(known)}",
                where=where,
                remedy=f"did you mean {near[0]}?" if near else "take it out",
            )


def _table(value: object, key: str, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong("a table", value, key, where)
    return value


def _text(value: object, key: str, where: str) -> str:
    if not isinstance(value, str):
        raise _wrong("a text in quotes", value, key, where)
    return value


def _count(value: object, key: str, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _wrong("a whole number from 1", value, key, where)
    return value


def _seconds(value: object, key: str, where: str) -> float:
    may_be_zero = key.rpartition(".")[2] in _MAY_BE_ZERO
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= _LONGEST_S or (value == 0 and not may_be_zero):  # type: ignore[operator]
        least = "seconds, 0 or more" if may_be_zero else "seconds above 0"
        raise _wrong(f"{least} and at most {_LONGEST_S:.0f}", value, key, where)
    return float(value)  # type: ignore[arg-type]


def _emotions(value: object, key: str, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(n, str) and _EMOTION.fullmatch(n) for n in value):
        raise _wrong("names of emotions of letters, digits, - and _", value, key, where)
    return tuple(value)


def _wrong(expected: str, found: object, key: str, where: str) -> InputError:
    shown = "nothing" if found is None else reprlib.repr(found)
    return InputError(f"{key}: expected {expected}, found {shown}", where=where, remedy="mend that entry")
