"""Differential entropy, MV-SSTMA (forward, streamed, a training step), and the paper's sizes on a GPU."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn

from acquisition.clock import stopwatch
from acquisition.montage import SEED_CH_NAMES
from acquisition.simulator.subject import EMOTIONS
from acquisition.types import MODALITIES
from models.config import ModelConfig, MvSstmaConfig, preset
from models.encoders.mv_sstma import MvSstmaEncoder
from models.features.log_mel import n_log_mel_frames
from models.forward import Forward
from models.network import FusionNetwork
from models.process import keep_freed_memory
from models.window_batch import NetworkInput
from tests.benchmarks.reference_mv_sstma import ReferenceMvSstma, gradients_by_encoder_name
from tests.benchmarks.rows import Row, Say, interleaved, row
from tests.benchmarks.setting import in_own_process

_N_CHANNELS, _N_STEPS, _N_BANDS = 62, 10, 5
_MAX_DIFFERENCE, _MAX_GRADIENT_DIFFERENCE = 1e-5, 1e-4
_BATCH, _N_THREADS = 64, 2  # of a training step
_LEARNING_RATE = 1.5e-4  # the paper's, of pre-training
_DE_SFREQ = 1000
_DE_N_WINDOWS = 60  # a minute of one-second windows, as a replay or training meets them
_MIN_OF_WELCH = 3.0


def bench_mv_sstma(quick: bool, say: Say) -> list[Row]:
    """Return the row ``mv_sstma_forward``: one window 62 x 10 x 5 through the EEG encoder."""
    say("MV-SSTMA, one window")
    torch.manual_seed(0)
    network = FusionNetwork(_config("small")).eval()
    encoder = network.eeg
    assert isinstance(encoder, MvSstmaEncoder)
    reference = ReferenceMvSstma.from_encoder(encoder)
    network.prepare_inference()
    window = _windows(1)
    with torch.inference_mode():
        difference = float((encoder(*window)[0] - reference(*window)).abs().max())
        took = interleaved(
            {"ours": lambda: encoder(*window), "reference": lambda: reference(*window)},
            n_rounds=15 if quick else 150,
        )
    ours, plain = took["ours"], took["reference"]
    detail = {
        "max_difference": difference,
        "ratio_of_best": ours.best_s / plain.best_s,
        "ours_best_ms": ours.best_s * 1e3,
        "reference_best_ms": plain.best_s * 1e3,
    }
    is_equal = difference < _MAX_DIFFERENCE
    return [row("mv_sstma_forward", ours.median_s * 1e3, plain.median_s * 1e3, detail, also=is_equal)]


def _windows(n: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return random windows, the channels' positions, and masks of all there."""
    return (
        torch.randn(n, _N_CHANNELS, _N_STEPS, _N_BANDS),
        torch.arange(_N_CHANNELS),
        torch.ones(n, _N_STEPS, dtype=torch.bool),
        torch.ones(n, _N_CHANNELS, dtype=torch.bool),
    )


def bench_mv_sstma_tick(quick: bool, say: Say) -> list[Row]:
    """Return the row ``mv_sstma_tick``: one step of the streaming encoder against the window form's forward.

    Same weights, and one thread, as ``live`` gives a small network; the ratio on all threads is a detail.
    The difference is that of stepping through a sequence and passing it at once.
    """
    say("MV-SSTMA, one streamed step")
    torch.manual_seed(0)
    window = MvSstmaEncoder(_config("small").network.eeg, _N_CHANNELS).eval()
    stream = MvSstmaEncoder(replace(window.config, context="streaming"), _N_CHANNELS).eval()
    stream.load_state_dict(window.state_dict())
    window.fold()
    stream.fold()
    n_steps = stream.config.n_context_steps + _N_STEPS
    features, positions = torch.randn(1, _N_CHANNELS, n_steps, _N_BANDS), torch.arange(_N_CHANNELS)
    valid, channels = torch.ones(1, n_steps, dtype=torch.bool), torch.ones(1, _N_CHANNELS, dtype=torch.bool)
    state = stream.start(_N_CHANNELS)

    def tick(at: int = 0) -> torch.Tensor:
        return stream.step(features[:, :, at], positions, channels, state)[0]

    with torch.inference_mode():
        stepped = torch.cat([tick(at) for at in range(n_steps)], dim=1)
        difference = float((stepped - stream(features, positions, valid, channels)[0]).abs().max())
        newest, their_valid = features[:, :, -_N_STEPS:], valid[:, -_N_STEPS:]
        calls = {"tick": tick, "window": lambda: window(newest, positions, their_valid, channels)}
        n_rounds, n_threads = 15 if quick else 150, torch.get_num_threads()
        on_all = interleaved(calls, n_rounds)
        torch.set_num_threads(1)
        try:
            took = interleaved(calls, n_rounds)
        finally:
            torch.set_num_threads(n_threads)
    tick_s, window_s = took["tick"].median_s, took["window"].median_s
    detail = {
        "max_difference": difference,
        "ratio_of_best": took["tick"].best_s / took["window"].best_s,
        "threads": 1,
        "ratio_on_all_threads": on_all["tick"].median_s / on_all["window"].median_s,
        "all_threads": n_threads,
    }
    is_equal = difference < _MAX_DIFFERENCE
    return [row("mv_sstma_tick", tick_s * 1e3, window_s * 1e3, detail, also=is_equal)]


