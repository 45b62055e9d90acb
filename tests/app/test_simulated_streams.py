"""Simulated data is called simulated, live and in recordings, whoever made the streams."""

from __future__ import annotations

import pytest

from acquisition.adapters import AdapterOptions
from acquisition.header import is_simulated, parse_header
from acquisition.intake import intake_maker
from acquisition.select import is_notes
from acquisition.simulator.recording import write_simulated
from acquisition.types import MODALITIES
from acquisition.xdf.outline import read_markers
from acquisition.xdf.scan import scan_xdf
from app.engine.messages import Opened
from app.replay import ReplaySession
from app.request import ReplayRequest, SessionOptions
from app.telemetry import SimulatedStreams
from app.view.conditions import conditions
from app.view.store import ViewStore
from assets import DEMO_MODEL, DEMO_RECORDING
from models.checkpoint import load_config


def header(name="Cap", type_="EEG", source_id="cap-1", desc=""):
    return parse_header(
        f"<info><name>{name}</name><type>{type_}</type><channel_count>1</channel_count>"
        f"<source_id>{source_id}</source_id><desc>{desc}</desc></info>"
    )


def test_a_stream_is_simulated_where_its_header_says_so():
    assert is_simulated(header(desc="<simulated>true</simulated>"))
    assert is_simulated(header(source_id="affectscope-simulator-1-eeg"))
    assert not is_simulated(header(desc="<simulated>false</simulated>"))
    assert not is_simulated(header())


def test_the_shipped_recording_is_recognised():
    headers = [s.header for s in scan_xdf(DEMO_RECORDING).streams.values()]
    assert all(map(is_simulated, headers))
    assert not any(map(is_notes, headers))
    found = SimulatedStreams(headers)
    assert found.simulated
    assert found.real == ()
    assert found.notice


def test_the_shipped_recording_is_a_small_minute_with_every_emotion_announced_and_closed():
    index = scan_xdf(DEMO_RECORDING)
    assert index.n_bytes <= 10e6
    (markers,) = (key for key, stream in index.streams.items() if stream.header.type == "Markers")
    found = read_markers(index, markers, intake_maker(AdapterOptions(), 0.1))
    shown = [text.removeprefix("trial_start/") for _, text in found if text.startswith("trial_start/")]
    assert [text for _, text in found] == [
        f"trial_{what}/{emotion}" for emotion in shown for what in ("start", "end")
    ]
    assert [round(time - found[0][0]) for time, _ in found] == [0, 15, 15, 30, 30, 45, 45, 60]


def test_the_shipped_model_is_warm_within_thirteen_seconds():
    windows = load_config(DEMO_MODEL).windows
    assert max(map(windows.context_of, MODALITIES)) <= 13.0


def test_what_the_simulator_writes_says_so_itself_and_its_replay_too(tmp_path, random_model):
    path = tmp_path / "a.xdf"
    write_simulated(path, ("gaze", "audio"), 3.0)
    assert all(s.header.desc["simulated"] == "true" for s in scan_xdf(path).streams.values())
    session = ReplaySession(ReplayRequest(path, SessionOptions(model=random_model)))
    session.run(lambda share: None)
    notice = SimulatedStreams(session.file.headers).notice
    assert notice
    assert notice in session.telemetry.messages


def test_real_streams_beside_simulated_ones_are_named():
    mixed = SimulatedStreams(
        [
            header(),
            header("SimulatedGaze", "Gaze", "affectscope-simulator-1-gaze"),
            header("Task", "Markers", "t"),
        ]
    )
    assert mixed.notice == "simulated streams: SimulatedGaze; not simulated: Cap"
    assert SimulatedStreams([header()]).notice == ""


@pytest.mark.parametrize("real", [(), ("Cap",)])
def test_the_window_says_what_is_simulated(real):
    store = ViewStore()
    store.take(Opened("live", None, None, is_simulated=True, real_streams=real))
    (said,) = [condition for condition in conditions(store) if condition.key == "simulated"]
    assert all(name in said.text for name in real)
    assert not said.can_be_closed
