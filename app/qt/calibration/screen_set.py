"""All screens of a calibration, by the names that `app.view.calibration_screens` gives them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from app.qt.calibration.multimedia import has_sound, sound_check
from app.qt.calibration.plain_screens import (
    FailedScreen,
    FixationScreen,
    HintScreen,
    PauseScreen,
    ResumeScreen,
    WaitingScreen,
)
from app.qt.calibration.preparation import NoticeScreen, PreflightScreen
from app.qt.calibration.report import ReportScreen
from app.qt.calibration.results import FinishScreen, RestScreen
from app.qt.calibration.screen import Screen
from app.qt.calibration.stimulus import StimulusScreen
from calibration.consent import notice
from calibration.plan import Plan

if TYPE_CHECKING:
    from app.calibrate.prepare import Prepared
    from app.qt.calibration.window import CalibrationWindow


class ScreenSet:
    """Makes the screens of a window.

    Parameters
    ----------
    window : CalibrationWindow
    prepared : Prepared
    folder : Path
        Where the session will be kept.
    clock : callable
        Returns LSL seconds.
    """

    def __init__(
        self,
        window: CalibrationWindow,
        prepared: Prepared,
        folder: Path,
        clock: Callable[[], float],
    ) -> None:
        send, plan = window.send, prepared.plan
        self.stimulus = StimulusScreen(send, clock, window.tell)
        self.notice = NoticeScreen(send, notice(prepared.request.subject, folder), window.agree, window.close)
        is_heard = bool(kinds_of(plan) & {"sound", "video"})
        self.preflight = PreflightScreen(send, (sound_check(is_heard),))
        self.report = ReportScreen(send, plan.classes)
        self.rest = RestScreen(send)
        self.pause = PauseScreen(send, window.end)
        self.finish = FinishScreen(send, window.open_report, window.use_live, window.close)
        self.by_name: dict[str, Screen] = {
            "resume": ResumeScreen(send, prepared.words, window.choose),
            "notice": self.notice,
            "waiting": WaitingScreen(send),
            "preflight": self.preflight,
            "fixation": FixationScreen(send, has_sound=has_sound()),
            "practice": self.stimulus,
            "hint": HintScreen(send),
            "stimulus": self.stimulus,
            "report": self.report,
            "rest": self.rest,
            "pause": self.pause,
            "finish": self.finish,
            "failed": FailedScreen(send, window.start_again, window.close),
        }


def kinds_of(plan: Plan) -> set[str]:
    """Return the kinds of the stimuli that a session of a plan shows; a repeat may show another one."""
    n_each = -(-plan.n_trials // len(plan.classes))
    listed = [stimulus for name in plan.classes for stimulus in plan.stimuli[name][:n_each]]
    return {stimulus.kind for stimulus in (*listed, plan.practice)}
