"""Fusions, one class a variant: modality tokens and presence in, logits and modalities' shares out."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from acquisition.types import MODALITIES
from models.config import FusionConfig
from models.encoders.layers import masked_softmax

_TINY = 1e-12  # shares are equal where no modality moves the logits


class Fusion(nn.Module):
    """What all variants have in common.

    The last two parameters are weight and bias of a linear layer behind everything else, labels first: a
    temperature can be folded into them, and labels can be chosen.
    """

    _of_shares: str  # the parameter without which shares are even

    def forward(
        self, tokens: Tensor, present: Tensor, reliability: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the logits (B, n_labels) and each modality's share (B, 4).

        Tokens (B, 4, d_model) are finite also where a modality is not ``present``, bool (B, 4). A share is 0
        there and sums to 1 over the others; what it means is in each variant's docstring. Attention scores
        get the logarithm of ``reliability`` (B, 4), 0..1: what is unreliable is hardly looked at.
        """
        raise NotImplementedError

    @torch.no_grad()
    def divide_logits(self, temperature: float) -> None:
        """Divide the logits by a temperature, in the last layer."""
        for parameter in list(self.parameters())[-2:]:  # weight and bias
            parameter.div_(temperature)

    @torch.no_grad()
    def even_out(self) -> None:
        """Make the shares even, where the logits count for nothing."""
        self.get_parameter(self._of_shares).zero_()


_LEAST_RELIABILITY = 1e-4


def log_of(reliability: Tensor | None, present: Tensor) -> Tensor:
    """Return what reliability adds to attention scores, (B, 4)."""
    if reliability is None:
        return torch.zeros_like(present, dtype=torch.float32)
    return reliability.clamp_min(_LEAST_RELIABILITY).log()


def gates_of(attention: Tensor, present: Tensor, reliability: Tensor) -> Tensor:
    """Return what multiplies each modality's evidence (B, 4): even attention leaves each its full weight."""
    return (present * reliability).sum(dim=1, keepdim=True) * attention


def weighed(
    evidence: Tensor, weights: Tensor, attention: Tensor, present: Tensor, reliability: Tensor
) -> Tensor:
    """Return the sum (B, n_labels) of evidence (B, 4, n_labels), each times weight (4,) and gate."""
    return (gates_of(attention, present, reliability)[..., None] * (evidence * weights[:, None])).sum(dim=1)


@torch.no_grad()
def shares_of(moves: Tensor, present: Tensor) -> Tensor:
    """Return each modality's share (B, 4) of the lengths by which modalities move the logits.

    ``moves`` (B, 4, n_labels) is what the logits lose when a modality goes absent. Lengths are Euclidean,
    without the shift common to all labels, which the softmax ignores.
    """
    moves = moves - moves.mean(dim=-1, keepdim=True)
    lengths = (torch.linalg.vector_norm(moves, dim=-1) + _TINY) * present
    return lengths / lengths.sum(dim=1, keepdim=True).clamp_min(_TINY)


