"""The MV-SSTMA encoder as one would first write it: the yardstick of ``bench`` and of the tests.

Three `nn.Conv2d`, three `nn.BatchNorm2d`, one library attention call a branch; no fusion of anything.
"""

from __future__ import annotations

import re
from time import process_time

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import MvSstmaConfig
from models.encoders.mv_sstma import MvSstmaEncoder
from models.encoders.mv_sstma_block import MvSstmaBlock
from tests.benchmarks.rows import interleaved


class ReferenceBlock(nn.Module):
    """A hybrid block on tokens laid out (B, D, T, C)."""

    def __init__(self, config: MvSstmaConfig) -> None:
        super().__init__()
        dim, inner = config.dim, config.n_heads * config.head_dim
        self.config = config
        self.convs = nn.ModuleList(nn.Conv2d(dim, dim, (k, 1), bias=False) for k in config.kernels)
        self.norms = nn.ModuleList(nn.BatchNorm2d(dim) for _ in config.kernels)
        self.qkv = nn.ModuleList(nn.Linear(dim, 3 * inner) for _ in config.kernels)
        self.out = nn.ModuleList(nn.Linear(inner, dim, bias=False) for _ in config.kernels)
        self.norm = nn.LayerNorm(dim)
        self.ffn = nn.Sequential(
            nn.Linear(dim, config.ffn_ratio * dim), nn.GELU(), nn.Linear(config.ffn_ratio * dim, dim)
        )

    def forward(self, x: Tensor, valid: Tensor, channel_mask: Tensor) -> Tensor:
        """Transform (B, D, T, C); ``valid`` (B, 1, T, C) float, ``channel_mask`` bool (B, C)."""
        total = x
        layers = zip(self.config.kernels, self.convs, self.norms, self.qkv, self.out, strict=True)
        for k, conv, norm, qkv, out in layers:
            padded = F.pad(x * valid, (0, 0, k - 1, 0))  # causal
            total = total + self._attend(norm(conv(padded)), qkv, out, channel_mask)
        tokens = total.permute(0, 2, 3, 1)  # (B, T, C, D)
        return (tokens + self.ffn(self.norm(tokens))).permute(0, 3, 1, 2)

    def _attend(self, y: Tensor, qkv: nn.Module, out: nn.Module, channel_mask: Tensor) -> Tensor:
        tokens = y.permute(0, 2, 3, 1)  # (B, T, C, D)
        parts = qkv(tokens).unflatten(-1, (self.config.n_heads, 3, self.config.head_dim))
        query, key, value = parts.permute(4, 0, 1, 3, 2, 5)  # each (B, T, heads, C, width)
        visible = channel_mask[:, None, None, None, :]
        heads = F.scaled_dot_product_attention(query, key, value, attn_mask=visible)
        return out(heads.transpose(2, 3).flatten(-2)).permute(0, 3, 1, 2)


class ReferenceMvSstma(nn.Module):
    """The same function as `MvSstmaEncoder` at inference, with the same weights."""

    positions: Tensor

    def __init__(self, config: MvSstmaConfig, n_positions: int) -> None:
        super().__init__()
        self.embed = nn.Linear(config.in_features, config.dim)
        self.register_buffer("positions", torch.zeros(n_positions, config.dim))
        self.blocks = nn.ModuleList(ReferenceBlock(config) for _ in range(config.n_layers))
        self.norm = nn.LayerNorm(config.dim)

    @classmethod
    def from_encoder(cls, encoder: MvSstmaEncoder) -> ReferenceMvSstma:
        """Return a reference with an encoder's weights and running statistics, in eval mode."""
        reference = cls(encoder.config, len(encoder.positions))
        state = encoder.state_dict() | {"positions": encoder.positions}
        for index, block in enumerate(encoder.blocks):
            assert isinstance(block, MvSstmaBlock)
            for branch in range(block.n_branches):
                for name in ("qkv", "out"):
                    shared = getattr(block, name)[branch % len(getattr(block, name))].state_dict()
                    state |= {f"blocks.{index}.{name}.{branch}.{key}": shared[key] for key in shared}
            for layer in ("ffn.2", "ffn.3"):  # without dropout the last layer moves up one
                for key in ("weight", "bias"):
                    value = state.pop(f"blocks.{index}.{layer}.{key}", None)
                    if value is not None:
                        state[f"blocks.{index}.ffn.2.{key}"] = value
        for index in range(len(encoder.blocks)):
            for branch in range(len(encoder.config.kernels)):
                state[f"blocks.{index}.norms.{branch}.num_batches_tracked"] = torch.tensor(0)
        reference.load_state_dict(state)
        return reference.eval()

    def forward(self, features: Tensor, positions: Tensor, step_mask: Tensor, channel_mask: Tensor) -> Tensor:
        """Return tokens (B, T, C, D); arguments as of `MvSstmaEncoder.forward`."""
        valid = step_mask[:, :, None, None] & channel_mask[:, None, :, None]  # (B, T, C, 1)
        x = features.transpose(1, 2).masked_fill(~valid, 0.0)
        x = (self.embed(x) + self.positions[positions]).permute(0, 3, 1, 2)  # (B, D, T, C)
        for block in self.blocks:
            x = block(x, valid.permute(0, 3, 1, 2).to(x.dtype), channel_mask)
        return self.norm(x.permute(0, 2, 3, 1))


def gradients_by_encoder_name(reference: ReferenceMvSstma, encoder: MvSstmaEncoder) -> dict[str, Tensor]:
    """Return a reference's gradients under the names of the encoder's parameters.

    Where the encoder's branches share one attention layer, the branches' gradients are added up.
    """
    found: dict[str, Tensor] = {}
    names = {name for name, _ in encoder.named_parameters()}
    for name, parameter in reference.named_parameters():
        assert parameter.grad is not None
        own = name
        if name not in names and ".ffn." in name:  # without dropout the last layer moved up one
            own = name.replace(".ffn.2.", ".ffn.3.")
        elif name not in names:
            own = re.sub(r"\.(qkv|out)\.\d+\.", r".\1.0.", name)
        found[own] = found[own] + parameter.grad if own in found else parameter.grad
    return found


def plain_forward_ms(n_rounds: int = 20) -> tuple[float, float]:
    """Return the median of one window's forward on all threads, and its processor time on one, in ms.

    62 channels, 10 steps, as in ``small``. A second thread would wait, which costs processor time.
    """
    torch.manual_seed(0)
    model = ReferenceMvSstma.from_encoder(MvSstmaEncoder(MvSstmaConfig(), 62)).eval()
    window = (
        torch.randn(1, 62, 10, 5),
        torch.arange(62),
        torch.ones(1, 10, dtype=torch.bool),
        torch.ones(1, 62, dtype=torch.bool),
    )
    n_threads = torch.get_num_threads()
    with torch.inference_mode():
        torch.set_num_threads(2)
        wall = interleaved({"plain": lambda: model(*window)}, n_rounds)["plain"].median_s
        torch.set_num_threads(1)
        model(*window)
        began = process_time()
        for _ in range(n_rounds):
            model(*window)
        cpu = (process_time() - began) / n_rounds
        torch.set_num_threads(n_threads)
    return wall * 1e3, cpu * 1e3
