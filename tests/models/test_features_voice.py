"""Log-mel equals the extractor that AST was trained with; resampling keeps tones and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from acquisition.errors import ErrorCode, InputError
from models.features.log_mel import log_mel, n_log_mel_frames, resample

TOLERANCE = 5e-4


@pytest.fixture(scope="module")
def extractor():
    transformers = pytest.importorskip("transformers")
    return transformers.ASTFeatureExtractor()


def reference(extractor, wave: np.ndarray) -> torch.Tensor:
    mel = extractor(wave, sampling_rate=16000, return_tensors="pt")["input_values"][0]
    return mel[: n_log_mel_frames(len(wave))]


@pytest.mark.filterwarnings("ignore:At least one mel filter:UserWarning")
@pytest.mark.parametrize("level", [0.0, 1e-4, 0.05, 1.0])
def test_noise_equals_the_reference(extractor, level):
    wave = (level * np.random.default_rng(1).uniform(-1, 1, 80_000) + 0.01 * level).astype(np.float32)
    ours = log_mel(torch.from_numpy(wave))
    assert ours.shape == (498, 128)
    assert (ours - reference(extractor, wave)).abs().max() < TOLERANCE


@pytest.mark.filterwarnings("ignore:At least one mel filter:UserWarning")
def test_acted_sentences_equal_the_reference(extractor, real_data):
    from scipy.io import wavfile

    paths = sorted(real_data.glob("audio/*/*.wav"))[::24]
    assert len(paths) >= 5
    for path in paths:
        sfreq, pcm = wavfile.read(path)
        wave = resample(pcm, sfreq)
        ours = log_mel(wave)
        assert (ours - reference(extractor, wave.numpy())[: len(ours)]).abs().max() < TOLERANCE, path.name


def test_frames_of_a_clip_do_not_depend_on_what_follows():
    wave = torch.randn(32_000, generator=torch.Generator().manual_seed(0))
    # Not bit for bit: the number of rows of a matrix product can change its last bits.
    assert torch.allclose(log_mel(wave[:16_000]), log_mel(wave)[: n_log_mel_frames(16_000)], atol=1e-6)


def test_less_than_a_frame_is_refused():
    with pytest.raises(InputError) as caught:
        log_mel(torch.zeros(399))

    assert caught.value.code == ErrorCode.DATA


# A measured rate is rounded to a ratio of small numbers: 33 us late after 2 s here.
@pytest.mark.parametrize(
    ("sfreq", "error"), [(8000, 0.01), (22_050, 0.01), (44_100, 0.01), (48_000, 0.01), (47_999.2, 0.05)]
)
def test_resampled_tone_keeps_pitch_and_level(sfreq, error):
    t = np.arange(round(2 * sfreq)) / sfreq
    pcm = np.round(0.5 * 32768 * np.sin(2 * np.pi * 440 * t)).astype(np.int16)
    wave = resample(pcm, sfreq).numpy()
    assert len(wave) == pytest.approx(32_000, abs=2)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(len(wave)) / 16_000)
    assert np.abs(wave - expected)[1000:-1000].max() < error


def test_16_khz_is_only_scaled():
    pcm = np.array([-32768, 0, 16384], dtype=np.int16)
    assert resample(pcm, 16_000).tolist() == [-1.0, 0.0, 0.5]
    assert resample(np.array([0.25, -0.5], dtype=np.float32), 16_004.0).tolist() == [0.25, -0.5]
