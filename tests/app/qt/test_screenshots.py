"""Pictures of the window: one a tab, after the seconds asked for, and honest when something failed."""

from __future__ import annotations

from pathlib import Path

from engine_double import Engines
from filled_store import news
from PyQt6.QtGui import QImage

from app.display import WindowOptions
from app.engine.messages import Phase, SessionCommand
from app.qt.application import Screenshots
from app.qt.shell.engine_window import Settings
from app.qt.shell.session import Session
from app.qt.shell.window import MainWindow
from app.qt.theme import LIGHT
from app.request import LiveRequest, SessionOptions


class Clock:
    """Seconds that a test lets pass."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def run(qtbot, folder: Path, said: list[object], **options) -> tuple[Screenshots, Engines, list[str]]:
    engines, clock, lines = Engines(said), Clock(), []
    window = MainWindow(Session(engines), Settings(None))
    window.appearance.use_theme(LIGHT)
    window.setFixedSize(1366, 768)
    qtbot.addWidget(window)
    window.open(LiveRequest(SessionOptions()))
    window.show()
    shots = Screenshots(window, WindowOptions(screenshot=folder, seconds=5.0, **options), lines.append, clock)
    for _ in range(200):
        clock.now += 0.25
        window.poll()
        shots.poll()
        if window.closing.is_under_way:
            return shots, engines, lines
    raise AssertionError("the pictures never came to an end")


def test_one_picture_a_tab_of_the_size_asked_for(qtbot, tmp_path):
    shots, engines, lines = run(qtbot, tmp_path / "new" / "folder", news(20.0))
    names = [f"{tab}-1366x768-light.png" for tab in ("now", "why", "signals", "health")]
    assert [path.name for path in shots.saved] == names
    assert QImage(str(shots.saved[0])).size().width() == 1366
    assert SessionCommand.ASK_OCCLUSION in engines.commands
    assert lines == [f"saved {path}" for path in shots.saved]
    assert shots.faults == []


def test_a_failed_engine_leaves_pictures_and_a_fault(qtbot, tmp_path):
    shots, _, lines = run(qtbot, tmp_path, [Phase("failed", "no stream was found")], tabs=("now",))
    assert len(shots.saved) == 1
    assert lines[-1] == "error: no stream was found"


def test_a_folder_that_cannot_be_written_is_said(qtbot, tmp_path):
    (tmp_path / "file").touch()
    shots, _, _ = run(qtbot, tmp_path / "file" / "folder", news(20.0), tabs=("now",))
    assert not shots.saved
    assert shots.faults
