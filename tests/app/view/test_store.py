"""The view store takes a real run's news, survives what is odd, and follows a replay that is sought back."""

from __future__ import annotations

import math

import numpy as np
import pytest
from filled_store import filled_store, news

from acquisition.types import Change, Kind, StreamEvent, StreamSpec
from app.engine.messages import (
    EegPart,
    FramePart,
    GazePart,
    LogMelPart,
    Mark,
    Phase,
    QualityPart,
    SpectrogramPart,
    VoicePart,
)
from app.telemetry import Failure
from app.view.store import ViewStore
from models.prediction import Prediction


@pytest.fixture(scope="module")
def store():
    return filled_store()


def test_a_real_run_fills_every_history(store):
    start = store.timeline.first
    assert store.mode == "replay"
    assert store.model.labels
    assert store.phase == Phase("running")
    assert store.newest_time == pytest.approx(start + 20, abs=0.3)
    assert store.oldest_time == pytest.approx(start, abs=0.05)
    assert len(store.eeg.ch_names) == 62
    low, high = whole(store.eeg)
    assert len(low) == pytest.approx(19.75 * 125, abs=3)
    assert np.isfinite(low).all()
    assert (low <= high).all()
    rms, peak = store.voice.read(
        round(store.voice.oldest_time / store.voice.bin_s), store.voice.newest_bin + 1
    )
    assert (rms <= peak + 1e-4).all()
    times, gaze = store.gaze.read(start, start + 10)
    assert len(times) == pytest.approx(600, abs=2)
    assert gaze.shape[1] == 5
    assert store.pupil_unit == "mm"
    assert store.log_mel.read(start, start + 20)[1].shape[1] == 128
    assert store.spectrogram.n_columns == len(store.spectrogram_freqs)
    assert store.frames.at(start + 10).jpeg.startswith(b"\xff\xd8")
    assert store.predictions.newest.t_end <= store.newest_time + 0.25
    assert store.predictions.at(start + 10).t_end == pytest.approx(start + 10, abs=0.25)
    assert {channel.state for channel in store.quality.at(start + 10).channels} == {"good"}
    assert {state.state for state in store.streams.values()} == {"open"}
    assert store.stream_of(Kind.EEG).spec.name == "SimulatedEEG"
    assert store.stream_of(Kind.MARKERS).spec.is_simulated


def whole(history):
    """Return all that a history of bins keeps."""
    return history.read(round(history.oldest_time / history.bin_s), history.newest_bin + 1)


def begins(piece):
    """Return when a part's content begins, NaN where it has no time."""
    if isinstance(piece, EegPart | VoicePart):
        return piece.bins[0] * piece.bin_s
    if isinstance(piece, GazePart | LogMelPart | SpectrogramPart):
        return piece.times[0]
    return getattr(piece, "t_end", getattr(piece, "time", math.nan))


def test_seeking_back_voids_the_signals_after_it_and_shows_no_later_prediction():
    store = filled_store()
    start = store.timeline.first
    store.take(Mark(start + 15, "a marker", "Task"))
    target = start + 8  # what comes first lies before it
    for piece in news():
        if start + 3 <= begins(piece) < target and not isinstance(piece, Prediction | StreamEvent):
            store.take(piece)
    assert store.newest_time == pytest.approx(target, abs=0.3)
    assert store.oldest_time == pytest.approx(start, abs=0.05)
    signals = (store.eeg, store.voice, store.gaze, store.frames, store.log_mel, store.spectrogram)
    assert all(history.newest_time == pytest.approx(target, abs=0.5) for history in signals)
    low, _ = whole(store.eeg)
    assert np.isnan(low).mean() < 0.04  # a seam where the parts do not begin all at once
    assert store.markers.newest.time <= target
    assert store.quality.newest_time == pytest.approx(target, abs=1.0)
    known = store.predictions.at(start + 5)
    assert known.t_end == pytest.approx(start + 5, abs=0.25)  # still holds
    again = next(p for p in news() if isinstance(p, Prediction) and p.t_end >= target)
    store.take(again)
    assert store.predictions.newest.t_end == again.t_end
    assert store.predictions.at(start + 5) is known


def test_streams_go_through_their_states():
    store = ViewStore()
    spec = StreamSpec("k", "Cap <b>", Kind.EEG, ("CZ",), ("µV",), 250.0)
    store.take(StreamEvent("k", Change.OPENED, 1.0, "open", spec))
    store.take(StreamEvent("k", Change.WARNING, 2.0, "unscaled"))
    assert (store.streams["k"].state, store.streams["k"].since) == ("open", 1.0)
    assert store.streams["k"].message == "unscaled"
    store.take(StreamEvent("k", Change.STALE, 3.0, "no sample for 2 s"))
    assert (store.streams["k"].state, store.streams["k"].since) == ("stale", 3.0)
    store.take(StreamEvent("k", Change.BACK, 4.0, "data again"))
    assert store.stream_of(Kind.EEG).state == "open"
    store.take(StreamEvent("other", Change.REFUSED, 5.0, "Cap 2: Unix time"))
    assert store.streams["other"].state == "refused"
    store.take(StreamEvent("", Change.NOTICE, math.nan, "as it was recorded"))
    assert list(store.streams) == ["k", "other"]
    assert [severity for _, _, severity in store.events] == [
        "info",
        "warning",
        "warning",
        "info",
        "bad",
        "info",
    ]


def test_a_stream_in_a_better_state_stands_for_its_kind():
    store = ViewStore()
    for key, change in (("old", Change.ENDED), ("new", Change.OPENED)):
        spec = StreamSpec(key, key, Kind.AUDIO, ("audio",), ("1",), 16000.0)
        store.take(StreamEvent(key, Change.OPENED, 1.0, "", spec))
        store.take(StreamEvent(key, change, 2.0, "", spec if change is Change.OPENED else None))
    assert store.stream_of(Kind.AUDIO).spec.key == "new"


def test_odd_news_harms_nothing():
    store = ViewStore()
    store.take("unknown")
    nothing = np.empty((0, 1), np.float32)
    store.take(EegPart(("CZ",), "µV", 1 / 125, np.empty(0, np.int64), nothing, nothing))
    bad = np.full((2, 1), np.nan, np.float32)
    store.take(EegPart(("CZ",), "µV", 1 / 125, np.array([10, 11]), bad, bad))
    nan = np.full(2, np.nan, np.float32)
    store.take(VoicePart(0.02, np.array([5, 6]), nan, nan))
    two = np.full((2, 2), np.nan, np.float32)
    store.take(GazePart(np.array([np.nan, np.nan]), two, two, nan, "mm"))
    store.take(FramePart(math.nan, b""))
    store.take(QualityPart(math.nan, ()))
    store.take(Failure("decoding", "out of memory", 3.0))
    assert store.failures[-1].stage == "decoding"
    assert store.events[-1] == (3.0, "decoding: out of memory", "bad")
    assert len(store.gaze) == 0
    assert store.newest_time == pytest.approx(0.14)
