from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from acquisition.clock import LslClock
from acquisition.errors import ErrorCode, InputError
from acquisition.record.files import (
    bytes_per_second,
    next_path,
    quote_xpath,
    read_sidecar,
    source_id_query,
    status_path,
    stream_query,
    write_sidecar,
)
from acquisition.record.recorder import Recorder, check_room, local_header, read_status, stop_recording
from acquisition.record.supervisor import Arrivals, Supervisor
from acquisition.types import StreamHeader
from acquisition.xdf.write import XdfWriter

PROJECT = Path(__file__).parent.parent.parent


def eeg_header(source_id: str, name: str = "test EEG") -> StreamHeader:
    return StreamHeader(name, "EEG", source_id, socket.gethostname(), "", 250.0, 8, "float32")


def send_numbered_samples(name: str, source_id: str) -> None:
    """Send 8 channels at 250 Hz for ever; channel 0 is the sample's number."""
    from pylsl import StreamInfo, StreamOutlet, local_clock

    clock = LslClock()
    outlet = StreamOutlet(StreamInfo(name, "EEG", 8, 250.0, "float32", source_id))
    start, n = local_clock(), 0
    while True:
        outlet.push_chunk([[float(n + i)] * 8 for i in range(25)], start + (n + 24) / 250)
        n += 25
        clock.wait_until(start + n / 250)


@contextlib.contextmanager
def sender(source_id: str, name: str = "test EEG") -> Iterator[None]:
    process = multiprocessing.get_context("spawn").Process(
        target=send_numbered_samples, args=(name, source_id), daemon=True
    )
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def wait_for_stream(source_id: str) -> None:
    from pylsl import resolve_bypred  # resolve_byprop does not quote

    assert resolve_bypred(source_id_query(source_id), 1, 20.0), "the sender did not come up"


def wait_for(clock: LslClock, condition, seconds: float) -> None:
    deadline = clock.now() + seconds
    while not condition():
        assert clock.now() < deadline, f"not within {seconds} s"
        clock.wait_until(clock.now() + 0.05)


def numbers_in(path: Path) -> list[int]:
    import pyxdf

    streams, _ = pyxdf.load_xdf(str(path))
    assert len(streams) == 1
    return [int(row[0]) for row in streams[0]["time_series"]]


def test_streams_are_counted_though_two_threads_of_labrecorder_share_a_line(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path / "a.xdf", ["type='EEG'"] * 2, 0)
    supervisor.take_line("Found Markers@host matching 'type='EEG''")
    supervisor.take_line("Found Clock@host matching 'type='EEG''")
    supervisor.take_line(
        "Started data collection for stream Started data collection for stream MarkersClock."
    )
    supervisor.take_line(".")
    assert supervisor.status.all_opened


@pytest.mark.parametrize(
    ("n_failures", "n_searches", "code", "limit"), [(2, 3, 0, 5), (9, 5, 1, 5), (9, 1, 1, 1)]
)
def test_a_search_that_finds_nothing_on_a_busy_machine_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_failures: int, n_searches: int, code: int, limit: int
) -> None:
    query, fake, searches = "type='EEG'", tmp_path / "LabRecorderCLI", tmp_path / "searches"
    fake.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        f"with open({str(searches)!r}, 'a+') as file:\n"
        "    file.write('x')\n"
        "    file.seek(0)\n"
        "    n = len(file.read())\n"
        f"if n <= {n_failures}:\n"
        "    print('\"' + sys.argv[2] + '\" matched no stream!')\n"
        "    sys.exit(2)\n"
        "open(sys.argv[1], 'wb').close()\n"
        "sys.stdin.readline()\n"
    )
    fake.chmod(0o700)
    monkeypatch.setattr("acquisition.record.supervisor.labrecorder_cli", lambda: fake)
    supervisor = Supervisor(tmp_path / "a.xdf", [query], 0, n_searches=limit)
    watched = supervisor._watch

    def watch() -> None:
        watched()
        if (tmp_path / "a.xdf").exists():
            supervisor.request_stop()

    monkeypatch.setattr(supervisor, "_watch", watch)
    assert supervisor.run() == code
    assert len(searches.read_text()) == n_searches


def test_existing_file_is_refused_with_the_next_free_run(tmp_path: Path) -> None:
    path = tmp_path / "a_run-01.xdf"
    path.touch()
    (tmp_path / "a_run-02.xdf").touch()
    with pytest.raises(InputError, match=r"a_run-03\.xdf"):
        Recorder(path, [eeg_header("x")]).start()


def test_nothing_selected_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        Recorder(tmp_path / "a.xdf", []).start()
    assert error.value.code is ErrorCode.NO_STREAM


