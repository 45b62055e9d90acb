"""The spectrogram of one chosen EEG channel as it grows, column by column on the LSL clock."""

from __future__ import annotations

import math

import numpy as np
import torch

from acquisition.ring import Ring
from acquisition.types import Chunk
from app.engine.messages import SpectrogramPart
from app.engine.pieces import Piece
from models.features.config import FeatureConfig
from models.features.spectrogram import eeg_spectrogram

KEEP_S = 30.0  # another channel's last half minute comes at once when it is chosen
_LEAST_DENSITY = 1e-6  # µV²/Hz, -60 dB: below any amplifier's noise
_FIRST_CHOICES = ("OZ", "POZ", "PZ", "CZ")  # where alpha is strongest: something to see


class SpectrogramDisplay:
    """Keeps raw EEG and makes a column every ``spectrogram_step_s``.

    Parameters
    ----------
    ch_names : tuple of str
    sfreq : float
        Hz.
    config : FeatureConfig
        Window and step, lowest and highest frequency.
    ch_name : str
        The channel to begin with; where it is not there, one over the back of the head.
    """

    def __init__(
        self, ch_names: tuple[str, ...], sfreq: float, config: FeatureConfig, ch_name: str = ""
    ) -> None:
        self._ch_names = ch_names
        self._sfreq = sfreq
        self._config = config
        self._step_s = config.spectrogram_step_s
        self._ring = Ring(len(ch_names), KEEP_S, np.float32)
        wanted = (ch_name, *_FIRST_CHOICES)
        self.ch_name = next((name for name in wanted if name in ch_names), ch_names[0])
        self._restarts = False  # a stream opened anew, as after a seek, goes on with its columns
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
        density = spectrogram.psd[..., 0].clamp_min(_LEAST_DENSITY)  # (n, F)
        restarts, self._restarts = self._restarts, False
        return SpectrogramPart(
            self.ch_name,
            np.array(times),
            spectrogram.freqs.numpy().astype(np.float32),
            (10 * density.log10()).numpy().astype(np.float32),
            restarts,
        )
