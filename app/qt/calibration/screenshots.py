"""Saves a picture of every screen while a simulated participant runs through the session."""

from collections.abc import Callable
from time import monotonic

from app.display import WindowOptions
from app.qt.calibration.window import CalibrationWindow
from app.qt.screenshots import Pictures
from calibration.protocol import simulated_report
from calibration.types import SessionView

_SETTLE_S = 1.0  # before a picture: until then texts and figures come in
_SHARE = 0.4  # of a step, at most
_LIMIT_S = 90.0  # longest time without the next screen
_RED_FOR_S = 12.0  # checks at Stop get so long before they are overridden


class Screenshots(Pictures):
    """Takes pictures as the screens appear, and acts for the participant."""

    def __init__(
        self,
        window: CalibrationWindow,
        options: WindowOptions,
        say: Callable[[str], None] = print,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        super().__init__(window, options, say, clock)
        self._window = window
        self._key: tuple[str, int] | None = None
        self._has_acted = self._has_paused = self._is_over = False
        self._taken: set[str] = set()

    def poll(self) -> None:
        """Take the picture of a screen that has settled, then act on it."""
        if self._is_over:
            return
        view = self._window.session.store.calibration
        name = self._window.screen_name
        title = _title(name, view)
        key = (title, view.step_id if view is not None else 0)
        if key != self._key:
            self._key, self._since, self._has_acted = key, self._clock(), False
        waited = self._clock() - self._since
        if waited < _settle_s(view):
            return
        self._prepare_answer(name, view)
        if title not in self._taken and not self._is_waiting(name, view, waited):
            self._save(title)
        if name == "failed" or (waited > _LIMIT_S and name in ("waiting", "preflight")):
            why = (view.message if view is not None else "") or self._window.session.store.phase.message
            self._finish(f"the session stood at {name}: {why or f'nothing happened for {waited:.0f} s'}")
        elif not self._has_acted:
            self._act(name, view, waited)

    def _is_waiting(self, name: str, view: SessionView | None, waited: float) -> bool:
        """Tell whether the screen still lacks what its picture shall show."""
        if name == "finish" and view is not None:
            return view.result is None and not view.fit_stage
        if name != "preflight" or view is None:
            return False
        is_red = any(check.light == "red" for check in view.checks)
        has_quality = self._window.session.store.quality.newest is not None
        return not view.checks or ((is_red or not has_quality) and waited < _RED_FOR_S)

    def _prepare_answer(self, name: str, view: SessionView | None) -> None:
        """Fill in the self-report of the simulated participant."""
        if name != "report" or view is None or self._window.screens.report.label is not None:
            return
        screen, labels = self._window.screens.report, self._window.plan.classes
        felt = simulated_report(self._window.request.seed, view.step.trial, view.step.emotion, labels)
        screen.choose(felt.label if felt.label in labels else labels[0])
        screen.sliders["valence"].setValue(felt.valence)
        screen.sliders["arousal"].setValue(felt.arousal)

    def _act(self, name: str, view: SessionView | None, waited: float) -> None:
        screens = self._window.screens
        self._has_acted = True
        if name == "resume":
            self._window.choose(True)
        elif name == "notice":
            screens.notice.tick_all()
            screens.notice.give()
        elif name == "preflight":
            self._has_acted = self._pass_preflight(view, waited)
        elif name == "report":
            screens.report.answer()
        elif name == "rest" and not self._has_paused:
            self._has_paused = True
            self._window.pause()
        elif name == "pause":
            screens.pause.resume()
        elif name == "finish":
            self._has_acted = view is not None and view.result is not None
            if self._has_acted:
                self._finish("")

    def _pass_preflight(self, view: SessionView | None, waited: float) -> bool:
        if view is None or self._is_waiting("preflight", view, waited):
            return False
        screen = self._window.screens.preflight
        if screen.override.isVisible():
            screen.override.setChecked(True)
        screen.proceed()
        return screen.go.isEnabled()

    def _save(self, title: str) -> None:
        self._taken.add(title)
        self.save(f"{len(self._taken):02d}-{title}")

    def _finish(self, fault: str) -> None:
        self._is_over = True
        self.end(fault)


def _settle_s(view: SessionView | None) -> float:
    """Return the time before a screen's picture; less where the step is short."""
    duration_s = view.step.duration_s if view is not None else None
    return _SETTLE_S if duration_s is None else min(_SETTLE_S, _SHARE * duration_s)


def _title(name: str, view: SessionView | None) -> str:
    """Return the name of a screen's picture; other content gets another picture."""
    if view is None:
        return name
    if name == "fixation":
        return view.step.kind.replace("_", "-")
    if name == "rest" and view.progress is not None:
        return "rest-progress"
    if name == "finish":
        return "verdict" if view.result is not None else "fit"
    return name
