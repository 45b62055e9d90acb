"""Trains one masked autoencoder over a corpus, in one process or in several that share every batch.

It hides channels of a window and rebuilds them: an encoder of `models.network.FusionNetwork` and a decoder of
its size. The loss is the squared error on hidden channels, in units of the variance of what is rebuilt: 1 is
what guessing the mean gives.

A batch is one batch whatever the number of processes: each takes its share of the windows, and sums of
losses, of batch statistics and of gradients run over all of them, so the weights are those of one process.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.optim.lr_scheduler import LambdaLR

from acquisition.errors import ErrorCode, InputError
from models.encoders.layers import MaskedBatchNorm, by_step
from models.encoders.mv_sstma import MvSstmaDecoder, MvSstmaEncoder, random_channel_mask
from models.normalise import EegScale, EyeScale
from models.training.corpus import CorpusWindows, StepBatch
from models.training.loop import Report, TrainState, load_state, save_state, train_steps, warm_up_cosine
from models.window_batch import eeg_rule, normalised_steps, usable_in_any_step

#: Others wait so long for the process that reads a corpus for the first time.
_PATIENCE = timedelta(hours=12)
_AHEAD = 4  # batches that wait in memory


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


@dataclass(frozen=True)
class World:
    """This process among those that train together."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # on this machine
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def share(self, n: int) -> slice:
        """Return this process's part of a batch of ``n`` windows."""
        return slice(self.rank * n // self.size, (self.rank + 1) * n // self.size)

    def total(self, x: Tensor) -> Tensor:
        """Return the sum of a tensor over all processes, with gradient."""
        return x if self.size == 1 else all_reduce(x)

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
    """Give the world that `torchrun`'s environment describes, over NCCL or gloo; else `InputError`."""
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
    """Train in place, resuming in ``folder`` with the same ``settings``; raises `InputError` if it cannot."""
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
    share = warm_up_cosine(n_steps, options.warm_up)
    for group in optimiser.param_groups:
        group["initial_lr"] = options.learning_rate
    schedule = LambdaLR(optimiser, share, state.step - 1)
    meter, saved, log = _Meter(world, windows.batch), state.step, folder / "loss.jsonl"
    if world.is_first:
        _forget_later(log, stage, state.step)
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
        if world.is_first:
            entry = {
                "modality": stage,
                "step": state.step,
                "epoch": (state.step - 1) // windows.batches_a_pass,
                "loss": round(mean, 6),
                "lr": options.learning_rate * share(state.step - 1),
                "windows_s": round(meter.windows_s, 1),
                "wait": round(meter.wait_share, 4),
            }
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
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

    def _on_device(self, array: NDArray[Any]) -> Tensor:
        tensor = torch.from_numpy(array)
        return tensor.pin_memory().to(self._world.device, non_blocking=True) if self._on_gpu else tensor

    def __call__(self, batch: StepBatch) -> Tensor:
        world = self._world
        with torch.autocast(world.device.type, torch.bfloat16, enabled=self._on_gpu):
            squares, count = self._module(*map(self._on_device, vars(batch).values()))
        with torch.no_grad():
            count = world.total(count).clamp(min=1.0)
        self._meter.losses.append(world.total(squares.detach()) / count)
        # Gradients are averaged over the processes, the loss is a sum over them.
        return squares * (world.size / count)


class _Meter:
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
        self._n_steps += 1
        if self._event is not None:
            self._event.record()

    def take_losses(self) -> list[float]:
        losses, self.losses = [float(loss) for loss in self.losses], []
        return losses

    @property
    def seconds(self) -> float:
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
        return f"{self.windows_s:.0f} windows/s, {self.wait_share:.0%} waiting for data"


def _forget_later(log: Path, stage: str, step: int) -> None:
    """Drop a stage's lines of later steps, and one that was cut off, before a run is resumed."""
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True) if log.is_file() else []
    entries = [(line, json.loads(line)) for line in lines if line.endswith("\n")]
    kept = [line for line, one in entries if one["modality"] != stage or one["step"] <= step]
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("".join(kept), encoding="utf-8")


def _ahead(windows: CorpusWindows, first: int, end: int, world: World, meter: _Meter) -> Iterator[StepBatch]:
    """Yield this process's share of the batches ``first`` to ``end``, read by a thread of its own."""
    share, numbers = world.share(windows.batch), iter(range(first, end))
    with ThreadPoolExecutor(1, "pretrain-loader") as reader:

        def begun(n: int) -> Iterator[Future[StepBatch]]:
            for number in islice(numbers, n):
                yield reader.submit(windows.read, *divmod(number, windows.batches_a_pass), share)

        ready = deque(begun(_AHEAD))
        while ready:
            batch = meter.waiting(ready.popleft().result)
            ready.extend(begun(1))
            yield batch
