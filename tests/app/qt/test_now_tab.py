"""The Now tab: what its panels show agrees with the predictions, to the pixel where that can be said."""

import math
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from PyQt6.QtCore import Qt
from PyQt6.QtGui import QColor, QFontMetricsF, QImage
from PyQt6.QtWidgets import QLabel
from pyqtgraph.exporters import ImageExporter

from acquisition.types import Change, Kind, StreamEvent, StreamSpec
from acquisition.windowing import WindowConfig
from app.engine.messages import GazePart, Mark, ModelInfo, Opened, Phase
from app.qt.panels.answer import NOTHING_FOUND, ReasonsPanel
from app.qt.shell.tab_set import NowTab, model_words
from app.qt.theme import DARK, LIGHT
from app.qt.widgets import lay_out
from app.view.store import ViewStore
from app.view.trust import NO_PREDICTION, NONE_HERE, Finding
from app.view.valence_arousal import point
from models.config import AnswerConfig
from models.prediction import Prediction
from models.trust import ModelFacts, SignalFacts, State, judge

NOW = 1000.0
LABELS = ("disgust", "fear", "sad", "neutral", "happy")
HOSTILE = "<img src=x>\u202e\n<b>T7</b>"
CLEAR = dict(zip(LABELS, (0.05, 0.05, 0.8, 0.06, 0.04), strict=True))
ANSWERS = AnswerConfig(0.7, 0.6, 0.6, 0.2, 0.5, 0.03, 12, 120)
DOUBTFUL = dict(zip(LABELS, (0.11, 0.1, 0.41, 0.33, 0.05), strict=True))


def prediction(t_end, probs):
    there = dict.fromkeys(("eeg", "eye", "face", "voice"), True)
    whole = dict.fromkeys(there, 1.0)
    label = max(probs, key=probs.get)
    made = Prediction(
        round(t_end * 4), t_end, label, probs, whole, {}, (), there, whole, 0.0, False, "", agreement=0.3
    )
    return judged(made, ModelFacts())


def judged(made, facts):
    return replace(made, verdict=judge(made, facts, SignalFacts()))


def model(labels=LABELS):
    return ModelInfo("m", "m", labels, ("FP1",), "people", False, "s", 1, "cpu", (), WindowConfig())


def seen(store, t):
    """Let a gaze sample come at ``t``, so that the newest time is there."""
    two = np.full((1, 2), 0.5, np.float32)
    store.take(GazePart(np.array([t]), two, two, np.ones(1, np.float32), "mm"))


def filled(probs=CLEAR, seconds=60.0):
    store = ViewStore()
    store.take(Opened("live", model(), None))
    store.take(Phase("running"))
    for key, kind in (("e", Kind.EEG), ("g", Kind.GAZE)):
        spec = StreamSpec(key, HOSTILE, kind, ("FP1",), ("uV",), 1000.0)
        store.take(StreamEvent(key, Change.OPENED, NOW - 90, "", spec))
    for t in np.arange(NOW - seconds, NOW + 0.01, 0.25):
        store.take(prediction(float(t), probs))
    seen(store, NOW)
    return store


@pytest.fixture
def tab(qtbot):
    made = NowTab()
    qtbot.addWidget(made)
    made.resize(1366, 560)
    made.set_theme(LIGHT)
    made.show()
    return made


def show(tab, qtbot, store, t=NOW):
    tab.refresh(store, t)
    qtbot.wait(1)  # lets layouts settle
    tab.refresh(store, t)


def columns_of(image, y, colours):
    """Return the columns of a row whose pixel has one of the colours."""
    wanted = {QColor(colour).rgb() for colour in colours}
    return [x for x in range(image.width()) if image.pixel(x, y) in wanted]


def table_of(plot):
    """Return what the plot's CSV holds, its columns by name."""
    names, rows = plot.table()
    return dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else {name: () for name in names}


def test_bars_are_as_long_as_their_probabilities(tab, qtbot):
    probs = dict(zip(LABELS, (0.55, 0.25, 0.1, 0.06, 0.04), strict=True))
    show(tab, qtbot, filled(probs))
    plot = tab.bars.plot
    image = plot.grab().toImage()
    assert table_of(plot)["end (%)"] == pytest.approx([100 * p for p in probs.values()])
    for index, label in enumerate(LABELS):
        end = plot.pixel_of(100 * probs[label], index + 0.5)
        columns = columns_of(image, round(end.y()), [LIGHT.category(index)])
        columns = [x for x in columns if x < plot.plot_rect().right()]  # the frame of the focus is as blue
        assert max(columns) == pytest.approx(end.x(), abs=3 + 8 * (index > 0)), label  # a hatch is 8 pixels


