"""Live use of a streaming EEG encoder: a function of the window, whatever was decoded before it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from acquisition.errors import InputError
from acquisition.montage import SEED_CH_NAMES
from acquisition.simulator.source import SimulatedSource, SimulatorOptions
from app.outputs import network_features
from app.pipeline import Pipeline
from models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from models.config import MvSstmaConfig, preset
from models.decoder import Decoder
from models.network import FusionNetwork
from models.normalise import EegScale, Normaliser
from tests.studies.demo_model.data import Rows, SubjectFeatures
from tests.studies.demo_model.stages import RowInputs
from tests.studies.stage import unimodal_logits

HOP_S = 0.25
LABELS = ("sad", "neutral", "happy")


@pytest.fixture(scope="module", params=["pools", "weights"])
def checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    """A streaming model with random weights, of either channel projection; its left context is 12 steps."""
    config = preset("small", labels=LABELS, ch_names=SEED_CH_NAMES, eeg_context="streaming")
    network = replace(
        config.network, eeg=MvSstmaConfig(n_layers=2, context="streaming", channel_projection=request.param)
    )
    windows = replace(config.windows, eeg_n_steps=5, n_context_steps=network.eeg.n_context_steps)
    config = replace(config, network=network, windows=windows, modalities=("eeg",))
    torch.manual_seed(0)
    n_channels, n_bands = len(SEED_CH_NAMES), len(config.features.bands)
    scale = EegScale(torch.full((n_channels, n_bands), 1.5), torch.ones(n_channels, n_bands))
    return Checkpoint(config, FusionNetwork(config).eval(), Normaliser(scale, None).to_dict(), "")


class Pumped:
    """A pipeline on a simulated cap."""

    def __init__(self, checkpoint: Checkpoint, faults: str = "") -> None:
        self.decoder = Decoder(checkpoint)
        options = SimulatorOptions(seed=5, streams=("eeg",), faults=faults)
        self.pipeline = Pipeline(SimulatedSource(options), self.decoder, live=False)
        self._hop = 0

    def run_to(self, t: float):
        """Decode every window up to a time; return the predictions."""
        predictions = []
        while self._hop < round(t / HOP_S):
            self._hop += 1
            predictions += self.pipeline.step(self._hop * HOP_S)
        return predictions

    def skip_to(self, t: float):
        """Decode the window at a time alone, as live does when it falls behind."""
        self._hop = round(t / HOP_S)
        self.pipeline.acquire(self._hop * HOP_S)
        window = self.pipeline.newest_window(self._hop * HOP_S)
        assert window is not None
        return self.pipeline.decode(window, lambda: self._hop * HOP_S)


def whole(decoder: Decoder) -> dict[str, float]:
    """Return the newest window's probabilities by one pass over left context and window."""
    assert decoder.newest is not None
    return decoder.probabilities(decoder.newest.inputs)


@pytest.mark.parametrize(
    ("faults", "seconds"), [("", 15.0), ("drop:eeg@8+1", 15.0), ("drop:eeg@6+0.3,drop:eeg@9+3", 20.0)]
)
def test_every_streamed_window_is_the_whole_sequence_in_one_pass(checkpoint, faults, seconds):
    pumped = Pumped(checkpoint, faults)
    n_windows = 0
    for hop in range(1, round(seconds / HOP_S)):
        for prediction in pumped.run_to(hop * HOP_S):
            assert prediction.probs == pytest.approx(whole(pumped.decoder), abs=1e-5)
            n_windows += 1
    assert n_windows >= 40


@pytest.fixture(scope="module")
def every(checkpoint):
    """Predictions of 27 s without a skipped window, by index."""
    return {prediction.index: prediction for prediction in Pumped(checkpoint).run_to(27.0)}


@pytest.mark.parametrize("skipped_s", [0.25, 1.0, 3.75, 6.5, 20.0])
def test_skipped_windows_leave_no_trace(checkpoint, every, skipped_s):
    some = Pumped(checkpoint)
    some.run_to(5.0)
    first = some.skip_to(5.0 + skipped_s)
    rest = [first, *some.run_to(7.0 + skipped_s)]
    assert [p.index for p in rest] == list(range(first.index, round((7.0 + skipped_s) / HOP_S) + 1))
    expected = [every[p.index] for p in rest]
    assert [p.probs for p in rest] == [p.probs for p in expected]
    assert [p.channel_attention for p in rest] == [p.channel_attention for p in expected]


def test_a_tick_computes_one_step(checkpoint, monkeypatch):
    pumped = Pumped(checkpoint)
    pumped.run_to(10.0)
    taken = []
    step_eeg = FusionNetwork.step_eeg
    monkeypatch.setattr(
        FusionNetwork, "step_eeg", lambda self, *given: taken.append(1) or step_eeg(self, *given)
    )
    assert len(pumped.run_to(12.0)) == len(taken) == 8


