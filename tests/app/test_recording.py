"""Recordings that go on in parts: with a scripted recorder and a manual clock, and with real ones, killed."""

from __future__ import annotations

import os
import signal
import socket
import sys
import uuid
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import psutil
import pytest

from acquisition.clock import LslClock
from acquisition.errors import ErrorCode, InputError
from acquisition.record.files import read_sidecar, recorded_identity
from acquisition.record.supervisor import BUFFER_BYTES, RecordingStatus, StreamInFile
from acquisition.types import ChannelInfo, StreamHeader
from app import recording
from app.recording import RecordingControl, RecordingHooks
from tests.acquisition.test_record_recorder import numbers_in, sender, wait_for_stream

EEG = StreamHeader("Amp", "EEG", "amp", "here", "", 250.0, 8, "float32")


class ScriptedRecorder:
    """In place of a recorder's processes: the test says how each file goes."""

    made: ClassVar[list[ScriptedRecorder]] = []
    begins = True  # the next ones come to record

    def __init__(self, path: Path, streams, own, **_) -> None:
        self.path, self.notices = path, []
        self.status_ = RecordingStatus(str(path), pid=2**22 + 1, n_bytes=1)
        ScriptedRecorder.made.append(self)

    def start(self) -> None:
        self.path.write_bytes(b"XDF:")
        if self.begins:
            self.status_.state = "recording"
        else:
            self.die()

    def die(self, reason: str = "") -> None:
        self.status_ = replace(self.status_, state="failed", message="died", reason=reason)

    def status(self) -> RecordingStatus:
        return replace(self.status_, streams=[replace(stream) for stream in self.status_.streams])

    def request_stop(self) -> None:
        self.status_.state = "stopped"

    def stop(self, timeout_s: float = 0.0) -> RecordingStatus:
        return self.status()

    def new_streams(self, found) -> list:
        return []


class Session:
    """A recording that is stepped by hand."""

    def __init__(self, path: Path, streams=(EEG,)) -> None:
        self.now, self.notices, self.failures = 0.0, [], []
        self.received: dict[object, int] = {}
        self.is_settled = False
        hooks = RecordingHooks(
            self.notices.append,
            self.failures.append,
            sidecar=lambda: {"at": self.now},
            received=lambda: dict(self.received),
            is_settled=lambda: self.is_settled,
        )
        self.control = RecordingControl(list(streams), (), hooks)
        self.control.start(path, self.now)
        self.step()

    def step(self, seconds: float = 0.1) -> None:
        self.now += seconds
        self.control.step(self.now)

    def names(self) -> list[str]:
        return [recorder.path.name for recorder in ScriptedRecorder.made]


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setattr(ScriptedRecorder, "made", [])
    monkeypatch.setattr(ScriptedRecorder, "begins", True)
    monkeypatch.setattr(recording, "Recorder", ScriptedRecorder)
    monkeypatch.setattr(recording, "discover", lambda timeout_s: [])
    return Session(tmp_path / "a.xdf")


def test_a_recorder_that_dies_is_followed_by_a_part_that_the_sidecars_name(session: Session) -> None:
    first = ScriptedRecorder.made[0]
    first.status_.streams = [StreamInFile("Amp", "EEG", "here", "amp", 250.0, 500, 10.0, 12.0)]
    session.step()
    first.die()
    session.step()
    assert session.control.is_running
    session.step()
    assert session.names() == ["a.xdf", "a_part-02.xdf"]
    assert session.control.state == "recording"
    second = ScriptedRecorder.made[1]
    second.status_.streams = [StreamInFile("Amp", "EEG", "here", "amp", 250.0, 500, 12.6, 14.0)]
    session.step()
    assert "0.6 s of Amp" in session.failures[-1]
    assert read_sidecar(first.path)["parts"] == ["a.xdf", "a_part-02.xdf"]
    assert read_sidecar(second.path)["part_of"] == "a.xdf"
    assert read_sidecar(second.path)["lost_before_s"] == pytest.approx(0.6)
    session.control.finish(session.now)
    assert session.control.problems == session.failures


