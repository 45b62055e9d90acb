"""Opens the real window on simulated devices, presses every key and button, and tells what happened as JSON.

Run as a program, on an X server or without: ``python drive_window.py FOLDER``.
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

    from acquisition.lsl.discovery import quiet_liblsl
    from acquisition.simulator.source import SimulatorOptions
    from app.engine.process import EngineProcess
    from app.qt.application import make_application
    from app.qt.shell.engine_window import Settings
    from app.qt.shell.session import Session
    from app.qt.shell.window import MainWindow
    from app.qt.theme import DARK
    from app.request import LiveRequest, SessionOptions
    from assets import LSL_CONFIG

    quiet_liblsl(LSL_CONFIG)
    application = make_application(1.0)
    window = MainWindow(Session(EngineProcess), Settings(folder / "window.ini"))
    window.settings.keep("record to", str(folder))
    window.appearance.use_theme(DARK)
    window.resize(1366, 768)
    window.faults.install()
    simulated = SimulatorOptions(
        seed=77, name_prefix="Simulated ", source_id_suffix=f"-window-{os.getpid()}", schedule="random:4"
    )
    window.open(LiveRequest(SessionOptions(device="cpu"), simulated=simulated))
    window.show()
    window.activateWindow()
    driver = _Driver(application, window)
    seen: dict[str, object] = {"platform": QApplication.platformName()}
    driver.wait(lambda: len(window.session.store.predictions) > 30, 90.0)
    seen["pictures"] = driver.pictures(folder)
    seen["recorded"] = driver.record(folder)
    seen["buttons"] = driver.press_buttons()
    seen["keys"] = driver.press_keys()
    began = time.monotonic()
    window.close()
    driver.wait(lambda: not window.isVisible(), 10.0)
    seen["closing_s"] = time.monotonic() - began
    seen["faults"] = window.faults.n_faults
    seen["messages"] = window.banners.texts
    print(json.dumps(seen), flush=True)


class _Driver:
    """Does to a window what a person would."""

    def __init__(self, application, window) -> None:
        self._application, self._window = application, window

    def wait(self, condition: Callable[[], bool], within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > deadline:
                raise SystemExit(f"waited {within_s} s in vain; the window says {self._window.banners.texts}")
            self._turn()

    def pictures(self, folder: Path) -> dict[str, str]:
        """Save each tab."""
        saved = {}
        for name in ("now", "why", "signals", "health"):
            self._window.tabs.show_tab(name)
            self._pass(0.7)
            saved[name] = str(folder / f"{name}.png")
            self._window.grab().save(saved[name])
        return saved

    def record(self, folder: Path) -> str:
        """Record for a moment and return the file's path."""
        store = self._window.session.store
        dialog = self._window.recording.toggle()
        path = dialog.path
        dialog.accept()

        def state() -> str:
            recording = store.health.recording if store.health is not None else None
            return recording.state if recording is not None else ""

        self.wait(lambda: state() == "recording", 30.0)
        self._pass(1.0)
        self._window.recording.toggle()
        self.wait(lambda: state() == "stopped", 15.0)
        return str(path)

    def press_buttons(self) -> dict[str, int]:
        """Click every enabled button twice (so that switches return) and count what was triggered."""
        from PyQt6.QtCore import Qt
        from PyQt6.QtTest import QTest
        from PyQt6.QtWidgets import QToolButton

        counts: dict[str, int] = {}
        bars = (self._window.toolbar, self._window.replay_bar)
        for button in [b for bar in bars for b in bar.findChildren(QToolButton)]:
            action = button.defaultAction()
            if action is None or not button.isEnabled() or not button.isVisible():
                continue
            name = next(n for n, a in self._window.actions_by_name.items() if a is action)
            with _Count(action) as count:
                for _ in range(2):
                    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
                    self._settle()
            counts[name] = count.n
        return counts

    def press_keys(self) -> dict[str, int]:
        """Press the keys of every enabled command but the last and count what was triggered."""
        from PyQt6.QtGui import QKeySequence
        from PyQt6.QtTest import QTest

        from app.qt.shell.commands import COMMANDS

        counts: dict[str, int] = {}
        for command in COMMANDS:
            action = self._window.actions_by_name[command.name]
            if command.name == "stop_rest":
                self.wait(action.isEnabled, 10.0)  # the rest begun by the key before has been told of
            if command.name in ("quit", "stop", "start_again") or not action.isEnabled():
                continue
            with _Count(action) as count:
                for keys in command.keys:
                    self.wait(self._window.isActiveWindow, 5.0)  # also after a dialog, without a manager
                    QTest.keySequence(self._window.centralWidget(), QKeySequence(keys))
                    self._settle()
            counts[command.name] = count.n
        return counts

    def _settle(self) -> None:
        """Let what was triggered happen, and close what it opened."""
        from PyQt6.QtWidgets import QDialog

        self._pass(0.1)
        for dialog in self._window.findChildren(QDialog):
            if dialog.isVisible():
                dialog.reject()
        self._pass(0.05)

    def _pass(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._turn()

    def _turn(self) -> None:
        from PyQt6.QtCore import QEventLoop

        # Waits for an event at most so long; the window's own timer brings one every 33 ms.
        self._application.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 50)


class _Count:
    """Counts how often an action is triggered."""

    def __init__(self, action) -> None:
        self._action, self.n = action, 0

    def __enter__(self) -> _Count:
        self._action.triggered.connect(self._add)
        return self

    def __exit__(self, *_: object) -> None:
        self._action.triggered.disconnect(self._add)

    def _add(self) -> None:
        self.n += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]))
