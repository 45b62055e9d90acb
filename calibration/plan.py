"""The plan of a calibration session: its emotions, what is shown for them, and how long everything takes."""

from __future__ import annotations

import dataclasses
import difflib
import re
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acquisition.errors import ErrorCode, InputError, file_errors, read_limited, real_path
from acquisition.text import parse_toml
from assets import DEFAULT_PROTOCOL
from calibration.types import STIMULUS_KINDS, Stimulus

#: Shortest stimulus with a time scale: the features need ten seconds, and some more to change.
LEAST_STIMULUS_S = 20.0

#: Leave-one-trial-out needs another trial of the held-out trial's class.
LEAST_PER_CLASS = 2

#: More than anyone completes in one session.
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
    baseline_s: float = 30.0  # each: eyes open, eyes closed; 0 omits both
    practice_s: float = 15.0  # 0 omits it
    pleasant: tuple[str, ...] = ("happy", "neutral")  # the first of these among the classes comes last
    name: str = ""
    path: Path | None = field(default=None, compare=False)  # of the TOML file

    def __post_init__(self) -> None:
        def refuse(key: str, what: str, remedy: str, **facts: int) -> InputError:
            where = f"protocol {self.path}" if self.path else "protocol"
            return InputError(what, where=where, remedy=remedy, code=ErrorCode.OPTION, key=key, **facts)

        if len(self.classes) < 2:
            found = f"expected at least two classes, found {', '.join(self.classes) or 'none'}"
            raise refuse("classes", found, "name at least two, such as --classes happy,sad")
        if twice := sorted({name for name in self.classes if self.classes.count(name) > 1}):
            raise refuse("classes", f"class {twice[0]!r} is listed twice", "list each class once")
        for name in self.classes:
            if not self.stimuli.get(name):
                known = ", ".join(key for key, listed in self.stimuli.items() if listed) or "none"
                what = (
                    f"class {name!r} has no stimulus: expected one or more in stimuli.{name}, found {known}"
                )
                remedy = f"add a table [[stimuli.{name}]], or remove {name!r} from the classes"
                raise refuse(f"stimuli.{name}", what, remedy)
        needed = LEAST_PER_CLASS * len(self.classes)
        if self.n_trials < needed:
            what = (
                f"expected at least {needed} trials for {len(self.classes)} classes, found {self.n_trials}: "
                "each class needs one to learn from and one to test"
            )
            raise refuse("n_trials", what, "use more trials or fewer classes", least=needed)
        if self.n_trials > MOST_TRIALS:
            what = f"expected at most {MOST_TRIALS} trials, found {self.n_trials}"
            remedy = "use fewer, and run a second session for more data"
            raise refuse("n_trials", what, remedy, most=MOST_TRIALS)

    @property
    def closing(self) -> str:
        """The emotion of the last trial; empty where no class is pleasant."""
        return next((name for name in self.pleasant if name in self.classes), "")

    def rest_after(self, emotion: str) -> float:
        return self.long_rest_s if emotion in self.long_rest_after else self.rest_s

    def scaled(self, time_scale: float) -> Plan:
        """Return the plan shortened by a time scale of 1 or more, for tests with a simulated subject.

        A stimulus is shortened to 20 s at most; one that is planned shorter keeps its length.
        """
        if not 1 <= time_scale < float("inf"):
            what = f"expected a time scale of 1 or more, found {time_scale:g}"
            raise InputError(what, where="--time-scale", remedy="give a number such as 20, or omit it")
        shortened = {name: getattr(self, name) / time_scale for name in SCALED}
        shortest = min(self.stimulus_s, LEAST_STIMULUS_S)
        return dataclasses.replace(self, **shortened, stimulus_s=max(shortest, self.stimulus_s / time_scale))

    def settings(self) -> dict[str, object]:
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

_LONGEST_S = 3600.0
_EMOTION = re.compile(r"[\w-]+")  # parts of markers, separated there by slashes


