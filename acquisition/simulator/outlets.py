"""The simulated streams as LSL outlets: their headers, and pushing what is due."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.simulator.behaviour import Behaviour
from acquisition.simulator.face import FPS, DrawnFace
from acquisition.simulator.faults import StreamFaults
from acquisition.simulator.source import markers_between, signal_buffer
from acquisition.types import Kind, StreamSpec

MANUFACTURER = "Affectscope simulator (simulated data)"
_BUFFERED_S = 60  # what an outlet keeps for a slow inlet; a minute of EEG is 15 MB
_CATCH_UP_S = 0.25  # pushed at most in one go after a stall, so that no stream starves the others
_AHEAD_S = 0.06  # made before it is due

_TYPES = {"eeg": "EEG", "gaze": "Gaze", "video": "VideoCompressed", "audio": "Audio", "markers": "Markers"}
_GAZE_DESC = {  # label -> (type, eye, coordinate system)
    "gaze_x": ("ScreenX", "both", "screen"),
    "gaze_y": ("ScreenY", "both", "screen"),
    "pupil_left": ("Diameter", "left", ""),
    "pupil_right": ("Diameter", "right", ""),
    "validity": ("Confidence", "both", ""),
}


@dataclass(frozen=True)
class Session:
    """What the outlets of one simulated person share."""

    start: float  # LSL seconds of session time 0
    unix_offset_s: float  # Unix time minus LSL time
    behaviour: Behaviour


class SimulatedOutlet:
    """One stream's outlet and its faults; subclasses make the samples.

    Parameters
    ----------
    spec : StreamSpec
        What it carries.
    faults : StreamFaults
        What goes wrong with it.
    session : Session
        Who is simulated, and since when.
    """

    channel_format = "float32"

    def __init__(self, spec: StreamSpec, faults: StreamFaults, session: Session) -> None:
        self.spec = spec
        self.faults = faults
        self._session = session
        self._outlet: Any = None
        self._name = ""
        self.n_sent = 0  # samples made so far, dropped ones included

    def update(self, t: float) -> str:
        """Open, close or rename the outlet as the faults demand, push what is due at session time ``t``.

        Returns
        -------
        str
            What a user should know, mostly empty.
        """
        told = self._adjust_outlet(t)
        if not self.faults.stalled(t):
            self.push_due(t)
        return told

    def close(self) -> None:
        """Take the outlet off the network."""
        self._outlet = None

    def next_due_s(self) -> float:
        """Return the session time at which it must be looked at again; inf leaves it to the tick."""
        return float("inf")

    def prepare(self) -> None:
        """Make samples before they are due."""

    def push_due(self, t: float) -> None:
        """Push what is due at session time ``t``."""
        raise NotImplementedError

    def describe(self, desc: Any) -> None:
        """Add what this kind of stream says about itself to the header."""

    def count_due(self, t: float) -> int:
        """Return how many samples to make now."""
        n_due = int(np.floor(t * self.spec.sfreq)) + 1 - self.n_sent
        return max(min(n_due, int(np.ceil(_CATCH_UP_S * self.spec.sfreq))), 0)

    def stamp(self, index: int, t: float) -> float:
        """Return the LSL stamp of sample ``index``, taken at session time ``t``, faults included."""
        return self._session.start + t + self.faults.stamp_error_s(t, index, self._session.unix_offset_s)

    def push_signal(self, samples: NDArray[Any]) -> None:
        """Push consecutive samples, (n_samples, n_channels), leaving out those that a fault drops."""
        index = np.arange(self.n_sent, self.n_sent + len(samples))
        self.n_sent += len(samples)
        if self._outlet is None:
            return
        kept = np.flatnonzero(self.faults.kept(index / self.spec.sfreq))
        for run in np.split(kept, np.flatnonzero(np.diff(kept) > 1) + 1):
            if len(run):
                last = int(index[run[-1]])
                stamp = self.stamp(last, last / self.spec.sfreq)
                # The stamp belongs to the run's last sample.
                self._outlet.push_chunk(np.ascontiguousarray(samples[run]), timestamp=stamp)

    def push_text(self, text: str, t: float) -> None:
        """Push one sample of a string stream, taken at session time ``t``."""
        if self._outlet is not None and self.faults.kept(np.array([t])).all():
            self._outlet.push_sample([text], timestamp=self.stamp(self.n_sent, t))
        self.n_sent += 1

    def _adjust_outlet(self, t: float) -> str:
        from pylsl import StreamOutlet

        name = self.spec.name + ("Renamed" if self.faults.renamed(t) else "")
        wanted = "" if self.faults.gone(t) else name
        if wanted == self._name:
            return ""
        before, self._name = self._name, wanted
        self._outlet = None  # the old one goes before the new one comes: they share a source_id
        if not wanted:
            return f"{before} is gone"
        self._outlet = StreamOutlet(self.info(wanted), max_buffered=_BUFFERED_S)
        return f"{wanted}: {self.channel_format}, {len(self.spec.ch_names)} ch, {self.spec.sfreq:g} Hz"

    def info(self, name: str) -> Any:
        """Return the stream's header under ``name``, a ``pylsl.StreamInfo``."""
        from pylsl import StreamInfo

        info = StreamInfo(
            name,
            _TYPES[self.spec.key],
            len(self.spec.ch_names),
            self.spec.sfreq,
            self.channel_format,
            self.spec.source_id,
        )
        info.desc().append_child_value("manufacturer", MANUFACTURER)
        info.desc().append_child_value("simulated", "true")
        self.describe(info.desc())
        return info