def bench_cuda(quick: bool, say: Say) -> list[Row]:
    """Return ``forward_cuda_eager`` and ``forward_cuda_graphed`` of the paper's sizes; [] without a GPU.

    A tick is one new face, one new voice clip and the fusion network. Graphed, the fusion network is
    one CUDA graph, as `Forward` runs it.
    """
    if not torch.cuda.is_available():
        return []
    say("paper preset on the GPU")
    config = _config("paper")
    torch.manual_seed(0)
    network = FusionNetwork(config).eval()
    failures: list[str] = []
    graphed = Forward(network, torch.device("cuda"), failures.append)
    eager_network = FusionNetwork(config)
    eager_network.load_state_dict(network.state_dict())
    eager_network = eager_network.to("cuda").prepare_inference()
    crop = torch.randn(3, config.features.face_size, config.features.face_size)
    n_frames = n_log_mel_frames(round(config.windows.voice_s * config.features.voice_sfreq))
    voice = (torch.randn(1, n_frames, config.features.n_mels), torch.ones(1, n_frames, dtype=torch.bool))
    inputs = _inputs(config, graphed.n_voice_tokens(n_frames))

    def tick_eager() -> None:
        eager_network.encode_face(crop[None].cuda()).cpu()
        eager_network.encode_voice(voice[0].cuda(), voice[1].cuda())[0].cpu()
        torch.softmax(eager_network(inputs.to("cuda")).logits, dim=-1).cpu()

    def tick_graphed() -> None:
        graphed.encode_face(crop)
        graphed.encode_voice(voice)
        graphed(inputs)

    n_rounds = 30 if quick else 300
    with torch.inference_mode():
        eager_ms = _p50_ms(tick_eager, n_rounds)
        graphed_ms = _p50_ms(tick_graphed, n_rounds)
        fusion_ms = _p50_ms(lambda: graphed(inputs), n_rounds)
        fusion_eager_ms = _p50_ms(lambda: eager_network(inputs.to("cuda")).logits.cpu(), n_rounds)
    detail = {"gpu": torch.cuda.get_device_name(), "preset": "paper", "failures": failures}
    hop_ms = config.windows.hop_s * 1e3
    return [
        row(f"forward_cuda_{name}", tick_ms, hop_ms, detail | {"fusion_alone_ms": fusion}, also=not failures)
        for name, tick_ms, fusion in (
            ("eager", eager_ms, fusion_eager_ms),
            ("graphed", graphed_ms, fusion_ms),
        )
    ]


def _config(name: str) -> ModelConfig:
    config = preset(name, labels=EMOTIONS, ch_names=SEED_CH_NAMES)
    return replace(config, trained_on="nothing: random weights for timing")


def _p50_ms(tick: Callable[[], object], n_rounds: int) -> float:
    seconds = []
    for _ in range(5):  # lazy initialisation, and the graph's capture
        tick()
    for _ in range(n_rounds):
        torch.cuda.synchronize()
        began = stopwatch()
        tick()
        torch.cuda.synchronize()
        seconds.append(stopwatch() - began)
    return statistics.median(seconds) * 1e3


