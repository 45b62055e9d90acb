"""The rest after a trial, the verdict at the end, and accuracy as a bar."""

from collections.abc import Callable

from PyQt6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PyQt6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PyQt6.QtWidgets import QProgressBar, QSizePolicy, QVBoxLayout, QWidget

from acquisition.text import percent
from app.qt.calibration.screen import Screen, Send, TimeBar, mark_primary
from app.qt.theme import ThemedWidget
from app.qt.widgets import put, scrolling
from app.view.calibration_screens import done_so_far, named_files
from app.view.store import ViewStore
from app.view.text import message_line, one_line
from calibration.types import Result, SessionView


class RestScreen(Screen):
    """How many trials are done, and the time left."""

    def __init__(self, send: Send) -> None:
        super().__init__("Rest", send, width=100)
        self.said = self.words("", 1.25)
        self.time = TimeBar()
        self.stack(1, self.words("Rest", 1.9, bold=True), self.said, 2, self.time)

    def refresh(self, view: SessionView | None, store: ViewStore, now: float) -> None:
        self.time.show_time(view, now)
        if view is None:
            return
        done = done_so_far(view)
        left = view.n_trials - done
        what = f", {left} to go. Relax, breathe, look around." if left > 0 else ". That was the last one."
        self.said.setText(f"{done} of {view.n_trials} trials done{what}")


_LONGEST = 600


class FinishScreen(Screen):
    """The progress of the fit, and then its verdict."""

    def __init__(
        self,
        send: Send,
        open_report: Callable[[], object],
        use_live: Callable[[], object],
        close: Callable[[], object],
    ) -> None:
        super().__init__("End of the session", send, width=100)
        self.result: Result | None = None  # None before the end of the fit
        self.is_aborted = False
        self.title = self.words("", 1.9, bold=True)
        self.said = self.words("", 1.2)
        self.progress = QProgressBar()
        self.progress.setAccessibleName("Model fit")
        self.progress.setRange(0, 1000)
        self.progress.setTextVisible(False)
        self.caption = self.words("", muted=True)
        self.verdict = self.words("", 1.9, bold=True)
        self.verdict_words = self.words("", 1.15)
        figure = self.words("Balanced accuracy of held-out trials", muted=True)
        self.bar = IntervalBar(figure.text())
        self.files = self.words("", muted=True)
        self.files.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.report = self.button("Open the &report", open_report)
        self.live = self.button("&Use it live", use_live, primary=True)
        self.close_button = self.button("&Close", close)
        panel = self.panel(self.caption, self.verdict, self.verdict_words, None, figure, self.bar, self.files)
        foot = self.row(self.report, self.live, 1, self.close_button)
        content = QWidget()
        put(QVBoxLayout(content), panel, 1, margins=(0, 0, 0, 0))
        self._area = scrolling(content, "Verdict")  # at 150 % its labels would overlap
        self.stack(1, self.title, self.said, self.progress, (self._area, 1000), None, foot, 1)
        self._show(None)

    def refresh(self, view: SessionView | None, store: ViewStore, now: float) -> None:
        if view is None:
            return
        if view.result is None:
            self.title.setText("Ending the session" if self.is_aborted else "All done: thank you")
            fit = f"Fitting the model ({percent(view.fit_share)}): {one_line(view.fit_stage)}."
            parts = (message_line(view.message), fit if view.fit_stage else "Finishing the recording.")
            self.said.setText(" ".join(part for part in parts if part))
            self.progress.setValue(round(1000 * view.fit_share))
        if view.result is not self.result:
            self._show(view.result)

    def first_focus(self) -> QWidget:
        return self.report if self.result is not None else self

    def _show(self, result: Result | None) -> None:
        self.result = result
        part: QWidget
        for part in (self.said, self.progress):
            part.setVisible(result is None)
        for part in (self._area, self.report, self.close_button):
            part.setVisible(result is not None)
        self.live.setVisible(result is not None and result.profile is not None)
        if result is None:
            return
        self.title.setText("The session is over: thank you")
        kind = "a simulated participant's" if result.is_simulated else "the personal"
        self.caption.setText(f"Verdict on {kind} model")
        self.verdict.setText(one_line(result.verdict.code).capitalize())
        words = message_line(f"{result.verdict.words} {result.against_base}".strip(), _LONGEST)
        self.verdict_words.setText(words.replace(" %", "\N{NO-BREAK SPACE}%"))
        mark_primary(self.live, is_primary=result.verdict.is_trusted)
        verdict = result.verdict
        self.bar.show_values(verdict.balanced_accuracy, verdict.interval, verdict.chance)
        self.files.setText("\n".join(named_files(result)))
        self.first_focus().setFocus()


