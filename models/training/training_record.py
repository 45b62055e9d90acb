"""What trained a model, kept beside it for programs: a test on the same recording must say so or be refused.

Published data sets need no entry: training and test trials are divided by their split, and a model that saw
test trials without labels says so in its config. A recording enters training whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from acquisition.errors import InputError
from models.datasets.splits import coverage
from models.datasets.types import Trial

RECORD_FILE = "training.json"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class SeenRecording:
    """One recording that training read."""

    name: str  # of the file: for messages
    sha256: str  # of its bytes: what it is known by, however it is called now
    labels: bool  # read with its labels


@dataclass(frozen=True)
class TrainingRecord:
    """Recordings and labels that trained a model and those it began with."""

    recordings: tuple[SeenRecording, ...] = ()
    trials_per_class: Mapping[str, int] = field(default_factory=dict)  # empty: no labels yet

    @property
    def n_classes(self) -> int:
        """Classes that the model was shown."""
        return sum(count > 0 for count in self.trials_per_class.values())

    def holds(self, path: Path, *, labels: bool) -> bool:
        """Tell whether training read this recording with, or without, its labels.

        Raises
        ------
        InputError
            If the recording cannot be read.
        """
        known = {entry.sha256 for entry in self.recordings if entry.labels == labels}
        return bool(known) and recording_sha256(path) in known

    def then(self, later: TrainingRecord) -> TrainingRecord:
        """Return the record of a model that began with this one."""
        counts = dict(self.trials_per_class)
        for name, count in later.trials_per_class.items():
            counts[name] = counts.get(name, 0) + count
        return TrainingRecord(tuple(dict.fromkeys((*self.recordings, *later.recordings))), counts)


def record_of(
    paths: Iterable[Path] = (), trials: Sequence[Trial] = (), *, labels: bool = False
) -> TrainingRecord:
    """Return the record of one training on recordings, and of the labelled trials it was given.

    Raises
    ------
    InputError
        If a recording cannot be read.
    """
    recordings = tuple(SeenRecording(path.name, recording_sha256(path), labels) for path in paths)
    if not trials:
        return TrainingRecord(recordings)
    counts = coverage(trials)
    return TrainingRecord(recordings, dict(zip(counts.label_names, counts.counts, strict=True)))


def recording_sha256(path: Path) -> str:
    """Return the hex digest of a recording's bytes; of a folder's files in the order of their names.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    digest = hashlib.sha256()
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    try:
        for file in files:
            with file.open("rb") as stream:
                while block := stream.read(_BLOCK):
                    digest.update(block)
    except OSError as error:
        raise InputError(f"the recording cannot be read: {error.strerror}", where=str(path)) from error
    return digest.hexdigest()


def write_record(folder: Path, record: TrainingRecord) -> None:
    """Write the record into a model's folder, in place of an older one.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    try:
        (folder / RECORD_FILE).write_text(json.dumps(asdict(record), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"the folder cannot be written: {error.strerror}", where=str(folder), remedy="choose another"
        ) from error


def read_record(folder: Path) -> TrainingRecord | None:
    """Return the record in a model's folder, None where there is none.

    Raises
    ------
    InputError
        If it is damaged.
    """
    path = folder / RECORD_FILE
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        recordings = tuple(
            SeenRecording(str(entry["name"]), str(entry["sha256"]), bool(entry["labels"]))
            for entry in found["recordings"]
        )
        counts = {str(name): int(count) for name, count in found["trials_per_class"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            "expected the record of the model's training, found damage",
            where=str(path),
            remedy="copy the model folder again, or train it anew",
        ) from error
    return TrainingRecord(recordings, counts)
