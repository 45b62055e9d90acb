"""Files in place of devices, on a manual clock and over real LSL."""

from __future__ import annotations

import base64
import contextlib
import sys
import threading
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from clocks import ManualClock

from acquisition.clock import LslClock
from acquisition.errors import ErrorCode, InputError
from acquisition.header import parse_header
from acquisition.publish.capture import Publishing, publisher_source_id
from acquisition.publish.microphone import (
    SoundFile,
    list_microphones,
    microphone_from_text,
    publish_microphone,
    read_sound_file,
    to_int16,
)
from acquisition.publish.process import start_publisher, stop_publishers
from acquisition.publish.recording import Player, eeg_content, info_of, xdf_content
from acquisition.publish.webcam import (
    CameraReader,
    VideoFile,
    camera_from_text,
    frame_size,
    list_cameras,
    publish_webcam,
)
from acquisition.xdf.write import XdfWriter

SFREQ = 16000


@pytest.fixture
def ramp_wav(tmp_path: Path) -> Path:
    """A mono file of 1.01 s whose sample is its own number."""
    path = tmp_path / "ramp.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SFREQ)
        file.writeframes(np.arange(16160, dtype="<i2").tobytes())
    return path


@pytest.fixture
def square_video(tmp_path: Path) -> Path:
    """20 frames at 10 fps, 800 x 400, of one brightness each: ten times the frame's number."""
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "square.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (800, 400))
    for number in range(20):
        writer.write(np.full((400, 800, 3), 10 * number, np.uint8))
    writer.release()
    return path


@pytest.mark.parametrize("step_s", [0.001, 0.02, 0.3])
def test_sound_file_is_sent_whole_and_on_its_grid(ramp_wav: Path, step_s: float) -> None:
    clock = ManualClock(100.0)
    source = SoundFile(ramp_wav, clock, loop=False)
    samples, ends = [], []
    while not source.ended:
        for capture in source.take(clock.now()):
            assert capture.stamp <= clock.now()
            samples.append(capture.data)
            ends.append((sum(map(len, samples)) - 1, capture.stamp))
        clock.advance(step_s)
    assert np.array_equal(np.concatenate(samples)[:, 0], np.arange(16160))
    assert all(stamp == pytest.approx(100.0 + index / SFREQ, abs=1e-9) for index, stamp in ends)


def test_looped_sound_goes_on_without_a_gap(ramp_wav: Path) -> None:
    clock = ManualClock()
    source = SoundFile(ramp_wav, clock, loop=True)
    source.take(0.0)
    samples = np.concatenate([capture.data for capture in source.take(3.0)])[:, 0]
    assert len(samples) == 3 * SFREQ
    assert np.array_equal(samples, np.arange(3 * SFREQ) % 16160)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (np.array([0, 128, 255], np.uint8), [-32768, 0, 32512]),
        (np.array([-(2**31), 0, 2**31 - 1], np.int32), [-32768, 0, 32767]),
        (np.array([-2.0, 0.0, 0.5, np.nan], np.float32), [-32768, 0, 16384, 0]),
    ],
)
def test_sample_formats_become_int16(samples: np.ndarray, expected: list[int]) -> None:
    assert to_int16(samples).tolist() == expected


def test_video_frames_are_due_on_the_files_grid_and_late_ones_are_dropped(square_video: Path) -> None:
    clock = ManualClock(50.0)
    source = VideoFile(square_video, clock, loop=False)
    assert (source.width, source.height, source.fps) == (800, 400, 10.0)
    first = source.take(50.0)
    assert [capture.stamp for capture in first] == [50.0]
    late = source.take(51.01)  # ten more are due, and those older than 0.25 s are dropped
    assert [round(capture.stamp - 50, 3) for capture in late] == [0.8, 0.9, 1.0]
    assert [round(float(capture.data.mean()) / 10) for capture in late] == [8, 9, 10]


def test_looped_video_begins_again(square_video: Path) -> None:
    clock = ManualClock()
    source = VideoFile(square_video, clock, loop=True)
    numbers = []
    while clock.now() < 4.5:
        numbers += [round(float(capture.data.mean()) / 10) for capture in source.take(clock.now())]
        clock.advance(0.05)
    assert numbers == [n % 20 for n in range(45)]


def test_camera_thread_delivers_stamped_frames_until_the_device_ends(square_video: Path) -> None:
    clock = LslClock()
    before = clock.now()
    reader = CameraReader(str(square_video), fps=0.0)
    captures = []
    while not reader.failure:
        reader.wait(1.0)
        captures += reader.take()
    captures += reader.take()
    assert captures[-1].data.shape == (400, 800, 3)
    assert before <= captures[0].stamp <= captures[-1].stamp <= clock.now()
    assert len({capture.content for capture in captures}) == len(captures)
    assert "no more frames" in reader.failure
    reader.close()
    assert not reader.alive


