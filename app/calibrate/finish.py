"""The end of a session: model, profile and report from its rows, in a thread beside."""

from __future__ import annotations

import threading
from collections.abc import Callable

from app.calibrate.learning import earlier_runs
from app.calibrate.run import CalibrationRun
from app.model_loading import load_model
from app.request import CalibrationRequest
from calibration.finished import Finished
from calibration.kept import KeptRows
from calibration.outcome import Material, fit_session
from calibration.storage import SessionPlace, next_run
from calibration.types import SessionRecord


class _Unwanted(Exception):
    """Nobody waits for the model any more."""


class FinalFit(threading.Thread):
    """Fits a session's model and writes profile and report into its folder.

    Parameters
    ----------
    record : SessionRecord
        All its trials are over.
    material : callable
        Returns what the model is fitted to; called in the thread.

    Attributes
    ----------
    stage : str
        What is being done.
    share : float
        How much of it is done, 0..1.
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

    @classmethod
    def of_run(cls, run: CalibrationRun, record: SessionRecord) -> FinalFit:
        """Return the fit to a run that is over, and to the ones before it."""
        learning = run.learning
        assert learning is not None
        return cls(run.prepared.request, run.place, record, lambda: learning.material(record))

    @classmethod
    def of_record(cls, request: CalibrationRequest, place: SessionPlace, record: SessionRecord) -> FinalFit:
        """Return the fit to a session whose program ended before it was fitted."""

        def material() -> Material:
            return earlier_runs(request, place, record, next_run(record), record.consent)

        return cls(request, place, record, material)

    def run(self) -> None:
        """Fit."""
        try:
            self._finished = self._fit()
        except BaseException as error:
            self._error = error

    def stop(self) -> None:
        """Give up at the next word on how far it is, and wait for that.

        A thread that is in PyTorch when the program ends takes it down.
        """
        self._is_wanted = False
        self.join()

    def finished(self) -> Finished:
        """Return what came out, once the thread has ended.

        Raises
        ------
        InputError
            If no model can be fitted, or the files cannot be written.
        """
        if self._error is not None:
            raise self._error
        assert self._finished is not None
        return self._finished

    def _fit(self) -> Finished:
        request, place = self._request, self._place
        found = fit_session(
            self._material(),
            self._record,
            load_model(request.options),
            request.options,
            labels=request.labels,
            folder=place.folder,
            recordings=[place.folder / name for name in self._record.recordings],
            progress=self._tell,
        )
        KeptRows(place.folder).remove()
        return found

    def _tell(self, stage: str, share: float) -> None:
        if not self._is_wanted:
            raise _Unwanted
        self.stage, self.share = stage, share
