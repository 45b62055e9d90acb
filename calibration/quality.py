"""The quality of the signals, now and in each trial, and why a trial is rejected.

The rules are our choice: a modality is usable in a trial if it covers at least half of the stimulus and its
electrodes, gaze or faces are not bad by the limits of `acquisition.quality`. Where EEG is used, a trial
without usable EEG is rejected; elsewhere, a trial without any usable modality.
"""

import itertools
import math
import threading
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from acquisition.quality import (
    BAD,
    BAD_ELECTRODES,
    FACE_FOUND,
    FULL_SCALE,
    GAZE_VALID,
    LEAST_SFREQ,
    LOST_ELECTRODE,
    MIN_COVERAGE,
    MIN_VALIDITY,
    QUIET_DB,
    ChannelQuality,
    QualityMeter,
    decibel,
)
from acquisition.stream_words import DEVICES
from acquisition.text import percent
from acquisition.types import (
    KIND_OF_MODALITY,
    MODALITIES,
    MODALITY_OF_KIND,
    Change,
    Chunk,
    Kind,
    StreamEvent,
    StreamSpec,
)


@dataclass(frozen=True)
class TrialQuality:
    """The quality of the four streams during one stimulus; NaN where nothing was measured."""

    trial: int
    n_seconds: int  # whole LSL seconds inside the stimulus
    #: By modality: share of quarter seconds with data.
    coverage: Mapping[str, float] = field(default_factory=dict)
    ch_names: tuple[str, ...] = ()
    bad_share: tuple[float, ...] = ()  # by electrode: share of the assessed seconds in which it was bad
    reasons: tuple[str, ...] = ()  # by electrode: the most frequent one of those; empty where never bad
    gaze_valid: float = math.nan  # share of samples
    face_found: float = math.nan  # share of the frames looked at, one a second
    voice_rms_db: float = math.nan  # relative to full scale
    voice_peak_db: float = math.nan
    voice_clipped: float = math.nan  # share of seconds with samples at full scale

    @property
    def lost_electrodes(self) -> tuple[str, ...]:
        """Electrodes that were bad for more than half of the trial."""
        return tuple(
            name for name, bad in zip(self.ch_names, self.bad_share, strict=True) if bad > LOST_ELECTRODE
        )


def modality_fault(quality: TrialQuality, modality: str) -> str:
    """Return why a modality is not usable in a trial, in a clause with its figures; empty if it is."""
    name = DEVICES[KIND_OF_MODALITY[modality]].name
    covered = quality.coverage.get(modality, 0.0)
    if covered < MIN_COVERAGE:
        return f"{name}: data for only {percent(covered)} of the stimulus"
    if modality == "eeg" and quality.ch_names:
        lost = quality.lost_electrodes
        if len(lost) > BAD_ELECTRODES.bad * len(quality.ch_names):
            by_name = zip(quality.ch_names, quality.reasons, strict=True)
            reasons = [reason for ch_name, reason in by_name if ch_name in lost and reason]
            mostly = f", mostly {max(sorted(set(reasons)), key=reasons.count)}" if reasons else ""
            n_all = len(quality.ch_names)
            return f"{name}: {len(lost)} of {n_all} electrodes bad for more than half of the trial{mostly}"
    if modality == "eye" and quality.gaze_valid < GAZE_VALID.bad:
        return f"{name}: gaze valid in only {percent(quality.gaze_valid)} of the samples"
    if modality == "face" and quality.face_found < FACE_FOUND.bad:
        return f"{name}: face found in only {percent(quality.face_found)} of the frames"
    return ""


def usable_modalities(quality: TrialQuality, modalities: Collection[str] = MODALITIES) -> tuple[str, ...]:
    """Return which of the session's modalities are usable in the trial, in the network's order."""
    return tuple(m for m in MODALITIES if m in modalities and not modality_fault(quality, m))


def rejection(quality: TrialQuality, modalities: Collection[str] = MODALITIES) -> str:
    """Return why a trial is excluded from the model; empty if it is kept.

    ``modalities`` are those that the session uses: with consent and a stream.
    """
    if "eeg" in modalities:
        return modality_fault(quality, "eeg")
    if usable_modalities(quality, modalities):
        return ""
    faults = [modality_fault(quality, m) for m in MODALITIES if m in modalities]
    return "; ".join(["no usable modality", *faults])


