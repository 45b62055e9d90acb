"""Many recordings of many subjects as trials: a table says which, or file names do.

The table has the columns ``file,subject,session,trial,label,start_s,stop_s``; ``file`` is relative to the
table, and a missing start or stop is the file's own. Only ``file`` and ``label`` are needed.
"""

from __future__ import annotations

import csv
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from acquisition.errors import ErrorCode, InputError, file_errors
from acquisition.xdf.format import XDF_SUFFIXES, is_xdf
from models.datasets.csv_recordings import CSV_SUFFIXES
from models.datasets.recordings import (
    Reading,
    Span,
    found_markers,
    parse_events,
    raw_file_trials,
    sample_digest,
    trials_at,
    xdf_trials,
)
from models.datasets.trials import BASELINE, Excluded, Trial, note

COLUMNS = ("file", "subject", "session", "trial", "label", "start_s", "stop_s")
#: What is looked for in a folder that holds recordings.
SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "xdf": XDF_SUFFIXES,
    "raw": (".edf", ".bdf", ".gdf", ".vhdr", ".set", ".fif", ".fif.gz", ".cnt", ".mff", *CSV_SUFFIXES),
}


@dataclass(frozen=True)
class TableRow:
    """One trial of a recording, or with no label all that its annotations or markers begin."""

    file: Path
    subject: str = ""  # the file's name without suffix where nobody says
    session: str = "1"
    trial: int | None = None  # counted within the session where nobody says
    label: str | None = None
    start_s: float = 0.0
    stop_s: float = math.inf

    @property
    def who(self) -> str:
        return self.subject or self.file.name.split(".")[0]


def read_table(path: Path) -> tuple[TableRow, ...]:
    """Return the rows of a table; raises `InputError` naming the line that cannot be used."""
    with file_errors("the table of trials cannot be read", path, code=ErrorCode.FILE):
        text = path.read_text(encoding="utf-8-sig")
    top = text.partition("\n")[0]
    if (longest := max(map(len, text.splitlines()), default=0)) > csv.field_size_limit():
        raise _unusable(f"expected a table, found a line of {longest:,} characters", str(path), "correct it")
    reader = csv.DictReader(text.splitlines(), delimiter=max(",;\t", key=top.count), skipinitialspace=True)
    names = [name.strip().lower() for name in reader.fieldnames or ()]
    if not {"file", "label"} <= set(names) or not set(names) <= {*COLUMNS, ""}:
        what = f"expected the columns {','.join(COLUMNS)}, found {','.join(names) or 'none'}"
        raise _unusable(what, str(path), "file and label are needed, the others may be missing")
    reader.fieldnames = names
    rows = []
    for row in reader:
        cells = {name: (value or "").strip() for name, value in row.items() if isinstance(value, str)}
        if any(cells.values()):
            rows.append(_row(cells, path, reader.line_num))
    if not rows:
        raise _unusable("expected rows below the columns, found none", str(path), "name a file a line")
    return tuple(rows)


def _row(cells: Mapping[str, str], path: Path, line: int) -> TableRow:
    where = f"{path.name}, line {line}"
    for name in ("file", "label"):
        if not cells.get(name):
            raise _unusable(f"expected a {name}, found none", where, "fill it in, or remove the line")
    number = cells.get("trial") or "0"
    try:
        start, stop = float(cells.get("start_s") or 0.0), float(cells.get("stop_s") or math.inf)
    except ValueError:
        start = stop = math.nan
    if not 0 <= start < stop or not number.isdecimal():
        found = ", ".join(cells.get(name, "") for name in ("trial", "start_s", "stop_s"))
        what = f"expected a whole number and 0 <= start_s < stop_s or nothing, found {found}"
        raise _unusable(what, where, "correct the line")
    file = path.parent / Path(cells["file"].replace("\\", "/"))
    if not os.path.exists(file):  # False also of a name that no system can have
        raise InputError(
            f"expected the recording {cells['file']}, found none", where=where,
            remedy="files are named from the table's folder on", code=ErrorCode.FILE,
        )  # fmt: skip
    return TableRow(file, cells.get("subject", ""), cells.get("session") or "1",
                    int(number) or None, cells["label"], start, stop)  # fmt: skip


