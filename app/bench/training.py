"""A training step of MV-SSTMA against a plain module of the same layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from app.bench.process import in_own_process
from app.bench.reference_mv_sstma import ReferenceMvSstma, gradients_by_encoder_name
from app.bench.rows import Row, Say, interleaved, row
from app.environment import waiting_as_in_training
from models.config import MvSstmaConfig
from models.encoders.mv_sstma import MvSstmaEncoder
from models.process import keep_freed_memory

TARGET = "<= 0.67 x, gradients equal to 1e-4"
_MAX_OF_REFERENCE, _MAX_DIFFERENCE = 0.67, 1e-4
_BATCH, _N_CHANNELS, _N_STEPS, _N_BANDS = 64, 62, 10, 5
_N_THREADS = 2
_LEARNING_RATE = 1.5e-4  # the paper's, of pre-training


def bench_mv_sstma_training(quick: bool, say: Say) -> list[Row]:
    """Return the row ``mv_sstma_train_step``: forward, backward and AdamW on 64 windows of 62 x 10 x 5.

    Two threads that wait as in training, and an allocator that keeps freed memory, for both.
    """
    say("MV-SSTMA, a training step")
    with waiting_as_in_training():
        found = in_own_process(_train, 2 if quick else 10)
    return [
        row(
            "mv_sstma_train_step",
            found["ours_s"] * 1e3,
            found["reference_s"] * 1e3,
            "plain PyTorch module",
            "ms",
            TARGET,
            lambda ours, ratio: ratio <= _MAX_OF_REFERENCE and found["max_difference"] < _MAX_DIFFERENCE,
            found,
        )
    ]


def _train(n_rounds: int) -> dict[str, Any]:
    torch.set_num_threads(_N_THREADS)
    keep_freed_memory()
    torch.manual_seed(0)
    # Dropout draws other numbers in another command, so it is off in both.
    encoder = MvSstmaEncoder(replace(MvSstmaConfig(), dropout=0.0), _N_CHANNELS)
    reference = ReferenceMvSstma.from_encoder(encoder).train()
    encoder.train()
    windows = (
        torch.randn(_BATCH, _N_CHANNELS, _N_STEPS, _N_BANDS),
        torch.arange(_N_CHANNELS),
        torch.ones(_BATCH, _N_STEPS, dtype=torch.bool),
        torch.ones(_BATCH, _N_CHANNELS, dtype=torch.bool),
    )
    target = torch.randn(_BATCH, _N_STEPS, _N_CHANNELS, encoder.config.dim)

    def loss_of(tokens: Tensor) -> Tensor:
        return (tokens * target).sum(dim=(1, 2, 3)).mean()

    ours = _step(encoder, lambda: loss_of(encoder(*windows)[0]))
    plain = _step(reference, lambda: loss_of(reference(*windows)))
    difference = _first_gradients(encoder, reference, ours, plain)
    took = interleaved({"ours": ours, "reference": plain}, n_rounds)
    return {
        "ours_s": took["ours"].median_s,
        "reference_s": took["reference"].median_s,
        "ratio_of_best": took["ours"].best_s / took["reference"].best_s,
        "max_difference": difference,
        "threads": _N_THREADS,
        "allocator": "keeps freed memory, for both",
    }


def _step(model: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], None]:
    optimiser = torch.optim.AdamW(model.parameters(), _LEARNING_RATE)

    def step() -> None:
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()

    return step


def _first_gradients(
    encoder: MvSstmaEncoder, reference: ReferenceMvSstma, ours: Callable[[], None], plain: Callable[[], None]
) -> float:
    """Take a first step in both; return the largest difference of gradients.

    Relative to a parameter's largest gradient where that is more than 1.
    """
    ours()
    plain()
    expected = gradients_by_encoder_name(reference, encoder)
    largest = 0.0
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None
        scale = max(1.0, float(expected[name].abs().max()))
        largest = max(largest, float((parameter.grad - expected[name]).abs().max()) / scale)
    return largest
