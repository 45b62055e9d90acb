"""The end of a session: model, profile and report from its rows, in a thread beside."""

from __future__ import annotations

import threading

from app.calibrate.fitting import fit_session
from app.calibrate.kept_rows import KeptRows
from app.calibrate.outcome import Finished
from app.calibrate.run import CalibrationRun
from app.model_loading import load_model
from calibration.types import SessionRecord


class FinalFit(threading.Thread):
    """Fits a session's model and writes profile and report into its folder.

    Parameters
    ----------
    run : CalibrationRun
        It is over.
    record : SessionRecord

    Attributes
    ----------
    stage : str
        What is being done.
    share : float
        How much of it is done, 0..1.
    """

    def __init__(self, run: CalibrationRun, record: SessionRecord) -> None:
        super().__init__(name="fit", daemon=True)  # who stops the program does not wait for it
        self._run, self._record = run, record
        self.stage, self.share = "", 0.0
        self._finished: Finished | None = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Fit."""
        try:
            self._finished = self._fit()
        except BaseException as error:
            self._error = error

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
        run, request, place = self._run, self._run.prepared.request, self._run.place
        assert run.learning is not None
        found = fit_session(
            run.learning.material(self._record),
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
        self.stage, self.share = stage, share
