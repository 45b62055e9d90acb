"""Salvage: pyxdf loads the copy, which equals an undamaged original sample by sample."""

from __future__ import annotations

import logging
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import pyxdf
from test_xdf_fuzz import Breaker, _read, _record

from acquisition.errors import ErrorCode, InputError
from acquisition.xdf.salvage import salvage_xdf
from acquisition.xdf.scan import scan_xdf


def _loaded(path: Path) -> dict[int, dict]:
    logging.getLogger("pyxdf").setLevel(logging.CRITICAL)
    streams, _ = pyxdf.load_xdf(path, synchronize_clocks=False, dejitter_timestamps=False)
    return {stream["info"]["stream_id"]: stream for stream in streams}


def _assert_equal_by_pyxdf(path: Path, copy: Path) -> None:
    expected, found = _loaded(path), _loaded(copy)
    assert set(found) == set(expected)
    for stream_id, stream in expected.items():
        other = found[stream_id]
        assert np.array_equal(other["time_stamps"], stream["time_stamps"])
        assert np.array_equal(other["time_series"], stream["time_series"])
        assert (other["clock_times"], other["clock_values"]) == (
            stream["clock_times"],
            stream["clock_values"],
        )
        names = ("name", "type", "channel_count", "nominal_srate", "channel_format", "desc")
        assert all(other["info"].get(name) == stream["info"].get(name) for name in names)


@pytest.mark.real_data
@pytest.mark.parametrize(
    "name", ["clock_resets", "empty_streams", "minimal", "muse_P001", "openbci_Sub2011001"]
)
def test_the_copy_of_a_real_recording_is_equal(real_data: Path, tmp_path: Path, name: str) -> None:
    path, copy = real_data / "xdf" / f"{name}.xdf", tmp_path / "copy.xdf"
    _, damage = salvage_xdf(path, copy)
    assert damage == []
    assert copy.stat().st_size < 1.1 * path.stat().st_size + 1000
    _assert_equal_by_pyxdf(path, copy)


def test_what_is_read_of_damaged_files_is_in_the_copy_for_every_reader(tmp_path: Path) -> None:
    first, second = _record(tmp_path / "a.xdf", 0), _record(tmp_path / "b.xdf", 1)
    breaker, path, copy = Breaker(first, second, 8), tmp_path / "broken.xdf", tmp_path / "copy.xdf"
    n_damaged = 0
    for _ in range(100):
        path.write_bytes(breaker.next().content)
        _, damage = salvage_xdf(path, copy, force=True)
        n_damaged += bool(damage)
        samples, stamps, _ = _read(path)
        assert scan_xdf(copy).damage == []
        again, stamps_again, n_replaced = _read(copy)
        assert n_replaced == 0
        assert repr((again, stamps_again)) == repr((samples, stamps))  # also where a value is NaN
        n_by_id = Counter(sample[0] for sample in samples)
        loaded = _loaded(copy)
        assert {i: len(s["time_series"]) for i, s in loaded.items() if len(s["time_series"])} == dict(n_by_id)
    assert n_damaged > 60


def test_a_header_that_is_no_longer_xml_is_rebuilt(tmp_path: Path) -> None:
    whole = _record(tmp_path / "a.xdf", 0)
    path, copy = tmp_path / "broken.xdf", tmp_path / "copy.xdf"
    path.write_bytes(whole.content.replace(b"<desc/></info>", b"<desc/></imfo>", 1))
    n_samples, damage = salvage_xdf(path, copy)
    assert n_samples == {"EEG (1)": 30, "Gaze (2)": 18, "Audio (3)": 60, "Markers (4)": 6}
    assert len(damage) == 1
    assert _loaded(copy)[1]["info"]["channel_count"] == ["4"]


def test_nothing_is_overwritten_unless_forced_and_never_the_original(tmp_path: Path) -> None:
    path, copy = tmp_path / "a.xdf", tmp_path / "copy.xdf"
    content = _record(path, 0).content
    copy.write_text("mine")
    os.link(path, tmp_path / "link.xdf")
    for target, force in ((copy, False), (path, True), (tmp_path / "link.xdf", True), (tmp_path, True)):
        with pytest.raises(InputError) as error:
            salvage_xdf(path, target, force=force)
        assert error.value.code is ErrorCode.FILE
    assert path.read_bytes() == content
    assert copy.read_text() == "mine"
    with pytest.raises(InputError):
        salvage_xdf(path, tmp_path / "absent" / "copy.xdf")
    part = tmp_path / "copy.xdf.part"
    os.link(path, part)  # as a copy that was broken off, and the original, may be called
    salvage_xdf(part, copy, force=True)
    assert part.read_bytes() == content
    part.unlink()
    _assert_equal_by_pyxdf(path, copy)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.xdf", "copy.xdf", "link.xdf"]


def test_a_broken_length_swallows_no_other_chunk(tmp_path: Path) -> None:
    path, broken = tmp_path / "a.xdf", tmp_path / "broken.xdf"
    whole = _record(path, 0)
    samples = Counter(_read(path)[0])
    for piece in whole.pieces[1:]:
        for bit in range(8 * whole.content[piece.begin]):
            content = bytearray(whole.content)
            content[piece.begin + 1 + bit // 8] ^= 1 << bit % 8
            broken.write_bytes(content)
            assert Counter(_read(broken)[0]) == samples, (piece, bit)
            assert scan_xdf(broken).damage
