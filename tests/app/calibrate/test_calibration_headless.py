"""A session on simulated streams: broken off, gone on with, fitted, and fitted again from its files."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from acquisition.intake import intake_maker
from acquisition.record.files import read_sidecar
from acquisition.select import is_calibration, kind_of
from acquisition.simulator.source import SimulatorOptions
from acquisition.types import Kind
from acquisition.xdf.outline import read_markers
from acquisition.xdf.scan import scan_xdf
from app.calibrate.headless import calibrate_headless
from app.calibrate.offline import fit_again
from app.request import CalibrationRequest, SessionOptions
from assets import DEMO_MODEL
from calibration.consent import consent_from_record, give_consent
from calibration.markers import record_from_markers
from calibration.profile import load_profile
from calibration.storage import load_record

pytestmark = [pytest.mark.lsl, pytest.mark.slow, pytest.mark.timeout(600)]

PLAN = """
classes = ["happy", "sad"]
n_trials = 4
[durations]
stimulus_s = 9
baseline_s = 40
[practice]
kind = "text"
text = "practice"
[[stimuli.happy]]
kind = "text"
text = "h"
[[stimuli.sad]]
kind = "text"
text = "s"
"""


def markers_of(path: Path) -> list[tuple[float, str]]:
    index = scan_xdf(path)
    found = [number for number, stream in index.streams.items() if is_calibration(stream.header)]
    return read_markers(index, found[0], intake_maker())


@pytest.fixture(scope="module")
def session(tmp_path_factory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("calibration")
    (folder / "plan.toml").write_text(PLAN, encoding="utf-8")
    simulated = SimulatorOptions(
        seed=71, streams=("eeg", "gaze", "video"), source_id_suffix=f"-calibrate-{os.getpid()}"
    )
    request = CalibrationRequest(
        SessionOptions(model=DEMO_MODEL, device="cpu"), "S01", plan=folder / "plan.toml",
        data_dir=folder / "data", seed=2, time_scale=20, simulated=simulated,
    )  # fmt: skip
    consent = give_consent(("eeg", "eye", "face"), datetime.now(UTC))
    interrupted, lines = threading.Event(), list[str]()

    def break_off(line: str) -> None:
        lines.append(line)
        if line.startswith("trial 3"):
            interrupted.set()

    nothing = calibrate_headless(request, consent, interrupted, break_off)
    place = folder / "data" / "sub-S01" / "ses-01"
    first = load_record(place / "session.json")
    found = calibrate_headless(request, consent, threading.Event(), lines.append)
    return SimpleNamespace(
        request=request, consent=consent, nothing=nothing, place=place, first=first, found=found, lines=lines,
        last=load_record(place / "session.json"), runs=sorted(place.glob("*.xdf")),
    )  # fmt: skip


def test_a_session_that_was_broken_off_has_no_outcome_and_keeps_its_trials(session):
    assert session.nothing is None
    assert [(trial.number, trial.state) for trial in session.first.trials] == [(1, "done"), (2, "done")]


def test_it_resumes_at_the_trial_that_ran(session):
    assert session.last.trials[:2] == session.first.trials
    assert [(t.number, t.run, t.state) for t in session.last.trials[2:]] == [(3, 2, "done"), (4, 2, "done")]
    assert session.found.to_json()["trials_used"] == 4


def test_each_recording_holds_its_markers(session):
    first, second = (markers_of(path) for path in session.runs)
    assert first[0][1] == "session_start/S01"
    assert first[-1][1] == "session_aborted"
    assert second[-1][1] == "session_end"
    record = record_from_markers(second, record_from_markers(first), 2)
    for read, kept in zip(record.trials, session.last.trials, strict=True):
        assert (read.number, read.emotion, read.report) == (kept.number, kept.emotion, kept.report)
        assert read.begin == pytest.approx(kept.begin, abs=0.01)
        assert read.end == pytest.approx(kept.end, abs=0.01)


def test_the_face_was_used_and_its_pictures_were_not_recorded(session):
    assert "face" in load_profile(session.found.profile).summary.modalities
    for path in session.runs:
        assert Kind.VIDEO not in {kind_of(stream.header) for stream in scan_xdf(path).streams.values()}


def test_the_sidecar_holds_the_consent(session):
    for path in session.runs:
        assert consent_from_record(read_sidecar(path)["consent"]).modalities == ("eeg", "eye", "face")


def test_the_report_tells_what_became_of_the_samples_of_every_run(session):
    assert [one.n_used > 0 for one in session.found.summary.ledgers if one.modality == "eeg"] == [True, True]


def test_what_was_kept_between_the_runs_is_gone_at_the_end(session):
    names = {path.name for path in session.place.iterdir() if not path.name.startswith("sub-")}
    assert names == {"session.json", "session.lock", "profile", "report.html", "report.json"}


def test_two_fits_from_the_recordings_give_the_same_bytes(session, tmp_path):
    weights = []
    for name in ("one", "two"):
        found = fit_again(session.runs, session.request, None, tmp_path / name, lambda line: None)
        weights.append((found.profile / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]
    assert found.summary.record.subject == "S01"
    assert any(note.endswith(": face.") for note in found.summary.notes)
