"""Trains one masked autoencoder over a corpus, in one process or in several that share every batch.

A batch is one batch whatever the number of processes: each takes its share of the windows, and sums of
losses, of batch statistics and of gradients run over all of them, so the weights are those of one process.
"""

from __future__ import annotations

import json
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from acquisition.errors import ErrorCode, InputError
from models.encoders.layers import MaskedBatchNorm
from models.training.corpus import CorpusWindows, StepBatch
from models.training.loop import Report, TrainState, WarmUpCosine, load_state, save_state, train_steps
from models.training.pretrain_model import MaskedAutoencoder, to_device

#: Others wait so long for the process that reads a corpus for the first time.
_PATIENCE = timedelta(hours=12)
_AHEAD = 4  # batches that wait in memory


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

    NCCL joins GPUs (``cuda``), one a process; gloo joins CPUs. Raises `InputError`: the environment is
    incomplete, or there are more processes on a machine than GPUs.
    """
    size = _number("WORLD_SIZE", 1)
    local_rank = _number("LOCAL_RANK", 0)
    if device == "cuda":
        if local_rank >= torch.cuda.device_count():
            raise InputError(
                f"expected at most {torch.cuda.device_count()} processes on a machine, its GPUs, "
                f"found local rank {local_rank}",
                where="torchrun --nproc-per-node",
                code=ErrorCode.DEVICE,
            )
        torch.cuda.set_device(local_rank)
    where = torch.device(device, local_rank) if device == "cuda" else torch.device(device)
    if size == 1:
        yield World(device=where)
        return
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        what = f"WORLD_SIZE is {size}, but {', '.join(missing)} is not set"
        raise InputError(what, where="environment", remedy="start it with torchrun")
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


@dataclass(frozen=True)
class LoopOptions:
    """How one autoencoder is trained. The paper gives the rate; the rest is that of He et al. 2022."""

    epochs: int
    learning_rate: float = 1.5e-4
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.95)
    # A softmax ignores the keys' biases: their gradient is rounding error, which Adam's usual 1e-8 would
    # blow up to steps of full size that differ from one number of processes to the next.
    eps: float = 1e-6
    warm_up: float = 0.05  # of all steps
    log_every: int = 10  # steps
    checkpoint_every: int = 50  # steps


@dataclass(frozen=True)
class Outcome:
    """Result of a run."""

    losses: tuple[float, ...]  # mean of each epoch
    n_steps: int
    n_windows: int  # seen, all processes and epochs
    seconds: float
    windows_s: float  # of this process group, since it was started or resumed
    wait_share: float  # of the time, computing waited for data


def run_loop(
    model: MaskedAutoencoder,
    windows: CorpusWindows,
    options: LoopOptions,
    world: World,
    folder: Path,
    *,
    settings: dict[str, Any],
    resume: bool,
    report: Report,
) -> Outcome:
    """Train in place.

    The folder takes ``resume/<modality>.safetensors`` and ``loss.jsonl``; only the first process writes. A
    resumed run must have the same ``settings``. Raises `InputError`: the run cannot be resumed, or its loss
    is no longer finite.
    """
    stage, state_file = windows.modality, folder / "resume" / f"{windows.modality}.safetensors"
    model.to(world.device).train()
    world.join_statistics(model)
    parameters = list(model.parameters())
    optimiser = torch.optim.AdamW(
        parameters, options.learning_rate,
        betas=options.betas, eps=options.eps, weight_decay=options.weight_decay,
    )  # fmt: skip
    state = TrainState()
    if resume and state_file.is_file():
        state = load_state(state_file, model, optimiser, settings)
    n_steps = options.epochs * windows.batches_a_pass
    schedule = WarmUpCosine(optimiser, options.learning_rate, n_steps, options.warm_up, state.step)
    meter = _Meter(world, windows.batch)
    log = _LossLog(folder / "loss.jsonl", stage, state.step) if world.is_first else None
    saved = state.step
    batches = _ahead(windows, state.step, n_steps, world, meter)
    loss_of = _Loss(model, world, meter)
    for _ in train_steps(optimiser, batches, loss_of, clipped=parameters, schedule=schedule):
        meter.step_done()
        state.step += 1
        at_epoch = state.step % windows.batches_a_pass == 0
        if state.step % options.log_every and not at_epoch:
            continue
        mean = state.add(meter.take_losses(), ends_epoch=at_epoch)
        if not math.isfinite(mean):
            what = f"the loss is {mean} at step {state.step}"
            raise InputError(what, where=stage, remedy="lower --lr", code=ErrorCode.DATA)
        if log is not None:
            rate = schedule.rate_at(state.step - 1)
            log.write(state.step, (state.step - 1) // windows.batches_a_pass, mean, rate, meter)
        report(stage, state.step / n_steps, mean, meter.words())
        if state.step - saved >= options.checkpoint_every or state.step == n_steps:
            saved = state.step
            if world.is_first:
                kept = replace(state, seconds=state.seconds + meter.seconds)
                save_state(state_file, model, optimiser, kept, settings)
    n_windows, seconds = state.step * windows.batch, state.seconds + meter.seconds
    return Outcome(state.losses, state.step, n_windows, seconds, meter.windows_s, meter.wait_share)


class _Loss:
    """What one batch's gradients are of, in bf16 on a GPU; the meter is told the whole batch's loss."""

    def __init__(self, model: MaskedAutoencoder, world: World, meter: _Meter) -> None:
        self._world, self._meter = world, meter
        self._module = world.data_parallel(model)
        self._on_gpu = world.device.type == "cuda"

    def __call__(self, batch: StepBatch) -> Tensor:
        world = self._world
        with torch.autocast(world.device.type, torch.bfloat16, enabled=self._on_gpu):
            squares, count = self._module(*to_device(batch, world.device))
        with torch.no_grad():
            count = world.total(count).clamp(min=1.0)
        self._meter.losses.append(world.total(squares.detach()) / count)
        # Gradients are averaged over the processes, the loss is a sum over them.
        return squares * (world.size / count)


class _Meter:
    """Speed, and how long computing waited for data."""

    def __init__(self, world: World, batch: int) -> None:
        self._batch = batch
        self._event = torch.cuda.Event() if world.device.type == "cuda" else None
        self._began: float | None = None
        self._waited = 0.0
        self._n_steps = 0
        self.losses: list[Tensor] = []  # they stay on the device until `take_losses`

    def waiting(self, get: Callable[[], Any]) -> Any:
        """Return what ``get`` returns, and count how long nothing was computed meanwhile."""
        idle_before = self._event is None or self._event.query()
        start = time.perf_counter()
        item = get()
        now = time.perf_counter()
        if self._began is None:  # the first batch's wait, and the first step's set-up, are no speed
            self._began = now
            return item
        # On a GPU the queue of kernels may have run dry at any moment in between: half is the best guess.
        idle_after = self._event is None or self._event.query()
        self._waited += (now - start) * (idle_before + idle_after) / 2
        return item

    def step_done(self) -> None:
        """Count a step."""
        self._n_steps += 1
        if self._event is not None:
            self._event.record()

    def take_losses(self) -> list[float]:
        """Return the losses since the last call; waits for the device."""
        losses, self.losses = [float(loss) for loss in self.losses], []
        return losses

    @property
    def seconds(self) -> float:
        """Since the first batch was there."""
        return 0.0 if self._began is None else time.perf_counter() - self._began

    @property
    def windows_s(self) -> float:
        """Windows a second, all processes together."""
        return self._n_steps * self._batch / max(self.seconds, 1e-9)

    @property
    def wait_share(self) -> float:
        """Share of the time in which nothing was computed for want of data."""
        return self._waited / max(self.seconds, 1e-9)

    def words(self) -> str:
        """Return for example ``512 windows/s, 1 % waiting for data``."""
        return f"{self.windows_s:.0f} windows/s, {self.wait_share:.0%} waiting for data"


class _LossLog:
    """One JSON object a line; a resumed run's later lines are dropped first."""

    def __init__(self, path: Path, stage: str, step: int) -> None:
        self._path, self._stage = path, stage
        kept = []
        if path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [line for line in lines if line.endswith("\n") and self._stays(json.loads(line), step)]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(kept), encoding="utf-8")

    def _stays(self, entry: dict[str, Any], step: int) -> bool:
        return entry["modality"] != self._stage or entry["step"] <= step

    def write(self, step: int, epoch: int, loss: float, rate: float, meter: _Meter) -> None:
        entry = {
            "modality": self._stage,
            "step": step,
            "epoch": epoch,
            "loss": round(loss, 6),
            "lr": rate,
            "windows_s": round(meter.windows_s, 1),
            "wait": round(meter.wait_share, 4),
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def _ahead(windows: CorpusWindows, first: int, end: int, world: World, meter: _Meter) -> Iterator[StepBatch]:
    """Yield this process's share of the batches ``first`` to ``end``, read by a thread of its own."""
    ready: queue.Queue[StepBatch | Exception] = queue.Queue(_AHEAD)
    stopped = threading.Event()
    share = world.share(windows.batch)

    def read() -> None:
        for number in range(first, end):
            epoch, at = divmod(number, windows.batches_a_pass)
            try:
                item: StepBatch | Exception = windows.read(epoch, at, share)
            except Exception as error:  # a damaged shard: told where the batch was wanted
                item = error
            while not stopped.is_set():
                try:
                    ready.put(item, timeout=0.5)
                    break
                except queue.Full:
                    continue
            if stopped.is_set() or isinstance(item, Exception):
                return

    thread = threading.Thread(target=read, name="pretrain-loader", daemon=True)
    thread.start()
    try:
        for _ in range(first, end):
            item = meter.waiting(ready.get)
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()
