"""Samples of XDF files equal pyxdf's, bit by bit."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import pyxdf

from acquisition.xdf.reader import StreamReader
from acquisition.xdf.scan import scan_xdf
from acquisition.xdf.write import XdfWriter

RECORDINGS = ("clock_resets", "empty_streams", "minimal", "muse_P001", "muse_P002", "muse_P031")
HEADER = (
    "<info><name>S</name><type>EEG</type><channel_count>{n}</channel_count>"
    "<nominal_srate>{sfreq}</nominal_srate><channel_format>{format}</channel_format></info>"
)


def _assert_equal_to_pyxdf(path: Path) -> None:
    logging.getLogger("pyxdf").setLevel(logging.CRITICAL)
    expected, _ = pyxdf.load_xdf(path, synchronize_clocks=False, dejitter_timestamps=False)
    index = scan_xdf(path)
    assert index.damage == []
    assert set(index.streams) == {stream["info"]["stream_id"] for stream in expected}
    for reference in expected:
        stream = index.streams[reference["info"]["stream_id"]]
        reader = StreamReader(path, stream)
        blocks = list(reader.blocks())
        reader.close()
        assert reader.damage == []
        stamps = np.concatenate([np.empty(0), *(block.stamps for block in blocks)])
        assert np.array_equal(stamps, reference["time_stamps"])
        assert stream.offset_times.tolist() == reference["clock_times"]
        assert stream.offset_values.tolist() == reference["clock_values"]
        if stream.dtype is None:
            assert [list(row) for block in blocks for row in block.values] == reference["time_series"]
        elif blocks:
            values = np.concatenate([np.asarray(block.values) for block in blocks])
            assert values.dtype == reference["time_series"].dtype
            assert np.array_equal(values, reference["time_series"])


@pytest.mark.real_data
@pytest.mark.parametrize("name", [*RECORDINGS, "openbci_Sub2011001"])
def test_real_recordings_equal_pyxdf(real_data: Path, name: str) -> None:
    _assert_equal_to_pyxdf(real_data / "xdf" / f"{name}.xdf")


@pytest.mark.parametrize("stamped", ["all", "first", "none", "every third", "random"])
@pytest.mark.parametrize("form", ["float32", "double64", "int8", "int16", "int32", "int64", "string"])
def test_every_format_and_stamping_equals_pyxdf(tmp_path: Path, form: str, stamped: str) -> None:
    rng = np.random.default_rng(3)
    path = tmp_path / "a.xdf"
    with XdfWriter(path) as writer:
        writer.add_stream(7, HEADER.format(n=5, sfreq=33, format=form))
        for chunk in range(4):
            stamps = 10 + chunk + np.sort(rng.random(30))
            keep = {
                "all": np.ones(30, bool),
                "first": np.arange(30) == 0,
                "none": np.zeros(30, bool),
                "every third": np.arange(30) % 3 == 0,
                "random": rng.random(30) < 0.5,
            }[stamped]
            values = rng.integers(-100, 100, (30, 5))
            texts = [[f"é{value}" * 40 for value in row] for row in values]
            writer.samples(7, np.where(keep, stamps, np.nan), texts if form == "string" else values)
            writer.clock_offset(7, 10.0 + chunk, 1e-3)
    _assert_equal_to_pyxdf(path)


@pytest.mark.parametrize("form", ["int16", "string"])
def test_a_chunk_larger_than_a_block_is_streamed(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acquisition.xdf.reader._BLOCK_BYTES", 100)
    path = tmp_path / "a.xdf"
    stamps = np.where(np.arange(200) % 2 == 0, np.arange(200) / 10, np.nan)
    values = np.arange(400).reshape(200, 2)
    texts = [["x" * (value[0] % 7 * 50), "y"] for value in values]
    with XdfWriter(path) as writer:
        writer.add_stream(1, HEADER.format(n=2, sfreq=10, format=form))
        writer.samples(1, stamps, texts if form == "string" else values)
    _assert_equal_to_pyxdf(path)