def _is_seconds(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value <= _LONGEST_S  # type: ignore[operator]


#: The expected value, as text and as a test.
_Kind = tuple[str, Callable[[Any], bool]]
_TABLE: _Kind = ("a table", lambda value: isinstance(value, dict))
_TEXT: _Kind = ("a quoted string", lambda value: isinstance(value, str))
_COUNT: _Kind = ("a whole number from 1", lambda value: type(value) is int and value >= 1)
_EMOTIONS: _Kind = (
    "names of emotions of letters, digits, - and _",
    lambda value: (
        isinstance(value, list) and all(isinstance(name, str) and _EMOTION.fullmatch(name) for name in value)
    ),
)
_SECONDS: _Kind = (
    f"seconds above 0 and at most {_LONGEST_S:.0f}",
    lambda value: _is_seconds(value) and value > 0,
)
_SECONDS_OR_0: _Kind = (f"seconds, 0 or more and at most {_LONGEST_S:.0f}", _is_seconds)
_PROTOCOL = {
    "name": _TEXT,
    "n_trials": _COUNT,
    **dict.fromkeys(("classes", "pleasant", "long_rest_after"), _EMOTIONS),
    **dict.fromkeys(("durations", "practice", "stimuli"), _TABLE),
}
_DURATIONS = {
    **dict.fromkeys(("hint_s", "stimulus_s", "report_s", "rest_s", "long_rest_s"), _SECONDS),
    **dict.fromkeys(("baseline_s", "practice_s"), _SECONDS_OR_0),
}
_STIMULUS = {
    "kind": (f"one of {', '.join(STIMULUS_KINDS)}", lambda value: value in STIMULUS_KINDS),
    "text": _TEXT,
    "path": _TEXT,
}


def read_protocol(path: Path) -> dict[str, Any]:
    """Return what a protocol file says, under the names of a Plan's fields.

    Clips are found relative to the file's folder. Raises InputError if it cannot be read, is not TOML (with
    line and column), has an unknown key or kind, a value of another type than expected, or names a clip that
    is missing, empty or of another kind; its fact ``key`` names the entry.
    """
    return _ProtocolFile(path).plan()


class _ProtocolFile:
    """Reads one protocol; every error names the file and the entry."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def plan(self) -> dict[str, Any]:
        try:
            with file_errors("cannot be read", f"protocol {self._path}", "check its path and permissions"):
                content = parse_toml(read_limited(self._path))
        except ValueError as error:
            raise self._error(str(error), remedy="correct it there, and save it as UTF-8") from error
        plan = self._checked(content, _PROTOCOL)
        for key, value in self._checked(plan.pop("durations", {}), _DURATIONS, "durations").items():
            plan[key] = float(value)
        if "practice" not in plan:
            raise self._error("expected a table [practice], found none", "practice", "add a stimulus for it")
        plan["practice"] = self._stimulus(plan["practice"], "practice")
        plan["stimuli"] = {
            emotion: self._stimuli(emotion, listed) for emotion, listed in plan.get("stimuli", {}).items()
        }
        plan.setdefault("classes", list(plan["stimuli"]))
        return {key: tuple(value) if isinstance(value, list) else value for key, value in plan.items()}

    def _checked(self, table: dict[str, Any], kinds: Mapping[str, _Kind], inside: str = "") -> dict[str, Any]:
        """Return a copy of a table whose keys are known and whose values are what they must be."""
        for name, value in table.items():
            key = f"{inside}.{name}" if inside else name
            if name not in kinds:
                near = difflib.get_close_matches(name, kinds, 1)
                remedy = f"did you mean {near[0]}?" if near else "remove it"
                raise self._error(f"unknown key {key}: expected {', '.join(kinds)}", key, remedy)
            self._require(value, kinds[name], key)
        return dict(table)

    def _require(self, value: object, kind: _Kind, key: str) -> None:
        if not kind[1](value):
            raise self._wrong(kind[0], value, key)

    def _stimuli(self, emotion: str, listed: Any) -> tuple[Stimulus, ...]:
        key = f"stimuli.{emotion}"
        self._require([emotion], _EMOTIONS, key)
        self._require(listed, (f"tables [[{key}]]", lambda value: isinstance(value, list)), key)
        return tuple(self._stimulus(entry, f"{key}[{index}]") for index, entry in enumerate(listed, 1))

    def _stimulus(self, value: Any, key: str) -> Stimulus:
        self._require(value, _TABLE, key)
        entry = self._checked(value, _STIMULUS, key)
        self._require(entry.get("kind"), _STIMULUS["kind"], f"{key}.kind")
        kind, text = entry["kind"], entry.get("text", "").strip()
        if "path" not in entry:
            if kind != "text":
                raise self._wrong("the path of a file", None, f"{key}.path")
            if not text:
                raise self._wrong("a text to show", text, f"{key}.text")
            return Stimulus(kind, text)
        clip = self._clip(self._path.parent / entry["path"], kind, f"{key}.path")
        if kind != "text":
            return Stimulus(kind, text, clip)
        if text:
            remedy = "remove one of them"
            raise self._error(f"{key} has both a text and a path", key, remedy)
        return Stimulus(kind, self._text_of(clip, f"{key}.path"))

    def _clip(self, clip: Path, kind: str, key: str) -> Path:
        suffixes = SUFFIXES.get(kind)
        if suffixes and clip.suffix.lower() not in suffixes:
            raise self._wrong(f"a file of kind {kind} ({', '.join(suffixes)})", clip.name, key)
        try:
            if clip.exists() and not clip.is_file():
                raise self._wrong("a file", str(clip), key)
            with clip.open("rb") as file:
                is_empty = not file.read(1)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            found = getattr(error, "strerror", None) or error
            what = f"{key} names {clip}, which cannot be read: {found}"
            raise self._error(what, key, "paths are relative to the protocol's folder") from error
        if is_empty:
            raise self._error(f"{key} names {clip}, which is empty", key, "replace it with a complete file")
        return real_path(clip)

    def _text_of(self, clip: Path, key: str) -> str:
        try:
            text = clip.read_text(encoding="utf-8").strip()
        except UnicodeDecodeError as error:
            what = f"{key} names {clip}, which is not UTF-8 text"
            raise self._error(what, key, "save it as UTF-8") from error
        if not text:
            raise self._error(f"{key} names {clip}, which contains no text", key, "write the prompt into it")
        return text

    def _wrong(self, expected: str, found: object, key: str) -> InputError:
        shown = "nothing" if found is None else reprlib.repr(found)
        return self._error(f"{key}: expected {expected}, found {shown}", key, "fix that entry")

    def _error(self, what: str, key: str = "", remedy: str = "") -> InputError:
        where = f"protocol {self._path}"
        return InputError(what, where=where, remedy=remedy, code=ErrorCode.FILE, key=key)
