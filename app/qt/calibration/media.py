"""Plays the sound or video of a trial, and knows when it was really heard or seen.

A sound began when the player says it has played ``p`` milliseconds, ``p`` milliseconds ago; the way
through the sound system (some tens of milliseconds with PulseAudio or PipeWire) comes on top and cannot
be known here. A video began when its first frame was handed to the screen, which shows it within a frame.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PyQt6.QtCore import QObject, QUrl
from PyQt6.QtMultimedia import QAudioOutput, QMediaDevices, QMediaPlayer
from PyQt6.QtMultimediaWidgets import QVideoWidget
from PyQt6.QtWidgets import QSizePolicy


class Media(QObject):
    """A player for one stimulus at a time.

    Parameters
    ----------
    clock : callable
        Returns LSL seconds.

    Attributes
    ----------
    began : float or None
        LSL seconds at which it was heard or seen first.
    fault : str
        Why it cannot be played.
    is_over : bool
        True at the end of a file.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self.began: float | None = None
        self.fault = ""
        self.is_over = False
        self._is_video = False
        self.video = QVideoWidget()
        self.video.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.video.setAccessibleName("Video")
        self._player = QMediaPlayer()
        self._output = QAudioOutput()
        self._player.setVideoOutput(self.video)
        if not QMediaDevices.defaultAudioOutput().isNull():
            self._player.setAudioOutput(self._output)
        self._player.positionChanged.connect(self._note_position)
        self._player.errorOccurred.connect(lambda _error, words: self._note_fault(words))
        self._player.mediaStatusChanged.connect(self._note_status)
        if (sink := self.video.videoSink()) is not None:
            sink.videoFrameChanged.connect(lambda frame: self._note_frame(frame.isValid()))

    def load(self, path: Path, *, is_video: bool) -> None:
        """Open a file, so that it can begin at once."""
        self.began, self.fault, self.is_over, self._is_video = None, "", False, is_video
        # A short sound is to fill its time; a video's story is told once, its last frame stays.
        once, for_ever = QMediaPlayer.Loops.Once, QMediaPlayer.Loops.Infinite
        self._player.setLoops(once if is_video else for_ever)
        self._player.setSource(QUrl.fromLocalFile(str(path)))

    def play(self) -> None:
        """Play from the start."""
        self.began = None
        self._player.setPosition(0)
        self._player.play()

    def stop(self) -> None:
        """Fall silent and let go of the file."""
        self._player.stop()
        self._player.setSource(QUrl())

    def _note_position(self, position_ms: int) -> None:
        if not self._is_video and self.began is None and position_ms > 0:
            self.began = self._clock() - position_ms / 1000

    def _note_frame(self, is_valid: bool) -> None:
        if self._is_video and self.began is None and is_valid:
            self.began = self._clock()

    def _note_fault(self, words: str) -> None:
        self.fault = words or "the file cannot be played"

    def _note_status(self, status: QMediaPlayer.MediaStatus) -> None:
        if status == QMediaPlayer.MediaStatus.EndOfMedia:
            self.is_over = True
        elif status == QMediaPlayer.MediaStatus.InvalidMedia and not self.fault:
            self.fault = "the file cannot be played"
