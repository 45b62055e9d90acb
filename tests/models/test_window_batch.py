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
from models.config import MvSstmaConfig, preset
from models.datasets.trials import Trial, WindowSet
from models.encoders.mv_sstma import MvSstmaEncoder
from models.features.log_mel import n_log_mel_frames
from models.network import FusionNetwork
from models.normalise import EegScale, EyeScale, Normaliser
from models.steps import CachedFace, CachedStep, CachedVoice, EegStep
from models.training.pretrain_loop import MaskedAutoencoder
from models.training.trial_tensors import TrialTensors, cut_for
from models.window_batch import NetworkInput, assemble
from tests.studies.demo_model.data import Rows, SubjectFeatures
from tests.studies.demo_model.stages import EncodedRows, RowInputs, encode_rows
from tests.studies.papers.eav_network import ClipArrays, ClipBatches

CH_NAMES = ("FP1", "FP2", "F3", "F4", "O1", "O2")
CONNECTED = ("FP1", "F3", "F4", "O1", "O2")
POSITIONS = [CH_NAMES.index(name) for name in CONNECTED]
N_SECONDS, N_BANDS, N_EYE = 40, 5, 33
HOPS = 4  # a second
N_FRAMES = 10  # of a window, half a second apart
GAPS = (12, 33)  # rows of seconds without any EEG or gaze
ENDS = (17, 25, 30, 36, 40)  # seconds at which a window ends; the newest step and enough others are there
EARLY = (4, 6)  # whose first steps lie before the recording
SIZES = preset("small", labels=("sad", "happy"), ch_names=CH_NAMES).network
VOICE_TIMES = (0.08 + 0.7 * np.arange(7)).astype(np.float32)  # seconds from the clip's start


@dataclass(frozen=True, eq=False)
class Recording:
    """A row a second of raw features; row i ends at second i + 1."""

    de: NDArray[np.float32]  # (n, C, F) of the connected channels
    usable: NDArray[np.bool_]  # (n, C)
    eye: NDArray[np.float32]  # (n, E) NaN where not measured
    face: NDArray[np.float32]  # (n, D) tokens, of whatever the frame shows
    face_found: NDArray[np.bool_]  # (n,)
    voice: NDArray[np.float32]  # (n, M, D) tokens
    clip_s: NDArray[np.float64]  # (n,) length of the clip, 0 without a voice

    def without(self, modality: str) -> Recording:
        none = {
            "eeg": {"usable": np.zeros_like(self.usable)},
            "eye": {"eye": np.full_like(self.eye, np.nan)},
            "face": {"face_found": np.zeros_like(self.face_found)},
            "voice": {"clip_s": np.zeros_like(self.clip_s)},
        }
        return replace(self, **none[modality])

    @property
    def voice_mask(self) -> NDArray[np.bool_]:
        """Tokens (n, M) whose patch, here of 0.16 s, lies in the clip."""
        return self.clip_s[:, None] >= VOICE_TIMES + 0.08

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
    face_found = rng.random(N_SECONDS) > 0.3
    face_found[[2, 3, 24]] = True, True, False  # at the beginning enough; the newest frame of a window
    face_found[31:36] = False, False, False, False, True  # too few for the window that ends at 36
    clip_s = np.minimum(np.arange(N_SECONDS) * 0.5 + 2.0, 5.0)
    clip_s[24], clip_s[29], clip_s[35] = 2.0, 0.0, 3.5
    return Recording(
        rng.normal(1.5, 1.0, (N_SECONDS, len(CONNECTED), N_BANDS)).astype(np.float32),
        usable,
        eye,
        rng.normal(0.0, 1.0, (N_SECONDS, SIZES.face.width)).astype(np.float32),
        face_found,
        rng.normal(0.0, 1.0, (N_SECONDS, len(VOICE_TIMES), SIZES.voice.width)).astype(np.float32),
        clip_s,
    )


