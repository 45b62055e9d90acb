"""Small generated data sets, made once; tests that break a file copy the folder first."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.studies.data_sets.eav import make_eav
from tests.studies.data_sets.options import MakeOptions
from tests.studies.data_sets.seed import make_seed_iv, make_seed_v


@pytest.fixture(scope="session")
def raw_seed_iv_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets") / "seed-iv-raw"
    make_seed_iv(MakeOptions(folder, subjects=1, seed=3, trials=10, trial_s=16, raw=True, jobs=1))
    return folder


@pytest.fixture(scope="session")
def seed_v_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets") / "seed-v"
    make_seed_v(MakeOptions(folder, subjects=2, seed=3, trial_s=40, jobs=1))
    return folder


@pytest.fixture(scope="session")
def eav_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets") / "eav"
    make_eav(MakeOptions(folder, subjects=2, seed=3, trials=20, trial_s=10, jobs=1))
    return folder
