"""Trains a classifier on labelled trials, from pre-trained encoders or from scratch.

The MMV-SSTMA paper, section 2.2: encoders' features are fused, a linear layer classifies, and cross-entropy
and 0.1 times the correlation loss of DCCA train all of it. What the paper leaves open: how tokens of channels
become features (here by a weight for each channel, initialised by a shrinkage discriminant of the
training windows ends: `models.training.finetune_tokens`); the encoders train too unless ``freeze`` is set;
training stops by the NLL of training trials held out for it, then starts again on all training trials for as
many epochs; the temperature is fitted to the held-out trials as well. No test trial has any part in this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from acquisition.types import MODALITIES
from models.config import ModelConfig
from models.datasets.splits import coverage, held_out
from models.datasets.trials import Trial, WindowSet, cut_windows
from models.dcca import DCCA_WEIGHT, DccaLoss
from models.network import FusionNetwork
from models.normalise import Normaliser
from models.process import keep_freed_memory
from models.training.finetune_config import (
    FinetuneOptions,
    PretrainedEncoders,
    classifier_config,
    read_modalities,
)
from models.training.finetune_tokens import (
    FrozenTokens,
    Tokens,
    TrialClassifier,
    fit_center,
    fit_norms,
    has_weights,
    move_center,
    projection_of,
    trained_modules,
    whitened,
)
from models.training.loop import Progress, train_steps
from models.training.scores import best_temperature
from models.training.trial_tensors import TrialTensors, cut_for, fit_normaliser

_TEMPERATURES = torch.logspace(-0.5, 1.0, 31)
MIN_TRIALS_TO_STOP_EARLY = 12  # fewer training trials are all needed for training


@dataclass(frozen=True, eq=False)
class Finetuned(TrialClassifier):
    """A classifier and notes on its training."""

    epochs: int
    temperature: float
    notes: tuple[str, ...]  # sentences for the model card and the table


def finetune(
    trials: Sequence[Trial],
    options: FinetuneOptions,
    pretrained: PretrainedEncoders | None = None,
    *,
    trained_on: str = "",
    is_simulated: bool = False,
    progress: Progress = lambda stage, share, loss: None,
) -> Finetuned:
    """Train a classifier on these trials, which must hold no test trial.

    They are of one data set and one kind of features, usually of one subject and session. Without
    pre-trained encoders all weights are initialised at random. ``trained_on``, in words, and
    ``is_simulated`` (the trials are simulated or generated) go into the config.

    Raises `InputError` if the trials do not fit each other or the pre-trained model.
    """
    keep_freed_memory()
    config = classifier_config(trials, options, pretrained, trained_on, is_simulated=is_simulated)
    notes = [f"trained on {coverage(trials).words()}"]
    kept, out = held_out(trials, seed=options.seed)
    epochs, temperature = options.few_epochs, 1.0
    enough = options.max_windows is None and len(trials) >= MIN_TRIALS_TO_STOP_EARLY
    if options.stop_early and enough and len({t.label for t in out}) > 1:
        first = _Run(config, kept, options, pretrained)
        epochs, temperature = first.train_until_worse(out, progress)
        notes.append(
            f"early-stopped after {epochs} epochs on {len(out)} held-out training trials, then retrained on "
            f"all {len(trials)}; temperature {temperature:.2f} fitted on the held-out trials"
        )
        if temperature >= float(_TEMPERATURES[-1]):
            notes.append(
                "that temperature is the highest tried: probabilities are nearly uniform and carry little "
                "information"
            )
    else:
        why = "too few trials to hold some out" if options.stop_early else "no early stopping requested"
        notes.append(f"{why}: fixed at {epochs} epochs, no temperature scaling")
    run = _Run(config, trials, options, pretrained)
    run.train(epochs, progress)
    run.network.fusion.divide_logits(temperature)
    how = "pre-trained model" if options.normalisation == "keep" and pretrained else "training trials"
    notes.append(f"normalised with the statistics of the {how}")
    if new := run.whitened_modalities():
        notes.append(
            f"the channel projection of {' and '.join(new)} was initialised as a shrinkage discriminant "
            "of training windows"
        )
    return Finetuned(
        config, run.network.prepare_inference(), run.normaliser, epochs, temperature, tuple(notes)
    )


class _Run:
    """One training of one network."""

    def __init__(
        self,
        config: ModelConfig,
        trials: Sequence[Trial],
        options: FinetuneOptions,
        pretrained: PretrainedEncoders | None,
    ) -> None:
        self._config, self._options = config, options
        known = None if pretrained is None else Normaliser.from_dict(pretrained.normaliser)
        if options.normalisation == "keep" and known is not None:
            self.normaliser = known
        else:
            self.normaliser = fit_normaliser(trials, config, known)
        self._is_new = pretrained is None
        self._read = () if pretrained is None else read_modalities(pretrained.config)
        self._rng = np.random.default_rng(options.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            self.network = FusionNetwork(config)
            self._dcca = None
            if options.dcca and len(config.modalities) > 1:
                self._dcca = DccaLoss(config.network.fusion.d_model, config.modalities)
        if pretrained is not None:
            self.network.load_state_dict(dict(pretrained.weights), strict=False)
        self._tensors = self._tensors_of(trials, options.seed)
        self._tokens = self._token_source(self._tensors)

    def _tensors_of(self, trials: Sequence[Trial], seed: int) -> TrialTensors:
        windows = training_windows(trials, self._options, self._config)
        names, mask = trials[0].ch_names, self._options.mask
        return TrialTensors(windows, names, self._config, self.normaliser, mask=mask, seed=seed)

    def _token_source(self, tensors: TrialTensors) -> Tokens:
        return (FrozenTokens if self._options.freeze else Tokens)(self.network, tensors)

    def _trainable(self) -> list[nn.Parameter]:
        modules = trained_modules(self.network, self._config.modalities, encoders=not self._options.freeze)
        if self._dcca is not None:
            modules.append(self._dcca)
        return [parameter for module in modules for parameter in module.parameters()]

    def whitened_modalities(self) -> list[str]:
        """Return the modalities whose channel projections are new and made of weights."""
        return [m for m in self._config.modalities if m not in self._read and has_weights(self.network, m)]

    def _encoded(self) -> dict[str, Tensor]:
        """Return the encoders' tokens of the modalities whose channel projections are to be whitened."""
        new = self.whitened_modalities()
        if not new:
            return {}
        if self._is_new:
            fit_norms(self.network, self._tensors)
        encoded = self._tokens.encoded()
        return {modality: encoded[modality] for modality in new}

    @contextmanager
    def _training(self) -> Iterator[None]:
        """Seed what is random, whiten new projections and make an optimiser of what then trains."""
        with ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng(devices=[]))
            torch.manual_seed(self._options.seed)
            for modality, encoded in self._encoded().items():
                fitted = fit_center(self.network, modality, encoded, self._tensors)
                stack.enter_context(whitened(projection_of(self.network, modality), *fitted))
            self._optimiser = torch.optim.AdamW(
                self._trainable(), self._options.learning_rate, weight_decay=self._options.weight_decay
            )
            yield

    def train(self, epochs: int, progress: Progress) -> None:
        """Train for so many epochs."""
        with self._training():
            for epoch in range(epochs):
                loss = self._epoch()
                progress("training", (epoch + 1) / epochs, loss)
        if not self._options.freeze:  # the encoders have moved on
            for modality, encoded in self._tokens.encoded().items():
                if has_weights(self.network, modality):
                    move_center(self.network, modality, encoded, self._tensors)

    def train_until_worse(self, out: Sequence[Trial], progress: Progress) -> tuple[int, float]:
        """Return the epoch (from 1) and the temperature of least NLL on held-out trials."""
        tensors = self._tensors_of(out, self._options.seed + 1)
        source = self._token_source(tensors)
        best, best_epoch, temperature = float("inf"), 1, 1.0
        with self._training():
            for epoch in range(1, self._options.epochs + 1):
                loss = self._epoch()
                nll, at = best_temperature(self._nll(source), _TEMPERATURES)
                if nll < best:
                    best, best_epoch, temperature = nll, epoch, at
                progress("stopping", epoch / self._options.epochs, loss)
                if epoch - best_epoch >= self._options.patience:
                    break
        progress("stopping", 1.0, best)
        return best_epoch, temperature

    def _epoch(self) -> float:
        """Run once over the windows in batches and return the mean loss."""
        self.network.train()
        order = self._rng.permutation(len(self._tensors))
        n_batches = max(1, round(len(order) / self._options.batch_size))
        batches = np.array_split(order, n_batches)
        steps = train_steps(self._optimiser, batches, self._loss, clipped=self._trainable())
        return float(np.mean([loss.item() for loss in steps]))

    def _loss(self, at: NDArray[np.intp]) -> Tensor:
        label = self._tensors.label[at]
        tokens, present = self._tokens(at)
        logits, _ = self.network.fusion(tokens, self._thinned(present))
        loss = nn.functional.cross_entropy(logits, label)
        # The heads of single modalities read tokens without changing them.
        for modality in self._config.modalities if len(self._config.modalities) > 1 else ():
            own = self.network.heads[modality](tokens[:, MODALITIES.index(modality)].detach())
            loss = loss + nn.functional.cross_entropy(own, label)
        if self._dcca is not None:
            loss = loss + DCCA_WEIGHT * self._dcca(tokens, present)
        return loss

    def _thinned(self, present: Tensor) -> Tensor:
        """Return presence (B, 4) with some modalities dropped, never a window's last."""
        if len(self._config.modalities) < 2 or self._options.p_drop_modality <= 0:
            return present
        dropped = torch.from_numpy(self._rng.random(tuple(present.shape)) < self._options.p_drop_modality)
        kept = present & ~dropped
        return torch.where(kept.any(dim=1, keepdim=True), kept, present)

    def _nll(self, source: Tokens) -> Callable[[Tensor], Tensor]:
        """Return the mean negative log-likelihood of all windows as a function of the temperature."""
        self.network.eval()
        logits, label = source.logits(), source.tensors.label
        return lambda temperature: nn.functional.cross_entropy(logits / temperature, label)


def training_windows(
    trials: Sequence[Trial], options: FinetuneOptions, config: ModelConfig | None = None
) -> WindowSet:
    """Return the windows that train; the first ones are counted before any are thinned out.

    Without a model's ``config`` a window has ``options.n_steps`` steps and no left context.
    """
    most = options.max_windows_per_trial if options.max_windows is None else None
    if config is None:
        windows = cut_windows(trials, options.n_steps, max_per_trial=most)
    else:
        windows = cut_for(config, trials, max_per_trial=most)
    if options.max_windows is None:
        return windows
    arrays: dict[str, Any] = vars(windows)
    first: dict[str, Any] = {n: None if a is None else a[: options.max_windows] for n, a in arrays.items()}
    return WindowSet(**first)