@pytest.fixture(scope="module", params=["window", "streaming"])
def network(request: pytest.FixtureRequest) -> FusionNetwork:
    config = preset("small", labels=("sad", "happy"), ch_names=CH_NAMES, eeg_context=request.param)
    sizes = replace(config.network, eeg=MvSstmaConfig(n_layers=1, context=request.param))
    windows = replace(config.windows, n_context_steps=sizes.eeg.n_context_steps)
    return FusionNetwork(replace(config, network=sizes, windows=windows)).eval()


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
        token = torch.from_numpy(rec.face[row]) if rec.face_found[row] else None
        cached["face", index] = CachedFace(token, None, 0.0)
        if rec.clip_s[row]:
            tokens, mask = torch.from_numpy(rec.voice[row]), torch.from_numpy(rec.voice_mask[row])
            times, clip_s = torch.from_numpy(VOICE_TIMES), float(rec.clip_s[row])
            cached["voice", index] = CachedVoice(tokens, mask, times, clip_s)

    def steps(modality: str, last: int, n: int, apart_s: float = 1.0) -> list[Step]:
        at = [round(HOPS * (last - apart_s * ago)) for ago in range(n - 1, -1, -1)]
        return [Step(i, i / HOPS, (modality, i) in cached, 1.0, 250.0) for i in at]

    parts = []
    for end in ends:
        n_context_steps, n_eeg = config.windows.n_context_steps, config.windows.eeg_n_steps
        window = Window(
            HOPS * end,
            float(end),
            {
                "eeg": steps("eeg", end, n_eeg),
                "eye": steps("eye", end, config.windows.eye_n_steps),
                "face": steps("face", end, N_FRAMES, config.windows.face_grid_s),
                "voice": steps("voice", end, 1),
            },
            dict.fromkeys(MODALITIES, True),
            dict.fromkeys(MODALITIES, 1.0),
            0.0,
            float(end),
            context=steps("eeg", end - n_eeg, n_context_steps),
        )
        positions = torch.tensor(POSITIONS)
        parts.append(assemble(window, cached, config, normaliser, positions, len(VOICE_TIMES))[0])
    return joined(parts)


def table_of(rec: Recording) -> RowTable:
    """Return the rows of a calibration session."""
    n = N_SECONDS
    eeg = np.full((n, len(CH_NAMES), N_BANDS), np.nan, dtype=np.float32)
    usable = np.zeros((n, len(CH_NAMES)), dtype=bool)
    eeg[:, POSITIONS], usable[:, POSITIONS] = rec.de, rec.usable
    face = np.zeros((n, 2, SIZES.face.width), dtype=np.float32)
    face_there, face_found = np.zeros((n, 2), dtype=bool), np.zeros((n, 2), dtype=bool)
    face[:, 1], face_there[:, 1], face_found[:, 1] = rec.face, True, rec.face_found
    return RowTable(
        t_end=np.arange(1.0, n + 1),
        run=np.ones(n, dtype=np.int32),
        positions=np.array(POSITIONS),
        eeg=eeg,
        eeg_usable=usable,
        eeg_there=rec.usable.any(axis=1),
        eye=rec.eye,
        eye_there=rec.eye_there,
        face=face,
        face_there=face_there,
        face_found=face_found,
        voice=np.where(rec.clip_s[:, None, None] > 0, rec.voice, np.float32(0.0)),
        voice_mask=rec.voice_mask,
        voice_times=VOICE_TIMES,
        voice_clip_s=rec.clip_s,
    )


def calibrated(
    rec: Recording, network: FusionNetwork, normaliser: Normaliser, ends: Sequence[int]
) -> NetworkInput:
    """Rows of a calibration session, of one long trial."""
    trial = TrialRecord(1, "happy", -100.0, float(N_SECONDS))
    windows = TrialWindows(table_of(rec), [trial], network.config)
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


def subject_of(rec: Recording) -> SubjectFeatures:
    """Return the rows of a simulated subject."""
    n = N_SECONDS
    de = np.zeros((n, len(CH_NAMES), N_BANDS), dtype=np.float32)
    usable = np.zeros((n, len(CH_NAMES)), dtype=bool)
    de[:, POSITIONS], usable[:, POSITIONS] = rec.eeg_rows, rec.usable
    return SubjectFeatures(
        t_end=np.arange(1.0, n + 1),
        label=np.zeros(n, dtype=np.int64),
        trial=np.zeros(n, dtype=np.int64),
        since_onset_s=np.arange(1.0, n + 1),
        de=de,
        usable=usable,
        eye=rec.eye,
        crop=np.zeros((n, 3, 2, 2), dtype=np.uint8),
        has_crop=rec.face_found,
        log_mel=np.zeros((n, 1, 128), dtype=np.float16),
        n_frames=np.array([n_log_mel_frames(round(16_000 * clip_s)) for clip_s in rec.clip_s]),
        voice_clip_s=rec.clip_s,
    )


