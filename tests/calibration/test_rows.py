"""Rows of a session: what they hold, that nothing depends on how they were collected, and their files."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from acquisition.errors import ErrorCode, InputError
from acquisition.simulator.source import SimulatedSource, SimulatorOptions
from app.pipeline import Pipeline
from calibration.rows import RowCollector, RowPump, RowTable
from models.decoder import Decoder

END_S = 24


def source(streams=("eeg", "gaze", "video", "audio")):
    return SimulatedSource(SimulatorOptions(seed=5, streams=streams))


@pytest.fixture(scope="module")
def pumped(checkpoint):
    pump = RowPump(source(), Decoder(checkpoint))
    pump.run_to(0.0, END_S)
    table = pump.rows.table()
    return table.select(table.t_end <= END_S)


def assert_same(one: RowTable, other: RowTable) -> None:
    for f in fields(RowTable):
        np.testing.assert_array_equal(getattr(one, f.name), getattr(other, f.name), err_msg=f.name)


def test_a_row_for_every_whole_second(pumped):
    np.testing.assert_array_equal(pumped.t_end, np.arange(pumped.t_end[0], END_S + 1))
    late = pumped.t_end >= 10
    assert pumped.eeg_there[late].all()
    assert pumped.eye_there[late].all()
    assert pumped.face_there[late].all()
    assert pumped.voice_clip_s[late] == pytest.approx(5.0)
    assert np.isfinite(pumped.eeg[late][:, pumped.positions]).all()
    others = np.setdiff1d(np.arange(pumped.eeg.shape[1]), pumped.positions)
    assert np.isnan(pumped.eeg[:, others]).all()


def test_collected_without_predictions_they_are_those_of_a_decoded_run(decoded, pumped):
    table = decoded[0]
    assert_same(table.select(table.t_end <= END_S), pumped)


def test_a_skipped_window_leaves_no_hole_in_eeg_eye_and_face(checkpoint, pumped):
    decoder = Decoder(checkpoint)
    rows = RowCollector(decoder)
    pipeline = Pipeline(source(), decoder, live=False)
    for second in range(1, END_S + 1):  # from every other second's windows none is decoded
        pipeline.acquire(float(second))
        if second % 2 == 0:
            window = pipeline.newest_window(float(second))
            decoder.decode(window)
    table = rows.table()
    late = table.t_end >= 4
    expected = pumped.select(np.isin(pumped.t_end, table.t_end[late]))
    for name in ("eeg", "eeg_usable", "eye", "face", "face_found"):
        np.testing.assert_array_equal(getattr(table, name)[late], getattr(expected, name), err_msg=name)
    assert late.sum() == END_S - 3


def test_a_modality_without_a_stream_is_nowhere(checkpoint):
    pump = RowPump(source(("eeg",)), Decoder(checkpoint))
    pump.run_to(0.0, 8.0)
    table = pump.rows.table()
    assert table.eeg_there.any()
    assert not table.eye_there.any()
    assert not table.face_there.any()
    assert not table.voice_clip_s.any()
    assert table.voice.shape[1] == 0


def test_memory_is_bounded(checkpoint):
    decoder = Decoder(checkpoint)
    rows = RowCollector(decoder, most=5)
    pipeline = Pipeline(source(("eeg",)), decoder, live=False)
    for hop in range(1, 49):
        pipeline.step(hop / 4)
    np.testing.assert_array_equal(rows.table().t_end, np.arange(8.0, 13.0))


def test_they_survive_their_file(pumped, tmp_path):
    pumped.save(tmp_path / "rows.npz")
    assert_same(RowTable.load(tmp_path / "rows.npz"), pumped)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"text"])
def test_a_damaged_file_is_refused_in_a_line(tmp_path, content):
    path = tmp_path / "rows.npz"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        RowTable.load(path)
    assert (error.value.code, error.value.where) == (ErrorCode.FILE, str(path))


def test_runs_are_joined(pumped, checkpoint):
    pump = RowPump(source(("eeg",)), Decoder(checkpoint), run=2)
    pump.run_to(0.0, 6.0)
    silent = pump.rows.table()
    joined = RowTable.concatenate([pumped, silent])
    assert len(joined) == len(pumped) + len(silent)
    assert set(joined.run) == {1, 2}
    assert joined.voice.shape[1] == pumped.voice.shape[1]
    np.testing.assert_array_equal(joined.voice_times, pumped.voice_times)
