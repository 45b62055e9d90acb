"""The emotion in words, its probability, and where the model abstains."""

from __future__ import annotations

import math

from PyQt6.QtCore import QRectF, QSize, Qt
from PyQt6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPaintEvent, QPen
from PyQt6.QtWidgets import QSizePolicy, QWidget

from app.qt.category import fill_category, fill_uncertain
from app.qt.panel import Panel
from app.qt.theme import Theme, growth, scaled_font
from app.view.store import ViewStore
from app.view.trust import NO_ANSWER, UNCERTAIN, Verdict, judge

_WORD = 3.4  # times the system's font, legible at arm's length
_SMALLEST_WORD = 1.6
_LARGEST_WORD = 8.0  # where there is room
_EARLY_SHARE = 0.5  # of the word's size while the context is not whole
_STATES = {
    "certain": "clear lead",
    "uncertain": "the model abstains",
    "stale": "stale",
    "warming up": "warming up",
    "nothing": "",
}
_WRAPPED = Qt.AlignmentFlag.AlignTop.value | Qt.TextFlag.TextWordWrap.value
_NONE = Verdict("nothing", NO_ANSWER, math.nan)


class AnswerPanel(Panel):
    """The answer, greyed with the reason when it does not speak of the moment looked at."""

    def __init__(self) -> None:
        super().__init__("Emotion")
        self.state = self.add_words(muted=True)
        self.view = AnswerView(self.theme)
        self.body.addWidget(self.view, 1)
        self.setAccessibleDescription("no answer yet")

    @property
    def verdict(self) -> Verdict:
        """What is shown."""
        return self.view.verdict

    def refresh(self, store: ViewStore, t: float) -> None:
        """Show the verdict at ``t``."""
        prediction = store.predictions.at(t)
        verdict = judge(prediction, store, t)
        before = self.view.verdict
        index = list(prediction.probs).index(verdict.likeliest) if prediction and verdict.likeliest else 0
        self.view.show_verdict(verdict, index)
        if (verdict.state, verdict.label) != (before.state, before.label):
            self.state.setText(_STATES[verdict.state])
            self.setAccessibleDescription(f"{verdict.label}, {verdict.state}")

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        self.view.theme = theme
        self.view.update()


