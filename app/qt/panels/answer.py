"""The answer: the emotion in words, every probability as a bar, and the reasons not to trust it."""

import math

import pyqtgraph as pg
from PyQt6.QtCore import QRectF, QSize, Qt
from PyQt6.QtGui import QFontMetricsF, QPainter, QPixmap
from PyQt6.QtWidgets import QHBoxLayout, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from acquisition.text import percent
from acquisition.types import MODALITY_NAMES
from app.qt.panel import Panel
from app.qt.plots.axes import Axis
from app.qt.plots.items import BarPlot, BarRow, Level
from app.qt.plots.plot import PixelItem, Plot, Table
from app.qt.theme import (
    Theme,
    colour_of,
    fill_category,
    fill_uncertain,
    growth,
    hatch_of,
    pixmap_of,
    scaled_font,
)
from app.qt.widgets import ElidedLabel, plain_label, put, scrolling
from app.view.store import ViewStore
from app.view.text import tooltip
from app.view.trust import NO_PREDICTION, UNCERTAIN, Finding, Shown, judge_at, labels_of, needed, said_sets
from app.view.truth import score, true_emotion
from models.prediction import Prediction
from models.trust import State

_LARGEST_WORD, _SMALLEST_WORD = 8.0, 1.6  # times the page's font
_WORD_SHARE = 0.27  # of the panel's height
_EARLY_SHARE = 0.5  # of the word's size while the context is not whole
_STATES = {
    State.CERTAIN: "clear answer",
    State.UNCERTAIN: "the model abstains",
    State.STALE: "stale",
    State.WARMING_UP: "warming up",
    State.NOTHING: "",
}


class AnswerPanel(Panel):
    """The answer; greyed, with the reason, when it does not apply to the time shown."""

    def __init__(self) -> None:
        super().__init__("Emotion")
        self.verdict = Shown()
        self._scored: tuple[Prediction | None, str] = None, ""
        self._index = 0  # of the top emotion, for its colour and hatch
        self.truth = self.add_words()
        self.state = self.add_words(muted=True)
        self.word, self.percent = ElidedLabel("Answer"), plain_label()
        self.hits = ElidedLabel("How often the simulated participant's true emotion was named")
        self.line = plain_label(wraps=True)  # below them
        self.scale = ScalePlot()
        self._swatch = plain_label()
        self.map_channels = QPushButton("Map c&hannels…")
        self.word.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.line.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.line.setAlignment(Qt.AlignmentFlag.AlignTop)
        row = put(QHBoxLayout(), self._swatch, (self.word, 1), self.percent)
        put(self.body, (row, 1), self.hits, self.line, self.map_channels, self.scale)
        self.setAccessibleDescription(NO_PREDICTION)

    def refresh(self, store: ViewStore, t: float) -> None:
        prediction, self.verdict = judge_at(store, t)
        verdict, labels = self.verdict, labels_of(store, prediction)
        self._index = labels.index(verdict.top) if verdict.top else 0
        figures = percent(verdict.probability), percent(verdict.second_probability)
        if prediction is not self._scored[0]:
            self._scored = prediction, score(store, t)
        emotion, hits = true_emotion(store, t), self._scored[1]
        texts = _line(verdict), _state(verdict), emotion, hits
        if self.is_new(verdict.state, verdict.label, verdict.top, figures, *texts):
            self.truth.setText(f"simulated truth: {emotion}" if emotion else "")
            self.hits.setVisible(bool(hits))
            self.hits.show_text(hits)
            self._show()

    def _show(self) -> None:
        verdict, theme = self.verdict, self.theme
        self.map_channels.setVisible("unmapped" in verdict.codes)
        is_early = verdict.state is State.WARMING_UP  # not to be taken for an answer at a glance
        has_answer = verdict.state is not State.NOTHING and verdict.label != UNCERTAIN
        self.state.setText(_state(verdict))
        self.setAccessibleDescription(f"{verdict.label}, {verdict.state}")
        self.word.show_text(f"warming up: {verdict.label}" if is_early else verdict.label)
        self.percent.setText(percent(verdict.probability) if has_answer else "")
        self._swatch.setVisible(has_answer)
        colour = theme.stale if verdict.is_grey else theme.muted if is_early else theme.text
        for label in (self.word, self.percent):
            label.setStyleSheet(f"color: {colour}")
        self.line.setText(_line(verdict))
        words = self.line.text()
        self.line.setToolTip("" if len(words) < 60 else tooltip(*words.splitlines()))
        self.scale.show_verdict(verdict)
        self.fit()

    def fit(self) -> None:
        em = QFontMetricsF(self.font()).height()
        larger = growth(self.height(), 16 * em)
        self.hits.setFont(scaled_font(self, 1.05 * larger))
        self.line.setFont(scaled_font(self, 1.05 * larger))
        self.line.setFixedHeight(math.ceil(2.1 * QFontMetricsF(self.line.font()).height()))
        factor = min(max(_SMALLEST_WORD, _WORD_SHARE * self.height() / em), _LARGEST_WORD)
        if self.verdict.state is State.WARMING_UP:
            factor = max(_SMALLEST_WORD, _EARLY_SHARE * factor)
        while True:
            font, small = scaled_font(self, factor, bold=True), scaled_font(self, 0.8 * factor)
            metrics = QFontMetricsF(font)
            needed = metrics.horizontalAdvance(self.word.text()) + 1.5 * metrics.height()
            needed += QFontMetricsF(small).horizontalAdvance(self.percent.text())
            if needed <= self.width() or factor <= _SMALLEST_WORD:
                break
            factor *= 0.94
        self.word.setFont(font)
        self.percent.setFont(small)
        self._swatch.setPixmap(self._pattern(round(0.62 * metrics.ascent())))

    def _pattern(self, side: int) -> QPixmap:
        made = pixmap_of(self, QSize(side, side))
        painter = QPainter(made)
        is_grey = self.verdict.is_grey or self.verdict.state is State.WARMING_UP
        fill_category(painter, QRectF(0, 0, side, side), self.theme, self._index, grey=is_grey)
        painter.end()
        return made


