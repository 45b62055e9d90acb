"""One and the same second of a person is one and the same input, whoever builds it.

Live, calibration, fine-tuning, pre-training and simulated training hold the steps of windows in forms of
their own. Here all of them are given the same recording.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from acquisition.types import MODALITIES, Step, Window
from calibration.rows import RowTable
from calibration.tokens import TrialWindows
from calibration.types import TrialRecord
from models.config import ModelConfig, MvSstmaConfig, preset
from models.datasets.trials import Trial, WindowSet
from models.encoders.mv_sstma import MvSstmaEncoder
from models.network import FusionNetwork
from models.normalise import EegScale, EyeScale, Normaliser
from models.papers.eav_network import ClipArrays, ClipBatches
from models.steps import CachedStep, EegStep
from models.training.pretrain_model import MaskedAutoencoder
from models.training.simulated_data import Rows, SubjectFeatures
from models.training.stages import RowInputs
from models.training.trial_tensors import TrialTensors, cut_for
from models.window_batch import NetworkInput, assemble

CH_NAMES = ("FP1", "FP2", "F3", "F4", "O1", "O2")
CONNECTED = ("FP1", "F3", "F4", "O1", "O2")
POSITIONS = [CH_NAMES.index(name) for name in CONNECTED]
N_SECONDS, N_BANDS, N_EYE = 40, 5, 33
HOPS = 4  # a second
GAPS = (12, 33)  # rows of seconds without any EEG or gaze
ENDS = (17, 25, 30, 36, 40)  # seconds at which a window ends; the newest step and enough others are there
EARLY = (4, 6)  # whose first steps lie before the recording


@dataclass(frozen=True, eq=False)
class Recording:
    """A row a second of raw features; row i ends at second i + 1."""

    de: NDArray[np.float32]  # (n, C, F) of the connected channels
    usable: NDArray[np.bool_]  # (n, C)
    eye: NDArray[np.float32]  # (n, E) NaN where not measured

    def without(self, modality: str) -> Recording:
        if modality == "eeg":
            return replace(self, usable=np.zeros_like(self.usable))
        return replace(self, eye=np.full_like(self.eye, np.nan))

    @property
    def eeg_rows(self) -> NDArray[np.float32]:
        """Entropy as data sets hold it, NaN where unusable."""
        return np.where(self.usable[..., None], self.de, np.float32(np.nan))

    @property
    def eye_there(self) -> NDArray[np.bool_]:
        return np.isfinite(self.eye).any(axis=1)


@pytest.fixture(scope="module")
def recording() -> Recording:
    rng = np.random.default_rng(3)
    usable = rng.random((N_SECONDS, len(CONNECTED))) > 0.2
    usable[:, 0] = True
    usable[18:24, 1] = False  # more than half of a window
    usable[[16, 29], 2] = False  # the newest step of a window
    eye = rng.normal(1.0, 1.0, (N_SECONDS, N_EYE)).astype(np.float32)
    eye[rng.random(eye.shape) < 0.2] = np.nan
    eye[:, 5] = np.nan  # never measured
    usable[list(GAPS)], eye[list(GAPS)] = False, np.nan
    return Recording(
        rng.normal(1.5, 1.0, (N_SECONDS, len(CONNECTED), N_BANDS)).astype(np.float32), usable, eye
    )


@pytest.fixture(scope="module", params=["window", "streaming"])
def network(request: pytest.FixtureRequest) -> FusionNetwork:
    config = preset("small", labels=("sad", "happy"), ch_names=CH_NAMES, eeg_context=request.param)
    sizes = replace(config.network, eeg=MvSstmaConfig(n_layers=1, context=request.param))
    windows = replace(config.windows, n_context_steps=sizes.eeg.n_context_steps)
    return FusionNetwork(replace(config, network=sizes, windows=windows, modalities=("eeg", "eye"))).eval()


@pytest.fixture(scope="module")
def normaliser() -> Normaliser:
    generator = torch.Generator().manual_seed(1)
    mean = torch.randn(len(CH_NAMES), N_BANDS, generator=generator)
    sd = torch.rand(len(CH_NAMES), N_BANDS, generator=generator) + 0.5
    low = torch.randn(N_EYE, generator=generator) - 2.0
    return Normaliser(EegScale(mean, sd), EyeScale(low, low + 4.0, low + 2.0))


Build = Callable[[Recording, FusionNetwork, Normaliser, Sequence[int]], NetworkInput]


def joined(parts: Sequence[NetworkInput]) -> NetworkInput:
    names = [name for name in vars(parts[0]) if name != "eeg_positions"]
    tensors = {name: torch.cat([getattr(part, name) for part in parts]) for name in names}
    return NetworkInput(eeg_positions=parts[0].eeg_positions, **tensors)


def live(rec: Recording, network: FusionNetwork, normaliser: Normaliser, ends: Sequence[int]) -> NetworkInput:
    """Steps as the decoder caches them, a window at a time."""
    config = network.config
    cached: dict[tuple[str, int], CachedStep] = {}
    for row in range(N_SECONDS):
        index = HOPS * (row + 1)
        if rec.usable[row].any():
            usable = torch.from_numpy(rec.usable[row])
            cached["eeg", index] = EegStep(torch.from_numpy(rec.de[row]), usable)
        if rec.eye_there[row]:
            cached["eye", index] = torch.from_numpy(rec.eye[row])

    def steps(modality: str, last: int, n: int) -> list[Step]:
        at = [HOPS * second for second in range(last - n + 1, last + 1)]
        return [Step(i, i / HOPS, (modality, i) in cached, 1.0, 250.0) for i in at]

    parts = []
    for end in ends:
        n_context_steps, n_eeg = config.windows.n_context_steps, config.windows.eeg_n_steps
        window = Window(
            HOPS * end,
            float(end),
            {"eeg": steps("eeg", end, n_eeg), "eye": steps("eye", end, config.windows.eye_n_steps)},
            dict.fromkeys(MODALITIES, True),
            dict.fromkeys(MODALITIES, 1.0),
            0.0,
            float(end),
            context=steps("eeg", end - n_eeg, n_context_steps),
        )
        parts.append(assemble(window, cached, config, normaliser, torch.tensor(POSITIONS), 1)[0])
    return joined(parts)


def calibrated(
    rec: Recording, network: FusionNetwork, normaliser: Normaliser, ends: Sequence[int]
) -> NetworkInput:
    """Rows of a calibration session, of one long trial."""
    n, config = N_SECONDS, network.config
    eeg = np.full((n, len(CH_NAMES), N_BANDS), np.nan, dtype=np.float32)
    usable = np.zeros((n, len(CH_NAMES)), dtype=bool)
    eeg[:, POSITIONS], usable[:, POSITIONS] = rec.de, rec.usable
    table = RowTable(
        t_end=np.arange(1.0, n + 1),
        run=np.ones(n, dtype=np.int32),
        positions=np.array(POSITIONS),
        eeg=eeg,
        eeg_usable=usable,
        eeg_there=rec.usable.any(axis=1),
        eye=rec.eye,
        eye_there=rec.eye_there,
        face=np.zeros((n, 2, config.network.face.width), dtype=np.float32),
        face_there=np.zeros((n, 2), dtype=bool),
        face_found=np.zeros((n, 2), dtype=bool),
        voice=np.zeros((n, 0, config.network.voice.width), dtype=np.float32),
        voice_mask=np.zeros((n, 0), dtype=bool),
        voice_times=np.zeros(0, dtype=np.float32),
        voice_clip_s=np.zeros(n),
    )
    windows = TrialWindows(table, [TrialRecord(1, "happy", -100.0, float(n))], config)
    at = [windows.t_end.tolist().index(float(end)) for end in ends]
    return joined([windows.inputs(normaliser, at=slice(i, i + 1)) for i in at])


def fine_tuned(
    rec: Recording, network: FusionNetwork, normaliser: Normaliser, ends: Sequence[int]
) -> NetworkInput:
    """One trial of a data set."""
    trial = Trial(
        "raw", "1", 1, 1, 0, ("sad", "happy"), 1.0, rec.eeg_rows, rec.eye, CONNECTED, "raw", "made here"
    )
    windows = cut_for(network.config, [trial])
    at = [windows.end_step.tolist().index(end - 1) for end in ends]
    chosen = WindowSet(**{name: values[at] for name, values in vars(windows).items()})
    return TrialTensors(chosen, CONNECTED, network.config, normaliser).batch(slice(None))


def simulated(
    rec: Recording, network: FusionNetwork, normaliser: Normaliser, ends: Sequence[int]
) -> NetworkInput:
    """Rows of a simulated person."""
    n = N_SECONDS
    de = np.zeros((n, len(CH_NAMES), N_BANDS), dtype=np.float32)
    usable = np.zeros((n, len(CH_NAMES)), dtype=bool)
    de[:, POSITIONS], usable[:, POSITIONS] = rec.eeg_rows, rec.usable
    subject = SubjectFeatures(
        t_end=np.arange(1.0, n + 1),
        label=np.zeros(n, dtype=np.int64),
        trial=np.zeros(n, dtype=np.int64),
        since_onset_s=np.arange(1.0, n + 1),
        de=de,
        usable=usable,
        eye=rec.eye,
        crop=np.zeros((n, 3, 2, 2), dtype=np.uint8),
        has_crop=np.zeros(n, dtype=bool),
        log_mel=np.zeros((n, 1, 128), dtype=np.float16),
        n_frames=np.zeros(n, dtype=np.int64),
    )
    rows, at, rng = Rows([subject], normaliser), np.array(ends) - 1, np.random.default_rng(0)
    eeg = RowInputs(network, rows, rng).eeg(at, None, POSITIONS)
    eye = RowInputs(network, rows, rng).eye(at)
    return replace(eeg, **{name: getattr(eye, name) for name in ("eye", "eye_step_mask", "eye_feature_mask")})


def pretrained(
    rec: Recording, network: FusionNetwork, normaliser: Normaliser, ends: Sequence[int]
) -> NetworkInput:
    """What pre-training hands to its encoders when it hides no channel."""
    config = network.config
    n_eeg, n_eye = config.n_eeg_steps, config.windows.eye_n_steps
    assert normaliser.eeg is not None
    assert normaliser.eye is not None
    encoder = MvSstmaEncoder(config.network.eeg, len(CH_NAMES))
    eeg = given_to(encoder, normaliser.eeg, *back(rec.eeg_rows, ends, n_eeg), torch.tensor(POSITIONS))
    encoder = MvSstmaEncoder(config.network.eye, N_EYE)
    eye = given_to(encoder, normaliser.eye, *back(rec.eye[..., None], ends, n_eye), torch.arange(N_EYE))
    voice = torch.zeros(len(ends), 1, 1)
    there = torch.zeros(len(ends), 1, dtype=torch.bool)
    return NetworkInput(
        eeg=eeg[0],
        eeg_positions=torch.tensor(POSITIONS),
        eeg_step_mask=eeg[1],
        eeg_channel_mask=eeg[2],
        eye=eye[0][..., 0],
        eye_step_mask=eye[1],
        eye_feature_mask=eye[2],
        face_tokens=voice,
        face_mask=there,
        face_times=voice[..., 0],
        voice_tokens=voice,
        voice_mask=there,
        voice_times=voice[..., 0],
        present=torch.zeros(len(ends), 4, dtype=torch.bool),
    )


def back(rows: NDArray[np.float32], ends: Sequence[int], n_steps: int) -> tuple[Tensor, Tensor]:
    """Return windows (n, T, C, F) that end at some seconds, and which steps the recording has."""
    at = np.array(ends)[:, None] - np.arange(n_steps, 0, -1)
    return torch.from_numpy(rows[np.maximum(at, 0)]), torch.from_numpy(at >= 0)


def given_to(
    encoder: MvSstmaEncoder, scale: EegScale | EyeScale, values: Tensor, exists: Tensor, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return features, step mask and channel mask that the encoder is called with."""
    model = MaskedAutoencoder(encoder, encoder.positions.shape[0], scale, mask_ratio=0.0, n_counted=10).eval()
    calls: list[tuple[Tensor, ...]] = []
    encoder.register_forward_pre_hook(lambda _, inputs: calls.append(inputs))
    with torch.no_grad():
        model(values, exists, positions, torch.rand(len(values), len(positions)))
    features, _, step_mask, channel_mask = calls[0]
    return features, step_mask, channel_mask


