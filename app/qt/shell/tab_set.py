"""The window's pages Now, Why, Signals and Health, the tabs that hold them, and the header beside these."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from PyQt6.QtCore import QSize, Qt
from PyQt6.QtGui import QKeyEvent, QResizeEvent
from PyQt6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QScrollArea,
    QSplitter,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from acquisition.clock import LslClock
from acquisition.text import age, data_size
from acquisition.types import MODALITIES
from app.display import TAB_NAMES
from app.engine.messages import ChooseSpectrogram, ModelInfo, SessionCommand
from app.qt.panel import Panel
from app.qt.panels.answer import AnswerPanel, BarsPanel, ReasonsPanel
from app.qt.panels.course import CoursePanel, PlanePanel
from app.qt.panels.eyes import GazePanel, PupilPanel, WebcamPanel
from app.qt.panels.health import ElectrodesPanel, LatencyPanel, MachinePanel, MessagesPanel, StreamsPanel
from app.qt.panels.spectra import BandMapsPanel, SpectrogramPanel, VoicePanel
from app.qt.panels.traces import TracesPanel
from app.qt.panels.why import (
    ChannelAttentionPanel,
    ModalityAttentionPanel,
    OcclusionPanel,
    TimeAttentionPanel,
)
from app.qt.shell.engine_window import Faults
from app.qt.shell.session import Playback, Session, speed_text
from app.qt.theme import DARK, GrowingPage, Theme
from app.qt.widgets import ElidedLabel, plain_label, put, there
from app.view.health import DisplayLatency
from app.view.store import ViewStore
from app.view.text import clock_text, one_line, tooltip
from app.view.trust import Shown, judge, reference_time
from models.prediction import Prediction
from models.trust import STALE_AFTER_S


class PanelPage(GrowingPage):
    """A page of panels."""

    panels: tuple[Panel, ...] = ()

    def refresh(self, store: ViewStore, t: float) -> None:
        """Show the store as of ``t``; raises the last panel's error, once all had their turn."""
        failed: Exception | None = None
        for panel in self.panels:
            try:
                panel.refresh(store, t)
            except Exception as error:
                failed = error
        if failed is not None:
            raise failed

    def set_theme(self, theme: Theme) -> None:
        for panel in self.panels:
            panel.set_theme(theme)


class NowTab(PanelPage):
    """Answer and bars on the left, the reasons beside them, the plane on the right, the course below."""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Now")
        self.answer, self.bars, self.reasons = AnswerPanel(), BarsPanel(), ReasonsPanel()
        self.plane, self.course = PlanePanel(), CoursePanel()
        self.panels = (self.answer, self.bars, self.reasons, self.plane, self.course)
        places = ((0, 0, 1, 1), (1, 0, 1, 1), (0, 1, 2, 1), (0, 2, 2, 1), (2, 0, 1, 3))
        _arrange(self, places, columns=(11, 9, 8), rows=(8, 8, 11)).setContentsMargins(6, 6, 6, 6)


class WhyTab(PanelPage):
    """Attention on the left, the occlusion check beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.modalities, self.channels = ModalityAttentionPanel(), ChannelAttentionPanel()
        self.steps, self.occlusion = TimeAttentionPanel(), OcclusionPanel()
        self.panels = (self.modalities, self.channels, self.steps, self.occlusion)
        places = ((0, 0, 1, 2), (1, 0, 1, 1), (1, 1, 1, 1), (0, 2, 2, 1))
        _arrange(self, places, columns=(3, 3, 6), rows=(1, 1)).setContentsMargins(0, 0, 0, 0)


class SignalsTab(PanelPage):
    """EEG at the left, the plots of half a minute in the middle, pictures at the right."""

    def __init__(self) -> None:
        super().__init__()
        self.traces = TracesPanel()
        self.spectrogram, self.pupils, self.voice = SpectrogramPanel(), PupilPanel(), VoicePanel()
        self.webcam, self.gaze, self.band_maps = WebcamPanel(), GazePanel(), BandMapsPanel()
        middle: dict[QWidget, int] = {self.spectrogram: 10, self.pupils: 9, self.voice: 11}
        right: dict[QWidget, int] = {self.webcam: 9, self.gaze: 8, self.band_maps: 14}
        self.panels = (
            *(self.traces, self.spectrogram, self.pupils, self.voice),
            *(self.webcam, self.gaze, self.band_maps),
        )
        sides = Qt.Orientation.Vertical
        columns: dict[QWidget, int] = {self.traces: 46, _split(sides, middle): 28, _split(sides, right): 28}
        put(QVBoxLayout(self), _split(Qt.Orientation.Horizontal, columns), margins=(4, 4, 4, 4))

    def set_highlight(self, spans: Mapping[str, tuple[float, float]] | None) -> None:
        """Shade a prediction's context, per modality, in the time plots; None removes it."""
        of_modality = spans or {}
        plots = (self.traces.plot, self.spectrogram.plot, self.pupils.plot, self.voice.plot)
        for plot, modality in zip(plots, ("eeg", "eeg", "eye", "voice"), strict=True):
            plot.highlight = of_modality.get(modality)


