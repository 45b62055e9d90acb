"""The order of trials, and which comes next when some are repeated or given up."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest

from calibration.protocol import Agenda, can_be_arranged, make_order

FIVE = ("disgust", "fear", "sad", "neutral", "happy")


def has_twins(emotions) -> bool:
    return any(one == other for one, other in itertools.pairwise(emotions))


@pytest.mark.parametrize("n_classes", [2, 3, 4, 5])
def test_order_is_balanced_without_twins_and_ends_pleasantly(n_classes):
    classes = FIVE[-n_classes:]
    for seed, n_trials in itertools.product(range(40), range(2 * n_classes, 21)):
        order = make_order(classes, n_trials, seed, "happy")
        counts = Counter(order)
        assert len(order) == n_trials
        assert set(order) == set(classes)
        assert max(counts.values()) - min(counts.values()) <= 1
        assert not has_twins(order)
        assert order[-1] == "happy"


def test_order_holds_every_class_once_in_each_half():
    for seed in range(50):
        order = make_order(FIVE, 10, seed, "happy")
        assert set(order[:5]) == set(order[5:]) == set(FIVE)


def test_equal_seeds_give_equal_orders_and_others_differ():
    orders = [make_order(FIVE, 10, seed, "happy") for seed in range(30)]
    assert orders == [make_order(FIVE, 10, seed, "happy") for seed in range(30)]
    assert len(set(orders)) > 25


def test_order_without_a_pleasant_class_ends_anyhow():
    ends = {make_order(("fear", "sad"), 4, seed)[-1] for seed in range(30)}
    assert ends == {"fear", "sad"}


def test_can_be_arranged_agrees_with_trying_all_orders():
    rng = random.Random(0)
    for _ in range(400):
        emotions = [rng.choice("abc") for _ in range(rng.randint(0, 6))]
        before, closing = rng.choice(["", "a", "b"]), rng.choice(["", "a", "c"])
        found = not emotions or any(
            not has_twins([before, *order]) and (not closing or order[-1] == closing)
            for order in set(itertools.permutations(emotions))
        )
        assert can_be_arranged(Counter(emotions), before, closing) == found, (emotions, before, closing)


def taken(agenda: Agenda) -> list[int]:
    numbers = []
    while number := agenda.next():
        agenda.was_shown(agenda.emotion(number))
        numbers.append(number)
    return numbers


def test_agenda_follows_the_plan_where_nothing_happens():
    assert taken(Agenda(make_order(FIVE, 10, 1, "happy"), "happy")) == list(range(1, 11))


def test_a_repeat_comes_next_unless_it_has_the_same_emotion():
    agenda = Agenda(("sad", "fear", "neutral", "fear", "sad", "happy"), "happy")
    assert agenda.next() == 1
    agenda.was_shown("sad")
    assert agenda.next() == 2
    agenda.was_shown("fear")
    assert agenda.repeat(1) == 0
    assert agenda.repeat(2) == 0
    assert taken(agenda) == [1, 2, 3, 4, 5, 6]


def test_with_two_classes_a_repeat_takes_one_of_the_other_class_with_it():
    agenda = Agenda(("sad", "happy") * 3, "happy")
    for _ in range(3):
        agenda.was_shown(agenda.emotion(agenda.next()))
    assert agenda.repeat(1) == 2
    numbers = taken(agenda)
    emotions = [agenda.emotion(number) for number in numbers]
    assert sorted(numbers) == [1, 2, 4, 5, 6]
    assert not has_twins(["sad", *emotions])
    assert emotions[-1] == "happy"


@pytest.mark.parametrize("classes", [("sad", "happy"), ("fear", "sad", "happy"), FIVE, ("fear", "sad")])
def test_repeats_never_bring_twins_and_keep_the_end_pleasant(classes):
    for seed in range(150):
        rng = random.Random(seed)
        closing = "happy" if "happy" in classes else ""
        agenda = Agenda(make_order(classes, 2 * len(classes) + seed % 3, seed, closing), closing)
        shown, done, n_asked = [], set(), 0
        while number := agenda.next():
            shown.append(agenda.emotion(number))
            agenda.was_shown(shown[-1])
            done.add(number)
            while rng.random() < 0.3 and n_asked < 8 and (free := sorted(done - set(agenda.waiting))):
                agenda.repeat(rng.choice(free))
                n_asked += 1
        assert not has_twins(shown)
        assert not closing or shown[-1] == closing


def test_the_other_class_comes_once_more_where_none_of_it_was_done_yet():
    agenda = Agenda(("sad", "happy") * 2, "happy")
    agenda.was_shown(agenda.emotion(agenda.next()))
    assert agenda.repeat(1) in (2, 4)
    emotions = [agenda.emotion(number) for number in taken(agenda)]
    assert emotions == ["happy", "sad", "happy", "sad", "happy"]


def test_a_resumed_agenda_begins_with_the_first_trial_left():
    agenda = Agenda(("sad", "happy") * 3, "happy", over=(1, 2, 3), shown="sad")
    assert taken(agenda) == [4, 5, 6]


def test_twins_are_kept_apart_as_far_as_skipping_leaves_others():
    agenda = Agenda(("sad", "happy", "sad", "happy", "sad", "neutral"), "happy", over=(2, 4), shown="sad")
    assert [agenda.emotion(number) for number in taken(agenda)] == ["neutral", "sad", "sad", "sad"]