def simulated(
    rec: Recording, network: FusionNetwork, normaliser: Normaliser, ends: Sequence[int]
) -> NetworkInput:
    """Rows of a simulated subject that follows another."""
    rows, rng = Rows([subject_of(rec), subject_of(rec)], normaliser), np.random.default_rng(0)
    of_one = (rec.face, rec.voice, rec.voice_mask)
    tokens = (torch.from_numpy(np.concatenate([values, values])) for values in of_one)
    encoded = EncodedRows(*tokens, torch.from_numpy(VOICE_TIMES))
    return RowInputs(network, rows, rng, encoded).window(N_SECONDS + np.array(ends) - 1, channels=POSITIONS)


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
        evidence=torch.zeros(len(ends), 4, len(config.labels)),
        reliability=torch.ones(len(ends), 4),
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
FACE = ("face_tokens", "face_mask", "face_times")
VOICE = ("voice_tokens", "voice_mask", "voice_times")
#: What a builder says; fine-tuning and pre-training take EEG and eyes alone.
SAID = {name: (*EEG, *EYE) for name in OTHERS}
SAID["fine-tuning"] += ("present",)
for _name in ("calibration", "simulated training"):
    SAID[_name] += (*FACE, *VOICE, "present")


def alike(of_live: NetworkInput, other: NetworkInput) -> tuple[NetworkInput, NetworkInput]:
    """Return both with the columns that both have.

    Left context that no window of a batch has is not computed. A simulated subject has a row a second, so
    the frames at half seconds are missing. A voice's masked tokens, and times of none, may hold anything.
    Electrodes that no window of a batch has may be left out.
    """
    held = torch.isin(of_live.eeg_positions, other.eeg_positions)
    assert not of_live.eeg_channel_mask[..., ~held].any()
    n_steps, n_frames = other.eeg.shape[2], other.face_mask.shape[1]
    columns = of_live.eeg_channel_mask[..., held]
    seconds = slice(1, None, 2) if n_frames == N_FRAMES // 2 else slice(None)
    n_known = 2 if n_frames == 1 else len(MODALITIES)
    of_live = replace(
        of_live,
        eeg=of_live.eeg[:, held, -n_steps:],
        eeg_positions=of_live.eeg_positions[held],
        eeg_step_mask=of_live.eeg_step_mask[:, -n_steps:],
        eeg_channel_mask=columns[:, -n_steps:] if columns.dim() == 3 else columns,
        face_tokens=of_live.face_tokens[:, seconds],
        face_mask=of_live.face_mask[:, seconds],
        face_times=of_live.face_times[:, seconds],
    )
    one, two = (
        replace(
            inputs,
            voice_tokens=torch.where(inputs.voice_mask[..., None], inputs.voice_tokens, 0.0),
            voice_times=torch.where(inputs.voice_mask.any(1, keepdim=True), inputs.voice_times, 0.0),
            present=inputs.present[:, :n_known],
        )
        for inputs in (of_live, other)
    )
    return one, two


def same_bits(one: NetworkInput, other: NetworkInput, names: Sequence[str]) -> list[str]:
    return [name for name in names if not torch.equal(getattr(one, name), getattr(other, name))]


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("end", ENDS)
def test_a_window_is_the_live_one_to_the_bit(recording, network, normaliser, name, end):
    of_live = live(recording, network, normaliser, [end])
    other = OTHERS[name](recording, network, normaliser, [end])
    assert same_bits(*alike(of_live, other), SAID[name]) == []
    before = of_live.eeg_step_mask[:, : -other.eeg.shape[2]]
    assert not before.any()


def test_the_windows_hold_short_clips_and_too_few_faces(recording, network, normaliser):
    of_live = live(recording, network, normaliser, ENDS)
    assert of_live.present.tolist() == [
        [True, True, True, True],
        [True, True, True, True],
        [True, True, True, False],
        [True, True, False, True],
        [True, True, True, True],
    ]
    assert of_live.voice_times[:, 0].tolist() == pytest.approx([4.92, 1.92, 0.0, 3.42, 4.92])


