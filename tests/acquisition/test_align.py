"""Windows on the data's grid: what is valid, present, late or known, for any chunk size."""

from __future__ import annotations

import numpy as np
import pytest

from acquisition.errors import InputError
from acquisition.types import MODALITY_OF_KIND, Chunk, Kind, StreamSpec
from acquisition.windowing import Aligner, WindowConfig

EEG = StreamSpec("e", "EEG", Kind.EEG, ("CZ", "PZ"), ("uV", "uV"), 100.0)
GAZE = StreamSpec(
    "g", "Gaze", Kind.GAZE, ("gaze_x", "gaze_y", "pupil_left", "pupil_right", "validity"), ("",) * 5, 60.0
)
VIDEO = StreamSpec("v", "Cam", Kind.VIDEO, ("frame",), ("",), 0.0)
AUDIO = StreamSpec("a", "Mic", Kind.AUDIO, ("audio",), ("",), 1000.0)
SPECS = {"e": EEG, "g": GAZE, "v": VIDEO, "a": AUDIO}
RATES = {"e": 100.0, "g": 60.0, "v": 15.0, "a": 1000.0}


def chunk(stream, times, start=0, breaks=()):
    """Make samples whose value is their index."""
    n = len(times)
    index = np.arange(start, start + n, dtype=float)
    if stream == "v":
        return Chunk(stream, start, tuple(f"frame {i}" for i in range(start, start + n)), times, breaks)
    n_channels = len(SPECS[stream].ch_names)
    data = np.repeat(index[:, None], n_channels, axis=1)
    return Chunk(stream, start, data, times, breaks)


def filled(streams="egva", seconds=30.0, t0=0.0, size=None, holes=None):
    aligner = Aligner(WindowConfig())
    for stream in streams:
        aligner.open(SPECS[stream])
        times = t0 + np.arange(int(seconds * RATES[stream])) / RATES[stream]
        breaks = np.zeros(len(times), dtype=bool)
        if holes and stream in holes:
            begin, end = holes[stream]
            keep = (times < begin) | (times >= end)
            after = np.flatnonzero(times[keep] >= end)[0]
            times, breaks = times[keep], breaks[keep]
            breaks[after] = True
        for at in range(0, len(times), size or len(times)):
            part = slice(at, at + (size or len(times)))
            aligner.push(chunk(stream, times[part], at, tuple(np.flatnonzero(breaks[part]).tolist())))
    return aligner


def window_at(aligner, t_end):
    index = round(t_end / aligner.config.hop_s)
    assert index in aligner.due(t_end, t_end)
    return aligner.cut(index, t_end, live=False)


def test_eeg_step_holds_exactly_the_second_before_its_end():
    window = window_at(filled(), 20.0)
    newest, oldest = window.steps["eeg"][-1], window.steps["eeg"][0]
    np.testing.assert_array_equal(newest.data[0], np.arange(1900, 2000))
    np.testing.assert_array_equal(oldest.data[1], np.arange(1000, 1100))
    assert newest.sfreq == 100.0


def test_no_step_looks_past_the_window_end():
    window = window_at(filled(), 20.25)
    assert window.steps["eye"][-1].times[-1] < 20.25
    assert window.steps["voice"][0].t_end == 20.0  # on the half-second grid
    assert window.steps["face"][-1].data == "frame 299"  # at 19.93 s; the one at 20.0 is not before 20.0


@pytest.mark.parametrize("size", [1, 7, 64])
def test_chunk_size_changes_nothing(size):
    whole, pieces = (window_at(filled(seconds=25.0, size=n), 20.0) for n in (None, size))
    for modality, steps in whole.steps.items():
        for step, other in zip(steps, pieces.steps[modality], strict=True):
            assert (step.valid, step.coverage, step.sfreq) == (other.valid, other.coverage, other.sfreq)
            assert np.array_equal(step.data, other.data)


def test_step_that_spans_a_gap_is_invalid_and_others_stay():
    window = window_at(filled(holes={"e": (15.2, 15.5)}), 20.0)
    valid = [step.valid for step in window.steps["eeg"]]
    assert valid == [True] * 5 + [False] + [True] * 4
    assert window.present["eeg"]


def test_short_hole_of_dropped_samples_is_coverage_not_a_gap():
    aligner = Aligner(WindowConfig())
    aligner.open(EEG)
    times = np.delete(np.arange(2000) / 100.0, [1950, 1951])
    aligner.push(chunk("e", times))
    newest = window_at(aligner, 19.75).steps["eeg"][-1]
    assert newest.valid
    assert newest.coverage == pytest.approx(0.98)