class ScalePlot(Plot):
    """0 to 100 % with the uncertain band hatched and the top emotion's probability."""

    def __init__(self) -> None:
        self._percents = Axis("bottom", room="100 %")
        name = "Probability of the top emotion"
        super().__init__(name, (self._percents,), x=(0.0, 100.0), zoom="", least=(24, 2.6))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._band = _UncertainBand(self)
        self._pointer = pg.InfiniteLine(angle=90)
        self.plot_item.addItem(self._pointer)
        self.percent = self.threshold = math.nan

    def show_verdict(self, verdict: Shown) -> None:
        self.percent, self.threshold = 100 * verdict.probability, 100 * verdict.needed
        is_known = self.threshold <= 100
        level = [(self.threshold, f"{self.threshold:.3g} % needed")] if is_known else []
        self._percents.setTicks([[(0.0, "0 %"), *level, (100.0, "100 %")]])
        self._band.end = self.threshold if is_known else 100.0
        self._pointer.setVisible(math.isfinite(self.percent))
        if math.isfinite(self.percent):
            self._pointer.setPos(self.percent)
        self._pointer.setPen(pg.mkPen(self.theme.stale if verdict.is_grey else self.theme.text, width=5))
        self._band.update()

    def table(self) -> Table:
        return ["figure", "%"], [("probability", self.percent), ("needed", self.threshold)]


class _UncertainBand(PixelItem):
    """The stretch in which the model abstains."""

    z = -1.0
    end = 100.0

    def draw(self, painter: QPainter) -> None:
        rect = self.boundingRect().adjusted(0, 2, -1, -2)
        fill_uncertain(painter, QRectF(0, 2, self.x_of(self.end), rect.height()), self.theme)
        painter.setPen(pg.mkPen(self.theme.muted))
        painter.drawRect(rect)


def _state(verdict: Shown) -> str:
    return f"{_STATES[verdict.state]}; safe to act upon" if verdict.safe_to_act else _STATES[verdict.state]


def _line(verdict: Shown) -> str:
    """Return what stands below the word: the sets, or the top emotions; then how reliable the signals are."""
    if verdict.is_grey:
        stops = [finding.text for finding in verdict.findings if finding.severity == "stop"]
        return "; ".join(stops or verdict.texts[:1])
    runner_up = f"next: {verdict.second} {percent(verdict.second_probability)}" if verdict.second else ""
    top = f"top emotion: {verdict.top} {percent(verdict.probability)}; "
    others = top + runner_up if verdict.label == UNCERTAIN else runner_up
    shares = verdict.reliability.items()
    reliable = ", ".join(f"{MODALITY_NAMES[m]} {percent(share)}" for m, share in shares)
    return (said_sets(verdict) or others) + (f"\nsignal reliability: {reliable}" if reliable else "")