def _inputs(config: ModelConfig, n_voice_tokens: int) -> NetworkInput:
    windows, sizes = config.windows, config.network
    n_faces = round(windows.face_s / windows.face_grid_s)

    def valid(n: int) -> torch.Tensor:
        return torch.ones(1, n, dtype=torch.bool)

    return NetworkInput(
        eeg=torch.randn(1, _N_CHANNELS, windows.eeg_n_steps, sizes.eeg.in_features),
        eeg_positions=torch.arange(_N_CHANNELS),
        eeg_step_mask=valid(windows.eeg_n_steps),
        eeg_channel_mask=valid(_N_CHANNELS),
        eye=torch.randn(1, sizes.n_eye_features, windows.eye_n_steps),
        eye_step_mask=valid(windows.eye_n_steps),
        eye_feature_mask=valid(sizes.n_eye_features),
        face_tokens=torch.randn(1, n_faces, sizes.face.width),
        face_mask=valid(n_faces),
        face_times=torch.arange(n_faces)[None] * windows.face_grid_s,
        voice_tokens=torch.randn(1, n_voice_tokens, sizes.voice.width),
        voice_mask=valid(n_voice_tokens),
        voice_times=torch.linspace(0.0, windows.voice_s, n_voice_tokens)[None],
        present=valid(4),
        evidence=torch.zeros(1, len(MODALITIES), len(config.labels)),
        reliability=torch.ones(1, len(MODALITIES)),
    )


def bench_mv_sstma_training(quick: bool, say: Say) -> list[Row]:
    """Return the row ``mv_sstma_train_step``: forward, backward and AdamW on 64 windows of 62 x 10 x 5.

    Two threads that wait as in training, and an allocator that keeps freed memory, for both.
    """
    say("MV-SSTMA, a training step")
    with patch.dict(os.environ):
        os.environ.pop("OMP_WAIT_POLICY", None)
        found = in_own_process(_train, 2 if quick else 10)
    is_equal = found["max_difference"] < _MAX_GRADIENT_DIFFERENCE
    ours_ms, reference_ms = found["ours_s"] * 1e3, found["reference_s"] * 1e3
    return [row("mv_sstma_train_step", ours_ms, reference_ms, found, also=is_equal)]


def _train(n_rounds: int) -> dict[str, Any]:
    torch.set_num_threads(_N_THREADS)
    keep_freed_memory()
    torch.manual_seed(0)
    # Dropout draws other numbers in another order, so it is off in both.
    encoder = MvSstmaEncoder(replace(MvSstmaConfig(), dropout=0.0), _N_CHANNELS)
    reference = ReferenceMvSstma.from_encoder(encoder).train()
    encoder.train()
    windows = _windows(_BATCH)
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


def bench_de(quick: bool, say: Say) -> list[Row]:
    """Return the row ``de_features``: times real time, the median of interleaved repeats."""
    say("differential entropy of a minute of windows")
    many = _times_real_time(_DE_N_WINDOWS, n_rounds=8 if quick else 40)
    say("differential entropy of one window")
    one = _times_real_time(1, n_rounds=50 if quick else 300)
    of_welch = many["ours"] / many["mne_welch"]
    detail: dict[str, Any] = {
        "n_windows": _DE_N_WINDOWS,
        "dtype": "float64",
        "ratio_to_mne_welch": of_welch,
        "mne_welch_x_real_time": many["mne_welch"],
        "ratio_of_best": many["ours_best"] / many["scipy_rfft_best"],
        "one_window": {
            "ours_x_real_time": one["ours"],
            "scipy_rfft_x_real_time": one["scipy_rfft"],
            "ratio_to_scipy_rfft": one["ours"] / one["scipy_rfft"],
            "ratio_to_mne_welch": one["ours"] / one["mne_welch"],
        },
    }
    return [row("de_features", many["ours"], many["scipy_rfft"], detail, also=of_welch >= _MIN_OF_WELCH)]


def _times_real_time(n_windows: int, n_rounds: int) -> dict[str, float]:
    """Return seconds of signal handled a second, by function, and of each one's best call."""
    import scipy.fft
    from mne import set_log_level
    from mne.time_frequency import psd_array_welch

    from models.features.config import FeatureConfig
    from models.features.eeg import differential_entropy

    set_log_level("ERROR")
    config, n = FeatureConfig(), _DE_SFREQ
    rng = np.random.default_rng(0)
    # float64, as the EEG adapter gives it.
    windows = 20.0 * rng.standard_normal((n_windows, _N_CHANNELS, n))
    tensor = torch.from_numpy(windows)

    def bare() -> None:
        for _ in range(config.n_tapers):  # as many transforms as tapers; none is kept: memory costs
            scipy.fft.rfft(windows, workers=2)

    took = interleaved(
        {
            "ours": lambda: differential_entropy(tensor, float(n), config),
            "scipy_rfft": bare,
            "mne_welch": lambda: psd_array_welch(
                windows, _DE_SFREQ, fmin=1, fmax=50, n_fft=_DE_SFREQ, n_jobs=1
            ),
        },
        n_rounds,
    )
    figures = {name: n_windows / timing.median_s for name, timing in took.items()}
    return figures | {f"{name}_best": n_windows / timing.best_s for name, timing in took.items()}
