"""How threads wait: sleeping where streams are read, spinning where only training runs."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from app.environment import TRAINING, settle_environment


@pytest.fixture(autouse=True)
def kept() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.parametrize("command", ["", "live", "replay", "calibrate", *TRAINING])
def test_threads_sleep_between_windows_but_not_in_training(command: str) -> None:
    os.environ.pop("OMP_WAIT_POLICY", None)
    settle_environment(command)
    assert os.environ.get("OMP_WAIT_POLICY") == (None if command in TRAINING else "PASSIVE")


def test_what_the_user_has_set_stays() -> None:
    os.environ["OMP_WAIT_POLICY"] = "ACTIVE"
    settle_environment("live")
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
