"""Texts of markers: as much as fits, none upon another."""

from itertools import pairwise

import pytest

from app.view.scales import MarkerText, marker_texts


def test_a_text_may_be_longer_than_the_way_to_the_next_marker():
    assert marker_texts([10, 30], [50, 50], 0, 200, 2) == [
        MarkerText(0, 0, 10, 50),
        MarkerText(1, 1, 30, 50),
    ]


def test_a_text_that_would_leave_the_plot_stands_before_its_line():
    assert marker_texts([180], [50], 0, 200, 1) == [MarkerText(0, 0, 130, 50)]


def test_without_a_free_row_a_text_is_cut_or_left_out():
    assert marker_texts([0, 30, 32], [40, 50, 50], 0, 70, 1) == [
        MarkerText(0, 0, 0, 30),
        MarkerText(1, 0, 30, 40),
    ]


def test_a_text_near_the_edge_is_cut_where_it_would_begin_at_another_line():
    assert marker_texts([150, 160], [50, 50], 0, 185, 2) == [
        MarkerText(0, 0, 100, 50),
        MarkerText(1, 0, 160, 25),
    ]


@pytest.mark.parametrize("n_rows", [1, 2, 3])
def test_every_text_touches_its_own_line_and_no_other_text(n_rows):
    places = [0, 4, 9, 30, 33, 60, 61, 62, 90, 95, 120, 150, 170, 190, 196]
    widths = [40.0 + 3 * (i % 5) for i in range(len(places))]
    found = marker_texts(places, widths, 0, 200, n_rows)
    assert len(found) > n_rows
    for text in found:
        assert places[text.index] in (text.left, text.left + text.width)
    for row in range(n_rows):
        texts = sorted(t for t in ((f.left, f.left + f.width) for f in found if f.row == row))
        assert all(end <= start for (_, end), (start, _) in pairwise(texts))
