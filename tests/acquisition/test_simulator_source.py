"""The simulator pumped by hand, its faults and its real outlets."""

from __future__ import annotations

import multiprocessing
import pickle

import numpy as np
import pytest
from clocks import ManualClock

from acquisition.errors import InputError
from acquisition.simulator.behaviour import FollowedTimeline
from acquisition.simulator.face import DrawnFace
from acquisition.simulator.faults import Fault, StreamFaults, parse_faults
from acquisition.simulator.process import run_simulator
from acquisition.simulator.source import SimulatedSource, SimulatorOptions
from acquisition.types import Change, Chunk, StreamEvent


def pump(source: SimulatedSource, until: float, step_s: float) -> list[Chunk | StreamEvent]:
    """Read from the source's start until ``until``, in steps that binary fractions hold exactly."""
    clock = ManualClock(source.start)
    found = list(source.read(clock.now()))
    while clock.now() < until:
        found += source.read(clock.advance(step_s))
    return found


def joined(events: list[Chunk | StreamEvent], key: str) -> tuple[np.ndarray, list]:
    chunks = [event for event in events if isinstance(event, Chunk) and event.stream == key]
    assert [c.start_index for c in chunks] == np.cumsum([0, *(len(c.times) for c in chunks)])[:-1].tolist()
    return np.concatenate([c.times for c in chunks]), [row for chunk in chunks for row in chunk.data]


def test_streams_open_once_and_deliver_what_is_due():
    source = SimulatedSource(SimulatorOptions(seed=3, schedule="happy:1,sad:1"), start=100.0)
    events = pump(source, 102.0, 0.25)
    opened = [event.spec.key for event in events if isinstance(event, StreamEvent)]
    assert opened == ["eeg", "gaze", "video", "audio", "markers"]
    for key, sfreq, n_channels in (("eeg", 1000, 62), ("gaze", 60, 5), ("audio", 16000, 1)):
        times, rows = joined(events, key)
        np.testing.assert_allclose(times, 100.0 + np.arange(2 * sfreq + 1) / sfreq, atol=1e-9)
        assert np.shape(rows) == (2 * sfreq + 1, n_channels)
    _, frames = joined(events, "video")
    assert len(frames) == 31
    assert all(frame.startswith(b"\xff\xd8") for frame in frames)
    times, texts = joined(events, "markers")
    assert texts == ["trial_start/happy", "trial_end/happy", "trial_start/sad", "trial_end/sad",
                     "trial_start/happy"]  # fmt: skip
    np.testing.assert_array_equal(times, [100, 101, 101, 102, 102])


def test_chunks_do_not_depend_on_the_pump():
    options = SimulatorOptions(seed=3, schedule="random:1", faults="drop:eeg@0.5+0.25")
    runs = [pump(SimulatedSource(options), 2.0, step_s) for step_s in (0.0625, 0.5, 2.0)]
    for key in ("eeg", "gaze", "video", "audio", "markers"):
        (times, rows), *others = (joined(run, key) for run in runs)
        for other_times, other_rows in others:
            np.testing.assert_array_equal(times, other_times)
            if isinstance(rows[0], np.ndarray):
                np.testing.assert_array_equal(rows, other_rows)
            else:
                assert rows == other_rows


def test_a_slow_camera_shows_a_selection_of_the_same_frames():
    options = SimulatorOptions(seed=3, streams=("video",))
    times, frames = joined(pump(SimulatedSource(options), 3.0, 0.5), "video")
    full = dict(zip(np.round(times, 6), frames, strict=True))
    times, frames = joined(pump(SimulatedSource(options, video_fps=2.0), 3.0, 0.5), "video")
    assert len(frames) == 7
    assert all(full[time] == frame for time, frame in zip(np.round(times, 6), frames, strict=True))