OTHERS: dict[str, Build] = {
    "calibration": calibrated,
    "fine-tuning": fine_tuned,
    "simulated training": simulated,
    "pre-training": pretrained,
}
EEG = ("eeg", "eeg_positions", "eeg_step_mask", "eeg_channel_mask")
EYE = ("eye", "eye_step_mask", "eye_feature_mask")


def trimmed(inputs: NetworkInput, n_steps: int) -> NetworkInput:
    """Return the newest EEG steps alone: left context that no window of a batch has is not computed."""
    columns = inputs.eeg_channel_mask
    return replace(
        inputs,
        eeg=inputs.eeg[:, :, -n_steps:],
        eeg_step_mask=inputs.eeg_step_mask[:, -n_steps:],
        eeg_channel_mask=columns[:, -n_steps:] if columns.dim() == 3 else columns,
    )


def same_bits(one: NetworkInput, other: NetworkInput, names: Sequence[str]) -> list[str]:
    return [name for name in names if not torch.equal(getattr(one, name), getattr(other, name))]


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("end", ENDS)
def test_a_window_is_the_live_one_to_the_bit(recording, network, normaliser, name, end):
    of_live = live(recording, network, normaliser, [end])
    other = OTHERS[name](recording, network, normaliser, [end])
    assert same_bits(trimmed(of_live, other.eeg.shape[2]), other, (*EEG, *EYE)) == []
    before = of_live.eeg_step_mask[:, : -other.eeg.shape[2]]
    assert not before.any()
    if name in ("calibration", "fine-tuning"):
        assert torch.equal(of_live.present, other.present)


