"""The notice before a session, and what the person agrees to; nothing is opened before."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from app.engine.messages import GiveConsent
from app.qt.calibration.screen import Screen, Send
from app.qt.theme import Theme
from app.qt.widgets import Tick
from calibration.consent import ModalityNotice, Notice, give_consent


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
