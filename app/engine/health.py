"""Figures of model, streams, latency and computer for the window, and the occlusion check on request."""

import threading
from collections.abc import Callable
from typing import Any

import psutil
import torch

from acquisition.clock import stopwatch
from app.engine.messages import HealthPart, ModelInfo, Occlusion
from app.modality_mask import Rest
from app.model_loading import choose_device
from app.request import SessionOptions
from app.telemetry import Telemetry
from models.checkpoint import Checkpoint
from models.decoder import Decoder
from models.occlusion import OcclusionRun
from models.process import give_back_freed_memory


def model_info(checkpoint: Checkpoint, options: SessionOptions) -> ModelInfo:
    """Describe a loaded model on the device that ``options`` choose."""
    config = checkpoint.config
    profile = options.profile_summary()
    device = choose_device(options.device)
    return ModelInfo(
        name=options.model.name,
        path=options.model,
        labels=config.labels,
        ch_names=config.ch_names,
        trained_on=config.trained_on,
        is_simulated=config.is_simulated,
        preset=config.network.preset,
        n_parameters=sum(parameter.numel() for parameter in checkpoint.network.parameters()),
        device=torch.cuda.get_device_name() if device == "cuda" else "cpu",
        bands=tuple(config.features.bands),
        windows=config.windows,
        profile="" if profile is None else profile.name,
        verdict="" if profile is None else profile.verdict,
        warning="" if profile is None else profile.warning,
        unused=config.evidence.unused if config.evidence is not None else (),
        modalities=config.modalities,
        answers=config.answers,
    )


PERIOD_S = 0.5  # between two reports to the window
_TRIM_EVERY = 20  # reports


class HealthMeter:
    """Makes `HealthPart` from a session's figures and the use of this process and its ``device``."""

    def __init__(self, telemetry: Telemetry, device: str) -> None:
        self._telemetry, self._device = telemetry, device
        self._process = psutil.Process()
        self._process.cpu_percent()  # the first call begins the count
        self._n_parts = 0

    def part(self, time: float, *, rest: Rest | None = None, **of_session: Any) -> HealthPart:
        """Return the figures at ``time`` (LSL seconds); ``of_session`` are fields of `HealthPart`."""
        self._n_parts += 1
        if self._n_parts % _TRIM_EVERY == 0:
            give_back_freed_memory()
        p50, p99 = self._telemetry.latency_ms(50, 99)
        given: dict[str, Any] = {
            "streams": {},
            "recording": None,
            "n_predictions": self._telemetry.n_predictions,
        }
        return HealthPart(
            time=time,
            latency_p50_ms=p50,
            latency_p99_ms=p99,
            n_skipped=self._telemetry.n_skipped,
            cpu_percent=self._process.cpu_percent(),
            memory_mb=self._process.memory_info().rss / 1e6,
            gpu=self._gpu(),
            rest_left_s=0.0 if rest is None else max(0.0, rest.time + rest.duration_s - time),
            **given | of_session,
        )

    def _gpu(self) -> str:
        if self._device == "cpu":
            return ""
        try:
            free, total = torch.cuda.mem_get_info()
        except RuntimeError:  # the context is lost; the decoder says so and continues on the CPU
            return f"{self._device}: not responding"
        return f"{self._device}, {(total - free) / 1e9:.1f} of {total / 1e9:.1f} GB in use"


#: Seconds a slice may take; a window comes every 0.25 s and takes 10 to 30 ms itself.
BUDGET_S = 0.04


class OcclusionCheck:
    """Runs the occlusion check in slices, without delaying decoding.

    ``tell`` takes the result, in the thread that calls `work`. A slice takes ``budget_s`` seconds and at
    least one variant, so that the check ends.
    """

    def __init__(
        self,
        decoder: Decoder,
        tell: Callable[[Occlusion], None],
        budget_s: float = BUDGET_S,
        time: Callable[[], float] = stopwatch,
    ) -> None:
        self._decoder, self._tell, self._budget_s = decoder, tell, budget_s
        self._time = time
        self._asked = threading.Event()
        self._run: OcclusionRun | None = None

    def ask(self) -> None:
        """Have the newest window checked; from any thread. A running check serves as the answer."""
        self._asked.set()

    @property
    def has_work(self) -> bool:
        return self._run is not None or (self._asked.is_set() and self._decoder.newest is not None)

    def forget(self) -> None:
        """Drop a request: earlier windows are void."""
        self._asked.clear()
        self._run = None

    def work(self) -> None:
        """Do a slice of the check, if requested; in the decode thread, after each window."""
        if not self.has_work:
            return
        if self._run is None:
            assert self._decoder.newest is not None
            self._run = OcclusionRun(self._decoder, self._decoder.newest)
        end = self._time() + self._budget_s
        while self._run.advance():
            if self._time() >= end:
                return
        prediction, found = self._run.prediction, tuple(self._run.effects)
        probability, has_parts = prediction.probs[prediction.label], self._run.has_parts
        self._tell(Occlusion(prediction.t_end, prediction.label, probability, found, has_parts))
        self._run = None
        self._asked.clear()