def remarks(quality: TrialQuality, modalities: Collection[str] = MODALITIES) -> tuple[str, ...]:
    """Return everything worth knowing of a kept or rejected trial, each in a clause."""
    found = [fault for m in MODALITIES if m in modalities and (fault := modality_fault(quality, m))]
    if "voice" in modalities:
        name = DEVICES[Kind.AUDIO].name
        if quality.voice_clipped > 0:
            found.append(f"{name}: clipped in {percent(quality.voice_clipped)} of the seconds")
        if quality.voice_rms_db < QUIET_DB:
            found.append(f"{name}: silent ({quality.voice_rms_db:.0f} dB)")
    return tuple(found)


@dataclass(frozen=True)
class Measured:
    """The quality of the signals in their newest seconds; None where nothing was measured yet."""

    electrodes: Sequence[ChannelQuality] = ()
    gaze_valid: float | None = None  # share of samples, 0..1
    face_found: float | None = None  # share of the frames looked at
    voice_clipped: float | None = None  # share of samples at full scale
    voice_db: float | None = None  # RMS re full scale; -inf for digital silence


#: Seconds that the signal checks look back.
NEWEST_S = 10
#: Seconds that are kept of a stream: four hours, some 10 MB with 62 electrodes.
MOST_SECONDS = 14_400

_QUARTERS = 4  # of a second; coverage counts those with a sample


@dataclass(frozen=True)
class _Second:
    """One second of one stream."""

    second: int  # it begins at this LSL time
    quarters: int  # how many of its quarters hold a sample
    figures: Any  # as the stream's kind needs them; None where nothing can be said


#: Returns the figures of one second of a stream from its begin, its data, and the samples after a gap.
_Judge = Callable[[int, Any, tuple[int, ...]], Any]


class _Sound(NamedTuple):
    n: int  # samples
    n_finite: int
    n_clipped: int
    energy: float  # sum of squares, of full scale
    peak: float