def test_the_sidecar_has_what_comes_after_the_beginning_if_the_program_is_killed(session: Session) -> None:
    session.step()
    begun = read_sidecar(ScriptedRecorder.made[0].path)["at"]
    session.is_settled = True
    session.step()
    assert read_sidecar(ScriptedRecorder.made[0].path)["at"] == session.now > begun
    session.step()
    assert read_sidecar(ScriptedRecorder.made[0].path)["at"] < session.now  # once: it is large


def test_a_recorder_that_dies_at_once_is_not_started_for_ever(session: Session) -> None:
    ScriptedRecorder.begins = False
    ScriptedRecorder.made[0].die()
    tried_at = []
    while session.control.is_running and session.now < 1000:
        n = len(ScriptedRecorder.made)
        session.step()
        tried_at += [session.now] * (len(ScriptedRecorder.made) > n)
    pauses = [after - before for before, after in pairwise(tried_at)]
    assert len(tried_at) == 5
    assert pauses == sorted(pauses)
    assert "given up" in session.failures[-1]
    n = len(ScriptedRecorder.made)
    session.step(100.0)
    assert len(ScriptedRecorder.made) == n


def test_markers_that_cannot_be_written_are_left_out_and_other_streams_stop_the_recording(
    session: Session, tmp_path: Path
) -> None:
    markers = StreamHeader("Events", "Markers", "m", "here", "", 0.0, 1, "int64")
    session = Session(tmp_path / "b.xdf", [EEG, markers])
    session.control.use([EEG, markers])
    session.step()
    assert session.control._streams == [EEG]
    assert len(session.notices) == 1
    assert Session(tmp_path / "c.xdf", [markers]).control._streams == [markers]  # which is refused


def test_a_recorder_that_dies_now_and_then_is_always_followed_by_a_part(session: Session) -> None:
    for _ in range(20):
        for _ in range(25):
            session.step(1.0)
        ScriptedRecorder.made[-1].die()
        session.step(1.0)
        session.step(1.0)
    assert len(ScriptedRecorder.made) == 21
    assert session.control.state == "recording"


def test_a_recording_that_is_stopped_or_has_no_room_does_not_continue(session: Session) -> None:
    ScriptedRecorder.made[0].die("low_disk")
    session.step()
    session.step()
    assert session.control.state == "failed"
    assert session.names() == ["a.xdf"]
    session.control.start(session.control._parts[0].path.with_name("b.xdf"), session.now)
    session.step()
    session.control.stop(session.now)
    ScriptedRecorder.made[-1].die()
    session.step()
    session.step()
    assert session.names() == ["a.xdf", "b.xdf"]


@pytest.mark.parametrize("comes", [True, False])
def test_what_is_received_and_not_in_the_file_is_told_and_continues_in_a_part(
    session: Session, comes: bool
) -> None:
    status = ScriptedRecorder.made[0].status_
    status.streams = [StreamInFile("Amp", "EEG", "here", "amp", 250.0)]
    for _ in range(60):
        key = recorded_identity(EEG)
        session.received[key] = session.received.get(key, 0) + 25
        status.n_bytes += BUFFER_BYTES  # other streams
        status.streams[0].n_samples += 25 * comes
        session.step()
    assert (session.names() == ["a.xdf"]) is comes
    assert ("'Amp'" in "".join(session.failures)) is not comes


def test_the_last_sample_of_a_sender_that_is_gone_is_not_waited_for(session: Session) -> None:
    status, key = ScriptedRecorder.made[0].status_, recorded_identity(EEG)
    status.streams = [StreamInFile("Amp", "EEG", "here", "amp", 250.0)]
    for step in range(200):
        is_there = step < 20 or step > 100
        session.received[key] = session.received.get(key, 0) + 25 * is_there
        is_written = step < 19 or step > 120  # LabRecorder finds it again later
        status.streams[0].n_samples += 25 * is_written
        status.n_bytes += BUFFER_BYTES
        session.step()
    assert session.names() == ["a.xdf"]
    assert session.failures == []


