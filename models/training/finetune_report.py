"""How good a fine-tuned model is on trials it was not trained on, and the card that says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models.baselines import LdaClassifier
from models.datasets.splits import cross_validation
from models.datasets.trials import Trial, WindowSet, cut_windows
from models.training.evaluate_trials import conditions, held_modalities
from models.training.finetune import Finetuned, Progress, finetune, training_windows
from models.training.finetune_config import FinetuneOptions, PretrainedEncoders
from models.training.finetune_tokens import TrialClassifier
from models.training.scores import Predictions, Scores, per_trial, score, wilson_interval

#: Instead of a report, where a classifier was trained on: see `models.training.finetune_config`.
NO_FIGURES = "none: the classifier it began with may have been trained on any of these trials"


@dataclass(frozen=True, eq=False)
class Report:
    """Scores of one model, together and by modality."""

    protocol: str
    window: Scores
    trial: Scores
    interval: tuple[float, float]  # 95 %, of the accuracy per trial
    chance: float  # of the accuracy: the most frequent class of the tested trials
    extra: dict[str, Scores]  # per trial: modalities alone and removed, masked channels, other classifiers

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "protocol": self.protocol,
            "window": self.window.to_dict(),
            "trial": self.trial.to_dict(),
            "interval": list(self.interval),
            "chance": self.chance,
            "extra": {name: scores.to_dict() for name, scores in self.extra.items()},
        }

    def lines(self) -> list[str]:
        """Return the report in words, a line each."""
        trial, window = self.trial, self.window
        lines = [
            self.protocol,
            f"per trial:  {trial.accuracy:.1%} of {trial.n} (95 % {self.interval[0]:.0%} to "
            f"{self.interval[1]:.0%}; always the most frequent class {self.chance:.1%}), balanced "
            f"{trial.balanced_accuracy:.1%}, macro-F1 {trial.macro_f1:.2f}, NLL {trial.nll:.2f}, "
            f"ECE {trial.ece:.2f}",
            f"per window: {window.accuracy:.1%} of {window.n}, balanced {window.balanced_accuracy:.1%}, "
            f"macro-F1 {window.macro_f1:.2f}, NLL {window.nll:.2f}, ECE {window.ece:.2f}",
        ]
        return lines + [f"{name}: {s.accuracy:.1%} per trial" for name, s in self.extra.items()]


def report_on_test(model: TrialClassifier, test: Sequence[Trial], protocol: str, seed: int = 1) -> Report:
    """Return the scores on test trials, with each modality alone and with masked EEG channels."""
    extra: dict[str, Scores] = {}
    for one in conditions(held_modalities(model.config.modalities, test))[1:]:
        found = model.predict(test, one.modalities, mask=one.mask, seed=seed, same_channels=True)
        name = (
            f"{one.mask:.0%} of the EEG channels hidden, one draw for all windows" if one.mask else one.words
        )
        extra[name] = _trial_score(found)
    return _report(protocol, model.predict(test), extra)


def report_by_cross_validation(
    trials: Sequence[Trial],
    options: FinetuneOptions,
    pretrained: PretrainedEncoders | None,
    *,
    n_folds: int = 5,
    progress: Progress,
) -> Report:
    """Return the scores of models trained on the other folds' trials, beside the linear discriminant's."""
    folds = list(cross_validation(trials, n_folds, options.seed))
    parts, discriminant = [], []
    for number, (train, test) in enumerate(folds):

        def part(stage: str, share: float, loss: float, number: int = number) -> None:
            progress(f"fold {number + 1} of {len(folds)}", share if stage == "training" else 0.0, loss)

        parts.append(finetune(train, options, pretrained, progress=part).predict(test))
        discriminant.append(_discriminant(train, test, options))
    protocol = (
        f"cross-validation over {len(trials)} trials in {len(folds)} folds; no trial is in training and test"
    )
    extra = {"shrinkage LDA on the same folds": _trial_score(_joined(discriminant))}
    return _report(protocol, _joined(parts), extra)


def _discriminant(train: Sequence[Trial], test: Sequence[Trial], options: FinetuneOptions) -> Predictions:
    windows = [
        only(training_windows(train, options), options),
        only(cut_windows(test, options.n_steps), options),
    ]
    classifier = LdaClassifier(len(train[0].label_names), options.seed).fit(windows[0])
    return Predictions.of(classifier.predict_proba(windows[1]), windows[1])


def only(windows: WindowSet, options: FinetuneOptions) -> WindowSet:
    """Return the windows with the chosen modalities alone."""
    return replace(
        windows,
        eeg=windows.eeg if "eeg" in options.modalities else None,
        eye=windows.eye if "eye" in options.modalities else None,
    )


def _joined(parts: Sequence[Predictions]) -> Predictions:
    return Predictions(*(np.concatenate([getattr(p, name) for p in parts]) for name in vars(parts[0])))


def _report(protocol: str, predictions: Predictions, extra: dict[str, Scores]) -> Report:
    trial = _trial_score(predictions)
    counts = trial.confusion.sum(axis=1)
    return Report(
        protocol,
        score(predictions.probs, predictions.label),
        trial,
        wilson_interval(trial.accuracy, trial.n),
        float(counts.max() / counts.sum()),
        extra,
    )


def _trial_score(predictions: Predictions) -> Scores:
    trials = per_trial(predictions)
    return score(trials.probs, trials.label)


def finetuned_card(
    model: Finetuned, report: Report | None, command: str, generated: bool, quick: bool
) -> str:
    """Return the model card, Markdown."""
    config = model.config
    live = (
        "It runs live."
        if config.feature_origin == "raw"
        else "It reads features as published, which see the future: for tables only, `live` refuses it."
    )
    figures = "\n".join(f"- {line}" for line in report.lines()) if report else f"- {NO_FIGURES}"
    training = "\n".join(f"- {note}" for note in model.notes)
    marks = "".join(
        f"**{mark}**\n\n"
        for mark, there in (
            ("Generated data: nobody was measured.", generated),
            ("Made with --quick: few epochs and windows, no figure to quote.", quick),
            ("Transductive: pre-training saw test trials, without labels. Say so.", config.transductive),
        )
        if there
    )
    return f"""# Affectscope, fine-tuned: {", ".join(config.labels)}

{marks}Written by `{command}`. Data: {config.trained_on}. {live}

- **Inputs:** {" and ".join(config.modalities)}; {len(config.ch_names)} EEG channels known, windows of
  {config.windows.eeg_n_steps} steps, one every {config.step_s:g} s.
- **Fusion:** {config.network.fusion.variant}. **Outputs:** {", ".join(config.labels)}.

## Training
{training}

## Figures
{figures}

## Limits
It knows the people and the day it was trained on, and the classes it was given. A figure from few trials has
the wide interval that stands beside it. It tells what signals resemble, not what a person feels. Not for
workplace or education; people exposed must be informed. Licence of the weights: that of the data they were
trained on; of the program: GPL-3.0-or-later.
"""
