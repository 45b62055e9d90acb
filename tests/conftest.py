"""Fixtures that several packages' tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings, or a visible skip."""
    folder = Path(os.environ.get("AFFECTSCOPE_REAL_DATA", PROJECT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real recordings at {folder}: set AFFECTSCOPE_REAL_DATA")
    return folder


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ``small`` model folder with random weights and plain normalisation."""
    import torch

    from acquisition.montage import SEED_CH_NAMES
    from acquisition.simulator.subject import EMOTIONS
    from models.checkpoint import save_checkpoint
    from models.config import preset
    from models.features.normalise import EegScale, EyeScale, Normaliser
    from models.network import FusionNetwork

    torch.manual_seed(0)
    config = preset("small", labels=EMOTIONS, ch_names=SEED_CH_NAMES, trained_on="simulated data only")
    n_channels, n_bands, n_eye = len(SEED_CH_NAMES), len(config.features.bands), 33
    normaliser = Normaliser(
        EegScale(torch.full((n_channels, n_bands), 1.5), torch.ones(n_channels, n_bands)),
        EyeScale(torch.zeros(n_eye), torch.ones(n_eye), torch.full((n_eye,), 0.5)),
    )
    folder = tmp_path_factory.mktemp("model")
    save_checkpoint(folder, config, FusionNetwork(config), normaliser.to_dict(), "random weights, for tests")
    return folder
