"""Pre-training runs: what is hidden stays hidden, a killed run goes on, processes share a batch."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from acquisition.errors import ErrorCode, InputError
from app.model_loading import check_runs_live
from models.checkpoint import WEIGHTS_FILE, load_checkpoint, load_config
from models.config import MvSstmaConfig
from models.encoders.mv_sstma import MvSstmaEncoder
from models.normalise import EegScale
from models.training.corpus import uniform
from models.training.pretrain import PretrainOptions, pretrain
from models.training.pretrain_loop import LoopOptions, MaskedAutoencoder, World
from models.training.sources import Source

CHANNELS = ["F3", "F4", "C3", "C4", "O1", "O2"]
PROJECT = Path(__file__).parents[3]
RUN = ["--batch", "8", "--epochs", "1", "--device", "cpu", "--lr", "1e-3", "--seed", "4"]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """49 s of noise that neighbours share and whose power drifts, so there is something to learn."""
    rng = np.random.default_rng(0)
    sfreq, seconds = 128, 49
    power = np.repeat(np.exp(rng.normal(size=(2, seconds))), sfreq, axis=1)  # left, right
    x = rng.normal(size=(6, sfreq * seconds)) * power[[0, 1] * 3] * 1e-5
    path = tmp_path_factory.mktemp("recordings") / "made_raw.fif"
    info = mne.create_info(CHANNELS, sfreq, "eeg")
    mne.io.RawArray(x, info, verbose="error").save(path, verbose="error")
    return path


def options(recording: Path, out: Path, **changes) -> PretrainOptions:
    loop = LoopOptions(epochs=1, learning_rate=1e-3, log_every=1, checkpoint_every=2)
    base = PretrainOptions(
        (Source("raw", recording),), out, recording.parent / "cache", batch=8, seed=4, loop=loop
    )
    return replace(base, **changes)


def run(given: PretrainOptions, report=lambda *_: None):
    return pretrain(given, World(), report)


@pytest.fixture(scope="module")
def trained(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    run(options(recording, out))
    return out


def autoencoder(**changes) -> MaskedAutoencoder:
    torch.manual_seed(0)
    config = MvSstmaConfig(n_layers=2)
    scale = EegScale(torch.zeros(6, 5), torch.ones(6, 5))
    settings = {"mask_ratio": 0.5, "n_counted": 4, **changes}
    return MaskedAutoencoder(MvSstmaEncoder(config, 6), 6, scale, **settings)


def test_a_hidden_channel_is_rebuilt_without_looking_at_it() -> None:
    model = autoencoder().eval()
    values = torch.randn(3, 4, 6, 5, requires_grad=True)
    noise = torch.from_numpy(uniform(np.arange(3), 6, (1, 0)))
    error, count = model(values, torch.ones(3, 4, dtype=torch.bool), torch.arange(6), noise)
    assert int(count) == 3 * 3 * 4 * 5
    (gradient,) = torch.autograd.grad(error, values)
    hidden = noise.argsort(dim=1).argsort(dim=1) >= 3
    own = gradient.transpose(1, 2)[hidden]  # 2 (x - rebuilt), if rebuilt does not depend on x
    assert float((own / 2).square().sum()) == pytest.approx(float(error.detach()), rel=1e-4)


def test_what_is_not_there_counts_nowhere() -> None:
    model = autoencoder().eval()
    values = torch.randn(2, 4, 6, 5)
    noise = torch.rand(2, 6)
    exists = torch.tensor([[True] * 4, [False, False, True, True]])
    values[0, :, 2] = torch.nan  # a dead channel
    error, count = model(values, exists, torch.arange(6), noise)
    assert int(count) == 5 * (4 * 2 + 2 * 3)  # of 5 channels 2 are hidden, of 6 three
    worse = torch.where(exists[..., None, None], values, 1e6)
    torch.testing.assert_close(model(worse, exists, torch.arange(6), noise)[0], error)
    short = [
        model(values[i:, t:], exists[i:, t:], torch.arange(6), noise[i:])[0] for i, t in ((1, 0), (1, 2))
    ]
    torch.testing.assert_close(*short)


def test_left_context_steps_are_seen_but_not_counted() -> None:
    model = autoencoder(n_counted=2).eval()
    whole = torch.ones(1, 4, dtype=torch.bool)
    count = model(torch.randn(1, 4, 6, 5), whole, torch.arange(6), torch.rand(1, 6))[1]
    assert int(count) == 3 * 2 * 5


def test_the_loss_goes_down(recording: Path, tmp_path: Path) -> None:
    given = options(recording, tmp_path / "m")
    done = run(replace(given, loop=replace(given.loop, epochs=4, learning_rate=5e-3)))
    losses = done.outcomes["eeg"].losses
    assert len(losses) == 4
    assert losses[-1] < 0.85 * losses[0]


def test_a_streaming_encoder_is_pre_trained_with_its_left_context(recording: Path, tmp_path: Path) -> None:
    run(options(recording, tmp_path / "m", context="streaming"))
    config = load_config(tmp_path / "m")
    assert config.network.eeg.context == "streaming"
    assert config.windows.n_context_steps == config.network.eeg.n_context_steps > 0


def test_the_model_says_what_it_is_and_live_refuses_it(trained: Path) -> None:
    checkpoint = load_checkpoint(trained)
    assert checkpoint.config.modalities == ("eeg",)
    assert sorted(checkpoint.config.ch_names) == sorted(CHANNELS)
    assert checkpoint.config.trained_on == "pre-trained on raw (unlabelled)"
    assert not checkpoint.config.transductive
    assert {"eeg_mean", "eeg_sd"} == set(checkpoint.normaliser_tensors)
    with pytest.raises(InputError) as error:
        check_runs_live(checkpoint.config, str(trained))
    assert error.value.code is ErrorCode.MODEL
    card = (trained / "README.md").read_text()
    assert "Not for workplaces or education" in card
    assert "made_raw.fif" in card
    assert str(trained.parent) not in card
    lines = [json.loads(line) for line in (trained / "loss.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("stopped_at", [1, 3])
def test_a_killed_run_goes_on_to_the_same_weights(
    recording: Path, trained: Path, tmp_path: Path, stopped_at: int
) -> None:
    given = options(recording, tmp_path / "m")
    n_reports = 0

    def stop(stage: str, share: float, loss: float, words: str) -> None:
        nonlocal n_reports
        n_reports += stage == "eeg"
        if n_reports == stopped_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(given, stop)
    assert not (given.out / WEIGHTS_FILE).exists()
    done = run(replace(given, resume=True))
    assert (given.out / WEIGHTS_FILE).read_bytes() == (trained / WEIGHTS_FILE).read_bytes()
    whole, resumed = ((folder / "loss.jsonl").read_text().splitlines() for folder in (trained, given.out))
    assert [json.loads(line)["loss"] for line in resumed] == [json.loads(line)["loss"] for line in whole]
    assert done.outcomes["eeg"].n_steps == 5


def test_a_run_with_other_settings_is_not_resumed(recording: Path, tmp_path: Path) -> None:
    given = options(recording, tmp_path / "m")
    run(given)
    with pytest.raises(InputError) as error:
        run(replace(given, batch=4, mask=0.5, resume=True))
    assert error.value.facts == {"other": "batch, mask"}
    state = given.out / "resume" / "eeg.safetensors"
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(InputError) as error:
        run(replace(given, resume=True))
    assert error.value.code is ErrorCode.FILE


def test_options_out_of_range_are_named(recording: Path, tmp_path: Path) -> None:
    for changes, where in (
        ({"mask": 1.0}, "--mask"),
        ({"batch": 1}, "--batch"),
        ({"modalities": ("eeg", "voice")}, "--modalities"),
        ({"modalities": ("eye",)}, "--modalities"),
    ):
        with pytest.raises(InputError) as error:
            run(options(recording, tmp_path / "m", **changes))
        assert error.value.where.startswith(where)


@pytest.mark.slow
def test_two_processes_end_with_the_weights_of_one(recording: Path, trained: Path, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-m", "app", "pretrain", "--raw", str(recording), "--out", str(tmp_path / "m")]
    processes = [
        subprocess.Popen(
            [*command, "--cache", str(tmp_path / "cache"), *RUN],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ
            | {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
            | {"MASTER_PORT": port, "OMP_NUM_THREADS": "1"},
        )
        for rank in (0, 1)
    ]
    outputs = [process.communicate(timeout=150)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert "pre-trained, not fine-tuned" in outputs[0]
    assert "pre-trained" not in outputs[1]
    one, two = load_file(trained / WEIGHTS_FILE), load_file(tmp_path / "m" / WEIGHTS_FILE)
    assert one.keys() == two.keys()
    for key, tensor in one.items():
        torch.testing.assert_close(two[key], tensor, atol=1e-5, rtol=0, msg=key)


def test_eyes_alone_of_published_features_make_a_model_that_says_so(
    small_seed_iv: Path, tmp_path: Path
) -> None:
    given = PretrainOptions(
        (Source("seed-iv", small_seed_iv),), tmp_path / "m", modalities=("eye",), batch=8,
        most_a_pass=16, loop=LoopOptions(epochs=1),
    )  # fmt: skip
    run(given)
    config = load_checkpoint(given.out).config
    assert config.trained_on == "pre-trained on generated seed-iv (unlabelled)"
    assert (config.modalities, config.feature_origin, config.step_s) == (("eye",), "published", 4.0)
    assert config.features.eye_features == 31
