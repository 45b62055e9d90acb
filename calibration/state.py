"""``session.json``: a session as far as it got, from which it is taken up after a crash or power cut."""

from __future__ import annotations

import dataclasses
import json
import math
import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acquisition.errors import InputError
from acquisition.record.files import write_json
from calibration.protocol import finished_trials
from calibration.types import Consent, DisplayTiming, Report, SessionRecord, TrialRecord

_VERSION = 1
_REMEDY = "move it away and begin a new session; the recordings beside it are whole"


def save_record(record: SessionRecord, path: Path) -> None:
    """Replace the file in one step; once this returns a power cut does not undo it.

    Raises
    ------
    InputError
        If the disk is full or the folder cannot be written; the file is then as it was.
    """
    content = {"version": _VERSION, **dataclasses.asdict(record)}
    content["recordings"] = [recording.as_posix() for recording in record.recordings]
    try:
        write_json(path, content, durable=True)
    except OSError as error:
        raise InputError(
            f"the state of the session cannot be written: {error.strerror or error}",
            where=str(path),
            remedy="free some space, or give the folder back its rights; what was written before is kept",
        ) from error


def load_record(path: Path) -> SessionRecord:
    """Read what `save_record` has written.

    Raises
    ------
    InputError
        If there is no such file, it is damaged, or a newer version of the program wrote it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror or error}", where=str(path), remedy="check path and rights"
        ) from error
    except ValueError as error:
        raise InputError(f"is damaged: {error}", where=str(path), remedy=_REMEDY) from error
    version = content.get("version") if isinstance(content, dict) else None
    if version != _VERSION:
        raise InputError(
            f"expected version {_VERSION}, found {version}",
            where=str(path),
            remedy="update the program" if isinstance(version, int) else _REMEDY,
        )
    try:
        return _record(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        found = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(f"is damaged: {found}", where=str(path), remedy=_REMEDY) from error


def is_unfinished(record: SessionRecord) -> bool:
    """Tell whether a session has trials left to do."""
    return not finished_trials(record.trials).issuperset(range(1, len(record.order) + 1)) or not record.order


def next_run(record: SessionRecord) -> int:
    """Return the number of the recording that a resumption makes."""
    runs = [trial.run for trial in record.trials]
    return 1 + max([len(record.recordings), *runs])


def _record(content: Mapping[str, Any]) -> SessionRecord:
    consent = dict(content["consent"])
    (subject,) = _names([content["subject"]])
    return SessionRecord(
        subject=subject,
        session=operator.index(content["session"]),
        classes=_names(content["classes"]),
        seed=operator.index(content["seed"]),
        consent=Consent(**{**consent, "modalities": _names(consent["modalities"])}),
        trials=tuple(_trial(entry) for entry in content["trials"]),
        baseline=tuple((float(begin), float(end)) for begin, end in content["baseline"]),
        baseline_run=int(content["baseline_run"]),
        recordings=tuple(_beside(name) for name in _names(content["recordings"])),
        overridden=_names(content["overridden"]),
        timing=tuple(DisplayTiming(**entry) for entry in content["timing"]),
        order=_names(content["order"]),
        settings=dict(content["settings"]),
        is_simulated=bool(content["is_simulated"]),
    )


def _trial(entry: Mapping[str, Any]) -> TrialRecord:
    report = entry["report"]
    trial = TrialRecord(**{**entry, "report": None if report is None else Report(**report)})
    if not isinstance(trial.number, int) or trial.state not in ("done", "skipped", "repeated"):
        raise ValueError(f"trial {trial.number!r} is {trial.state!r}")
    if not (math.isfinite(trial.begin) and math.isfinite(trial.end) and trial.begin <= trial.end):
        raise ValueError(f"trial {trial.number} is from {trial.begin} to {trial.end}")
    return trial


def _beside(name: str) -> Path:
    """Return the name of a recording, which lies in the session's folder and nowhere else."""
    if name in ("", "..") or Path(name).name != name:
        raise ValueError(f"{name!r} is no name of a recording beside it")
    return Path(name)


def _names(values: object) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"expected a list of texts, found {values!r}")
    return tuple(values)
