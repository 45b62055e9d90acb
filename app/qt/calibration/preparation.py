"""The notice before a session, and what the person agrees to; nothing is opened before."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from PyQt6.QtCore import QPointF, QRectF, QSize, Qt
from PyQt6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from PyQt6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from app.engine.messages import GiveConsent, Proceed
from app.qt.calibration.screen import Screen, Send
from app.qt.panels.quality import QualityPanel
from app.qt.theme import DARK, Theme
from app.qt.widgets import Tick
from app.view.calibration_screens import LIGHT_WORDS, by_gravity, checks_in_words
from app.view.store import ViewStore
from app.view.text import one_line
from calibration.consent import ModalityNotice, Notice, give_consent
from calibration.types import Check, SessionView


class NoticeScreen(Screen):
    """Says what is recorded and where it stays; a tick each for what may be recorded.

    Nothing is ticked beforehand: a consent is something a person does.

    Parameters
    ----------
    send : callable
    on_agreed : callable
        Called after the consent was sent.
    on_declined : callable
    now : callable
        Returns the time of day, with its zone.
    """

    def __init__(
        self,
        send: Send,
        notice: Notice,
        on_agreed: Callable[[], None],
        on_declined: Callable[[], object],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__("Notice and consent", send, width=170)
        self._on_agreed, self._now = on_agreed, now
        self.ticks: dict[str, Tick] = {}
        self.keeps: dict[str, Tick] = {}
        self.column.addWidget(self.words("Before we begin", 1.6, bold=True))
        sides = QHBoxLayout()
        sides.setSpacing(24)
        sides.addWidget(self._paragraphs(notice), 5)
        sides.addWidget(self._choices(notice), 6)
        self.column.addLayout(sides, 1)
        self.all = self.button("Tick &all", self.tick_all)
        self.decline = self.button("I do &not agree", on_declined)
        self.agree = self.button("I &agree to what is ticked", self.give, primary=True)
        self._hint = self.words("", muted=True)
        foot = QHBoxLayout()
        foot.addWidget(self.all)
        foot.addWidget(self._hint, 1)
        foot.addWidget(self.decline)
        foot.addWidget(self.agree)
        self.column.addLayout(foot)
        self._look()

    def first_focus(self) -> QWidget:
        """The first tick."""
        return next(iter(self.ticks.values()))

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        for tick in (*self.ticks.values(), *self.keeps.values()):
            tick.set_theme(theme)

    def tick_all(self) -> None:
        """Tick what may be recorded and used, but not what keeps face and voice as they are."""
        for tick in self.ticks.values():
            tick.setChecked(True)

    def give(self) -> None:
        """Send the consent."""
        given = [modality for modality, tick in self.ticks.items() if tick.isChecked()]
        if not given:
            return
        consent = give_consent(
            given, self._now(), keep_face_video=self._keeps("face"), keep_voice=self._keeps("voice")
        )
        self.send(GiveConsent(consent))
        self._on_agreed()

    def _keeps(self, modality: str) -> bool:
        keep = self.keeps.get(modality)
        return keep is not None and keep.isEnabled() and keep.isChecked()

    def _paragraphs(self, notice: Notice) -> QWidget:
        area, box = QWidget(), QVBoxLayout()
        area.setLayout(box)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(9)
        for place, paragraph in enumerate(notice.paragraphs):
            box.addWidget(self.words(paragraph, 1.08, bold=place == 0))
        box.addStretch(1)
        return _scrolling(area, "Notice")

    def _choices(self, notice: Notice) -> QWidget:
        panel = QFrame()
        panel.setObjectName("panel")
        column = QVBoxLayout(panel)
        column.setContentsMargins(14, 10, 14, 10)
        column.addWidget(self.words("What may be recorded and used?", 1.15, bold=True))
        for one in notice.modalities:
            column.addLayout(self._choice(one))
        column.addStretch(1)
        return _scrolling(panel, "What may be recorded and used")

    def _choice(self, one: ModalityNotice) -> QGridLayout:
        grid = QGridLayout()
        grid.setVerticalSpacing(1)
        grid.setColumnMinimumWidth(0, 32)
        grid.setColumnStretch(1, 1)
        tick = self.ticks[one.modality] = Tick(one.title)
        tick.setAccessibleDescription(f"{one.recorded} {one.used}")
        tick.toggled.connect(self._look)
        grid.addWidget(tick, 0, 0, 1, 2, Qt.AlignmentFlag.AlignLeft)
        grid.addWidget(self.words(f"{one.recorded} {one.used}", muted=True), 1, 1)
        if one.keep:
            keep = self.keeps[one.modality] = Tick()
            keep.setAccessibleName(one.keep)
            words = _Clickable(one.keep, keep)
            row = QHBoxLayout()
            row.addWidget(keep, 0, Qt.AlignmentFlag.AlignTop)
            row.addWidget(words, 1, Qt.AlignmentFlag.AlignVCenter)
            grid.addLayout(row, 2, 1)
        return grid

    def _look(self) -> None:
        given = [modality for modality, tick in self.ticks.items() if tick.isChecked()]
        for modality, keep in self.keeps.items():
            keep.setEnabled(modality in given)
        self.agree.setEnabled(bool(given))
        self._hint.setText("" if given else "Tick at least one; nothing is opened before you agree.")


class _Clickable(QLabel):
    """The words of a tick, which may run over several lines as a tick's own cannot."""

    def __init__(self, text: str, tick: Tick) -> None:
        super().__init__(text)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setWordWrap(True)
        self._tick = tick

    def mousePressEvent(self, _event: object) -> None:
        """Do as a click on the tick."""
        if self._tick.isEnabled():
            self._tick.toggle()


