"""The tap: the same parts however the samples come, gaps, seeks, floods and faults; all without a thread."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from acquisition.types import Change, Chunk, Kind, StreamEvent, StreamSpec
from app.engine import tap as tap_module
from app.engine.messages import (
    EegLook,
    EegPart,
    FramePart,
    GazePart,
    LogMelPart,
    Mark,
    QualityPart,
    SpectrogramPart,
    VoicePart,
)
from app.engine.tap import Tap
from app.telemetry import Failure
from app.view.store import ViewStore
from models.config import preset
from models.prediction import Prediction
from models.window_batch import batch_of

CH_NAMES = ("FP1", "OZ", "CZ")
CONFIG = preset("small", labels=("a", "b"), ch_names=CH_NAMES, trained_on="simulated data only")
T0 = 5000.0123
SPECS = {
    "eeg": StreamSpec("eeg", "Cap", Kind.EEG, CH_NAMES, ("µV",) * 3, 500.0),
    "slow": StreamSpec("slow", "Band", Kind.EEG, CH_NAMES, ("µV",) * 3, 100.0),
    "voice": StreamSpec("voice", "Mic", Kind.AUDIO, ("audio",), ("1",), 16000.0),
    "voice44": StreamSpec("voice44", "Mic", Kind.AUDIO, ("audio",), ("1",), 44100.0),
    "gaze": StreamSpec(
        "gaze", "Eyes", Kind.GAZE, tuple("xylrv"), ("screen", "screen", "absent", "mm", "0/1"), 60.0
    ),
    "video": StreamSpec("video", "Cam", Kind.VIDEO, ("frame",), ("",), 15.0),
    "marks": StreamSpec("marks", "Task", Kind.MARKERS, ("marker",), ("",), 0.0),
}


def signal(key, seconds):
    spec = SPECS[key]
    n = round(seconds * spec.sfreq)
    rng = np.random.default_rng(1)
    t = np.arange(n) / spec.sfreq
    data = 0.1 * rng.normal(size=(n, len(spec.ch_names))) + 0.3 * np.sin(2 * np.pi * 10 * t)[:, None]
    if spec.kind is Kind.EEG:
        data = 100 * data + 1e5  # an offset of 100 mV
    return data, T0 + t


def tapped(key, data, times, size, breaks=(), tap=None, told=None):
    """Run samples through a tap in chunks of one size; return all it told."""
    told = [] if told is None else told
    if tap is None:
        tap = Tap(told.append, CONFIG)
        tap.on_event(StreamEvent(key, Change.OPENED, T0, "", SPECS[key]))
    for at in range(0, len(times), size):
        inside = tuple(b - at for b in breaks if at <= b < at + size)
        tap.on_chunk(Chunk(key, at, data[at : at + size], times[at : at + size], inside))
        tap.step()
    return told


def joined(told):
    """Return each part type's arrays, concatenated."""
    found = defaultdict(lambda: defaultdict(list))
    for part in told:
        for name, value in getattr(part, "__dict__", {}).items():
            if isinstance(value, np.ndarray) and name != "freqs":
                found[type(part)][name].append(value)
    return {
        kind: {name: np.concatenate(values) for name, values in fields.items()}
        for kind, fields in found.items()
    }


