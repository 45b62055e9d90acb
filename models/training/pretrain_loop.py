"""Where a pre-training run stands, on disk: one safetensors file, replaced in one piece, no pickle."""

from __future__ import annotations

import json
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from acquisition.errors import InputError
from models.training.corpus_windows import CorpusWindows, StepBatch
from models.training.distributed import World
from models.training.pretrain_model import MaskedAutoencoder, to_device

_KEY = "state"


@dataclass
class Standing:
    """How far a run is."""

    step: int = 0  # optimiser steps done
    seconds: float = 0.0
    losses: tuple[float, ...] = ()  # mean of each finished epoch
    epoch_sum: float = 0.0  # of the running epoch's losses
    epoch_steps: int = 0


def save_standing(
    path: Path,
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    standing: Standing,
    settings: dict[str, Any],
) -> None:
    """Write weights, optimiser moments and the rest; a crash leaves the file before it."""
    tensors = {f"module.{name}": tensor for name, tensor in module.state_dict().items()}
    for name, parameter in module.named_parameters():
        for key, value in optimiser.state.get(parameter, {}).items():
            tensors[f"optimiser.{key}.{name}"] = torch.as_tensor(value)
    header = {_KEY: json.dumps({"settings": settings, "standing": vars(standing)})}
    unfinished = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({n: t.detach().cpu().contiguous() for n, t in tensors.items()}, unfinished, metadata=header)
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"the run's state cannot be written: {error}", where=str(path)) from error


def load_standing(
    path: Path, module: nn.Module, optimiser: torch.optim.Optimizer, settings: dict[str, Any]
) -> Standing:
    """Put weights and moments back and return where the run stood.

    Raises
    ------
    InputError
        The file is damaged, or the run had other settings or another corpus.
    """
    remedy = "leave --resume out to begin again"
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads(file.metadata()[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        other = sorted(
            name
            for name in {*settings, *state["settings"]}
            if state["settings"].get(name) != json.loads(json.dumps(settings.get(name)))
        )
        standing = Standing(**{**state["standing"], "losses": tuple(state["standing"]["losses"])})
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            "expected the state of a run, found damage", where=str(path), remedy=remedy
        ) from error
    if other:
        raise InputError(
            f"the run that stopped had another {', '.join(other)}",
            where="--resume",
            remedy=f"give what it had, or {remedy}",
        )
    module.load_state_dict(
        {n.removeprefix("module."): t for n, t in tensors.items() if n.startswith("module.")}
    )
    for name, parameter in module.named_parameters():
        optimiser.state[parameter] = {
            key: _moment(tensors, key, name, parameter) for key in ("step", "exp_avg", "exp_avg_sq")
        }
    return standing


def _moment(tensors: dict[str, Tensor], key: str, name: str, parameter: nn.Parameter) -> Tensor:
    tensor = tensors[f"optimiser.{key}.{name}"]
    return tensor if key == "step" else tensor.to(parameter.device)


#: Told stage, share done, running loss, and speed in words.
Report = Callable[[str, float, float, str], None]
_CLIP_NORM = 1.0
_AHEAD = 4  # batches that wait in memory


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
    compiled: bool = False

    def rate_at(self, step: int, n_steps: int) -> float:
        """Return the learning rate of a step from 0: linear warm-up, then half a cosine."""
        n_warm = max(1, round(self.warm_up * n_steps))
        if step < n_warm:
            return self.learning_rate * (step + 1) / n_warm
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - n_warm) / max(1, n_steps - n_warm)))


