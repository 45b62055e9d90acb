"""The screens before a session: notice and consent, then the signal check."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QCheckBox, QGridLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app.engine.messages import GiveConsent, Proceed
from app.qt.calibration.screen import Screen, Send
from app.qt.panels.health import ElectrodesPanel
from app.qt.theme import Theme
from app.qt.widgets import put, scrolling
from app.view.calibration_screens import LIGHT_WORDS, by_gravity, checks_in_words
from app.view.health import SHAPES
from app.view.store import ViewStore
from app.view.text import one_line
from calibration.consent import ModalityNotice, Notice, give_consent
from calibration.types import Check, SessionView

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
        given = self._given()
        if not given:
            return
        consent = give_consent(
            given, datetime.now(UTC), keep_face_video=self._keeps("face"), keep_voice=self._keeps("voice")
        )
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
        if self._tick.isEnabled():
            self._tick.toggle()


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
        self.counts = self.words(
            "", muted=True, align=Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignBottom
        )
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