@pytest.mark.parametrize("key", ["eeg", "slow", "voice", "voice44"])
def test_parts_do_not_depend_on_how_the_samples_come(key):
    seconds = 3.0 if key.startswith("voice") else 6.0
    data, times = signal(key, seconds)
    breaks = (len(times) // 2,)
    times = np.where(np.arange(len(times)) >= breaks[0], times + 0.35, times)
    whole = joined(tapped(key, data, times, len(times), breaks))
    assert len(whole) == 2
    for size in (1, 7, 100, 1000) if key in ("eeg", "slow") else (331, 1000):
        pieces = joined(tapped(key, data, times, size, breaks))
        for kind, fields in pieces.items():
            for name, values in fields.items():
                expected = whole[kind][name][: len(values)]
                assert len(values) >= 0.9 * len(whole[kind][name])
                np.testing.assert_allclose(values, expected, rtol=1e-3, atol=1e-3)
                if kind is EegPart:
                    assert values.tobytes() == expected.tobytes()


@pytest.mark.parametrize("size", [1, 50, 5000])
def test_quality_comes_once_a_second_and_does_not_depend_on_chunks(size):
    data, times = signal("eeg", 6.0)
    told = tapped("eeg", data, times, size)
    parts = [part for part in told if isinstance(part, QualityPart)]
    assert [part.time for part in parts] == [5002.0, 5003.0, 5004.0, 5005.0, 5006.0]
    assert [c.state for c in parts[-1].channels] == ["good"] * 3
    assert parts == [p for p in tapped("eeg", data, times, 333) if isinstance(p, QualityPart)]


def test_gaze_markers_and_frames_pass_with_their_times():
    told = []
    tap = Tap(told.append, CONFIG)
    for key in ("gaze", "marks", "video"):
        tap.on_event(StreamEvent(key, Change.OPENED, T0, "", SPECS[key]))
    rows = np.array([[0.1, 0.2, np.nan, 3.5, 1.0], [0.3, 0.4, np.nan, 3.6, 1.0]])
    tap.on_chunk(Chunk("gaze", 0, rows, np.array([1.0, 1.1])))
    tap.on_chunk(Chunk("marks", 0, ("<b>start</b>",), np.array([1.05])))
    image = np.full((48, 1280, 3), 120, np.uint8)
    tap.on_chunk(Chunk("video", 0, (image, b"no jpeg"), np.array([1.0, 1.07])))
    tap.step()
    gaze = next(part for part in told if isinstance(part, GazePart))
    np.testing.assert_allclose(gaze.xy, rows[:, :2], rtol=1e-6)
    np.testing.assert_allclose(gaze.pupil[:, 1], [3.5, 3.6], rtol=1e-6)
    assert gaze.pupil_unit == "mm"
    assert Mark(1.05, "<b>start</b>", "Task") in told
    frames = [part for part in told if isinstance(part, FramePart)]
    assert [frame.time for frame in frames] == [1.0]
    assert frames[0].jpeg.startswith(b"\xff\xd8")


def test_a_replay_sought_back_restarts_the_display():
    data, times = signal("eeg", 4.0)
    told = []
    tap = Tap(told.append, CONFIG)
    tap.on_event(StreamEvent("eeg", Change.OPENED, T0, "", SPECS["eeg"]))
    tapped("eeg", data, times, 100, tap=tap, told=told)
    first = len(told)
    tapped("eeg", data, times, 100, tap=tap, told=told)
    once, again = joined(told[:first])[EegPart], joined(told[first:])[EegPart]
    assert once["bins"].tobytes() == again["bins"].tobytes()
    assert once["low"].tobytes() == again["low"].tobytes()


def test_a_flood_drops_the_oldest_counts_it_and_marks_the_break(monkeypatch):
    monkeypatch.setattr(tap_module, "_MAX_BYTES", 60_000)
    data, times = signal("eeg", 20.0)
    told = []
    tap = Tap(told.append, CONFIG)
    tap.on_event(StreamEvent("eeg", Change.OPENED, T0, "", SPECS["eeg"]))
    tapped("eeg", data[:2000], times[:2000], 500, tap=tap, told=told)
    told.clear()
    for at in range(2000, len(times), 500):  # nobody steps
        tap.on_chunk(Chunk("eeg", at, data[at : at + 500], times[at : at + 500]))
    tap.step()
    assert tap.n_dropped == 12
    eeg = joined(told)[EegPart]
    assert (eeg["bins"][-1] - eeg["bins"][0]) / 125 < 20 - 4
    assert np.abs(eeg["high"]).max() < 200  # the filter began anew: no step of what was lost


def test_video_in_bulk_costs_no_signal_its_place(monkeypatch):
    monkeypatch.setattr(tap_module, "_MAX_FRAME_BYTES", 500_000)
    told = []
    tap = Tap(told.append, CONFIG)
    for key in ("eeg", "video"):
        tap.on_event(StreamEvent(key, Change.OPENED, T0, "", SPECS[key]))
    data, times = signal("eeg", 3.0)
    for k in range(30):
        at = slice(50 * k, 50 * k + 50)
        tap.on_chunk(Chunk("eeg", at.start, data[at], times[at]))
        image = np.full((200, 200, 3), k, np.uint8)
        tap.on_chunk(Chunk("video", k, (image,), times[at.start : at.start + 1]))
    tap.step()
    assert tap.n_dropped == 0
    frames = [part for part in told if isinstance(part, FramePart)]
    assert 0 < len(frames) <= 4
    assert frames[-1].time == times[1450]  # the newest one is there
    assert joined(told)[EegPart]["bins"].size == pytest.approx(3 * 125, abs=2)


def test_a_stream_the_screen_cannot_show_is_reported_once_and_stops_no_other():
    told = []
    tap = Tap(told.append, CONFIG)
    for key in ("gaze", "eeg"):
        tap.on_event(StreamEvent(key, Change.OPENED, T0, "", SPECS[key]))
    data, times = signal("eeg", 3.0)
    for at in range(0, len(times), 500):
        tap.on_chunk(Chunk("gaze", at, np.zeros(4), times[at : at + 4]))  # not (n, 5)
        tap.on_chunk(Chunk("eeg", at, data[at : at + 500], times[at : at + 500]))
        tap.step()
    failures = [part for part in told if isinstance(part, Failure)]
    assert [failure.stage for failure in failures] == ["display"]
    assert "Eyes" in failures[0].error
    assert any(isinstance(part, EegPart) for part in told)


def test_nan_and_infinity_harm_nothing():
    told = []
    for key in ("eeg", "voice", "gaze"):
        data, times = signal(key, 4.0)
        data[::7] = np.nan
        data[::11] = np.inf
        data[len(data) // 2 :, 0] = np.nan
        told += tapped(key, data, times, 100)
    assert not [part for part in told if isinstance(part, Failure)]
    assert {EegPart, VoicePart, LogMelPart, GazePart, QualityPart} <= {type(part) for part in told}


def test_another_channel_s_spectrogram_comes_at_once():
    data, times = signal("eeg", 8.0)
    data[:, 2] += 100 * np.sin(2 * np.pi * 20 * (times - T0))
    told = []
    tap = Tap(told.append, CONFIG)
    tap.on_event(StreamEvent("eeg", Change.OPENED, T0, "", SPECS["eeg"]))
    tapped("eeg", data, times, 100, tap=tap, told=told)
    before = [part for part in told if isinstance(part, SpectrogramPart)]
    assert {part.ch_name for part in before} == {"OZ"}
    told.clear()
    tap.choose_spectrogram("NOT THERE")
    tap.step()
    assert told == []
    tap.choose_spectrogram("CZ")
    tap.step()
    (part,) = told
    assert part.ch_name == "CZ"
    assert part.restarts
    assert not any(p.restarts for p in before)
    assert len(part.times) == sum(len(p.times) for p in before)
    assert set(part.freqs[part.power_db.argmax(axis=1)]) == {20.0}
    np.testing.assert_allclose(part.times % 0.25, 0.0, atol=1e-9)


def test_another_look_shows_the_last_half_minute_as_if_it_had_been_so_from_the_start():
    data, times = signal("eeg", 12.0)
    half, gap = len(times) // 2, 1000
    told: list = []
    tap = Tap(told.append, CONFIG)
    tap.on_event(StreamEvent("eeg", Change.OPENED, T0, "", SPECS["eeg"]))
    tapped("eeg", data[:half], times[:half], 50, (gap,), tap, told)
    del told[:]
    tap.show_eeg_as(EegLook(1.0, 30.0, 50.0))
    tap.step()
    (anew,) = (part for part in told if isinstance(part, EegPart))
    tap.on_chunk(Chunk("eeg", half, data[half:], times[half:]))
    tap.step()
    got = joined(told)[EegPart]
    expected_of: list = []
    other = Tap(expected_of.append, CONFIG)
    other.on_event(StreamEvent("eeg", Change.OPENED, T0, "", SPECS["eeg"]))
    other.show_eeg_as(EegLook(1.0, 30.0, 50.0))
    expected = joined(tapped("eeg", data, times, 333, (gap,), other, expected_of))[EegPart]
    assert anew.look == "1-30 Hz, notch 50"
    np.testing.assert_array_equal(got["bins"], expected["bins"])
    np.testing.assert_allclose(got["high"], expected["high"], atol=0.05)  # kept in single precision
    store = ViewStore()
    store.take(GazePart(times, np.zeros((len(times), 2)), np.zeros((len(times), 2)), np.ones(len(times)), ""))
    for part in (*tapped("eeg", data[:half], times[:half], 50), anew):
        store.take(part)
    assert store.eeg.look == "1-30 Hz, notch 50"
    assert store.gaze.newest_time == times[-1]  # no jump back in time


def test_no_figure_in_microvolts_where_the_unit_is_unknown():
    data, times = signal("eeg", 6.0)
    told: list = []
    tap = Tap(told.append, CONFIG)
    spec = replace(SPECS["eeg"], units=("unscaled",) * 3)
    tap.on_event(StreamEvent("eeg", Change.OPENED, T0, "", spec))
    tapped("eeg", 1e4 * (data - 1e5), times, 100, (), tap, told)
    states = [channel for part in told if isinstance(part, QualityPart) for channel in part.channels]
    assert any(channel.state == "bad" and channel.reason for channel in states)
    assert not any("µV" in channel.reason for channel in states)


def test_predictions_travel_without_the_network_s_inputs():
    told = []
    tap = Tap(told.append, CONFIG)
    prediction = Prediction(
        index=4,
        t_end=1.0,
        label="a",
        probs={"a": 1.0},
        modality_attention={},
        channel_attention={},
        time_attention=(),
        present={},
        coverage={},
        waited_s=0.0,
        warm_up=False,
        normalisation="training",
        inputs=batch_of(1, CONFIG),
    )
    tap.on_prediction(prediction)
    tap.step()
    assert told[0].inputs is None
    assert told[0].t_end == prediction.t_end


def test_the_thread_ends_when_nobody_listens():
    def tell(news):
        raise BrokenPipeError

    tap = Tap(tell, CONFIG)
    tap.put("news")
    tap.start()
    tap._thread.join(timeout=5.0)
    assert not tap._thread.is_alive()
    tap.stop()


def test_what_cannot_be_sent_is_reported_once_and_the_rest_goes_on():
    told, is_told = [], threading.Event()

    def tell(news):
        if news == "odd":
            raise TypeError("cannot be packed")
        told.append(news)
        if news == "last":
            is_told.set()

    tap = Tap(tell, CONFIG)
    tap.start()
    for news in ("odd", "odd", "last"):
        tap.put(news)
    assert is_told.wait(5.0)
    tap.stop()
    (failure,) = [news for news in told if isinstance(news, Failure)]
    assert "cannot be packed" in failure.error