def test_dropped_samples_leave_a_break_and_the_stream_goes_stale():
    options = SimulatorOptions(streams=("eeg",), faults="drop:eeg@1+3")
    events = pump(SimulatedSource(options), 6.0, 0.125)
    times, _ = joined(events, "eeg")
    assert len(times) == 3001
    gap = int(np.argmax(np.diff(times)))
    assert times[gap : gap + 2].tolist() == [0.999, 4.0]
    breaks = [event.start_index + i for event in events if isinstance(event, Chunk) for i in event.breaks]
    assert breaks == [gap + 1]
    changes = [(event.change, event.time) for event in events if isinstance(event, StreamEvent)]
    assert changes == [(Change.OPENED, 0.0), (Change.STALE, 2.625), (Change.BACK, 4.0)]


def test_stalled_samples_come_late_but_whole():
    source = SimulatedSource(SimulatorOptions(streams=("gaze",), faults="stall:gaze@1+1"))
    assert source.complete_to(5.0) is None
    events = pump(source, 1.5, 0.125)
    assert joined(events, "gaze")[0][-1] < 1.0
    times, _ = joined(events + source.read(2.5), "gaze")
    np.testing.assert_allclose(times, np.arange(151) / 60, atol=1e-9)


def test_after_a_stall_a_stream_catches_up_in_pieces_where_it_is_asked_to():
    options = SimulatorOptions(streams=("gaze",), faults="stall:gaze@1+2")
    source = SimulatedSource(options, longest_s=0.25)
    chunks = [event for event in pump(source, 4.0, 0.125) if isinstance(event, Chunk)]
    assert max(len(chunk.times) for chunk in chunks) == 15
    np.testing.assert_allclose(joined(chunks, "gaze")[0], np.arange(53 + 9 * 15) / 60, atol=1e-9)


def test_source_ends_with_its_duration():
    source = SimulatedSource(SimulatorOptions(streams=("eeg", "markers"), duration_s=1.5))
    events = pump(source, 3.0, 0.375)
    assert len(joined(events, "eeg")[0]) == 1500
    assert source.exhausted
    assert [e.stream for e in events if isinstance(e, StreamEvent) and e.change is Change.ENDED] == (
        ["eeg", "markers"]
    )


def test_source_lives_through_another_timeline():
    timeline = FollowedTimeline()
    timeline.begin("fear", 0.5)
    source = SimulatedSource(SimulatorOptions(streams=("markers",)), timeline=timeline)
    assert joined(pump(source, 1.0, 0.125), "markers")[1] == ["rest_start", "trial_start/fear"]


def test_somebody_met_again_is_the_same_person_with_other_noise():
    timeline = FollowedTimeline()
    timeline.begin("happy", 600.0)
    first = pump(SimulatedSource(timeline=timeline, start=0.0), 2.0, 0.25)
    later_source = SimulatedSource(timeline=timeline, start=599.0, begin_s=599.0)
    later = pump(later_source, 601.0, 0.25)
    for key, n_channels in (("eeg", 62), ("gaze", 5), ("audio", 1)):
        (times, rows), (later_times, later_rows) = joined(first, key), joined(later, key)
        np.testing.assert_allclose(later_times, times + 599.0, atol=1e-9)
        levels, later_levels = (np.reshape(r, (-1, n_channels)) for r in (rows, later_rows))
        noise, later_noise = (np.nan_to_num(np.diff(r[:, 0])) for r in (levels, later_levels))
        assert abs(np.corrcoef(noise, later_noise)[0, 1]) < 0.5  # the same noise: 1
    times, texts = joined(later, "markers")
    assert (texts, times.tolist()) == (["trial_start/happy"], [600.0])
    face = DrawnFace(SimulatorOptions().person(timeline))
    assert joined(later, "video")[1][20] == face.jpeg(599.0 + 20 / 15)


def test_faults_are_parsed():
    assert parse_faults("drop:eeg@20+5, jitter:gaze=0.02,clockjump:gaze@25=-3.0,epoch:audio") == (
        Fault("drop", "eeg", 20.0, 5.0),
        Fault("jitter", "gaze", value=0.02),
        Fault("clockjump", "gaze", 25.0, value=-3.0),
        Fault("epoch", "audio"),
    )
    assert parse_faults("") == ()


@pytest.mark.parametrize(
    "spec", ["drop", "drop:nose@2", "melt:eeg@2", "drop:eeg@x", "jitter:eeg", "drop:eeg@2=3", "jitter:eeg=-1"]
)
def test_bad_faults_are_refused(spec):
    with pytest.raises(InputError) as error:
        SimulatorOptions(faults=spec)
    assert error.value.where == "faults"


