"""The stimulus of a trial or of the practice, its onset, and how regularly it was drawn.

QtMultimedia is loaded only here and only when needed, because its libraries may be missing.

Qt hands the painted picture to the window system at the end of the window's ``UpdateRequest``; the onset is
the LSL time right after. The screen shows the picture at its next refresh, up to one frame later, and a
compositing window manager may add another frame. **The accuracy is plus or minus one display frame** on a
screen without compositor delay; for more, use a photodiode on a corner of the screen.

Widgets have no signal for the screen's refresh. `FrameMeter` therefore draws a single pixel at the screen's
stated rate and times each picture: an interval far above the median means that frames were missed.
"""

import os
from collections.abc import Callable
from enum import Enum
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
from PyQt6.QtCore import (
    QBuffer,
    QByteArray,
    QIODevice,
    QLoggingCategory,
    QObject,
    QPointF,
    QRectF,
    QSizeF,
    Qt,
    QTimer,
    QUrl,
)
from PyQt6.QtGui import QImage, QImageReader, QPainter, QPaintEvent, QResizeEvent
from PyQt6.QtWidgets import QSizePolicy, QStackedWidget, QWidget

from acquisition.errors import ErrorCode, InputError
from app.engine.messages import Drawn, Proceed, Shown
from app.qt.calibration.screen import Screen, Send
from app.view.calibration_screens import display_timing
from app.view.store import ViewStore
from app.view.text import one_line
from calibration.plan import Plan
from calibration.types import Check, DisplayTiming, SessionView, Stimulus

#: Packages of a bare Debian that QtMultimedia needs besides those of the window.
LIBRARIES = "libpulse0 libxrandr2"
_SAMPLE_RATE = 44100
_TONE_HZ = 660.0
_TONE_S = 0.9
_RAMP_S = 0.05  # or it would click
_LEVEL = 0.35  # of full scale


@cache
def multimedia_fault() -> str:
    """Return why QtMultimedia does not load, "" if it does."""
    os.environ.setdefault("PIPEWIRE_DEBUG", "0")
    QLoggingCategory.setFilterRules("qt.multimedia*.info=false\nqt.multimedia*.warning=false")
    try:
        for name in ("PyQt6.QtMultimedia", "PyQt6.QtMultimediaWidgets"):
            import_module(name)
    except ImportError as error:
        return str(error)
    return ""


def has_sound() -> bool:
    if multimedia_fault():
        return False
    from PyQt6.QtMultimedia import QMediaDevices

    return not QMediaDevices.defaultAudioOutput().isNull()


def sound_check(is_needed: bool) -> Check:
    """Return the signal check of the sound output, which sounds and videos in the plan need."""
    if fault := multimedia_fault():
        return Check("Sound output", "yellow", f"cannot be used: {fault}", f"apt-get install {LIBRARIES}")
    if has_sound():
        from PyQt6.QtMultimedia import QMediaDevices

        return Check("Sound output", "green", QMediaDevices.defaultAudioOutput().description())
    remedy = "connect loudspeakers or headphones, and select them in the system settings"
    missed = "the sounds of this protocol and the tone" if is_needed else "the tone"
    finding = f"not found: {missed} at the end of the eyes-closed baseline cannot be heard"
    return Check("Sound output", "yellow", finding, remedy)


