"""Eye features on constructed gaze with known events, and on recordings with the tracker's own count."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from acquisition.errors import InputError
from models.features.config import FeatureConfig
from models.features.gaze import (
    EYE_FEATURES,
    ScreenGeometry,
    eye_features,
    gaze_positions,
    pupil_entropy,
)
from models.features.gaze_events import find_events, gaze_velocity, runs

CONFIG = FeatureConfig()
SCREEN = ScreenGeometry(53.0, 30.0, 60.0)
START = 7000.0
END = START + 10.0


def looking(sfreq: float, targets: list[tuple[float, float, float]], seconds: float = 10.0):
    """Return times and gaze (n, 5) that jump to (since, x, y) targets; pupils 3 and 4 mm."""
    times = START + np.arange(1, round(seconds * sfreq) + 1) / sfreq
    since, x, y = np.array(targets).T
    at = np.searchsorted(START + since, times, side="right") - 1
    n = len(times)
    return times, np.stack([x[at], y[at], np.full(n, 3.0), np.full(n, 4.0), np.ones(n)], axis=1)


def close_eyes(times: np.ndarray, gaze: np.ndarray, since: float, lasting: float) -> None:
    shut = (times >= START + since) & (times < START + since + lasting)
    gaze[shut, :4] = np.nan
    gaze[shut, 4] = 0.0


def named(times, gaze, t_end: float = END, config: FeatureConfig = CONFIG, screen=SCREEN) -> dict[str, float]:
    features = eye_features(times, gaze, t_end, config, screen)
    return dict(zip((row["name"] for row in EYE_FEATURES), features.tolist(), strict=True))


THREE_LOOKS = [(0.0, 0.3, 0.5), (7.0, 0.5, 0.5), (9.0, 0.8, 0.5)]


def test_there_are_33_named_features_with_units():
    assert len(EYE_FEATURES) == len({row["name"] for row in EYE_FEATURES}) == 33
    times, gaze = looking(60, THREE_LOOKS)
    thirty_one = eye_features(times, gaze, END, FeatureConfig(eye_features=31), SCREEN)
    assert thirty_one.dtype == np.float32
    assert np.array_equal(thirty_one, eye_features(times, gaze, END, CONFIG, SCREEN)[:31], equal_nan=True)


@pytest.mark.parametrize("sfreq", [60, 120, 300, 500])
def test_constructed_fixations_and_saccades_are_counted(sfreq):
    f = named(*looking(sfreq, THREE_LOOKS))
    assert f["fixation_rate"] == pytest.approx(0.3, rel=0.01)
    assert f["saccade_rate"] == pytest.approx(0.2, rel=0.01)
    assert f["fixation_duration_max"] == pytest.approx(7000, abs=60)
    # of the first fixation only the second inside the step counts: 1 s, 2 s, 1 s
    assert f["fixation_duration_mean"] == pytest.approx(4000 / 3, abs=60)
    assert f["saccade_latency_mean"] == pytest.approx(2000, abs=60)
    assert f["dispersion_x_mean"] == pytest.approx(0.0, abs=0.2)
    assert f["blink_rate"] == 0.0
    assert math.isnan(f["blink_duration_mean"])


def test_amplitude_is_in_degrees_with_a_screen_and_in_widths_without():
    times, gaze = looking(60, [(0.0, 0.5, 0.5), (8.0, 0.8, 0.5)])
    expected_deg = math.degrees(math.atan(0.3 * 53 / 60))
    assert named(times, gaze)["saccade_amplitude_mean"] == pytest.approx(expected_deg, rel=1e-4)
    assert named(times, gaze, screen=None)["saccade_amplitude_mean"] == pytest.approx(0.3, rel=1e-4)
    down, gaze = looking(60, [(0.0, 0.5, 0.5), (8.0, 0.5, 0.8)])
    assert named(down, gaze, screen=None)["saccade_amplitude_mean"] == pytest.approx(0.3 * 30 / 53, rel=1e-4)


def test_blinks_are_counted_and_a_long_loss_is_none():
    times, gaze = looking(120, [(0.0, 0.5, 0.5)])
    for since, lasting in [(1.0, 0.1), (4.0, 0.2), (7.5, 0.15), (8.5, 1.0)]:
        close_eyes(times, gaze, since, lasting)
    f = named(times, gaze)
    assert f["blink_rate"] == pytest.approx(0.3, rel=0.01)
    assert f["blink_duration_mean"] == pytest.approx(150, abs=10)
    assert f["blink_duration_sd"] == pytest.approx(41, abs=5)
    assert f["saccade_rate"] == 0.0


def test_a_blink_that_has_not_ended_is_not_counted_yet():
    times, gaze = looking(60, [(0.0, 0.5, 0.5)])
    close_eyes(times, gaze, 9.8, 1.0)
    assert named(times, gaze)["blink_rate"] == 0.0


def test_pupil_mean_and_sd_are_of_the_step_and_leave_out_losses():
    times, gaze = looking(60, [(0.0, 0.5, 0.5)])
    gaze[times <= START + 6, 2:4] = 9.0  # before the step
    gaze[times > START + 8, 2] = 5.0
    close_eyes(times, gaze, 6.5, 0.2)
    gaze[300, 2] = -1.0
    f = named(times, gaze)
    assert f["pupil_right_mean"] == 4.0
    assert f["pupil_right_sd"] == 0.0
    assert 4.0 < f["pupil_left_mean"] < 4.2
    assert f["pupil_left_sd"] == pytest.approx(1.0, abs=0.02)


def test_a_missing_eye_is_replaced_by_the_other():
    times, gaze = looking(60, [(0.0, 0.5, 0.5)])
    gaze[:, 3] = np.nan
    assert named(times, gaze)["pupil_right_mean"] == 3.0


@pytest.mark.parametrize(
    ("hz", "name", "share"),
    # A Hann window spreads a wave over three bins, 1/6, 2/3 and 1/6 of its power: some falls next door.
    [
        (0.1, "0_0.2", 2 / 3),
        (0.3, "0.2_0.4", 5 / 6),
        (0.5, "0.4_0.6", 5 / 6),
        (0.8, "0.6_1", 1),
        (0.9, "0.6_1", 1),
    ],
)
@pytest.mark.parametrize("sfreq", [30, 60, 300])
def test_pupil_wave_lands_in_its_band(hz, name, share, sfreq):
    times, gaze = looking(sfreq, [(0.0, 0.5, 0.5)])
    gaze[:, 2] += 0.4 * np.sin(2 * np.pi * hz * (times - START))
    f = named(times, gaze)
    expected = 0.5 * math.log(2 * math.pi * math.e * share * 0.4**2 / 2)
    assert f[f"pupil_left_de_{name}_hz"] == pytest.approx(expected, abs=0.03)
    assert f["pupil_right_de_0.2_0.4_hz"] == pytest.approx(
        0.5 * math.log(2 * math.pi * math.e * CONFIG.pupil_variance_floor), abs=1e-3
    )


def test_pupil_waves_survive_blinks_but_not_a_third_of_the_context():
    times, gaze = looking(60, [(0.0, 0.5, 0.5)])
    gaze[:, 2:4] += 0.3 * np.sin(2 * np.pi * 0.3 * times)[:, None]
    whole = pupil_entropy(times, gaze[:, 2:4], END, CONFIG)[0, 1]
    for since in (1.0, 4.2, 7.0):
        close_eyes(times, gaze, since, 0.25)
    assert pupil_entropy(times, gaze[:, 2:4], END, CONFIG)[0, 1] == pytest.approx(whole, abs=0.05)
    close_eyes(times, gaze, 2.0, 3.4)
    assert np.isnan(pupil_entropy(times, gaze[:, 2:4], END, CONFIG)).all()


def test_nothing_after_t_end_and_nothing_older_than_10_s_counts():
    times, gaze = looking(60, THREE_LOOKS, seconds=20.0)
    t_end = START + 12.0
    inside = (times > t_end - 10) & (times <= t_end)
    expected = eye_features(times[inside], gaze[inside], t_end, CONFIG, SCREEN)
    gaze[~inside] = 0.123
    assert np.array_equal(eye_features(times, gaze, t_end, CONFIG, SCREEN), expected, equal_nan=True)


def test_irregular_stamps_give_nearly_the_same_features():
    times, gaze = looking(120, THREE_LOOKS)
    rng = np.random.default_rng(0)
    kept = np.sort(rng.permutation(len(times))[: int(0.8 * len(times))])
    even, uneven = named(times, gaze), named(times[kept] + rng.uniform(0, 1e-3, len(kept)), gaze[kept])
    for name in ("fixation_rate", "saccade_rate", "fixation_duration_mean", "saccade_amplitude_mean"):
        assert uneven[name] == pytest.approx(even[name], rel=0.05), name


def test_lost_eyes_or_too_few_samples_give_nan_or_nothing_but_no_error():
    times, gaze = looking(60, THREE_LOOKS)
    close_eyes(times, gaze, -1.0, 12.0)
    f = named(times, gaze)
    assert math.isnan(f["pupil_left_mean"])
    assert f["fixation_rate"] == 0.0
    assert np.isnan(eye_features(times[-3:], gaze[-3:], END, CONFIG, SCREEN)).all()
    assert np.isnan(eye_features(times[:0], gaze[:0], END, CONFIG, SCREEN)).all()


def test_repeated_stamps_are_no_error():
    times, gaze = looking(60, THREE_LOOKS)
    times[100:103] = times[100]
    assert np.isfinite(named(times, gaze)["fixation_rate"])


def test_velocity_of_a_ramp_is_its_slope_and_unknown_beside_a_hole():
    times = START + np.arange(60) / 60
    positions = np.stack([6.0 * times, -2.0 * times], axis=1)
    assert gaze_velocity(times, positions, CONFIG) == pytest.approx(np.tile([6.0, -2.0], (60, 1)), abs=1e-6)
    positions[30] = np.nan
    assert np.flatnonzero(np.isnan(gaze_velocity(times, positions, CONFIG)[:, 0])).tolist() == [29, 30, 31]
    times[40:] += 1.0
    unknown = np.flatnonzero(np.isnan(gaze_velocity(times, positions, CONFIG)[:, 0]))
    assert unknown.tolist() == [29, 30, 31, 39, 40]


def test_runs_are_first_and_last():
    assert runs(np.array([1, 1, 0, 0, 1, 0, 1], dtype=bool)).tolist() == [[0, 1], [4, 4], [6, 6]]
    assert runs(np.zeros(3, dtype=bool)).shape == (0, 2)


def test_fixations_and_blinks_are_those_of_pymovements():
    from pymovements.events import blink, ivt

    rng = np.random.default_rng(0)
    for sfreq, threshold in [(60, 0.5), (250, 1.0), (1000, 2.0)] * 4:
        n = 4 * sfreq
        times = 1e5 + np.cumsum(rng.uniform(0.8, 1.2, n)) / sfreq
        lengths = rng.integers(1, sfreq // 4, n)  # of what is lost and seen by turns, up to 0.25 s
        lost = np.repeat(np.arange(n) % 2 == 0, lengths)[:n] ^ (rng.random(n) < 2 / sfreq)
        positions = 0.5 + 0.02 * np.cumsum(rng.standard_t(2, (n, 2)) / sfreq, axis=0)
        positions[lost] = np.nan
        ours = find_events(times, positions, lost, threshold, CONFIG)
        stamps = np.round((times - times[0]) * 1e6).astype(np.int64)
        velocities = gaze_velocity(times, positions, CONFIG)
        fixations = ivt(
            velocities,
            timesteps=stamps,
            minimum_duration=round(CONFIG.min_fixation_s * 1e6),
            velocity_threshold=threshold,
        )
        assert len(ours.fixations)
        assert np.array_equal(stamps[ours.fixations], fixations.frame.select("onset", "offset").to_numpy())
        blinks = blink(
            np.where(lost, np.nan, 1.0),
            timesteps=stamps,
            delta=math.inf,
            minimum_duration=round(CONFIG.min_blink_s * 1e6),
            maximum_duration=round(CONFIG.max_blink_s * 1e6),
            minimum_gap=1,
        ).frame.select("onset", "offset")
        expected = [b for b in blinks.to_numpy().tolist() if b[0] > 0 and b[1] < stamps[-1]]
        assert len(expected)
        assert stamps[ours.blinks].tolist() == expected


def test_impossible_screens_are_refused():
    with pytest.raises(InputError, match="screen geometry"):
        ScreenGeometry(53, 0, 60)


def test_eyelinks_own_events_are_found_again(real_data: Path):
    rows = [
        [float(v) if v != "." else math.nan for v in fields[:4]]
        for line in (real_data / "gaze" / "eyelink_binocular_500hz.asc").read_text().splitlines()
        if (fields := line.split()) and fields[0].isdigit()
    ]
    stamps, x, y, pupil = np.array(rows).T
    lost = ~(pupil > 0) | np.isnan(x)
    gaze = np.stack([x / 1919, y / 1079], axis=1)
    positions, unit_deg = gaze_positions(np.where(lost[:, None], np.nan, gaze), None)
    events = find_events(stamps / 1e3, positions, lost, CONFIG.saccade_velocity_deg_s / unit_deg, CONFIG)
    # The tracker counts 125 fixations and 14 blinks of the left eye, two of them shorter than 50 ms.
    assert len(events.fixations) == pytest.approx(125, rel=0.12)
    assert len(events.blinks) == 12


@pytest.mark.parametrize("name", ["1", "2", "3", "4", "5"])
def test_tobii_recordings_give_plausible_features(real_data: Path, name: str):
    table = np.genfromtxt(real_data / "gaze" / f"{name}.tsv", names=True)
    eyes = np.stack([[table[f"{eye}GazePos2d{axis}"] for axis in "xy"] for eye in "LR"])
    good = np.stack([table[f"{eye}Validity"] == 0 for eye in "LR"])
    pupils = np.where(good, np.stack([table["LPupilDm"], table["RPupilDm"]]), np.nan)
    n_good = good.sum(0)
    with np.errstate(invalid="ignore"):
        xy = np.where(good[:, None], eyes, 0.0).sum(0) / n_good
    gaze = np.concatenate([xy, pupils, (n_good > 0)[None]]).T
    times = table["Time"] * 1e-6
    f = named(times, gaze, times[-1], screen=ScreenGeometry(50.9, 28.6, 65.0))
    assert 2.0 < f["pupil_left_mean"] < 6.0
    assert 1.0 < f["fixation_rate"] < 5.0
    assert 60.0 <= f["fixation_duration_mean"] < 600.0
    assert 0.5 < f["saccade_amplitude_mean"] < 15.0
    assert math.isnan(f["pupil_left_de_0_0.2_hz"])  # 4 s hold no 0.1 Hz wave
