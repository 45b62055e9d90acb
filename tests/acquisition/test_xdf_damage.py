"""Damaged XDF files: nothing raises, nothing before the damage is lost, memory stays small."""

from __future__ import annotations

import os
import random
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from acquisition.errors import ErrorCode, InputError
from acquisition.xdf.inspect import inspect_xdf
from acquisition.xdf.reader import StreamReader
from acquisition.xdf.scan import check_xdf, scan_xdf
from acquisition.xdf.write import XdfWriter

HEADER = (
    '<?xml version="1.0"?><info><name>{name}</name><type>{type}</type><channel_count>{n}</channel_count>'
    "<nominal_srate>{sfreq}</nominal_srate><channel_format>{format}</channel_format>"
    "<source_id>{name}-id</source_id><desc/></info>"
)
EEG, MARKERS = 1, 2


def _write(path: Path, with_boundaries: bool = True, n_chunks: int = 20) -> Path:
    """Write chunks of 10 EEG samples whose value is the sample's index, and a marker with each."""
    with XdfWriter(path) as writer:
        writer.add_stream(EEG, HEADER.format(name="Amp", type="EEG", n=3, sfreq=100, format="float32"))
        writer.add_stream(MARKERS, HEADER.format(name="Mark", type="Markers", n=1, sfreq=0, format="string"))
        for chunk in range(n_chunks):
            index = np.arange(10) + 10 * chunk
            stamps = 50 + index / 100
            if chunk % 2:
                stamps[1:] = np.nan
            writer.samples(EEG, stamps, np.repeat(index[:, None], 3, axis=1))
            writer.samples(MARKERS, [stamps[0]], [[f"marker {chunk}"]])
            writer.clock_offset(EEG, stamps[0], 0.5)
            if with_boundaries and chunk % 5 == 4:
                writer.boundary()
        writer.footer(EEG, "<info><sample_count>200</sample_count></info>")
    return path


def _load(path: Path) -> tuple[dict[int, list], int]:
    """Return the first column of every stream and the number of damaged places."""
    index = scan_xdf(path)
    values: dict[int, list] = {EEG: [], MARKERS: []}
    n_damaged = len(index.damage)
    for stream_id, stream in index.streams.items():
        reader = StreamReader(path, stream)
        rows = [row for block in reader.blocks() for row in block.values]
        values.setdefault(stream_id, []).extend(row[0] for row in rows)
        n_damaged += len(reader.damage)
        reader.close()
    return values, n_damaged


def _rewrite(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_whole_file_has_no_damage(tmp_path: Path) -> None:
    values, n_damaged = _load(_write(tmp_path / "a.xdf"))
    assert values[EEG] == list(range(200))
    assert values[MARKERS] == [f"marker {i}" for i in range(20)]
    assert n_damaged == 0


@pytest.mark.parametrize("content", [b"", b"XD", b"RIFFxxxxWAVE", b"\x1f\x8b\x08\x00"])
def test_a_file_that_is_no_xdf_is_an_input_error(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError) as error:
        scan_xdf(_rewrite(tmp_path / "no.xdf", content))
    assert error.value.code is ErrorCode.RECORDING


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        scan_xdf(tmp_path / "absent.xdf")
    assert error.value.code is ErrorCode.RECORDING


@pytest.mark.parametrize("with_boundaries", [True, False])
def test_a_flipped_bit_costs_at_most_its_surroundings(tmp_path: Path, with_boundaries: bool) -> None:
    path = _write(tmp_path / "a.xdf", with_boundaries)
    content, flipped = path.read_bytes(), tmp_path / "flipped.xdf"
    first_samples = content.index(struct.pack("<HI", 3, EEG)) - 5
    rng = random.Random(5)
    for _ in range(300):
        bit = rng.randrange(8 * first_samples, 8 * len(content))
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        values, n_damaged = _load(_rewrite(flipped, bytes(damaged)))
        n_lost = 220 - len(values[EEG]) - len(values[MARKERS])
        assert -2 <= n_lost <= 33, f"bit {bit} cost {n_lost} samples"
        assert n_lost == 0 or n_damaged > 0, f"bit {bit} lost {n_lost} samples without a word"


def test_flipped_bits_in_the_headers_raise_nothing(tmp_path: Path) -> None:
    content = _write(tmp_path / "a.xdf").read_bytes()
    rng = random.Random(6)
    for _ in range(300):
        damaged = bytearray(content)
        damaged[rng.randrange(4, 700)] ^= 1 << rng.randrange(8)
        inspect_xdf(_rewrite(tmp_path / "flipped.xdf", bytes(damaged)))


def test_broken_header_xml_keeps_the_stream(tmp_path: Path) -> None:
    content = _write(tmp_path / "a.xdf").read_bytes().replace(b"<desc/></info>", b"<desc/></imfo>", 1)
    values, n_damaged = _load(_rewrite(tmp_path / "b.xdf", content))
    assert values[EEG] == list(range(200))
    assert n_damaged == 1


def test_absurd_claims_cost_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "claim.xdf"
    with XdfWriter(path) as writer:
        for stream_id, kind in ((EEG, "float32"), (MARKERS, "string")):
            writer.add_stream(stream_id, HEADER.format(name="S", type="EEG", n=1, sfreq=10, format=kind))
        writer.samples(EEG, [1.0], [[7.0]])
        writer.samples(MARKERS, [1.0], [["a text"]])
    content = path.read_bytes()
    one = struct.pack("<BI", 4, 1)
    assert content.count(one) >= 2
    path.write_bytes(content.replace(one, struct.pack("<BI", 4, 200_000_000)))
    tracemalloc.start()
    values, n_damaged = _load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert values == {EEG: [7.0], MARKERS: ["a text"]}
    assert n_damaged >= 2
    assert peak < 20e6


def test_one_impossible_stamp_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.xdf"
    with XdfWriter(path) as writer:
        writer.add_stream(EEG, HEADER.format(name="Amp", type="EEG", n=1, sfreq=10, format="int16"))
        for stamp in (5.0, 5.1, 4e9, 5.3, 5.4):
            writer.samples(EEG, [stamp], [[1]])
    reader = StreamReader(path, scan_xdf(path).streams[EEG])
    stamps = np.concatenate([block.stamps for block in reader.blocks()])
    reader.close()
    assert np.allclose(stamps, [5.0, 5.1, 5.2, 5.3, 5.4])
    assert len(reader.damage) == 1


def test_a_clock_reset_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.xdf"
    with XdfWriter(path) as writer:
        writer.add_stream(EEG, HEADER.format(name="Amp", type="EEG", n=1, sfreq=10, format="int16"))
        for stamp in (900.0, 900.1, 3.0, 3.1, 9e5, 9e5 + 0.1):
            writer.samples(EEG, [stamp], [[1]])
    reader = StreamReader(path, scan_xdf(path).streams[EEG])
    stamps = np.concatenate([block.stamps for block in reader.blocks()])
    reader.close()
    assert stamps.tolist() == [900.0, 900.1, 3.0, 3.1, 9e5, 9e5 + 0.1]
    assert reader.damage == []


def test_what_is_no_regular_file_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    fifo = tmp_path / "a.xdf"
    os.mkfifo(fifo)
    for path in (fifo, Path("/dev/zero")):
        for read in (check_xdf, scan_xdf):
            with pytest.raises(InputError) as error:
                read(path)
            assert error.value.code is ErrorCode.RECORDING