class BarsPanel(Panel):
    """Bars in the order of the model's labels."""

    def __init__(self) -> None:
        super().__init__("Probability of each emotion")
        self.plot = BarPlot(
            "Probability of each emotion",
            ("100 %",),
            x=(0.0, 100.0),
            unit="%",
            words=lambda value, _: f"{value:.0f} %" if value in (0, 100) else f"{value:.0f}",
            has_levels=True,
        )
        self.plot.set_notice("emotions appear once a model is loaded")
        self.add_plot(self.plot)

    def refresh(self, store: ViewStore, t: float) -> None:
        prediction, verdict = judge_at(store, t)
        labels = labels_of(store, prediction)
        least = needed(store, labels)
        if self.is_new(prediction, labels, verdict.is_grey, str(least)):
            self._show(prediction, labels, 100 * least, is_grey=verdict.is_grey)

    def _show(
        self, prediction: Prediction | None, labels: tuple[str, ...], least: float, *, is_grey: bool
    ) -> None:
        rows = []
        for index, label in enumerate(labels):
            share = math.nan if prediction is None else prediction.probs.get(label, math.nan)
            colour, role = colour_of(self.theme, index, grey=is_grey).name(), "stale" if is_grey else "text"
            figures = (percent(share),)
            rows.append(BarRow(label, figures, 0.0, 100 * share, colour, hatch_of(index), role))
        self.plot.set_rows(rows)
        self.plot.set_notice("" if rows else "emotions appear once a model is loaded")
        if labels:
            chance = 100 / len(labels)
            dotted = Level(chance, f"chance {chance:.3g} %", Qt.PenStyle.DotLine)
            levels = [Level(least, f"{least:.3g} % needed")] if least <= 100 else []
            self.plot.set_levels([dotted, *levels])


_WORDS = {"stop": "Stop", "caution": "Caution", "info": "Note"}
_GLYPHS = {"stop": ("■", "bad"), "caution": ("▲", "suspect"), "info": ("○", "muted")}  # theme's colour
NOTHING_FOUND = Finding("info", "no reason found to doubt the answer")


class ReasonsPanel(Panel):
    """The findings of `app.view.trust.judge` as rows."""

    def __init__(self) -> None:
        super().__init__("How far to trust it")
        self._rows: list[_Row] = []
        self._findings: tuple[Finding, ...] = ()
        self._page = QWidget()
        self._list = put(QVBoxLayout(self._page), 1, margins=(0, 0, 0, 0), spacing=3)
        self.body.addWidget(scrolling(self._page, "Reasons not to trust the answer"), 1)

    def refresh(self, store: ViewStore, t: float) -> None:
        """Show the findings at ``t``; what it waits for is no "note"."""
        _, verdict = judge_at(store, t)
        findings = verdict.findings or (NOTHING_FOUND,)
        if not self.is_new(findings, verdict.label, verdict.state, self._page.width(), self._page.font()):
            return
        self._findings = findings
        self.title.setText("Waiting for" if verdict.label == NO_PREDICTION else "How far to trust it")
        while len(self._rows) < len(findings):
            self._rows.append(_Row())
            self._list.insertWidget(len(self._rows) - 1, self._rows[-1])
            self.fit()
        for row, finding in zip(self._rows, findings, strict=False):
            row.show_finding(finding, self.theme, says_note=verdict.state is not State.NOTHING)
        for index, row in enumerate(self._rows):
            row.setVisible(index < len(findings))
        # A scroll area asks for no height at a width, and would squeeze texts that wrap.
        self._page.setMinimumHeight(self._list.minimumHeightForWidth(self._page.width()))

    def texts(self) -> list[str]:
        return [row.text.text() for row in self._rows[: len(self._findings)]]

    def fit(self) -> None:
        em = QFontMetricsF(self.font()).height()
        factor = growth(min(self.height() / 26, self.width() / 36), em)
        for row in self._rows:
            for label in (row.glyph, row.text):
                label.setFont(scaled_font(self, factor))


class _Row(QWidget):
    """One finding: a square (stop), a triangle (caution) or a ring (note), and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.glyph, self.text = plain_label(), plain_label(wraps=True)
        row = put(QHBoxLayout(self), self.glyph, (self.text, 1), margins=(0, 0, 0, 0), spacing=6)
        row.setAlignment(self.glyph, Qt.AlignmentFlag.AlignTop)

    def show_finding(self, finding: Finding, theme: Theme, *, says_note: bool) -> None:
        glyph, role = _GLYPHS[finding.severity]
        self.glyph.setText(glyph)
        self.glyph.setStyleSheet(f"color: {getattr(theme, role)}")
        is_plain = finding.severity == "info" and not says_note
        self.text.setText(finding.text if is_plain else f"{_WORDS[finding.severity]}: {finding.text}")
