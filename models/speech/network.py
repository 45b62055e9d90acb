"""The audio path alone: the program's spectrogram transformer over log-mel and contours, for one clip.

The contours stand as 16 more rows above the 128 mel rows, one more patch row of the same encoder. Tokens
become one vector by their mean and standard deviation over time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.config import AstConfig
from models.encoders.ast import AstEncoder
from models.speech.contours import Contours

N_MELS = 128
N_ROWS = N_MELS + 16  # Contours.rows


@dataclass(frozen=True)
class VoiceNetworkConfig:
    """Sizes of the network and its training; fixed, nothing here is chosen in a run."""

    encoder: AstConfig = field(
        default_factory=lambda: AstConfig(
            width=64, n_layers=2, n_heads=4, ffn_dim=128, n_mels=N_ROWS, dropout=0.1
        )
    )
    head_dropout: float = 0.3
    batch_size: int = 16
    crop_frames: int = 240
    pretrain_epochs: int = 30
    hidden_share: float = 0.5  # of the patches, in pre-training
    epochs: int = 40
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    n_stripes: int = 2  # of frequency and of time, set to the mean (SpecAugment)
    widest_mels: int = 20
    widest_frames: int = 25
    gain_sd: float = 0.1  # of the random level of a clip, in SDs of log-mel


class VoiceNetwork(nn.Module):
    """Encoder, pooling by mean and SD, linear head."""

    def __init__(self, config: VoiceNetworkConfig, n_labels: int) -> None:
        super().__init__()
        width = config.encoder.width
        self.encoder = AstEncoder(config.encoder)
        self.head = nn.Sequential(
            nn.LayerNorm(2 * width), nn.Dropout(config.head_dropout), nn.Linear(2 * width, n_labels)
        )

    def forward(self, rows: Tensor, frame_mask: Tensor) -> Tensor:
        """Return logits (B, n_labels) of clips (B, n_frames, N_ROWS)."""
        tokens, mask, _ = self.encoder(rows, frame_mask)  # (B, M, D)
        share = mask.float() / mask.float().sum(dim=1, keepdim=True).clamp_min(1.0)
        mean = (tokens * share[..., None]).sum(dim=1)
        variance = ((tokens - mean[:, None]).square() * share[..., None]).sum(dim=1)
        return self.head(torch.cat([mean, variance.clamp_min(1e-5).sqrt()], dim=-1))


def clip_rows(clip: Contours) -> Tensor:
    """Return what the network sees of a clip, (n_frames, N_ROWS) float32, not yet scaled."""
    return torch.from_numpy(np.concatenate([clip.log_mel, clip.rows()], axis=1))


@dataclass(frozen=True, eq=False)
class RowScale:
    """Mean and SD of the training part: one for all of log-mel, one a contour."""

    mean: Tensor  # (N_ROWS,)
    sd: Tensor  # (N_ROWS,)

    @classmethod
    def fit(cls, clips: Sequence[Tensor]) -> RowScale:
        """Fit to the training part's clips."""
        frames = torch.cat(list(clips))
        mean, sd = frames.mean(dim=0), frames.std(dim=0).clamp_min(1e-6)
        mean[:N_MELS], sd[:N_MELS] = frames[:, :N_MELS].mean(), frames[:, :N_MELS].std()
        return cls(mean, sd)

    def __call__(self, clip: Tensor) -> Tensor:
        return (clip - self.mean) / self.sd


def stack(clips: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return clips (B, longest, N_ROWS) filled up with zeros, and the mask of their frames (B, longest)."""
    rows = nn.utils.rnn.pad_sequence(list(clips), batch_first=True)
    lengths = torch.tensor([len(clip) for clip in clips])
    return rows, torch.arange(rows.shape[1]) < lengths[:, None]


@torch.no_grad()
def predict(network: VoiceNetwork, scale: RowScale, clips: Sequence[Tensor]) -> NDArray[Any]:
    """Return probabilities (n_clips, n_labels); one clip at a time, so no neighbour matters."""
    network.eval()
    longest = network.encoder.config.max_frames
    answers = [network(*stack([scale(clip[:longest])])).softmax(dim=-1) for clip in clips]
    return torch.cat(answers).double().numpy()
