"""Data-parallel training: the processes that `torchrun` starts, and what they have to agree on.

A batch is one batch whatever the number of processes: each takes its share of the windows, sums of losses,
of batch statistics and of gradients run over all of them, so the weights are those of one process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from acquisition.errors import InputError
from models.encoders.mv_sstma_block import MaskedBatchNorm

#: Others wait so long for the process that reads a corpus for the first time.
_PATIENCE = timedelta(hours=12)


class _Total(torch.autograd.Function):
    """Sum over all processes; each one's gradient is the sum of all their gradients, too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.detach().clone().contiguous()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].contiguous().clone()
        dist.all_reduce(total)
        return total


@dataclass(frozen=True)
class World:
    """This process among those that train together."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # on this machine
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_first(self) -> bool:
        """True for the one process that writes."""
        return self.rank == 0

    def share(self, n: int) -> slice:
        """Return this process's part of a batch of ``n`` windows."""
        return slice(self.rank * n // self.size, (self.rank + 1) * n // self.size)

    def total(self, x: Tensor) -> Tensor:
        """Return the sum of a tensor over all processes, with gradient."""
        return x if self.size == 1 else _Total.apply(x)

    def wait(self) -> None:
        """Return once all processes have come here."""
        if self.size > 1:
            dist.barrier()

    def join_statistics(self, module: nn.Module) -> None:
        """Let all batch normalisations of a module take their statistics from the whole batch."""
        for part in module.modules():
            if isinstance(part, MaskedBatchNorm):
                part.total = self.total if self.size > 1 else None

    def data_parallel(self, module: nn.Module) -> nn.Module:
        """Return the module with its gradients averaged over the processes."""
        if self.size == 1:
            return module
        on_gpu = self.device.type == "cuda"
        return nn.parallel.DistributedDataParallel(
            module,
            device_ids=[self.device.index] if on_gpu else None,
            broadcast_buffers=False,  # batch statistics are the same everywhere already
        )


@contextmanager
def joined_world(device: str) -> Iterator[World]:
    """Give the world that the environment describes: RANK, WORLD_SIZE, LOCAL_RANK, as `torchrun` sets them.

    Parameters
    ----------
    device : {"cpu", "cuda"}
        NCCL joins GPUs, one a process; gloo joins CPUs.

    Raises
    ------
    InputError
        The environment is incomplete, or there are more processes on a machine than GPUs.
    """
    size = _number("WORLD_SIZE", 1)
    local_rank = _number("LOCAL_RANK", 0)
    if device == "cuda":
        if local_rank >= torch.cuda.device_count():
            raise InputError(
                f"expected at most {torch.cuda.device_count()} processes on a machine, its GPUs, "
                f"found local rank {local_rank}",
                where="torchrun --nproc-per-node",
            )
        torch.cuda.set_device(local_rank)
    where = torch.device(device, local_rank) if device == "cuda" else torch.device(device)
    if size == 1:
        yield World(device=where)
        return
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise InputError(
            f"WORLD_SIZE is {size}, but {', '.join(missing)} is not set",
            where="environment",
            remedy="start it with torchrun",
        )
    dist.init_process_group("nccl" if device == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield World(_number("RANK", 0), size, local_rank, where)
    finally:
        dist.destroy_process_group()


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdigit():
        raise InputError(f"expected a number, found {text!r}", where=f"environment, {name}")
    return int(text)