def test_modality_is_absent_until_three_steps_including_the_newest_are_valid():
    aligner = filled("e", t0=100.0)
    present = {t: window_at(aligner, t).present["eeg"] for t in (101.0, 102.75, 103.0, 104.0)}
    assert present == {101.0: False, 102.75: False, 103.0: True, 104.0: True}


def test_stream_that_stopped_is_absent_at_once():
    aligner = filled("eg", holes={"g": (20.0, 29.9)})
    assert window_at(aligner, 20.0).present["eye"]
    assert not window_at(aligner, 20.5).present["eye"]


def test_the_eyes_have_a_new_step_once_a_second():
    ends = {t: window_at(filled("eg"), t).steps["eye"][-1].t_end for t in (20.0, 20.25, 20.75, 21.0)}
    assert ends == {20.0: 20.0, 20.25: 20.0, 20.75: 20.0, 21.0: 21.0}


def test_voice_needs_two_seconds_and_comes_in_whole_half_seconds():
    aligner = filled("ea", t0=10.0)
    assert not window_at(aligner, 11.5).present["voice"]
    window = window_at(aligner, 12.75)
    assert window.present["voice"]
    assert window.steps["voice"][0].data.shape == (2500,)
    assert window_at(aligner, 20.0).steps["voice"][0].data.shape == (5000,)


def test_lost_eyes_make_an_eye_step_invalid():
    aligner = Aligner(WindowConfig())
    aligner.open(GAZE)
    times = np.arange(1200) / 60.0
    data = 1 + np.random.default_rng(0).random((1200, 5))
    data[1000:, 4] = 0
    aligner.push(Chunk("g", 0, data, times))
    assert window_at(aligner, 17.0).steps["eye"][-1].valid
    assert not window_at(aligner, 19.75).steps["eye"][-1].valid


def test_live_window_waits_for_the_slowest_stream_but_not_longer_than_the_budget():
    aligner = Aligner(WindowConfig())
    for stream, newest in (("e", 20.01), ("g", 19.98)):
        aligner.open(SPECS[stream])
        aligner.push(chunk(stream, np.arange(0, newest, 1 / RATES[stream])))
    index = 80  # t_end = 20.0
    assert index not in aligner.due(20.02, None)
    assert index in aligner.due(20.151, None)
    assert aligner.cut(index, 20.151, live=True).waited_s == pytest.approx(0.151)


def test_stale_stream_is_not_waited_for():
    aligner = Aligner(WindowConfig())
    for stream, newest in (("e", 20.01), ("g", 10.0)):
        aligner.open(SPECS[stream])
        aligner.push(chunk(stream, np.arange(0, newest, 1 / RATES[stream])))
    aligner.wait_for("g", False)
    assert 80 in aligner.due(20.02, None)


def test_known_steps_come_without_samples():
    aligner = filled("e")
    assert 80 in aligner.due(20.0, 20.0)
    window = aligner.cut(80, 20.0, live=False, known=lambda modality, index: index < 80)
    assert [step.known for step in window.steps["eeg"]] == [True] * 9 + [False]
    assert window.steps["eeg"][0].data is None
    assert window.steps["eeg"][0].valid


def test_skipped_windows_are_counted():
    aligner = filled("e")
    window_at(aligner, 20.0)
    assert aligner.due(21.0, 21.0) == range(81, 85)
    aligner.n_skipped = 0
    aligner.cut(84, 21.0, live=False)
    assert aligner.n_skipped == 3


def test_warm_up_ends_when_every_context_is_full():
    aligner = filled("eg", t0=100.0)
    assert window_at(aligner, 119.75).warm_up
    assert not window_at(aligner, 120.25).warm_up


def test_measured_rate_replaces_a_wrong_nominal_one():
    aligner = Aligner(WindowConfig())
    aligner.open(EEG)
    aligner.push(chunk("e", np.arange(2000) / 93.0))
    step = window_at(aligner, 20.0).steps["eeg"][-1]
    assert step.sfreq == pytest.approx(93.0, rel=0.003)
    assert step.data.shape == (2, 93)
    assert step.valid


def test_ring_memory_is_bounded():
    aligner = Aligner(WindowConfig())
    aligner.open(EEG)
    for second in range(2000):
        aligner.push(chunk("e", second + np.arange(100) / 100.0, second * 100))
    ring = aligner._feeds["eeg"].ring
    assert len(ring._times) <= 8192
    assert window_at(aligner, 1999.0).steps["eeg"][-1].data[0, -1] == 199_899


