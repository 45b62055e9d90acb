"""Statistics of a clip's contours as the voice encoder: one token, which a linear head reads.

`affectscope evaluate voice` tests the same numbers, so that what is live is what was tested. Nothing is
trained in it.
"""

import numpy as np
import torch
from torch import Tensor, nn

from acquisition.errors import ErrorCode, InputError
from models.config import AstConfig
from models.features.voice import N_CONTOURS, functionals

N_STATISTICS = len(functionals(np.zeros((100, N_CONTOURS))))


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
