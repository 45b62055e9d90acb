"""Recordings in text tables: EEG exports of Mind Monitor, muselsl, OpenBCI, Emotiv and g.tec, and pupils.

| program        | known by                       | EEG columns           | unit | rate             |
|----------------|--------------------------------|-----------------------|------|------------------|
| Mind Monitor   | ``RAW_`` columns               | ``RAW_TP9`` ...       | µV   | time stamps      |
| muselsl        | Muse's four electrodes         | ``TP9`` ...           | µV   | time stamps      |
| OpenBCI GUI    | ``EXG`` columns, lines of ``%``| ``EXG Channel 0`` ... | µV   | ``%Sample Rate`` |
| EmotivPRO      | ``EEG.`` columns               | ``EEG.AF3`` ...       | µV   | first line       |
| others (g.tec) | 10-20 names, or a montage      | their names           | told | told, or stamps  |

Which columns are EEG is decided where it is for streams (`acquisition.adapters.eeg`): by 10-20 name or
montage. A table with a pupil column and no 10-20 name is one of an eye tracker.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.adapters.eeg import stated_unit
from acquisition.errors import ErrorCode, InputError, file_errors
from acquisition.montage import SEED_CH_NAMES, canonical_name, electrode_directions
from models.datasets.files import unusable

CSV_SUFFIXES = (".csv", ".tsv", ".txt")
_MUSE = {"TP9", "AF7", "AF8", "TP10"}
_RATE = re.compile(r"(?:sample rate|sampling rate|sampling)\s*[=:]\s*(?:eeg_)?([\d.]+)", re.IGNORECASE)
_N_SHOWN = 12
_OPEN = 0.5  # of the lid: below, the eye is closed


@dataclass(frozen=True, eq=False)
class TextTable:
    """A table of numbers with named columns."""

    path: Path
    header: str  # what stands above the column names
    names: tuple[str, ...]
    values: NDArray[np.float64]  # (n_rows, n_columns), NaN where there is no number
    times: NDArray[np.float64] | None  # (n_rows,) seconds

    def column(self, *words: str) -> NDArray[np.float64] | None:
        """Return the first column whose name holds all these words."""
        found = [at for at, name in enumerate(self.names) if all(word in name.lower() for word in words)]
        return self.values[:, found[0]] if found else None

    def rate(self, stated: float | None, rows: NDArray[np.bool_]) -> float:
        """Return samples a second: as stated, as the file says, or by time stamps of ``rows`` (n_rows,)."""
        if stated is not None:
            return stated
        if (said := _RATE.search(self.header)) and float(said[1]) > 0:
            return float(said[1])
        times = None if self.times is None else self.times[rows & np.isfinite(self.times)]
        if times is None or len(times) < 2 or not times[-1] > times[0]:
            raise self.refused(
                "it says no sampling rate, and has no time stamps",
                "give --sfreq HZ, or a column timestamp in seconds",
            )
        return float((len(times) - 1) / (times[-1] - times[0]))

    def refused(self, what: str, remedy: str) -> InputError:
        """Return the error for a table that cannot be read, with its columns."""
        more = f" and {len(self.names) - _N_SHOWN} more" if len(self.names) > _N_SHOWN else ""
        shown = ", ".join(self.names[:_N_SHOWN]) + more
        return unusable(f"{what}; its columns: {shown or 'none'}", self.path, remedy)


def _opened(path: Path) -> tuple[str, tuple[str, ...], list[str], str]:
    """Return what stands above a table, its column names, the lines below and their delimiter."""
    with file_errors("the table cannot be read", path, code=ErrorCode.RECORDING):
        lines = path.read_bytes().decode("utf-8-sig", "replace").splitlines()
    above = (not line.strip() or line.startswith(("%", "#", "title:")) for line in lines)
    n_above = next((at for at, is_above in enumerate(above) if not is_above), len(lines))
    top = lines[n_above] if n_above < len(lines) else ""
    delimiter = max("\t;,", key=top.count)
    names = tuple(name.strip() for name in next(_rows([top], delimiter, path), []))
    while names and not names[-1]:
        names = names[:-1]  # a delimiter ends each line
    if len(names) < 2 or all(_number(name) == _number(name) for name in names):
        what = f"expected a table with column names in its first line, found {top[:60]!r}"
        raise unusable(what, path, "write the names of the columns above the numbers")
    return "\n".join(lines[:n_above]), names, lines[n_above + 1 :], delimiter


def _rows(lines: list[str], delimiter: str, path: Path) -> Iterator[list[str]]:
    try:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        for at, row in enumerate(reader, start=1):
            if reader.line_num != at:
                raise csv.Error(f"a quote in row {at} is not closed in its line")
            yield row
    except csv.Error as error:  # a quote that nothing closes, for one
        raise unusable(f"expected a table: {error}", path, "export the recording again") from error


def read_table(path: Path) -> TextTable:
    """Read a table of numbers; raises `InputError` if it has no column names or no rows of numbers."""
    header, names, lines, delimiter = _opened(path)
    at_time = next((at for at, name in enumerate(names) if "time" in name.lower()), None)
    comma = delimiter == ";" and any("," in line for line in lines[:2])
    values, times = [], []
    for row in _rows(lines, delimiter, path):
        if len(row) < len(names):
            continue  # the last line of a recording that broke off
        row = [cell.replace(",", ".") for cell in row[: len(names)]] if comma else row[: len(names)]
        values.append([_number(cell) for cell in row])
        times.append(np.nan if at_time is None else _seconds(row[at_time]))
    table = TextTable(path, header, names, np.array(values).reshape(-1, len(names)),
                      None if at_time is None else np.array(times))  # fmt: skip
    if not len(values):
        raise table.refused("expected rows of numbers, found none", "give a recording")
    return table


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


def _seconds(text: str) -> float:
    """Return the seconds of a number (milliseconds or microseconds since 1970 too), or of a date."""
    value = _number(text)
    if not np.isfinite(value):
        try:
            return datetime.fromisoformat(text.strip()[:26]).timestamp()
        except ValueError:
            return np.nan
    while value > 1e11:  # seconds have ten digits until the year 2286
        value /= 1e3
    return value


def has_eyes(path: Path) -> bool:
    """Tell by its column names whether a table is an eye tracker's: pupils, and no EEG electrode."""
    _, names, *_ = _opened(path)
    return any("pupil" in name.lower() for name in names) and not any(_electrode(name) for name in names)


