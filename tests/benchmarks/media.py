"""Log-mel frames and face crops against the plain way to make them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch

from models.features.config import FeatureConfig
from models.features.face import crop_face, square_around
from models.features.log_mel import (
    AUDIOSET_MEAN,
    AUDIOSET_SD,
    FRAME,
    HOP,
    N_FFT,
    POWER_FLOOR,
    PREEMPHASIS,
    log_mel,
    mel_filters,
)
from tests.benchmarks.rows import Row, Say, interleaved, row

_VOICE_S = 5.0


def bench_log_mel(quick: bool, say: Say) -> list[Row]:
    """Return the row ``log_mel``: five seconds of voice against the formula frame by frame, in float64."""
    say("log-mel frames")
    config = FeatureConfig()
    wave = torch.randn(round(_VOICE_S * config.voice_sfreq)) * 0.1
    window, filters = mel_filters(config.n_mels, wave.device)

    def plain() -> torch.Tensor:
        frames = []
        for at in range(0, len(wave) - FRAME + 1, HOP):
            frame = wave[at : at + FRAME].double()
            frame = frame - frame.mean()
            frame = (frame - PREEMPHASIS * torch.cat([frame[:1], frame[:-1]])) * window
            frames.append((torch.fft.rfft(frame, N_FFT).abs() ** 2 @ filters).clamp_min(POWER_FLOOR).log())
        return (torch.stack(frames).float() - AUDIOSET_MEAN) / (2 * AUDIOSET_SD)

    def bare() -> torch.Tensor:
        return torch.fft.rfft(wave.double().unfold(-1, FRAME, HOP), N_FFT)

    took = interleaved({"ours": lambda: log_mel(wave), "plain": plain, "rfft": bare}, 5 if quick else 20)
    detail = {
        "max_difference": float((log_mel(wave) - plain()).abs().max()),
        "rfft_share": took["rfft"].median_s / took["ours"].median_s,
    }
    return [row("log_mel", took["ours"].median_s * 1e3, took["plain"].median_s * 1e3, detail)]


def bench_face_crop(quick: bool, say: Say) -> list[Row]:
    """Return the row ``face_crop``: cut, resize and scale a face against cv2.resize and NumPy."""
    say("face crops")
    config = FeatureConfig()
    image: np.ndarray[Any, np.dtype[np.uint8]] = np.random.default_rng(0).integers(
        0, 256, (480, 640, 3), dtype=np.uint8
    )
    box = (220, 130, 180, 180)
    left, top, side = square_around(box, config.face_margin)
    size = (config.face_size, config.face_size)
    how = cv2.INTER_AREA if side > config.face_size else cv2.INTER_LINEAR

    def plain() -> np.ndarray[Any, Any]:
        square = cv2.resize(image[top : top + side, left : left + side], size, interpolation=how)
        pixels = square[:, :, ::-1].transpose(2, 0, 1).astype(np.float32)
        return np.ascontiguousarray((pixels / 255.0 - 0.5) / 0.5)

    took = interleaved({"ours": lambda: crop_face(image, box, config), "plain": plain}, 100 if quick else 500)
    detail = {"max_difference": float(np.abs(crop_face(image, box, config).numpy() - plain()).max())}
    return [row("face_crop", took["ours"].median_s * 1e3, took["plain"].median_s * 1e3, detail)]
