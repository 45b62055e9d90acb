"""Goes through a short calibration of simulated devices by keyboard alone, and tells what happened as JSON.

Run as a program, on an X server or without: ``python drive_calibration.py FOLDER``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))


def main(folder: Path) -> None:
    from PyQt6.QtWidgets import QApplication

    from acquisition.clock import LslClock
    from acquisition.lsl.discovery import quiet_liblsl
    from acquisition.simulator.source import SimulatorOptions
    from app.calibrate.prepare import prepare
    from app.engine.process import EngineProcess
    from app.qt.application import make_application
    from app.qt.calibration.window import CalibrationWindow
    from app.qt.shell.engine_window import Settings
    from app.qt.shell.session import EngineSession
    from app.qt.theme import DARK
    from app.request import CalibrationRequest, SessionOptions
    from assets import LSL_CONFIG

    quiet_liblsl(LSL_CONFIG)
    application = make_application(1.0)
    simulated = SimulatorOptions(
        seed=5, streams=("eeg", "gaze", "video", "audio"), source_id_suffix=f"-keys-{os.getpid()}"
    )
    request = CalibrationRequest(
        SessionOptions(device="cpu"),
        "T01",
        data_dir=folder,
        classes=("happy", "sad"),
        n_trials=4,
        time_scale=6.0,
        simulated=simulated,
    )
    session = EngineSession(EngineProcess)
    clock = LslClock().now
    window = CalibrationWindow(session, Settings(None), prepare(request), folder, clock, is_placed=True)
    window.appearance.use_theme(DARK)
    window.resize(1366, 768)
    window.faults.install()
    window.open()
    window.show()
    window.activateWindow()
    seen = _Person(application, window).lead_through()
    seen["platform"] = QApplication.platformName()
    began = time.monotonic()
    window.close()
    while window.isVisible() and time.monotonic() < began + 10:
        application.processEvents()
    seen["closing_s"] = time.monotonic() - began
    seen["faults"] = window.faults.n_faults
    print(json.dumps(seen), flush=True)
    session.kill()


class _Person:
    """Presses keys, as the screens come up."""

    def __init__(self, application, window) -> None:
        self._application, self._window = application, window
        self._screens: list[str] = []

    def lead_through(self) -> dict[str, object]:
        """Go from the notice to the verdict."""
        from PyQt6.QtCore import Qt

        self._wait(self._window.isActiveWindow, 10.0)
        for place in range(4):  # past the two that keep face and voice as they are
            self._press(Qt.Key.Key_Space)
            self._press(*[Qt.Key.Key_Tab] * (1 if place < 2 else 2))
        self._window.screens.notice.agree.setFocus()
        self._press(Qt.Key.Key_Return)
        preflight = self._window.screens.preflight
        self._wait(lambda: self._name == "preflight" and preflight.go.isEnabled(), 90.0)
        self._press(Qt.Key.Key_Return, of=self._window.operator)
        for trial in range(5):  # the first is the practice
            self._wait(lambda: self._name == "report", 60.0)
            self._answer(trial)
            self._wait(lambda: self._name != "report", 20.0)
        self._wait(lambda: self._window.screens.finish.result is not None, 120.0)
        return self._what_was_seen()

    def _answer(self, trial: int) -> None:
        from PyQt6.QtCore import Qt

        keys = [Qt.Key.Key_1 if trial % 2 else Qt.Key.Key_2, *[Qt.Key.Key_Right] * 3, Qt.Key.Key_Return]
        self._press(*keys, *[Qt.Key.Key_Left] * 2, Qt.Key.Key_Return, Qt.Key.Key_Return)

    def _what_was_seen(self) -> dict[str, object]:
        result, view = self._window.screens.finish.result, self._window.session.store.calibration
        reports = [trial.report for trial in view.trials]
        return {
            "screens": list(dict.fromkeys(self._screens)),
            "answers": [(report.valence, report.arousal) for report in reports if report is not None],
            "verdict": result.verdict.code,
            "recording": str(result.recordings[-1]),
            "profile": str(result.profile),
            "report": str(result.report),
            "messages": self._window.banners.texts,
        }

    @property
    def _name(self) -> str:
        return self._window.screen_name

    def _press(self, *keys, of=None) -> None:
        from PyQt6.QtTest import QTest

        for key in keys:
            window = of or self._window
            QTest.keyClick(window.focusWidget() or window, key)
            self._turn()

    def _wait(self, condition: Callable[[], bool], within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > deadline:
                phase = self._window.session.store.phase
                raise SystemExit(f"waited {within_s} s in vain at {self._name}: {phase}")
            self._turn()

    def _turn(self) -> None:
        from PyQt6.QtCore import QEventLoop

        self._application.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 50)
        self._screens.append(self._name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