def recordings_in(path: Path, kind: str) -> list[Path]:
    """Return the recordings of a folder (of kind raw or xdf), by name; of a file, the file."""
    if not path.is_dir() or path.suffix.lower() in (".mff", ".ds"):
        return [path]
    found = sorted(
        file
        for file in path.rglob("*")
        if file.name.lower().endswith(SUFFIXES[kind]) and not file.name.startswith(".")
    )
    if not found:
        what = f"expected recordings in the folder ({', '.join(SUFFIXES[kind])}), found none"
        raise InputError(what, where=f"--{kind} {path}", remedy="name the files", code=ErrorCode.FILE)
    return found


def rows_of_files(
    files: Sequence[Path], labels: Sequence[str] = (), subject_from: str | None = None
) -> tuple[TableRow, ...]:
    """Return a row for each file: its class by ``CLASS=GLOB``, its subject by a regular expression."""
    patterns = []
    for text in labels:
        name, equals, glob = (part.strip() for part in text.partition("="))
        if not (name and equals and glob):
            remedy = 'write for example --label "rest=data/*_1.edf"'
            raise InputError(f"expected CLASS=GLOB, found {text!r}", where="--label", remedy=remedy)
        patterns.append((name, glob, _files_of(glob)))
    if not files:
        files = sorted({file for *_, of_glob in patterns for file in of_glob})
    rows, sessions = [], dict[str, int]()
    for file in dict.fromkeys(files):
        found = [name for name, glob, of_glob in patterns if file.match(glob) or file in of_glob]
        if patterns and len(set(found)) != 1:
            what = f"expected one class for {file.name}, found {' and '.join(dict.fromkeys(found)) or 'none'}"
            raise InputError(what, where="--label", remedy="give globs that match each file once")
        row = TableRow(file, _subject(file, subject_from), label=found[0] if found else None)
        sessions[row.who] = sessions.get(row.who, 0) + 1
        rows.append(row if found else replace(row, session=str(sessions[row.who])))
    return tuple(rows)


def _files_of(glob: str) -> set[Path]:
    path = Path(glob)
    anchor = Path(path.anchor) if path.is_absolute() else Path()
    return set(anchor.glob(str(path.relative_to(anchor))))


def _subject(file: Path, pattern: str | None) -> str:
    if pattern is None:
        return ""
    try:
        found = re.search(pattern, file.as_posix())
    except re.error as error:
        raise InputError(f"not a regular expression: {error}", where="--subject-from") from error
    if found is None:
        what, remedy = f"{file.name} does not match {pattern!r}", r'for example --subject-from "Subject(\d+)"'
        raise InputError(what, where="--subject-from", remedy=remedy)
    return found[1] if found.groups() else found[0]


def read_rows(
    rows: Sequence[TableRow],
    reading: Reading,
    *,
    events: str | None = None,
    trial_s: float | None = None,
    excluded: list[Excluded] | None = None,
) -> list[Trial]:
    """Return the trials of all rows, with classes in the order of their first mention.

    Channels that some recordings lack are left out of all, and trials in which nothing is usable;
    ``excluded`` takes both. Raises `InputError`: a file cannot be read, two hold the same samples, trials of
    a file overlap, or the recordings have no channel in common.
    """
    by_file: dict[Path, list[TableRow]] = {}
    for row in rows:
        by_file.setdefault(row.file, []).append(row)
    if len(by_file) > 1:
        _check_distinct(by_file, reading)
    trials: list[tuple[TableRow, Trial]] = []
    for file, of_file in by_file.items():
        trials += _of_file(file, of_file, reading, events, trial_s)
    names = tuple(dict.fromkeys(name for _, t in trials if (name := t.label_names[t.label]) != BASELINE))
    if events is not None and any(row.label is None for row in rows):
        names = tuple(dict.fromkeys([*parse_events(events).values(), *names]))
    elif all(row.label is None for row in rows):
        names = tuple(sorted(names))
    return _with_baselines(_alike(_numbered(trials, (*names, BASELINE)), excluded), names)


def _check_distinct(files: Iterable[Path], reading: Reading) -> None:
    seen: dict[str, Path] = {}
    for file in files:
        other = seen.setdefault(sample_digest(file, reading), file)
        if other != file:
            what = f"{file.name} holds the same samples as {other.name}: one recording under two names"
            raise _unusable(what, str(file), "remove one of them; it would train and be tested")


