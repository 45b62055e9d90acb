"""Fixtures that several packages' tests share."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent


def pytest_configure(config: pytest.Config) -> None:
    """Give every test process an LSL session of its own, and one thread, before liblsl and torch are loaded.

    Streams of a laboratory, or of the tests that run beside these, are not found then. Started processes
    inherit both.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.NamedTemporaryFile("w", prefix="lsl_api-", suffix=".cfg", delete=False) as file:
        file.write(f"[lab]\nSessionID = tests-{uuid.uuid4().hex}\n[log]\nlevel = -2\n")
    config.add_cleanup(Path(file.name).unlink)
    os.environ["LSLAPICFG"] = file.name
    # No channel mapping that this user keeps for a device may change a test.
    settings = tempfile.TemporaryDirectory(prefix="affectscope-settings-")
    config.add_cleanup(settings.cleanup)
    os.environ["AFFECTSCOPE_SETTINGS"] = str(Path(settings.name) / "window.ini")


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
    from models.network import FusionNetwork
    from models.normalise import EegScale, EyeScale, Normaliser

    torch.manual_seed(1)
    config = preset(
        "small",
        labels=EMOTIONS,
        ch_names=SEED_CH_NAMES,
        trained_on="simulated data only",
        is_simulated=True,
    )
    n_channels, n_bands, n_eye = len(SEED_CH_NAMES), len(config.features.bands), 33
    normaliser = Normaliser(
        EegScale(torch.full((n_channels, n_bands), 1.5), torch.ones(n_channels, n_bands)),
        EyeScale(torch.zeros(n_eye), torch.ones(n_eye), torch.full((n_eye,), 0.5)),
    )
    folder = tmp_path_factory.mktemp("model")
    save_checkpoint(folder, config, FusionNetwork(config), normaliser.to_dict(), "random weights, for tests")
    return folder


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Tiny networks train faster on one thread than on many."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def seed_iv_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people in SEED-IV's layout, all trials. Tests that break a file copy the folder first."""
    from tests.studies.data_sets.options import MakeOptions
    from tests.studies.data_sets.seed import make_seed_iv

    folder = tmp_path_factory.mktemp("sets") / "seed-iv"
    make_seed_iv(MakeOptions(folder, subjects=2, seed=3, trial_s=40, raw=False, jobs=1))
    return folder


@pytest.fixture(scope="session")
def small_seed_iv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One person in SEED-IV's layout, six trials a session, four of them for training."""
    from tests.studies.data_sets.options import MakeOptions
    from tests.studies.data_sets.seed import make_seed_iv

    folder = tmp_path_factory.mktemp("sets") / "s4"
    make_seed_iv(MakeOptions(folder, subjects=1, seed=3, trials=6, trial_s=44, jobs=1))
    return folder


@pytest.fixture(scope="session")
def small_eav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One person in EAV's layout, trials of 5 s. Tests that break a file copy the folder first."""
    from tests.studies.data_sets.eav import make_eav
    from tests.studies.data_sets.options import MakeOptions

    folder = tmp_path_factory.mktemp("sets") / "small-eav"
    make_eav(MakeOptions(folder, subjects=1, seed=3, trials=20, trial_s=5, jobs=1))
    return folder
