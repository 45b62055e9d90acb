"""The window's tests run without a display unless one is asked for, and collect no garbage in a paint."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


@pytest.fixture(autouse=True)
def no_collection_while_painting(request: pytest.FixtureRequest) -> Iterator[None]:
    """Collect between tests alone, as the program does between events: see `app.qt.application`."""
    if request.node.path.name == "test_garbage.py":
        yield
        return
    gc.disable()
    yield
    gc.enable()
    gc.collect(1)
