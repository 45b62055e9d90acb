"""Streams for display: filtered and binned EEG, its spectrogram, JPEG frames, level and log-mel of voice."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.clock_fit import agrees
from acquisition.quality import MOST_UV, decibel
from acquisition.ring import Ring
from acquisition.text import counted
from acquisition.types import Chunk
from app.engine.filters import BUTTERWORTH, Section
from app.engine.messages import EegLook, EegPart, FramePart, LogMelPart, SpectrogramPart, VoicePart
from models.features.config import FeatureConfig
from models.features.eeg import eeg_spectrogram
from models.features.face import decode_frame, jpeg_size
from models.features.log_mel import FRAME, HOP, log_mel, n_log_mel_frames, resample, resample_ratio

#: Rounding of timestamps at a bin's edge, in bins.
_EDGE = 1e-6


class BinSplitter:
    """Cuts a stream into whole bins of ``bin_s`` seconds; samples of an incomplete bin are held back."""

    def __init__(self, bin_s: float) -> None:
        self.bin_s = bin_s
        self._open: list[Piece] = []

    def split(self, piece: Piece) -> tuple[Piece, NDArray[np.int64], NDArray[np.intp]] | None:
        """Add samples; return those of whole bins, their bins (n,), and where each bin starts (n,)."""
        piece = joined([*self._open, piece])
        bins = np.floor(piece.times / self.bin_s + _EDGE).astype(np.int64)
        changes = np.flatnonzero(np.diff(bins)) + 1
        end = int(changes[-1]) if len(changes) else 0
        self._open = [piece.part(end, len(bins))]
        if end == 0:
            return None
        starts = np.concatenate([[0], changes[:-1]]).astype(np.intp)
        return piece.part(0, end), bins[starts], starts


_RATE_OVER_S = 1.0  # of samples without a gap, to measure a rate ...
_RATE_OVER_N = 3.0  # ... or so many where the stated rate is below 20 Hz
_PATIENCE_S = 10.0  # after which any estimate is used


@dataclass(frozen=True, eq=False)
class Piece:
    """Consecutive samples; ``breaks`` lists positions of samples that do not continue the one before."""

    data: NDArray[np.floating]  # (n, C)
    times: NDArray[np.float64]  # (n,)
    breaks: tuple[int, ...] = ()

    def runs(self) -> Iterator[tuple[bool, Piece]]:
        """Give the parts without a break inside, each with whether it begins with one."""
        edges = sorted({0, *self.breaks, len(self.times)})
        for start, stop in pairwise(edges):
            yield start in self.breaks, self.part(start, stop)

    def part(self, start: int, stop: int) -> Piece:
        """Return samples start..stop-1."""
        breaks = tuple(at - start for at in self.breaks if start <= at < stop)
        return Piece(self.data[start:stop], self.times[start:stop], breaks)


def joined(parts: Sequence[Chunk | Piece]) -> Piece:
    """Return the samples of consecutive chunks or pieces of one signal stream."""
    breaks: list[int] = []
    n = 0
    for part in parts:
        breaks += [n + at for at in part.breaks]
        n += len(part.times)
    if len(parts) == 1:
        return Piece(np.asarray(parts[0].data), parts[0].times, tuple(breaks))
    data: list[Any] = [part.data for part in parts]
    return Piece(np.concatenate(data), np.concatenate([part.times for part in parts]), tuple(breaks))


class RateGate:
    """Holds samples back until the stream's rate, which the filters need, is known.

    The ``nominal`` rate (Hz, 0 if the stream states none) is used only where the measured one agrees.
    """

    def __init__(self, nominal: float) -> None:
        self.sfreq = 0.0  # Hz, once known
        self._nominal = nominal
        self._held: list[Piece] = []

    def pass_on(self, piece: Piece) -> Piece | None:
        """Return the samples, with those held back before them; None while the rate is not known."""
        if self.sfreq > 0:
            return piece
        piece = joined([*self._held, piece])
        self.sfreq = self._measure(piece)
        self._held = [] if self.sfreq > 0 else [piece]
        return piece if self.sfreq > 0 else None

    def _measure(self, piece: Piece) -> float:
        for _, run in piece.runs():
            # The first sample that is far enough, not the newest: the result must not depend on chunk sizes.
            over_s = _RATE_OVER_N / self._nominal if 0 < self._nominal < 20 else _RATE_OVER_S
            n = int(np.searchsorted(run.times, run.times[0] + over_s))
            if n < len(run.times) and n > 1:
                measured = n / float(run.times[n] - run.times[0])
                return self._nominal if agrees(measured, self._nominal) else measured
        span = float(piece.times[-1] - piece.times[0])
        if span > _PATIENCE_S:  # too many gaps
            return self._nominal or len(piece.times) / span
        return 0.0


_NOTCH_Q = 25.0  # 2 Hz wide at 50
_MOST_OF_NYQUIST = 0.9  # what a filter can be set to
BIN_S = 1 / 125  # ten seconds are then 1250 columns, about one a pixel
_MAX_FILL_S = 0.1  # longest hole between timestamps of a stream without a break


class EegDisplay:
    """Filters and bins one EEG stream as ``look`` says; below 125 Hz a bin is one sample.

    The filters are causal (Butterworth, order 2 and 4, and a second-order notch): a zero-phase one would
    redraw its last second with every sample. So nothing that is drawn changes when the view scrolls or is
    paused; slow waves come a little late. What the rate cannot show is not filtered, and not in the words.
    """

    def __init__(
        self, ch_names: tuple[str, ...], unit: str, sfreq: float, look: EegLook | None = None
    ) -> None:
        self._ch_names, self._unit = ch_names, unit
        look, limit_hz = look or EegLook(), _MOST_OF_NYQUIST * sfreq / 2
        self._splitter = BinSplitter(max(BIN_S, 1 / sfreq))
        # At most a tenth of the rate, which keeps the filter of a very slow stream valid.
        highpass_hz = min(look.highpass_hz, sfreq / 10)
        self._sections = [Section("highpass", highpass_hz, q, sfreq) for q in BUTTERWORTH[2]]
        self.words = f"from {highpass_hz:g} Hz"
        if 0 < look.lowpass_hz < limit_hz:
            self._sections += [Section("lowpass", look.lowpass_hz, q, sfreq) for q in BUTTERWORTH[4]]
            self.words = f"{highpass_hz:g}-{look.lowpass_hz:g} Hz"
        if 0 < look.notch_hz < limit_hz:
            self._sections.append(Section("notch", look.notch_hz, _NOTCH_Q, sfreq))
            self.words += f", notch {look.notch_hz:g}"
        self._averaged = np.array([look.is_average and name not in look.excluded for name in ch_names])
        if look.is_average:
            self.words += f", average of {counted(int(self._averaged.sum()), 'channel')}"
        self._has_begun = False
        self._last_finite = np.zeros(len(ch_names))
        self._last: tuple[int, NDArray[np.float64]] | None = None  # bin and value of the sample before

    def push(self, piece: Piece) -> EegPart | None:
        """Add samples (n, C) in µV; return the bins they complete."""
        filtered = np.concatenate([self._filter(run.data, begins) for begins, run in piece.runs()])
        split = self._splitter.split(Piece(filtered, piece.times, piece.breaks))
        if split is None:
            return None
        whole, bins, starts = split
        low, high = np.fmin.reduceat(whole.data, starts), np.fmax.reduceat(whole.data, starts)
        bins, low, high = self._without_holes(whole, bins, starts, low, high)
        return EegPart(
            self._ch_names,
            self._unit,
            self._splitter.bin_s,
            bins,
            low.astype(np.float32),
            high.astype(np.float32),
            self.words,
        )

    def _filter(self, data: NDArray[np.floating], begins: bool) -> NDArray[np.float64]:
        """Filter a run without breaks; after a break the filter starts steady at its first value."""
        with np.errstate(invalid="ignore"):
            is_finite = np.abs(data) <= MOST_UV  # NaN compares False; infinity would stay in the filter
        is_whole = bool(is_finite.all())
        x = np.asarray(data, dtype=np.float64) if is_whole else self._held(data, is_finite)
        self._last_finite = x[-1]
        used = is_finite & self._averaged
        if self._averaged.any():
            x = x - (x * used).sum(axis=1, keepdims=True) / np.maximum(used.sum(axis=1, keepdims=True), 1)
        if begins or not self._has_begun:
            reduce(lambda value, section: section.settle(value), self._sections, x[0])
            self._has_begun = True
        y = reduce(lambda value, section: section(value), self._sections, x)
        return y if is_whole else np.where(is_finite, y, np.nan)

    def _held(self, data: NDArray[np.floating], is_finite: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the data with non-finite values replaced by the last finite one."""
        before = np.vstack([self._last_finite, np.where(is_finite, data, 0.0)])
        index = np.where(is_finite, np.arange(1, len(data) + 1)[:, None], 0)
        return np.take_along_axis(before, np.maximum.accumulate(index, axis=0), axis=0)

    def _without_holes(
        self,
        whole: Piece,
        bins: NDArray[np.int64],
        starts: NDArray[np.intp],
        low: NDArray[np.float64],
        high: NDArray[np.float64],
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Fill bins without a sample between two consecutive samples."""
        last_bin, last = self._last if self._last is not None else (int(bins[0]) - 1, whole.data[0])
        self._last = int(bins[-1]), whole.data[-1]
        steps = np.diff(bins, prepend=last_bin)
        fillable = (steps > 1) & ((steps - 1) * self._splitter.bin_s <= _MAX_FILL_S)
        fillable &= ~np.isin(starts, whole.breaks)
        at = np.repeat(np.flatnonzero(fillable), steps[fillable] - 1)  # the bin that each filled one precedes
        if not len(at):
            return bins, low, high
        sides = np.vstack([last, whole.data[starts[1:] - 1]])[at], whole.data[starts[at]]
        first = np.flatnonzero(np.diff(at, prepend=-1))
        back = np.arange(len(at)) - np.repeat(first, np.diff(np.append(first, len(at)))) + 1
        all_bins = np.concatenate([bins, bins[at] - back])
        order = np.argsort(all_bins)
        return (
            all_bins[order],
            np.concatenate([low, np.fmin(*sides)])[order],
            np.concatenate([high, np.fmax(*sides)])[order],
        )


KEEP_S = 30.0  # of raw EEG, for the spectrogram of another channel at once
_LEAST_DENSITY = 1e-6  # µV²/Hz, -60 dB: below any amplifier's noise
LEAST_UNSCALED = 1e-30  # of another unit, squared, per Hz: nothing but silence
_FIRST_CHOICES = ("OZ", "POZ", "PZ", "CZ")  # where alpha is strongest


class SpectrogramDisplay:
    """Keeps raw EEG and makes a column every ``spectrogram_step_s``.

    It starts with ``ch_name``, or without that channel with one over the back of the head.
    """

    def __init__(
        self,
        ch_names: tuple[str, ...],
        sfreq: float,
        config: FeatureConfig,
        ch_name: str = "",
        least_density: float = _LEAST_DENSITY,
    ) -> None:
        self._ch_names, self._sfreq, self._config = ch_names, sfreq, config
        self._least_density = least_density
        self._step_s = config.spectrogram_step_s
        self._ring = Ring(len(ch_names), KEEP_S, np.float32)
        wanted = (ch_name, *_FIRST_CHOICES)
        self.ch_name = next((name for name in wanted if name in ch_names), ch_names[0])
        self._restarts = False  # not by a seek, which continues the columns
        self._next: int | None = None  # the column that ends at _next * step_s

    def choose(self, ch_name: str) -> None:
        """Show another channel; an unknown one changes nothing."""
        if ch_name in self._ch_names and ch_name != self.ch_name:
            self.ch_name = ch_name
            self._restarts, self._next = True, None

    def push(self, piece: Piece) -> SpectrogramPart | None:
        """Add samples (n, C) in µV; return the columns they complete."""
        if len(piece.times):
            self._ring.append(Chunk("", 0, piece.data, piece.times, piece.breaks))
        if math.isnan(self._ring.newest_time):
            return None
        newest = math.floor(self._ring.newest_time / self._step_s)
        if self._next is None:
            oldest = self._ring.times(self._ring.start_index, self._ring.start_index + 1)[0]
            first_time = max(float(oldest), self._ring.newest_time - KEEP_S)
            self._next = math.floor(first_time / self._step_s) + 1
        columns = range(self._next, newest + 1)
        self._next = newest + 1
        return self._columns(columns)

    def kept(self) -> Piece:
        ring, stop = self._ring, self._ring.end_index
        start, breaks = ring.index_at(ring.newest_time - KEEP_S), []
        begin = ring.last_break(stop)
        while begin > start:
            breaks.append(begin - start)
            begin = ring.last_break(begin)
        return Piece(ring.data(start, stop).copy(), ring.times(start, stop).copy(), tuple(breaks[::-1]))

    def _columns(self, indices: range) -> SpectrogramPart | None:
        n_frame = round(self._config.spectrogram_window_s * self._sfreq)
        channel = self._ch_names.index(self.ch_name)
        times, frames = [], []
        for index in indices:
            stop = self._ring.index_at(index * self._step_s)
            if stop - n_frame < self._ring.last_break(stop):
                continue
            if self._ring.times(stop - 1, stop)[0] < index * self._step_s - 2 / self._sfreq:
                continue  # in a gap
            frames.append(self._ring.data(stop - n_frame, stop)[:, channel].copy())
            times.append(index * self._step_s)
        if not frames:
            return None
        x = torch.from_numpy(np.stack(frames).astype(np.float64))  # (n, n_frame)
        spectrogram = eeg_spectrogram(x, self._sfreq, self._config)
        density = spectrogram.psd[..., 0].clamp_min(self._least_density)  # (n, F)
        restarts, self._restarts = self._restarts, False
        return SpectrogramPart(
            self.ch_name,
            np.array(times),
            spectrogram.freqs.numpy().astype(np.float32),
            (10 * density.log10()).numpy().astype(np.float32),
            restarts,
        )


MAX_WIDTH = 640
_MIN_STEP_S = 0.8 / 15  # all frames of a camera at 15 fps, half of those at 30 fps
_MAX_A_STEP = 4  # frames sent at once; thins out a fast replay
_QUALITY = 80


class VideoDisplay:
    """Thins out a video stream and packs its frames."""

    def __init__(self) -> None:
        self._last = float("-inf")

    def push(self, frames: list[tuple[float, Any]]) -> list[FramePart]:
        """Add (time, JPEG bytes or (h, w, 3) BGR) pairs; return the frames to show."""
        due = []
        for time, frame in frames:
            if time >= self._last + _MIN_STEP_S:
                self._last = time
                due.append((time, frame))
        stride = -(-len(due) // _MAX_A_STEP) or 1
        # Counted from the end, to keep the newest frame.
        packed = [(time, pack_frame(frame)) for time, frame in due[::-1][::stride][::-1]]
        return [FramePart(time, jpeg) for time, jpeg in packed if jpeg]


def pack_frame(frame: bytes | np.ndarray) -> bytes:
    """Return a frame as JPEG at most 640 pixels wide and 1280 high, ``b""`` if it is unreadable."""
    if isinstance(frame, bytes):
        width, height = jpeg_size(frame)
        if 0 < max(width, height / 2) <= MAX_WIDTH:
            return frame
    image = decode_frame(frame)
    if image is None:
        return b""
    import cv2

    height, width = image.shape[:2]
    scale = MAX_WIDTH / max(width, height / 2)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    done, packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return packed.tobytes() if done else b""


LEVEL_BIN_S = 0.02
_MIN_FRAMES = 8  # of a batch: one call costs as much as ten frames


class VoiceLevel:
    """Root mean square and peak of each 20 ms, dB relative to full scale."""

    def __init__(self) -> None:
        self._splitter = BinSplitter(LEVEL_BIN_S)

    def push(self, piece: Piece) -> VoicePart | None:
        """Add samples (n, 1) in -1..1; return the bins they complete."""
        split = self._splitter.split(piece)
        if split is None:
            return None
        whole, bins, starts = split
        wave = whole.data[:, 0].astype(np.float64)
        is_finite = np.isfinite(wave)
        wave = np.where(is_finite, wave, 0.0)
        n = np.add.reduceat(is_finite.astype(np.float64), starts)
        with np.errstate(divide="ignore", invalid="ignore"):
            rms = np.sqrt(np.add.reduceat(wave * wave, starts) / n)  # NaN where no sample is finite
        peak = np.where(n > 0, np.maximum.reduceat(np.abs(wave), starts), np.nan)
        return VoicePart(LEVEL_BIN_S, bins, _decibels(rms), _decibels(peak))


def _decibels(amplitudes: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.array([decibel(amplitude) for amplitude in amplitudes], np.float32)


class LogMelStream:
    """Log-mel frames every 10 ms as the sound comes in, equal to those of the whole sound at once."""

    def __init__(self, sfreq: float, config: FeatureConfig) -> None:
        self._sfreq, self._config = sfreq, config
        ratio = resample_ratio(sfreq, config)
        self._up, self._down = ratio.numerator, ratio.denominator
        # scipy's resample_poly looks 10 * max(up, down) steps of the common rate to either side.
        reach = 0 if ratio == 1 else math.ceil(10 * max(self._up, self._down) / self._up) + 1
        self._margin = math.ceil(reach / self._down) * self._down  # whole periods keep the phase
        self._restart()

    def _restart(self) -> None:
        self._raw = np.empty(0, np.float32)
        self._times = np.empty(0)
        self._n_past = 0  # raw samples at the front, already resampled, kept as context
        self._wave = torch.empty(0)  # at 16 kHz, from the next frame's first sample on
        self._wave_times = np.empty(0)

    def push(self, piece: Piece) -> LogMelPart | None:
        """Add samples (n, 1) in -1..1; return the frames they complete, or None."""
        parts: list[LogMelPart] = []
        for begins, run in piece.runs():
            if begins:  # no frame spans a gap
                parts += self._frames(1)
                self._restart()
            self._raw = np.concatenate([self._raw, run.data[:, 0].astype(np.float32)])
            self._times = np.concatenate([self._times, run.times])
            self._resample_new()
            parts += self._frames(_MIN_FRAMES)
        if len(parts) < 2:
            return parts[0] if parts else None
        return LogMelPart(
            np.concatenate([part.times for part in parts]), np.concatenate([part.values for part in parts])
        )

    def _frames(self, n_least: int) -> list[LogMelPart]:
        """Return the complete frames, if there are enough of them."""
        n = n_log_mel_frames(len(self._wave))
        if n < n_least:
            return []
        # Half precision reaches 65504; normalised frames lie within -2 and 3, only broken sound goes beyond.
        values = log_mel(self._wave, self._config).clamp(-6e4, 6e4).numpy().astype(np.float16)
        times = self._wave_times[FRAME // 2 :: HOP][:n].copy()
        self._wave, self._wave_times = self._wave[n * HOP :], self._wave_times[n * HOP :]
        return [LogMelPart(times, values)]

    def _resample_new(self) -> None:
        """Resample the samples with context on both sides to 16 kHz."""
        n_new = (len(self._raw) - self._n_past - self._margin) // self._down * self._down
        if n_new <= 0:
            return
        end = self._n_past + n_new
        first = self._n_past // self._down * self._up
        n_out = n_new // self._down * self._up
        wave = resample(self._raw[: end + self._margin], self._sfreq, self._config)[first : first + n_out]
        self._wave = torch.cat([self._wave, wave])
        at = np.arange(n_out) * (self._down / self._up)
        times = np.interp(at, np.arange(n_new), self._times[self._n_past : end])
        self._wave_times = np.concatenate([self._wave_times, times])
        self._n_past = min(end, self._margin)
        self._raw, self._times = self._raw[end - self._n_past :], self._times[end - self._n_past :]