def test_a_format_of_which_no_sample_would_be_written_is_refused(tmp_path: Path) -> None:
    stream = StreamHeader("Amp", "EEG", "a", "here", "u", 250.0, 8, "int64")
    with pytest.raises(InputError) as error:
        Recorder(tmp_path / "a.xdf", [stream]).start()
    assert error.value.code is ErrorCode.WRONG_STREAM
    assert not list(tmp_path.iterdir())


HEADER = (
    "<info><name>{}</name><type>EEG</type><channel_count>{}</channel_count><source_id>id-{}</source_id>"
    "<nominal_srate>{}</nominal_srate><channel_format>float32</channel_format></info>"
)


def test_a_stream_that_does_not_come_into_the_file_is_named_once(tmp_path: Path) -> None:
    path = tmp_path / "a.xdf"
    arrivals, said = Arrivals(path), []
    with XdfWriter(path) as writer:
        for stream_id, (name, sfreq) in enumerate([("a", 100), ("b &amp; c", 10), ("markers", 0)], start=1):
            writer.add_stream(stream_id, HEADER.format(name, 1000 if name == "a" else 1, stream_id, sfreq))
        for second in range(30):
            for stream_id in (1, 2) if second < 10 or second >= 20 else (1,):
                writer.samples(stream_id, [float(second)], [[1.0] * (1000 if stream_id == 1 else 1)])
            writer._file.flush()
            said.append(arrivals.silent(float(second)))
    assert [(second, names) for second, names in enumerate(said) if names] == [(15, ["b & c"])]
    assert [(stream.source_id, stream.n_samples) for stream in arrivals.streams] == [
        ("id-1", 30),
        ("id-2", 20),
        ("id-3", 0),
    ]
    assert [(stream.first, stream.last) for stream in arrivals.streams] == [(0, 29), (0, 29), (None, None)]


def test_a_small_stream_whose_samples_may_be_in_labrecorders_buffer_is_not_named(tmp_path: Path) -> None:
    path = tmp_path / "a.xdf"
    arrivals = Arrivals(path)
    with XdfWriter(path) as writer:
        for stream_id in (1, 2):
            writer.add_stream(stream_id, HEADER.format(stream_id, 1, stream_id, 10))
        for second in range(60):
            writer.samples(1, [float(second)], [[1.0]])
            writer._file.flush()
            assert arrivals.silent(float(second)) == []


def test_too_little_room_is_refused_before_anything_starts(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "new" / "a.xdf", [eeg_header("x")], min_room_s=1e12)
    with pytest.raises(InputError) as error:
        recorder.start()
    assert error.value.code is ErrorCode.FILE
    assert list((tmp_path / "new").iterdir()) == []


def test_room_is_free_bytes_over_rate(tmp_path: Path) -> None:
    reserve = 1_000_000
    room_s = check_room(tmp_path / "a.xdf", [eeg_header("x")], reserve, 0.0)
    expected_s = (shutil.disk_usage(tmp_path).free - reserve) / (250 * (8 * 4 + 9))
    assert room_s == pytest.approx(expected_s, rel=0.01)


def test_unwritable_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError) as error:
        Recorder(tmp_path / "file" / "a.xdf", [eeg_header("x")]).start()
    assert error.value.code is ErrorCode.FILE


def test_rate_estimate_covers_video_and_markers() -> None:
    video = StreamHeader(
        "v",
        "VideoCompressed",
        "v",
        "h",
        "",
        0.0,
        1,
        "string",
        encoding={"width": "640", "height": "480", "fps": "15"},
    )
    markers = StreamHeader("m", "Markers", "m", "h", "", 0.0, 1, "string")
    assert bytes_per_second([video]) == pytest.approx(640 * 480 / 3 * 15)
    assert 0 < bytes_per_second([markers]) < 10_000


@pytest.mark.parametrize(
    ("text", "quoted"),
    [("plain", "'plain'"), ("it's", '"it\'s"'), ("a'b\"c", "concat('a', \"'\", 'b\"c')")],
)
def test_xpath_quoting(text: str, quoted: str) -> None:
    assert quote_xpath(text) == quoted


def test_stream_without_source_id_is_selected_by_name_with_a_notice() -> None:
    header = eeg_header("", name="it's mine")
    query = stream_query(header)
    assert query.startswith("name=\"it's mine\" and type='EEG' and hostname=")
    assert "no source_id" in Recorder(Path("a.xdf"), [header]).notices[0]


def test_other_streams_of_a_device_with_one_id_for_all_are_not_taken() -> None:
    assert stream_query(eeg_header("muse")) == "source_id='muse' and type='EEG'"
    assert stream_query(local_header("predictions")) == "source_id='predictions'"