@dataclass(frozen=True)
class Outcome:
    """What a run came to."""

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

    Parameters
    ----------
    folder : Path
        Takes ``resume/<modality>.safetensors`` and ``loss.jsonl``; only the first process writes.
    settings : dict
        A resumed run must have the same.

    Raises
    ------
    InputError
        The run cannot be resumed, or its loss is no number any more.
    """
    stage, state_file = windows.modality, folder / "resume" / f"{windows.modality}.safetensors"
    model.to(world.device).train()
    world.join_statistics(model)
    parameters = list(model.parameters())
    optimiser = torch.optim.AdamW(
        parameters,
        options.learning_rate,
        betas=options.betas,
        eps=options.eps,
        weight_decay=options.weight_decay,
    )
    standing = Standing()
    if resume and state_file.is_file():
        standing = load_standing(state_file, model, optimiser, settings)
    step_of = _Step(model, world, options.compiled)
    n_steps = options.epochs * windows.batches_a_pass
    meter = _Meter(world, windows.batch)
    log = _LossLog(folder / "loss.jsonl", stage, standing.step) if world.is_first else None
    saved = standing.step
    for batch in _ahead(windows, standing.step, n_steps, world, meter):
        rate = options.rate_at(standing.step, n_steps)
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.zero_grad(set_to_none=True)
        loss = step_of(batch)
        nn.utils.clip_grad_norm_(parameters, _CLIP_NORM)
        optimiser.step()
        meter.step_done(loss)
        standing.step += 1
        at_epoch = standing.step % windows.batches_a_pass == 0
        if standing.step % options.log_every and not at_epoch:
            continue
        mean = _settle(standing, meter.take_losses(), at_epoch)
        if not math.isfinite(mean):
            raise InputError(f"the loss is {mean} at step {standing.step}", where=stage, remedy="lower --lr")
        if log is not None:
            log.write(standing.step, (standing.step - 1) // windows.batches_a_pass, mean, rate, meter)
        report(stage, standing.step / n_steps, mean, meter.words())
        if standing.step - saved >= options.checkpoint_every or standing.step == n_steps:
            saved = standing.step
            kept = Standing(**{**vars(standing), "seconds": standing.seconds + meter.seconds})
            if world.is_first:
                save_standing(state_file, model, optimiser, kept, settings)
    return Outcome(
        standing.losses,
        standing.step,
        standing.step * windows.batch,
        standing.seconds + meter.seconds,
        meter.windows_s,
        meter.wait_share,
    )


def _settle(standing: Standing, losses: list[float], at_epoch: bool) -> float:
    """Add losses to the epoch's, end it if it is due, and return their mean."""
    standing.epoch_sum += sum(losses)
    standing.epoch_steps += len(losses)
    if at_epoch:
        standing.losses = (*standing.losses, standing.epoch_sum / standing.epoch_steps)
        standing.epoch_sum, standing.epoch_steps = 0.0, 0
    return sum(losses) / len(losses)


class _Step:
    """Forward and backward of one batch, in bf16 on a GPU."""

    def __init__(self, model: MaskedAutoencoder, world: World, compiled: bool) -> None:
        self._world = world
        self._module = world.data_parallel(model)
        if compiled:
            self._module = torch.compile(self._module)  # type: ignore[assignment]
        self._on_gpu = world.device.type == "cuda"

    def __call__(self, batch: StepBatch) -> Tensor:
        """Return the loss of the whole batch, without gradient, after computing gradients of it."""
        world = self._world
        with torch.autocast(world.device.type, torch.bfloat16, enabled=self._on_gpu):
            squares, count = self._module(*to_device(batch, world.device))
        with torch.no_grad():
            count = world.total(count).clamp(min=1.0)
        # Gradients are averaged over the processes, the loss is a sum over them.
        (squares * (world.size / count)).backward()
        return world.total(squares.detach()) / count


class _Meter:
    """Speed, and how long computing waited for data."""

    def __init__(self, world: World, batch: int) -> None:
        self._batch = batch
        self._event = torch.cuda.Event() if world.device.type == "cuda" else None
        self._began: float | None = None
        self._waited = 0.0
        self._n_steps = 0
        self._losses: list[Tensor] = []

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

    def step_done(self, loss: Tensor) -> None:
        """Count a step; its loss stays on the device until `take_losses`."""
        self._losses.append(loss)
        self._n_steps += 1
        if self._event is not None:
            self._event.record()

    def take_losses(self) -> list[float]:
        """Return the losses since the last call; waits for the device."""
        losses, self._losses = [float(loss) for loss in self._losses], []
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