def test_camera_that_is_not_there_is_a_failure_in_words() -> None:
    reader = CameraReader("no such device", fps=0.0)
    reader.wait(10.0)
    assert reader.failure == "it cannot be opened"


def test_frames_are_scaled_to_the_widest_allowed() -> None:
    assert frame_size(1920, 1080, 640) == (640, 360)
    assert frame_size(360, 288, 640) == (360, 288)


def refuse(publish: Callable[[], object], code: ErrorCode, where: str = "") -> None:
    with pytest.raises(InputError) as error:
        publish()
    assert error.value.code is code
    assert error.value.where.endswith(where)


def test_unusable_files_are_named_with_a_remedy(tmp_path: Path) -> None:
    junk_video, junk_sound, clip = tmp_path / "junk.avi", tmp_path / "junk.wav", tmp_path / "clip.mp4"
    for path in (junk_video, junk_sound, clip):
        path.write_bytes(b"neither sound nor picture" * 10)
    publishing = Publishing(stop=lambda: True, report=print)
    refuse(lambda: publish_webcam(junk_video, publishing), ErrorCode.FILE, "junk.avi")
    refuse(lambda: publish_webcam(tmp_path / "none.avi", publishing), ErrorCode.FILE, "none.avi")
    refuse(lambda: publish_microphone(junk_sound, publishing), ErrorCode.FILE, "junk.wav")
    refuse(lambda: read_sound_file(tmp_path / "none.wav"), ErrorCode.FILE, "none.wav")
    with pytest.raises(InputError, match=r"extract it first: ffmpeg -i clip\.mp4"):
        publish_microphone(clip, publishing)


def test_device_texts(ramp_wav: Path) -> None:
    assert camera_from_text("1") == 1
    assert camera_from_text(str(ramp_wav)) == ramp_wav
    refuse(lambda: camera_from_text("no such thing"), ErrorCode.OPTION)
    assert microphone_from_text("2") == 2
    assert microphone_from_text("default") == "default"
    assert microphone_from_text("typo.wav") == Path("typo.wav")


@pytest.mark.parametrize(
    ("module", "listing", "remedy"),
    [("sounddevice", list_microphones, "libportaudio2"), ("cv2", list_cameras, "libgl1")],
)
def test_missing_library_is_named_with_its_remedy(
    module: str, listing: Callable[[], list], remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError) as error:
        listing()
    assert error.value.code is ErrorCode.INSTALLATION
    assert remedy in error.value.remedy


def test_source_id_is_stable_and_differs_by_device(ramp_wav: Path) -> None:
    assert (
        publisher_source_id("webcam", 0)
        == publisher_source_id("webcam", 0)
        != publisher_source_id("webcam", 1)
    )
    assert publisher_source_id("microphone", ramp_wav) == publisher_source_id(
        "microphone", ramp_wav.parent / ".." / ramp_wav.parent.name / ramp_wav.name
    )


@contextlib.contextmanager
def publishing(publish: Callable[..., None], device: Path, **settings) -> Iterator[list[str]]:
    reports: list[str] = []
    stop = threading.Event()
    publishing = Publishing(stop.is_set, reports.append, **settings)
    thread = threading.Thread(target=publish, args=(device, publishing))
    thread.start()
    try:
        yield reports
    finally:
        stop.set()
        thread.join(10.0)
        assert not thread.is_alive()


def open_inlet(source_id: str):
    from pylsl import StreamInlet, resolve_bypred

    found = resolve_bypred(f"source_id='{source_id}'", 1, 20.0)
    assert found, "the publisher did not come up"
    return StreamInlet(found[0], recover=False)


def pull_all(inlet, n_wanted: int, limit_s: float) -> tuple[list, np.ndarray]:
    clock = LslClock()
    deadline = clock.now() + limit_s
    samples, stamps = [], []
    while len(samples) < n_wanted and clock.now() < deadline:
        new, times = inlet.pull_chunk(timeout=0.2, max_samples=1024)
        samples += new
        stamps += times
    return samples, np.array(stamps)


