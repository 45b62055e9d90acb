"""What the screen gets of EEG, voice and video, against answers that are known."""

from __future__ import annotations

import numpy as np
import pytest

from app.engine.display import EegDisplay, LogMelStream, Piece, RateGate, VideoDisplay, VoiceLevel, pack_frame
from app.engine.messages import EegLook
from models.features.config import FeatureConfig
from models.features.face import jpeg_size
from models.features.log_mel import FRAME, HOP, log_mel, resample


def bins_of(data, times, sfreq, breaks=()):
    display = EegDisplay(("CZ",), "µV", sfreq)
    return display.push(Piece(data[:, None], times, breaks))


def test_a_sine_fills_its_bins_between_lowest_and_highest():
    t = np.arange(0, 4, 1 / 1000)
    part = bins_of(50 * np.sin(2 * np.pi * 62.5 * t), t, 1000.0)  # half a period a bin
    np.testing.assert_array_equal(np.diff(part.bins), 1)
    assert part.bins[0] == 0
    span = (part.high - part.low)[125:]
    assert span.min() > 48
    assert span.max() < 52


@pytest.mark.parametrize("sfreq", [64.0, 100.0, 124.9, 125.0, 126.0, 250.0, 999.7])
def test_no_bin_is_missing_at_any_rate(sfreq):
    times = 12345.678 + np.arange(0, 20, 1 / sfreq)
    part = bins_of(np.sin(times), times, sfreq)
    np.testing.assert_array_equal(np.diff(part.bins), 1)
    assert part.bin_s == pytest.approx(max(1 / 125, 1 / sfreq))


def test_an_offset_of_100_mv_does_not_ring():
    t = np.arange(0, 10, 1 / 500)
    part = bins_of(1e5 + 20 * np.sin(2 * np.pi * 10 * t), t, 500.0)
    assert np.abs(part.high).max() < 45
    # what is left of the first second's start is gone after the filter's time constant
    assert abs(part.high[500:].max() - 20) < 1


def test_slow_drift_is_taken_out_and_alpha_stays():
    t = np.arange(0, 40, 1 / 250)
    part = bins_of(300 * np.sin(2 * np.pi * 0.02 * t), t, 250.0)
    assert np.abs(part.high[1250:]).max() < 3
    part = bins_of(50 * np.sin(2 * np.pi * 10 * t), t, 250.0)
    assert part.high[1250:].max() == pytest.approx(50, abs=2.5)  # a sample need not lie on the crest


def test_a_gap_leaves_its_bins_out_and_starts_the_filter_anew():
    t = np.arange(0, 4, 1 / 500)
    data = np.where(t < 2, 0.0, 5000.0)
    times = np.where(t < 2, t, t + 1.0)
    part = bins_of(data, times, 500.0, breaks=(1000,))
    missing = set(range(int(part.bins[0]), int(part.bins[-1]))) - set(part.bins.tolist())
    assert missing == set(range(250, 375))
    assert np.abs(part.high).max() < 1e-6


def test_missing_values_are_missing_and_do_not_stay_in_the_filter():
    t = np.arange(0, 4, 1 / 500)
    data = 20 * np.sin(2 * np.pi * 10 * t)
    data[750:1000] = np.nan
    data[1200] = np.inf
    part = bins_of(data, t, 500.0)
    assert np.isnan(part.low[190:248]).all()
    assert np.isfinite(part.low[260:]).all()
    assert np.abs(part.high[260:]).max() < 60


def looked_at(look, *hz, sfreq=250.0, n_channels=1):
    """Return the largest value of each sine after ten seconds, (len(hz),), and the words."""
    t = np.arange(0, 12, 1 / sfreq)
    found = []
    for each in hz:
        display = EegDisplay(tuple(f"E{i}" for i in range(n_channels)), "µV", sfreq, look)
        sine = 20 * np.sin(2 * np.pi * each * t)
        part = display.push(Piece(np.column_stack([sine, *([sine + 5.0] * (n_channels - 1))]), t))
        found.append(float(part.high[1250:, 0].max()))
    return found, part.look


def test_filters_for_the_screen_take_out_what_they_say():
    (alpha, mains, high), words = looked_at(EegLook(1.0, 45.0, 50.0), 10.0, 50.0, 90.0)
    assert words == "1-45 Hz, notch 50"
    assert alpha == pytest.approx(20, abs=0.5)
    assert mains < 0.2
    assert high < 1.5  # order 4, an octave above: 24 dB
    (alpha, mains), words = looked_at(EegLook(), 10.0, 50.0)
    assert words == "from 0.5 Hz"
    assert min(alpha, mains) > 19
    _, words = looked_at(EegLook(0.5, 70.0, 60.0), 10.0, sfreq=128.0)
    assert words == "from 0.5 Hz"  # neither fits below its Nyquist frequency