def test_a_stream_that_no_part_takes_is_told_a_few_times_and_the_others_are_recorded(
    session: Session,
) -> None:
    while session.now < 300.0:
        session.received[recorded_identity(EEG)] = int(250 * session.now)
        for recorder in ScriptedRecorder.made:
            recorder.status_.n_bytes += BUFFER_BYTES
        session.step(0.5)
    assert len(ScriptedRecorder.made) == 6
    assert len(session.failures) == 7  # each part, and that it is given up
    assert session.control.state == "recording"


def test_a_marker_that_comes_into_the_file_before_it_is_received_is_no_loss(session: Session) -> None:
    markers = StreamHeader("Events", "Markers", "m", "here", "", 0.0, 1, "string")
    session.control.stop(session.now)
    session.step()
    session = Session(session.control._parts[0].path.with_name("b.xdf"), [markers])
    status = ScriptedRecorder.made[-1].status_
    status.streams = [StreamInFile("Events", "Markers", "here", "m")]
    session.step()
    status.streams[0].n_samples = 1
    session.step()
    session.received[recorded_identity(markers)] = 1
    for _ in range(100):
        status.n_bytes += BUFFER_BYTES
        session.step()
    assert session.failures == []


def test_a_file_that_does_not_grow_while_samples_come_is_followed_by_a_part(session: Session) -> None:
    key = recorded_identity(EEG)
    for _ in range(40):
        session.received[key] = session.received.get(key, 0) + 500
        session.step()
    assert session.names() == ["a.xdf", "a_part-02.xdf"]
    assert "has not grown" in session.notices[-1]


@pytest.mark.parametrize(
    "change", [{"nominal_sfreq": 500.0}, {"channels": tuple(ChannelInfo(name) for name in "BA")}]
)
def test_a_stream_that_returns_with_another_layout_is_recorded_in_a_new_part(
    session: Session, tmp_path: Path, change: dict[str, object]
) -> None:
    header = replace(EEG, n_channels=2, channels=tuple(ChannelInfo(name) for name in "AB"))
    session = Session(tmp_path / "b.xdf", [header])
    session.control.use([replace(header, uid="after a restart", hostname="there")])
    session.step()
    assert session.names()[1:] == ["b.xdf"]
    session.control.use([replace(header, **change)])
    for _ in range(4):
        session.step()
    assert session.names()[1:] == ["b.xdf", "b_part-02.xdf"]
    assert session.notices == ["Amp joined: the recording continues in b_part-02.xdf"]
    before, after = ScriptedRecorder.made[1:]
    assert (before.status().state, after.status().state) == ("stopped", "recording")


def test_a_recording_that_closes_as_the_disk_is_full_is_not_taken_for_a_halted_one(session: Session) -> None:
    first, key = ScriptedRecorder.made[0], recorded_identity(EEG)
    for step in range(60):
        session.received[key] = session.received.get(key, 0) + 500
        first.status_.n_bytes += BUFFER_BYTES * (step < 10)
        first.status_.streams = [StreamInFile("Amp", "EEG", "here", "amp", 250.0, 500 * min(step, 10))]
        if step == 10:
            first.status_.state = "stopping"
        session.step()
    first.die("low_disk")
    session.step()
    session.step()
    assert session.names() == ["a.xdf"]
    assert session.control.state == "failed"


def test_a_look_for_new_streams_that_fails_is_told_once_and_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(timeout_s: float) -> list:
        raise TypeError("a stranger's stream")

    monkeypatch.setattr(recording, "discover", failing)
    told: list[str] = []
    look = recording.NewStreams(ScriptedRecorder(Path("a.xdf"), [], []), told.append, lambda header: False)
    look._look()
    look._look()
    assert told == ["a search for new streams has failed: a stranger's stream"]


