"""The plan of a calibration session: its emotions, what is shown for them, and how long everything takes."""

from __future__ import annotations

import dataclasses
import difflib
import re
import reprlib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acquisition.errors import ErrorCode, InputError
from assets import DEFAULT_PROTOCOL
from calibration.types import STIMULUS_KINDS, Stimulus

#: With a time scale a stimulus takes this long at least: the features need ten seconds, and some to change.
LEAST_STIMULUS_S = 20.0

#: Leave-one-trial-out needs another trial of the class that was left out.
LEAST_PER_CLASS = 2

#: Nobody sits through more in one session.
MOST_TRIALS = 500


@dataclass(frozen=True)
class Plan:
    """What a session is made of; all durations in seconds.

    Raises InputError if fewer than two classes are given, one has no stimulus, there are too few trials for
    them, or too many for a session.
    """

    classes: tuple[str, ...]
    stimuli: Mapping[str, tuple[Stimulus, ...]]  # by emotion, in turn
    practice: Stimulus
    n_trials: int = 10
    hint_s: float = 5.0
    stimulus_s: float = 40.0
    report_s: float = 15.0
    rest_s: float = 15.0
    long_rest_s: float = 30.0
    long_rest_after: tuple[str, ...] = ("fear", "disgust")
    baseline_s: float = 30.0  # each: eyes open, eyes closed; 0 leaves both out
    practice_s: float = 15.0  # 0 leaves it out
    pleasant: tuple[str, ...] = ("happy", "neutral")  # the first of these among the classes comes last
    name: str = ""
    path: Path | None = field(default=None, compare=False)  # of the TOML file

    def __post_init__(self) -> None:
        where = f"protocol {self.path}" if self.path else "protocol"
        if len(self.classes) < 2:
            raise InputError(
                f"expected at least two classes, found {', '.join(self.classes) or 'none'}",
                where=where,
                remedy="name at least two, such as --classes happy,sad",
            )
        if twice := sorted({name for name in self.classes if self.classes.count(name) > 1}):
            raise InputError(f"classes names {twice[0]!r} twice", where=where, remedy="name each class once")
        for name in self.classes:
            if not self.stimuli.get(name):
                known = ", ".join(key for key, listed in self.stimuli.items() if listed) or "none"
                raise InputError(
                    f"class {name!r} has no stimulus: expected one or more in stimuli.{name}, found {known}",
                    where=where,
                    remedy=f"add a table [[stimuli.{name}]], or leave {name!r} out of the classes",
                )
        needed = LEAST_PER_CLASS * len(self.classes)
        if self.n_trials < needed:
            raise InputError(
                f"expected at least {needed} trials for {len(self.classes)} classes, found {self.n_trials}: "
                "each class needs one to learn from and one to test",
                where=where,
                remedy="take more trials or fewer classes",
            )
        if self.n_trials > MOST_TRIALS:
            raise InputError(
                f"expected at most {MOST_TRIALS} trials, found {self.n_trials}",
                where=where,
                remedy="take fewer; what more there is to learn is for a second session",
            )

    @property
    def closing(self) -> str:
        """The emotion of the last trial; empty where no class is pleasant."""
        return next((name for name in self.pleasant if name in self.classes), "")

    def rest_after(self, emotion: str) -> float:
        """Return the seconds of rest after a trial of an emotion."""
        return self.long_rest_s if emotion in self.long_rest_after else self.rest_s

    def scaled(self, time_scale: float) -> Plan:
        """Return the plan shortened by a time scale of 1 or more, for tests with a simulated person.

        A stimulus is shortened to 20 s at most; one that is planned shorter keeps its length.
        """
        if not 1 <= time_scale < float("inf"):
            raise InputError(
                f"expected a time scale of 1 or more, found {time_scale:g}",
                where="--time-scale",
                remedy="give a number such as 20, or leave it out",
            )
        shortened = {name: getattr(self, name) / time_scale for name in SCALED}
        shortest = min(self.stimulus_s, LEAST_STIMULUS_S)
        return dataclasses.replace(self, **shortened, stimulus_s=max(shortest, self.stimulus_s / time_scale))

    def settings(self) -> dict[str, object]:
        """Return the plan in words and figures, as a session's record keeps it."""
        figures = {name: getattr(self, name) for name in ("n_trials", "stimulus_s", *SCALED)}
        return {"protocol": self.path.name if self.path else "", "name": self.name, **figures}


