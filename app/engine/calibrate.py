"""A guided calibration, watched and controlled over the pipe."""

import contextlib
import threading

from acquisition.errors import InputError
from app.calibrate.prepare import prepare
from app.calibrate.run import CalibrationRun
from app.engine import messages
from app.engine.live import WatchedSession
from app.engine.pipe import Stopped, WindowLink
from app.request import CalibrationRequest
from calibration.consent import check_consent
from calibration.types import Consent, SessionView

_LISTEN_S = 0.1


class CalibrationEngine(WatchedSession):
    """Runs a calibration for a window, from the consent to the report."""

    def __init__(self, request: CalibrationRequest, link: WindowLink) -> None:
        super().__init__(request.options, link)
        self._request = request
        self._interrupted = threading.Event()
        self._view: SessionView | None = None

    def run(self) -> None:
        """Wait for the consent, run the session and fit the model; ends early when told to stop.

        Raises `InputError` if the session cannot run; what was recorded is kept.
        """
        with contextlib.suppress(Stopped):
            prepared = prepare(self._request)
            consent = self._wait_for_consent()
            if consent is None:
                return
            run = CalibrationRun(
                prepared,
                consent,
                self.act,
                watcher=self,
                listeners=[self._link.tap],
                interrupted=self._interrupted,
            )
            try:
                run.run()
            finally:
                self.close()
            if not run.session.is_aborted:
                self._fit(run)

    def _wait_for_consent(self) -> Consent | None:
        while True:
            self._link.commands.wait(_LISTEN_S)
            for command in self._link.commands.take():
                if command is messages.SessionCommand.STOP:
                    raise Stopped
                if isinstance(command, messages.GiveConsent):
                    return check_consent(command.consent) if command.consent.modalities else None

    def _fit(self, run: CalibrationRun) -> None:
        fit = run.final_fit()
        fit.start()
        while fit.is_alive():
            self._link.commands.wait(_LISTEN_S)
            if any(command is messages.SessionCommand.STOP for command in self._link.commands.take()):
                return  # the recording is closed: the model can be fitted from it later
            run.session.show(fit_stage=fit.stage, fit_share=fit.share)
            # Told again, though unchanged: the streams are closed, and silence would be shown as an error.
            self._link.tap.put(self._view_of(run))
        run.session.show(result=fit.finished().result())
        self._link.tap.put(self._view_of(run))

    @staticmethod
    def _view_of(run: CalibrationRun) -> SessionView:
        return run.session.view(run.live.clock.now())

    def act(self, run: CalibrationRun, now: float) -> None:
        """Carry out the window's commands, and report the session's state."""
        for command in self._link.commands.take():
            if command is messages.SessionCommand.STOP:
                self._interrupted.set()
                run.live.close_recording_s = 0.0  # its supervisor closes the file
            else:
                self._handle(run, command, now)
        if self._is_open:
            self._tell_due()
        self._tell_view(run, now)

    def _handle(self, run: CalibrationRun, command: object, now: float) -> None:
        session = run.session
        match command:
            case messages.Proceed(step_id, overridden):
                try:
                    run.proceed(step_id, now, overridden)
                except InputError as error:
                    session.show(message=str(error))
            case messages.Shown(step_id, time):
                session.shown(step_id, time)
            case messages.Drawn(timing):
                session.add_timing(timing)
            case messages.Answer(step_id, report):
                session.answer(step_id, report, now)
            case messages.SessionCommand.PAUSE_SESSION:
                session.pause(now)
            case messages.SessionCommand.RESUME_SESSION:
                session.resume(now)
            case messages.RepeatTrial(trial):
                session.repeat(trial, now)
            case messages.SessionCommand.SKIP_TRIAL:
                session.skip(now)
            case messages.SessionCommand.ABORT_SESSION:
                session.abort(now)
            case messages.StartRecording() | messages.SessionCommand.STOP_RECORDING:
                pass  # the session's own recording begins and ends with it
            case _ if self._is_open:
                self._try(command)

    def _tell_view(self, run: CalibrationRun, now: float) -> None:
        view = run.session.view(now)
        if view != self._view:
            self._view = view
            self._link.tap.put(view)