class HealthTab(PanelPage):
    """Streams, machine, electrodes, latency and messages; streams, machine and messages are current.

    The window tells ``display_latency`` when it has painted a prediction.
    """

    def __init__(self, display_latency: DisplayLatency) -> None:
        super().__init__()
        self.streams, self.machine = StreamsPanel(), MachinePanel()
        self.electrodes, self.latency = ElectrodesPanel(), LatencyPanel(display_latency)
        self.messages = MessagesPanel()
        self.panels = (self.streams, self.machine, self.electrodes, self.latency, self.messages)
        above = put(QHBoxLayout(), (self.streams, 7), (self.machine, 3), spacing=6)
        below = put(QHBoxLayout(), (self.electrodes, 1), (self.latency, 1), (self.messages, 1), spacing=6)
        put(QVBoxLayout(self), (above, 4), (below, 6), margins=(0, 0, 0, 0), spacing=6)


def _arrange(
    page: PanelPage, places: Iterable[tuple[int, int, int, int]], columns: Iterable[int], rows: Iterable[int]
) -> QGridLayout:
    """Put a page's panels into a grid: row and column, and how many of them; stretches of both."""
    grid = QGridLayout(page)
    grid.setSpacing(6)
    for panel, place in zip(page.panels, places, strict=True):
        grid.addWidget(panel, *place)
    for column, stretch in enumerate(columns):
        grid.setColumnStretch(column, stretch)
    for row, stretch in enumerate(rows):
        grid.setRowStretch(row, stretch)
    return grid


def _split(orientation: Qt.Orientation, shares: Mapping[QWidget, int]) -> QSplitter:
    """Return the widgets side by side or one below the other, sized by their shares."""
    splitter = QSplitter(orientation)
    splitter.setChildrenCollapsible(False)
    for i, (widget, share) in enumerate(shares.items()):
        splitter.addWidget(widget)
        splitter.setStretchFactor(i, share)
    splitter.setSizes([share * 100 for share in shares.values()])
    return splitter


class TabSet(QTabWidget):
    """Now, Why, Signals and Health, with the header beside their names.

    ``faults`` takes the errors of a tab, so that the rest of the window continues.
    """

    def __init__(self, session: Session, playback: Playback, faults: Faults, header: Header) -> None:
        super().__init__()
        bar = there(self.tabBar())
        bar.setDrawBase(False)
        bar.setUsesScrollButtons(False)
        self._header = header
        self.currentChanged.connect(self._give_room)
        self.setCornerWidget(header)
        self.setAccessibleName("Views")
        self._playback, self._faults = playback, faults
        self._clock = LslClock()
        self._display_latency = DisplayLatency()
        self._unpainted: Prediction | None = None  # given to the visible tab, and not yet on the screen
        self._store: ViewStore | None = None
        self.now, self.why, self.signals = NowTab(), WhyTab(), SignalsTab()
        self.health = HealthTab(self._display_latency)
        tabs = (self.now, self.why, self.signals, self.health)
        self.by_name: dict[str, PanelPage] = dict(zip(TAB_NAMES, tabs, strict=True))
        for name, tab in self.by_name.items():
            self.addTab(_Scrolled(tab), name.capitalize())
            self.setTabToolTip(self.count() - 1, f"{name.capitalize()} (Alt+{self.count()})")
        self.now.course.plot.moment_chosen.connect(playback.hold)
        self.why.modalities.plot.moment_chosen.connect(playback.hold)
        self.why.occlusion.asked.connect(lambda: session.send(SessionCommand.ASK_OCCLUSION))
        self.signals.traces.send = session.send
        of_spectrogram = self.signals.spectrogram.channels
        of_spectrogram.textActivated.connect(lambda ch_name: session.send(ChooseSpectrogram(ch_name)))

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        self._give_room()
        super().resizeEvent(event)

    def _give_room(self) -> None:
        em = self.fontMetrics().height()  # the chosen tab's name is bold, so widths change
        self._header.set_room(self.width() - there(self.tabBar()).sizeHint().width() - em)

    @property
    def name(self) -> str:
        return TAB_NAMES[self.currentIndex()]

    def show_tab(self, name: str) -> None:
        self.setCurrentIndex(TAB_NAMES.index(name))

    def set_theme(self, theme: Theme) -> None:
        for tab in self.by_name.values():
            tab.set_theme(theme)

    def refresh(self, store: ViewStore, t: float) -> None:
        if store is not self._store:
            self._store = store
            self._display_latency.forget()
        try:
            if self.name == "signals":
                self._show_window_extent(store, t)
            self.by_name[self.name].refresh(store, t)
        except Exception as error:  # one broken panel must not stop the clock, the messages and the engine
            self._faults.take(error)
            return
        self._unpainted = store.predictions.newest if self._playback.is_playing else None

    def note_painted(self) -> None:
        """Time the display: the window has been painted since the last refresh."""
        if self._unpainted is not None:
            self._display_latency.shown(self._unpainted, self._clock.now())
            self._unpainted = None

    def _show_window_extent(self, store: ViewStore, t: float) -> None:
        """Shade the context of the prediction shown, per modality, while the view is paused."""
        prediction = None if self._playback.is_playing else store.predictions.at(t)
        if prediction is None or store.model is None or math.isnan(t):
            self.signals.set_highlight(None)
            return
        context_of, end = store.model.windows.context_of, prediction.t_end
        self.signals.set_highlight({m: (end - context_of(m), end) for m in MODALITIES})