class IntervalBar(ThemedWidget):
    """Accuracy as a dot, its confidence interval as a band, and chance as a dashed line."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._values: tuple[float, float, float, float] | None = None
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_values(self, share: float, interval: tuple[float, float], chance: float) -> None:
        """Show shares from 0 to 1."""
        values = (share, *interval, chance)
        if values != self._values:
            self._values = values
            low, high = map(percent, interval)
            words = f"{percent(share)}, 95 % CI {low} to {high}, chance {percent(chance)}"
            self.setAccessibleDescription(words)
            self.update()

    def sizeHint(self) -> QSize:
        line = self.fontMetrics().height()
        return QSize(line * 16, round(line * 4.8))

    minimumSizeHint = sizeHint

    def changeEvent(self, event: QEvent | None) -> None:
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.FontChange:
            self.updateGeometry()  # or the labels have too little room

    def paintEvent(self, event: QPaintEvent | None) -> None:
        if self._values is None:
            return
        share, low, high, chance = self._values
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        line = self.fontMetrics().height()
        y, thick = line * 1.9, line * 0.7
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(self.theme.grid))
        painter.drawRoundedRect(self._band(0, 1, y, thick), 4, 4)
        band = QColor(self.theme.accent)
        band.setAlphaF(0.45)
        painter.setBrush(band)
        painter.drawRoundedRect(self._band(low, high, y, thick), 4, 4)
        painter.setPen(QPen(QColor(self.theme.text), 2, Qt.PenStyle.DashLine))
        painter.drawLine(QPointF(self._x(chance), y - thick), QPointF(self._x(chance), y + thick))
        painter.setPen(QPen(QColor(self.theme.surface), 2))
        painter.setBrush(QColor(self.theme.text))
        painter.drawEllipse(QPointF(self._x(share), y), thick * 0.55, thick * 0.55)
        painter.setPen(QColor(self.theme.text))
        self._write(painter, percent(share), self._x(share), line * 0.5, bold=True)
        painter.setPen(QColor(self.theme.muted))
        self._write(painter, f"chance {percent(chance)}", self._x(chance), y + line * 1.3)
        interval = f"95 % CI: {percent(low)} to {percent(high)}"
        self._write(painter, interval, self._x((low + high) / 2), y + line * 2.25)

    def _band(self, low: float, high: float, y: float, thick: float) -> QRectF:
        return QRectF(self._x(low), y - thick / 2, self._x(high) - self._x(low), thick)

    def _x(self, share: float) -> float:
        margin = self.fontMetrics().averageCharWidth() * 6
        return margin + share * (self.width() - 2 * margin)

    def _write(self, painter: QPainter, text: str, x: float, y: float, *, bold: bool = False) -> None:
        font = self.font()
        font.setBold(bold)
        painter.setFont(font)
        width = painter.fontMetrics().horizontalAdvance(text) + 4
        left = min(max(x - width / 2, 0.0), self.width() - width)
        height = painter.fontMetrics().height()
        painter.drawText(QRectF(left, y - height / 2, width, height), Qt.AlignmentFlag.AlignCenter, text)
