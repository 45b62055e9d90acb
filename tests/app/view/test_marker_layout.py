"""Texts of markers: as much as fits, none upon another."""

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
        MarkerText(0, 0, 0, 40),
        MarkerText(1, 0, 40, 30),
    ]
