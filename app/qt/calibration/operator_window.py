"""The operator's window: signals, trials, time and verdicts of a calibration, and the commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PyQt6.QtCore import Qt
from PyQt6.QtGui import QCloseEvent, QGuiApplication, QKeySequence, QScreen, QShortcut
from PyQt6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QMainWindow,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from app.engine.messages import Note, RepeatTrial
from app.qt.calibration.screen import Screen, Send
from app.qt.panels.health import ElectrodesPanel, StreamsPanel
from app.qt.shell.commands import Command
from app.qt.widgets import Part, RowTable, plain_label, put, there
from app.view.calibration_screens import is_armed_to_pause, progress_in_words, step_in_words, trial_rows
from app.view.store import ViewStore
from app.view.text import clock_text, one_line
from calibration.types import Progress, SessionView

if TYPE_CHECKING:
    from app.qt.calibration.window import CalibrationWindow

_BEFORE = "The participant reads the notice. No device is opened before the consent."
_FROM = "Accuracy is shown from the fourth trial on."
_MAX_NOTE = 500
_N_COLUMNS = 6  # of the streams, up to their age: names need the room
_NOTE = "Note (N); Enter sends it as a marker"


def distinct_screens() -> list[QScreen]:
    """Return the screens, the primary one first; mirrored ones count as one."""
    screens = QGuiApplication.screens()
    places = [screen.geometry() for screen in screens]
    return [screen for at, screen in enumerate(screens) if places[at] not in places[:at]]


def screen_words(screen: QScreen) -> str:
    """Return a screen's name and place, by which it is chosen: equal screens may have one name."""
    place = screen.geometry()
    return f"{screen.name()} ({place.width()}×{place.height()} at {place.x()}, {place.y()})"


class MonitorScreen(Screen):
    """The list of trials, the model so far, electrodes and streams."""

    larger = 1.0

    def __init__(self, send: Send, order: Sequence[str]) -> None:
        super().__init__("Trials and signals", send, width=1000)
        self.order = tuple(order)  # planned emotion of each trial
        self._rows: list[tuple[str, str, str, str]] = []
        self.trials = RowTable("Trials", ("Trial", "Emotion", "State", "Answer"))
        self._primary = self.trials
        self.trials.setToolTip("Answer: the emotion, and valence and arousal from 1 to 9")
        header = there(self.trials.horizontalHeader())
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.figures = self.words(_FROM)
        self.worth = self.words("", muted=True)
        so_far = self.panel(self.words("The model so far", bold=True), self.figures, self.worth)
        self.panels = ElectrodesPanel(), StreamsPanel()
        for column in range(_N_COLUMNS, self.panels[1].table.columnCount()):
            self.panels[1].table.hideColumn(column)
        left = put(QVBoxLayout(), (self.trials, 1), so_far)
        right = put(QVBoxLayout(), (self.panels[0], 3), (self.panels[1], 2))
        self.stack((self.row((left, 3), (right, 5)), 1))

    def refresh(self, view: SessionView | None, store: ViewStore, now: float) -> None:
        for panel in self.panels:
            panel.refresh(store, now)
        rows = trial_rows(view, self.order)
        if rows != self._rows:
            self._rows = rows
            self.trials.fill(rows)
        self._show_progress(view.progress if view is not None else None)

    def trial_to_repeat(self, view: SessionView | None) -> int:
        """Return the trial that is selected, else the one worth repeating, else the newest; 0 for none."""
        if chosen := {index.row() for index in self.trials.selectedIndexes()}:
            return 1 + min(chosen)
        if view is None:
            return 0
        suggested = view.progress.worth_repeating if view.progress is not None else 0
        return suggested or view.step.trial or (view.trials[-1].number if view.trials else 0)

    def _show_progress(self, progress: Progress | None) -> None:
        self.worth.setVisible(progress is not None)
        self.figures.setText(progress_in_words(progress) if progress is not None else _FROM)
        if progress is not None:
            number = progress.worth_repeating
            weakest = f"Lowest accuracy: {one_line(progress.weakest)}. " if progress.weakest else ""
            self.worth.setText(weakest + (f"Trial {number} is worth repeating." if number else ""))


_SKIPPED = {kind: kind.split("_")[0] for kind in ("baseline_open", "baseline_closed", "practice", "rest")}


