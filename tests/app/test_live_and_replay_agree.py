"""Real LSL streams between processes: a recorded live run, and the replay of its recording."""

from __future__ import annotations

import json
from itertools import pairwise
from threading import Event

import pytest

from acquisition.simulator.process import SimulatorProcess, stream_choices
from acquisition.simulator.source import SimulatorOptions
from acquisition.xdf.scan import scan_xdf
from app.certify.judge import Fault
from app.certify.run import Session, run_sessions
from app.compare import Comparison
from app.live import LiveSession
from app.replay import ReplaySession
from app.request import LiveRequest, ReplayRequest, SessionOptions
from models.trust import STATES

pytestmark = [pytest.mark.lsl, pytest.mark.slow]

SIMULATED = SimulatorOptions(
    seed=4711, streams=("eeg", "video", "audio", "markers"), source_id_suffix="-agree", schedule="random:5"
)


@pytest.fixture(scope="module")
def live_run(tmp_path_factory, random_model):
    """Run live for a quarter of a minute on simulated EEG, face and voice; return the files."""
    folder = tmp_path_factory.mktemp("live")
    with SimulatorProcess(SIMULATED) as simulator:
        simulator.wait_until_found()
        options = SessionOptions(
            model=random_model,
            streams=stream_choices(SIMULATED),
            record=folder / "a.xdf",
            jsonl=folder / "live.jsonl",
            seconds=15.0,
        )
        session = LiveSession(LiveRequest(options))
        session.run(lambda: None)
    return folder, session


def test_live_predicts_on_the_grid_from_streams_of_another_process(live_run):
    folder, session = live_run
    records = [json.loads(line) for line in (folder / "live.jsonl").read_text().splitlines()[:-1]]
    assert len(records) > 40
    assert all(record["t_end"] % 0.25 == 0 for record in records)
    assert records[-1]["present"] == {"eeg": True, "eye": False, "face": True, "voice": True}
    assert records[-1]["latency_ms"]["total"] > 0
    assert not session.telemetry.failures


def test_replay_of_the_recording_repeats_the_live_run(live_run, random_model):
    folder, _ = live_run
    options = SessionOptions(model=random_model, jsonl=folder / "replay.jsonl")
    ReplaySession(ReplayRequest(folder / "a.xdf", options)).run(lambda share: None)
    result = Comparison(folder / "live.jsonl", folder / "replay.jsonl")
    assert result.n_compared > 10
    assert (result.same_label, result.n_present_differs, result.n_verdict_differs) == (1.0, 0, 0)
    assert result.max_abs_dp <= 1e-3


def faulty(tmp_path, name, seconds, fault, *options):
    """Run the program live on EEG and gaze of other processes; return what came of it and the comparison."""
    session = Session(name, seconds, (fault,), devices=("eeg", "gaze"), options=options)
    (run,) = run_sessions([session], tmp_path, 1, Event(), lambda text: None, lambda one: None)
    live, replayed = tmp_path / f"{name}.jsonl", tmp_path / f"{name}.replay.jsonl"
    return run.evidence, Comparison(live, replayed)


def test_a_replay_leaves_out_a_sender_that_was_refused_but_recorded(tmp_path):
    fault = Fault(14, 16, "eeg", "changed", {"sfreq": 500.0})
    evidence, result = faulty(tmp_path, "changed", 32.0, fault, "--no-join")
    assert any("500 Hz, was 250 Hz" in text for _, text in evidence.messages)
    (eeg,) = (s for s in scan_xdf(tmp_path / "changed.xdf").streams.values() if s.header.type == "EEG")
    assert eeg.n_samples > 250 * 15 + 500 * 8  # LabRecorder took them
    assert result.n_compared > 40
    assert (result.same_label, result.n_present_differs) == (1.0, 0)
    # A dying sender's last sample may have reached the program alone: the window that ends there has it.
    assert result.n_verdict_differs <= 1
    assert result.max_abs_dp <= 0.05


def test_a_replay_lacks_what_came_two_seconds_late(tmp_path):
    evidence, result = faulty(tmp_path, "late", 32.0, Fault(20, 27, "gaze", "late", 2.0))
    assert sum(not one["present"]["eye"] for one in evidence.predictions[100:]) > 4
    assert result.n_compared > 40
    assert (result.same_label, result.n_present_differs, result.n_verdict_differs) == (1.0, 0, 0)
    assert result.max_abs_dp <= 1e-3


def test_predictions_and_clock_map_lie_in_the_recording(live_run):
    import pyxdf

    folder, session = live_run
    streams, _ = pyxdf.load_xdf(folder / "a.xdf")
    by_type = {stream["info"]["type"][0]: stream for stream in streams}
    assert {"AffectscopePrediction", "AffectscopeClock"} <= set(by_type)
    predictions = by_type["AffectscopePrediction"]["time_series"]
    assert len(predictions) > 40
    assert abs(predictions[:, :5].sum(axis=1) - 1).max() < 1e-5
    described = by_type["AffectscopePrediction"]["info"]["desc"][0]["channels"][0]["channel"]
    state = [channel["label"][0] for channel in described].index("state")
    records = {r["t_end"]: r for r in map(json.loads, list((folder / "live.jsonl").open())[:-1])}
    rows = zip(by_type["AffectscopePrediction"]["time_stamps"], predictions[:, state], strict=True)
    assert {STATES[int(code)] for _, code in rows} <= {r["verdict"]["state"] for r in records.values()}
    sidecar = json.loads((folder / "a.json").read_text())
    assert sidecar["model_sha256"] == session.checkpoint.sha256


def test_a_stream_that_joins_and_leaves_ends_nothing_and_lies_in_the_recording_s_next_part(
    tmp_path, random_model
):
    comes_and_goes = SimulatorOptions(
        seed=7,
        streams=("eeg", "gaze"),
        source_id_suffix="-join",
        faults="gone:gaze@0+15,gone:gaze@40+100",
    )
    options = SessionOptions(
        model=random_model, record=tmp_path / "a.xdf", jsonl=tmp_path / "live.jsonl", seconds=44.0
    )
    session = LiveSession(LiveRequest(options, wait_s=60.0, newcomers="join"))
    with SimulatorProcess(comes_and_goes):
        session.run(lambda: None)
    records = [json.loads(line) for line in (tmp_path / "live.jsonl").read_text().splitlines()[:-1]]
    with_eyes = [record["t_end"] for record in records if record["present"]["eye"]]
    assert [records[at]["present"]["eye"] for at in (0, -1)] == [False, False]
    assert with_eyes[-1] - with_eyes[0] > 3.0
    t_ends = [
        record["t_end"] for record in records
    ]  # the history is not broken, as far as the machine keeps up
    assert max(after - before for before, after in pairwise(t_ends)) < 2.0
    assert sum(record["present"]["eeg"] for record in records[8:]) > 0.9 * len(records[8:])
    assert not session.telemetry.failures
    replayed = SessionOptions(model=random_model, jsonl=tmp_path / "replay.jsonl")
    ReplaySession(ReplayRequest(tmp_path / "a_part-02.xdf", replayed)).run(lambda share: None)
    result = Comparison(tmp_path / "live.jsonl", tmp_path / "replay.jsonl")
    assert result.n_common > 20
    assert result.same_label >= 0.95