@pytest.mark.parametrize("name", [name for name in OTHERS if name != "fine-tuning"])
@pytest.mark.parametrize("end", EARLY)
def test_a_window_at_the_recordings_begin_is_the_live_one(recording, network, normaliser, name, end):
    of_live = live(recording, network, normaliser, [end])
    other = OTHERS[name](recording, network, normaliser, [end])
    assert same_bits(of_live, other, (*EEG, *EYE)) == []


@pytest.mark.parametrize("name", OTHERS)
def test_a_batch_is_its_windows(recording, network, normaliser, name):
    of_live = live(recording, network, normaliser, ENDS)
    batch = OTHERS[name](recording, network, normaliser, ENDS)
    for field in (*EEG, *EYE):
        assert torch.allclose(getattr(of_live, field).float(), getattr(batch, field).float(), atol=1e-6), (
            field
        )


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("missing", ["eeg", "eye"])
def test_a_window_without_a_modality_is_the_live_one(recording, network, normaliser, name, missing):
    recording = recording.without(missing)
    of_live = live(recording, network, normaliser, ENDS)
    other = OTHERS[name](recording, network, normaliser, ENDS)
    masks = ("eeg_step_mask", "eeg_channel_mask", "eye_step_mask", "eye_feature_mask")
    of_live = trimmed(of_live, other.eeg.shape[2])
    assert same_bits(of_live, other, masks) == []
    assert not of_live.present[:, MODALITIES.index(missing)].any()
    if name in ("calibration", "fine-tuning"):
        assert torch.equal(of_live.present, other.present)


