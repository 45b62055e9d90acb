"""Before and beside a session: notice and consent, the signal check, and the operator's window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from PyQt6.QtCore import Qt
from PyQt6.QtGui import QCloseEvent, QGuiApplication, QKeySequence, QScreen, QShortcut
from PyQt6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QMainWindow,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from app.engine.messages import GiveConsent, Note, Proceed, RepeatTrial
from app.qt.calibration.screen import Screen, Send
from app.qt.panels.health import ElectrodesPanel, StreamsPanel
from app.qt.shell.commands import Command
from app.qt.theme import Theme
from app.qt.widgets import Part, RowTable, plain_label, put, scrolling, there
from app.view.calibration_screens import (
    LIGHT_WORDS,
    by_gravity,
    checks_in_words,
    is_armed_to_pause,
    progress_in_words,
    step_in_words,
    trial_rows,
)
from app.view.health import SHAPES
from app.view.store import ViewStore
from app.view.text import clock_text, one_line
from calibration.consent import ModalityNotice, Notice, give_consent
from calibration.types import Check, Progress, SessionView

_SEVERITIES = {"green": "good", "yellow": "suspect", "red": "bad"}


class NoticeScreen(Screen):
    """Says what is recorded and where it stays, with a tick for each modality that may be recorded.

    Nothing is ticked beforehand: consent must be given actively.
    """

    def __init__(
        self, send: Send, notice: Notice, on_agreed: Callable[[], None], on_declined: Callable[[], object]
    ) -> None:
        super().__init__("Notice and consent", send, width=170)
        self._on_agreed = on_agreed
        self.ticks: dict[str, QCheckBox] = {}
        self.keeps: dict[str, QCheckBox] = {}
        paragraphs = QWidget()
        said = (self.words(paragraph, 1.08, bold=at == 0) for at, paragraph in enumerate(notice.paragraphs))
        put(QVBoxLayout(paragraphs), *said, 1, margins=(0, 0, 0, 0), spacing=9)
        question = "What may be recorded and used?"
        choices = self.panel(self.words(question, 1.15, bold=True), *map(self._choice, notice.modalities), 1)
        sides = self.row((scrolling(paragraphs, "Notice"), 5), (scrolling(choices, question), 6))
        sides.setSpacing(24)
        self._hint = self.words("", muted=True)
        self.decline = self.button("I do &not agree", on_declined)
        self.agree = self.button("I &agree to what is ticked", self.give, primary=True)
        foot = self.row(self.button("&Tick all", self.tick_all), (self._hint, 1), self.decline, self.agree)
        self.stack(self.words("Before we begin", 1.6, bold=True), (sides, 1), foot)
        self._update()

    def first_focus(self) -> QWidget:
        return next(iter(self.ticks.values()))

    def tick_all(self) -> None:
        """Tick all modalities, but not to keep the face video or the voice."""
        for tick in self.ticks.values():
            tick.setChecked(True)

    def give(self) -> None:
        if not (given := self._given()):
            return
        face, voice = self._keeps("face"), self._keeps("voice")
        consent = give_consent(given, datetime.now(UTC), keep_face_video=face, keep_voice=voice)
        self.send(GiveConsent(consent))
        self._on_agreed()

    def _given(self) -> list[str]:
        return [modality for modality, tick in self.ticks.items() if tick.isChecked()]

    def _keeps(self, modality: str) -> bool:
        keep = self.keeps.get(modality)
        return keep is not None and keep.isEnabled() and keep.isChecked()

    def _choice(self, one: ModalityNotice) -> QGridLayout:
        grid = QGridLayout()
        grid.setVerticalSpacing(1)
        grid.setColumnMinimumWidth(0, 32)
        grid.setColumnStretch(1, 1)
        tick = self.ticks[one.modality] = QCheckBox(one.title)
        tick.setAccessibleDescription(f"{one.recorded} {one.used}")
        tick.toggled.connect(self._update)
        grid.addWidget(tick, 0, 0, 1, 2, Qt.AlignmentFlag.AlignLeft)
        grid.addWidget(self.words(f"{one.recorded} {one.used}", muted=True), 1, 1)
        if one.keep:
            keep = self.keeps[one.modality] = QCheckBox()
            keep.setAccessibleName(one.keep)
            row = QHBoxLayout()
            row.addWidget(keep, 0, Qt.AlignmentFlag.AlignTop)
            row.addWidget(_Clickable(one.keep, keep), 1, Qt.AlignmentFlag.AlignVCenter)
            grid.addLayout(row, 2, 1)
        return grid

    def _update(self) -> None:
        given = self._given()
        for modality, keep in self.keeps.items():
            keep.setEnabled(modality in given)
        self.agree.setEnabled(bool(given))
        self._hint.setText("" if given else "Tick at least one. No device is opened before you agree.")


class _Clickable(QLabel):
    """The text of a tick, over several lines, which a tick itself does not support."""

    def __init__(self, text: str, tick: QCheckBox) -> None:
        super().__init__(text)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setWordWrap(True)
        self._tick = tick

    def mousePressEvent(self, _event: object) -> None:
        self._tick.click()


class PreflightScreen(Screen):
    """Signal checks and electrodes; checks at Stop block the session unless overridden.

    ``own_checks`` are those that only the window can make, e.g. of the sound output.
    """

    def __init__(self, send: Send, own_checks: Sequence[Check] = ()) -> None:
        super().__init__("Signal check", send, width=190)
        self._own = tuple(own_checks)
        self._shown: tuple[Check, ...] | None = None
        self._step_id = 0
        self._red: tuple[str, ...] = ()
        corner = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignBottom
        self.counts = self.words("", muted=True, align=corner)
        self._grid = QGridLayout()
        self._grid.setVerticalSpacing(1)
        self._grid.setHorizontalSpacing(12)
        self._grid.setColumnStretch(2, 1)
        self._rows: list[_Row] = []
        self.quality = ElectrodesPanel()
        self.override = QCheckBox("&Override and continue")
        self.override.toggled.connect(self._update)
        self.hint = self.words("", muted=True)
        self.go = self.button("&Start the session", self.proceed, primary=True)
        head = self.row((self.words("Signal check", 1.6, bold=True), 1), (self.counts, 1))
        checks = scrolling(self.panel(self._grid, 1), "Checks")
        foot = self.row(self.override, (self.hint, 1), self.go)
        self.stack(head, (self.row((checks, 6), (self.quality, 5)), 1), foot)
        self._update()

    def refresh(self, view: SessionView | None, store: ViewStore, now: float) -> None:
        self.quality.refresh(store, now)
        if view is not None and view.step_id != self._step_id:
            self._step_id = view.step_id
            self.override.setChecked(False)
        checks = (*view.checks, *self._own) if view is not None and view.checks else ()
        if checks == self._shown:
            return
        self._shown = checks
        self._show_checks(by_gravity(checks))
        self.counts.setText(checks_in_words(checks) if checks else "Checking the streams …")
        red = tuple(check.name for check in checks if check.light == "red")
        if red != self._red:
            self._red = red
            self.override.setChecked(False)  # an override applies to the checks that were shown
        self._update()

    def proceed(self) -> None:
        if self.go.isEnabled():
            self.send(Proceed(self._step_id, self._red if self.override.isChecked() else ()))

    def set_theme(self, theme: Theme) -> None:
        """Take other colours; those of the checks change at the next refresh."""
        super().set_theme(theme)
        self._shown = None

    def _show_checks(self, checks: Sequence[Check]) -> None:
        while len(self._rows) < len(checks):
            self._rows.append(_Row(self, self._grid, 3 * len(self._rows)))
        for place, row in enumerate(self._rows):
            row.show_check(checks[place] if place < len(checks) else None)

    def _update(self) -> None:
        names = ", ".join(map(one_line, self._red))
        self.override.setVisible(bool(self._red))
        self.override.setAccessibleDescription(f"Overrides: {names}")
        self.hint.setText(f"Blocks the session: {names}. An override is recorded." if self._red else "")
        is_ready = bool(self._shown) and (not self._red or self.override.isChecked())
        if is_ready != self.go.isEnabled():
            self.go.setEnabled(is_ready)
            if is_ready and not self.override.hasFocus():
                self.go.setFocus()  # a disabled button could not take the keys


class _Row:
    """One check: its state, name and finding, and the remedy below."""

    def __init__(self, screen: Screen, grid: QGridLayout, at: int) -> None:
        self._screen = screen
        self.light, self.name = screen.words("", bold=True), screen.words("", bold=True)
        self.finding, self.remedy = screen.words(), screen.words("", muted=True)
        for label in (self.light, self.name):
            label.setWordWrap(False)
        for column, label in enumerate((self.light, self.name, self.finding)):
            grid.addWidget(label, at, column, Qt.AlignmentFlag.AlignTop)
        grid.addWidget(self.remedy, at + 1, 2, Qt.AlignmentFlag.AlignTop)
        grid.setRowMinimumHeight(at + 2, 6)

    def show_check(self, check: Check | None) -> None:
        for part in (self.light, self.name, self.finding):
            part.setVisible(check is not None)
        self.remedy.setVisible(check is not None and bool(check.remedy))
        if check is None:
            return
        severity = _SEVERITIES[check.light]
        self.light.setText(f"{SHAPES[severity]} {LIGHT_WORDS[check.light]}")
        self.light.setAccessibleName(LIGHT_WORDS[check.light])
        self.light.setStyleSheet(f"color: {getattr(self._screen.theme, severity)};")
        name = one_line(check.name)
        self.name.setText(name[:1].upper() + name[1:])
        self.finding.setText(one_line(check.finding))
        self.remedy.setText(one_line(check.remedy))


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
        return self._pages.get(self._name, self.monitor)

    def show_page(self, name: str) -> None:
        self._name = name
        if self.current is not self.stack.currentWidget():
            self.stack.setCurrentWidget(self.current)
            self.current.first_focus().setFocus()

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
        is_paused = view is not None and view.is_paused
        self.buttons["toggle_pause"].setText("Resume (P)" if is_paused else "Pause (P)")
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
