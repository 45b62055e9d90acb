"""Replays of several recordings into one folder."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from acquisition.errors import InputError
from acquisition.simulator.recording import write_simulated
from app.bulk import replay_all
from app.compare import Comparison
from app.replay import ReplaySession
from app.request import ReplayRequest, SessionOptions


@pytest.fixture(scope="module")
def requests(tmp_path_factory: pytest.TempPathFactory, random_model: Path) -> list[ReplayRequest]:
    folder = tmp_path_factory.mktemp("recordings")
    for seed, name in enumerate("ab"):
        write_simulated(folder / f"{name}.xdf", ("eeg", "gaze"), 7.0, seed=seed)
    options = SessionOptions(model=random_model)
    return [ReplayRequest(folder / f"{name}.xdf", options) for name in "ab"]


def n_predictions(path: Path) -> int:
    return json.loads(path.read_text(encoding="utf-8").splitlines()[-1])["n_predictions"]


def test_each_recording_has_a_file_as_of_its_own_replay(
    requests: list[ReplayRequest], tmp_path: Path
) -> None:
    assert replay_all(requests, tmp_path / "out") == 0
    for request in requests:
        alone, together = tmp_path / "alone.jsonl", tmp_path / "out" / f"{request.path.stem}.jsonl"
        ReplaySession(replace(request, options=replace(request.options, jsonl=alone))).run(lambda share: None)
        assert n_predictions(together) == n_predictions(alone) > 0
        assert Comparison(alone, together).max_abs_dp == 0.0


def test_a_next_run_makes_what_is_missing_alone(requests: list[ReplayRequest], tmp_path: Path) -> None:
    first = requests[:1]
    replay_all(first, tmp_path)
    written = (tmp_path / "a.jsonl").stat().st_mtime_ns
    (tmp_path / "b.jsonl.part").write_text('{"t_end": 1.0}\n')  # of a run that was killed
    assert replay_all(requests, tmp_path) == 0
    assert (tmp_path / "a.jsonl").stat().st_mtime_ns == written
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "b.jsonl", "settings.json"]


def test_a_later_part_is_replayed_with_the_first_alone(requests: list[ReplayRequest], tmp_path: Path) -> None:
    parts = [tmp_path / "a.xdf", tmp_path / "a_part-02.xdf"]
    for part in parts:
        shutil.copy(requests[0].path, part)
    together = [replace(requests[0], path=part) for part in parts]
    replay_all(together, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.jsonl", "settings.json"]
    assert replay_all([replace(one, part_only=True) for one in together], tmp_path / "alone") == 0
    assert len(list((tmp_path / "alone").glob("*.jsonl"))) == 2


def test_a_folder_of_other_settings_and_equal_names_are_refused(
    requests: list[ReplayRequest], tmp_path: Path
) -> None:
    replay_all(requests[:1], tmp_path)
    with pytest.raises(InputError):
        replay_all([replace(requests[0], start_s=1.0)], tmp_path)
    with pytest.raises(InputError):
        replay_all([requests[0], requests[0]], tmp_path / "twice")


def test_a_recording_that_cannot_be_replayed_stops_no_other(
    requests: list[ReplayRequest], tmp_path: Path
) -> None:
    (tmp_path / "broken.xdf").write_text("no recording")
    bad = replace(requests[0], path=tmp_path / "broken.xdf")
    assert replay_all([bad, requests[1]], tmp_path / "out") == 3
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["b.jsonl", "settings.json"]


@pytest.mark.skipif(os.name != "posix", reason="no FIFOs, and shorter paths")
def test_a_name_too_long_and_a_fifo_in_the_way_stop_no_other(
    requests: list[ReplayRequest], tmp_path: Path
) -> None:
    long, out = tmp_path / f"{'n' * 250}.xdf", tmp_path / "out"
    shutil.copy(requests[0].path, long)
    out.mkdir()
    os.mkfifo(out / "a.jsonl.part")
    assert replay_all([replace(requests[0], path=long), *requests], out) == 3
    assert {path.name for path in out.iterdir() if path.is_file()} == {"b.jsonl", "settings.json"}


def test_what_takes_the_name_of_predictions_meanwhile_is_said(
    requests: list[ReplayRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ReplaySession.run

    def run_beside_another(session: ReplaySession, *args: object) -> None:
        run(session, *args)
        (tmp_path / "a.jsonl.part").unlink(missing_ok=True)  # as if another run had finished it

    monkeypatch.setattr(ReplaySession, "run", run_beside_another)
    assert replay_all(requests, tmp_path) == 3
    assert n_predictions(tmp_path / "b.jsonl") > 0


@pytest.mark.slow
def test_several_processes_and_a_cluster_write_the_same(
    requests: list[ReplayRequest], tmp_path: Path
) -> None:
    distributed = pytest.importorskip("distributed", reason="dask is not installed (extra: cluster)")
    replay_all(requests, tmp_path / "one")
    replay_all(requests, tmp_path / "two", n_jobs=2)
    with distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster:
        replay_all(requests, tmp_path / "cluster", dask=cluster.scheduler_address)
    for name in ("a.jsonl", "b.jsonl"):
        for folder in ("two", "cluster"):
            assert Comparison(tmp_path / "one" / name, tmp_path / folder / name).max_abs_dp == 0.0
