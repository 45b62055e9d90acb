"""Whether this computer can play sound and video, and the tone that ends a rest with closed eyes.

QtMultimedia is loaded here alone, since it needs libraries that a computer may lack.
"""

from __future__ import annotations

import math
import os
import struct
from functools import cache
from importlib import import_module

from PyQt6.QtCore import QBuffer, QByteArray, QIODevice, QLoggingCategory

from acquisition.errors import InputError
from calibration.types import Check

#: What QtMultimedia needs of a bare Debian beside what the window needs.
LIBRARIES = "libpulse0 libxrandr2"
_SAMPLE_RATE = 44100
_TONE_HZ = 660.0
_TONE_S = 0.9
_RAMP_S = 0.05  # or it would click
_LEVEL = 0.35  # of full scale


@cache
def multimedia_fault() -> str:
    """Return why nothing can be played here, "" if QtMultimedia loads."""
    os.environ.setdefault("PIPEWIRE_DEBUG", "0")
    QLoggingCategory.setFilterRules("qt.multimedia*.info=false\nqt.multimedia*.warning=false")
    try:
        for name in ("PyQt6.QtMultimedia", "PyQt6.QtMultimediaWidgets"):
            import_module(name)
    except ImportError as error:
        return str(error)
    return ""


def has_sound() -> bool:
    """Tell whether there is a sound output."""
    if multimedia_fault():
        return False
    from PyQt6.QtMultimedia import QMediaDevices

    return not QMediaDevices.defaultAudioOutput().isNull()


def sound_check(is_needed: bool) -> Check:
    """Return the pre-flight's check of the sound output.

    Parameters
    ----------
    is_needed : bool
        Whether a stimulus of the plan is a sound or a video.
    """
    if fault := multimedia_fault():
        return Check("Sound output", "yellow", f"cannot be used: {fault}", f"apt-get install {LIBRARIES}")
    if has_sound():
        from PyQt6.QtMultimedia import QMediaDevices

        return Check("Sound output", "green", QMediaDevices.defaultAudioOutput().description())
    remedy = "connect loudspeakers or headphones, and choose them in the system's settings"
    missed = "the sounds of this protocol and the tone" if is_needed else "the tone"
    finding = f"none was found: {missed} that ends the rest with closed eyes will not be heard"
    return Check("Sound output", "yellow", finding, remedy)


def require_multimedia(kinds: set[str]) -> None:
    """Make sure that stimuli of these kinds can be played.

    Raises
    ------
    InputError
        If there is a sound or a video among them and QtMultimedia does not load.
    """
    playing = sorted(kinds & {"sound", "video"})
    if playing and (fault := multimedia_fault()):
        raise InputError(
            f"cannot play {' or '.join(playing)}: {' '.join(fault.split())}",
            where="stimuli of the plan",
            remedy=f"apt-get install {LIBRARIES}; or use text and images",
        )


def tone_samples() -> bytes:
    """Return the tone as 16-bit samples of one channel, `_SAMPLE_RATE` a second."""
    n = round(_TONE_S * _SAMPLE_RATE)
    values = []
    for i in range(n):
        t = i / _SAMPLE_RATE
        ramp = min(1.0, t / _RAMP_S, (_TONE_S - t) / _RAMP_S)
        values.append(round(32767 * _LEVEL * ramp * math.sin(2 * math.pi * _TONE_HZ * t)))
    return struct.pack(f"<{n}h", *values)


class Tone:
    """The tone; without a sound output it is silent, which the pre-flight has said."""

    def __init__(self) -> None:
        self._sink: object | None = None
        self._samples = QBuffer()
        self._samples.setData(QByteArray(tone_samples()))
        self.n_played = 0

    def play(self) -> None:
        """Play it from its start; returns at once."""
        self.n_played += 1
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