def _scrolling(widget: QWidget, name: str) -> QScrollArea:
    area = QScrollArea()
    area.setAccessibleName(name)
    area.setWidgetResizable(True)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setWidget(widget)
    if (viewport := area.viewport()) is not None:
        viewport.setAutoFillBackground(False)
    widget.setAutoFillBackground(False)
    return area


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


class Light(QWidget):
    """One light; its accessible name is its word."""

    def __init__(self) -> None:
        super().__init__()
        self.theme: Theme = DARK
        self._light = "green"
        self.fit(self.fontMetrics().height())
        self.show_light("green")

    def show_light(self, light: str) -> None:
        """Show ``green``, ``yellow`` or ``red``."""
        self._light = light
        self.setAccessibleName(LIGHT_WORDS[light])
        self.update()

    def fit(self, line: int) -> None:
        """Take a size for words of so many points a line."""
        side = round(1.35 * line)
        self.setFixedSize(QSize(side, side))

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self.theme = theme
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw shape and sign."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.scale(self.width() / 24, self.height() / 24)
        theme = self.theme
        colour = {"green": theme.good, "yellow": theme.suspect, "red": theme.bad}[self._light]
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(colour))
        pen = QPen(QColor(theme.surface), 2.6)
        pen.setCapStyle(Qt.PenCapStyle.RoundCap)
        if self._light == "green":
            painter.drawEllipse(QRectF(2, 2, 20, 20))
            painter.setPen(pen)
            painter.drawPolyline(QPolygonF([QPointF(7, 12.5), QPointF(10.5, 16), QPointF(17, 8.5)]))
        elif self._light == "yellow":
            painter.drawPolygon(QPolygonF([QPointF(12, 1.5), QPointF(23, 21.5), QPointF(1, 21.5)]))
            painter.setPen(pen)
            painter.drawLine(QPointF(12, 8.5), QPointF(12, 14.5))
            painter.drawPoint(QPointF(12, 18.3))
        else:
            corners = [math.pi / 8 + k * math.pi / 4 for k in range(8)]
            painter.drawPolygon(
                QPolygonF([QPointF(12 + 10.8 * math.cos(a), 12 + 10.8 * math.sin(a)) for a in corners])
            )
            painter.setPen(pen)
            painter.drawLine(QPointF(7, 12), QPointF(17, 12))
