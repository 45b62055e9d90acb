"""Pictures of the head: values at electrodes, symmetry, missing electrodes, and MNE's own interpolation."""

from __future__ import annotations

import numpy as np
import pytest

from acquisition.montage import SEED_CH_NAMES, directions_from_mne, electrode_directions, unit_positions
from app.view.head_map import HeadMap, spline_weights


@pytest.fixture(scope="module")
def head():
    return HeadMap(SEED_CH_NAMES)


def inside(head):
    """Return which pixels lie in the head's circle."""
    n = len(head.square(np.ones(len(head.ch_names))))
    centres = (np.arange(n) + 0.5) * 2 / n - 1
    return np.hypot(centres[:, None], centres) <= 1


def image_of(head, values):
    """Return the picture with NaN outside the head."""
    return np.where(inside(head), head.square(values), np.nan)


def pixel_of(head, name):
    x, y = head.xy[head.ch_names.index(name)]
    n = len(inside(head))
    return int((1 - y) / 2 * n), int((x + 1) / 2 * n)


def test_the_table_of_positions_is_mne_s():
    mne = directions_from_mne("10-05")
    table = electrode_directions()
    assert list(table) == list(mne)
    assert max(np.abs(table[name] - mne[name]).max() for name in mne) < 2e-6


def test_all_62_electrodes_lie_in_the_head_with_the_nose_up(head):
    assert head.unplaced == ()
    assert (np.hypot(*head.xy.T) < 1).all()
    assert head.xy[SEED_CH_NAMES.index("FPZ"), 1] > 0.7
    assert head.xy[SEED_CH_NAMES.index("T8"), 0] > 0.7


def test_a_smooth_pattern_is_reproduced_at_the_electrodes_within_two_percent(head):
    x, y, z = unit_positions(SEED_CH_NAMES).T
    pattern = y + 0.5 * x * z
    positions = unit_positions(SEED_CH_NAMES)
    shown = spline_weights(positions, positions, 1e-7) @ pattern
    assert np.abs(shown - pattern).max() < 0.02 * np.ptp(pattern)
    # On the grid a pixel's centre lies up to half a pixel off.
    image = image_of(head, pattern)
    at = np.array([image[pixel_of(head, name)] for name in SEED_CH_NAMES])
    assert np.abs(at - pattern).max() < 0.06 * np.ptp(pattern)


def test_without_smoothing_any_values_are_reproduced():
    positions = unit_positions(SEED_CH_NAMES)
    assert np.abs(spline_weights(positions, positions, 0.0) - np.eye(62)).max() < 1e-6


def test_a_constant_stays_constant(head):
    image = image_of(head, np.full(62, 3.5))
    assert np.nanmax(np.abs(image - 3.5)) < 1e-3


def test_outside_the_head_is_nothing(head):
    image = image_of(head, np.ones(62))
    assert np.isnan(image[0, 0])
    assert (np.isfinite(image) == inside(head)).all()
    assert image.dtype == np.float32
    assert image.shape == (64, 64)


@pytest.mark.parametrize("name", ["T7", "C4", "OZ", "FPZ"])
def test_a_dipole_pattern_peaks_at_its_electrode(head, name):
    positions = unit_positions(SEED_CH_NAMES)
    centre = positions[SEED_CH_NAMES.index(name)]
    image = image_of(head, np.exp(-((positions - centre) ** 2).sum(axis=1) / 0.15))
    row, column = np.unravel_index(np.nanargmax(image), image.shape)
    x, y = (column + 0.5) * 2 / 64 - 1, 1 - (row + 0.5) * 2 / 64
    off = np.hypot(*(head.xy[SEED_CH_NAMES.index(name)] - (x, y)))
    assert off < 0.25 if name in ("FPZ", "T7", "OZ") else off < 0.07


def test_symmetric_values_give_a_symmetric_picture():
    """On positions mirrored exactly: the template head itself is symmetric to 2 degrees only."""
    left = unit_positions(["C3", "F3", "O1", "T7"])
    positions = np.r_[left, left * (-1, 1, 1), [[0, 0, 1]]]
    head = HeadMap(["C3", "F3", "O1", "T7", "C4", "F4", "O2", "T8", "CZ"], positions=positions)
    image = image_of(head, [1, 2, -1, 0.5, 1, 2, -1, 0.5, 0])
    assert np.nanmax(np.abs(image - image[:, ::-1])) < 1e-3


def test_an_electrode_without_a_value_is_filled_by_its_neighbours(head):
    pattern = unit_positions(SEED_CH_NAMES)[:, 1].copy()
    whole = image_of(head, pattern)
    pattern[SEED_CH_NAMES.index("C3")] = np.nan
    assert np.nanmax(np.abs(image_of(head, pattern) - whole)) < 0.05
    assert np.isnan(image_of(head, np.full(62, np.nan))).all()


def test_electrodes_without_a_position_are_named_and_left_out():
    head = HeadMap(["C3", "EMG1", "C4", "CZ", "PZ"])
    assert head.unplaced == ("EMG1",)
    assert np.nanmax(image_of(head, [1, 1e6, 1, 1, 1])) == pytest.approx(1, abs=1e-3)


def test_a_few_electrodes_are_enough():
    assert np.nanmax(image_of(HeadMap(["CZ"]), [2.0])) == pytest.approx(2)
    assert np.isfinite(image_of(HeadMap(["C3", "C4"]), [0.0, 1.0])[32, 32])
    assert np.isnan(image_of(HeadMap(["EMG"]), [1.0])).all()


def test_weights_are_those_of_mne():
    from mne.channels.interpolation import _make_interpolation_matrix

    sources = unit_positions(SEED_CH_NAMES)
    targets = unit_positions(["FFC1H", "CCP4H", "PPO2H", "FTT7H"])
    theirs = _make_interpolation_matrix(sources, targets, alpha=1e-5)
    assert np.abs(spline_weights(sources, targets, 1e-5) - theirs).max() < 1e-6
