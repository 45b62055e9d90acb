"""The stimulus of a trial or of the practice, alone on the screen: text, picture, sound or video."""

from collections.abc import Callable
from pathlib import Path

from PyQt6.QtCore import QPointF, QRectF, QSizeF, Qt
from PyQt6.QtGui import QImage, QImageReader, QPainter, QPaintEvent, QResizeEvent
from PyQt6.QtWidgets import QSizePolicy, QStackedWidget, QWidget

from app.engine.messages import Proceed
from app.qt.calibration.media import Media
from app.qt.calibration.screen import Screen, Send
from app.view.store import ViewStore
from app.view.text import one_line
from calibration.types import SessionView, Stimulus

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