def test_new_streams_are_announced_once() -> None:
    recorder = Recorder(Path("a.xdf"), [eeg_header("one")], ["predictions"])
    found = [eeg_header("one"), eeg_header("two"), eeg_header("predictions")]
    assert [stream.source_id for stream in recorder.new_streams(found)] == ["two"]
    assert recorder.new_streams(found) == []


def test_part_and_run_names(tmp_path: Path) -> None:
    first = tmp_path / "sub-S01_run-01.xdf"
    second = next_path(first, "part")
    assert second.name == "sub-S01_run-01_part-02.xdf"
    assert next_path(second, "part").name == "sub-S01_run-01_part-03.xdf"
    assert next_path(first, "run").name == "sub-S01_run-02.xdf"


def test_sidecar_round_trip(tmp_path: Path) -> None:
    np = pytest.importorskip("numpy")
    path = write_sidecar(tmp_path / "deep" / "a.xdf", {"model": tmp_path, "weights": np.arange(3.0)})
    assert path.name == "a.json"
    assert read_sidecar(tmp_path / "deep" / "a.xdf") == {"model": str(tmp_path), "weights": [0.0, 1.0, 2.0]}
    assert read_sidecar(tmp_path / "other.xdf") == {}


def test_stopping_what_does_not_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        stop_recording(tmp_path / "a.xdf")
    assert error.value.code is ErrorCode.FILE


def test_status_of_a_dead_supervisor_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "a.xdf"
    status_path(path).write_text('{"file": "a.xdf", "state": "recording", "pid": 1, "updated_at": 0.0}')
    with pytest.raises(InputError) as error:
        stop_recording(path)
    assert error.value.code is ErrorCode.RECORDING


@pytest.mark.lsl
@pytest.mark.slow
def test_recording_holds_consecutive_samples_of_the_selected_stream(tmp_path: Path) -> None:
    clock = LslClock()
    source_id = f'it\'s "{uuid.uuid4()}"'
    with sender(source_id), sender(f"not selected {uuid.uuid4()}"):
        wait_for_stream(source_id)
        recorder = Recorder(tmp_path / "new" / "a.xdf", [eeg_header(source_id)])
        before = clock.now()
        recorder.start()
        assert clock.now() - before < 0.5
        assert recorder.status().state == "starting"
        wait_for(clock, lambda: recorder.status().state == "recording", 15.0)
        clock.wait_until(clock.now() + 2.0)
        status = recorder.status()
        assert status.n_bytes > 0
        assert status.n_opened == 1
        status = recorder.stop()
    assert status.state == "stopped", status.message
    numbers = numbers_in(recorder.path)
    assert len(numbers) > 2 * 250 * 0.9
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert [file.name for file in recorder.path.parent.iterdir()] == ["a.xdf"]


@pytest.mark.lsl
@pytest.mark.slow
def test_missing_stream_fails_with_its_name(tmp_path: Path) -> None:
    clock = LslClock()
    recorder = Recorder(tmp_path / "a.xdf", [eeg_header("never there")])
    recorder.start()
    wait_for(clock, lambda: recorder.status().over, 15.0)
    assert recorder.status().state == "failed"
    assert "never there" in recorder.status().message


SMALL_DISK = """
mount -t tmpfs -o size=1m none "$1"
"$2" -m acquisition.record.supervisor "$1/a.xdf" --min-free-bytes 980000 --query "$4"
code=$?
df --output=avail -B1 "$1" | tail -1 > "$3/free"
cp "$1"/* "$3"
exit $code
"""


@pytest.mark.lsl
@pytest.mark.slow
def test_low_disk_ends_the_recording_loudly_with_a_whole_file(tmp_path: Path) -> None:
    in_own_mounts = ["unshare", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*in_own_mounts, "true"]).returncode:
        pytest.skip("a small disk needs a mount namespace of its own (Linux)")
    source_id = str(uuid.uuid4())
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    kept.mkdir()
    with sender(source_id):
        wait_for_stream(source_id)
        shell = ["sh", "-c", SMALL_DISK, "sh", str(disk), sys.executable, str(kept)]
        ended = subprocess.run([*in_own_mounts, *shell, source_id_query(source_id)], cwd=PROJECT)
    assert ended.returncode == 1
    assert 0 < int((kept / "free").read_text()) < 980_000
    status = read_status(kept / "a.xdf")
    assert status is not None
    assert (status.state, status.reason) == ("failed", "low_disk")
    numbers = numbers_in(kept / "a.xdf")
    assert len(numbers) == status.streams[0].n_samples > 100
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