def kinds_of(plan: Plan) -> set[str]:
    """Return the kinds of stimuli that a session of a plan shows; a repeat may show another one."""
    n_each = -(-plan.n_trials // len(plan.classes))
    listed = [stimulus for name in plan.classes for stimulus in plan.stimuli[name][:n_each]]
    return {stimulus.kind for stimulus in (*listed, plan.practice)}


def require_multimedia(kinds: set[str]) -> None:
    """Raise `InputError` where a sound or video is among these kinds and QtMultimedia does not load."""
    playing = sorted(kinds & {"sound", "video"})
    if playing and (fault := multimedia_fault()):
        what = f"cannot play {' or '.join(playing)}: {' '.join(fault.split())}"
        remedy = f"apt-get install {LIBRARIES}; or use text and images"
        raise InputError(what, where="stimuli of the plan", code=ErrorCode.INSTALLATION, remedy=remedy)


def tone_samples() -> bytes:
    """Return the tone as 16-bit samples of one channel, `_SAMPLE_RATE` a second."""
    t = np.arange(round(_TONE_S * _SAMPLE_RATE)) / _SAMPLE_RATE
    ramp = np.clip(np.minimum(t, _TONE_S - t) / _RAMP_S, 0, 1)
    return (32767 * _LEVEL * ramp * np.sin(2 * np.pi * _TONE_HZ * t)).astype("<i2").tobytes()


class Tone:
    """The tone; silent without a sound output, which the signal check reports."""

    def __init__(self) -> None:
        self._sink: object | None = None
        self._samples = QBuffer()
        self._samples.setData(QByteArray(tone_samples()))

    def play(self) -> None:
        if not has_sound():
            return
        from PyQt6.QtMultimedia import QAudioFormat, QAudioSink, QMediaDevices

        how = QAudioFormat()
        how.setSampleRate(_SAMPLE_RATE)
        how.setChannelCount(1)
        how.setSampleFormat(QAudioFormat.SampleFormat.Int16)
        sink = QAudioSink(QMediaDevices.defaultAudioOutput(), how)
        self._samples.close()
        self._samples.open(QIODevice.OpenModeFlag.ReadOnly)
        sink.start(self._samples)
        self._sink = sink  # kept, or it would fall silent


class Media(QObject):
    """A player for one stimulus at a time, with its onset.

    The onset of a sound is estimated from the player's position; the delay of the sound system (some tens of
    milliseconds with PulseAudio or PipeWire) is not known here. The onset of a video is when its first frame
    was handed to the screen, which shows it within a frame.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        from PyQt6.QtMultimedia import QAudioOutput, QMediaPlayer
        from PyQt6.QtMultimediaWidgets import QVideoWidget

        super().__init__()
        self._clock = clock
        self.began: float | None = None  # LSL seconds of its onset
        self.fault = ""  # why it cannot be played
        self.is_over = False  # true at the end of a file
        self._is_video = False
        self.video = QVideoWidget()
        self.video.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.video.setAccessibleName("Video")
        self._player = QMediaPlayer()
        self._output = QAudioOutput()
        self._player.setVideoOutput(self.video)
        if has_sound():
            self._player.setAudioOutput(self._output)
        self._player.positionChanged.connect(self._note_position)
        self._player.errorOccurred.connect(self._note_fault)
        self._player.mediaStatusChanged.connect(self._note_status)
        if (sink := self.video.videoSink()) is not None:
            sink.videoFrameChanged.connect(lambda frame: self._note_frame(frame.isValid()))

    def load(self, path: Path, *, is_video: bool) -> None:
        """Open a file, so that it can begin at once."""
        self.began, self.fault, self.is_over, self._is_video = None, "", False, is_video
        # A short sound fills its time; a video plays once, and its last frame stays.
        loops = self._player.Loops
        self._player.setLoops(loops.Once if is_video else loops.Infinite)
        self._player.setSource(QUrl.fromLocalFile(str(path)))

    def play(self) -> None:
        self.began = None
        self._player.setPosition(0)
        self._player.play()

    def stop(self) -> None:
        self._player.stop()
        self._player.setSource(QUrl())

    def _note_position(self, position_ms: int) -> None:
        if not self._is_video and self.began is None and position_ms > 0:
            self.began = self._clock() - position_ms / 1000

    def _note_frame(self, is_valid: bool) -> None:
        if self._is_video and self.began is None and is_valid:
            self.began = self._clock()

    def _note_fault(self, _error: object, words: str) -> None:
        self.fault = words or "the file cannot be played"

    def _note_status(self, status: Enum) -> None:
        if status.name == "EndOfMedia":
            self.is_over = True
        elif status.name == "InvalidMedia" and not self.fault:
            self.fault = "the file cannot be played"


_LONGEST_TEXT = 1200
_TEXT_COLUMNS = 100


class StimulusScreen(Screen):
    """Text, picture, sound or video; ``tell`` takes a sentence on what cannot be shown."""

    def __init__(self, send: Send, clock: Callable[[], float], tell: Callable[[str], None]) -> None:
        super().__init__("Stimulus", send, width=240)
        self._clock, self._tell = clock, tell
        self._media: Media | None = None
        self._stimulus: Stimulus | None = None
        self._step_id = 0
        self._has_told = self._ends_with_media = False
        centre = Qt.AlignmentFlag.AlignCenter
        self.heading = self.words("", 1.2, muted=True, align=centre)
        self.prompt = self.words("", 1.9, align=centre)
        self.caption = self.words("", 1.3, align=centre)
        self.picture = Picture()
        self._stack = QStackedWidget()
        self._stack.addWidget(self.prompt)
        self._stack.addWidget(self.picture)
        self.stack(self.heading, (self._stack, 1), self.caption)

    @property
    def plays(self) -> bool:
        return self._stimulus is not None and self._stimulus.kind in ("sound", "video") and not self._has_told

    def prepare(self, stimulus: Stimulus | None) -> None:
        if stimulus is not None and stimulus.path is not None and stimulus.kind in ("sound", "video"):
            self.media().load(stimulus.path, is_video=stimulus.kind == "video")
            self._stimulus = stimulus

    def begin(self, view: SessionView) -> None:
        step = view.step
        stimulus = step.stimulus if step.stimulus is not None else Stimulus("text")
        self._step_id, self._has_told = view.step_id, False
        self._ends_with_media = step.duration_s is None
        self.media_began = None
        self.heading.setText("Practice: this does not count" if step.kind == "practice" else "")
        text = one_line(stimulus.text, _LONGEST_TEXT)
        is_text, is_sound = stimulus.kind == "text", stimulus.kind == "sound"
        self.prompt.setText(text if is_text or is_sound else "")
        self.caption.setText("" if is_text or is_sound else text)
        self.caption.setVisible(bool(self.caption.text()))
        self._show_middle(stimulus)
        self._stimulus = stimulus

    def refresh(self, view: SessionView | None, store: ViewStore, now: float) -> None:
        if not self.plays:
            return
        media = self.media()
        self.media_began = media.began
        if media.fault:
            self._fail(media.fault)
        elif media.is_over and self._ends_with_media:
            self._ends_with_media = False
            self.send(Proceed(self._step_id))

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        super().resizeEvent(event)
        spare = self.width() - self.fontMetrics().averageCharWidth() * _TEXT_COLUMNS
        for label in (self.prompt, self.caption):
            label.setContentsMargins(max(0, spare // 2), 0, max(0, spare // 2), 0)

    def leave(self) -> None:
        if self._media is not None:
            self._media.stop()
        self._stimulus = None

    def media(self) -> Media:
        """Return the player, made when first needed: it needs libraries of its own."""
        if self._media is None:
            self._media = Media(self._clock)
            self._stack.addWidget(self._media.video)
        return self._media

    def _show_middle(self, stimulus: Stimulus) -> None:
        shown: QWidget = self.prompt
        if stimulus.kind == "image":
            shown = self.picture
            if fault := self.picture.show_file(stimulus.path):
                self._stimulus = stimulus
                self._fail(fault)
        elif stimulus.kind in ("sound", "video"):
            if stimulus != self._stimulus:
                self.prepare(stimulus)
            media = self.media()
            shown = media.video if stimulus.kind == "video" else self.prompt
            media.play()
        self._stack.setCurrentWidget(shown)

    def _fail(self, fault: str) -> None:
        if self._has_told or self._stimulus is None:
            return
        self._has_told = True
        name = self._stimulus.path.name if self._stimulus.path is not None else "the stimulus"
        self.prompt.setText(one_line(self._stimulus.text, _LONGEST_TEXT))
        self._stack.setCurrentWidget(self.prompt)
        self._tell(f"{one_line(name)} cannot be shown: {one_line(fault)}; repeat or skip the trial")


_MOST = 2.0


class Picture(QWidget):
    """Shows an image file, centred."""

    def __init__(self) -> None:
        super().__init__()
        self._image = QImage()
        self.setAccessibleName("Picture")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def show_file(self, path: Path | None) -> str:
        """Show a picture; return why it cannot be shown, "" if it can."""
        self._image = QImage()
        fault = ""
        if path is not None:
            reader = QImageReader(str(path))
            reader.setAutoTransform(True)  # as the camera was held
            self._image = reader.read()
            fault = reader.errorString() if self._image.isNull() else ""
        self.update()
        return fault

    def paintEvent(self, event: QPaintEvent | None) -> None:
        if self._image.isNull():
            return
        own, room = QSizeF(self._image.size()), QSizeF(self.size())
        size = own.scaled(room, Qt.AspectRatioMode.KeepAspectRatio)
        if size.width() > _MOST * own.width():
            size = own * _MOST
        place = QRectF(QPointF(), size)
        place.moveCenter(QRectF(self.rect()).center())
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(place, self._image)


_FALLBACK_HZ = 60.0
_MOST_FRAMES = 60 * 240  # a minute at 240 Hz
#: A sound or video that has not begun so long after its screen has failed; the step continues without it.
_MEDIA_WITHIN_S = 1.0


class OnsetClock:
    """Waits for the screen of a step to be drawn, and for what it plays to begin.

    ``on_shown`` gets the step's id and the time of its onset in LSL seconds.
    """

    def __init__(self, clock: Callable[[], float], on_shown: Callable[[int, float], None]) -> None:
        self._clock, self._on_shown = clock, on_shown
        self._step_id: int | None = None
        self._screen: Screen | None = None
        self._drawn_at: float | None = None

    def arm(self, step_id: int, screen: Screen) -> None:
        """Wait for this screen, which must not have been drawn since the step began."""
        self._step_id, self._screen, self._drawn_at = step_id, screen, None
        screen.is_painted = False
        screen.update()

    def disarm(self) -> None:
        self._step_id = self._screen = self._drawn_at = None

    def note_flushed(self) -> None:
        screen = self._screen
        if screen is not None and screen.is_painted and self._drawn_at is None:
            self._drawn_at = self._clock()
            self.poll()

    def poll(self) -> None:
        """Tell the onset once both picture and sound have begun: the later of the two.

        A window that was behind others is painted without an ``UpdateRequest``; its onset is taken here, up
        to one call later.
        """
        if self._drawn_at is None and self._screen is not None and self._screen.is_painted:
            self._drawn_at = self._clock()
        if self._screen is None or self._step_id is None or self._drawn_at is None:
            return
        onset = self._drawn_at
        if self._screen.plays:
            began = self._screen.media_began
            if began is None and self._clock() < onset + _MEDIA_WITHIN_S:
                return
            onset = max(onset, began or onset)
        step_id = self._step_id
        self.disarm()
        self._on_shown(step_id, onset)


class FrameMeter(QWidget):
    """A pixel in the corner, drawn at the screen's rate while a step is measured."""

    def __init__(self, parent: QWidget, clock: Callable[[], float]) -> None:
        super().__init__(parent)
        self._clock = clock
        self._step = ""
        self._drawn: list[float] = []
        self.setFixedSize(1, 1)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._draw)

    def start(self, step: str) -> None:
        """Measure a step, named by its onset marker."""
        screen = self.screen()
        rate = screen.refreshRate() if screen is not None else _FALLBACK_HZ
        self._step, self._drawn = step, []
        self.raise_()
        self._timer.start(max(1, round(1000 / (rate if rate > 0 else _FALLBACK_HZ))))

    def stop(self) -> DisplayTiming | None:
        """End the measurement; None where too little was drawn."""
        if not self._timer.isActive():
            return None
        self._timer.stop()
        return display_timing(self._step, self._drawn)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        QPainter(self).fillRect(self.rect(), self.palette().window())

    def _draw(self) -> None:
        if not self.isVisible() or len(self._drawn) >= _MOST_FRAMES:
            return
        self.repaint()  # at once: painted and handed over when it returns
        self._drawn.append(self._clock())