@pytest.mark.lsl
@pytest.mark.real_data
def test_face_clip_arrives_as_jpegs_with_its_own_timing(real_data: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    clip = real_data / "video" / "bbaf2n.mpg"
    clock = LslClock()
    with publishing(publish_webcam, clip, await_consumer=True) as reports:
        inlet = open_inlet(publisher_source_id("webcam", clip))
        header = parse_header(inlet.info(10.0).as_xml())
        before = clock.now()
        samples, stamps = pull_all(inlet, 75, 15.0)
        clock.wait_until(stamps[-1] + 2.0)
    assert len(samples) == 75
    assert reports[1:] == ["the file has ended"]
    assert header.type == "VideoCompressed"
    assert header.can_drop_samples
    assert header.nominal_sfreq == 0
    assert dict(header.encoding) == {
        "codec": "jpeg", "text": "base64", "width": "360", "height": "288", "quality": "85", "fps": "25",
    }  # fmt: skip
    assert np.diff(stamps) == pytest.approx(np.full(74, 0.04), abs=1e-6)
    assert before - 1.0 < stamps[0] < before + 1.0
    video = cv2.VideoCapture(str(clip))
    for (text,) in samples:
        frame = cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_COLOR)
        _, original = video.read()
        assert frame.shape == (288, 360, 3)
        assert np.abs(frame.astype(float) - original).mean() < 4.0


@pytest.mark.lsl
@pytest.mark.real_data
def test_voice_arrives_sample_for_sample(real_data: Path) -> None:
    voice = real_data / "audio" / "Sad" / "11a02Tc.wav"
    with publishing(publish_microphone, voice, await_consumer=True):
        inlet = open_inlet(publisher_source_id("microphone", voice))
        header = parse_header(inlet.info(10.0).as_xml())
        expected, sfreq = read_sound_file(voice)
        samples, stamps = pull_all(inlet, len(expected), 15.0)
    assert (header.type, header.channel_format, header.nominal_sfreq) == ("Audio", "int16", sfreq)
    assert np.array_equal(np.array(samples), expected)
    assert np.diff(stamps) == pytest.approx(np.full(len(expected) - 1, 1 / sfreq), abs=1e-6)


