"""Numbers with their units as messages, tables, reports and windows write them; what is not known is "-".

And JSON with numbers that every reader takes: finite ones.
"""

import csv
import json
import math
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from acquisition.errors import without_controls

UNKNOWN = "-"
_LARGEST = 2**63  # of a whole number in JSON
_LONGEST_LINE, _LONGEST_CELL = 20_000, 32_767  # characters


def number(value: float, digits: int = 0, unit: str = "") -> str:
    """Return ``value`` with thousands separated, or "-" if it is not finite."""
    if not math.isfinite(value):
        return UNKNOWN
    return f"{value:,.{digits}f} {unit}".rstrip()


def stated(text: str, default: float = 0.0) -> float:
    """Return the number that a text is; ``default`` if it is none, or not finite."""
    try:
        value = float(text)
    except ValueError:
        return default
    return value if math.isfinite(value) else default


def percent(share: float | None, digits: int = 0) -> str:
    """Return a share from 0 to 1 as per cent: "62 %"."""
    return UNKNOWN if share is None else number(100 * share, digits, "%")


def counted(n: int, noun: str) -> str:
    """Return a number with its noun: "1 window", "2,000 windows"."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def either(words: Sequence[str]) -> str:
    """Return alternatives: "happy", "happy or sad", "happy, sad or calm"."""
    return " or ".join([*[", ".join(words[:-1])][: len(words) > 1], *words[-1:]])


def duration(seconds: float, digits: int = 0) -> str:
    """Return a duration in its two largest units: "4 s", "12 min 5 s", "3 h 20 min", "2 d 4 h".

    ``digits`` are those of seconds below ten.
    """
    if not math.isfinite(seconds):
        return UNKNOWN
    if digits and seconds < 10:
        return number(seconds, digits, "s")
    whole = round(max(0.0, seconds))
    for size, unit, part_size, part in (
        (86_400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // part_size
            return f"{whole // size} {unit}" + (f" {rest} {part}" if rest else "")
    return f"{whole} s"


def age(seconds: float) -> str:
    """Return how long ago something was, with tenths below ten seconds."""
    return duration(seconds, 1)


def signed_time(seconds: float) -> str:
    """Return a clock offset: milliseconds below a second, else seconds."""
    if not math.isfinite(seconds):
        return UNKNOWN
    if abs(seconds) < 1:
        return f"{round(seconds * 1e3, 1) + 0.0:+.1f} ms"  # + 0.0: no minus zero
    return f"{seconds:+,.1f} s"


def data_size(n_bytes: float) -> str:
    """Return bytes in decimal units: "812 kB", "4.2 MB", "1.35 TB"."""
    if not math.isfinite(n_bytes):
        return UNKNOWN
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if abs(n_bytes) >= size:
            return (
                f"{n_bytes / size:.3g} {unit}" if n_bytes < 999.5 * size else f"{n_bytes / size:,.0f} {unit}"
            )
    return f"{n_bytes:.0f} B"


def rate(sfreq: float, measured: float | None = None) -> str:
    """Return a nominal rate, and the measured one where it is given: "1,000 Hz", "998.7 of 1,000 Hz"."""
    found = "" if measured is None else number(measured, 0 if measured >= 10_000 else 1)
    if sfreq <= 0:
        return f"{found} Hz, irregular" if found else "irregular"
    nominal = f"{sfreq:,.0f}" if 1000 <= sfreq < 1e9 else f"{sfreq:,.4g}"
    return f"{found} of {nominal} Hz" if found else f"{nominal} Hz"


class TableWriter:
    """Writes CSV whose texts no spreadsheet takes for formulas: ``=1+1`` is written ``'=1+1``.

    See OWASP, "CSV Injection". Control characters become spaces, and a cell has no more than Excel reads.
    """

    def __init__(self, file: TextIO) -> None:
        self._writer = csv.writer(file)

    def writerow(self, row: Iterable[Any]) -> None:
        self._writer.writerow([_cell(value) for value in row])

    def writerows(self, rows: Iterable[Iterable[Any]]) -> None:
        for row in rows:
            self.writerow(row)


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    value = without_controls(value[:_LONGEST_CELL])
    if len(value) < 2 or not value.lstrip().startswith(tuple("=+-@")):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def parse_json(text: str | bytes) -> Any:
    """Return what JSON text holds.

    Raises `ValueError` if it is none, or a number in it is NaN, infinite or too large to compute with.
    """

    def whole(number: str) -> int:
        value = int(number)
        if abs(value) > _LARGEST:
            raise ValueError(f"a whole number of {len(number)} digits is too large")
        return value

    try:
        return json.loads(text, parse_float=_real, parse_int=whole, parse_constant=_real)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _real(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{number[:40]} is not a finite number")
    return value


_MOST_TOML_BYTES = 500_000
#: Takes the parser minutes. Begins where a key may, and gives nothing back: linear in any text.
_DEEP_KEY = re.compile(
    rb"""(?<![\w"'\\-])(?:(?:"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+'|[\w-]++)\s*+\.\s*+){32}""",
)


def parse_toml(raw: bytes) -> dict[str, Any]:
    """Return what TOML text holds; raises `ValueError`, with line and column, where it is none.

    Numbers are as in `parse_json`.
    """
    if len(raw) > _MOST_TOML_BYTES:
        raise ValueError(f"it has {len(raw):,} bytes, expected at most {_MOST_TOML_BYTES:,}")
    if found := _DEEP_KEY.search(raw):
        raise ValueError(f"a key has more than 32 parts ({_place(raw, found.start())})")
    try:
        text = raw.decode("utf-8-sig")  # editors of Windows put a mark before it
        content = tomllib.loads(text)
        _check_numbers(content)
        return content
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 text ({_place(raw, error.start)})") from error
    except tomllib.TOMLDecodeError as error:  # it gives line and column everywhere but at the end
        end = f"{_place(raw, len(raw))}, the end"
        raise ValueError(f"is not valid TOML: {str(error).replace('at end of document', end)}") from error
    except RecursionError as error:
        raise ValueError("is not valid TOML: brackets are nested too deep") from error


def _check_numbers(value: object, key: str = "") -> None:
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise ValueError(f"{key}: a whole number of {value.bit_length()} bits is too large")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{key}: expected a finite number, found {value}")
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in parts:
        _check_numbers(one, f"{key}.{name}" if key else str(name))


def _place(raw: bytes, at: int) -> str:
    line, column = raw.count(b"\n", 0, at) + 1, at - raw.rfind(b"\n", 0, at)
    return f"at line {line}, column {column}"


def say(*lines: str, error: bool = False) -> None:
    """Print lines, to standard error or output, at once: the way of all text that is no table to a terminal.

    A line may hold what others wrote; nothing in it ends the line, moves the cursor or turns the direction.
    """
    stream = sys.stderr if error else sys.stdout
    if lines:
        print("\n".join(without_controls(line[:_LONGEST_LINE]) for line in lines), file=stream, flush=True)


def say_json(value: Any) -> None:
    """Print plain values as JSON, in which everything but ASCII is escaped."""
    print(json_text(value), flush=True)


def json_text(value: Any, **options: Any) -> str:
    """Return plain values as JSON, with null for numbers that are not finite; ``options`` of `json.dumps`."""
    return json.dumps(finite(value), allow_nan=False, **options)


def finite(value: Any) -> Any:
    """Return plain values with None for numbers that are not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(entry) for key, entry in value.items()}
    return [finite(entry) for entry in value] if isinstance(value, (list, tuple)) else value