class ConcatFusion(Fusion):
    """All modality tokens side by side, then a linear layer: equation 5 of the MMV-SSTMA paper.

    The paper always has both modalities. Here an absent one is replaced by a learned vector of its own
    [inferred], which starts at 0; with a linear layer behind it that is as much as presence bits can say.

    There is no attention. What stands in its place is a measure of influence, `shares_of`. The layer is
    linear, so the moves add up exactly.
    """

    _of_shares = "head.weight"

    def __init__(self, config: FusionConfig, n_labels: int) -> None:
        super().__init__()
        self.absent = nn.Parameter(torch.zeros(len(MODALITIES), config.d_model))
        self.head = nn.Linear(len(MODALITIES) * config.d_model, n_labels)

    def forward(
        self, tokens: Tensor, present: Tensor, reliability: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        x = torch.where(present[..., None], tokens, self.absent)  # (B, 4, d)
        with torch.no_grad():
            weight = self.head.weight.unflatten(1, (len(MODALITIES), -1))  # (n_labels, 4, d)
            moves = torch.einsum("bmd,lmd->bml", x - self.absent, weight)
        return self.head(x.flatten(1)), shares_of(moves, present)


class AttentionFusion(Fusion):
    """A weighted sum of the present modality tokens, then a linear layer: equations 6 to 8 of the paper.

    F = Concat(X1, X2), α = softmax(wᵀ tanh F), X = F αᵀ. The paper leaves open what the softmax runs over:
    with one long vector its weights would mix features, with the tokens as the columns of F (as in the
    attention over words that it cites, Zhou 2016) there is one weight a modality. The second is taken here
    [inferred]; the columns need one width, which the modality tokens have.

    The shares are α itself. With one modality present it is always 1.
    """

    _of_shares = "score.weight"

    def __init__(self, config: FusionConfig, n_labels: int) -> None:
        super().__init__()
        self.score = nn.Linear(config.d_model, 1, bias=False)  # w
        self.head = nn.Linear(config.d_model, n_labels)

    def forward(
        self, tokens: Tensor, present: Tensor, reliability: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        scores = self.score(torch.tanh(tokens))[..., 0] + log_of(reliability, present)
        alpha = masked_softmax(scores, present)  # (B, 4)
        fused = torch.bmm(alpha[:, None], tokens)[:, 0]  # (B, d)
        return self.head(fused), alpha


class SharedAttentionFusion(Fusion):
    """Modality tokens look at each other, a learned query reads the result.

    Paper 2 (EEG, video and audio on EAV): "the shared multi-head attention decoder effectively handles the
    interplay ... by using query, key, and value representations for each modality", then an MLP. Here each
    modality has its own query, key and value projections, one attention serves all, and a learned fusion
    query reads the result. The attention is applied ``n_rounds`` times with the same weights, so that the
    fusion query reads tokens that have already looked at each other.

    The shares are the fusion query's attention in the last round, mean over heads.
    """

    _of_shares = "project_key"

    def __init__(self, config: FusionConfig, n_labels: int) -> None:
        super().__init__()
        dim, n_tokens = config.d_model, len(MODALITIES)
        self.config = config
        self.modality = nn.Parameter(0.02 * torch.randn(n_tokens, dim))
        self.query = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.norm = nn.LayerNorm(dim)
        # The fusion token has a query projection of its own too: entry 0; modalities follow.
        self.project_query = nn.Parameter(dim**-0.5 * torch.randn(1 + n_tokens, dim, dim))
        self.project_key = nn.Parameter(dim**-0.5 * torch.randn(n_tokens, dim, dim))
        self.project_value = nn.Parameter(dim**-0.5 * torch.randn(n_tokens, dim, dim))
        self.out = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Sequential(
            nn.LayerNorm(dim),
            nn.Linear(dim, 2 * dim),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(2 * dim, n_labels),
        )

    def forward(
        self, tokens: Tensor, present: Tensor, reliability: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        x = torch.cat([self.query.expand(len(tokens), -1, -1), tokens + self.modality], dim=1)  # (B, 5, d)
        weights, trust = tokens.new_zeros(()), log_of(reliability, present)
        for _ in range(self.config.n_rounds):
            update, weights = self._attend(self.norm(x), present, trust)
            x = x + self.dropout(update)
        return self.head(x[:, 0]), weights[:, :, 0].mean(dim=1)

    def _attend(self, x: Tensor, present: Tensor, trust: Tensor) -> tuple[Tensor, Tensor]:
        """Return the update (B, 5, d) and the attention (B, heads, 5, 4) of all tokens on modalities."""
        query = self._split_heads(_project_each(x, self.project_query))
        key = self._split_heads(_project_each(x[:, 1:], self.project_key))
        value = self._split_heads(_project_each(x[:, 1:], self.project_value))  # (B, heads, 4, width)
        scores = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5 + trust[:, None, None]
        weights = masked_softmax(scores, present[:, None, None])
        return self.out((weights @ value).transpose(1, 2).flatten(2)), weights

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.config.n_heads, -1)).transpose(1, 2)


class SumFusion(Fusion):
    """Each modality's own logits, added: encoders that were trained apart, joined without training.

    The sum of logits is the product of the modalities' probabilities, as if each told something of its own.
    Each counts by its reliability; the shares say just that.
    """

    _of_shares = "weight"

    def __init__(self, config: FusionConfig, n_labels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_labels, len(MODALITIES), config.d_model))
        self.bias = nn.Parameter(torch.zeros(n_labels, len(MODALITIES)))

    def forward(
        self, tokens: Tensor, present: Tensor, reliability: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        counts = present.to(tokens.dtype) if reliability is None else present * reliability
        logits = torch.einsum("bmd,lmd->bml", tokens, self.weight) + self.bias.T
        shares = masked_softmax(log_of(reliability, present), present)
        return (logits * counts[..., None]).sum(dim=1), shares


def _project_each(x: Tensor, weight: Tensor) -> Tensor:
    """Apply a matrix of its own (N, d, d) to each of N tokens (B, N, d)."""
    return torch.bmm(x.transpose(0, 1), weight).transpose(0, 1)


#: By `FusionConfig.variant`: `models.config.FUSION_VARIANTS`.
FUSIONS: dict[str, Callable[[FusionConfig, int], Fusion]] = {
    "concat": ConcatFusion,
    "attention": AttentionFusion,
    "shared_attention": SharedAttentionFusion,
    "sum": SumFusion,
}
