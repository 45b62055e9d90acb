"""Which trials of another program's recording a profile is fitted to, and which classes are excluded."""

from __future__ import annotations

import pytest

from acquisition.errors import ErrorCode, InputError
from app.calibrate.offline import EventTrials
from calibration.types import TrialRecord

EVENTS = "1=left,2=right,3=idle"


def trials(classes: str) -> list[TrialRecord]:
    names = {"l": "left", "r": "right", "i": "idle"}
    return [TrialRecord(n, names[c], 10.0 * n, 10.0 * n + 4) for n, c in enumerate(classes, start=1)]


def test_the_first_ten_and_a_class_with_one_of_them_is_dropped():
    wanted = EventTrials(EVENTS, None, None, None)
    chosen, few = wanted.choose(trials("lrlrlrlrilrliri"))
    assert [trial.number for trial in chosen] == [1, 2, 3, 4, 5, 6, 7, 8, 10]
    assert few == {"idle": 1}


def test_so_many_of_each_class():
    chosen, few = EventTrials(EVENTS, 4.0, None, 2).choose(trials("lllrriirl"))
    assert [trial.number for trial in chosen] == [1, 2, 4, 5, 6, 7]
    assert few == {}


def test_both_counts_at_once_are_refused():
    with pytest.raises(InputError) as error:
        EventTrials(EVENTS, None, 10, 4)
    assert error.value.code is ErrorCode.OPTION
