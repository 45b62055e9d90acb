"""Known faults of streams and of synthetic EEG are named with their figure, and states hold still."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from acquisition.quality import BAD, SUSPECT, AmplitudeWatch, QualityMeter, judge_stream
from acquisition.types import Chunk, Kind, StreamHealth, StreamSpec

SFREQ = 500.0
NAMES = ("CZ", "OZ")


def eeg(seconds, sfreq=SFREQ, n_channels=2, seed=0):
    """Pink noise of 10 µV rms with 20 µV of alpha: an electrode as it should be."""
    rng = np.random.default_rng(seed)
    n = round(seconds * sfreq)
    spectrum = np.fft.rfft(rng.normal(size=(n, n_channels)), axis=0)
    freqs = np.fft.rfftfreq(n, 1 / sfreq)
    spectrum *= (1 / np.sqrt(np.maximum(freqs, 0.5)))[:, None]
    pink = np.fft.irfft(spectrum, n, axis=0)
    pink *= 10 / pink.std()
    t = np.arange(n) / sfreq
    return pink + 20 * np.sin(2 * np.pi * 10 * t)[:, None]


def sine(hz, amplitude, seconds, sfreq=SFREQ):
    return amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * sfreq)) / sfreq)


def assessed(data, sfreq=SFREQ, names=NAMES, **options):
    """Feed everything second by second; return each second's answer."""
    meter = QualityMeter(names, sfreq, **options)
    answers = []
    n = round(sfreq)
    for second in range(len(data) // n):
        meter.push(data[second * n : (second + 1) * n])
        answers.append(meter.assess(100.0 + second + 1))
    return answers


@pytest.mark.parametrize("sfreq", [128.0, 250.0, 1000.0, 2000.0])
def test_clean_eeg_is_good_at_any_rate(sfreq):
    for answer in assessed(eeg(6, sfreq), sfreq):
        assert [channel.state for channel in answer] == ["good", "good"]
        assert all(channel.reason == "" and channel.score > 0.6 for channel in answer)


@pytest.mark.parametrize("line", [50.0, 60.0])
def test_mains_are_named_with_their_share_of_the_power(line):
    data = eeg(4)
    clean = data[:, 1]
    rest = np.var(clean)
    data[:, 0] = clean + sine(line, np.sqrt(2 * rest * 0.63 / 0.37), 4)  # 63 % of all power
    cz, oz = assessed(data)[-1]
    assert (cz.state, oz.state) == ("bad", "good")
    word, share, percent = cz.reason.split()
    assert (word, percent) == ("mains", "%")
    assert float(share) == pytest.approx(63, abs=6)  # power below 1 Hz is no part of the whole here
    assert cz.score < 0.2 < oz.score


def test_nothing_is_said_of_mains_above_what_the_rate_can_show():
    data = eeg(4, 80.0) + sine(30.0, 15.0, 4, 80.0)[:, None]  # 50 Hz would fold to 30
    assert all(channel.state == "good" for channel in assessed(data, 80.0)[-1])


@pytest.mark.parametrize(
    ("spoil", "state", "reason"),
    [
        (lambda x: np.full_like(x, 187500.0), "bad", "flat"),
        (lambda x: np.clip(x, -12.0, 12.0), "bad", "rails"),
        (lambda x: np.where(np.arange(len(x)) % 4 == 0, np.nan, x), "bad", "NaN 25 %"),
        (lambda x: np.where(np.arange(len(x)) == 10, np.inf, x), "good", ""),
        (lambda x: 0.005 * x, "suspect", "nearly flat"),
        (lambda x: x + 300.0 * np.arange(len(x)) / SFREQ, "suspect", "drift"),
        (lambda x: x + 5000.0 * np.arange(len(x)) / SFREQ, "bad", "drift"),
        (lambda x: x + 50 * np.random.default_rng(1).normal(size=len(x)), "suspect", "noise 2"),  # 25 µV
        (lambda x: x + 80 * np.random.default_rng(1).normal(size=len(x)), "bad", "noise 4"),  # 40 µV
        (lambda x: x + 300 * (np.arange(len(x)) // 300 % 2), "suspect", "pop"),
        (lambda x: x + sine(2.0, 400.0, 8), "suspect", "amplitude"),
        (lambda x: x + 1e12, "bad", "NaN 100 %"),
    ],
)
def test_each_fault_has_its_words(spoil, state, reason):
    data = eeg(8)
    data[:, 0] = spoil(data[:, 0])
    cz, oz = assessed(data)[-1]
    assert (cz.state, oz.state) == (state, "good")
    assert cz.reason.startswith(reason)
    assert 0.0 <= cz.score <= 1.0


def test_blinks_and_strong_alpha_are_no_fault():
    data = eeg(6)
    t = np.arange(len(data)) / SFREQ
    data[:, 0] += 200 * np.exp(-(((t % 3) - 1.5) ** 2) / (2 * 0.08**2)) + sine(10, 40, 6)
    assert all(channel.state == "good" for answer in assessed(data) for channel in answer)


def test_a_state_turns_worse_after_two_seconds_and_better_after_three():
    data = eeg(16)
    data[4 * 500 : 8 * 500, 0] = 7.0  # flat from second 4 to 8
    states = [answer[0].state for answer in assessed(data)]
    assert states[3] == "good"
    first_bad = states.index("bad")
    assert first_bad == 5  # two seconds of it have been seen
    first_good = states.index("good", first_bad)
    assert first_good - 8 in (2, 3, 4)  # the window must have left the fault, then three seconds
    assert set(states[first_bad:first_good]) <= {"bad", "suspect"}


def test_a_second_s_fault_changes_nothing():
    data = eeg(10)
    data[2000:2400, 0] = 7.0
    assert all(answer[0].state == "good" for answer in assessed(data))


def test_a_figure_about_a_threshold_does_not_flicker():
    rng = np.random.default_rng(3)
    data = eeg(40)
    level = np.repeat(rng.uniform(9.0, 11.0, 40), 500)
    data[:, 0] += level * 1.15 * rng.normal(size=len(data))  # noise about its threshold of 10 µV
    states = [answer[0].state for answer in assessed(data)]
    assert sum(a != b for a, b in pairwise(states)) <= 1


def test_the_answer_does_not_depend_on_how_the_samples_come():
    data = eeg(5)
    whole, pieces = QualityMeter(NAMES, SFREQ), QualityMeter(NAMES, SFREQ)
    whole.push(data)
    for at in range(0, len(data), 7):
        pieces.push(data[at : at + 7])
    assert whole.assess(105.0) == pieces.assess(105.0)


def test_what_lies_before_a_gap_does_not_count():
    data = eeg(4)
    data[:1000] += 5000.0
    meter = QualityMeter(NAMES, SFREQ)
    meter.push(data, breaks=(1000,))
    assert all(channel.state == "good" for channel in meter.assess(104.0))


def test_less_than_a_second_says_nothing():
    meter = QualityMeter(NAMES, SFREQ)
    meter.push(eeg(0.5))
    assert meter.assess(100.5) == ()


# --- streams ---

STREAM = StreamHealth(20_000, 1000.0, 0.01, 0.002, 5, False, True, n_missing=0, n_dropped=0)


@pytest.mark.parametrize(
    ("changes", "findings"),
    [
        ({}, []),
        ({"rate_hz": 930.0}, [("off rate", SUSPECT, -0.07)]),
        ({"rate_hz": 1500.0}, [("off rate", BAD, 0.5)]),
        ({"backlog": 2500, "n_missing": 5000}, [("losses", BAD, 0.2), ("behind", SUSPECT, 2.5)]),
        ({"n_dropped": 1000}, [("steps back", SUSPECT, 0.05)]),
        ({"late_s": 10.0}, [("late", BAD, 10.0)]),
        ({"offset_s": -1.7e9}, [("other clock", SUSPECT, 1.7e9)]),
        ({"n_samples": 0, "age_s": 0.8}, [("no sample yet", SUSPECT, 0.8)]),
        ({"is_stale": True, "age_s": 4.0, "rate_hz": 0.0}, [("silent", BAD, 4.0)]),
        ({"is_stale": True, "age_s": 4.0, "stands_still": True}, [("stands still", BAD, 4.0)]),
        ({"is_connected": False, "age_s": 4.0}, [("disconnected", BAD, 4.0)]),
    ],
)
def test_a_stream_is_judged_by_codes_with_figures_the_gravest_first(changes, findings):
    found = judge_stream(Kind.EEG, 1000.0, replace(STREAM, **changes))
    assert [(one.fault, one.severity, pytest.approx(one.figure)) for one in found] == findings


def test_markers_and_irregular_streams_have_no_rate_to_miss():
    quiet = replace(STREAM, n_samples=0, rate_hz=0.0)
    assert judge_stream(Kind.MARKERS, 0.0, quiet) == ()
    assert judge_stream(Kind.GAZE, 0.0, replace(STREAM, rate_hz=33.0)) == ()
    assert judge_stream(Kind.VIDEO, 15.0, replace(STREAM, rate_hz=12.0)) == ()  # a webcam in the dark


@pytest.mark.parametrize(("scale", "is_wrong"), [(1.0, False), (1e6, True), (1e-6, True)])
def test_a_few_seconds_of_eeg_tell_a_wrong_unit_once(scale: float, is_wrong: bool) -> None:
    watch = AmplitudeWatch(StreamSpec("e", "EEG", Kind.EEG, ("CZ",), ("µV",), 100.0))
    noise = np.random.default_rng(1).normal(0, 20.0 * scale, (3000, 1))
    said = [
        watch.take(Chunk("e", at, noise[at : at + 100], at / 100 + np.arange(100) / 100))
        for at in range(0, 3000, 100)
    ]
    assert [bool(sentence) for sentence in said] == [is_wrong and at == 5 for at in range(30)]


def test_channels_without_numbers_are_named_once():
    names = ("F3", "F4", "C3", "C4")
    x = np.random.default_rng(0).normal(0, 12, (1600, 4))
    x[:, 1] = np.nan
    x[::9, 2] = np.inf
    x[::20, 3] = np.nan
    watch = AmplitudeWatch(StreamSpec("e", "EEG", Kind.EEG, names, ("µV",) * 4, 250.0))
    starts = range(0, 1600, 100)
    chunks = [Chunk("e", 0, x[at : at + 100], np.arange(at, at + 100) / 250) for at in starts]
    (told,) = filter(None, map(watch.take, chunks))
    assert "F4, C3 (2 of 4" in told


def test_a_packet_counter_is_a_bad_electrode_and_named():
    n, rng = 1250, np.random.default_rng(0)
    x = np.stack([2.0 * (np.arange(n) % 127), 5 * rng.standard_normal(n)], axis=1)
    meter = QualityMeter(("FP1", "CZ"), 250.0)
    for second in range(5):
        meter.push(x[second * 250 : (second + 1) * 250])
        states = meter.assess(second + 1.0)
    assert [(channel.state, channel.cause) for channel in states] == [(BAD, "counter"), ("good", "")]
    spec = StreamSpec("e", "EEG", Kind.EEG, ("FP1", "CZ"), ("µV", "µV"), 250.0)
    said = AmplitudeWatch(spec).take(Chunk("e", 0, np.vstack([x, x]), np.arange(2 * n) / 250))
    assert said.startswith("FP1 counts packets")