def test_the_average_takes_out_what_channels_share_and_leaves_out_bad_ones():
    (alpha,), words = looked_at(EegLook(is_average=True), 10.0, n_channels=4)
    assert words == "from 0.5 Hz, average of 4 channels"
    assert alpha < 0.1
    (alpha,), words = looked_at(EegLook(is_average=True, excluded=("E1", "E2", "E3")), 10.0, n_channels=4)
    assert words == "from 0.5 Hz, average of 1 channel"
    t = np.arange(0, 12, 1 / 250)
    display = EegDisplay(("A", "B", "BAD"), "µV", 250.0, EegLook(is_average=True, excluded=("BAD",)))
    wild = 1e4 * np.sin(2 * np.pi * 10 * t)
    part = display.push(Piece(np.column_stack([0 * t, 0 * t, wild]), t))
    assert np.abs(part.high[:, :2]).max() < 1e-6


def test_level_of_a_full_scale_sine_is_3_db_below_its_peak():
    t = np.arange(0, 1, 1 / 16000)
    part = VoiceLevel().push(Piece(np.sin(2 * np.pi * 1000 * t)[:, None], t))
    assert len(part.bins) == 49
    np.testing.assert_allclose(part.rms_db, -3.01, atol=0.01)
    np.testing.assert_allclose(part.peak_db, 0.0, atol=0.01)
    silent = VoiceLevel().push(Piece(np.zeros((1600, 1)), t[:1600]))
    assert set(silent.rms_db) == {-120.0}


@pytest.mark.parametrize("sfreq", [16000.0, 8000.0, 22050.0, 44100.0, 48000.0])
def test_log_mel_in_pieces_equals_that_of_the_whole(sfreq):
    rng = np.random.default_rng(0)
    n = round(2 * sfreq)
    wave = (0.2 * rng.normal(size=n)).astype(np.float32)
    times = 700.0 + np.arange(n) / sfreq
    expected = log_mel(resample(wave, sfreq)).numpy()
    stream = LogMelStream(sfreq, FeatureConfig())
    parts = [stream.push(Piece(wave[at : at + 331, None], times[at : at + 331])) for at in range(0, n, 331)]
    values = np.concatenate([part.values for part in parts if part is not None])
    centres = np.concatenate([part.times for part in parts if part is not None])
    assert len(values) >= len(expected) - 16
    np.testing.assert_allclose(values, expected[: len(values)], atol=5e-3)  # half precision
    np.testing.assert_allclose(
        centres, 700.0 + (np.arange(len(values)) * HOP + FRAME // 2) / 16000, atol=1e-4
    )


def test_no_log_mel_frame_spans_a_gap():
    n = 16000
    wave = np.concatenate([np.zeros(n), np.ones(n)])[:, None]  # a step, which any frame across it would show
    times = np.arange(2 * n) / n + np.where(np.arange(2 * n) < n, 0, 0.5)
    part = LogMelStream(16000.0, FeatureConfig()).push(Piece(wave, times, breaks=(n,)))
    assert len(np.unique(part.values)) == 1  # silence; a constant has its mean removed
    assert not ((part.times > 0.99) & (part.times < 1.5)).any()


def test_the_nominal_rate_is_kept_where_it_fits_and_replaced_where_not():
    times = np.arange(0, 3, 1 / 250)
    for nominal, expected in ((250.0, 250.0), (251.0, 251.0), (500.0, 250.0), (0.0, 250.0)):
        gate = RateGate(nominal)
        assert gate.pass_on(Piece(np.zeros((200, 1)), times[:200])) is None
        passed = gate.pass_on(Piece(np.zeros((300, 1)), times[200:500]))
        assert len(passed.times) == 500
        assert gate.sfreq == pytest.approx(expected)


def test_frames_are_at_most_640_wide_and_15_a_second():
    image = np.full((720, 1280, 3), 90, np.uint8)
    packed = pack_frame(image)
    assert jpeg_size(packed)[0] == 640
    assert pack_frame(packed) is packed  # small JPEG passes as it is
    assert pack_frame(b"\xff\xd8 broken") == b""
    assert pack_frame(b"") == b""
    display = VideoDisplay()
    shown = [part for k in range(60) for part in display.push([(k / 30, packed)])]
    assert len(shown) == 30  # half of a camera's 30
    assert len(display.push([(2 + k / 15, packed) for k in range(40)])) <= 4  # a replay faster than time