def test_hop_must_divide_the_shifts():
    with pytest.raises(InputError, match="hop_s must divide"):
        WindowConfig(hop_s=0.3)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"hop_s": 0.0}, "hop_s: expected more than 0"),
        ({"max_gap_s": float("nan")}, "max_gap_s: expected more than 0"),
        ({"eeg_n_steps": -1}, "eeg_n_steps: expected more than 0"),
        ({"min_coverage": 1.5}, "min_coverage: expected at most 1"),
        ({"voice_min_s": 6.0}, "voice_min_s: expected at most 5"),
        ({"face_min_frames": 11}, "face_min_frames: expected at most 10"),
        ({"pupil_s": 2.0}, "eye_step_s: expected at most 2"),
    ],
)
def test_impossible_window_geometry_is_refused(changed, words):
    with pytest.raises(InputError, match=words):
        WindowConfig(**changed)


def test_late_modality_is_masked_and_right_again_in_the_next_window():
    aligner = Aligner(WindowConfig())
    for stream, newest in (("e", 20.3), ("v", 19.9)):
        aligner.open(SPECS[stream])
        aligner.push(chunk(stream, np.arange(0, newest, 1 / RATES[stream])))
    assert 80 in aligner.due(20.16, None)
    late = aligner.cut(80, 20.16, live=True)
    assert not late.steps["face"][-1].valid
    assert not late.present["face"]
    aligner.push(chunk("v", np.arange(299, 308) / 15.0, 299))
    assert 81 in aligner.due(20.3, None)
    assert aligner.cut(81, 20.3, live=True).steps["face"][-1].data == "frame 299"


def test_voice_with_a_nan_is_absent_until_the_nan_has_left_the_clip():
    aligner = Aligner(WindowConfig())
    aligner.open(AUDIO)
    times = np.arange(12_000) / 1000.0
    data = np.random.default_rng(0).random((12_000, 1))
    data[4_000] = np.nan
    aligner.push(Chunk("a", 0, data, times))
    present = [window_at(aligner, t).present["voice"] for t in (3.5, 5.0, 9.5)]
    assert present == [True, False, True]


@pytest.mark.parametrize(("stream", "modality"), [("e", "eeg"), ("a", "voice"), ("g", "eye")])
def test_a_replay_masks_what_lies_after_a_streams_end_as_live_does(stream, modality):
    aligner = filled(stream, 20.1)  # most of the step to 20.25 has come, as of a sender that died
    aligner.end(stream)
    assert window_at(aligner, 20.0).present[modality]
    assert not window_at(aligner, 20.25 if modality != "voice" else 20.5).present[modality]


def test_the_window_that_ends_with_the_last_sample_is_whole():
    aligner = filled("e", 20.0)
    aligner.end("e")
    assert window_at(aligner, 20.0).present["eeg"]


@pytest.mark.parametrize("broken", [np.inf, 1e30])
def test_gaze_that_no_tracker_sends_is_absent(broken):
    aligner = Aligner(WindowConfig())
    aligner.open(GAZE)
    data = np.random.default_rng(0).random((2400, 5)) * 0.5 + 0.5
    data[1800] = broken
    aligner.push(Chunk("g", 0, data, np.arange(2400) / 60))
    assert [window_at(aligner, t).present["eye"] for t in (29.0, 31.0, 39.0)] == [True, False, False]


@pytest.mark.parametrize("kind", [Kind.GAZE, Kind.AUDIO, Kind.VIDEO])
def test_a_device_that_repeats_its_last_value_is_soon_absent(kind):
    names, sfreq = {Kind.GAZE: ("xylrv", 60), Kind.AUDIO: ("m", 100), Kind.VIDEO: ("f", 30)}[kind]
    aligner, rng = Aligner(WindowConfig()), np.random.default_rng(0)
    aligner.open(StreamSpec("s", "S", kind, tuple(names), ("",) * len(names), sfreq))
    times = np.arange(40 * sfreq) / sfreq
    data = rng.random((len(times), len(names))) * 0.5 + 0.5
    data[times >= 30] = data[-1]
    frames = tuple(row.tobytes() for row in data)
    aligner.push(Chunk("s", 0, frames if kind is Kind.VIDEO else data, times))
    present = {t: window_at(aligner, t).present[MODALITY_OF_KIND[kind]] for t in np.arange(25, 38, 0.25)}
    assert [t for t, is_there in present.items() if not is_there] == list(np.arange(31.5, 38, 0.25))
