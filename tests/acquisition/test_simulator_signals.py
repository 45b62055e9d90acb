"""What the simulated devices deliver: known effects, and the same samples however they are asked for."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.signal import welch

from acquisition.montage import SEED_CH_NAMES
from acquisition.simulator.behaviour import Behaviour, Schedule
from acquisition.simulator.eeg import eeg_blocks, electrode_positions, emotion_maps
from acquisition.simulator.face import DrawnFace
from acquisition.simulator.gaze import gaze_blocks
from acquisition.simulator.source import BlockBuffer, signal_buffer
from acquisition.simulator.subject import EMOTIONS, SimulatedSubject
from acquisition.simulator.voice import voice_blocks


def person(seed: int, schedule: str, difficulty: str | float = "default") -> Behaviour:
    return Behaviour(SimulatedSubject(seed, difficulty), Schedule.parse(schedule))


@pytest.mark.parametrize("key", ["eeg", "gaze", "audio"])
def test_samples_do_not_depend_on_block_size_and_follow_the_seed(key):
    n = 3000
    at_once = signal_buffer(key, person(4, "random:2")).take(n)
    buffer = signal_buffer(key, person(4, "random:2"))
    sizes = itertools.cycle([1, 7, 64, 333])
    pieces: list[np.ndarray] = []
    while (done := sum(map(len, pieces))) < n:
        pieces.append(buffer.take(min(next(sizes), n - done)))
    np.testing.assert_array_equal(np.concatenate(pieces), at_once)
    other = signal_buffer(key, person(5, "random:2")).take(n)
    assert not np.array_equal(other, at_once, equal_nan=True)


def test_electrodes_lie_where_they_should():
    where = dict(zip(SEED_CH_NAMES, electrode_positions(SEED_CH_NAMES), strict=True))
    np.testing.assert_allclose([np.linalg.norm(p) for p in where.values()], 1.0)
    np.testing.assert_allclose(where["CZ"], (0, 0, 1), atol=1e-12)
    np.testing.assert_allclose(where["T8"], (1, 0, 0), atol=1e-12)
    np.testing.assert_allclose(where["FPZ"], (0, 1, 0), atol=1e-12)
    for left, right in (("F3", "F4"), ("PO5", "PO6"), ("CB1", "CB2"), ("FP1", "FP2")):
        np.testing.assert_allclose(where[left] * (-1, 1, 1), where[right], atol=1e-12)


def band_power_db(behaviour: Behaviour, low: float, high: float) -> np.ndarray:
    eeg = BlockBuffer(eeg_blocks(behaviour)).take(20_000)
    assert eeg.shape == (20_000, 62)
    frequencies, density = welch(eeg, fs=1000.0, nperseg=1000, axis=0)
    inside = (frequencies >= low) & (frequencies < high)
    return 10 * np.log10(density[inside].sum(axis=0))


def test_alpha_map_of_joy_against_sadness_has_the_populations_shape():
    # Strong effects, so that twenty seconds show what the population has in common.
    change = band_power_db(person(11, "happy:30", 4.0), 8, 13) - band_power_db(
        person(11, "sad:30", 4.0), 8, 13
    )
    maps = emotion_maps(electrode_positions(SEED_CH_NAMES))["alpha"]
    difference = 2.2 * maps["alpha_asymmetry"] - 1.0 * maps["posterior_alpha"]
    assert np.corrcoef(change, difference)[0, 1] > 0.6
    at = dict(zip(SEED_CH_NAMES, change, strict=True))
    assert at["F4"] - at["F3"] > 3.0


def test_eeg_looks_like_eeg():
    frequencies, density = welch(BlockBuffer(eeg_blocks(person(1, "neutral:30"))).take(30_000), 1000.0,
                                 nperseg=2000, axis=0)  # fmt: skip
    spectrum = np.median(density, axis=1)

    def level(f):
        return spectrum[np.argmin(np.abs(frequencies - f))]

    assert level(2) > level(6) > level(20) > level(40) > level(80)
    assert level(50) > 3 * level(53)  # line noise
    pz = density[:, SEED_CH_NAMES.index("PZ")]
    assert (
        pz[(frequencies >= 8) & (frequencies <= 13)].mean()
        > 2 * pz[(frequencies >= 15) & (frequencies < 20)].mean()
    )


def test_blinks_show_in_eeg_and_eye_tracker_together():
    behaviour = person(8, "random:10")
    eeg = BlockBuffer(eeg_blocks(behaviour)).take(40_000)
    gaze = BlockBuffer(gaze_blocks(behaviour)).take(2400)
    shut = np.flatnonzero(gaze[:, 4] == 0)
    assert 10 < len(shut) < 400
    assert np.isnan(gaze[shut, :4]).all()
    assert np.isfinite(gaze[gaze[:, 4] == 1]).all()
    front = eeg[:, SEED_CH_NAMES.index("FPZ")] - eeg[:, SEED_CH_NAMES.index("FCZ")]
    front = front[np.round(np.arange(2400) / 60 * 1000).astype(int)]
    assert np.median(front[shut]) > np.median(front[gaze[:, 4] == 1]) + 50.0


def test_pupil_grows_with_fear_and_shrinks_with_sadness():
    wide, narrow = (
        np.nanmean([BlockBuffer(gaze_blocks(person(s, f"{e}:60"))).take(1200)[:, 2] for s in range(6)])
        for e in ("fear", "sad")
    )
    assert wide > narrow + 0.3
    assert 2.0 < narrow < wide < 6.0


def median_pitch_hz(voice: np.ndarray) -> float:
    """The autocorrelation's highest peak in 60-500 Hz, median over loud frames."""
    frames = voice[: len(voice) // 800 * 800].reshape(-1, 800)
    frames = frames[frames.std(axis=1) > np.quantile(frames.std(axis=1), 0.6)]
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(800), 2048, axis=1)) ** 2
    correlation = np.fft.irfft(spectrum, axis=1)[:, 32:267]
    return float(np.median(16000.0 / (32 + correlation.argmax(axis=1))))