_MEASURED = ("practice", "stimulus")


class StepWatch:
    """Begins each step once, and reports its onset and display timing to the engine."""

    def __init__(self, window: QWidget, send: Send, clock: Callable[[], float]) -> None:
        self._send = send
        self._view: SessionView | None = None
        self.onset = OnsetClock(clock, self._tell_shown)
        self.meter = FrameMeter(window, clock)
        self.tone = Tone()

    def restart(self) -> None:
        """Forget the step: another engine starts."""
        self.end_measurement()
        self.onset.disarm()
        self._view = None

    def take_up(self, view: SessionView, screen: Screen) -> None:
        before = self._view
        if view.is_paused or (before is not None and view.step_id == before.step_id):
            return
        self.end_measurement()
        if before is not None and before.step.kind == "baseline_closed":
            self.tone.play()
        self._view = view
        screen.begin(view)
        screen.first_focus().setFocus()
        self.onset.arm(view.step_id, screen)

    def end_measurement(self) -> None:
        timing = self.meter.stop()
        if timing is not None:
            self._send(Drawn(timing))

    def _tell_shown(self, step_id: int, time: float) -> None:
        self._send(Shown(step_id, time))
        view = self._view
        if view is not None and view.step_id == step_id and view.step.kind in _MEASURED:
            self.meter.start(view.step.onset_marker)