class QualityLog:
    """Watches the streams of a session; ask it about any trial afterwards.

    ``line_hz`` is the mains frequency, 50 or 60; otherwise the stronger of both. ``finds_face`` tells whether
    a frame (JPEG bytes or BGR image) holds a face: by default the decoder's own finder, asked once a second
    (5 to 10 ms).

    Notes
    -----
    `on_event` and `on_chunk` come from one thread, `of_trial` may come from another.
    """

    def __init__(
        self, *, line_hz: float | None = None, finds_face: Callable[[Any], bool] | None = None
    ) -> None:
        self._line_hz, self._finds_face = line_hz, finds_face
        self._streams: dict[str, _Stream] = {}
        self._lock = threading.Lock()

    def on_event(self, event: StreamEvent) -> None:
        """Take a change of a stream's state, before the stream's first chunk."""
        spec = event.spec
        if event.change is not Change.OPENED or spec is None or spec.kind not in MODALITY_OF_KIND:
            return
        with self._lock:
            past = self._streams[event.stream].seconds if event.stream in self._streams else None
            self._streams[event.stream] = _Stream(spec, self._judge(spec), past)

    def on_chunk(self, chunk: Chunk) -> None:
        """Take a chunk of any stream; those of no modality are ignored."""
        stream = self._streams.get(chunk.stream)
        if stream is not None:
            with self._lock:
                stream.push(chunk)

    def finish(self) -> None:
        """Count the seconds that are under way, too: nothing more will come."""
        with self._lock:
            for stream in self._streams.values():
                stream.close()

    def newest(self) -> Measured:
        """Return the quality of the newest ten seconds of each stream."""
        found: dict[Kind, list[Any]] = {}
        electrodes: Sequence[ChannelQuality] = ()
        with self._lock:
            for stream in self._streams.values():
                last = list(itertools.islice(reversed(stream.seconds), NEWEST_S))
                kept = [s.figures for s in last if s.second > last[0].second - NEWEST_S]
                found.setdefault(stream.kind, []).extend(one for one in kept if one is not None)
                if isinstance(stream.judge, _Electrodes):
                    electrodes = stream.judge.channels
        gaze, faces = found.get(Kind.GAZE, []), found.get(Kind.VIDEO, [])
        sound: list[_Sound] = found.get(Kind.AUDIO, [])
        n, energy = sum(one.n for one in sound), sum(one.energy for one in sound)
        return Measured(
            electrodes,
            gaze_valid=sum(valid for valid, _ in gaze) / sum(n for _, n in gaze) if gaze else None,
            face_found=sum(faces) / len(faces) if faces else None,
            voice_clipped=sum(one.n_clipped for one in sound) / n if n else None,
            voice_db=None if not n else 10 * math.log10(energy / n) if energy > 0 else -math.inf,
        )

    def of_trial(self, number: int, begin: float, end: float) -> TrialQuality:
        """Return the quality of the whole LSL seconds between a stimulus's onset and its offset.

        Ask a second after the offset at the earliest: what has not come yet counts as missing.
        """
        first, last = math.ceil(begin), math.floor(end)
        n_seconds = max(0, last - first)
        found: dict[Kind, list[_Second]] = {}
        with self._lock:
            for stream in self._streams.values():
                inside = [second for second in stream.seconds if first <= second.second < last]
                found.setdefault(stream.kind, []).extend(inside)
        n_quarters = _QUARTERS * max(1, n_seconds)
        coverage = {
            MODALITY_OF_KIND[kind]: min(1.0, sum(s.quarters for s in seconds) / n_quarters)
            for kind, seconds in found.items()
        }
        figures = {kind: [s.figures for s in part if s.figures is not None] for kind, part in found.items()}
        ch_names, bad_share, reasons = _electrodes(figures.get(Kind.EEG, []))
        rms, peak, clipped = _sound(figures.get(Kind.AUDIO, []))
        gaze = figures.get(Kind.GAZE, [])
        return TrialQuality(
            trial=number,
            n_seconds=n_seconds,
            coverage=coverage,
            ch_names=ch_names,
            bad_share=bad_share,
            reasons=reasons,
            gaze_valid=_ratio(sum(valid for valid, _ in gaze), sum(n for _, n in gaze)),
            face_found=_ratio(sum(figures.get(Kind.VIDEO, [])), len(figures.get(Kind.VIDEO, []))),
            voice_rms_db=rms,
            voice_peak_db=peak,
            voice_clipped=clipped,
        )

    def _judge(self, spec: StreamSpec) -> _Judge:
        if spec.kind is Kind.EEG:
            return _Electrodes(spec, self._line_hz)
        if spec.kind is Kind.GAZE:
            validity = spec.ch_names.index("validity")
            return lambda second, data, breaks: (int((data[:, validity] >= MIN_VALIDITY).sum()), len(data))
        if spec.kind is Kind.AUDIO:
            return _judge_sound
        finds_face = self._finds_face = self._finds_face or _face_test()
        return lambda second, data, breaks: finds_face(data[0])  # the second's first frame


class _Stream:
    """Cuts one stream into whole seconds."""

    def __init__(self, spec: StreamSpec, judge: _Judge, past: deque[_Second] | None) -> None:
        self.kind = spec.kind
        self.seconds: deque[_Second] = deque(maxlen=MOST_SECONDS) if past is None else past
        self.judge = judge
        self._second: int | None = None  # under way
        self._times: list[NDArray[np.float64]] = []
        self._data: list[Any] = []
        self._breaks: list[int] = []
        self._n = 0

    def push(self, chunk: Chunk) -> None:
        start = 0
        while start < len(chunk.times):
            second = math.floor(chunk.times[start])
            if second != self._second:
                self.close()
                self._second = second
            beyond = np.flatnonzero(np.floor(chunk.times[start:]) != second)
            stop = start + int(beyond[0]) if len(beyond) else len(chunk.times)
            # Frames are large, and one a second is looked at.
            kept = stop if self.kind is not Kind.VIDEO else start if self._times else start + 1
            if kept > start:
                self._breaks += [self._n + at - start for at in chunk.breaks if start <= at < kept]
                self._times.append(chunk.times[start:kept])
                self._data.append(chunk.data[start:kept])
                self._n += kept - start
            start = stop

    def close(self) -> None:
        if self._second is None:
            return
        times = np.concatenate(self._times)
        if self.kind is Kind.VIDEO:
            data, quarters = self._data[0], _QUARTERS  # one frame is all that a second needs
        else:
            data = np.concatenate(self._data)
            quarters = len(np.unique(np.floor((times - self._second) * _QUARTERS)))
        figures = self.judge(self._second, data, tuple(self._breaks))
        self.seconds.append(_Second(self._second, quarters, figures))
        self._second, self._n = None, 0
        self._times, self._data, self._breaks = [], [], []


