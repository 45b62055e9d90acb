"""What trained a model, stored beside it for programs: tests on the same subject or recording must say so.

Of a published data set the test trials never train, by the split; that a model saw them without labels is in
its config. A recording trains in full, and is recognised by its bytes: a copy under another name is
found, a copy that was rewritten (converted, cut, with predictions in it) is not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from acquisition.errors import ErrorCode, InputError, file_errors
from acquisition.text import parse_json
from models.checkpoint import RECORD_FILE
from models.config import built
from models.datasets.recordings import data_files
from models.datasets.splits import coverage
from models.datasets.trials import Trial


@dataclass(frozen=True)
class SeenRecording:
    """One recording that training read."""

    name: str  # of the file: for messages
    sha256: str  # of its data: what it is known by, however it is called now
    labels: bool  # read with its labels


@dataclass(frozen=True)
class SeenSession:
    """One subject's session of a data set of which labelled trials trained."""

    dataset: str  # "generated seed-iv" is not "seed-iv"
    subject: str
    session: int

    @classmethod
    def of(cls, trial: Trial, *, generated: bool) -> SeenSession:
        made = "generated " if generated else ""
        return cls(f"{made}{trial.dataset}", trial.subject, trial.session)


@dataclass(frozen=True)
class TrainingRecord:
    """Recordings, subjects and labels that trained a model and those it was initialised from."""

    recordings: tuple[SeenRecording, ...] = ()
    sessions: tuple[SeenSession, ...] = ()
    trials_per_class: Mapping[str, int] = field(default_factory=dict)  # empty: no labels yet
    complete: bool = True  # False where a model it was initialised from has no record
    quick: bool = False  # made to try the program out: do not quote its results

    @property
    def n_classes(self) -> int:
        """Classes that the model was shown."""
        return sum(count > 0 for count in self.trials_per_class.values())

    def holds(self, path: Path, *, labels: bool) -> bool:
        """Tell whether training read this recording with, or without, its labels."""
        known = {entry.sha256 for entry in self.recordings if entry.labels == labels}
        return bool(known) and recording_sha256(path) in known

    def then(self, later: TrainingRecord) -> TrainingRecord:
        """Return the record of a model that was initialised from this one."""
        counts = dict(self.trials_per_class)
        for name, count in later.trials_per_class.items():
            counts[name] = counts.get(name, 0) + count
        return TrainingRecord(
            tuple(dict.fromkeys((*self.recordings, *later.recordings))),
            tuple(dict.fromkeys((*self.sessions, *later.sessions))),
            counts,
            self.complete and later.complete,
            self.quick or later.quick,
        )


def record_of_recordings(paths: Iterable[Path], *, labels: bool) -> TrainingRecord:
    return TrainingRecord(tuple(SeenRecording(p.name, recording_sha256(p), labels) for p in paths))


def record_of_labels(trials: Sequence[Trial], *, generated: bool) -> TrainingRecord:
    """Return the record of a training on labelled trials."""
    counts = coverage(trials)
    sessions = dict.fromkeys(SeenSession.of(trial, generated=generated) for trial in trials)
    per_class = dict(zip(counts.label_names, counts.counts, strict=True))
    return TrainingRecord(sessions=tuple(sessions), trials_per_class=per_class)


def recording_sha256(path: Path) -> str:
    """Return the hex digest of a recording's samples on disk, without headers that are files of their own."""
    digest = hashlib.sha256()
    with file_errors("the recording cannot be read", path, code=ErrorCode.RECORDING):
        for file in data_files(path):
            with file.open("rb") as stream:
                hashlib.file_digest(stream, lambda: digest)
    return digest.hexdigest()


def write_record(folder: Path, record: TrainingRecord) -> None:
    """Write the record into a model's folder, in place of an older one."""
    with file_errors("the folder cannot be written", folder, "choose another"):
        (folder / RECORD_FILE).write_text(json.dumps(asdict(record), indent=2) + "\n", encoding="utf-8")


def read_record(folder: Path) -> TrainingRecord | None:
    """Return the record in a model's folder, None where there is none."""
    path = folder / RECORD_FILE
    if not path.exists():
        return None
    try:
        found = parse_json(path.read_bytes())
        if set(found) != {part.name for part in fields(TrainingRecord)}:
            raise ValueError("other keys than were written")
        record = built(TrainingRecord, found, str(path))
        if any(count < 0 for count in record.trials_per_class.values()):
            raise ValueError("a negative count")
        return record
    except (InputError, OSError, ValueError, TypeError) as error:
        remedy = "copy the model folder again, or train it again"
        what = "the training record is damaged"
        raise InputError(what, where=str(path), remedy=remedy, code=ErrorCode.MODEL) from error
