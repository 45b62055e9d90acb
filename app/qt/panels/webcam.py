"""The webcam's picture with the box of the face."""

from __future__ import annotations

import math

from PyQt6.QtCore import QRectF, QSize, Qt
from PyQt6.QtGui import QColor, QFontMetricsF, QImage, QPainter, QPaintEvent, QPen
from PyQt6.QtWidgets import QLabel, QSizePolicy, QWidget

from acquisition.types import Kind
from app.qt.panel import Panel
from app.qt.plots.time_strip import paint_notice
from app.qt.theme import DARK, Theme
from app.view.conditions import stream_note
from app.view.store import ViewStore
from app.view.text import age

_BOX_MAX_AGE_S = 1.5  # an older box does not surround the face any more
Box = tuple[float, float, float, float]


class WebcamPanel(Panel):
    """What the camera sees, and what the decoder takes for the face."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Webcam", parent)
        self.picture = FrameView()
        self.body.addWidget(self.picture, 1)
        self.words = QLabel()
        self.words.setTextFormat(Qt.TextFormat.PlainText)
        self.head.addWidget(self.words)

    def refresh(self, store: ViewStore, t: float) -> None:
        """Show the frame at ``t``."""
        notice = stream_note(store, Kind.VIDEO, t)
        frame = store.frames.at(t) if math.isfinite(t) else None
        box, words = _face(store, t)
        if frame is not None:
            self.picture.show_frame(frame.time, frame.jpeg, box)
        elif not notice:
            newest = store.frames.newest_time
            late = t - newest
            notice = f"no frame for {age(late)}" if late > 0 else "no frame of this moment"
            if math.isnan(late):
                notice = "no frame yet"
        if not notice and self.picture.is_broken:
            notice = "frame cannot be read: the camera's JPEG is damaged"
        self.picture.set_notice(notice)
        words = "" if notice else words
        if words != self.words.text():
            self.words.setText(words)
            self.picture.setAccessibleDescription(words)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        self.picture.theme = theme
        self.picture.update()


class FrameView(QWidget):
    """A frame as large as fits, its shape kept."""

    def __init__(self) -> None:
        super().__init__()
        self.theme: Theme = DARK
        self.is_broken = False
        self._image = QImage()
        self._time = math.nan
        self._box: Box | None = None
        self.notice = ""
        self.setAccessibleName("Webcam picture")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def show_frame(self, time: float, jpeg: bytes, box: Box | None) -> None:
        """Show a frame, decoded if it is another one, and the face's box in shares of the frame."""
        if time != self._time:
            self._time = time
            image = QImage.fromData(jpeg)
            self.is_broken = image.isNull()
            self._image = self._image if self.is_broken else image
            self.update()
        if box != self._box:
            self._box = box
            self.update()

    def set_notice(self, notice: str) -> None:
        """Grey the picture and say why; an empty text takes that back."""
        if notice != self.notice:
            self.notice = notice
            self.update()

    def frame_rect(self) -> QRectF:
        """Return where the frame is drawn."""
        size = QSize(640, 480) if self._image.isNull() else self._image.size()
        fitted = size.scaled(self.size(), Qt.AspectRatioMode.KeepAspectRatio)
        return QRectF(
            (self.width() - fitted.width()) // 2,
            (self.height() - fitted.height()) // 2,
            fitted.width(),
            fitted.height(),
        )

    def face_rect(self) -> QRectF | None:
        """Return where the face's box is drawn."""
        if self._box is None:
            return None
        rect, (x, y, width, height) = self.frame_rect(), self._box
        return QRectF(
            rect.left() + x * rect.width(),
            rect.top() + y * rect.height(),
            width * rect.width(),
            height * rect.height(),
        )

    def sizeHint(self) -> QSize:
        line = QFontMetricsF(self.font()).height()
        return QSize(int(18 * line), int(13 * line))

    def minimumSizeHint(self) -> QSize:
        line = QFontMetricsF(self.font()).height()
        return QSize(int(7 * line), int(5 * line))

    def paintEvent(self, event: QPaintEvent | None) -> None:
        painter, rect = QPainter(self), self.frame_rect()
        if self._image.isNull():
            painter.fillRect(rect, QColor(self.theme.window))
        else:
            painter.drawImage(rect, self._image)
        face = self.face_rect()
        if face is not None and not self.notice and not self._image.isNull():
            self._paint_face(painter, face)
        if self.notice:
            paint_notice(painter, rect, self.notice, self.theme)

    def _paint_face(self, painter: QPainter, face: QRectF) -> None:
        """Draw the box twice, dark under bright, to stand out on any picture."""
        for colour, width in (("#000000", 4), ("#f0e442", 2)):
            painter.setPen(QPen(QColor(colour), width))
            painter.drawRect(face)
        metrics = QFontMetricsF(painter.font())
        label = QRectF(face.left(), 0, metrics.horizontalAdvance("face") + 8, metrics.height())
        above = face.top() - label.height()
        label.moveTop(above if above >= self.frame_rect().top() else face.top())
        painter.fillRect(label, QColor("#f0e442"))
        painter.setPen(QColor("#000000"))
        painter.drawText(label, int(Qt.AlignmentFlag.AlignCenter), "face")


def _face(store: ViewStore, t: float) -> tuple[Box | None, str]:
    """Return the face's box at ``t``, and what to say of it."""
    prediction = store.predictions.at(t) if math.isfinite(t) else None
    if prediction is None or math.isnan(prediction.face_time):
        return None, "no face looked for yet"
    if t - prediction.face_time > _BOX_MAX_AGE_S:
        return None, f"no face looked for since {age(t - prediction.face_time)}"
    if prediction.face_box is None:
        return None, "no face found"
    return prediction.face_box, "face found"
