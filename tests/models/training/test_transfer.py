"""Other people's labelled trials: what they teach, what a subject's own may change, and what is kept."""

from dataclasses import replace

import numpy as np
import pytest

from models.datasets.trials import Trial
from models.training.scores import Predictions
from models.training.transfer import (
    BASE,
    TransferBase,
    TransferOptions,
    blended,
    chosen_weight,
    folds_of_people,
    transfer,
)
from tests.models.training.test_finetune_run import CH_NAMES, LABELS

GIVEN = {"both": ("eeg", "eye"), "eye": ("eye",)}
OPTIONS = TransferOptions(base=replace(BASE, n_steps=3, few_epochs=6), n_folds=2)


def person(name, *, n_trials=8, session=1, shown=1.5):
    """Return a session: its own offset, far larger than the pattern that shows the label in all people."""
    rng = np.random.default_rng([int(name), session])
    offset, trials = 5 * rng.standard_normal((5, 5)), []
    pattern = np.random.default_rng(0).standard_normal((5, 5))
    for number in range(n_trials):
        sign = 1 if number % 2 else -1
        eeg = offset + sign * shown * pattern + rng.standard_normal((6, 5, 5))
        eye = rng.standard_normal((6, 31))
        trials.append(
            Trial(
                "seed-iv", name, session, number + 1, number % 2, LABELS, 4.0,
                eeg.astype(np.float32), eye.astype(np.float32), CH_NAMES, "published", "made here",
            )
        )  # fmt: skip
    return trials


def halves(trials):
    return list(trials[:4]), list(trials[4:])


@pytest.fixture(scope="module")
def others():
    return [trial for name in "1234" for trial in person(name)]


@pytest.fixture(scope="module")
def result(others):
    own, test = halves(person("9"))
    return transfer(others, own, test, halves, GIVEN, OPTIONS)


def test_other_people_teach_what_a_new_subject_shows(result):
    assert result[0]["both"].trial_scores().accuracy == 1.0
    assert result[0]["both"].subject.tolist() == ["9"] * 16


def test_its_worth_is_measured_on_the_other_people_each_tested_once(result):
    said = result[1]["both"]
    tested = set(zip(said.subject, said.trial, strict=True))
    assert tested == {(name, number) for name in "1234" for number in range(5, 9)}
    assert len(said.label) == 4 * 4 * 4
    assert said.trial_scores().accuracy > 0.9
    assert result[1]["eye"].trial_scores().accuracy < 0.9  # the eyes show nothing


def test_nothing_of_the_judged_subject_enters_that_measure(others, result):
    own, test = halves(person("8", shown=-1.5))
    again = transfer(others, own, test, halves, GIVEN, OPTIONS)
    assert np.array_equal(again[1]["both"].probs, result[1]["both"].probs)


def test_own_trials_move_the_network_no_further_than_they_are_let(others):
    base = TransferBase(others, OPTIONS)
    own, test = halves(person("9", shown=-1.5))  # shows the opposite
    free = replace(OPTIONS, pull=0.0001, adapt_rate=3e-3, adapt_epochs=30)
    held = replace(free, pull=1e4)
    found = {}
    for name, options in (("free", free), ("held", held)):
        base._options = options
        found[name] = base.adapted(own).predict(test).trial_scores().accuracy
    assert found["held"] == 0.0
    assert found["free"] > 0.5


def test_without_own_labels_the_base_answers_by_a_running_level(others):
    base = TransferBase(others, OPTIONS)
    predictions = base.adapted([]).predict(person("9", n_trials=16))
    assert predictions.trial_scores().accuracy > 0.7


def test_people_are_left_out_once_each():
    trials = [trial for name in "12345" for trial in person(name, n_trials=2)]
    folds = folds_of_people(trials, 3)
    assert sorted(name for fold in folds for name in fold) == list("12345")
    assert len(folds) == 3
    assert len(folds_of_people(trials, 9)) == 5


def said(right, n_people=6):
    """Return predictions of two trials a person, the true label at this probability, by trial."""
    probs = np.tile(np.asarray(right, float)[:, None], (n_people, 2))
    probs[:, 1] = 1 - probs[:, 0]
    n = len(probs)
    people = np.repeat([str(k) for k in range(n_people)], 2)
    return Predictions(probs, np.zeros(n, int), people, np.ones(n, int), np.tile([1, 2], n_people))


def test_the_network_is_kept_only_where_other_people_are_better_off():
    reference = said([0.9, 0.6])
    assert chosen_weight(reference, said([0.6, 0.55])) == 0.0
    assert chosen_weight(reference, said([0.95, 0.9])) == 1.0
    assert chosen_weight(reference, reference) == 0.0
    one_lucky = said([0.9, 0.6])
    one_lucky.probs[:2] = [[0.99, 0.01], [0.99, 0.01]]
    one_lucky.probs[2:4] = [[0.8, 0.2], [0.5, 0.5]]
    assert chosen_weight(reference, one_lucky) == 0.0  # within one standard error


def test_a_blend_is_the_normalised_geometric_mean():
    mixed = blended(said([0.9, 0.5], 1), said([0.5, 0.5], 1), 0.5)
    assert mixed.probs[0] == pytest.approx([0.75, 0.25])
    assert mixed.probs[1] == pytest.approx([0.5, 0.5])
