"""A network that has seen other subjects' labelled trials, adapted to a subject's own few.

The base is trained on all labelled trials of the others, each session about its own level. It then goes
on for a few passes over the subject's own trials, held to where it began (L2-SP), so that ten trials move it
only as far as they can tell. What it is worth is measured on others left out of a base in turn, adapted to in
the same way: nothing of the judged subject enters that.
"""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor, nn

from models.datasets.splits import by_session, folds_of_people
from models.datasets.trials import TRIAL_MODALITIES, Trial
from models.training.evaluate_trials import joined
from models.training.evidence import SHARES
from models.training.finetune import Training
from models.training.finetune_config import FinetuneOptions, classifier_config
from models.training.finetune_tokens import TrialClassifier
from models.training.scores import LEAST_PROBABILITY, Predictions, per_trial, preferred_share

#: Labelled trials of a session that are the subject's own, and those to test on.
Split = Callable[[Sequence[Trial]], tuple[list[Trial], list[Trial]]]
#: What a model says, by what is given of a window.
Answers = dict[str, Predictions]
#: What is given of a window, by the name of a row.
GIVEN = {"eeg": ("eeg",), "eye": ("eye",), "both": TRIAL_MODALITIES}
#: Random encoders of one block, frozen: encoded once, a base takes seconds, and what reads them is trained.
#: These and the next were chosen on generated sets that judge nothing.
BASE = FinetuneOptions(
    fusion="concat", freeze=True, n_layers=1, n_heads=1, dcca=False, detach_heads=False, own_level=True,
    eye_tails=0.01, least_shrinkage=0.8, fill=True, few_epochs=2, max_windows_per_trial=3,
)  # fmt: skip
ADAPTED = replace(BASE, learning_rate=3e-4, weight_decay=0.0, few_epochs=10, max_windows_per_trial=8)
PULL = 30.0  # towards the weights of the base
#: Of a subject's own session alone: passes are fixed, as few trials cannot choose them.
ALONE = replace(BASE, few_epochs=20, max_windows_per_trial=8)
_N_FOLDS = 3  # of the other subjects, for the measure of what it is worth


class Adapted(Training):
    """A training of a copy of a base's network on other trials, held to the base's weights.

    Its loss has ``pull`` times the squared distance to the weights it begins with (L2-SP; Li, Grandvalet and
    Davoine 2018), for a channel projection in the coordinates that it was trained in.
    """

    def __init__(
        self, base: Training, trials: Sequence[Trial], options: FinetuneOptions, pull: float
    ) -> None:
        vars(self).update(vars(base))
        self.network = deepcopy(base.network)
        self.levels = None if base.levels is None else base.levels.knowing(trials)
        self._options, self._rng = options, np.random.default_rng(options.seed)
        self._tensors = self._tensors_of(trials, options.seed, None)
        self._tokens = self._token_source(self._tensors)
        n_of = torch.bincount(self._tensors.label, minlength=len(self._config.labels))
        self.class_weights = len(self._tensors) / (n_of.clamp(min=1) * (n_of > 0).sum())
        self._pull, self._towards = pull, list[tuple[nn.Parameter, Tensor]]()

    def _loss(self, at: NDArray[np.intp]) -> Tensor:
        self._towards = self._towards or [(p, p.detach().clone()) for p in self._trainable()]
        loss = super()._loss(at)
        for parameter, start in self._towards:
            loss = loss + self._pull * (parameter - start).square().sum()
        return loss


def answers_of(
    train: Sequence[Trial],
    own: Sequence[Trial],
    test: Sequence[Trial],
    n_steps: int,
    base: FinetuneOptions = BASE,
    adapted: FinetuneOptions = ADAPTED,
    pull: float = PULL,
) -> Answers:
    """Return what a network of the trials that ``train`` says, adapted to each session's ``own``.

    Of a session without own trials the base answers, by a running level unless it knows the session.
    """
    base, adapted = replace(base, n_steps=n_steps), replace(adapted, n_steps=n_steps)
    config = classifier_config(train, base, None, "labelled trials of other subjects")
    first = Training(config, train, base, None)
    first.train(base.few_epochs)
    labelled, found = by_session(own), []
    for key, group in by_session(test).items():
        run = first
        if key in labelled:
            run = Adapted(first, labelled[key], adapted, pull)
            run.train(adapted.few_epochs)
        network = run.network.prepare_inference()
        classifier = TrialClassifier(config, network, run.normaliser, levels=run.levels)
        known = {name: wanted for name, wanted in GIVEN.items() if set(wanted) <= set(config.modalities)}
        heard = classifier.hear(group)
        found.append({name: heard.predict(wanted) for name, wanted in known.items()})
    return joined_answers(found)


def joined_answers(parts: Sequence[Answers]) -> Answers:
    """Return the answers for several parts of the data as one; none without a part."""
    return {name: joined([part[name] for part in parts]) for name in (parts[0] if parts else ())}


def inner_folds(
    others: Sequence[Trial], split: Split, n_folds: int = _N_FOLDS
) -> Iterator[tuple[list[Trial], list[Trial], list[Trial]]]:
    """Yield for each fold of the other subjects those that train, and own and test trials of the rest."""
    folds = folds_of_people(others, n_folds, BASE.seed)
    for out in folds if len(folds) > 1 else ():
        sessions = by_session([trial for trial in others if trial.subject in out]).values()
        own, test = ([t for part in parts for t in part] for parts in zip(*map(split, sessions), strict=True))
        yield [trial for trial in others if trial.subject not in out], own, test


def blended(one: Predictions, other: Predictions, weight: float) -> Predictions:
    """Return the normalised geometric mean of two classifiers on the same windows, ``weight`` the other's."""
    logs = [np.log(np.clip(each.probs, LEAST_PROBABILITY, 1.0)) for each in (one, other)]
    return replace(one, probs=softmax((1 - weight) * logs[0] + weight * logs[1], axis=1))


def chosen_weight(reference: Predictions, network: Predictions) -> float:
    """Return the network's share of the answer, by the NLL per trial of others, each subject alike."""

    def losses(said: Predictions) -> NDArray[np.float64]:
        trials = per_trial(said)
        probs = trials.probs[np.arange(len(trials.label)), trials.label]
        loss = -np.log(np.clip(probs, LEAST_PROBABILITY, 1.0))
        return np.array([loss[trials.subject == person].mean() for person in np.unique(trials.subject)])

    return preferred_share({weight: losses(blended(reference, network, weight)) for weight in SHARES})