def test_bars_follow_the_order_of_the_models_labels(tab, qtbot):
    show(tab, qtbot, filled())
    assert table_of(tab.bars.plot)["name"] == LABELS
    assert [row.figures for row in tab.bars.plot.rows] == [("5 %",), ("5 %",), ("80 %",), ("6 %",), ("4 %",)]
    assert [level.name for level in tab.bars.plot.levels] == ["chance 20 %", "60 % needed"]
    assert tab.bars.plot.text_at(50.0, 2.5) == "sad  80 %"


def test_a_clear_answer_is_written_with_its_runner_up(tab, qtbot):
    show(tab, qtbot, filled())
    assert tab.answer.verdict.label == "sad"
    assert tab.answer.line.text() == "next: neutral 6 %"
    assert tab.answer.verdict.state == "certain"
    assert tab.answer.accessibleDescription() == "sad, certain"


def test_sets_and_reliabilities_stand_around_the_answer(tab, qtbot):
    store = filled(DOUBTFUL)
    made = replace(prediction(NOW, DOUBTFUL), reliability={"eeg": 0.93, "eye": 0.1})
    store.take(judged(made, ModelFacts(ANSWERS)))
    show(tab, qtbot, store)
    assert tab.answer.line.text().splitlines() == [
        "sad, neutral, disgust or fear (90 %), sad, neutral or disgust (80 %)",
        "signal reliability: EEG 93 %, eyes 10 %",
    ]
    assert tab.answer.state.text() == "the model abstains"
    store.take(judged(prediction(NOW, CLEAR), ModelFacts(ANSWERS)))
    show(tab, qtbot, store)
    assert tab.answer.state.text() == "clear answer; safe to act upon"


def test_an_uncertain_answer_names_the_top_emotion_small(tab, qtbot):
    show(tab, qtbot, filled(DOUBTFUL))
    assert tab.answer.verdict.label == "uncertain"
    assert tab.answer.line.text() == "top emotion: sad 41 %; next: neutral 33 %"
    assert tab.answer.verdict.state == "uncertain"


def test_the_uncertain_band_ends_where_answers_begin(tab, qtbot):
    show(tab, qtbot, filled(dict(zip(LABELS, (0.92, 0.02, 0.02, 0.02, 0.02), strict=True))))
    plot = tab.answer.scale
    assert [value for _, value in plot.table()[1]] == pytest.approx([92.0, 60.0])
    image, end = plot.grab().toImage(), plot.pixel_of(60.0, 0.5)
    band = columns_of(image, round(end.y()), [LIGHT.grid])
    assert max(band) == pytest.approx(end.x(), abs=8)


def test_what_is_stale_is_grey_and_says_why(tab, qtbot):
    store = filled()
    store.take(StreamEvent("e", Change.STALE, NOW + 1, "silent"))
    seen(store, NOW + 3.2)
    show(tab, qtbot, store, NOW + 3.2)
    assert tab.answer.verdict.state == "stale"
    assert tab.answer.line.text() == "stream <img src=x> <b>T7</b>: silent; no prediction for 3.2 s"
    bars = tab.bars.plot
    image = bars.grab().toImage()
    y = round(bars.pixel_of(0, 0.5).y())
    assert columns_of(image, y, [LIGHT.stale])
    assert not columns_of(image, y, [LIGHT.category(0)])
    assert tab.reasons.texts()[1] == "Stop: no prediction for 3.2 s"


def test_names_from_outside_stay_plain_text(tab, qtbot):
    store = filled()
    store.take(Mark(NOW - 10, HOSTILE, HOSTILE))
    store.take(StreamEvent("e", Change.STALE, NOW + 1, HOSTILE))
    seen(store, NOW + 3)
    show(tab, qtbot, store, NOW + 3)
    assert any("<b>T7</b>" in text for text in tab.reasons.texts())
    assert all(label.textFormat() is Qt.TextFormat.PlainText for label in tab.findChildren(QLabel))


def test_the_point_lies_at_the_weighted_mean(tab, qtbot):
    probs = dict(zip(LABELS, (0.0, 0.0, 0.1, 0.3, 0.6), strict=True))
    show(tab, qtbot, filled(probs))
    plot, expected = tab.plane.plot, point(probs)
    assert plot.newest == expected
    at = plot.pixel_of(*expected).toPoint()
    assert plot.grab().toImage().pixelColor(at) == QColor(LIGHT.text)
    unit = plot.pixel_of(1, 0).x() - plot.pixel_of(0, 0).x()
    assert unit == pytest.approx(plot.pixel_of(0, 0).y() - plot.pixel_of(0, 1).y(), rel=0.01)


