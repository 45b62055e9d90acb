"""Quality of trials from streams with known faults, and which trials are then left out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from acquisition.simulator.source import SimulatedSource, SimulatorOptions
from acquisition.types import Change, Chunk, Kind, StreamEvent, StreamSpec
from calibration.quality import QualityLog, TrialQuality, rejection, remarks, usable_modalities

SFREQ = 128.0
CH_NAMES = ("FZ", "CZ", "PZ", "OZ")
GAZE = ("gaze_x", "gaze_y", "pupil_left", "pupil_right", "validity")
START = 1000.25  # no whole second


def opened(kind: Kind, ch_names: tuple[str, ...], sfreq: float) -> StreamEvent:
    spec = StreamSpec(str(kind), str(kind), kind, ch_names, ("",) * len(ch_names), sfreq)
    return StreamEvent(str(kind), Change.OPENED, START, spec=spec)


def fed(log: QualityLog, kind: Kind, times, data, n_chunk: int) -> None:
    for at in range(0, len(times), n_chunk):
        log.on_chunk(Chunk(str(kind), at, data[at : at + n_chunk], times[at : at + n_chunk]))


def eeg(seconds: float = 30.0) -> tuple[np.ndarray, np.ndarray]:
    """Pink-ish noise of some 10 µV without mains."""
    times = START + np.arange(round(seconds * SFREQ)) / SFREQ
    noise = np.random.default_rng(0).normal(size=(len(times), len(CH_NAMES)))
    smooth = np.apply_along_axis(lambda x: np.convolve(x, np.hanning(16), "same"), 0, noise)
    return times, 5 * smooth


@pytest.mark.parametrize("n_chunk", [1, 37, 100_000])
def test_electrodes_that_are_flat_for_half_of_a_trial_are_named_whatever_the_chunks(n_chunk):
    times, data = eeg()
    data[(times >= 1010) & (times < 1020), 2] = 0.0
    log = QualityLog()
    log.on_event(opened(Kind.EEG, CH_NAMES, SFREQ))
    fed(log, Kind.EEG, times, data, n_chunk)
    found = log.of_trial(1, 1005.5, 1025.5)
    assert found.n_seconds == 19
    assert found.coverage == {"eeg": 1.0}
    assert found.ch_names == CH_NAMES
    # Seconds 1011 to 1022 of 19: worse after two seconds, better after three.
    assert found.bad_share[2] == pytest.approx(12 / 19, abs=2 / 19)
    assert found.bad_share[0] == found.bad_share[1] == found.bad_share[3] == 0.0
    assert found.reasons == ("", "", "flat", "")
    assert found.lost_electrodes == ("PZ",)
    assert rejection(found, ("eeg",)) == ""


def test_a_rate_that_is_not_stated_is_counted():
    times, data = eeg()
    data[:, 1] = 7.0
    log = QualityLog()
    log.on_event(opened(Kind.EEG, CH_NAMES, 0.0))
    fed(log, Kind.EEG, times, data, 50)
    assert log.of_trial(1, 1010, 1020).lost_electrodes == ("CZ",)


def test_a_gap_lowers_coverage_and_a_half_covered_trial_is_left_out():
    times, data = eeg()
    kept = (times < 1010) | (times >= 1022)
    log = QualityLog()
    log.on_event(opened(Kind.EEG, CH_NAMES, SFREQ))
    fed(log, Kind.EEG, times[kept], data[kept], 64)
    found = log.of_trial(3, 1005, 1025)
    assert found.coverage["eeg"] == pytest.approx(8 / 20)
    assert rejection(found, ("eeg", "eye")) == "EEG: data for only 40 % of the stimulus"


def test_a_stream_that_comes_back_keeps_what_was_known_of_it():
    times, data = eeg()
    log = QualityLog()
    for part in (times < 1015, times >= 1015):
        log.on_event(opened(Kind.EEG, CH_NAMES, SFREQ))
        fed(log, Kind.EEG, times[part], data[part], 64)
    assert log.of_trial(1, 1005, 1025).coverage["eeg"] > 0.94


def test_gaze_sound_and_faces_are_counted():
    log = QualityLog(finds_face=lambda frame: frame == b"face")
    for kind, names, sfreq in (
        (Kind.GAZE, GAZE, 60),
        (Kind.AUDIO, ("audio",), 8000),
        (Kind.VIDEO, ("f",), 4),
    ):
        log.on_event(opened(kind, names, sfreq))
    times = START + np.arange(600) / 60
    gaze = np.full((600, 5), 0.5)
    gaze[:, 4] = np.arange(600) % 4 != 0
    fed(log, Kind.GAZE, times, gaze, 17)
    times = START + np.arange(80_000) / 8000
    sound = 0.1 * np.sqrt(2) * np.sin(2 * np.pi * 440 * times)
    sound[(times >= 1003) & (times < 1003.01)] = 1.0
    fed(log, Kind.AUDIO, times, sound[:, None], 1000)
    times = START + np.arange(40) / 4
    frames = tuple(b"face" if t < 1006 else b"wall" for t in times)
    fed(log, Kind.VIDEO, times, frames, 3)
    log.finish()
    found = log.of_trial(1, 1001, 1009)
    assert found.gaze_valid == pytest.approx(0.75)
    assert found.voice_rms_db == pytest.approx(10 * np.log10((7.99 * 0.01 + 0.01) / 8), abs=0.01)
    assert found.voice_peak_db == 0.0
    assert found.voice_clipped == pytest.approx(1 / 8)
    assert found.face_found == pytest.approx(5 / 8)
    assert found.coverage == {"eye": 1.0, "voice": 1.0, "face": 1.0}
    assert usable_modalities(found) == ("eye", "face", "voice")
    assert remarks(found, ("voice",)) == ("microphone: clipped in 12 % of the seconds",)


def test_gaze_that_the_decoder_takes_for_invalid_is_invalid_in_a_trial():
    log = QualityLog()
    log.on_event(opened(Kind.GAZE, GAZE, 60))
    times = START + np.arange(600) / 60
    gaze = np.full((600, 5), 0.5)
    gaze[:, 4] = np.resize([0.3, 0.5], 600)
    fed(log, Kind.GAZE, times, gaze, 17)
    log.finish()
    assert log.of_trial(1, 1001, 1009).gaze_valid == pytest.approx(0.5)


def test_the_simulated_person_s_streams_carry_a_trial():
    options = SimulatorOptions()
    source = SimulatedSource(options, start=START, video_fps=1)
    log = QualityLog()
    for now in np.arange(START, START + 12, 0.5):
        for item in source.read(float(now)):
            log.on_chunk(item) if isinstance(item, Chunk) else log.on_event(item)
    found = log.of_trial(1, 1001, 1011)
    assert usable_modalities(found) == ("eeg", "eye", "face", "voice")
    assert found.face_found == 1.0
    assert rejection(found) == ""


def quality(**changes) -> TrialQuality:
    whole = dict.fromkeys(("eeg", "eye", "face", "voice"), 1.0)
    return TrialQuality(
        **{
            "trial": 1,
            "n_seconds": 20,
            "coverage": whole,
            "ch_names": CH_NAMES,
            "bad_share": (0.0,) * 4,
            "reasons": ("",) * 4,
            "gaze_valid": 0.9,
            "face_found": 0.9,
            "voice_rms_db": -30.0,
            "voice_peak_db": -6.0,
            "voice_clipped": 0.0,
            **changes,
        }
    )


def test_more_than_half_of_the_electrodes_must_be_lost_for_a_rejection():
    half = quality(bad_share=(1.0, 0.6, 0.5, 0.0), reasons=("mains", "mains", "pop", ""))
    assert rejection(half) == ""
    most = quality(bad_share=(1.0, 0.6, 0.51, 0.0), reasons=("mains", "mains", "pop", ""))
    assert rejection(most) == "EEG: 3 of 4 electrodes bad for more than half of the trial, mostly mains"
    assert "eeg" not in usable_modalities(most)
    assert rejection(most, ("eye", "face")) == ""


def test_without_eeg_a_trial_is_left_out_when_nothing_carries_it():
    poor = quality(gaze_valid=0.2, face_found=0.1)
    assert rejection(poor, ("eye", "face", "voice")) == ""
    assert rejection(poor, ("eye", "face")) == (
        "no usable modality; eye tracker: gaze valid in only 20 % of the samples; "
        "webcam: face found in only 10 % of the frames"
    )


def test_what_was_never_seen_is_not_called_usable():
    nothing = QualityLog().of_trial(1, 10.0, 50.0)
    assert usable_modalities(nothing) == ()
    assert math.isnan(nothing.face_found)
    assert rejection(nothing) == "EEG: data for only 0 % of the stimulus"
