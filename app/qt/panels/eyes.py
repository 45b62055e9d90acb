"""Eyes and face: gaze on the screen, pupil sizes and blinks, and the webcam's picture."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PyQt6.QtCore import QLineF, QPointF, QRectF, Qt
from PyQt6.QtGui import QColor, QFont, QFontMetricsF, QImage, QPainter, QPen

from acquisition.quality import MIN_VALIDITY
from acquisition.text import age
from acquisition.types import Kind
from app.qt.panel import Panel
from app.qt.plots.axes import Axis, DrawnAxis, with_unit
from app.qt.plots.items import mixed
from app.qt.plots.plot import PixelItem, Plot, Table, figure_text
from app.qt.plots.time_plot import LEFT_ROOM, RIGHT_ROOM, SECONDS, TimePlot
from app.qt.theme import Theme
from app.view.conditions import stream_note
from app.view.scales import CalmRange, means_over, round_step
from app.view.store import ViewStore
from app.view.text import one_line
from models.features.gaze_events import find_blinks

_TRAIL_S = 2.0
_LATE_S = 0.3  # an older sample is not where the eyes look now
_RATE_OVER_S = 60.0
_LOOK_EVERY_S = 0.5
_N_SHADES = 8
_MAX_POINTS = 120
_NO_SIZE = "no pupil size in this stream or at this time"
_STROKES = {"left": Qt.PenStyle.SolidLine, "right": Qt.PenStyle.DashLine}
_SHORT_UNITS = {"arbitrary": "a.u."}  # a longer one would push the number out of the gutter


class GazePanel(Panel):
    """Where on the screen the eyes look, with the trail of the last two seconds."""

    def __init__(self) -> None:
        super().__init__("Gaze on the screen")
        self.plot = self.add_plot(GazePlot())
        self.words = self.add_words()

    def refresh(self, store: ViewStore, t: float) -> None:
        notice = stream_note(store, Kind.GAZE, t)
        words = self.plot.show_gaze(*store.gaze.read(t - _TRAIL_S, t), t)
        self.plot.set_notice(notice or ("" if self.plot.place is not None else words))
        self.words.setText("" if notice else words)


class GazePlot(Plot):
    """The screen in percent of its width and height, the gaze in it."""

    def __init__(self) -> None:
        name, whole = "Gaze on the screen", (0.0, 100.0)
        axes = (Axis("left", with_unit("%"), room="100 %"), Axis("bottom", with_unit("%")))
        super().__init__(name, axes, x=whole, y=whole, least=(20, 5.0), aspect=16 / 9, is_downward=True)
        for axis in axes:
            axis.setTickSpacing(50, 50)
        self.place: tuple[float, float] | None = None  # where the eyes look, %; None where they are not seen
        self.ages, self.trail = np.empty(0), np.empty((0, 2))
        self._gaze = _Gaze(self)

    def show_gaze(self, times: NDArray[np.float64], values: NDArray[np.floating], t: float) -> str:
        """Take the samples of the trail (n, 5): x, y, pupils, validity; return the gaze in words."""
        seen = (values[:, 4] >= MIN_VALIDITY) & np.isfinite(values[:, :2]).all(axis=1)
        is_late = len(times) == 0 or t - times[-1] > _LATE_S
        # Every n-th sample up to the newest: fast trackers give more than a picture can tell apart.
        n = 1 + len(times) // _MAX_POINTS
        every = slice((len(times) - 1) % n, None, n)
        self.trail = np.where(seen[:, None], np.clip(100 * values[:, :2], 0, 100), np.nan)[every]
        self.ages = (t - times)[every]
        self.place = None
        if is_late or not seen[-1]:
            words = "no gaze samples" if is_late else "eyes not detected"
        else:
            x, y = (100 * float(value) for value in values[-1, :2])
            self.place = (min(max(x, 0.0), 100.0), min(max(y, 0.0), 100.0))  # off the screen: at its rim
            is_inside = (x, y) == self.place
            words = _place(x, y) if is_inside else "gaze off the screen"
        self._gaze.update()
        return words

    def text_at(self, x: float, y: float) -> str:
        is_inside = 0 <= x <= 100 and 0 <= y <= 100
        return _place(x, y) if is_inside else ""

    def table(self) -> Table:
        trail = zip(self.ages, self.trail, strict=True)
        rows = [(f"{-age:.4f}", f"{x:.3f}", f"{y:.3f}") for age, (x, y) in trail]
        return [SECONDS, "% from the left", "% from the top"], rows


class _Gaze(PixelItem):
    """The screen's rim, the trail in a few shades, and a ring where the eyes look."""

    z = 5.0
    plot: GazePlot

    def restyle(self, theme: Theme, font: QFont) -> None:
        """Take other colours: the older the trail, the fainter."""
        super().restyle(theme, font)
        shares = (0.9 * (1 - k / _N_SHADES) for k in range(_N_SHADES))
        self._pens = [QPen(QColor(mixed(theme.accent, theme.surface, share)), 1) for share in shares]

    def draw(self, painter: QPainter) -> None:
        theme, plot = self.theme, self.plot
        painter.setPen(QPen(QColor(theme.muted), 1))
        painter.drawRect(QRectF(self.point(0, 0), self.point(100, 100)).normalized().adjusted(0, 0, -1, -1))
        xs, ys = self.x_of(plot.trail[:, 0]).tolist(), self.y_of(plot.trail[:, 1]).tolist()
        shades = np.clip((plot.ages / _TRAIL_S * _N_SHADES).astype(int), 0, _N_SHADES - 1)
        # A run ends where the shade changes or the eyes were lost; the next one begins at its last point.
        breaks = np.flatnonzero(np.diff(shades)) + 1
        for first, end in pairwise([0, *breaks.tolist(), len(xs)]):
            points = [QPointF(x, y) for x, y in zip(xs[first : end + 1], ys[first : end + 1], strict=True)]
            lines = [QLineF(a, b) for a, b in pairwise(points) if math.isfinite(a.x() + b.x())]
            if lines:
                painter.setPen(self._pens[shades[first]])
                painter.drawLines(*lines)
        if plot.place is None:
            return
        centre, size = self.point(*plot.place), 0.45 * QFontMetricsF(self.font).height()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for colour, width in ((theme.surface, 4), (theme.accent, 2)):
            painter.setPen(QPen(QColor(colour), width))
            painter.drawEllipse(centre, size, size)
        painter.drawPoint(centre)


