"""The masked autoencoder that pre-training trains: hide channels of a window, rebuild them.

An encoder of `models.network.FusionNetwork` and a decoder of its size; the loss is the squared error on the
hidden channels, in units of the variance of what is rebuilt: 1 is what guessing the mean gives.
"""

import torch
from torch import Tensor, nn

from models.encoders.layers import by_step
from models.encoders.mv_sstma import MvSstmaDecoder, MvSstmaEncoder, random_channel_mask
from models.normalise import EegScale, EyeScale
from models.training.corpus import StepBatch
from models.window_batch import eeg_rule, normalised_steps, usable_in_any_step


class MaskedAutoencoder(nn.Module):
    """Encoder, trained in place, decoder and the scale of the features.

    Dropout is off, as in masked autoencoders of pictures (He et al. 2022): masking regularises, and a run
    then does not depend on how many processes share it. ``target`` is mean and SD (C,) of normalised
    features, 0 and 1 without it. The loss counts the newest ``n_counted`` steps of a window; those before
    are left context.
    """

    target_mean: Tensor
    target_sd: Tensor

    def __init__(
        self,
        encoder: MvSstmaEncoder,
        n_positions: int,
        scale: EegScale | EyeScale,
        target: tuple[Tensor, Tensor] | None = None,
        *,
        mask_ratio: float,
        n_counted: int,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = MvSstmaDecoder(encoder.config, n_positions)
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        self.mask_ratio, self.n_counted = mask_ratio, n_counted
        mean, sd = target or (torch.zeros(n_positions), torch.ones(n_positions))
        self.register_buffer("target_mean", mean)
        self.register_buffer("target_sd", sd)
        self.is_eeg = isinstance(scale, EegScale)
        parts = (scale.mean, scale.sd) if isinstance(scale, EegScale) else (scale.low, scale.high, scale.mean)
        for number, part in enumerate(parts):
            self.register_buffer(f"scale_{number}", part, persistent=False)

    def forward(
        self, values: Tensor, exists: Tensor, positions: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the summed squared error on hidden channels, and of how many numbers; see `StepBatch`."""
        x, step_mask, channels = self._normalised(values, exists, positions)
        there = by_step(channels)  # (B, T or 1, C)
        visible = random_channel_mask(there.any(dim=1), self.mask_ratio, noise=noise)  # (B, C)
        shown = visible if channels.dim() == 2 else channels & visible[:, None]
        tokens, _ = self.encoder(x, positions, step_mask, shown)
        rebuilt = self.decoder(tokens, visible, positions, step_mask, channels)  # (B, C, T, F)
        wanted = (x - self.target_mean[positions][:, None, None]) / self.target_sd[positions][:, None, None]
        n_steps = step_mask.shape[1]
        counted = step_mask & (torch.arange(n_steps, device=x.device) >= n_steps - self.n_counted)
        hidden = (there & ~visible[:, None] & counted[..., None]).transpose(1, 2)[..., None].float()
        error = (rebuilt.float() - wanted).square() * hidden  # of (B, C, T, F)
        return error.sum(), hidden.sum() * x.shape[-1]

    def _normalised(self, values: Tensor, exists: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return features (B, C, T, F), step mask (B, T) and channel mask (B, C) or (B, T, C), as live."""
        usable = torch.isfinite(values).all(dim=-1) & exists[..., None]  # (B, T, C)
        parts = [getattr(self, f"scale_{number}")[positions] for number in range(2 if self.is_eeg else 3)]
        if self.is_eeg:
            rule = eeg_rule(streams=self.encoder.config.context == "streaming")
            return normalised_steps(values, usable, EegScale(*parts), rule)
        scale = EyeScale(*parts)
        eye, step_mask, features = normalised_steps(values[..., 0], usable, scale, usable_in_any_step)
        return eye[..., None], step_mask, features


def to_device(batch: StepBatch, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return a batch as the arguments of `MaskedAutoencoder.forward`; for a GPU through pinned memory."""
    tensors = [torch.from_numpy(a) for a in (batch.values, batch.exists, batch.positions, batch.noise)]
    if device.type == "cuda":
        tensors = [tensor.pin_memory().to(device, non_blocking=True) for tensor in tensors]
    values, exists, positions, noise = tensors
    return values, exists, positions, noise