#: Durations that a time scale divides.
SCALED = ("hint_s", "report_s", "rest_s", "long_rest_s", "baseline_s", "practice_s")


def load_plan(
    path: Path | None = None, classes: Sequence[str] | None = None, n_trials: int | None = None
) -> Plan:
    """Read a protocol file (without one the program's own five emotions) and check all that it names.

    ``classes`` and ``n_trials`` take the place of the file's. Raises InputError as
    `read_protocol` and `Plan` do.
    """
    path = Path(path) if path is not None else DEFAULT_PROTOCOL
    values = read_protocol(path)
    if classes is not None:
        values["classes"] = tuple(classes)
    if n_trials is not None:
        values["n_trials"] = n_trials
    return Plan(**values, path=path)


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

    Clips are found relative to the file's folder. Raises InputError if it cannot be read, is no TOML (with
    line and column), has an unknown key or kind, a value of another type than expected, or names a clip that
    is missing, empty or of another kind.
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
        raise _protocol_error("expected a table [practice], found none", where, "add what is shown")
    plan["practice"] = _stimulus(document["practice"], "practice", path, where)
    plan["stimuli"] = _stimuli(document.get("stimuli", {}), path, where)
    plan.setdefault("classes", tuple(plan["stimuli"]))
    return plan


def _parsed(path: Path, where: str) -> dict[str, Any]:
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise _protocol_error("there is no such file", where, "check the path") from error
    except OSError as error:
        raise _protocol_error(f"cannot be read: {error.strerror}", where, "check path and rights") from error
    try:
        return tomllib.loads(raw.decode("utf-8-sig"))  # editors of Windows put a mark before it
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        raise _protocol_error(
            f"is no UTF-8 text (at line {line}, column {column})", where, "save it as UTF-8"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise _protocol_error(
            f"is no valid TOML: {_with_place(str(error), raw)}", where, "fix that line"
        ) from error
    except RecursionError as error:
        raise _protocol_error("brackets are nested too deep", where, "write a flat list") from error


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
        raise _protocol_error(
            f"{key} has both a text and a path", where, "a text is either here or in its file"
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
        raise _protocol_error(
            f"{key} names {clip}, which cannot be read: {found}",
            where,
            "paths count from the protocol's folder",
        ) from error
    if is_empty:
        raise _protocol_error(f"{key} names {clip}, which is empty", where, "put a whole file there")
    return clip.resolve()


def _read_text(clip: Path, key: str, where: str) -> str:
    try:
        text = clip.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError as error:
        raise _protocol_error(
            f"{key} names {clip}, which is no UTF-8 text", where, "save it as UTF-8"
        ) from error
    if not text:
        raise _protocol_error(f"{key} names {clip}, which holds no words", where, "write the prompt")
    return text


def _known(table: dict[str, Any], known: Iterable[str], inside: str, where: str) -> None:
    known = tuple(known)
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            raise _protocol_error(
                f"unknown key {f'{inside}.{key}' if inside else key!s}: expected {', '.join(known)}",
                where,
                f"did you mean {near[0]}?" if near else "take it out",
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


def _protocol_error(what: str, where: str, remedy: str) -> InputError:
    return InputError(what, where=where, remedy=remedy, code=ErrorCode.FILE)


def _wrong(expected: str, found: object, key: str, where: str) -> InputError:
    shown = "nothing" if found is None else reprlib.repr(found)
    return _protocol_error(f"{key}: expected {expected}, found {shown}", where, "fix that entry")
