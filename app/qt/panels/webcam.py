"""The webcam's picture with the box of the face."""

import math

from PyQt6.QtCore import QRectF, Qt
from PyQt6.QtGui import QColor, QFontMetricsF, QImage, QPainter, QPen

from acquisition.text import age
from acquisition.types import Kind
from app.qt.panel import Panel
from app.qt.plots.plot import PixelItem, Plot, Table
from app.view.conditions import stream_note
from app.view.store import ViewStore

_BOX_MAX_AGE_S = 1.5  # an older box does not surround the face any more
Box = tuple[float, float, float, float]  # x, y, width and height in shares of the frame


class WebcamPanel(Panel):
    """The camera's picture, with the face that the decoder uses."""

    def __init__(self) -> None:
        super().__init__("Webcam")
        self.plot = self.add_plot(FramePlot())
        self.words = self.add_words()

    def refresh(self, store: ViewStore, t: float) -> None:
        notice = stream_note(store, Kind.VIDEO, t)
        frame = store.frames.at(t) if math.isfinite(t) else None
        box, words = _face(store, t)
        if frame is not None:
            self.plot.show_frame(frame.time, frame.jpeg, box)
        elif not notice:
            late = t - store.frames.newest_time
            notice = f"no frame for {age(late)}" if late > 0 else "no frame at this time"
            if math.isnan(late):
                notice = "no frame yet"
        if not notice and self.plot.is_broken:
            notice = "the frame cannot be read: the camera's JPEG is damaged"
        self.plot.set_notice(notice)
        self.words.setText("" if notice else words)
        if not notice:
            self.plot.setAccessibleDescription(words)


class FramePlot(Plot):
    """A frame as large as fits, in its own pixels."""

    def __init__(self) -> None:
        x, y = (0.0, 640.0), (0.0, 480.0)
        super().__init__("Webcam picture", x=x, y=y, least=(14, 5.0), aspect=1.0, is_downward=True)
        self.is_broken = False
        self.image = QImage()
        self.box: Box | None = None  # of the face
        self._time = math.nan
        self._frame = _Frame(self)

    def show_frame(self, time: float, jpeg: bytes, box: Box | None) -> None:
        """Show a frame, decoded if it is another one, and the face's box."""
        if time != self._time:
            self._time = time
            image = QImage.fromData(jpeg)
            self.is_broken = image.isNull()
            if not self.is_broken:
                self.image = image
                self.set_home(x=(0.0, float(image.width())), y=(0.0, float(image.height())))
            self._frame.update()
        if box != self.box:
            self.box = box
            self._frame.update()

    def table(self) -> Table:
        return ["x", "y", "width", "height"], [] if self.box is None else [self.box]


class _Frame(PixelItem):
    z = 1.0
    plot: FramePlot

    def draw(self, painter: QPainter) -> None:
        plot = self.plot
        (_, width), (_, height) = plot.home
        frame = QRectF(self.point(0, 0), self.point(width, height))
        if plot.image.isNull():
            painter.fillRect(frame, QColor(self.theme.window))
            return
        painter.drawImage(frame, plot.image)
        if plot.box is not None and not plot.notice:
            x, y, wide, high = plot.box
            corner = self.point((x + wide) * width, (y + high) * height)
            self._draw_face(painter, QRectF(self.point(x * width, y * height), corner))

    def _draw_face(self, painter: QPainter, face: QRectF) -> None:
        """Draw the box twice, dark under bright, to stand out on any picture."""
        for colour, width in (("#000000", 4), ("#f0e442", 2)):
            painter.setPen(QPen(QColor(colour), width))
            painter.drawRect(face)
        metrics = QFontMetricsF(self.font)
        label = QRectF(face.left(), 0, metrics.horizontalAdvance("face") + 8, metrics.height())
        above = face.top() - label.height()
        label.moveTop(above if above >= 0 else face.top())
        painter.fillRect(label, QColor("#f0e442"))
        painter.setPen(QColor("#000000"))
        painter.drawText(label, int(Qt.AlignmentFlag.AlignCenter), "face")


def _face(store: ViewStore, t: float) -> tuple[Box | None, str]:
    """Return the face's box at ``t``, and what to say of it."""
    prediction = store.predictions.at(t) if math.isfinite(t) else None
    if prediction is None or math.isnan(prediction.face_time):
        return None, "face detection has not run yet"
    if t - prediction.face_time > _BOX_MAX_AGE_S:
        return None, f"last face detection {age(t - prediction.face_time)} ago"
    if prediction.face_box is None:
        return None, "no face found"
    measures = prediction.face_measures
    if measures is None or measures.is_blinking is None:
        return prediction.face_box, "face found"
    rate = measures.blinks_per_min
    words = ["eyes closed" if measures.is_blinking else "eyes open"]
    words += [] if math.isnan(rate) else [f"{rate:.0f} blinks/min"]
    pose = {"yaw": measures.yaw_deg, "pitch": measures.pitch_deg, "roll": measures.roll_deg}
    words += [f"{name} {angle:.0f}°" for name, angle in pose.items()]
    return prediction.face_box, ", ".join(words)
