"""A checkpoint on raw EEG on the live path: same bytes at any chunk size, nothing past a window's end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from acquisition.errors import InputError
from acquisition.montage import SEED_CH_NAMES
from acquisition.types import Chunk, Kind, StreamSpec
from acquisition.windowing import Aligner
from app.outputs import DigestSink
from app.replay import ReplaySession
from app.request import ReplayRequest, SessionOptions
from models.checkpoint import load_checkpoint, save_checkpoint
from models.config import preset
from models.decoder import Decoder
from models.network import FusionNetwork
from models.normalise import EegScale, Normaliser

RECORDING = Path(__file__).parents[2] / "assets" / "recordings" / "simulated-60s.xdf"
SFREQ = 250.0


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    config = preset(
        "small",
        labels=("sad", "happy"),
        ch_names=SEED_CH_NAMES,
        modalities=("eeg",),
        eeg_encoder="eegformer",
        trained_on="nothing: random weights",
    )
    scale = EegScale(torch.zeros(len(SEED_CH_NAMES), 1), torch.full((len(SEED_CH_NAMES), 1), 20.0))
    folder = tmp_path_factory.mktemp("model")
    save_checkpoint(folder, config, FusionNetwork(config), Normaliser(scale).to_dict(), "random weights")
    return folder


def replayed(model: Path, chunk: int) -> tuple[str, list]:
    digest, predictions = DigestSink(), []

    class Keep:
        def write(self, prediction):
            predictions.append(prediction)

        def close(self):
            pass

    only_eeg = "eye=none,face=none,voice=none"
    options = SessionOptions(model=model, streams=only_eeg, extra_sinks=(digest, Keep()))
    ReplaySession(ReplayRequest(RECORDING, options, chunk=chunk, stop_s=20.0)).run(lambda share: None)
    return digest.line(), predictions


def test_replay_gives_the_same_bytes_at_any_chunk_size(model):
    whole, predictions = replayed(model, 512)
    assert replayed(model, 37)[0] == whole
    last = predictions[-1]
    assert last.present == {"eeg": True, "eye": False, "face": False, "voice": False}
    assert sum(last.channel_attention.values()) == pytest.approx(1.0, abs=1e-4)
    assert len(last.channel_attention) > 8
    assert len(last.time_attention) == 5  # one a second
    assert last.inputs.eeg.shape[2:] == (1, 500)
    assert np.isfinite(last.band_de).all()  # the last second's, for the displays
    assert len({tuple(p.probs.values()) for p in predictions}) > 50  # it reads the signal


def answer(model: Path, eeg: np.ndarray, t_end: float) -> tuple[float, ...]:
    """Return the probabilities of the window that ends at ``t_end`` of EEG (n_times, 4) that goes on."""
    decoder, spec = Decoder(load_checkpoint(model)), eeg_stream()
    aligner = Aligner(decoder.config.windows)
    decoder.open(spec)
    aligner.open(spec)
    times = np.arange(len(eeg)) / SFREQ
    aligner.push(Chunk(spec.key, 0, eeg, times))
    aligner.due(times[-1], times[-1])
    index = round(t_end / decoder.config.windows.hop_s)
    prediction = decoder.decode(aligner.cut(index, times[-1], live=False))
    assert prediction is not None
    return tuple(prediction.probs.values())


def eeg_stream(sfreq: float = SFREQ) -> StreamSpec:
    return StreamSpec("cap", "Cap", Kind.EEG, ("FZ", "CZ", "PZ", "OZ"), ("uV",) * 4, sfreq)


def test_nothing_past_the_window_nor_before_its_five_seconds_counts(model):
    eeg = np.random.default_rng(0).normal(0.0, 20.0, (int(9 * SFREQ), 4))
    begin, end = int(1 * SFREQ), int(6 * SFREQ)
    expected = answer(model, eeg, 6.0)
    for changed_part, is_same in (
        (slice(end, None), True),
        (slice(0, begin), True),
        (slice(end - 50, end), False),
        (slice(begin, begin + 50), False),
    ):
        changed = eeg.copy()
        changed[changed_part] *= -3.0
        assert (answer(model, changed, 6.0) == expected) is is_same


def test_a_cap_too_slow_for_the_band_is_refused(model):
    with pytest.raises(InputError, match="expected EEG at 90 Hz or more for this model, got 64 Hz"):
        Decoder(load_checkpoint(model)).open(eeg_stream(64.0))
