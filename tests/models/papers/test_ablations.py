"""The rows of the ablation: each is one change against a row that is measured too."""

from dataclasses import asdict

import pytest

from models.papers import ablations
from models.papers.ablations import OWN, SESSIONS, TRANSFER


def changes(one, other):
    """Return the names of the settings in which two options differ."""
    first, second = (asdict(options) for options in (one, other))
    first, second = (values | values.pop("base", {}) for values in (first, second))
    return {name for name, value in first.items() if value != second[name]}


def test_a_row_of_transfer_changes_one_thing_or_says_two():
    reference, *others = TRANSFER.values()
    counts = {row: len(changes(options, reference)) for row, options in list(TRANSFER.items())[1:]}
    assert counts.pop("not filled, trained on 31-62 channels") == 2
    assert set(counts.values()) == {1}
    assert len(others) == 13


def test_each_row_is_held_against_one_of_as_many_trials():
    rows = {*TRANSFER, *OWN, *SESSIONS}
    assert set(ablations._AGAINST) == rows
    assert set(ablations._AGAINST.values()) <= rows
    for row, (options, n) in OWN.items():
        against, n_against = OWN[ablations._AGAINST[row]]
        assert n == n_against
        assert row == ablations._AGAINST[row] or changes(options, against)


def test_a_difference_is_paired_by_subject_and_masks_are_empty_where_not_tested():
    first, row = "transfer, as it is", "without own levels"
    subjects = [{first: (0.8, 0.7), row: (0.6, float("nan"))}, {first: (0.9, 0.9), row: (0.8, float("nan"))}]
    found = ablations._row(row, subjects)
    assert found["mean"] == pytest.approx(0.7)
    assert found["difference"] == pytest.approx(-0.15)
    assert found["interval"][0] < -0.15 < found["interval"][1]
    assert found["masked"] is None
    assert ablations._row(first, subjects)["masked"] == pytest.approx(0.8)