class _Electrodes:
    """Which electrodes were bad as of a second's end, by the rules and delays of `QualityMeter`."""

    def __init__(self, spec: StreamSpec, line_hz: float | None) -> None:
        self._ch_names = spec.ch_names
        self._sfreq = spec.sfreq
        self._line_hz = line_hz
        self.channels: tuple[ChannelQuality, ...] = ()  # as of the newest second
        self._meter: QualityMeter | None = None
        self._is_first = True

    def __call__(self, second: int, data: NDArray[np.floating], breaks: tuple[int, ...]) -> Any:
        """Return names, whether bad, and why, each (C,); None before there is a second of data."""
        if self._meter is None:
            # A stream that states no rate has that of its second second: the first is seldom whole.
            is_first, self._is_first = self._is_first, False
            sfreq = self._sfreq if self._sfreq > 0 else 0.0 if is_first else float(len(data))
            if sfreq < LEAST_SFREQ:
                return None
            self._meter = QualityMeter(self._ch_names, sfreq, self._line_hz)
        self._meter.push(data, breaks)
        self.channels = self._meter.assess(second + 1.0)
        if not self.channels:
            return None
        is_bad = np.array([channel.state == BAD for channel in self.channels])
        return self._ch_names, is_bad, tuple(c.cause if c.state == BAD else "" for c in self.channels)


def _judge_sound(second: int, data: NDArray[np.floating], breaks: tuple[int, ...]) -> _Sound:
    wave = np.asarray(data[:, 0], dtype=np.float64)
    finite = wave[np.isfinite(wave)]
    levels = np.abs(finite)
    n_clipped = int((levels >= FULL_SCALE).sum())
    energy, peak = float((finite**2).sum()), float(levels.max(initial=0.0))
    return _Sound(len(wave), len(finite), n_clipped, energy, peak)


def _face_test() -> Callable[[Any], bool]:
    from models.features.face import FaceFinder, decode_frame  # torch: not before it is needed

    finder = FaceFinder()

    def finds_face(frame: Any) -> bool:
        image = decode_frame(frame)
        return image is not None and finder.find(image) is not None

    return finds_face


# --- figures of a trial from its seconds ---


def _electrodes(rows: list[Any]) -> tuple[tuple[str, ...], tuple[float, ...], tuple[str, ...]]:
    if not rows:
        return (), (), ()
    ch_names = rows[-1][0]
    rows = [row for row in rows if row[0] == ch_names]  # a stream may come back with others
    share = np.mean([row[1] for row in rows], axis=0)
    reasons = []
    for at in range(len(ch_names)):
        causes = Counter(row[2][at] for row in rows if row[2][at])
        reasons.append(max(sorted(causes), key=causes.__getitem__) if causes else "")
    return ch_names, tuple(share.tolist()), tuple(reasons)


def _sound(seconds: list[_Sound]) -> tuple[float, float, float]:
    """Return rms and peak in dB of full scale, and the share of seconds with clipped samples."""
    seconds = [one for one in seconds if one.n_finite]
    if not seconds:
        return math.nan, math.nan, math.nan
    rms = math.sqrt(sum(one.energy / one.n_finite for one in seconds) / len(seconds))
    clipped = sum(one.n_clipped > 0 for one in seconds) / len(seconds)
    return decibel(rms), decibel(max(one.peak for one in seconds)), clipped


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
