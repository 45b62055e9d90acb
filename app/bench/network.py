"""The MV-SSTMA forward pass against a plain module, a streamed step, and the paper's sizes on a GPU."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace

import torch

from acquisition.clock import stopwatch
from acquisition.montage import SEED_CH_NAMES
from acquisition.simulator.subject import EMOTIONS
from app.bench.reference_mv_sstma import ReferenceMvSstma
from app.bench.rows import Row, Say, interleaved, row
from models.config import ModelConfig, preset
from models.encoders.mv_sstma import MvSstmaEncoder
from models.features.log_mel import n_log_mel_frames
from models.forward import Forward
from models.network import FusionNetwork
from models.window_batch import NetworkInput

TARGET = "<= 0.5 x, equal to 1e-5"
_MAX_OF_REFERENCE, _MAX_DIFFERENCE = 0.5, 1e-5
TICK_TARGET = "<= 0.3 x, equal to 1e-5"
_MAX_OF_WINDOW = 0.3
_N_CHANNELS, _N_STEPS, _N_BANDS = 62, 10, 5


def bench_mv_sstma(quick: bool, say: Say) -> list[Row]:
    """Return the row ``mv_sstma_forward``: one window 62 x 10 x 5 through the EEG encoder."""
    say("MV-SSTMA, one window")
    torch.manual_seed(0)
    network = FusionNetwork(_config("small")).eval()
    encoder = network.eeg
    assert isinstance(encoder, MvSstmaEncoder)
    reference = ReferenceMvSstma.from_encoder(encoder)
    network.prepare_inference()
    window = (
        torch.randn(1, _N_CHANNELS, _N_STEPS, _N_BANDS),
        torch.arange(_N_CHANNELS),
        torch.ones(1, _N_STEPS, dtype=torch.bool),
        torch.ones(1, _N_CHANNELS, dtype=torch.bool),
    )
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
    return [
        row(
            "mv_sstma_forward",
            ours.median_s * 1e3,
            plain.median_s * 1e3,
            "plain PyTorch module",
            "ms",
            TARGET,
            lambda ours, ratio: ratio <= _MAX_OF_REFERENCE and difference < _MAX_DIFFERENCE,
            detail,
        )
    ]


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
    return [
        row(
            "mv_sstma_tick",
            took["tick"].median_s * 1e3,
            took["window"].median_s * 1e3,
            "the window form",
            "ms",
            TICK_TARGET,
            lambda ours, ratio: ratio <= _MAX_OF_WINDOW and difference < _MAX_DIFFERENCE,
            {
                "max_difference": difference,
                "ratio_of_best": took["tick"].best_s / took["window"].best_s,
                "threads": 1,
                "ratio_on_all_threads": on_all["tick"].median_s / on_all["window"].median_s,
                "all_threads": n_threads,
            },
        )
    ]


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
    rows = []
    for name, tick, fusion in (("eager", eager_ms, fusion_eager_ms), ("graphed", graphed_ms, fusion_ms)):
        rows.append(
            row(
                f"forward_cuda_{name}",
                tick,
                hop_ms,
                "hop",
                "ms",
                "within the hop",
                lambda ours, ratio: ratio < 1 and not failures,
                detail | {"fusion_alone_ms": fusion},
            )
        )
    return rows


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
    )
