"""The demo with real processes: predictions from its own simulated streams, and nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from acquisition.montage import SEED_CH_NAMES
from acquisition.simulator.subject import EMOTIONS

PROJECT = Path(__file__).parents[3]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A network that was never trained, small enough for a busy machine."""
    import torch

    from models.checkpoint import save_checkpoint
    from models.config import AstConfig, VitConfig, preset
    from models.network import FusionNetwork

    config = preset(
        "small", labels=EMOTIONS, ch_names=SEED_CH_NAMES, trained_on="nothing, for simulated data only"
    )
    tiny = {"width": 16, "n_layers": 1, "n_heads": 2, "ffn_dim": 16}
    sizes = replace(config.network, face=VitConfig(**tiny, image_size=112), voice=AstConfig(**tiny))
    config = replace(config, network=sizes)
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "model", config, FusionNetwork(config), {}, "# Card\n")
    return tmp_path / "model"


def demo(*arguments: str | Path) -> tuple[subprocess.Popen[str], str, str]:
    command = [sys.executable, "-m", "app", "demo", "--headless", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "2"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    out, err = process.communicate(timeout=150)
    return process, out, err


def answers(prefix: str) -> bool:
    from pylsl import resolve_bypred

    return bool(resolve_bypred(f"starts-with(source_id,'{prefix}')", 1, 1.0))


@pytest.mark.lsl
@pytest.mark.slow
def test_demo_predicts_from_its_own_streams_and_ends_them(model: Path, tmp_path: Path) -> None:
    jsonl = tmp_path / "demo.jsonl"
    process, out, err = demo("--model", model, "--seconds", "8", "--seed", "31", "--jsonl", jsonl)
    assert "SimulatedEEG: open" in out  # the names that `simulate` uses
    assert process.returncode == 0, err
    assert "simulated" in out.splitlines()[0]
    assert any(line.endswith(f": {emotion}") for line in out.splitlines() for emotion in EMOTIONS)
    predictions = [json.loads(line) for line in jsonl.read_text(encoding="utf-8").splitlines()[:-1]]
    assert len(predictions) > 3
    assert any(all(prediction["present"].values()) for prediction in predictions)
    assert not answers(f"affectscope-simulator-31-demo-{process.pid}-")


@pytest.mark.lsl
@pytest.mark.slow
def test_demo_without_a_model_says_so_and_ends_its_simulator(tmp_path: Path) -> None:
    process, _, err = demo("--model", tmp_path / "none", "--seed", "32")
    assert process.returncode == 2
    assert err.startswith("error: ")
    assert not answers(f"affectscope-simulator-32-demo-{process.pid}-")