def test_a_streaming_pre_training_step_does_not_see_the_future(recording):
    config = MvSstmaConfig(n_layers=1, context="streaming")
    torch.manual_seed(0)
    scale = EegScale(torch.zeros(len(CH_NAMES), N_BANDS), torch.ones(len(CH_NAMES), N_BANDS))
    encoder = MvSstmaEncoder(config, len(CH_NAMES))
    model = MaskedAutoencoder(encoder, len(CH_NAMES), scale, mask_ratio=0.4, n_counted=10).eval()
    given: list[Tensor] = []
    rebuilt: list[Tensor] = []
    encoder.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    model.decoder.register_forward_hook(lambda _, inputs, output: rebuilt.append(output))
    values, exists = back(recording.eeg_rows, [30], 16)
    later = values.clone()
    later[:, 8:] = 3.0 * later[:, 8:] + 1.0
    later[:, 11:, 2] = torch.nan
    noise = torch.rand(1, len(CONNECTED))
    with torch.no_grad():
        for x in (values, later):
            model(x, exists, torch.tensor(POSITIONS), noise)
    assert torch.equal(given[0][:, :, :8], given[1][:, :, :8])
    there = torch.from_numpy(recording.usable[14:22]).T[None]
    assert torch.equal(rebuilt[0][:, :, :8][there], rebuilt[1][:, :, :8][there])
    assert not torch.equal(given[0], given[1])


def test_eavs_clips_are_the_live_windows_of_raw_eeg():
    config: ModelConfig = preset("small", labels=("sad", "happy"), ch_names=CH_NAMES, eeg_encoder="eegformer")
    network, rng = FusionNetwork(config).eval(), np.random.default_rng(0)
    raw = rng.normal(0, 20, (3, len(CH_NAMES), 500)).astype(np.float32)
    scale = EegScale(
        torch.linspace(-1, 1, len(CH_NAMES))[:, None], torch.linspace(10, 20, len(CH_NAMES))[:, None]
    )
    none = np.zeros(3, dtype=np.int64)
    size = config.network.face.image_size
    clips = ClipArrays(
        raw,
        np.zeros((3, 1, 3, size, size), dtype=np.uint8),
        none.astype(bool),
        np.zeros((3, 498, 128), dtype=np.float32),
        none,
        none,
        none,
    )
    batch = ClipBatches(clips, network, Normaliser(scale)).eeg(np.arange(3))
    de = torch.zeros(len(CH_NAMES), N_BANDS)
    for at in range(3):
        step = EegStep(de, torch.ones(len(CH_NAMES), dtype=torch.bool), torch.from_numpy(raw[at]))
        window = Window(
            20,
            5.0,
            {"eeg": [Step(20, 5.0, True, 1.0, 100.0)]},
            {m: m == "eeg" for m in MODALITIES},
            dict.fromkeys(MODALITIES, 1.0),
            0.0,
            5.0,
        )
        positions = torch.arange(len(CH_NAMES))
        inputs, _ = assemble(window, {("eeg", 20): step}, config, Normaliser(scale), positions, 1)
        for name in ("eeg", "eeg_step_mask", "eeg_channel_mask", "present"):
            assert torch.equal(getattr(inputs, name)[0], getattr(batch, name)[at]), name
