"""Everything the window may show, filled by the engine's messages; bounded, without Qt.

One store serves one engine; a new engine gets a new store.
"""

import math
import sys
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from acquisition.types import MODALITIES, Change, Kind, Offer, StreamEvent, StreamHeader
from app.engine import messages
from app.summary import SessionLog
from app.telemetry import Failure, StreamState, state_after
from app.view.history import BinnedHistory, FrameHistory, SampleHistory, TimedHistory
from calibration.types import SessionView
from models.prediction import Prediction

_N_EVENTS = 500
#: Data this much older than the newest of their kind mean that a replay was sought back.
_JUMP_S = 1.0
#: A running engine tells its figures twice a second; silent for longer, it hangs or is suspended.
_SILENT_AFTER_S = 3.0

_SEVERITIES = {Change.STALE: "warning", Change.WARNING: "warning", Change.REFUSED: "bad"}
_BEST_FIRST = ("open", "stale", "ended", "refused")


class ViewStore:
    """The last ten minutes of signals, predictions and figures, up to where a replay stands.

    The session keeps ``silent_s`` up to date: the seconds since the engine's last message.
    """

    def __init__(self) -> None:
        self.mode = ""
        self.model: messages.ModelInfo | None = None
        self.timeline: messages.Timeline | None = None
        self.phase = messages.Phase("loading")
        self.is_simulated = False
        self.real_streams: tuple[str, ...] = ()  # where others are simulated
        self.headers: tuple[StreamHeader, ...] = ()  # of the streams in use
        self.silent_s = 0.0
        self.streams: dict[str, StreamState] = {}
        self.eeg = BinnedHistory()
        self.voice = BinnedHistory()
        self.gaze = SampleHistory(n_columns=5)
        self.pupil_unit = ""
        self.log_mel = SampleHistory(np.float16)
        self.spectrogram = SampleHistory()
        self.spectrogram_ch = ""
        self.spectrogram_freqs: NDArray[np.float32] = np.empty(0, np.float32)
        self.frames = FrameHistory()
        self.markers: TimedHistory[messages.Mark] = TimedHistory(lambda marker: marker.time)
        self.predictions: TimedHistory[Prediction] = TimedHistory(lambda prediction: prediction.t_end)
        self.quality: TimedHistory[messages.QualityPart] = TimedHistory(lambda part: part.time)
        self.health: messages.HealthPart | None = None
        self.occlusion: messages.Occlusion | None = None
        self.calibration: SessionView | None = None  # where a guided calibration stands
        self.log = SessionLog()  # for the summary, from the session's start on
        #: Time, text, severity (info, warning or bad) in order of arrival; failures are among them.
        self.events: deque[tuple[float, str, str]] = deque(maxlen=_N_EVENTS)
        self.failures: deque[Failure] = deque(maxlen=_N_EVENTS)

    @property
    def newest_time(self) -> float:
        """The newest time of any signal, LSL seconds; NaN before the first."""
        return _latest(signal.newest_time for signal in self._signals)

    @property
    def oldest_time(self) -> float:
        """The oldest moment of any signal that is still kept, LSL seconds; NaN before the first."""
        return -_latest(-signal.oldest_time for signal in self._signals)

    @property
    def last_known_time(self) -> float:
        """The newest time of any signal or figure, LSL seconds; NaN before the first."""
        return _latest((self.newest_time, self.health.time if self.health is not None else math.nan))

    @property
    def offers(self) -> tuple[Offer, ...]:
        """Streams on the network that could join the session."""
        return self.health.offers if self.health is not None and self.phase.name == "running" else ()

    @property
    def recording(self) -> messages.RecordingInfo | None:
        """The recording of this session, also when it has stopped or failed."""
        return self.health.recording if self.health is not None else None

    @property
    def modalities(self) -> Sequence[str]:
        """Those that the model reads; all before it is known."""
        return self.model.modalities if self.model is not None else MODALITIES

    @property
    def is_live(self) -> bool:
        """True while a live session acquires and decodes."""
        return self.mode == "live" and self.phase.name == "running"

    @property
    def is_over(self) -> bool:
        return self.phase.name in ("failed", "ended")

    @property
    def is_silent(self) -> bool:
        """True where the engine has been silent for too long: everything here is out of date."""
        return self.phase.name in ("running", "paused") and self.silent_s > _SILENT_AFTER_S

    def stream_of(self, kind: Kind) -> StreamState | None:
        """Return the stream of a kind, the one in the best state where there are several."""
        states = [state for state in self.streams.values() if state.spec.kind is kind]
        return min(states, key=lambda state: _BEST_FIRST.index(state.state), default=None)

    @property
    def shown_only(self) -> StreamState | None:
        """Return a stream of numbers that is shown and not decoded, None without one."""
        return next((state for state in self.streams.values() if state.spec.is_shown_only), None)

    @property
    def _signals(self) -> tuple[BinnedHistory, BinnedHistory, SampleHistory, FrameHistory]:
        return self.eeg, self.voice, self.gaze, self.frames

    def take(self, message: object) -> None:
        """Take one message; unknown ones are ignored."""
        self.log.take(message)
        match message:
            case messages.Opened():
                self.mode, self.model, self.timeline = message.mode, message.model, message.timeline
                self.is_simulated, self.real_streams = message.is_simulated, message.real_streams
                self.headers = message.headers
            case messages.Phase():
                self.phase = message
                if message.name == "failed":
                    why = message.message or "the session failed"
                    self.events.append((self.last_known_time, why, "bad"))
            case StreamEvent():
                self._take_event(message)
            case Failure():
                self.failures.append(message)
                self.events.append((message.time, f"{message.stage}: {message.error}", "bad"))
            case Prediction():
                self.predictions.cut_after(math.nextafter(message.t_end, -math.inf))
                # Names that came with each message are kept once.
                channels = {sys.intern(name): share for name, share in message.channel_attention.items()}
                names = tuple(map(sys.intern, message.band_ch_names))
                self.predictions.add(replace(message, channel_attention=channels, band_ch_names=names))
            case messages.QualityPart():
                self.quality.cut_after(math.nextafter(message.time, -math.inf))
                self.quality.add(message)
            case messages.HealthPart():
                self.health = message
            case messages.Occlusion():
                self.occlusion = message
            case SessionView():
                self.calibration = message
            case _:
                self._take_signal(message)

    def _take_event(self, event: StreamEvent) -> None:
        if event.message:
            self.events.append((event.time, event.message, _SEVERITIES.get(event.change, "info")))
        state = state_after(event, self.streams.get(event.stream))
        if state is not None:
            self.streams[event.stream] = state

    def _take_signal(self, part: object) -> None:
        match part:
            case messages.EegPart():
                if len(part.bins) and part.look == self.eeg.look:
                    self._notice_jump(float(part.bins[0]) * part.bin_s, self.eeg.newest_time)
                of_eeg = part.ch_names, part.unit, part.bin_s, part.look
                self.eeg.put(part.bins, part.low, part.high, *of_eeg)
            case messages.VoicePart():
                if len(part.bins):
                    self._notice_jump(float(part.bins[0]) * part.bin_s, self.voice.newest_time)
                rms_db, peak_db = part.rms_db[:, None], part.peak_db[:, None]
                self.voice.put(part.bins, rms_db, peak_db, ("voice",), "dB", part.bin_s)
            case messages.GazePart():
                if len(part.times):
                    self._notice_jump(float(part.times[0]), self.gaze.newest_time)
                self.pupil_unit = part.pupil_unit
                self.gaze.append(part.times, np.column_stack([part.xy, part.pupil, part.validity]))
            case messages.FramePart():
                self._notice_jump(part.time, self.frames.newest_time)
                self.frames.add(part)
            case messages.LogMelPart():
                self.log_mel.append(part.times, part.values)
            case messages.SpectrogramPart():
                if part.restarts or part.ch_name != self.spectrogram_ch:
                    self.spectrogram.clear()
                self.spectrogram_ch, self.spectrogram_freqs = part.ch_name, part.freqs
                self.spectrogram.append(part.times, part.power_db)
            case messages.Mark():
                self.markers.add(part)

    def _notice_jump(self, t: float, newest: float) -> None:
        """Void all signals after ``t`` where it lies well before the newest of its kind (NaN compares False).

        All of them, since a stream of the recording may have ended before the moment sought. Predictions and
        quality stay until there are new ones: signals begin half a minute before the moment sought, and
        predictions of that half minute still apply.
        """
        if t < newest - _JUMP_S:
            signals = (self.eeg, self.voice, self.gaze, self.log_mel, self.spectrogram)
            for history in (*signals, self.frames, self.markers):
                history.cut_after(t)


def _latest(times: Iterable[float]) -> float:
    """Return the latest time that is known, NaN without any."""
    return max((t for t in times if not math.isnan(t)), default=math.nan)