@pytest.mark.lsl
@pytest.mark.slow
def test_sender_that_dies_is_a_notice_and_the_file_still_closes(tmp_path: Path) -> None:
    clock = LslClock()
    source_id = str(uuid.uuid4())
    recorder = Recorder(tmp_path / "a.xdf", [eeg_header(source_id)])
    with sender(source_id):
        wait_for_stream(source_id)
        recorder.start()
        wait_for(clock, lambda: recorder.status().state == "recording", 15.0)
    wait_for(clock, lambda: bool(recorder.status().notices), 10.0)
    assert "lost stream 'test EEG'" in recorder.status().notices[0]
    assert recorder.stop().state == "stopped"
    assert len(numbers_in(recorder.path)) > 0


START_AND_HANG = """
import sys, threading
from pathlib import Path
from acquisition.record.recorder import Recorder
from acquisition.types import StreamHeader
streams = [StreamHeader("n", "EEG", sys.argv[2], "h", "", 250.0, 8, "float32")]
recorder = Recorder(Path(sys.argv[1]), streams, max_hours=float(sys.argv[3]))
recorder.start()
threading.Event().wait()
"""


def killed_program(path: Path, source_id: str, clock: LslClock, max_hours: float) -> None:
    """Record from a program that is killed as soon as it does."""
    arguments = [sys.executable, "-c", START_AND_HANG, str(path), source_id, str(max_hours)]
    program = subprocess.Popen(arguments, cwd=PROJECT)

    def state() -> str:
        status = read_status(path)
        return status.state if status else ""

    wait_for(clock, lambda: state() == "recording", 20.0)
    program.send_signal(signal.SIGKILL)
    program.wait()


@pytest.mark.lsl
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_recording_outlives_the_kill_of_the_program(tmp_path: Path) -> None:
    clock = LslClock()
    source_id = str(uuid.uuid4())
    path = tmp_path / "a.xdf"
    with sender(source_id):
        wait_for_stream(source_id)
        killed_program(path, source_id, clock, 1.0)
        size_at_kill = path.stat().st_size
        clock.wait_until(clock.now() + 3.0)
        assert path.stat().st_size > size_at_kill
        status = stop_recording(path)
    assert status.state == "stopped", status.message
    assert any("for 1 h at most" in notice for notice in status.notices)
    numbers = numbers_in(path)
    assert len(numbers) > 3 * 250 * 0.9
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


@pytest.mark.lsl
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_recording_whose_program_was_killed_ends_by_itself_and_says_so(tmp_path: Path) -> None:
    clock = LslClock()
    source_id = str(uuid.uuid4())
    path = tmp_path / "a.xdf"
    write_sidecar(path, {"model": "m"})
    with sender(source_id):
        wait_for_stream(source_id)
        killed_program(path, source_id, clock, 2.0 / 3600)
        wait_for(clock, lambda: (status := read_status(path)) is not None and status.over, 30.0)
    assert read_status(path).state == "stopped"
    sidecar = read_sidecar(path)
    assert sidecar["model"] == "m"
    assert "the program that started this recording has ended" in sidecar["orphaned"]
    assert sidecar["ended"] == read_status(path).message
    assert numbers_in(path)


@pytest.mark.lsl
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_labrecorder_closes_its_file_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    """A small stream is in LabRecorder's buffer until the file is closed."""
    import pyxdf

    clock = LslClock()
    source_id = str(uuid.uuid4())
    recorder = Recorder(tmp_path / "a.xdf", [eeg_header(source_id)])
    with sender(source_id):
        wait_for_stream(source_id)
        recorder.start()
        wait_for(clock, lambda: recorder.status().state == "recording", 15.0)
        os.kill(recorder.status().pid, signal.SIGKILL)
        wait_for(clock, lambda: not psutil.pid_exists(recorder.status().labrecorder_pid), 20.0)
    assert recorder.status().state == "failed"
    assert "footer" in pyxdf.load_xdf(str(recorder.path))[0][0]
    recorder.stop()


@pytest.mark.lsl
@pytest.mark.slow
def test_a_later_part_is_recorded_without_what_is_not_there(tmp_path: Path) -> None:
    clock = LslClock()
    source_id = str(uuid.uuid4())
    recorder = Recorder(tmp_path / "a.xdf", [eeg_header(source_id), eeg_header("gone")], may_lack=True)
    with sender(source_id):
        wait_for_stream(source_id)
        recorder.start()
        wait_for(clock, lambda: recorder.status().state == "recording", 15.0)
        assert "gone" in recorder.status().notices[0]
        assert recorder.stop().state == "stopped"
    assert numbers_in(recorder.path)
