"""Other subjects' labelled trials: what they teach, what own ones may change, and what is kept."""

from dataclasses import replace

import numpy as np
import pytest

from models.datasets.trials import Trial
from models.training.scores import Predictions
from tests.models.training.test_finetune_run import CH_NAMES, LABELS
from tests.studies.transfer import ADAPTED, BASE, answers_of, blended, chosen_weight, inner_folds

pytestmark = pytest.mark.slow  # of a study, not of what runs live

LONGER = replace(BASE, few_epochs=6)


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


def test_other_people_teach_what_a_new_subject_shows(others):
    own, test = halves(person("9"))
    found = answers_of(others, own, test, 3, LONGER)
    assert found["both"].trial_scores().accuracy == 1.0
    assert found["both"].subject.tolist() == ["9"] * 16
    assert found["eye"].trial_scores().accuracy < 0.9  # the eyes show nothing


def test_its_worth_is_measured_on_other_people_each_left_out_once(others):
    folds = list(inner_folds(others, halves, 2))
    tested = [(t.subject, t.trial) for _, _, test in folds for t in test]
    assert sorted(tested) == [(name, number) for name in "1234" for number in range(5, 9)]
    for train, own, test in folds:
        assert {t.subject for t in own} == {t.subject for t in test}
        assert not {t.subject for t in train} & {t.subject for t in test}
    assert not list(inner_folds(others[:8], halves))  # of one subject nothing is held out


def test_own_trials_move_the_network_no_further_than_they_are_let(others):
    own, test = halves(person("9", shown=-1.5))  # shows the opposite
    free = replace(ADAPTED, learning_rate=3e-3, few_epochs=30)
    found = {
        pull: answers_of(others, own, test, 3, LONGER, free, pull)["both"].trial_scores().accuracy
        for pull in (1e-4, 1e4)
    }
    assert found[1e4] == 0.0
    assert found[1e-4] > 0.5


def test_without_own_labels_the_base_answers_by_a_running_level(others):
    predictions = answers_of(others, [], person("9", n_trials=16), 3, LONGER)["both"]
    assert predictions.trial_scores().accuracy > 0.7


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