class PupilPanel(Panel):
    """Pupil sizes over the last half minute, blinks shaded and counted."""

    def __init__(self) -> None:
        super().__init__("Pupils and blinks")
        self.plot = self.add_plot(PupilPlot())
        self.words = self.add_words()
        self._blinks: list[tuple[float, float]] = []
        self._counted = -math.inf

    def refresh(self, store: ViewStore, t: float) -> None:
        notice = stream_note(store, Kind.GAZE, t)
        if not math.isfinite(t) or not len(store.gaze):
            self.plot.set_notice(notice)
            return
        if not abs(t - self._counted) < _LOOK_EVERY_S:
            self._counted = t
            self._count_blinks(store, t)
        times, values = store.gaze.read(t - self.plot.span_s, t)
        has_size = self.plot.show_pupils(store, times, values, self._blinks, t)
        self.plot.set_notice(notice or ("" if has_size else _NO_SIZE))

    def _count_blinks(self, store: ViewStore, t: float) -> None:
        times, values = store.gaze.read(t - _RATE_OVER_S, t)
        self._blinks = find_blinks(times, values[:, 4] >= MIN_VALIDITY)
        n, covered_s = len(self._blinks), float(times[-1] - times[0]) if len(times) > 1 else 0.0
        per_min = f"{60 * n / covered_s:.0f} blinks/min" if covered_s >= 10.0 else ""
        self.words.setText(per_min or f"{n} blinks in {covered_s:.0f} s")