def test_stamp_errors_add_up_and_repeat():
    faults = StreamFaults(parse_faults("clockjump:eeg@10=3,offset:eeg=0.5,jitter:eeg@20=0.01"), "eeg", seed=1)
    assert [faults.stamp_error_s(t, 0, 1e9) for t in (9.9, 10.0)] == [0.5, 3.5]
    scatter = [faults.stamp_error_s(30.0, index, 1e9) - 3.5 for index in range(500)]
    assert np.std(scatter) == pytest.approx(0.01, rel=0.15)
    assert scatter == [faults.stamp_error_s(30.0, index, 1e9) - 3.5 for index in range(500)]
    epoch = StreamFaults(parse_faults("epoch:gaze"), "gaze", seed=1)
    assert epoch.stamp_error_s(0.0, 0, 1e9) == 1e9
    assert StreamFaults(parse_faults("epoch:gaze"), "eeg", seed=1).stamp_error_s(0.0, 0, 1e9) == 0


@pytest.mark.parametrize(
    "options",
    [{"seed": -1}, {"streams": ("nose",)}, {"streams": ()}, {"duration_s": 0.0}, {"schedule": "joy:3"}],
)
def test_bad_options_are_refused(options):
    with pytest.raises(InputError):
        SimulatorOptions(**options)


def test_outlets_only_faults_are_refused_by_the_source():
    with pytest.raises(InputError) as error:
        SimulatedSource(SimulatorOptions(faults="rename:eeg@1"))
    assert error.value.where == "faults"


def test_options_can_be_pickled():
    options = SimulatorOptions(faults="drop:eeg@1+1", schedule="random:3")
    assert pickle.loads(pickle.dumps(options)) == options


@pytest.mark.lsl
def test_outlets_in_their_own_process_publish_follow_and_stop():
    pylsl = pytest.importorskip("pylsl")
    suffix = f"-test-{np.random.default_rng().integers(1 << 40)}"
    marker_info = pylsl.StreamInfo("Protocol", "Markers", 1, 0, "string", f"protocol{suffix}")
    protocol = pylsl.StreamOutlet(marker_info)
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    options = SimulatorOptions(seed=9, source_id_suffix=suffix, follow=f"protocol{suffix}", duration_s=60.0)
    process = context.Process(target=run_simulator, args=(options, stop.is_set))
    process.start()
    try:
        inlets = {}
        for key, spec in options.specs().items():
            found = pylsl.resolve_byprop("source_id", spec.source_id, timeout=30)
            assert found, f"{key} did not appear"
            inlets[key] = pylsl.StreamInlet(found[0])
            inlets[key].open_stream(10)
        header = inlets["eeg"].info(10).as_xml()
        assert "<label>CB2</label>" in header
        assert "simulated data" in header
        assert "<codec>jpeg</codec>" in inlets["video"].info(10).as_xml()
        samples, stamps = inlets["eeg"].pull_chunk(timeout=10.0, max_samples=500)
        assert np.shape(samples) == (500, 62)
        np.testing.assert_allclose(np.diff(stamps), 1e-3, atol=1e-6)
        assert abs(pylsl.local_clock() - stamps[-1]) < 5.0
        assert len(inlets["audio"].pull_chunk(timeout=10.0, max_samples=1600)[0]) == 1600
        assert len(inlets["gaze"].pull_chunk(timeout=10.0, max_samples=6)[0]) == 6
        assert inlets["video"].pull_sample(timeout=10.0)[0][0].startswith("/9j/")  # base64 of a JPEG
        assert protocol.wait_for_consumers(20)
        protocol.push_sample(["trial_start/happy"])
        texts = []
        while "trial_start/happy" not in texts:
            sample, _ = inlets["markers"].pull_sample(timeout=20.0)
            assert sample is not None, f"heard only {texts}"
            texts.append(sample[0])
        stop.set()
        process.join(10)
        assert process.exitcode == 0
    finally:
        if process.is_alive():
            process.terminate()
        process.join(10)