@pytest.mark.lsl
@pytest.mark.slow
def test_publisher_process_is_taken_over_after_a_crash_and_ends_when_told(
    ramp_wav: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    first = start_publisher("microphone", str(ramp_wav), loop=True)
    inlet = open_inlet(first.source_id)
    samples, _ = pull_all(inlet, 1000, 10.0)
    assert len(samples) >= 1000
    again = start_publisher("microphone", str(ramp_wav), loop=True)
    assert again.process is None
    assert again.running
    assert any("16000 Hz" in message for message in again.messages())
    (tmp_path / first.control.parent.name / "left-by-a-kill.json").write_text("{}")
    assert stop_publishers() == [f"microphone {ramp_wav} (process {first.process.pid})"]
    assert first.process.wait(10.0) == 0
    assert not again.running
    again.stop()
    assert list(first.control.parent.iterdir()) == []


@pytest.mark.lsl
@pytest.mark.slow
def test_unusable_device_ends_the_process_with_a_message_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    junk = tmp_path / "junk.wav"
    junk.write_bytes(b"no sound at all")
    publisher = start_publisher("microphone", str(junk))
    assert publisher.process is not None
    publisher.process.wait(30.0)
    assert publisher.exit_code == 2
    assert any("is not a WAV file" in message for message in publisher.messages())
    publisher.stop()


@pytest.fixture
def two_streams(tmp_path: Path) -> Path:
    """Simulated: 2 s of a counter at 100 Hz, its channel described, on a clock 1000 s behind; a marker."""
    header = (
        "<info><name>{name}</name><type>{type}</type><channel_count>1</channel_count><nominal_srate>{sfreq}"
        "</nominal_srate><channel_format>{format}</channel_format>"
        "<source_id>x</source_id><desc>{desc}</desc></info>"
    )
    channels = "<channels><channel><label>Cz</label><unit>microvolts</unit></channel></channels>"
    channels += "<amplifier><maker>M</maker></amplifier>"
    path = tmp_path / "two.xdf"
    with XdfWriter(path) as writer:
        writer.add_stream(1, header.format(name="Amp", type="EEG", sfreq=100, format="int16", desc=channels))
        writer.add_stream(2, header.format(name="Mark", type="Markers", sfreq=0, format="string", desc=""))
        for second in range(2):
            index = np.arange(100) + 100 * second
            writer.samples(1, 50 + index / 100, index[:, None])
        writer.clock_offset(1, 50.0, 1000.0)
        writer.clock_offset(2, 1050.0, 0.0)
        writer.samples(2, [1050.505], [["go"]])
    return path


def test_a_recording_is_played_in_its_own_time_and_again_from_the_beginning(two_streams: Path) -> None:
    headers, read = xdf_content(two_streams)
    player = Player((headers, read), ManualClock(), loop=True)
    taken = [c.data for c in player.take(10.0)]
    for hop in range(1, 101):
        taken += [c.data for c in player.take(10.0 + 0.03 * hop)]
    amp, mark = ([p for p in taken if p.stream.startswith(name)] for name in ("Amp", "Mark"))
    values, times = (
        np.concatenate(parts) for parts in zip(*((p.values[:, 0], p.times) for p in amp), strict=True)
    )
    assert values[:280].tolist() == [*range(200), *range(80)]
    np.testing.assert_allclose(times[:200], 10.0 + np.arange(200) / 100, atol=1e-6)
    assert 12.0 < times[200] < 12.1
    assert [list(row) for row in mark[0].values] == [["go"]]
    assert mark[0].times[0] == pytest.approx(10.505)
    assert not player.ended


def test_a_played_stream_describes_itself_as_the_recorded_one(two_streams: Path) -> None:
    recorded = xdf_content(two_streams)[0]["Amp|EEG|x"]
    described = parse_header(info_of(recorded, "other").as_xml())
    assert (described.name, described.type, described.channel_format) == ("Amp", "EEG", "int16")
    assert (described.channels, described.desc) == (recorded.channels, recorded.desc)
    assert described.source_id == "other"


def test_a_stream_without_a_name_or_with_an_element_said_twice_is_played() -> None:
    header = parse_header(
        "<info><name/><type>EEG</type><channel_count>1</channel_count><desc><a>x</a><a><b>y</b></a></desc></info>"
    )
    described = parse_header(info_of(header, "other").as_xml())
    assert (described.name, described.desc) == ("other", {"a/b": "y"})


def test_an_eeg_file_is_played_in_microvolts_with_its_annotations(tmp_path: Path) -> None:
    mne = pytest.importorskip("mne")
    info = mne.create_info(["Cz", "Aux"], 100.0, ["eeg", "misc"])
    raw = mne.io.RawArray(np.stack([np.full(100, 2e-5), np.full(100, 3.0)]), info, verbose="error")
    raw.set_annotations(mne.Annotations([0.5], [0.0], ["rest"]))
    headers, read = eeg_content(tmp_path / "a.edf", raw)
    played = list(read())
    eeg = np.concatenate([p.values for p in played if p.stream == "eeg"])
    np.testing.assert_allclose(eeg, np.tile([20.0, 3.0], (100, 1)))
    assert [(p.times.tolist(), p.values) for p in played if p.stream == "markers"] == [([0.5], [("rest",)])]
    assert [c.unit for c in headers["eeg"].channels] == ["microvolts", ""]


def test_an_eeg_file_that_is_cut_off_is_played_up_to_one_error(tmp_path: Path) -> None:
    mne = pytest.importorskip("mne")
    path, data = tmp_path / "a_raw.fif", np.random.default_rng(0).normal(0, 1e-5, (1, 500))
    mne.io.RawArray(data, mne.create_info(["Cz"], 100.0, "eeg"), verbose="error").save(path, verbose="error")
    path.write_bytes(path.read_bytes()[:-1501])
    read = eeg_content(path, mne.io.read_raw(path, verbose="error"))[1]
    with pytest.raises(InputError):
        list(read())


def test_an_eeg_file_without_a_unit_is_played_as_it_is(tmp_path: Path) -> None:
    mne = pytest.importorskip("mne")
    raw = mne.io.RawArray(np.full((1, 100), 20.0), mne.create_info(["Cz"], 100.0, "eeg"), verbose="error")
    raw._orig_units = {"Cz": "n/a"}  # as MNE notes of an EDF file
    headers, read = eeg_content(tmp_path / "a.edf", raw)
    assert headers["eeg"].channels[0].unit == ""
    assert {float(value) for played in read() for value in played.values.ravel()} == {20.0}


def test_what_is_no_recording_is_not_played(ramp_wav: Path) -> None:
    with pytest.raises(InputError):
        xdf_content(ramp_wav)


def test_codes_of_a_trigger_channel_are_markers_and_a_boundary_leaves_a_gap(tmp_path):
    import mne

    status = np.full(400, float(1 << 20))  # as BioSemi's, with a bit of the amplifier's own
    status[100:110] += 2
    info = mne.create_info(["CZ", "Status"], 100.0, ["eeg", "stim"])
    raw = mne.io.RawArray(np.vstack([np.zeros(400), status]), info, verbose="error")
    played = [piece for piece in eeg_content(tmp_path / "a.bdf", raw)[1]() if piece.stream == "markers"]
    assert [(piece.times.tolist(), piece.values) for piece in played] == [([1.0], [("2",)])]
    raw.set_annotations(mne.Annotations([2.0], [0.0], ["boundary"]))
    times = np.concatenate([p.times for p in eeg_content(tmp_path / "a.bdf", raw)[1]() if p.stream == "eeg"])
    assert (times[199], times[200]) == (1.99, 3.0)