def test_a_gap_in_a_recording_has_an_exit_code_of_its_own() -> None:
    from app.environment import ExitCode

    error = InputError("it ended", code=ErrorCode.LOST)
    assert ExitCode.of(error.code) == 3
    assert ExitCode.of(ErrorCode.RECORDING) == 2


@pytest.mark.lsl
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL and SIGSTOP")
@pytest.mark.parametrize("fault", ["recorder", "supervisor", "both", "halted"])
def test_a_recording_survives_its_recorder(tmp_path: Path, fault: str) -> None:
    """The samples are numbered: what the files lack is what is said to be lost, and nothing else."""
    clock, failures = LslClock(), []
    source_id = str(uuid.uuid4())
    header = StreamHeader("test EEG", "EEG", source_id, socket.gethostname(), "", 250.0, 8, "float32")
    hooks = RecordingHooks(lambda notice: None, failures.append)
    control = RecordingControl([header], (), hooks)

    def until(condition) -> None:
        deadline = clock.now() + 60.0
        while not condition():
            assert clock.now() < deadline
            control.step(clock.now())
            clock.wait_until(clock.now() + 0.05)

    def recorded(seconds: float, n_parts: int) -> bool:
        info = control._recordings[-1].info(clock.now(), 0.0)
        return len(control._parts) == n_parts and control.state == "recording" and info.duration_s > seconds

    with sender(source_id):
        wait_for_stream(source_id)
        control.start(tmp_path / "a.xdf", clock.now())
        until(lambda: recorded(2.0, 1))
        status = control._parts[0]._status
        pids = {"recorder": [status.labrecorder_pid], "supervisor": [status.pid]}
        pids |= {"both": [status.pid, status.labrecorder_pid], "halted": pids["recorder"]}
        for pid in pids[fault]:
            os.kill(pid, signal.SIGSTOP if fault == "halted" else signal.SIGKILL)
        until(lambda: recorded(2.0, 2))
        if fault == "halted":
            os.kill(status.labrecorder_pid, signal.SIGCONT)
            until(lambda: not control._parts[0].is_busy)
        if psutil.pid_exists(status.labrecorder_pid):
            psutil.wait_procs([psutil.Process(status.labrecorder_pid)], 20.0)
        control.finish(clock.now())
    first, second = (numbers_in(part.path) for part in control._parts)
    assert read_sidecar(tmp_path / "a.xdf")["parts"] == ["a.xdf", "a_part-02.xdf"]
    lost_s = read_sidecar(tmp_path / "a_part-02.xdf")["lost_before_s"]
    assert first == list(range(first[0], first[0] + len(first)))
    assert second == list(range(second[0], second[0] + len(second)))
    n_lost = second[0] - first[-1] - 1
    if fault == "halted":
        assert n_lost <= 0
        assert (lost_s, failures, control.problems) == (0.0, [], [])
    else:
        assert 0 < n_lost / 250 <= lost_s + 0.1
        assert f"{lost_s:.1f} s of test EEG" in failures[-1]


def test_a_recording_of_all_streams_begins_without_one_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def control(headers: list[StreamHeader], own: object, hooks: RecordingHooks) -> None:
        made.append(([header.name for header in headers], hooks.may_lack))
        raise KeyboardInterrupt

    monkeypatch.setattr("app.recording.RecordingControl", control)
    found = [
        StreamHeader(name, "EEG", name, "here", name, 250.0, 8, form)
        for name, form in (("a", "float32"), ("b", "int64"), ("c", "undefined"), ("d", "string"))
    ]
    for may_lack in (True, False):
        with pytest.raises(KeyboardInterrupt):
            recording.record(tmp_path / "a.xdf", found, None, 1.0, may_lack=may_lack)
    assert made == [(["a", "d"], True), (["a", "b", "c", "d"], False)]