class SignalOutlet(SimulatedOutlet):
    """EEG, gaze or audio."""

    def __init__(self, spec: StreamSpec, faults: StreamFaults, session: Session) -> None:
        super().__init__(spec, faults, session)
        self._buffer = signal_buffer(spec.key, session.behaviour)
        self.channel_format = "int16" if spec.kind is Kind.AUDIO else "float32"

    def push_due(self, t: float) -> None:
        """Push the samples up to ``t``."""
        n_due = self.count_due(t)
        if n_due == 0:
            return
        samples = self._buffer.take(n_due)
        if self.spec.kind is Kind.AUDIO:
            self.push_signal(np.round(samples * 32767.0).astype(np.int16))
        else:
            self.push_signal(samples.astype(np.float32))

    def prepare(self) -> None:
        """Make at most one block."""
        self._buffer.fill(int(_AHEAD_S * self.spec.sfreq) + 1)

    def describe(self, desc: Any) -> None:
        """Name the channels."""
        channels = desc.append_child("channels")
        for label, unit in zip(self.spec.ch_names, self.spec.units, strict=True):
            channel = channels.append_child("channel")
            channel.append_child_value("label", label)
            channel.append_child_value("unit", unit)
            if self.spec.kind is Kind.GAZE:
                type_, eye, system = _GAZE_DESC[label]
                channel.append_child_value("type", type_)
                channel.append_child_value("eye", eye)
                channel.append_child_value("coordinate_system", system)
            else:
                channel.append_child_value("type", _TYPES[self.spec.key])


class VideoOutlet(SimulatedOutlet):
    """JPEG frames as base64 text, stamped with the moment they show."""

    channel_format = "string"

    def __init__(self, spec: StreamSpec, faults: StreamFaults, session: Session) -> None:
        super().__init__(spec, faults, session)
        self._face = DrawnFace(session.behaviour)
        self._ready: str | None = None  # the next frame

    def push_due(self, t: float) -> None:
        """Push the frames up to ``t``."""
        for _ in range(self.count_due(t)):
            self.prepare()
            self.push_text(self._ready or "", self.next_due_s())
            self._ready = None

    def prepare(self) -> None:
        """Draw the next frame."""
        if self._ready is None:
            self._ready = base64.b64encode(self._face.jpeg(self.next_due_s())).decode("ascii")

    def next_due_s(self) -> float:
        """Return the next frame's time."""
        return self.n_sent / FPS

    def describe(self, desc: Any) -> None:
        """Name the codec and the size."""
        encoding = desc.append_child("encoding")
        encoding.append_child_value("codec", "jpeg")
        encoding.append_child_value("transfer", "base64")
        encoding.append_child_value("width", str(self._face.width))
        encoding.append_child_value("height", str(self._face.height))
        desc.append_child("synchronization").append_child_value("can_drop_samples", "true")


class MarkerOutlet(SimulatedOutlet):
    """The emotions' onsets."""

    channel_format = "string"

    def __init__(self, spec: StreamSpec, faults: StreamFaults, session: Session) -> None:
        super().__init__(spec, faults, session)
        self._timeline = session.behaviour.timeline
        self._told_to = 0.0

    def push_due(self, t: float) -> None:
        """Push the markers before ``t``."""
        if t <= self._told_to:
            return
        for onset, text in markers_between(self._timeline, self._told_to, t):
            self.push_text(text, onset)
        self._told_to = t


OUTLET_CLASSES: dict[str, type[SignalOutlet] | type[VideoOutlet] | type[MarkerOutlet]] = {
    "eeg": SignalOutlet,
    "gaze": SignalOutlet,
    "audio": SignalOutlet,
    "video": VideoOutlet,
    "markers": MarkerOutlet,
}