class PupilPlot(TimePlot):
    """Left pupil drawn through, right pupil dashed; blinks hatched."""

    def __init__(self) -> None:
        self._sizes = Axis("left", room=LEFT_ROOM)
        super().__init__("Pupil sizes", 30.0, (self._sizes, _Legend()))
        self.unit = ""
        self.curves = {name: self.plot_item.plot(connect="finite") for name in _STROKES}
        self.set_theme(self.theme)
        self._range: CalmRange | None = None
        self._looked = -math.inf
        self._samples: tuple[NDArray, NDArray] = (np.empty(0), np.empty((0, 2)))
        self.blinks = _Blinks(self)

    def show_pupils(
        self,
        store: ViewStore,
        times: NDArray[np.float64],
        values: NDArray[np.floating],
        blinks: Sequence[tuple[float, float]],
        t: float,
    ) -> bool:
        """Show samples (n, 5), x, y, pupils, validity, and blinks up to ``t``; tell if there are sizes."""
        pupils = np.where(values[:, 4:5] >= MIN_VALIDITY, values[:, 2:4], np.nan).astype(np.float64)
        unit = _SHORT_UNITS.get(store.pupil_unit, one_line(store.pupil_unit, 4))
        if unit != self.unit:
            self.unit, self._sizes.words, self._range = unit, with_unit(unit), None
        if not abs(t - self._looked) < _LOOK_EVERY_S:
            self._looked = t
            self._fit(pupils)
        self._samples = (times - t, pupils)
        grid, means = means_over(times, pupils, 2 * self.span_s / max(self.plot_rect().width(), 1.0))
        for k, curve in enumerate(self.curves.values()):
            curve.setData(grid - t, means[:, k])
        self.blinks.set_content((t0 - t, t1 - t) for t0, t1 in blinks)
        self.take_moment(store, t)
        return bool(np.isfinite(pupils).any())

    def set_theme(self, theme: Theme) -> None:
        super().set_theme(theme)
        for name, curve in self.curves.items():
            curve.setPen(pg.mkPen(_eye_colour(theme, name), width=1, style=_STROKES[name]))

    def value_at(self, x: float, y: float) -> str:
        said = []
        for name, curve in self.curves.items():
            times, values = curve.getOriginalDataset()
            if times is not None and len(times):
                at = min(int(np.searchsorted(times, x)), len(times) - 1)
                said.append(f"{name} {figure_text(float(values[at]))} {self.unit}".rstrip())
        return ", ".join(said)

    def table(self) -> Table:
        """Return the samples; the curves are means of those that would share a pixel."""
        rows = [(f"{t:.4f}", *(f"{v:.5g}" for v in each)) for t, each in zip(*self._samples, strict=True)]
        return [SECONDS, *(f"{name} ({self.unit})" for name in self.curves)], rows

    def _fit(self, pupils: NDArray[np.float64]) -> None:
        finite = pupils[np.isfinite(pupils)]
        if not len(finite):
            return
        if self._range is None:  # millimetres, or a camera's pixels: the steps follow the size
            step = round_step(float(np.median(np.abs(finite))) / 8 + 1e-6)
            self._range = CalmRange(step, least=2 * step)
        self.set_home(y=self._range.fit(finite))


class _Blinks(PixelItem):
    z = -2.0
    content: tuple[tuple[float, float], ...] = ()  # start and end, seconds from the moment shown

    def draw(self, painter: QPainter) -> None:
        # Mixed beforehand: Qt hands a see-through area to other threads and waits, long on a busy computer.
        shade = QColor(mixed(self.theme.muted, self.theme.surface, 0.28))
        painter.setPen(QPen(QColor(self.theme.muted), 1))
        height, step = self.boundingRect().height(), 0.4 * QFontMetricsF(self.font).height()
        for t0, t1 in self.content:
            left, right = self.x_of(t0), max(self.x_of(t1), self.x_of(t0) + 2.0)
            if right < 0:
                continue
            painter.fillRect(QRectF(left, 0, right - left, height), shade)
            rise = min(right - left, step)  # stripes by hand: a brush's pattern takes a hundred times as long
            heights = [rise + i * step for i in range(max(1, int(height / step)))]
            painter.drawLines(*(QLineF(left, y, right, y - rise) for y in heights))


class _Legend(DrawnAxis):
    reaches_out = True

    def __init__(self) -> None:
        super().__init__("right", room=RIGHT_ROOM)

    def text_width(self) -> float:
        return super().text_width() + 2.0 * self.metrics.height()  # as wide as a colour bar

    def draw(self, painter: QPainter, rect: QRectF) -> None:
        line = self.metrics.height()
        for k, (name, stroke) in enumerate(_STROKES.items()):
            left, top = rect.left() + 0.3 * line, rect.top() + 1.6 * line * k
            painter.setPen(QColor(self.theme.text))
            painter.drawText(QPointF(left, top + self.metrics.ascent()), name)
            painter.setPen(QPen(QColor(_eye_colour(self.theme, name)), 2, stroke))
            painter.drawLine(QPointF(left, top + 1.2 * line), QPointF(left + 2 * line, top + 1.2 * line))


def _eye_colour(theme: Theme, name: str) -> str:
    return theme.category({"left": 1, "right": 0}[name])


def _place(x: float, y: float) -> str:
    return f"x {x:.0f} %, y {y:.0f} %"


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
        late = t - store.frames.newest_time
        if frame is not None:
            self.plot.show_frame(frame.time, frame.jpeg, box)
        elif not notice and math.isnan(late):
            notice = "no frame yet"
        elif not notice:
            notice = f"no frame for {age(late)}" if late > 0 else "no frame at this time"
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
