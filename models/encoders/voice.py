"""What is fixed of a voice: its statistics as an encoder, and whether somebody speaks.

`affectscope evaluate voice` tests the same numbers as `VoiceStatistics` gives, so that what is live is what
was tested. Nothing is trained in it.

`VoiceActivity` is the 16 kHz net of silero-vad (6.2.3, MIT), over a whole clip at once. The published net
takes 512 new samples and 64 before them at a time and keeps the state of one LSTM cell. Only that cell needs
the order of time, so here everything before it sees all blocks of a clip as a batch; the state begins at zero
with the clip, so that nothing passes from window to window.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from acquisition.errors import ErrorCode, InputError
from models.config import AstConfig
from models.features.voice import N_CONTOURS, functionals

N_STATISTICS = len(functionals(np.zeros((100, N_CONTOURS))))
BLOCK, BEFORE, SFREQ = 512, 64, 16000  # samples, samples, Hz
_PAD, _N_FREQUENCIES = 64, 129
NEWEST_S = 2.0  # chosen: seconds of a clip that must hold speech
LEAST_SPEECH_S = 0.25  # chosen: a syllable or two of it
_IS_SPEECH = 0.5  # probability, the package's own threshold


class VoiceActivity(nn.Module):
    """Speech probability of blocks of 32 ms; random until weights are loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 2 * _N_FREQUENCIES, 256, 128, bias=False)
        self.conv1 = nn.Conv1d(_N_FREQUENCIES, 128, 3, 1, 1)
        self.conv2 = nn.Conv1d(128, 64, 3, 2, 1)
        self.conv3 = nn.Conv1d(64, 64, 3, 2, 1)
        self.conv4 = nn.Conv1d(64, 128, 3, 1, 1)
        self.lstm = nn.LSTM(128, 128)  # the package's ``lstm_cell``, all steps in one call
        self.final_conv = nn.Conv1d(128, 1, 1)

    def forward(self, wave: Tensor) -> Tensor:
        """Return the probability (n_blocks,) of speech in a clip (n_times,) at 16 kHz, -1 to 1."""
        n_blocks = -(-len(wave) // BLOCK)
        padded = F.pad(wave, (BEFORE, n_blocks * BLOCK - len(wave)))
        x = F.pad(padded.unfold(0, BEFORE + BLOCK, BLOCK)[:, None], (0, _PAD), mode="reflect")
        spectrum = self.stft_conv(x)  # (n_blocks, 258, 4), real parts first
        x = torch.hypot(spectrum[:, :_N_FREQUENCIES], spectrum[:, _N_FREQUENCIES:])
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = F.relu(conv(x))
        hidden, _ = self.lstm(x[..., 0])  # (n_blocks, 128)
        return torch.sigmoid(self.final_conv(F.relu(hidden)[..., None]))[:, 0, 0]

    def speech_s(self, wave: Tensor) -> float:
        """Return how many of a clip's newest `NEWEST_S` seconds hold speech."""
        newest = self(wave)[-round(NEWEST_S * SFREQ / BLOCK) :]
        return float((newest >= _IS_SPEECH).sum()) * BLOCK / SFREQ


class VoiceStatistics(nn.Module):
    """One token (N_STATISTICS) a clip; raises `InputError` where ``config`` says another width."""

    def __init__(self, config: AstConfig) -> None:
        super().__init__()
        if config.width != N_STATISTICS:
            what = f"expected {N_STATISTICS} statistics of a voice, got {config.width}"
            raise InputError(what, where="voice encoder", code=ErrorCode.MODEL, setting="voice")
        self.config = config

    def forward(self, frames: Tensor, frame_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return tokens (B, 1, D), mask (B, 1) and the clips' middle (1,) in s from their start.

        Frames (B, n_frames, N_CONTOURS) are `contours`; those that the mask (B, n_frames) hides come last.
        """
        tokens = frames.new_zeros(len(frames), 1, N_STATISTICS)
        for token, clip, known in zip(tokens, frames, frame_mask, strict=True):
            if known.any() and clip.shape[1] == N_CONTOURS:  # else the shape alone is asked for
                found = functionals(clip[known].cpu().numpy()).values()
                token[0] = torch.tensor(list(found), dtype=token.dtype)
        middle = frame_mask.shape[1] * self.config.frame_s / 2
        return tokens, frame_mask.any(dim=1, keepdim=True), frames.new_tensor([middle])
