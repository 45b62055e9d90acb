"""What the model needs of the trials so far, kept until a session is over.

A session that is taken up again needs the rows of its earlier runs. Recordings hold no faces and voices that
were not agreed to be kept, so rows cannot always be made anew from them: they are saved after every trial,
and removed once the model is fitted.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from acquisition.errors import InputError
from acquisition.record.files import write_json
from calibration.quality import TrialQuality
from calibration.rows import RowTable
from calibration.types import TrialRecord

_SLACK_S = 2.0  # the first and last second of a stimulus may have no row


class KeptRows:
    """The folder ``cache`` of a session.

    Parameters
    ----------
    folder : Path
        The session's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "cache"

    def save(self, run: int, rows: RowTable, qualities: Iterable[TrialQuality]) -> None:
        """Replace what is kept of a run.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            temporary = self._rows(run).with_suffix(".tmp")
            rows.save(temporary)
            os.replace(temporary, self._rows(run))
            content = {str(quality.trial): asdict(quality) for quality in qualities}
            write_json(self._qualities(run), content)
        except OSError as error:
            raise InputError(
                f"the features so far cannot be kept: {error.strerror or error}",
                where=str(self._folder),
                remedy="free some space; the recording holds the signals",
            ) from error

    def load(self, run: int) -> tuple[RowTable, list[TrialQuality]] | None:
        """Return what is kept of a run; None where nothing is, or it is damaged."""
        try:
            rows = RowTable.load(self._rows(run))
            content = json.loads(self._qualities(run).read_text(encoding="utf-8"))
            return rows, [_quality(entry) for entry in content.values()]
        except (InputError, OSError, ValueError, TypeError, AttributeError):
            return None

    def remove(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _rows(self, run: int) -> Path:
        return self._folder / f"rows_run-{run:02d}.npz"

    def _qualities(self, run: int) -> Path:
        return self._folder / f"quality_run-{run:02d}.json"


def holds(rows: RowTable, trials: Iterable[TrialRecord]) -> bool:
    """Tell whether rows reach over all of some trials of their run."""
    if len(rows) == 0:
        return not list(trials)
    first, last = float(rows.t_end[0]), float(rows.t_end[-1])
    return all(
        first <= math.ceil(trial.begin) + _SLACK_S and last >= math.floor(trial.end) - _SLACK_S
        for trial in trials
    )


def _quality(entry: dict[str, object]) -> TrialQuality:
    lists = {name: tuple(value) for name, value in entry.items() if isinstance(value, list)}
    return TrialQuality(**{**entry, **lists})  # type: ignore[arg-type]
