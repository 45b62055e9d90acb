"""Fits a session's model in background threads: a quick one while the session runs, and the final one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from acquisition.errors import InputError
from app.calibrate.offline import RecordedRun, fit_options
from app.model_loading import load_model
from app.request import CalibrationRequest
from calibration.fit import FROM_TRIAL, progress_of
from calibration.outcome import Finished, Material, fit_session
from calibration.quality import QualityLog, TrialQuality
from calibration.rows import KeptRows, RowCollector, RowTable, holds
from calibration.storage import SessionPlace
from calibration.types import Consent, Progress, SessionRecord, TrialRecord
from models.checkpoint import Checkpoint

#: Wait after a stimulus, until the features of its last second have been computed.
_AFTER_S = 2.0


class Learning:
    """Keeps rows and qualities after every trial, and from the fourth on estimates a model's accuracy.

    ``progress`` is the newest; ``rejected`` says by trial why its signals cannot be used; ``error`` is why
    rows cannot be kept. The base model is for this thread alone.
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
        self.request, self.place = request, place
        self._run, self._rows, self._quality, self._consent = run, rows, quality, consent
        self._checkpoint = checkpoint
        self._kept = KeptRows(place.folder)
        self._earlier: Material | None = None
        self._seen: tuple[TrialRecord, ...] = ()
        self._is_closing = False
        self._jobs: list[Future[None]] = []
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="learning")
        self.progress: Progress | None = None
        self.rejected: dict[int, str] = {}
        self.error: InputError | None = None

    def look(self, record: SessionRecord, now: float) -> None:
        """Work on the trials that are done since the last call; returns at once."""
        for job in [job for job in self._jobs if job.done()]:
            self._jobs.remove(job)
            try:
                job.result()
            except InputError as error:
                self.error = error
        trials = _done(record, self._run)
        if trials != self._seen and all(trial.end + _AFTER_S < now for trial in trials):
            self._seen = trials
            self._jobs.append(self._pool.submit(self._work, record, trials))

    def _work(self, record: SessionRecord, trials: tuple[TrialRecord, ...]) -> None:
        material = self.material(record)
        own = {trial.number for trial in trials}
        self.rejected = material.rejected(record)
        self._kept.save(self._run, self._rows.table(), [q for q in material.qualities if q.trial in own])
        n_done = sum(trial.state == "done" for trial in record.trials)
        is_newest = trials is self._seen and not self._is_closing
        if is_newest and FROM_TRIAL <= n_done < len(record.order):  # at the last one the fit says more
            self.progress = progress_of(
                material.rows(),
                record,
                self._checkpoint,
                excluded=material.rejected(record),
                modalities=material.used_modalities(record),
                labels=self.request.labels,
            )

    def material(self, record: SessionRecord) -> Material:
        """Return what a model can be fitted to: of this run and the earlier ones.

        Raises InputError if an earlier run is neither kept nor can be read from its recording.
        """
        if self._earlier is None:
            self._earlier = earlier_runs(self.request, self.place, record, self._run, self._consent)
        qualities = [self._quality.of_trial(t.number, t.begin, t.end) for t in _done(record, self._run)]
        tables = [*self._earlier.tables, self._rows.table()]
        return Material(tables, [*self._earlier.qualities, *qualities])

    def close(self) -> None:
        self._is_closing = True
        self._pool.shutdown(wait=True)


def earlier_runs(
    request: CalibrationRequest, place: SessionPlace, record: SessionRecord, run: int, consent: Consent
) -> Material:
    """Return what is kept of the runs before ``run``, or else what their recordings hold.

    Raises InputError if a recording cannot be read.
    """
    kept = KeptRows(place.folder)
    tables: list[RowTable] = []
    qualities: list[TrialQuality] = []
    for number in range(1, run):
        trials = _done(record, number)
        if not trials and number != record.baseline_run:
            continue
        found = kept.load(number)
        if found is None or not holds(found[0], trials):
            recorded = RecordedRun(place.recording(number), request.options, consent.modalities, run=number)
            found = recorded.rows, recorded.qualities(trials)
        tables.append(found[0])
        wanted = {trial.number for trial in trials}
        qualities += [quality for quality in found[1] if quality.trial in wanted]
    return Material(tables, qualities)


def _done(record: SessionRecord, run: int) -> tuple[TrialRecord, ...]:
    return tuple(trial for trial in record.trials if trial.state == "done" and trial.run == run)


class _Cancelled(Exception):
    """The model is no longer wanted."""


class FinalFit(threading.Thread):
    """Fits a session's model and writes profile and report into its folder.

    All trials of the record are over; ``material``, called in the thread, returns what the model is fitted
    to. ``stage`` is what is being done, ``share`` how much of the fit is done, 0..1.
    """

    def __init__(
        self,
        request: CalibrationRequest,
        place: SessionPlace,
        record: SessionRecord,
        material: Callable[[], Material],
    ) -> None:
        super().__init__(name="fit", daemon=True)  # who stops the program does not wait for it
        self._request, self._place, self._record, self._material = request, place, record, material
        self.stage, self.share = "", 0.0
        self._is_wanted = True
        self._finished: Finished | None = None
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            options, folder = self._request.options, self._place.folder
            self._finished = fit_session(
                self._material(),
                self._record,
                load_model(options),
                fit_options(options, self._request.labels),
                folder=folder,
                recordings=[folder / name for name in self._record.recordings],
                progress=self._tell,
            )
            KeptRows(folder).remove()
        except BaseException as error:
            self._error = error

    def stop(self) -> None:
        """Give up at the next progress message, and wait for that.

        A thread that is in PyTorch when the program ends takes it down.
        """
        self._is_wanted = False
        self.join()

    def finished(self) -> Finished:
        if self._error is not None:
            raise self._error
        assert self._finished is not None
        return self._finished

    def _tell(self, stage: str, share: float) -> None:
        if not self._is_wanted:
            raise _Cancelled
        self.stage, self.share = stage, share