class AnswerView(QWidget):
    """Paints a verdict: word and probability, one line below, and a scale with the uncertain band."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.theme = theme
        self.verdict = _NONE
        self._index = 0
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName("Answer")

    def minimumSizeHint(self) -> QSize:
        """Room for the word, two lines and the scale."""
        small = QFontMetricsF(self.font())
        word = QFontMetricsF(scaled_font(self, _SMALLEST_WORD, bold=True))
        return QSize(round(24 * small.averageCharWidth()), round(word.height() + 5 * small.height()))

    def sizeHint(self) -> QSize:
        """Room for the word at its full size."""
        small = QFontMetricsF(self.font())
        word = QFontMetricsF(scaled_font(self, _WORD, bold=True))
        return QSize(round(44 * small.averageCharWidth()), round(word.height() + 5 * small.height()))

    def show_verdict(self, verdict: Verdict, index: int) -> None:
        """Show a verdict; ``index`` is the likeliest label's, for its colour and hatch."""
        if _shown(verdict) != _shown(self.verdict) or index != self._index:
            self.update()
        self.verdict, self._index = verdict, index

    def word(self) -> str:
        """Return what stands in big; before the context is whole, first that it is not."""
        is_early = self.verdict.state == "warming up"
        return f"warming up: {self.verdict.label}" if is_early else self.verdict.label

    def line(self) -> str:
        """Return the line below the word."""
        verdict = self.verdict
        if verdict.is_grey:
            return _why_grey(verdict)
        runner_up = f"{verdict.second} {_percent(verdict.second_probability)}"
        if verdict.label == UNCERTAIN:
            return f"most likely: {verdict.likeliest} {_percent(verdict.probability)}, next {runner_up}"
        warming = "context not whole yet; " if verdict.state == "warming up" else ""
        return f"{warming}next {runner_up}" if verdict.second else ""

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Paint."""
        painter = QPainter(self)
        rect = QRectF(self.rect())
        larger = growth(rect.height(), 12 * QFontMetricsF(self.font()).height())
        line_font = scaled_font(self, 1.05 * larger)
        em = larger * QFontMetricsF(self.font()).height()
        scale = QRectF(rect.left(), rect.bottom() - 2.6 * em, rect.width(), 2.6 * em)
        line = QRectF(rect.left(), scale.top() - 2.1 * em, rect.width(), 2.1 * em)
        self._paint_word(painter, QRectF(rect.left(), rect.top(), rect.width(), line.top() - rect.top()))
        painter.setFont(line_font)
        painter.setPen(QColor(self.theme.text))
        painter.drawText(line, _WRAPPED, _cut_to_fit(self.line(), QFontMetricsF(line_font), line))
        self._paint_scale(painter, scale, em, scaled_font(self, 0.9 * larger))
        painter.end()

    def _paint_word(self, painter: QPainter, rect: QRectF) -> None:
        verdict = self.verdict
        has_answer = verdict.state != "nothing" and verdict.label != UNCERTAIN
        is_early = verdict.state == "warming up"
        word = self.word()
        percent = _percent(verdict.probability) if has_answer else ""
        colour = self.theme.stale if verdict.is_grey else self.theme.text
        painter.setPen(QColor(self.theme.muted if is_early else colour))
        factor = min(max(_WORD, 0.4 * rect.height() / QFontMetricsF(self.font()).height()), _LARGEST_WORD)
        if is_early:  # not to be taken for an answer at a glance
            factor = max(_SMALLEST_WORD, _EARLY_SHARE * factor)
        while True:
            word_font = scaled_font(self, factor, bold=True)
            percent_font = scaled_font(self, factor * 0.8)
            metrics, small = QFontMetricsF(word_font), QFontMetricsF(percent_font)
            gap = metrics.height() * 0.3
            swatch = metrics.ascent() * 0.62 if has_answer else 0.0
            room = rect.width() - (swatch + gap if swatch else 0.0)
            needed = metrics.horizontalAdvance(word)
            needed += gap + small.horizontalAdvance(percent) if percent else 0.0
            if (needed <= room and metrics.height() <= rect.height()) or factor <= _SMALLEST_WORD:
                break
            factor *= 0.94
        baseline = rect.top() + (rect.height() + metrics.ascent() - metrics.descent()) / 2
        x = rect.left()
        if swatch:
            box = QRectF(x, baseline - swatch, swatch, swatch)
            fill_category(painter, box, self.theme, self._index, grey=verdict.is_grey or is_early)
            x += swatch + gap
        painter.setFont(percent_font)
        right = rect.right() - small.horizontalAdvance(percent)
        painter.drawText(int(right), int(baseline), percent)
        painter.setFont(word_font)
        label = metrics.elidedText(word, Qt.TextElideMode.ElideRight, right - gap - x + gap * (not percent))
        painter.drawText(int(x), int(baseline), label)

    def _paint_scale(self, painter: QPainter, rect: QRectF, em: float, small: QFont) -> None:
        """Paint 0 to 100 % with the uncertain band hatched and the likeliest emotion's probability."""
        verdict, theme = self.verdict, self.theme
        bar = QRectF(rect.left() + 0.5, rect.top() + 0.25 * em, rect.width() - 1, 0.95 * em)
        known = math.isfinite(verdict.threshold)
        split = bar.left() + bar.width() * (verdict.threshold if known else 1.0)
        fill_uncertain(painter, QRectF(bar.left(), bar.top(), split - bar.left(), bar.height()), theme)
        painter.setPen(QPen(QColor(theme.muted), 1))
        painter.drawRect(bar)
        painter.setFont(small)
        under = QRectF(rect.left(), bar.bottom() + 0.1 * em, rect.width(), 1.2 * em)
        room = under.right()  # left for the end of the scale
        if known:
            painter.drawLine(int(split), int(bar.top()), int(split), int(under.bottom()))
            width = QFontMetricsF(small).horizontalAdvance(f"{UNCERTAIN} ")
            at = QRectF(split - width, under.top(), width, under.height())
            painter.drawText(at, Qt.AlignmentFlag.AlignLeft, UNCERTAIN)
            at = QRectF(split + 0.3 * em, under.top(), under.right() - split, under.height())
            level = f"answer from {100 * verdict.threshold:.3g} %"
            painter.drawText(at, Qt.AlignmentFlag.AlignLeft, level)
            room -= at.left() + QFontMetricsF(small).horizontalAdvance(level)
        painter.drawText(under, Qt.AlignmentFlag.AlignLeft, "0 %")
        if room > QFontMetricsF(small).horizontalAdvance(" 100 %"):
            painter.drawText(under, Qt.AlignmentFlag.AlignRight, "100 %")
        if math.isfinite(verdict.probability):
            x = bar.left() + bar.width() * verdict.probability
            pointer = QRectF(x - 0.16 * em, bar.top() - 0.2 * em, 0.32 * em, bar.height() + 0.4 * em)
            painter.fillRect(pointer.adjusted(-1, -1, 1, 1), QColor(theme.surface))
            painter.fillRect(pointer, QColor(theme.stale if verdict.is_grey else theme.text))


def _cut_to_fit(text: str, metrics: QFontMetricsF, rect: QRectF) -> str:
    """Return ``text``, its end left out where its lines would not fit; the reasons say it in full."""
    whole = text
    while text and metrics.boundingRect(rect, _WRAPPED, text).height() > rect.height() + 1:
        whole = whole[: int(0.9 * len(whole))]
        text = f"{whole.rstrip()}…" if whole else ""
    return text


def _percent(probability: float) -> str:
    return f"{100 * probability:.0f} %" if math.isfinite(probability) else "-"


def _why_grey(verdict: Verdict) -> str:
    """Return everything that stopped, or the first thing that is waited for."""
    stops = [finding.text for finding in verdict.findings if finding.severity == "stop"]
    return "; ".join(stops or verdict.reasons[:1])


def _shown(verdict: Verdict) -> tuple[object, ...]:
    """Return all of a verdict that is painted."""
    why = _why_grey(verdict) if verdict.is_grey else ""
    figures = (_percent(verdict.probability), _percent(verdict.second_probability))
    return verdict.state, verdict.label, verdict.likeliest, verdict.second, figures, why
