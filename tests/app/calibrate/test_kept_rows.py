"""Features kept between the runs of a session: whole, or not there at all."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from acquisition.simulator.source import SimulatedSource, SimulatorOptions
from calibration.quality import TrialQuality
from calibration.rows import KeptRows, RowPump, holds
from calibration.types import TrialRecord
from models.checkpoint import load_checkpoint
from models.decoder import Decoder


@pytest.fixture(scope="module")
def rows(random_model):
    source = SimulatedSource(SimulatorOptions(seed=5, streams=("eeg", "gaze")))
    pump = RowPump(source, Decoder(load_checkpoint(random_model)))
    pump.run_to(0.0, 12.0)
    return pump.rows.table()


QUALITY = TrialQuality(3, 20, {"eeg": 1.0}, ("FP1", "FP2"), (0.0, 0.25), ("", "mains"), gaze_valid=math.nan)


def test_what_was_saved_comes_back(rows, tmp_path):
    kept = KeptRows(tmp_path)
    kept.save(2, rows, [QUALITY])
    found = kept.load(2)
    assert found is not None
    np.testing.assert_array_equal(found[0].eeg, rows.eeg)
    assert math.isnan(found[1][0].gaze_valid)
    assert replace(found[1][0], **dict.fromkeys(_NAN, 0.0)) == replace(QUALITY, **dict.fromkeys(_NAN, 0.0))
    assert kept.load(1) is None
    kept.remove()
    assert kept.load(2) is None


_NAN = ("gaze_valid", "face_found", "voice_rms_db", "voice_peak_db", "voice_clipped")


@pytest.mark.parametrize("name", ["rows_run-02.npz", "quality_run-02.json"])
def test_what_is_damaged_counts_as_missing(rows, tmp_path, name):
    kept = KeptRows(tmp_path)
    kept.save(2, rows, [QUALITY])
    path = tmp_path / "cache" / name
    path.write_bytes(path.read_bytes()[:100])
    assert kept.load(2) is None


def test_rows_that_end_in_a_trial_do_not_hold_it(rows):
    last = float(rows.t_end[-1])
    assert holds(rows, [TrialRecord(1, "sad", 2.3, last - 0.2)])
    assert not holds(rows, [TrialRecord(1, "sad", 2.3, last + 5.0)])