@pytest.mark.parametrize("name", [name for name in OTHERS if name != "fine-tuning"])
@pytest.mark.parametrize("end", EARLY)
def test_a_window_at_the_recordings_begin_is_the_live_one(recording, network, normaliser, name, end):
    of_live = live(recording, network, normaliser, [end])
    other = OTHERS[name](recording, network, normaliser, [end])
    assert same_bits(*alike(of_live, other), SAID[name]) == []


@pytest.mark.parametrize("end", ENDS)
def test_a_second_without_a_row_is_one_without_a_step(recording, network, normaliser, end):
    table = table_of(recording)
    trial = TrialRecord(1, "happy", -100.0, float(N_SECONDS))
    windows = TrialWindows(table.select(table.eeg_there | table.eye_there), [trial], network.config)
    at = windows.t_end.tolist().index(float(end))
    given = windows.inputs(normaliser, at=slice(at, at + 1))
    of_live = live(recording, network, normaliser, [end])
    assert same_bits(of_live, given, (*EEG, *EYE)) == []
    assert torch.equal(of_live.present[:, :2], given.present[:, :2])


def test_a_trials_first_window_is_that_of_a_recording_which_begins_there(recording, network, normaliser):
    """Of the EEG; eye features look back further than their second."""
    trials = [TrialRecord(1, "happy", 0.0, 20.0), TrialRecord(2, "sad", 20.0, 40.0)]
    windows = TrialWindows(table_of(recording), trials, network.config)
    at = windows.t_end.tolist().index(26.0)
    given = windows.inputs(normaliser, at=slice(at, at + 1))
    hidden = recording.usable.copy()
    hidden[:20] = False
    of_live = live(replace(recording, usable=hidden), network, normaliser, [26])
    assert same_bits(of_live, given, EEG) == []
    assert given.present[0, 0] == of_live.present[0, 0]


@pytest.mark.parametrize("name", OTHERS)
def test_a_batch_is_its_windows(recording, network, normaliser, name):
    other = OTHERS[name](recording, network, normaliser, ENDS)
    of_live, batch = alike(live(recording, network, normaliser, ENDS), other)
    for field in SAID[name]:
        assert torch.allclose(getattr(of_live, field).float(), getattr(batch, field).float(), atol=1e-6), (
            field
        )


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("missing", MODALITIES)
def test_a_window_without_a_modality_is_the_live_one(recording, network, normaliser, name, missing):
    recording = recording.without(missing)
    of_live = live(recording, network, normaliser, ENDS)
    other = OTHERS[name](recording, network, normaliser, ENDS)
    values = ("eeg", "eeg_positions", "eye")
    fields = [field for field in SAID[name] if field not in values]
    assert same_bits(*alike(of_live, other), fields) == []
    assert not of_live.present[:, MODALITIES.index(missing)].any()


def test_encoder_training_takes_the_newest_frame_and_the_clip_of_the_windows(network, normaliser):
    n, rng, config = 4, np.random.default_rng(0), network.config
    size = config.network.face.image_size
    clip_s = np.array([2.0, 2.5, 5.0, 0.0])
    subject = SubjectFeatures(
        t_end=np.arange(1.0, n + 1),
        label=np.zeros(n, dtype=np.int64),
        trial=np.zeros(n, dtype=np.int64),
        since_onset_s=np.arange(1.0, n + 1),
        de=np.zeros((n, len(CH_NAMES), N_BANDS), dtype=np.float32),
        usable=np.ones((n, len(CH_NAMES)), dtype=bool),
        eye=np.zeros((n, N_EYE), dtype=np.float32),
        crop=rng.integers(0, 256, (n, 3, size, size), dtype=np.uint8),
        has_crop=np.ones(n, dtype=bool),
        log_mel=rng.normal(0, 1, (n, 498, 128)).astype(np.float16),
        n_frames=np.array([198, 248, 498, 0]),
        voice_clip_s=clip_s,
    )
    rows, at = Rows([subject], normaliser), np.arange(n)
    inputs = RowInputs(network, rows, rng, encode_rows(network, rows, lambda *_: None))
    window, face, voice = inputs.window(at), inputs.alone("face", at), inputs.alone("voice", at)
    for field in FACE:
        assert torch.allclose(getattr(window, field)[:, -1:], getattr(face, field)), field
    for field in VOICE:
        assert torch.allclose(getattr(window, field), getattr(voice, field)), field
    ages = clip_s[:, None] - inputs.network.encode_voice(*rows.log_mel(at))[2].numpy()
    np.testing.assert_allclose(voice.voice_times.numpy(), np.maximum(ages, 0.0), atol=1e-6)


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


