"""The pre-flight: a light, a finding and a remedy for each thing a session needs, renewed all the time."""

from __future__ import annotations

from collections.abc import Sequence

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from app.engine.messages import Proceed
from app.qt.calibration.light import Light
from app.qt.calibration.screen import Screen, Send
from app.qt.panels.quality import QualityPanel
from app.qt.theme import Theme
from app.qt.widgets import Tick
from app.view.calibration_screens import LIGHT_WORDS, by_gravity, checks_in_words
from app.view.plain_text import one_line
from app.view.store import ViewStore
from calibration.types import Check, SessionView

_LOOKING = "Looking at the streams …"


class PreflightScreen(Screen):
    """Checks, the electrodes, and the way on; red stops unless overridden in so many words.

    Parameters
    ----------
    send : callable
    own_checks : sequence of Check
        What only the window knows, e.g. whether there is a sound output.
    """

    def __init__(self, send: Send, own_checks: Sequence[Check] = ()) -> None:
        super().__init__("Pre-flight", send, width=190)
        self._own = tuple(own_checks)
        self._shown: tuple[Check, ...] | None = None
        self._step_id = 0
        self._red: tuple[str, ...] = ()
        head = QHBoxLayout()
        head.addWidget(self.words("Is everything in place?", 1.6, bold=True), 1)
        self.counts = self.words("", muted=True)
        self.counts.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignBottom)
        head.addWidget(self.counts, 1)
        self.column.addLayout(head)
        sides = QHBoxLayout()
        self.rows = _Rows(self)
        sides.addWidget(self.rows, 6)
        self.quality = QualityPanel()
        sides.addWidget(self.quality, 5)
        self.column.addLayout(sides, 1)
        self.override = Tick()
        self.override.toggled.connect(self._look)
        self.hint = self.words("", muted=True)
        self.go = self.button("&Begin the session", self.proceed, primary=True)
        foot = QHBoxLayout()
        foot.addWidget(self.override)
        foot.addWidget(self.hint, 1)
        foot.addWidget(self.go)
        self.column.addLayout(foot)
        self._look()

    def begin(self, view: SessionView) -> None:
        """Begin without an override."""
        self._step_id = view.step_id
        self.override.setChecked(False)

    def refresh(self, view: SessionView | None, store: ViewStore, now: float) -> None:
        """Show the newest checks."""
        self.quality.refresh(store, now)
        checks = (*view.checks, *self._own) if view is not None and view.checks else ()
        if checks == self._shown:
            return
        self._shown = checks
        self.rows.show_checks(by_gravity(checks))
        self.counts.setText(checks_in_words(checks) if checks else _LOOKING)
        red = tuple(check.name for check in checks if check.light == "red")
        if red != self._red:
            self._red = red
            self.override.setChecked(False)  # an override is of what was read, not of what comes up later
        self._look()

    def proceed(self) -> None:
        """Go on, if nothing stops the session."""
        if self.go.isEnabled():
            self.send(Proceed(self._step_id, self._red if self.override.isChecked() else ()))

    def first_focus(self) -> QWidget:
        """The way on."""
        return self.go

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        self.rows.set_theme(theme)
        self.override.set_theme(theme)
        self.quality.set_theme(theme)

    def _look(self) -> None:
        names = ", ".join(map(one_line, self._red))
        self.override.setVisible(bool(self._red))
        self.override.setText("Begin all the &same, without this")
        self.override.setAccessibleDescription(f"Overrides: {names}")
        self.hint.setText(f"Stops the session: {names}. An override is recorded." if self._red else "")
        is_ready = bool(self._shown) and (not self._red or self.override.isChecked())
        if is_ready != self.go.isEnabled():
            self.go.setEnabled(is_ready)
            if is_ready and not self.override.hasFocus():
                self.go.setFocus()  # a disabled button could not take the keys


class _Row:
    """One check: its light and its word, what it is of, the finding, and below it the remedy."""

    def __init__(self, screen: Screen, grid: QGridLayout, at: int) -> None:
        self.light = Light()
        self.light.set_theme(screen.theme)
        self.word, self.name = screen.words("", bold=True), screen.words("", bold=True)
        self.finding, self.remedy = screen.words(), screen.words("", muted=True)
        for label in (self.word, self.name):
            label.setWordWrap(False)
        grid.addWidget(self.light, at, 0, 2, 1, Qt.AlignmentFlag.AlignTop)
        for column, label in enumerate((self.word, self.name, self.finding), start=1):
            grid.addWidget(label, at, column, Qt.AlignmentFlag.AlignTop)
        grid.addWidget(self.remedy, at + 1, 3, Qt.AlignmentFlag.AlignTop)
        grid.setRowMinimumHeight(at + 2, 6)

    def show_check(self, check: Check | None) -> None:
        """Show a check, or nothing."""
        for part in (self.light, self.word, self.name, self.finding):
            part.setVisible(check is not None)
        self.remedy.setVisible(check is not None and bool(check.remedy))
        if check is None:
            return
        self.light.fit(self.word.fontMetrics().height())
        self.light.show_light(check.light)
        self.word.setText(LIGHT_WORDS[check.light])
        name = one_line(check.name)
        self.name.setText(name[:1].upper() + name[1:])
        self.finding.setText(one_line(check.finding))
        self.remedy.setText(one_line(check.remedy))


class _Rows(QScrollArea):
    """The checks, one under the other."""

    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen
        self._rows: list[_Row] = []
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setAccessibleName("Checks")
        panel = QFrame()
        panel.setObjectName("panel")
        self._grid = QGridLayout()
        self._grid.setVerticalSpacing(1)
        self._grid.setHorizontalSpacing(12)
        self._grid.setColumnStretch(3, 1)
        column = QVBoxLayout(panel)
        column.setContentsMargins(14, 10, 14, 10)
        column.addLayout(self._grid)
        column.addStretch(1)
        self.setWidget(panel)

    def show_checks(self, checks: Sequence[Check]) -> None:
        """Show these, in this order."""
        while len(self._rows) < len(checks):
            self._rows.append(_Row(self._screen, self._grid, 3 * len(self._rows)))
        for place, row in enumerate(self._rows):
            row.show_check(checks[place] if place < len(checks) else None)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        for row in self._rows:
            row.light.set_theme(theme)