class _Scrolled(QScrollArea):
    """A tab behind scroll bars where it has too little room, as at 200 %."""

    def __init__(self, tab: QWidget) -> None:
        super().__init__()
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setWidgetResizable(True)
        self.setWidget(tab)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Leave the arrow keys to the window, which steps through time with them."""
        if event is not None:
            event.ignore()


INFERENCE_SIGN = "Emotion inference active"
NO_INFERENCE_SIGN = "Emotion inference not running"
_SIGN_MEANING = "Whether emotions are being inferred. Anyone exposed must be informed."


class Header(QWidget):
    """Signs in words beside the tabs, the same on each of them."""

    def __init__(self) -> None:
        super().__init__()
        self.sign = plain_label(NO_INFERENCE_SIGN)
        self.sign.setObjectName("sign")
        self.sign.setAccessibleName(_SIGN_MEANING)
        self.sign.setToolTip(_SIGN_MEANING)
        self.answer = ElidedLabel("The emotion, and how far to trust it", least=14)
        self.answer.setObjectName("answer")
        self.file = ElidedLabel("Recording in replay", least=20, mode=Qt.TextElideMode.ElideMiddle)
        self.model = ElidedLabel("Model in use", mode=Qt.TextElideMode.ElideMiddle)
        self.model.setProperty("muted", "true")
        self.recording = ElidedLabel("Recording", least=11)
        self.state = ElidedLabel("Time shown", least=14)
        self.state.setObjectName("state")
        labels = (self.file, self.model, self.recording, self.state, self.sign)
        put(QHBoxLayout(self), self.answer, 1, *labels, margins=(12, 2, 8, 2), spacing=10)
        self._theme, self._shown_state = DARK, ""
        self._answered: tuple[object, ...] = ()
        self._room = 0

    def set_room(self, width: int) -> None:
        """Take the width that the tabs leave: a corner widget is as wide as its size hint."""
        if width != self._room:
            self._room = width
            self.updateGeometry()

    def sizeHint(self) -> QSize:
        hint = super().sizeHint()
        return QSize(max(self._room, self.minimumSizeHint().width()), hint.height())

    def set_theme(self, theme: Theme) -> None:
        self._theme, self._shown_state = theme, ""
        self._colour_sign()
        self.recording.setStyleSheet(f"color: {theme.bad}; font-weight: 600;")

    def refresh(self, store: ViewStore, playback: Playback) -> None:
        self._show_sign(store)
        self._show_answer(store, playback)
        self._show_state(*state_words(store, playback))
        recording = recording_words(store)
        self.recording.show_text(recording)
        self.recording.setVisible(bool(recording))
        self.file.setVisible(store.timeline is not None)
        if store.timeline is not None:
            self.file.show_text(one_line(store.timeline.path.name), str(store.timeline.path))
        if store.model is not None:
            self.model.show_text(in_use_words(store.model))
            self.model.setToolTip(tooltip(model_words(store.model)))

    def _show_sign(self, store: ViewStore) -> None:
        is_decoding = store.shown_only is None or len(store.predictions) > 0
        is_on = is_decoding and store.phase.name in ("running", "paused")
        text = INFERENCE_SIGN if is_on else NO_INFERENCE_SIGN
        if self.sign.text() != text:
            self.sign.setText(text)
            self._colour_sign()

    def _colour_sign(self) -> None:
        is_on = self.sign.text() == INFERENCE_SIGN
        colour = self._theme.text if is_on else self._theme.muted
        edge = "" if is_on else f" border-color: {self._theme.grid}; font-weight: 400;"
        self.sign.setStyleSheet(f"color: {colour}; background: {self._theme.surface};{edge}")

    def _show_answer(self, store: ViewStore, playback: Playback) -> None:
        t = playback.time
        prediction = store.predictions.at(t) if math.isfinite(t) else None
        # A verdict reads seconds of signals: one per prediction and second is enough.
        now = reference_time(store, t)  # goes on where all streams are silent
        answered = (id(store), id(prediction), store.phase, round(now) if math.isfinite(now) else None)
        if answered != self._answered:
            self._answered = answered
            has_stopped = prediction is None and store.is_over
            words = "no prediction" if has_stopped else answer_words(judge(prediction, store, t))
            self.answer.show_text(words)

    def _show_state(self, words: str, colour: str) -> None:
        self.state.show_text(words)
        if self._shown_state != colour:
            self._shown_state = colour
            self.state.setStyleSheet(f"color: {getattr(self._theme, colour)};")


def answer_words(verdict: Shown) -> str:
    """Return the top emotion with its probability, after the state where it is not certain."""
    if not math.isfinite(verdict.probability):
        return verdict.label
    words = f"{one_line(verdict.top, 24)} {100 * verdict.probability:.0f} %"
    return words if verdict.state == "certain" else f"{verdict.state}: {words}"


def in_use_words(model: ModelInfo) -> str:
    """Return the profile in use with its verdict; without one the model."""
    if not model.profile:
        return f"Model: {one_line(model.name, 40)}"
    return f"Profile {one_line(model.profile, 40)}: {model.verdict or 'no verdict'}"


def model_words(model: ModelInfo) -> str:
    """Return what a model was trained on, its size, what its answer is without, and where it runs."""
    size = f"preset {one_line(model.preset, 40)}, {model.n_parameters:,} parameters"
    size += "".join(f"; the {part} has no weight in the answer" for part in model.unused)
    size += f"; model {one_line(model.name, 80)}" if model.profile else ""
    return f"Trained on {one_line(model.trained_on, 120)}; {size}; runs on {one_line(model.device, 60)}"


def state_words(store: ViewStore, playback: Playback) -> tuple[str, str]:
    """Return whether the newest data are shown, or how old the data are; and a colour of the theme."""
    name = store.phase.name
    if name == "failed":
        return "■ STOPPED", "bad"
    if name == "ended":
        return "■ END", "muted"
    if name == "waiting":
        return "… WAITING for a stream", "suspect"
    if name not in ("running", "paused") or not store.mode:
        return f"… {store.phase.message or name}", "muted"
    if store.is_silent:
        return "■ NO RESPONSE", "bad"
    if playback.is_playing and playback.is_replay:
        return f"▶ REPLAY {speed_text(playback.speed)}", "good"
    if playback.is_playing:
        newest = store.predictions.newest
        age_s = reference_time(store, playback.time) - newest.t_end if newest is not None else math.inf
        if not age_s > STALE_AFTER_S:
            return "● LIVE", "good"
        return f"▲ LIVE, no prediction{f' for {age(age_s)}' if math.isfinite(age_s) else ' yet'}", "suspect"
    if playback.is_replay:
        return "‖ REPLAY paused", "suspect"
    behind = store.newest_time - playback.time
    at = f" at -{clock_text(behind)}; still acquiring" if math.isfinite(behind) else ""
    return f"‖ PAUSED{at}", "suspect"


def recording_words(store: ViewStore) -> str:
    recording = store.recording
    if recording is None or store.is_over or recording.state in ("stopped", "failed"):
        return ""
    if recording.state != "recording":
        return f"● REC {recording.state}"
    return f"● REC {clock_text(recording.duration_s)}, {data_size(recording.n_bytes)}"