@pytest.mark.parametrize("label", LABELS)
def test_the_point_hides_no_name(tab, qtbot, label):
    for share in (0.5, 0.7, 0.8, 0.9, 1.0):  # the point moves on to the emotion's own place
        probs = dict.fromkeys(LABELS, (1 - share) / (len(LABELS) - 1)) | {label: share}
        show(tab, qtbot, filled(probs, seconds=1.0))
        plot, expected = tab.plane.plot, point(probs)
        at = plot.pixel_of(*expected) - plot.plot_rect().topLeft()
        names = plot._content.name_rects()
        assert set(names) == set(LABELS)
        assert not [name for name, area in names.items() if area.contains(at)], share


def test_the_trail_is_thirty_seconds_long(tab, qtbot):
    show(tab, qtbot, filled())
    times = [float(time) for time in table_of(tab.plane.plot)["LSL time (s)"]]
    assert (times[0], times[-1]) == (NOW - 30, NOW)


def test_emotions_without_a_place_are_named_under_the_plane(tab, qtbot):
    store = ViewStore()
    store.take(Opened("live", model(("happy", "contempt")), None))
    seen(store, NOW)
    store.take(prediction(NOW, {"happy": 0.9, "contempt": 0.1}))
    show(tab, qtbot, store)
    assert tab.plane.caption.text().endswith(": contempt")


def test_the_course_draws_each_line_at_its_probability(tab, qtbot):
    probs = dict(zip(LABELS, (0.05, 0.15, 0.7, 0.1, 0.0), strict=True))
    show(tab, qtbot, filled(probs))
    plot = tab.course.plot
    image, width = plot.grab().toImage(), plot.plot_rect().width()
    for index, label in enumerate(LABELS[:4]):
        y = plot.pixel_of(0, probs[label]).y()
        found = [columns_of(image, round(y) + off, [LIGHT.category(index)]) for off in (-1, 0, 1)]
        assert len(max(found, key=len)) > 0.8 * width, label  # the rest are marks


def test_the_course_leaves_gaps_empty(tab, qtbot):
    store = filled(seconds=5.0)
    for t in np.arange(NOW + 30, NOW + 40.01, 0.25):
        store.take(prediction(float(t), CLEAR))
    seen(store, NOW + 40)
    show(tab, qtbot, store, NOW + 40)
    plot = tab.course.plot
    image, y = plot.grab().toImage(), plot.pixel_of(0, CLEAR["sad"]).y()
    columns = [x for off in (-1, 0, 1) for x in columns_of(image, round(y) + off, [LIGHT.category(2)])]
    first, last = (plot.pixel_of(t - plot.zero, 0).x() for t in (NOW + 2, NOW + 29))
    assert columns
    assert not [x for x in columns if first <= x <= last]
    assert plot.text_at(NOW + 15 - plot.zero, 0.5) == ""
    assert "sad 80 %" in plot.text_at(NOW + 35 - plot.zero, 0.5)


def click(qtbot, plot, x, y):
    qtbot.mouseClick(plot.viewport(), Qt.MouseButton.LeftButton, pos=plot.pixel_of(x, y).toPoint())


def test_a_click_on_the_course_chooses_the_prediction_there(tab, qtbot):
    chosen = []
    tab.course.plot.moment_chosen.connect(chosen.append)
    show(tab, qtbot, filled())
    plot = tab.course.plot
    click(qtbot, plot, NOW - 20 - plot.zero, 0.5)
    assert chosen[0] == pytest.approx(NOW - 20, abs=0.3)
    assert math.fmod(chosen[0], 0.25) == 0  # a prediction's own moment


def test_a_moment_held_is_marked_in_the_course(tab, qtbot):
    show(tab, qtbot, filled(), NOW - 20)
    plot = tab.course.plot
    at = plot.pixel_of(NOW - 20 - plot.zero, 0.4).toPoint()
    image = plot.grab().toImage()
    assert QColor(LIGHT.accent) in [image.pixelColor(at.x() + off, at.y()) for off in (-1, 0, 1)]


