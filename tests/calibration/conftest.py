"""One decoded run of the simulated devices, for all tests of rows and windows."""

from __future__ import annotations

import pytest

from acquisition.simulator.source import SimulatedSource, SimulatorOptions
from app.pipeline import Pipeline
from calibration.rows import RowCollector, RowTable
from models.checkpoint import Checkpoint, load_checkpoint
from models.decoder import Decoder
from models.window_batch import NetworkInput

DECODED_S = 26  # of the shared run


def decode(checkpoint: Checkpoint, end_s: int) -> tuple[RowTable, dict[float, NetworkInput]]:
    """Return rows, and the network's input of each window by its end."""
    decoder = Decoder(checkpoint)
    rows = RowCollector(decoder)
    source = SimulatedSource(SimulatorOptions(seed=5, streams=("eeg", "gaze", "video", "audio")))
    pipeline = Pipeline(source, decoder, live=False)
    live = {}
    for hop in range(1, 4 * end_s + 1):
        pipeline.step(hop / 4)
        if (newest := decoder.newest) is not None and newest.inputs is not None:
            live[newest.t_end] = newest.inputs
    return rows.table(), live


@pytest.fixture(scope="session")
def checkpoint(random_model):
    return load_checkpoint(random_model)


@pytest.fixture(scope="session")
def decoded(checkpoint):
    """Rows and inputs of a run that decodes every window of `DECODED_S`."""
    return decode(checkpoint, DECODED_S)


@pytest.fixture(scope="session")
def decode_with():
    """The function that makes such a run with another model."""
    return decode
