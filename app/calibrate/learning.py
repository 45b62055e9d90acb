"""What a running session learns: rows are kept after every trial, and from the fourth on it says how well.

In a thread of its own, beside those that acquire and decode.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from acquisition.errors import InputError
from app.calibrate.rows import read_run
from app.request import CalibrationRequest
from calibration.fit import FROM_TRIAL
from calibration.kept import KeptRows, holds
from calibration.outcome import Material, progress_so_far
from calibration.quality import QualityLog, TrialQuality
from calibration.rows import RowCollector, RowTable
from calibration.storage import SessionPlace
from calibration.types import Consent, Progress, SessionRecord, TrialRecord
from models.checkpoint import Checkpoint

#: After a stimulus: what looks at its last second has come by then.
_AFTER_S = 2.0


class Learning:
    """Rows, qualities and progress of a session.

    Parameters
    ----------
    run : int
        Of the recording.
    checkpoint : Checkpoint
        The base model, for this thread alone.

    Attributes
    ----------
    progress : Progress or None
        The newest.
    error : InputError or None
        Why rows cannot be kept.
    """

    def __init__(
        self,
        request: CalibrationRequest,
        place: SessionPlace,
        run: int,
        rows: RowCollector,
        quality: QualityLog,
        consent: Consent,
        checkpoint: Checkpoint,
    ) -> None:
        self._request, self._place, self._run = request, place, run
        self._rows, self._quality, self._consent, self._checkpoint = rows, quality, consent, checkpoint
        self._kept = KeptRows(place.folder)
        self._earlier: Material | None = None
        self._seen: tuple[TrialRecord, ...] = ()
        self._is_closing = False
        self._jobs: list[Future[None]] = []
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="learning")
        self.progress: Progress | None = None
        self.error: InputError | None = None

    def look(self, record: SessionRecord, now: float) -> None:
        """Work on the trials that are done since the last call; returns at once."""
        for job in [job for job in self._jobs if job.done()]:
            self._jobs.remove(job)
            try:
                job.result()
            except InputError as error:
                self.error = error
        trials = _own_trials(record, self._run)
        if trials != self._seen and all(trial.end + _AFTER_S < now for trial in trials):
            self._seen = trials
            self._jobs.append(self._pool.submit(self._work, record, trials))

    def _work(self, record: SessionRecord, trials: tuple[TrialRecord, ...]) -> None:
        material = self.material(record)
        own = [quality for quality in material.qualities if quality.trial in _numbers(record, self._run)]
        self._kept.save(self._run, self._rows.table(), own)
        n_done = sum(trial.state == "done" for trial in record.trials)
        is_newest = trials is self._seen and not self._is_closing
        if is_newest and FROM_TRIAL <= n_done < len(record.order):  # at the last one the fit says more
            self.progress = progress_so_far(material, record, self._checkpoint, self._request.labels)

    def material(self, record: SessionRecord) -> Material:
        """Return what a model can be fitted to: of this run and the earlier ones.

        Raises
        ------
        InputError
            If an earlier run is neither kept nor can be read from its recording.
        """
        if self._earlier is None:
            self._earlier = earlier_runs(self._request, self._place, record, self._run, self._consent)
        qualities = [
            self._quality.of_trial(trial.number, trial.begin, trial.end)
            for trial in _own_trials(record, self._run)
        ]
        tables = [*self._earlier.tables, self._rows.table()]
        return Material(tables, [*self._earlier.qualities, *qualities])

    def close(self) -> None:
        """Wait for the rows to be kept."""
        self._is_closing = True
        self._pool.shutdown(wait=True)


def earlier_runs(
    request: CalibrationRequest, place: SessionPlace, record: SessionRecord, run: int, consent: Consent
) -> Material:
    """Return what is kept of the runs before ``run``, or else what their recordings hold.

    Raises
    ------
    InputError
        If a recording cannot be read.
    """
    kept = KeptRows(place.folder)
    tables: list[RowTable] = []
    qualities: list[TrialQuality] = []
    for number in range(1, run):
        trials = _own_trials(record, number)
        if not trials and number != record.baseline_run:
            continue
        found = kept.load(number)
        if found is None or not holds(found[0], trials):
            recorded = read_run(place.recording(number), request.options, consent.modalities, run=number)
            found = recorded.rows, [recorded.quality.of_trial(t.number, t.begin, t.end) for t in trials]
        tables.append(found[0])
        wanted = {trial.number for trial in trials}
        qualities += [quality for quality in found[1] if quality.trial in wanted]
    return Material(tables, qualities)


def _own_trials(record: SessionRecord, run: int) -> tuple[TrialRecord, ...]:
    return tuple(trial for trial in record.trials if trial.state == "done" and trial.run == run)


def _numbers(record: SessionRecord, run: int) -> Sequence[int]:
    return [trial.number for trial in _own_trials(record, run)]