@pytest.fixture(scope="module")
def eav() -> tuple[ClipArrays, FusionNetwork, Normaliser]:
    """Clips of EAV (a whole one, one with a short voice, one without face and voice) and a network."""
    config = preset("small", labels=("sad", "happy"), ch_names=CH_NAMES, eeg_encoder="eegformer")
    size, none, rng = config.network.face.image_size, np.zeros(3, dtype=np.int64), np.random.default_rng(0)
    clips = ClipArrays(
        rng.normal(0, 20, (3, len(CH_NAMES), 500)).astype(np.float32),
        rng.integers(0, 256, (3, N_FRAMES + 1, 3, size, size), dtype=np.uint8),
        np.array([True, True, False]),
        rng.normal(0, 1, (3, 498, 128)).astype(np.float32),
        np.array([498, 398, 0]),
        none,
        none,
    )
    mean, sd = torch.linspace(-1, 1, len(CH_NAMES)), torch.linspace(10, 20, len(CH_NAMES))
    return clips, FusionNetwork(config).eval(), Normaliser(EegScale(mean[:, None], sd[:, None]))


def test_eavs_batches_lie_on_the_networks_device(eav):
    # A tensor on "meta" holds no values, and like one on a GPU it cannot be mixed with one on the CPU.
    clips, network, normaliser = eav
    batches = ClipBatches(clips, FusionNetwork(network.config).to("meta"), normaliser)
    at = np.arange(3)
    for batch in (*(batches.alone(m, at) for m in ("eeg", "face", "voice")), batches.whole(at)):
        assert {tensor.device.type for tensor in vars(batch).values()} == {"meta"}


def test_eavs_clips_are_the_live_windows(eav):
    clips, network, normaliser = eav
    batches = ClipBatches(clips, network, normaliser)
    mask = torch.arange(498) < torch.from_numpy(clips.n_mel)[:, None]
    with torch.no_grad():
        batch = batches.whole(np.arange(3))
        faces = network.encode_face(batches._frames(np.arange(3 * (N_FRAMES + 1)))).unflatten(0, (3, -1))
        voices, voice_masks, times = network.encode_voice(torch.from_numpy(clips.mel), mask)
    # EAV's first frame lies at the clip's very beginning, where live has none.
    batch = replace(batch, **{name: getattr(batch, name)[:, 1:] for name in FACE})
    windows = []
    for at in range(3):
        cached: dict[tuple[str, int], CachedStep] = {
            ("eeg", 20): EegStep(
                torch.zeros(len(CH_NAMES), N_BANDS),
                torch.ones(len(CH_NAMES), dtype=torch.bool),
                torch.from_numpy(clips.raw[at]),
            )
        }
        if clips.n_mel[at]:
            cached["voice", 20] = CachedVoice(voices[at], voice_masks[at], times, 5.0)
        steps = [Step(i, i / HOPS, True, 1.0, 0.0) for i in range(2, 21, 2)]
        for frame, step in enumerate(steps, start=1):
            token = faces[at, frame] if clips.has_crops[at] else None
            cached["face", step.index] = CachedFace(token, None, 0.0)
        window = Window(
            20,
            5.0,
            {
                "eeg": [Step(20, 5.0, True, 1.0, 100.0)],
                "face": steps,
                "voice": [Step(20, 5.0, ("voice", 20) in cached, 1.0, 16_000.0)],
            },
            {m: m != "eye" for m in MODALITIES},
            dict.fromkeys(MODALITIES, 1.0),
            0.0,
            5.0,
        )
        positions = torch.arange(len(CH_NAMES))
        windows.append(assemble(window, cached, network.config, normaliser, positions, len(times))[0])
    of_live, of_eav = alike(joined(windows), batch)
    assert same_bits(of_live, of_eav, (*EEG, *FACE, *VOICE, "present")) == []
    assert of_live.present.tolist() == [[True, False, True, True]] * 2 + [[True, False, False, False]]
