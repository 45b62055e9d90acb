"""The verdict of `certify`: known evidence gets known answers. `.ci/run` runs the command itself."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from acquisition.types import MODALITIES
from acquisition.xdf.write import XdfWriter
from app.certify import plan
from app.certify.devices import Device, is_click, table_of
from app.certify.evidence import read_parts
from app.certify.judge import (
    Evidence,
    Fault,
    Row,
    Rows,
    Track,
    exit_code,
    misalignment_ms,
    misplaced,
    n_lost,
    sample_rows,
    session_rows,
    stream_fault_rows,
    without_times,
)
from app.certify.report import to_html
from app.certify.run import Session

SFREQ = 100.0


def track(index: Any, live_off_s: float = 0.0, events: Any = ()) -> Track:
    index = np.asarray(index, np.int64)
    truth = 1000.0 + index / SFREQ
    none_wrong = np.zeros(len(index), np.bool_)
    return Track(SFREQ, index, truth, truth + live_off_s, truth, np.asarray(events, np.intp), none_wrong)


def prediction(t_end: float, ms: float = 30.0, **absent: bool) -> dict[str, Any]:
    present = {modality: modality not in absent for modality in MODALITIES}
    probs, verdict = {"sad": 0.5, "happy": 0.5}, {"reasons": []}
    return {
        "t_end": t_end,
        "present": present,
        "probs": probs,
        "verdict": verdict,
        "latency_ms": {"total": ms},
    }


def a_session(ms: float = 30.0, **changes: Any) -> Evidence:
    found = [prediction(1000.0 + 0.25 * k, ms) for k in range(200)]
    evidence = Evidence("a", zero=1000.0, ended=1050.0, exit_code=0, predictions=found, rss_mb=[400.0] * 60)
    evidence.parts, evidence.names = {"a.xdf": {"eeg": track(range(5000))}}, {"eeg": "Certify eeg"}
    evidence.load, evidence.late_ms = [0.5] * 50, [3.0] * 50
    return replace(evidence, **changes)


def named(rows: list[Row], part: str) -> Row:
    return next(row for row in rows if part in row.name)


def test_lost_samples_are_counted_by_index_and_those_of_an_outage_are_not() -> None:
    index = np.delete(np.arange(1000), [*range(100, 103), *range(500, 600)])
    assert n_lost(track(index)) == 103
    assert n_lost(track(index), [(1005.0, 1006.0)]) == 3
    evidence = a_session(parts={"a.xdf": {"eeg": track(index)}})
    row = named(sample_rows(evidence, ()), "eeg: samples lost")
    assert (row.value, row.ok, row.is_timing) == (103.0, False, False)


def test_samples_twice_and_out_of_order_are_counted() -> None:
    evidence = a_session(parts={"a.xdf": {"eeg": track([0, 1, 2, 2, 3, 5, 4, 6])}})
    rows = sample_rows(evidence, ())
    assert named(rows, "samples twice").value == 1
    assert named(rows, "out of order").value == 1
    assert named(rows, "samples lost").value == 0


def test_streams_12_ms_apart_are_measured_as_12_ms() -> None:
    tracks = {"video": track(range(800), events=[100, 300]), "audio": track(range(800), 0.012, [100, 300])}
    assert misalignment_ms(tracks, "live", 1000.0) == pytest.approx(12.0, abs=1e-6)
    assert misalignment_ms(tracks, "file", 1000.0) == 0.0
    assert np.isnan(misalignment_ms({"video": tracks["video"]}, "live", 1000.0))  # one stream has no other


def test_a_stream_that_counts_as_present_5_s_off_is_misplaced() -> None:
    fault = Fault(10, 20, "eeg", "step", 5.0)
    evidence = a_session(begun={fault: 1010.0}, over={fault: 1020.0})
    assert misplaced(evidence, "eeg", 1010.0, 1020.0)[0] == 0
    evidence.parts = {"a.xdf": {"eeg": track(range(5000), 5.0)}}
    n_misplaced, n_present, worst_ms = misplaced(evidence, "eeg", 1010.0, 1020.0)
    assert n_misplaced == n_present == 49
    assert worst_ms == pytest.approx(5000.0)
    assert named(stream_fault_rows(evidence, fault), "misplaced").ok is False


def test_an_outage_must_be_told_masked_and_got_over() -> None:
    fault = Fault(10, 20, "eeg", "gone")
    evidence = a_session(begun={fault: 1010.0}, over={fault: 1020.0})
    rows = stream_fault_rows(evidence, fault)
    assert {row.ok for row in rows if "told" in row.name or "present so long" in row.name} == {False}
    assert named(rows, "used all the same").value == 1.0
    evidence.messages = [(1011.5, "- Certify eeg: no sample"), (1021.0, "- Certify eeg: data resumed")]
    for one in evidence.predictions:
        one["present"]["eeg"] = not 1011.0 < one["t_end"] < 1024.0
    rows = stream_fault_rows(evidence, fault)
    assert all(row.ok for row in rows)
    assert (named(rows, "told after").value, named(rows, "present so long").value) == (1.5, 3.0)


def test_one_failing_row_is_4_one_not_measured_is_5_and_none_is_no_pass() -> None:
    rows = Rows("a")
    assert exit_code(rows) == 5
    rows.at_most("x", 1.0, 2.0, "s")
    assert exit_code(rows) == 0
    rows.at_most("y", float("nan"), 2.0, "s")
    assert exit_code(rows) == 5
    rows.at_most("z", 3.0, 2.0, "s")
    assert exit_code(rows) == 4


def test_a_99th_percentile_is_judged_where_there_are_two_hundred_predictions() -> None:
    for n, is_judged in ((230, False), (250, True)):  # of the first ten seconds none counts
        found = [prediction(1000.0 + 0.25 * k) for k in range(n)]
        names = [row.name for row in session_rows(a_session(predictions=found), ())]
        assert ("latency p99" in names) is is_judged


def test_a_busy_machine_excuses_times_and_no_loss() -> None:
    slow = a_session(ms=900.0)
    slow.replayed = SimpleNamespace(n_compared=9, max_abs_dp=0.0, same_label=1.0, n_present_differs=0)  # type: ignore[assignment]
    rows = session_rows(slow, ())
    rows = [row for row in rows if "flash" not in row.name]  # one stream alone has no alignment
    assert exit_code(without_times(rows, slow)) == 4
    busy = replace(slow, load=[9.0] * 50)
    judged = without_times(rows, busy)
    assert exit_code(judged) == 5
    assert "9.0 processes" in named(judged, "latency p50").detail
    busy.parts = {"a.xdf": {"eeg": track([0, 1, 5])}}
    assert exit_code(without_times(session_rows(busy, ()), busy)) == 4
    never = Rows()
    never.at_most("told after", float("inf"), 2.0, "s", timing=True)
    assert exit_code(without_times(never, busy)) == 4


def test_a_file_is_read_back_by_index_and_content(tmp_path: Path) -> None:
    device = Device("eeg", "certify-x", 500.0, 250.0, 4)
    sound = Device("audio", "certify-y", 500.0, 16_000.0)
    index = np.delete(np.arange(1000), [10, 11])
    table = table_of("eeg", 250.0, 4)
    values = np.hstack([index[:, None], table[index % len(table)]]).astype(np.float32)
    values[500, 2] += 1.0
    header = "<info><name>{}</name><type>{}</type><channel_count>{}</channel_count>"
    header += "<nominal_srate>{}</nominal_srate><channel_format>{}</channel_format>"
    header += "<source_id>{}</source_id></info>"
    with XdfWriter(tmp_path / "a.xdf") as writer:
        writer.add_stream(1, header.format("Certify eeg", "EEG", 4, 250, "float32", "certify-x"))
        writer.samples(1, 500.0 + index / 250.0, values)
        writer.add_stream(2, header.format("Certify audio", "Audio", 1, 16000, "int16", "certify-y"))
        writer.samples(2, 500.0 + np.arange(64_000) / 16_000.0, table_of("audio", 16_000.0))
    evidence = Evidence("a")
    read_parts([tmp_path / "a.xdf"], {"eeg": device, "audio": sound}, evidence)
    tracks = evidence.parts["a.xdf"]
    assert n_lost(tracks["eeg"]) == 2
    assert np.flatnonzero(tracks["eeg"].wrong).tolist() == [500]
    assert tracks["audio"].events.tolist() == [0, 32_000]
    assert not tracks["audio"].wrong.any()
    assert is_click(table_of("audio", 16_000.0)).sum() == 2


def test_every_plan_names_faults_that_are_known_and_fits_its_time() -> None:
    assert plan.seconds_of(plan.short()) < 110
    assert plan.seconds_of(plan.wide()) < 600
    for session in (*plan.short(), *plan.full()):
        assert all(fault.until < session.seconds for fault in session.faults)
    assert sum(fault.what in ("kill", "gone") for fault in plan.full()[-1].faults) == 50


def test_the_page_has_every_row_and_says_that_all_is_simulated() -> None:
    from datetime import datetime

    fault = Fault(10, 20, "eeg", "gone")
    evidence = a_session(begun={fault: 1010.0}, over={fault: 1020.0})
    rows = plan.rows_of(Session("a", 50, (fault,)), evidence)
    page = to_html(rows, [evidence], {"processor": "<b>"}, datetime(2026, 1, 1))
    assert all(row.name.replace(" %", "\u00a0%") in page for row in rows)
    assert "<svg" in page
    assert "&lt;b&gt;" in page
    assert "All data in this test are simulated" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert json.loads(json.dumps([row.to_json() for row in rows]))[0]["name"] == rows[0].name