def _electrode(name: str) -> bool:
    return canonical_name(name) in {*SEED_CH_NAMES, *electrode_directions()}


def raw_of(table: TextTable, sfreq: float | None, unit: str | None, *, montage: bool) -> Any:
    """Return the EEG as an MNE raw object in V; `InputError` without EEG columns, rate or unit."""
    from mne import create_info
    from mne.io import RawArray

    names, known, picks = list(table.names), True, dict[int, str]()
    for prefix in ("EEG.", "RAW_"):
        picks = {at: name[4:] for at, name in enumerate(names) if name.startswith(prefix)} or picks
    if not picks:
        picks = {at: name for at, name in enumerate(names) if "time" not in name.lower()}
        known = "EXG" in " ".join(names) or _MUSE.issubset(name.upper() for name in names)
    if not montage and sum(_electrode(name) for name in picks.values()) < 2:
        remedy = "name the electrodes by --montage FILE.toml, or export with 10-20 names"
        raise table.refused("expected EEG columns with 10-20 names, found none", remedy)
    if unit is None and not known:
        raise table.refused("the unit of its EEG columns is not known", "give --eeg-unit uV, mV or V")
    scale = stated_unit(unit or "uV", "--eeg-unit") * 1e-6
    if not montage:
        picks = {at: name for at, name in picks.items() if _electrode(name)}
    values = table.values[:, list(picks)]
    there = np.asarray(np.isfinite(values).any(axis=1))
    if not there.any():
        raise table.refused("its EEG columns hold no numbers", "give a recording")
    info = create_info(list(picks.values()), table.rate(sfreq, there), "eeg")
    return RawArray(values[there].T * scale, info, verbose="error")


def eyes_of(table: TextTable) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return times (n,) in s from the first row, and gaze (n, 5) as `eye_features` takes it."""
    if table.times is None or not np.isfinite(table.times).any():
        raise table.refused("expected a column of time stamps, found none", "export the times too")
    order = np.flatnonzero(np.isfinite(table.times))
    order = order[np.argsort(table.times[order], kind="stable")]
    left = next(c for c in (table.column("pupil", side) for side in ("_l", "left", "")) if c is not None)
    right = next(c for c in (table.column("pupil", side) for side in ("_r", "right", "")) if c is not None)
    gaze = np.full((len(table.times), 5), 0.5)
    gaze[:, 2], gaze[:, 3] = left, right
    lids = [c for c in (table.column("openness", side) for side in ("_l", "_r")) if c is not None]
    gaze[:, 4] = 1.0 if not lids else np.max(lids, axis=0) >= _OPEN
    return table.times[order] - table.times[order[0]], gaze[order]