def test_a_held_course_stands_still_and_gives_the_figures_of_that_moment(tab, qtbot):
    store = filled(CLEAR)
    show(tab, qtbot, store)
    plot = tab.course.plot
    stretches = []
    store.take(prediction(NOW + 0.25, DOUBTFUL))
    for t in np.arange(NOW + 0.5, NOW + 20.0, 0.25):
        store.take(prediction(float(t), DOUBTFUL))
        seen(store, float(t))
        tab.refresh(store, NOW)
        stretches.append((plot.t0, plot.t1))
    assert set(stretches) == {(NOW - 60, NOW)}
    assert plot.zero == NOW
    np.testing.assert_allclose(plot.figures, list(CLEAR.values()), atol=1e-6)
    tab.refresh(store, NOW + 0.2499)  # a hair before another answer
    np.testing.assert_allclose(plot.figures, list(CLEAR.values()), atol=1e-6)
    tab.refresh(store, NOW + 10.0)  # outside what was shown when it was held
    assert plot.t1 >= NOW + 10.0
    np.testing.assert_allclose(plot.figures, list(DOUBTFUL.values()), atol=1e-6)


def test_what_came_after_the_moment_held_is_faded(tab, qtbot):
    show(tab, qtbot, filled(), NOW - 20)
    plot = tab.course.plot
    image, y = plot.grab().toImage(), plot.pixel_of(0, CLEAR["sad"]).y()
    columns = [x for off in (-1, 0, 1) for x in columns_of(image, round(y) + off, [LIGHT.category(2)])]
    right = plot.plot_rect().right()
    in_plot = [x for x in columns if x < right - 1]  # the name has its mark beside it
    assert in_plot
    assert max(in_plot) <= plot.pixel_of(NOW - 20 - plot.zero, 0).x() < right


def test_a_marker_tells_its_whole_text_below_the_mouse(tab, qtbot):
    store = filled()
    store.take(Mark(NOW - 30, HOSTILE, "m"))
    show(tab, qtbot, store)
    plot = tab.course.plot
    assert "<b>T7" in plot.text_at(NOW - 29.9 - plot.zero, 0.5)
    assert "<b>T7" not in plot.text_at(NOW - 20 - plot.zero, 0.5)
    labels = [
        label for label in plot.findChildren(QLabel) if label.textFormat() is not Qt.TextFormat.PlainText
    ]
    assert not labels  # what stands beside the mouse is never taken for markup


def test_a_long_course_says_that_its_lines_are_means(tab, qtbot):
    store = filled(seconds=150.0)
    show(tab, qtbot, store)
    assert tab.course.plot.course.mean_s == 2.0
    assert "sad (2 s mean)" in tab.course.plot.table()[0]
    tab.course.span.setCurrentIndex(0)
    show(tab, qtbot, store)
    assert tab.course.plot.course.mean_s == 0.0


def test_the_span_can_be_chosen(tab, qtbot):
    store = filled(seconds=200.0)
    for index, span_s in ((0, 60), (1, 120)):
        tab.course.span.setCurrentIndex(index)
        show(tab, qtbot, store)
        assert tab.course.plot.t1 - tab.course.plot.t0 == span_s


def test_a_young_session_fills_the_course(tab, qtbot):
    for seconds, span_s in ((5.0, 30), (35.0, 40)):
        show(tab, qtbot, filled(seconds=seconds))
        assert tab.course.plot.t1 - tab.course.plot.t0 == span_s


def test_a_zoom_stays_until_the_whole_is_asked_for_again(tab, qtbot):
    show(tab, qtbot, filled())
    plot = tab.course.plot
    actions = dict(plot.menu_actions())
    actions["Zoom &in"]()
    (x0, x1), _ = plot.view.viewRange()
    assert x1 - x0 == pytest.approx(30.0, rel=0.01)
    later = filled()
    seen(later, NOW + 0.5)
    later.take(prediction(NOW + 0.5, CLEAR))
    show(tab, qtbot, later, NOW + 0.5)
    assert plot.view.viewRange()[0] == pytest.approx([x0, x1])
    actions["Show &all"]()
    (x0, x1), _ = plot.view.viewRange()
    assert x1 - x0 >= 60


def test_the_data_of_every_plot_can_be_saved(tab, qtbot, tmp_path):
    show(tab, qtbot, filled())
    for plot in (tab.bars.plot, tab.plane.plot, tab.course.plot):
        plot.save_table(tmp_path / "data.csv")
        lines = (tmp_path / "data.csv").read_text().splitlines()
        assert len(lines) == len(plot.table()[1]) + 1 > 2
        ImageExporter(plot.plot_item).export(str(tmp_path / "picture.png"))
        assert not QImage(str(tmp_path / "picture.png")).isNull()


