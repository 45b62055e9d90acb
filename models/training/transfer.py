"""A network that has seen other people's labelled trials, adapted to a subject's own few.

The base is trained on all labelled trials of the other people, each session centred on its own level. It then
goes on for a few passes over the subject's own trials, held to where it began (L2-SP), so that ten trials
move it only as far as they can tell. What it is worth is measured on other people: some of them are left out
of a base in turn, adapted to in the same way, and tested. Nothing of the judged subject enters that.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from models.datasets.splits import by_session, folds_of_people
from models.datasets.trials import Trial
from models.training.evaluate_trials import joined
from models.training.evidence import SHARES
from models.training.finetune import Training
from models.training.finetune_config import FinetuneOptions, classifier_config
from models.training.finetune_tokens import TrialClassifier
from models.training.scores import LEAST_PROBABILITY, Predictions, per_trial, preferred_share

#: Labelled trials of a session that are the subject's own, and those to test on.
Split = Callable[[Sequence[Trial]], tuple[list[Trial], list[Trial]]]

#: Random encoders of one block, frozen: encoded once, a base takes seconds, and what reads them is trained.
BASE = FinetuneOptions(
    fusion="concat",
    freeze=True,
    n_layers=1,
    n_heads=1,
    dcca=False,
    detach_heads=False,
    own_level=True,
    eye_tails=0.01,
    least_shrinkage=0.8,
    fill=True,
    stop_early=False,
    few_epochs=2,
    max_windows_per_trial=3,
)


@dataclass(frozen=True)
class TransferOptions:
    """How bases are trained and adapted; chosen on generated sets that judge nothing."""

    base: FinetuneOptions = BASE
    adapt_epochs: int = 10
    adapt_windows_per_trial: int = 8
    adapt_rate: float = 3e-4
    pull: float = 30.0  # of L2-SP
    n_folds: int = 3  # of the other people, for the measure of what it is worth


#: Predictions by what is given of a window.
Answers = dict[str, Predictions]


class TransferBase:
    """A network trained on labelled trials of several people."""

    def __init__(self, others: Sequence[Trial], options: TransferOptions) -> None:
        self._options, base = options, options.base
        config = classifier_config(others, base, None, "labelled trials of other people")
        self._training = Training(config, others, base, None)
        self._training.train(base.few_epochs, _quietly)

    def adapted(self, own: Sequence[Trial]) -> TrialClassifier:
        """Return the network adapted to a subject's labelled trials of a session; the base without any."""
        if not own:
            return self._training.classifier()
        options = self._options
        how = replace(
            options.base,
            learning_rate=options.adapt_rate,
            max_windows_per_trial=options.adapt_windows_per_trial,
        )
        further = self._training.going_on(own, how, options.pull)
        further.train(options.adapt_epochs, _quietly)
        return further.classifier()


def _quietly(stage: str, share: float, loss: float) -> None:
    """Report nothing."""


#: A base of a subject's own session alone: passes are fixed, as few trials cannot choose them.
ALONE = TransferOptions(replace(BASE, few_epochs=20, max_windows_per_trial=8), adapt_epochs=0)


def transfer(
    others: Sequence[Trial],
    own: Sequence[Trial],
    test: Sequence[Trial],
    split: Split,
    given: Mapping[str, Sequence[str]],
    options: TransferOptions,
) -> tuple[Answers, Answers]:
    """Return the predictions for a subject's test trials, and for people left out of inner bases.

    ``others`` are all labelled trials of the other people; of one person alone nothing is held out. Each
    session of the ``test`` is adapted to by the subject's ``own`` labelled trials of it, which may be none.
    ``split`` parts a session of one of the others in the same way; each of the ``given`` sets of modalities
    is answered.
    """
    answers = answers_of(TransferBase(others, options), own, test, given)
    held_out = [
        answers_of(TransferBase(kept, options), own_part, test_part, given)
        for kept, own_part, test_part in inner_folds(others, split, options)
    ]
    names = held_out[0] if held_out else ()
    return answers, {name: joined([part[name] for part in held_out]) for name in names}


def inner_folds(
    others: Sequence[Trial], split: Split, options: TransferOptions
) -> Iterator[tuple[list[Trial], list[Trial], list[Trial]]]:
    """Yield for each fold of the other people those that train, and own and test trials of the rest."""
    folds = folds_of_people(others, options.n_folds, options.base.seed)
    for out in folds if len(folds) > 1 else ():
        own, test = list[Trial](), list[Trial]()
        for session in by_session([trial for trial in others if trial.subject in out]).values():
            own_part, test_part = split(session)
            own, test = own + own_part, test + test_part
        yield [trial for trial in others if trial.subject not in out], own, test


def answers_of(
    base: TransferBase, own: Sequence[Trial], test: Sequence[Trial], given: Mapping[str, Sequence[str]]
) -> Answers:
    """Return what a base says of test trials, adapted to each of their sessions."""
    labelled = by_session(own)
    found = [
        base.adapted(labelled.get(key, [])).predict_each(group, given)
        for key, group in by_session(test).items()
    ]
    return {name: joined([part[name] for part in found]) for name in found[0]}


def blended(one: Predictions, other: Predictions, weight: float) -> Predictions:
    """Return the normalised geometric mean of two classifiers on the same windows, ``weight`` the other's."""
    logs = [np.log(np.clip(each.probs, LEAST_PROBABILITY, 1.0)) for each in (one, other)]
    mixed = (1 - weight) * logs[0] + weight * logs[1]
    return replace(one, probs=softmax(mixed, axis=1))


def chosen_weight(reference: Predictions, network: Predictions) -> float:
    """Return the network's share of the answer, by the NLL per trial of other people, each counting alike."""

    def losses(said: Predictions) -> NDArray[np.float64]:
        trials = per_trial(said)
        probs = trials.probs[np.arange(len(trials.label)), trials.label]
        loss = -np.log(np.clip(probs, LEAST_PROBABILITY, 1.0))
        return np.array([loss[trials.subject == person].mean() for person in np.unique(trials.subject)])

    return preferred_share({weight: losses(blended(reference, network, weight)) for weight in SHARES})
