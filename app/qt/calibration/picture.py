"""A picture, as large as there is room for and never larger than twice its own size."""

from __future__ import annotations

from pathlib import Path

from PyQt6.QtCore import QRectF, QSizeF, Qt
from PyQt6.QtGui import QImage, QImageReader, QPainter, QPaintEvent
from PyQt6.QtWidgets import QSizePolicy, QWidget

_MOST = 2.0


class Picture(QWidget):
    """Shows an image file in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self._image = QImage()
        self.setAccessibleName("Picture")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def show_file(self, path: Path | None) -> str:
        """Show another picture; return why that cannot be done, "" if it can."""
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
        """Draw it."""
        if self._image.isNull():
            return
        own, room = QSizeF(self._image.size()), QSizeF(self.size())
        size = own.scaled(room, Qt.AspectRatioMode.KeepAspectRatio)
        if size.width() > _MOST * own.width():
            size = own * _MOST
        place = QRectF(
            (room.width() - size.width()) / 2,
            (room.height() - size.height()) / 2,
            size.width(),
            size.height(),
        )
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(place, self._image)