def test_pitch_and_energy_fall_with_sadness():
    happy, sad = (
        [BlockBuffer(voice_blocks(person(s, f"{e}:60"))).take(160_000)[:, 0] for s in range(6)]
        for e in ("happy", "sad")
    )
    assert np.median([median_pitch_hz(v) for v in happy]) > 1.1 * np.median([median_pitch_hz(v) for v in sad])
    assert np.mean([v.std() for v in happy]) > 1.2 * np.mean([v.std() for v in sad])
    assert max(np.abs(v).max() for v in happy + sad) < 1.0


def test_without_emotion_every_device_delivers_the_same_whatever_the_emotion():
    for key in ("eeg", "gaze", "audio"):
        happy, fear = (signal_buffer(key, person(3, f"{e}:20", "none")).take(2000) for e in ("happy", "fear"))
        np.testing.assert_array_equal(happy, fear)
    happy, fear = (DrawnFace(person(3, f"{e}:20", "none")).jpeg(2.0) for e in ("happy", "fear"))
    assert happy == fear


def test_face_is_found_in_almost_every_frame():
    cv2 = pytest.importorskip("cv2")
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    schedule = ",".join(f"{emotion}:10" for emotion in EMOTIONS)
    found = []
    for seed in range(12):
        face = DrawnFace(person(seed, schedule, "easy" if seed % 2 else "default"))
        for t in np.arange(2.0, 50.0, 4.9):
            picture = cv2.imdecode(np.frombuffer(face.jpeg(t), np.uint8), cv2.IMREAD_COLOR)
            assert picture.shape == (240, 320, 3)
            grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
            found.append(len(cascade.detectMultiScale(grey, 1.1, 4, minSize=(60, 60))) > 0)
    assert np.mean(found) >= 0.98


def test_mouth_corners_rise_with_joy():
    happy, sad = (np.mean([_corner_height(DrawnFace(person(s, f"{e}:20"))) for s in range(4)])
                  for e in ("happy", "sad"))  # fmt: skip
    assert happy > sad + 3.0


def _corner_height(face: DrawnFace) -> float:
    """How far the lip pixels at the sides lie above those in the middle."""
    picture = face.picture(8.0).astype(float)
    lips = np.array(face.look.lips, dtype=float)
    close = np.linalg.norm(picture - lips, axis=2) < 30
    close[:140] = close[190:] = False
    y, x = np.nonzero(close[:, 100:220])
    middle = np.median(x)
    return float(y[np.abs(x - middle) < 5].mean() - y[np.abs(x - middle) > 14].mean())
