"""Raster: drawing piece by piece equals drawing at once, strokes lie where they belong, gaps stay empty."""

import math

import numpy as np
import pytest

from app.view.raster import ColumnRing, HeatRaster, TraceRaster

BACK, INK, LOUD = 0xFF000000, 0xFFFFFFFF, 0xFFFF0000


def unrolled(ring):
    """Return the ring's image as it is shown."""
    return np.roll(ring.image, -(ring.end % ring.width), axis=1)


def traces(width=50, height=40, n=4, bins_per_column=1.7, units_per_row=10.0, categories=None, **more):
    return TraceRaster(
        width,
        height,
        bins_per_column=bins_per_column,
        units_per_row=units_per_row,
        categories=[0] * n if categories is None else categories,
        colours=(INK, LOUD),
        background=BACK,
        **{"rows": (0.0, float(n))} | more,
    )


def reader(low, high, known=None):
    """Read bins of two arrays as a history does: NaN outside, and from ``known`` on."""
    known = len(low) if known is None else known

    def read(first, end):
        answer = []
        for values in (low, high):
            out = np.full((end - first, values.shape[1]), np.nan, dtype=np.float32)
            a, b = max(first, 0), min(end, known)
            if a < b:
                out[a - first : b - first] = values[a:b]
            answer.append(out)
        return tuple(answer)

    return read


def noise(n_bins, n_channels, seed, gaps=()):
    rng = np.random.default_rng(seed)
    middle = rng.normal(0, 4, (n_bins, n_channels)).astype(np.float32)
    spread = rng.uniform(0, 3, (n_bins, n_channels)).astype(np.float32)
    for a, b in gaps:
        middle[a:b] = np.nan
    return middle - spread, middle + spread


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("bins_per_column", [0.31, 1.0, 1.7, 2.4])
def test_traces_drawn_piece_by_piece_equal_traces_drawn_at_once(seed, bins_per_column):
    rng = np.random.default_rng(seed)
    low, high = noise(400, 4, seed, gaps=[(90, 110), (200, 201)])
    piecewise = traces(bins_per_column=bins_per_column, categories=[0, 1, 0, 1])
    known = 0
    while known < 400:
        known = min(400, known + int(rng.integers(1, 30)))
        # The view may run ahead of the stream, or lag behind it.
        end = int(known / bins_per_column) + int(rng.integers(-1, 4))
        end = max(end, piecewise.ring.end)
        piecewise.update(end, known - 1, 0, reader(low, high, known))
        whole = traces(bins_per_column=bins_per_column, categories=[0, 1, 0, 1])
        whole.update(end, known - 1, 0, reader(low, high, known))
        np.testing.assert_array_equal(unrolled(piecewise.ring), unrolled(whole.ring))


def test_only_new_columns_are_drawn():
    low, high = noise(400, 4, 0)
    raster = traces(bins_per_column=1.0)
    assert raster.update(100, 99, 0, reader(low, high)) == 50
    assert raster.update(103, 102, 0, reader(low, high)) == 5  # the newest bin and its neighbour once more
    assert raster.update(103, 102, 0, reader(low, high)) == 0
    assert raster.update(103, 102, 1, reader(low, high)) == 50  # another channel set or a seek
    assert raster.update(90, 102, 1, reader(low, high)) == 50  # back in time


def test_a_stroke_lies_in_its_channel_s_row_at_its_value():
    low = np.zeros((50, 4), dtype=np.float32)
    high = np.zeros((50, 4), dtype=np.float32)
    high[:, 2] = 5.0  # half a row upwards
    raster = traces(bins_per_column=1.0)  # rows of 10 pixels
    raster.update(50, 49, 0, reader(low, high))
    inked = np.flatnonzero((unrolled(raster.ring) == INK).all(axis=1))
    assert inked.tolist() == [5, 15, 20, 21, 22, 23, 24, 25, 35]


def test_neighbouring_columns_are_joined_but_not_over_a_gap():
    step = np.zeros((50, 1), dtype=np.float32)
    step[25:] = 1.0
    raster = traces(height=41, n=1, bins_per_column=1.0, units_per_row=4.1)  # 10 pixels a unit
    raster.update(50, 49, 0, reader(step, step))
    per_column = (unrolled(raster.ring) == INK).sum(axis=0)
    assert per_column[25] == 11
    assert (np.delete(per_column, 25) == 1).all()
    step[20:25] = np.nan
    raster.update(50, 49, 1, reader(step, step))
    per_column = (unrolled(raster.ring) == INK).sum(axis=0)
    assert (per_column[20:25] == 0).all()
    assert per_column[25] == 1


def test_a_wild_channel_is_cut_off():
    flat = np.zeros((50, 40), dtype=np.float32)
    wild = flat.copy()
    wild[:, 20] = 1e9
    raster = traces(height=400, n=40, bins_per_column=1.0)
    raster.update(50, 49, 0, reader(flat, wild))
    columns = (unrolled(raster.ring) == INK).sum(axis=0)
    assert (columns == 39 + 6).all()  # the wild one keeps to its own row of ten pixels


def test_no_data_is_an_empty_image():
    raster = traces()
    raster.update(100, math.nan, 0, reader(np.zeros((0, 4)), np.zeros((0, 4))))
    assert (raster.ring.image == BACK).all()


def test_pieces_put_the_newest_column_at_the_right():
    ring = ColumnRing(10, 1, BACK)
    ring.put(
        *(lambda span: (span[0], np.arange(*span, dtype=np.uint32)[None]))(ring.advance(17, 16.0, 16, 0))
    )
    assert unrolled(ring)[0].tolist() == list(range(7, 17))
    assert ring.pieces() == [(7, 0, 3), (0, 3, 7)]


def heat(**more):
    options = {"column_s": 0.1, "hold_s": 0.5, "scale": (0.0, 10.0), "rows": (0.0, 4.0)} | more
    grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    return HeatRaster(40, 12, palette=grey, background=0xFF123456, **options)


def history(times, values, known):
    def read(t0, t1):
        chosen = (times >= t0) & (times < t1) & (times < known)
        return times[chosen], values[chosen]

    return read


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("step_s", [0.01, 0.25])
def test_heat_drawn_piece_by_piece_equals_heat_drawn_at_once(seed, step_s):
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.5, 1.5, int(12 / step_s)) * step_s)
    times[len(times) // 2 :] += 2.0
    values = rng.uniform(0, 10, (len(times), 4))
    piecewise, known = heat(), 0.0
    while known < 14:
        known += float(rng.uniform(0, 0.7))
        newest = times[times < known]
        if not len(newest):
            continue
        end = max(int(known / 0.1) + int(rng.integers(0, 3)), piecewise.ring.end)
        piecewise.update(end, float(newest[-1]), 0, history(times, values, known))
        whole = heat()
        whole.update(end, float(newest[-1]), 0, history(times, values, known))
        np.testing.assert_array_equal(unrolled(piecewise.ring), unrolled(whole.ring))


def test_heat_has_the_lowest_row_at_the_bottom_and_is_empty_after_the_hold():
    raster = heat(rows=(0.0, 2.0))
    times, values = np.array([1.05]), np.array([[0.0, 10.0]])
    raster.update(40, 1.05, 0, history(times, values, 9))
    shown = unrolled(raster.ring)
    assert (shown[:, :10] == 0xFF123456).all()
    assert (shown[:6, 10:15] == 0xFFFFFFFF).all()
    assert (shown[6:, 10:15] == 0xFF000000).all()
    assert (shown[:, 17:] == 0xFF123456).all()
