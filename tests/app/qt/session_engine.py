"""An engine that is not a process: runs a real calibration session, by a clock that a test sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from app.calibrate.prepare import Prepared
from app.engine import messages as commands
from app.engine.messages import Opened, Phase, SessionCommand
from app.request import CalibrationRequest
from calibration.plan import Plan
from calibration.session import Session
from calibration.types import Check, Consent, Result, SessionRecord, SessionView
from calibration.verdict import judge


class ManualClock:
    """LSL seconds that a test lets pass."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class SessionEngine:
    """Stands where the engine's process is; session, commands and views are the real ones."""

    def __init__(self, plan: Plan, clock: Callable[[], float], checks: tuple[Check, ...]) -> None:
        self.plan, self._clock, self._checks = plan, clock, checks
        self.commands: list[object] = []
        self.markers: list[tuple[str, float]] = []
        self.unread: list[object] = [Phase("loading", "loading the program")]
        self.session: Session | None = None
        self.is_alive = False
        self._sent: SessionView | None = None

    def __call__(self, request: CalibrationRequest) -> SessionEngine:
        self.request = request
        return self

    def start(self) -> None:
        self.is_alive = True

    def stop(self, timeout_s: float = 3.0) -> None:
        self.is_alive = False

    def send(self, command: object) -> None:
        self.commands.append(command)
        now = self._clock()
        if isinstance(command, commands.GiveConsent):
            self._open(command.consent)
        elif command is SessionCommand.STOP:
            self.unread.append(Phase("ended"))
            self.is_alive = False
        elif self.session is not None:
            self._pass_on(self.session, command, now)

    def receive(self) -> list[object]:
        if self.session is not None:
            self.session.step(self._clock())
            view = self.session.view(self._clock())
            if view != self._sent:
                self._sent = view
                self.unread.append(view)
        said, self.unread = self.unread, []
        return said

    @property
    def view(self) -> SessionView:
        assert self.session is not None
        return self.session.view(self._clock())

    def commands_of(self, kind: type) -> list:
        return [command for command in self.commands if isinstance(command, kind)]

    def finish(self, folder: Path) -> None:
        """Have the fit done: six of ten trials right, a weak model."""
        assert self.session is not None
        true = [label for label in range(5) for _ in range(2)]
        said = [label if at < 6 else (label + 1) % 5 for at, label in enumerate(true)]
        recordings = (folder / "run-01.xdf", folder / "run-02.xdf")  # of an interrupted session
        verdict = judge(true, said, 5, shuffled=[0.2] * 199)
        self.session.show(result=Result(verdict, folder / "profile", folder / "report.html", recordings))

    def _open(self, consent: Consent) -> None:
        record = SessionRecord("S01", 1, self.plan.classes, 1, consent, is_simulated=True)
        self.session = Session(
            self.plan,
            record,
            on_marker=lambda text, time: self.markers.append((text, time)),
            on_change=lambda record: None,
        )
        self.session.show(checks=self._checks)
        self.unread += [Opened("live", None, None, is_simulated=True), Phase("running")]

    def _pass_on(self, session: Session, command: object, now: float) -> None:
        match command:
            case commands.Proceed():
                session.proceed(command.step_id, now, command.overridden)
            case commands.Shown():
                session.shown(command.step_id, command.time)
            case commands.Drawn():
                session.add_timing(command.timing)
            case commands.Answer():
                session.answer(command.step_id, command.report, now)
            case commands.SessionCommand.PAUSE_SESSION:
                session.pause(now)
            case commands.SessionCommand.RESUME_SESSION:
                session.resume(now)
            case commands.RepeatTrial():
                session.repeat(command.trial, now)
            case commands.SessionCommand.SKIP_TRIAL:
                session.skip(now)
            case commands.SessionCommand.ABORT_SESSION:
                session.abort(now)


def prepared_with(plan: Plan, folder: Path, request: CalibrationRequest) -> Prepared:
    """Return what a window begins with, for a new session."""
    return Prepared(request, plan, folder, None, None)