def test_restart_and_a_decision_taken_again_change_nothing(checkpoint):
    pumped = Pumped(checkpoint)
    before = pumped.run_to(12.0)[-1]
    again = pumped.pipeline.decode_again()
    pumped.decoder.restart()
    after = pumped.decoder.decode(pumped.pipeline.aligner.cut(before.index, 12.0, live=False))
    assert again.probs == before.probs
    assert after.probs == before.probs


def test_the_predictions_features_are_the_windows_without_the_left_context(checkpoint):
    newest = Pumped(checkpoint).run_to(12.0)[-1]
    assert network_features(newest)["eeg"].shape == (62, 5, 5)
    assert len(newest.time_attention) == 5


def test_a_streaming_model_is_saved_and_read_again(checkpoint, tmp_path):
    save_checkpoint(tmp_path, checkpoint.config, checkpoint.network, {}, "random weights, for tests")
    config = load_checkpoint(tmp_path).config
    assert config == checkpoint.config
    assert config.network.streams


def test_the_left_context_is_kept_and_not_shown():
    windows = preset("small", labels=LABELS, ch_names=("CZ",), eeg_context="streaming").windows
    assert windows.n_context_steps == 36
    assert windows.context_s == 46.0
    assert windows.context_of("eeg") == 10.0


def test_a_config_without_the_key_is_the_window_form():
    data = preset("small", labels=LABELS, ch_names=("CZ",)).to_dict()
    for part in ("eeg", "eye"):
        del data["network"][part]["context"]
    del data["windows"]["n_context_steps"]
    config = type(preset("small", labels=LABELS, ch_names=("CZ",))).from_dict(data)
    assert config.network.eeg.context == "window"
    assert config.n_eeg_steps == config.windows.eeg_n_steps == 10


@pytest.mark.parametrize(
    ("context", "n_steps", "setting"),
    [
        ("streaming", 0, "n_context_steps"),
        ("window", 36, "n_context_steps"),
        ("sliding", 0, "eeg.context"),
    ],
)
def test_a_context_that_does_not_fit_is_refused(context, n_steps, setting):
    config = preset("small", labels=LABELS, ch_names=("CZ",))
    network = replace(config.network, eeg=MvSstmaConfig(context=context))
    with pytest.raises(InputError) as caught:
        replace(config, network=network, windows=replace(config.windows, n_context_steps=n_steps))
    assert caught.value.facts["setting"] == setting


def test_training_windows_hold_the_left_context_and_give_the_streamed_tokens(checkpoint):
    n_rows, n_channels, n_bands = 30, len(SEED_CH_NAMES), 5
    rng = np.random.default_rng(0)
    usable = np.ones((n_rows, n_channels), dtype=bool)
    usable[20, 3] = False
    nothing = np.zeros(n_rows)
    subject = SubjectFeatures(
        t_end=np.arange(n_rows, dtype=float),
        label=nothing.astype(np.int64),
        trial=nothing.astype(np.int64),
        since_onset_s=nothing,
        de=rng.normal(1.5, 1.0, (n_rows, n_channels, n_bands)).astype(np.float32),
        usable=usable,
        eye=np.zeros((n_rows, 33), dtype=np.float32),
        crop=np.zeros((n_rows, 3, 2, 2), dtype=np.uint8),
        has_crop=nothing.astype(bool),
        log_mel=np.zeros((n_rows, 1, 128), dtype=np.float16),
        n_frames=nothing.astype(np.int64),
        voice_clip_s=nothing,
    )
    network = checkpoint.network
    rows = Rows([subject], Normaliser.from_dict(checkpoint.normaliser_tensors))
    batch = RowInputs(network, rows, rng).alone("eeg", np.array([4, 28]))
    assert batch.eeg.shape == (2, n_channels, 17, n_bands)
    assert batch.eeg_step_mask.sum(dim=1).tolist() == [5, 17]  # the first lies at the recording's start
    state, tokens = network.eeg.start(n_channels), []
    for at in range(17):
        mask = batch.eeg_channel_mask[1:, at]
        tokens.append(network.step_eeg(batch.eeg[1:, :, at], batch.eeg_positions, mask, state)[0])
    with torch.no_grad():
        whole = network.eeg_pool(
            network.eeg(batch.eeg, batch.eeg_positions, batch.eeg_step_mask, batch.eeg_channel_mask)[0],
            batch.eeg_channel_mask,
            batch.eeg_positions,
        )
    assert (torch.cat(tokens, dim=1)[0] - whole[1]).abs().max() < 1e-5
    unimodal_logits(network, "eeg", batch).sum().backward()  # and they can be learned from
    assert network.eeg.embed.weight.grad is not None