class OperatorWindow(QMainWindow):
    """Shows the page that belongs to the participant's screen, and what can be done about it.

    ``window`` is the participant's; of the ``commands`` those with a short text have a button.
    """

    def __init__(self, window: CalibrationWindow, commands: Sequence[Command]) -> None:
        super().__init__(window, Qt.WindowType.Window)
        self.setWindowTitle(f"{window.windowTitle()}: operator")
        self._window, self.monitor, self._pages = window, window.screens.monitor, window.screens.of_operator
        self._name = self._elapsed = ""
        self._view: SessionView | None = None
        self._began: float | None = None
        self.state, self.times = plain_label(), plain_label(muted=True)
        self.state.setObjectName("title")
        self.stack = QStackedWidget()
        for page in (*self._pages.values(), self.monitor):
            self.stack.addWidget(page)
        self.note = QLineEdit()
        self.note.setMaxLength(_MAX_NOTE)
        self.note.setPlaceholderText(_NOTE)
        self.note.setAccessibleName(_NOTE)
        self.note.returnPressed.connect(self._send_note)
        self.screens = QComboBox()
        self.screens.setAccessibleName("Participant's screen")
        self.screens.activated.connect(lambda at: window.choose_screen(self.screens.itemData(at)))
        self.buttons: dict[str, QPushButton] = {}
        self.commands = {**window.commands, "repeat": self._repeat, "write_note": self.note.setFocus}
        for command in commands:
            self._add_command(command)
        head = put(QHBoxLayout(), (self.state, 1), self.times, margins=(16, 8, 16, 4))
        parts: tuple[Part, ...] = (*self.buttons.values(), (self.note, 1), self.screens)
        foot = put(QHBoxLayout(), *parts, margins=(16, 4, 16, 8))
        whole = QWidget()
        whole.setObjectName("page")
        rows: tuple[Part, ...] = (window.banners, head, (self.stack, 1), foot)
        put(QVBoxLayout(whole), *rows, margins=(0, 0, 0, 0), spacing=0)
        self.setCentralWidget(whole)

    def _add_command(self, command: Command) -> None:
        call = self.commands[command.name]
        for key in command.keys:
            shortcut = QShortcut(QKeySequence(key), self)
            shortcut.activated.connect(lambda: call())
        if command.short:
            button = self.buttons[command.name] = QPushButton(f"{command.short} ({command.keys[0]})")
            button.setToolTip(command.explanation)
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.clicked.connect(lambda: call())

    @property
    def current(self) -> Screen:
        page = self.stack.currentWidget()
        assert isinstance(page, Screen)
        return page

    def show_page(self, name: str) -> None:
        self._name, page = name, self._pages.get(name, self.monitor)
        if page is not self.current:
            self.stack.setCurrentWidget(page)
            page.first_focus().setFocus()

    def show_screens(self, screens: Sequence[QScreen], chosen: QScreen) -> None:
        self.screens.clear()
        for screen in screens:
            self.screens.addItem(f"Participant: {screen_words(screen)}", screen_words(screen))
        self.screens.setCurrentIndex(screens.index(chosen))
        self.screens.setVisible(len(screens) > 1)

    def refresh(self, view: SessionView | None, store: ViewStore, now: float) -> None:
        self._view, is_armed = view, is_armed_to_pause(view)
        if self._began is None and is_armed:
            self._began = now
        self.state.setText(_BEFORE if self._name == "notice" else step_in_words(view, store.phase))
        left = ""
        if is_armed and view is not None and self._began is not None:
            left = f"{clock_text(view.ends - now)} left in this step" if view.ends is not None else ""
            self._elapsed = f"Elapsed {clock_text(now - self._began)}"
        signs = self._window.signs.text()
        self.times.setText("  ·  ".join(part for part in (signs, left, self._elapsed) if part))
        for button in (*self.buttons.values(), self.note):
            button.setEnabled(is_armed)
        self._name_buttons(view)
        self.current.refresh(view, store, now)

    def _name_buttons(self, view: SessionView | None) -> None:
        kind = view.step.kind if view is not None else ""
        trial = self.monitor.trial_to_repeat(view)
        self.buttons["toggle_pause"].setText(
            "Resume (P)" if view is not None and view.is_paused else "Pause (P)"
        )
        usual = "practice" if kind == "report" and view is not None and not view.step.trial else "trial"
        self.buttons["skip"].setText(f"Skip the {_SKIPPED.get(kind, usual)} (S)")
        self.buttons["repeat"].setText(f"Repeat trial {trial} (R)" if trial else "Repeat (R)")
        self.buttons["repeat"].setEnabled(trial > 0 and self.buttons["skip"].isEnabled())

    def _repeat(self) -> None:
        if self.buttons["repeat"].isEnabled():
            self._window.send(RepeatTrial(self.monitor.trial_to_repeat(self._view)))
            self.monitor.trials.clearSelection()

    def _send_note(self) -> None:
        if text := self.note.text().strip():
            self._window.send(Note(text))
        self.note.clear()
        self.current.first_focus().setFocus()

    def closeEvent(self, event: QCloseEvent | None) -> None:
        if event is not None:
            event.ignore()
            self._window.close()
