"""An engine that is not a process: runs a real calibration session, by a clock that a test sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from app.calibrate.prepare import Prepared
from app.engine import messages as orders
from app.engine.messages import Opened, Phase, Stop
from app.request import CalibrationRequest
from calibration.plan import Plan
from calibration.session import Session
from calibration.types import Check, Consent, Result, SessionRecord, SessionView


class ManualClock:
    """LSL seconds that a test lets pass."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class SessionEngine:
    """Stands where the engine's process is; session, orders and views are the real ones."""

    def __init__(self, plan: Plan, clock: Callable[[], float], checks: tuple[Check, ...]) -> None:
        self.plan, self._clock, self._checks = plan, clock, checks
        self.orders: list[object] = []
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

    def send(self, order: object) -> None:
        self.orders.append(order)
        now = self._clock()
        if isinstance(order, orders.GiveConsent):
            self._open(order.consent)
        elif isinstance(order, Stop):
            self.unread.append(Phase("ended"))
            self.is_alive = False
        elif self.session is not None:
            self._pass_on(self.session, order, now)

    def news(self) -> list[object]:
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

    def orders_of(self, kind: type) -> list:
        return [order for order in self.orders if isinstance(order, kind)]

    def finish(self, folder: Path, verdict: str = "weak") -> None:
        """Have the fit done."""
        assert self.session is not None
        words = "Held-out trials were recognised more often than by guessing, with a wide margin."
        self.session.set_result(
            Result(verdict, words, 0.6, (0.31, 0.83), 0.2, folder / "profile", folder / "report.html", None)
        )

    def _open(self, consent: Consent) -> None:
        record = SessionRecord("S01", 1, self.plan.classes, 1, consent, is_simulated=True)
        self.session = Session(
            self.plan,
            record,
            on_marker=lambda text, time: self.markers.append((text, time)),
            on_change=lambda record: None,
        )
        self.session.set_checks(self._checks)
        self.unread += [Opened("live", None, None, is_simulated=True), Phase("running")]

    def _pass_on(self, session: Session, order: object, now: float) -> None:
        match order:
            case orders.Proceed():
                session.proceed(order.step_id, now, order.overridden)
            case orders.Shown():
                session.shown(order.step_id, order.time)
            case orders.Drawn():
                session.add_timing(order.timing)
            case orders.Answer():
                session.answer(order.step_id, order.report, now)
            case orders.PauseSession():
                session.pause(now)
            case orders.ResumeSession():
                session.resume(now)
            case orders.RepeatTrial():
                session.repeat(order.trial, now)
            case orders.SkipTrial():
                session.skip(now)
            case orders.AbortSession():
                session.abort(now)


def prepared_with(plan: Plan, folder: Path, request: CalibrationRequest) -> Prepared:
    """Return what a window begins with, for a new session."""
    return Prepared(request, plan, folder, None, None)
