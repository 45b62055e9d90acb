"""bench: the arithmetic of a row, what --only takes, the files it writes, and one row end to end."""

import json
from importlib import import_module
from io import StringIO

import numpy as np
import pytest
import typer
from refused import refused
from rich.console import Console
from typer.testing import CliRunner

from acquisition.errors import ErrorCode
from acquisition.simulator.recording import write_simulated
from acquisition.xdf.reader import StreamReader
from acquisition.xdf.scan import scan_xdf
from app.cli import main as cli
from app.cli import options
from app.cli.groups import grouped
from models.checkpoint import load_checkpoint
from tests.benchmarks.live import latency_rows
from tests.benchmarks.rows import TARGETS, failed_row, interleaved, render, row
from tests.benchmarks.setting import bench_model, write_like_labrecorder
from tests.benchmarks.suite import BENCHMARKS, ROW_NAMES, chosen_rows

KEYS = {"name", "ours", "reference", "reference_name", "unit", "ratio", "target", "ok", "detail"}
MACHINE = {
    "cpu": "A processor",
    "cores": 2,
    "system": "Linux",
    "python": "3.11",
    "torch": "2.13.0",
    "torch_threads": 2,
    "gpu": None,
    "load_average_before": 0.5,
}


OF_PLAIN = {"cpu_ms": 30.0, "plain_ms": 80.0, "plain_cpu_ms": 100.0}


def a_row(ours, reference, **how):
    """Return a row that passes up to half of the reference."""
    return row("mv_sstma_forward", ours, reference, {"max_difference": 1e-6}, **how)


def test_the_model_that_is_measured_is_whole():
    with bench_model(0.5) as folder:
        model = load_checkpoint(folder)
    assert model.config.windows.hop_s == 0.5
    assert (model.evidence is None) == (model.config.evidence is None)


@pytest.mark.parametrize(
    ("ours", "reference", "ratio", "ok"), [(1.0, 4.0, 0.25, True), (3.0, 4.0, 0.75, False)]
)
def test_ratio_is_ours_over_reference_and_decides(ours, reference, ratio, ok):
    measured = a_row(ours, reference)
    assert measured.ratio == ratio
    assert measured.ok is ok
    assert not a_row(ours, reference, also=False).ok


@pytest.mark.parametrize(("ours", "reference"), [(float("nan"), 1.0), (1.0, float("nan")), (1.0, 0.0)])
def test_what_cannot_be_compared_misses_and_stays_valid_json(ours, reference):
    measured = a_row(ours, reference)
    assert not measured.ok
    assert measured.ratio is None
    json.dumps(measured.to_json(), allow_nan=False)


def test_interleaved_runs_every_function_once_more_than_the_rounds():
    calls = []
    took = interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, n_rounds=3)
    assert calls == ["a", "b"] * 4
    assert 0 <= took["a"].best_s <= took["a"].median_s


def test_latencies_become_rows():
    total = [50.0] * 99 + [150.0]
    good = {
        "latency_ms": {"total": total, "arrival": [3.0] * 100, "age": [float("nan")] * 100},
        "n_skipped": 0,
    } | OF_PLAIN
    rows = {one.name: one for one in latency_rows(good)}
    assert rows["latency_p50"].ours == 50.0
    assert rows["latency_p50"].ratio == 50.0 / 80.0
    assert all(one.ok for one in rows.values())
    skipped = latency_rows(good | {"n_skipped": 1})
    assert [one.name for one in skipped if not one.ok] == ["windows_skipped"]


def test_a_slow_tail_misses_the_target():
    slow = {"latency_ms": {"total": [50.0] * 95 + [300.0] * 5, "arrival": [6.0] * 100}, "n_skipped": 0}
    missed = [one.name for one in latency_rows(slow | OF_PLAIN) if not one.ok]
    assert missed == ["latency_p99", "latency_arrival"]


def test_every_promised_row_has_a_benchmark():
    promised = (
        "de_features log_mel face_crop xdf_read xdf_disk xdf_memory replay replay_all replay_memory "
        "live_cpu latency_p50 latency_p99 windows_skipped latency_arrival read_cost linear_length "
        "start_replay start_help start_inspect start_streams start_doctor start_window engine_size "
        "mv_sstma_forward mv_sstma_tick mv_sstma_train_step"
    )
    assert set(promised.split()) <= set(ROW_NAMES)
    assert len(ROW_NAMES) == len(set(ROW_NAMES))
    assert set(ROW_NAMES) == set(TARGETS)
    for benchmark in BENCHMARKS:
        module = import_module(f"tests.benchmarks.{benchmark.module}")
        assert callable(getattr(module, benchmark.function))


def test_only_takes_repeats_and_commas_and_refuses_unknown_names():
    assert chosen_rows([]) == ROW_NAMES
    assert chosen_rows(["replay,read_cost", "xdf_read"]) == ("replay", "read_cost", "xdf_read")
    error = refused(lambda: chosen_rows(["speed"]))
    assert (error.code, error.where) == (ErrorCode.OPTION, "--only")


def test_table_fits_eighty_columns_and_says_what_missed():
    rows = [a_row(1.0, 4.0), a_row(3.0, 4.0), failed_row("replay", "no network")]
    console = Console(width=80, record=True, file=StringIO())
    console.print(render(MACHINE, rows))
    text = console.export_text()
    assert text.count("PASS") == 1
    assert text.count("MISS") == 2
    assert "no network" in text
    assert "no GPU" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_repeated_recording_keeps_its_rate_and_its_samples(tmp_path):
    path = tmp_path / "gaze.xdf"
    write_simulated(path, ("gaze",), 65.0)
    index = scan_xdf(path)
    assert not index.damage
    (stream,) = index.streams.values()
    blocks = list(StreamReader(path, stream).blocks())
    stamps = np.concatenate([block.stamps for block in blocks])
    values = np.concatenate([np.asarray(block.values) for block in blocks])
    assert len(stamps) == 65 * 60
    np.testing.assert_allclose(np.diff(stamps), 1 / 60, atol=1e-9)
    np.testing.assert_array_equal(values[60 * 60 :], values[: 5 * 60])


def test_a_session_file_has_the_size_asked_for(tmp_path):
    path = tmp_path / "session.xdf"
    write_like_labrecorder(path, ("eeg", "gaze", "video", "audio"), 3_000_000)
    assert 2_500_000 < path.stat().st_size < 3_500_000
    assert [s.header.type for s in scan_xdf(path).streams.values()] == [
        "EEG",
        "Gaze",
        "VideoCompressed",
        "Audio",
    ]


def test_one_row_end_to_end():
    app = typer.Typer()
    app.callback()(lambda: None)
    app.command()(grouped(cli.bench))
    result = CliRunner().invoke(app, ["bench", "--only", "mv_sstma_forward", "--quick", "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["machine"]["cores"] >= 1
    (measured,) = report["rows"]
    assert set(measured) == KEYS
    assert measured["name"] == "mv_sstma_forward"
    assert measured["ratio"] == pytest.approx(measured["ours"] / measured["reference"])
    assert measured["detail"]["max_difference"] < 1e-5


def test_installed_without_its_tests_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(options, "_PROJECT", tmp_path)
    assert refused(cli.bench).code is ErrorCode.INSTALLATION