def test_an_empty_store_says_what_it_waits_for(tab, qtbot):
    show(tab, qtbot, ViewStore(), math.nan)
    assert tab.answer.verdict.label == NO_PREDICTION
    assert tab.answer.verdict.codes == ("loading",)
    assert tab.reasons.title.text() == "Waiting for"
    assert tab.reasons.texts() == list(tab.answer.verdict.texts)


def test_nothing_found_is_said_in_words(tab, qtbot):
    store = filled()
    store.take(judged(prediction(NOW, CLEAR), ModelFacts(ANSWERS)))
    show(tab, qtbot, store)
    assert tab.answer.verdict.findings == ()
    assert tab.reasons.texts() == [f"Note: {NOTHING_FOUND.text}"]


def test_a_theme_changes_the_colours_at_once(tab, qtbot):
    store = filled()
    show(tab, qtbot, store)
    tab.set_theme(DARK)
    show(tab, qtbot, store)
    image = tab.bars.plot.grab().toImage()
    y = round(tab.bars.plot.pixel_of(0, 0.5).y())
    assert columns_of(image, y, [DARK.category(0)])


@pytest.mark.parametrize("n_labels", [2, 8])
def test_every_name_has_a_row_of_its_own_whatever_the_number(tab, qtbot, n_labels):
    labels = tuple(f"a long emotion name {i}" for i in range(n_labels))
    store = ViewStore()
    store.take(Opened("live", model(labels), None))
    seen(store, NOW)
    store.take(prediction(NOW, dict.fromkeys(labels, 1 / n_labels)))
    show(tab, qtbot, store)
    plot = tab.bars.plot
    places = [plot.pixel_of(0, i + 0.5).y() for i in range(n_labels)]
    line = QFontMetricsF(plot.font()).ascent()
    assert all(b - a >= line for a, b in pairwise(places))


def test_a_refresh_without_news_draws_nothing(tab, qtbot):
    store = filled()
    show(tab, qtbot, store)
    drawn = tab.course.plot.course
    tab.refresh(store, NOW)
    assert tab.course.plot.course is drawn
    store.take(prediction(NOW + 0.25, CLEAR))
    seen(store, NOW + 0.25)
    tab.refresh(store, NOW + 0.25)
    assert tab.course.plot.course is not drawn


def test_an_empty_course_is_drawn_once(tab, qtbot):
    store = ViewStore()
    show(tab, qtbot, store, math.nan)
    drawn = tab.course.plot.course
    tab.refresh(store, math.nan)
    assert tab.course.plot.course is drawn
    assert tab.course.plot.notice


def test_a_passed_over_moment_of_a_replay_shows_no_other_moments_figures(tab, qtbot):
    store = filled()
    store.take(Opened("replay", model(), None))
    store.take(Phase("paused"))
    seen(store, NOW + 15)
    show(tab, qtbot, store, NOW + 15)
    assert tab.answer.verdict.label == NONE_HERE
    assert all(math.isnan(value) for value in table_of(tab.bars.plot)["end (%)"])
    assert not tab.plane.plot.trail
    assert not [text for text in tab.reasons.texts() if text.startswith("Stop")]


def test_an_emotion_in_warm_up_is_small_and_tagged_first(tab, qtbot):
    show(tab, qtbot, filled())
    large = QFontMetricsF(tab.answer.word.font()).height()
    store = filled(seconds=1.0)
    store.take(judged(replace(prediction(NOW, CLEAR), warm_up=True), ModelFacts()))
    show(tab, qtbot, store)
    assert QFontMetricsF(tab.answer.word.font()).height() < 0.8 * large
    assert tab.answer.verdict.state == "warming up"
    assert tab.answer.word.text() == "warming up: sad"


def test_the_models_tooltip_names_the_part_without_weight():
    known = model(("a", "b"))
    assert "no weight" not in model_words(known)
    assert "the network has no weight" in model_words(replace(known, unused=("network",)))


def test_a_reason_that_grows_by_a_line_is_whole_in_a_picture_taken_at_once(qtbot, monkeypatch):
    shown = SimpleNamespace(findings=(Finding("caution", "short"),), label="happy", state=State.CERTAIN)
    monkeypatch.setattr("app.qt.panels.answer.judge_at", lambda store, t: (None, shown))
    panel = ReasonsPanel()
    qtbot.addWidget(panel)
    panel.resize(420, 230)
    panel.show()
    qtbot.waitExposed(panel)
    panel.refresh(ViewStore(), NOW)
    shown.findings = (Finding("caution", "words that make it wrap " * 5), Finding("info", "another"))
    panel.refresh(ViewStore(), NOW)
    lay_out()
    text = panel._rows[0].text
    assert text.height() == text.heightForWidth(text.width())
