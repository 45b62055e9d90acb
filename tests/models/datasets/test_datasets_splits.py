"""Splits take trials and give trials."""

from __future__ import annotations

import numpy as np
from refused import refused

from acquisition.errors import ErrorCode
from models.datasets.splits import (
    coverage,
    cross_validation,
    first_trials,
    held_out,
    published_split,
)
from models.datasets.trials import Trial

FOUR = ("neutral", "sad", "fear", "happy")
SESSION_1 = (1, 2, 3, 0, 2, 0, 0, 1, 0, 1, 2, 1, 1, 1, 2, 3, 2, 2, 3, 3, 0, 3, 0, 3)


def trials_of(labels, subject="1", session=1, dataset="seed-iv", names=FOUR) -> list[Trial]:
    eeg, channels = np.zeros((3, 2, 5)), ("CZ", "PZ")
    return [
        Trial(dataset, subject, session, k, label, names, 4.0, eeg, None, channels, "raw", "f")
        for k, label in enumerate(labels, start=1)
    ]


def numbers(trials) -> list[int]:
    return [t.trial for t in trials]


def test_seed_iv_trains_on_sixteen_and_its_first_session_never_tests_sad():
    train, test = published_split(trials_of(SESSION_1))
    assert numbers(train) == list(range(1, 17))
    assert numbers(test) == list(range(17, 25))
    assert coverage(test).missing == ("sad",)
    assert "3 of 4 classes (no sad)" in coverage(test).words()


def test_seed_v_trains_on_nine():
    labels = [4, 1, 3, 2, 0] * 3
    train, test = published_split(trials_of(labels, dataset="seed-v", names=("a", "b", "c", "d", "e")))
    assert (len(train), len(test)) == (9, 6)


def test_published_split_keeps_its_share_of_a_shorter_generated_session():
    train, test = published_split(trials_of([0, 1, 2, 3] * 3))
    assert (len(train), len(test)) == (8, 4)


def test_split_of_a_real_session_is_not_moved_by_missing_trials():
    complete = trials_of(SESSION_1)
    assert numbers(published_split(complete, shortened=False)[0]) == list(range(1, 17))
    for lacking in ((24,), (5,), range(13, 25)):
        some = [trial for trial in complete if trial.trial not in lacking]
        error = refused(lambda some=some: published_split(some, shortened=False))
        assert (error.code, error.facts) == (ErrorCode.DATA, {"subject": "1", "session": 1})


def test_eav_split_takes_fourteen_of_twenty_trials_a_class():
    labels = [0, 1, 2, 3, 4] * 20
    train, test = published_split(trials_of(labels, dataset="eav", names=("n", "s", "a", "h", "c")))
    assert set(coverage(train).counts) == {14}
    assert set(coverage(test).counts) == {6}
    assert max(t.trial for t in train if t.label == 0) < min(t.trial for t in test if t.label == 0)


def test_first_trials_are_counted_in_every_session():
    both = trials_of(SESSION_1, session=1) + trials_of(SESSION_1, session=2)
    chosen = first_trials(both, 10)
    assert [(t.session, t.trial) for t in chosen] == [(s, k) for s in (1, 2) for k in range(1, 11)]


def test_fewer_trials_than_asked_for_are_refused_in_one_line():
    error = refused(lambda: first_trials(trials_of(SESSION_1), 30))
    assert error.code is ErrorCode.DATA
    assert str(error) == (
        "seed-iv, subject 1, session 1: expected at least 30 trials, found 24 (choose at most 24)"
    )
    assert refused(lambda: first_trials(trials_of(SESSION_1), 7, per_class=True)).code is ErrorCode.DATA


def test_at_most_takes_what_there_is():
    assert len(first_trials(trials_of(SESSION_1), 30, at_most=True)) == 24
    for labels, k, counts in ((SESSION_1, 6, (6, 6, 6, 6)), ([0, 1, 1, 1], 2, (1, 2, 0, 0))):
        chosen = first_trials(trials_of(labels), k, per_class=True, at_most=True)
        assert coverage(chosen).counts == counts


def test_trials_per_class_are_the_first():
    trials = trials_of(SESSION_1)
    assert coverage(first_trials(trials, 2, per_class=True)).counts == (2, 2, 2, 2)
    assert numbers(first_trials(trials, 1, per_class=True)) == [1, 2, 3, 4]


def test_a_class_missing_from_the_session_is_words_not_a_crash():
    chosen = first_trials(trials_of([0, 1, 0, 1]), 1, per_class=True)
    assert coverage(chosen).missing == ("fear", "happy")


def test_cross_validation_tests_every_trial_once():
    folds = list(cross_validation(trials_of(SESSION_1), 5))
    assert sorted(k for _, test in folds for k in numbers(test)) == list(range(1, 25))
    assert all(not set(numbers(train)) & set(numbers(test)) for train, test in folds)
    assert refused(lambda: list(cross_validation(trials_of([0, 1, 1])))).code is ErrorCode.DATA


def test_held_out_trials_cover_the_classes_and_leave_each_one_to_train():
    kept, out = held_out(published_split(trials_of(SESSION_1))[0])
    assert not set(numbers(kept)) & set(numbers(out))
    assert coverage(kept).missing == ()
    assert coverage(out).counts == (1, 1, 1, 1)
    kept, out = held_out(trials_of([0, 1, 0, 1, 2]))
    assert coverage(out).counts == (1, 1, 0, 0)  # the only trial of a class stays to be learnt


def test_no_side_of_a_split_may_be_empty():
    one_of_each = trials_of([0, 1], dataset="eav")
    assert refused(lambda: published_split(one_of_each)).code is ErrorCode.DATA
    assert refused(lambda: published_split(trials_of([0, 1], dataset="xdf"))).code is ErrorCode.DATA
