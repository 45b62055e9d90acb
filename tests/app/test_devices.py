"""What is kept of a device: its mapping, for window and terminal; and how its channels look."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from acquisition.adapters import AdapterOptions
from acquisition.header import parse_header
from acquisition.montage import load_montage
from acquisition.types import Kind, StreamHeader
from acquisition.xdf.write import XdfWriter
from app.devices import keep_montage, kept_montage, look_in_file, mapping_path, streams_of_file
from app.replay import ReplayFile, ReplaySession
from app.request import ReplayRequest, SessionOptions

XML = (
    "<info><name>obci</name><type>EEG</type><channel_count>3</channel_count><nominal_srate>100</nominal_srate>"
    "<channel_format>float32</channel_format><source_id>s</source_id></info>"
)
HEADER = parse_header(XML)


@pytest.fixture(autouse=True)
def settings(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("AFFECTSCOPE_SETTINGS", str(tmp_path / "window.ini"))


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Ten seconds of a counter, a 10 Hz sine of 30 and nothing, at 99 Hz."""
    path = tmp_path / "obci.xdf"
    t = np.arange(990) / 99
    values = np.stack([np.arange(990) % 256, 30 * np.sin(2 * np.pi * 10 * t), 0 * t], axis=1)
    with XdfWriter(path) as writer:
        writer.add_stream(1, XML)
        for at in range(0, 990, 99):
            writer.samples(1, 500 + t[at : at + 99], values[at : at + 99])
    return path


def test_a_mapping_is_kept_by_name_and_channel_list_as_a_montage_file():
    assert kept_montage(HEADER) is None
    path = keep_montage(HEADER, {1: "C3", 2: "CZ"}, "0.02235uV")
    assert kept_montage(replace(HEADER, source_id="other", nominal_sfreq=250.0)) == kept_montage(HEADER)
    for other in (replace(HEADER, n_channels=4), replace(HEADER, name="obci 2")):
        assert mapping_path(other) != path
        assert kept_montage(other) is None
    montage = load_montage(str(path))
    assert (montage.indices, montage.unit, montage.near) == ({1: "C3", 2: "CZ"}, "0.02235uV", True)


def test_a_look_measures_rate_and_spread_and_finds_the_counter(recording: Path):
    look = look_in_file(recording, None)
    assert look.sfreq == pytest.approx(99.0, rel=1e-3)
    assert look.counters == (0,)
    assert look.spread[1] == pytest.approx(30 / np.sqrt(2), rel=0.02)
    assert np.isnan(look.spread[2])


def test_a_window_shows_what_the_terminal_refuses_and_both_use_the_kept_mapping(
    recording: Path, random_model
):
    shown = ReplaySession(ReplayRequest(recording, SessionOptions(model=random_model, shows_unmapped=True)))
    shown.run(lambda share: None)
    assert shown.telemetry.n_predictions == 0
    (ledger,) = shown.ledgers.values()
    assert "no channel has a known name" in ledger.refused
    assert (ledger.n_received, ledger.n_used) == (990, 0)
    path = keep_montage(HEADER, {1: "C3"})
    decoded = ReplaySession(ReplayRequest(recording, SessionOptions(model=random_model)))
    decoded.run(lambda share: None)
    assert decoded.telemetry.n_predictions > 0
    assert any(str(path) in message for message in decoded.telemetry.messages)


def test_a_file_without_any_modality_shows_its_longest_stream_of_numbers(tmp_path: Path, random_model):
    path, xml = tmp_path / "other.xdf", XML.replace("<type>EEG", "<type>ACC").replace(">3<", ">1<")
    with XdfWriter(path) as writer:
        for stream_id, n in ((1, 20), (2, 50), (3, 0)):
            writer.add_stream(stream_id, xml.replace("obci", f"acc{stream_id}"))
            if n:
                writer.samples(stream_id, np.arange(n) / 100, np.ones((n, 1)))
    file = ReplayFile(ReplayRequest(path, SessionOptions(model=random_model, shows_unmapped=True)))
    assert file.kinds == {2: Kind.OTHER}
    assert file.open().first_time == 0.0


def test_the_streams_of_a_file_say_what_is_made_of_them(recording: Path):
    (stream,) = streams_of_file(recording, AdapterOptions(shows_unmapped=True))
    assert (stream.key, stream.header.name, round(stream.seconds)) == ("1", "obci", 10)
    assert stream.problems[0].startswith("not decoded: ")


@pytest.mark.parametrize("name", ["muse_P001", "muse_P002", "muse_P031", "openbci_Sub2011001", "minimal"])
def test_the_eeg_of_real_files_can_be_looked_at(real_data: Path, name: str):
    look = look_in_file(real_data / "xdf" / f"{name}.xdf", None)
    assert isinstance(look.header, StreamHeader)
    assert look.counters == ((0,) if name.startswith("openbci") else ())


def test_an_eeg_file_is_replayed_from_a_copy_that_is_deleted(tmp_path: Path, random_model):
    path = tmp_path / "eight.csv"
    t, names = np.arange(800) / 200, ("Fp1", "Fp2", "C3", "C4", "P3", "P4", "O1", "O2")
    rows = [
        ",".join(("time", *names)),
        *(f"{at}" + ",".join(["", *["%g" % (20 * np.sin(60 * at))] * 8]) for at in t),
    ]
    path.write_text("\n".join(rows))
    session = ReplaySession(ReplayRequest(path, SessionOptions(model=random_model, eeg_unit="uV")))
    copy = session.file.xdf
    assert copy.is_file()
    session.run(lambda share: None)
    assert session.telemetry.n_predictions > 0
    assert not copy.exists()
