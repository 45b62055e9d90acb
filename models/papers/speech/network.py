"""The audio path alone: the program's spectrogram transformer over log-mel and contours, for one clip.

The contours stand as 16 more rows above the 128 mel rows, one more patch row of the same encoder. Tokens
become one vector by their mean and standard deviation over time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import AstConfig
from models.encoders.transformer import AstEncoder
from models.papers.speech.features import Contours
from models.training.loop import one_cycle, train_steps

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


def train_voice_network(
    clips: Sequence[Sequence[Tensor]],
    label: NDArray[Any],
    n_labels: int,
    config: VoiceNetworkConfig,
    seed: int,
    tick: Callable[[], None] = lambda: None,
) -> tuple[VoiceNetwork, RowScale]:
    """Train on labelled clips, each given as its copies (n_frames, N_ROWS): masked patches, then the labels.

    The first copy is the original; scaling is fitted to originals. Each pass draws one copy of each, and ends
    with ``tick``. The seed is of weights, order, copies, crops and masks.
    """
    rng = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # initial weights and dropout
        network = VoiceNetwork(config, n_labels)
        scale = RowScale.fit([own[0] for own in clips])
        network.train()
        training = _Training(network, scale, clips, config, rng, tick)
        if config.pretrain_epochs:
            training.rebuild_hidden_patches()
        training.learn(label, n_labels)
    return network, scale


@dataclass(frozen=True, eq=False)
class _Training:
    network: VoiceNetwork
    scale: RowScale
    clips: Sequence[Sequence[Tensor]]
    config: VoiceNetworkConfig
    rng: torch.Generator
    tick: Callable[[], None]

    def rebuild_hidden_patches(self) -> None:
        """Rebuild hidden patches from the rest of the clip; a hidden patch is set to the mean.

        Each time column's token rebuilds the column; the error counts at hidden patches, each patch scaled to
        its own mean and SD (as in the masked autoencoder of He 2022).
        """
        size, encoder = self.config.encoder.patch_size, self.network.encoder
        n_bands = N_ROWS // size
        rebuild = nn.Linear(self.config.encoder.width, N_ROWS * size)

        def loss(chosen: Tensor) -> Tensor:
            rows, mask = self._draw(chosen)
            n_columns = rows.shape[1] // size
            rows, mask = rows[:, : n_columns * size], mask[:, : n_columns * size]
            drawn = torch.rand(len(rows), n_columns, n_bands, generator=self.rng)
            is_hidden = drawn < self.config.hidden_share
            cells = is_hidden.repeat_interleave(size, dim=1).repeat_interleave(size, dim=2)
            tokens, valid, _ = encoder(rows.masked_fill(cells, 0.0), mask)  # (B, columns, D)
            patches = rows.view(len(rows), n_columns, size, n_bands, size).transpose(2, 3).flatten(3)
            deviation = patches - patches.mean(dim=-1, keepdim=True)
            target = deviation / (patches.std(dim=-1, keepdim=True) + 0.1)
            error = (rebuild(tokens).view_as(target) - target).square().mean(dim=-1)  # (B, columns, bands)
            counted = is_hidden & valid[..., None]
            return (error * counted).sum() / counted.sum().clamp_min(1)

        self._run([*encoder.parameters(), *rebuild.parameters()], loss, self.config.pretrain_epochs)

    def learn(self, label: NDArray[Any], n_labels: int) -> None:
        """Learn the labels; every class weighs the same."""
        targets = torch.from_numpy(np.asarray(label, dtype=np.int64))
        rarity = 1 / torch.bincount(targets, minlength=n_labels).clamp_min(1).float()
        weight, smoothing = rarity / rarity.mean(), self.config.label_smoothing

        def loss(chosen: Tensor) -> Tensor:
            rows, mask = self._draw(chosen)
            logits = self.network(self._with_stripes(rows), mask)
            return F.cross_entropy(logits, targets[chosen], weight=weight, label_smoothing=smoothing)

        self._run(list(self.network.parameters()), loss, self.config.epochs)

    def _run(self, trained: list[nn.Parameter], loss: Callable[[Tensor], Tensor], epochs: int) -> None:
        """Train on the clips' indices in random order, in batches of nearly one size."""
        n_clips, config = len(self.clips), self.config
        n_batches = -(-n_clips // config.batch_size)
        optimiser = torch.optim.AdamW(trained, lr=config.learning_rate, weight_decay=config.weight_decay)
        schedule = one_cycle(optimiser, config.learning_rate, n_batches * epochs)
        clipped = list(self.network.parameters())
        for _ in range(epochs):
            batches = torch.randperm(n_clips, generator=self.rng).tensor_split(n_batches)
            for _ in train_steps(optimiser, batches, loss, clipped=clipped, schedule=schedule):
                pass
            self.tick()

    def _draw(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Return a random crop of a random copy of each chosen clip."""
        drawn = []
        for index in chosen.tolist():
            own = self.clips[index]
            clip = own[self._below(len(own))]
            start = self._below(max(1, len(clip) - self.config.crop_frames + 1))
            drawn.append(self.scale(clip[start : start + self.config.crop_frames]))
        return stack(drawn)

    def _with_stripes(self, rows: Tensor) -> Tensor:
        """Hide stripes of mel bins and of time (SpecAugment), and change each clip's level."""
        config, rows = self.config, rows.clone()
        for clip in rows:
            for _ in range(config.n_stripes):
                width, length = self._below(config.widest_mels), self._below(config.widest_frames)
                mel = self._below(N_MELS - width)
                frame = self._below(max(1, len(clip) - length))
                clip[:, mel : mel + width] = 0.0
                clip[frame : frame + length] = 0.0
            clip[:, :N_MELS] += config.gain_sd * torch.randn(1, generator=self.rng)
        return rows

    def _below(self, stop: int) -> int:
        return int(torch.randint(0, stop, (1,), generator=self.rng))
