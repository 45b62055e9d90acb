"""The model in the repository stays readable: fields that came after it take the old behaviour."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from models.checkpoint import CONFIG_FILE, WEIGHTS_FILE, load_checkpoint
from models.config import ModelConfig, preset
from models.features.config import FeatureConfig

FOLDER = Path(__file__).parents[2] / "assets" / "models" / "small-simulated"


def test_shipped_model_loads_with_the_digest_of_its_files():
    if not FOLDER.is_dir():
        pytest.skip("no model in assets/models")
    checkpoint = load_checkpoint(FOLDER)
    written = hashlib.sha256((FOLDER / CONFIG_FILE).read_bytes() + (FOLDER / WEIGHTS_FILE).read_bytes())
    assert checkpoint.sha256 == written.hexdigest()


def test_config_without_the_newer_fields_is_the_old_network():
    config = preset("small", labels=("sad", "happy"), ch_names=("CZ",), features=FeatureConfig(face_size=112))
    data = config.to_dict()
    for name in ("eeg_encoder", "eegformer"):
        del data["network"][name]
    for name in ("stem", "token_norm"):
        del data["network"]["face"][name]
    network = ModelConfig.from_dict(data).network
    assert (network.eeg_encoder, network.face.stem, network.face.token_norm) == ("mv_sstma", "patch", "none")