def _of_file(
    file: Path, rows: list[TableRow], reading: Reading, events: str | None, trial_s: float | None
) -> list[tuple[TableRow, Trial]]:
    if rows[0].label is not None:
        spans = [Span(row.start_s, row.stop_s, str(row.label)) for row in rows]
        names = tuple(dict.fromkeys(span.event for span in spans))
        return list(zip(rows, trials_at(file, spans, names, reading), strict=True))
    wanted = None if events is None else parse_events(events)
    if is_xdf(file):
        if wanted is None:
            there = f"; {file.name} has {found_markers(file)}" if file.is_file() else ""
            raise InputError(
                f"expected which markers start a trial of which class{there}",
                where="--events",
                remedy='write for example --events "1=left,2=right,3=idle"; or --label, or --trials',
            )
        found = xdf_trials(file, wanted, reading, trial_s=trial_s)
    else:
        found = raw_file_trials(file, wanted, reading, trial_s=trial_s)
    return [(rows[0], trial) for trial in found]


def _numbered(trials: Sequence[tuple[TableRow, Trial]], names: tuple[str, ...]) -> list[Trial]:
    """Return the trials with their subjects, and with sessions and trials as numbers."""
    sessions: dict[str, dict[str, int]] = {}
    for row, _ in trials:
        sessions.setdefault(row.who, {}).setdefault(row.session, 0)
    for of_subject in sessions.values():
        as_written = all(name.isdigit() and int(name) > 0 for name in of_subject)
        for number, name in enumerate(sorted(of_subject), start=1):
            of_subject[name] = int(name) if as_written else number
    taken: set[tuple[str, int, int]] = set()
    done = []
    for row, trial in trials:
        session = sessions[row.who][row.session]
        number = row.trial or 1
        if row.trial is not None and (row.who, session, number) in taken:
            what = f"trial {number} of subject {row.who}, session {row.session}, stands there twice"
            raise _unusable(what, row.file.name, "number trials within a session, or leave the column empty")
        while (row.who, session, number) in taken:
            number += 1
        taken.add((row.who, session, number))
        label = names.index(trial.label_names[trial.label])
        trial = replace(trial, subject=row.who, session=session, trial=number)
        done.append(replace(trial, label=label, label_names=names))
    return done


def _alike(trials: list[Trial], excluded: list[Excluded] | None) -> list[Trial]:
    """Return the trials with the channels that all have, less those in which nothing is usable."""
    with_eeg = [trial for trial in trials if trial.eeg is not None]
    if with_eeg and len(with_eeg) < len(trials):
        bare = next(trial for trial in trials if trial.eeg is None)
        what = f"expected EEG as in {Path(with_eeg[0].source).name}, found none"
        raise _unusable(what, bare.source, "train on recordings of one kind")
    if any(trial.eye is None for trial in trials):
        trials = [replace(trial, eye=None) for trial in trials]
    if any(trial.covariance is None for trial in trials):
        trials = [replace(trial, covariance=None) for trial in trials]
    common = [n for n in with_eeg[0].ch_names if all(n in t.ch_names for t in with_eeg)] if with_eeg else []
    if with_eeg and not common:
        what = "expected an EEG channel that all recordings have, found none"
        raise _unusable(what, with_eeg[0].source, "use recordings of one cap")
    kept, dropped = [], dict[str, None]()
    for trial in trials:
        dropped |= dict.fromkeys(name for name in trial.ch_names if name not in common)
        if trial.eeg is not None and trial.ch_names != tuple(common):
            picks = [trial.ch_names.index(name) for name in common]
            covariance = None if trial.covariance is None else trial.covariance[:, picks][:, :, picks]
            trial = replace(trial, eeg=trial.eeg[:, picks], ch_names=tuple(common), covariance=covariance)
        if any(rows is not None and np.isfinite(rows).any() for rows in (trial.eeg, trial.eye)):
            kept.append(trial)
        else:
            why = f"{Path(trial.source).name}, trial {trial.trial}: nothing usable, flat or at its rails"
            note(excluded, trial.subject, why)
    if dropped:
        note(excluded, "all", f"channels that some recordings lack are left out: {', '.join(dropped)}")
    return kept


def _with_baselines(trials: Sequence[Trial], names: tuple[str, ...]) -> list[Trial]:
    """Return the trials of classes, each with the last baseline of its session."""
    found = {(t.subject, t.session): t for t in trials if t.label == len(names)}
    return [
        replace(t, label_names=names, baseline=found.get((t.subject, t.session)))
        for t in trials
        if t.label < len(names)
    ]


def _unusable(what: str, where: str, remedy: str) -> InputError:
    return InputError(what, where=where, remedy=remedy, code=ErrorCode.DATA)
