"""Trains a classifier on labelled trials, from pre-trained encoders or from scratch.

The MMV-SSTMA paper, section 2.2: encoders' features are fused, a linear layer classifies, and cross-entropy
and 0.1 times the correlation loss of DCCA train all of it. What the paper leaves open: how tokens of channels
become features (here by a weight for each channel, initialised by a shrinkage discriminant of the
training windows ends: `models.training.finetune_tokens`); the encoders train too unless ``freeze`` is set;
training stops by the NLL of training trials held out for it, then starts again on all training trials for as
many epochs; the temperature is fitted to the held-out trials as well. No test trial has any part in this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from acquisition.errors import InputError
from acquisition.types import MODALITIES
from models.config import ModelConfig
from models.datasets.splits import coverage, folds_by_people, held_out
from models.datasets.trials import Trial, WindowSet, cut_windows
from models.dcca import DCCA_WEIGHT, DccaLoss
from models.features.covariance import COVARIANCE_HZ
from models.network import FusionNetwork
from models.normalise import Normaliser
from models.process import keep_freed_memory
from models.training.evidence import (
    Fused,
    HeldOut,
    Weighed,
    evidence_alone,
    fit_evidence,
    follow,
    kind_losses,
    preferred,
)
from models.training.finetune_config import (
    MIN_DCCA_TRIALS,
    FinetuneOptions,
    PretrainedEncoders,
    classifier_config,
)
from models.training.finetune_tokens import (
    FrozenTokens,
    Heard,
    Tokens,
    TrialClassifier,
    fit_center,
    fit_norms,
    move_center,
    predictions_of,
    projection_of,
    trained_modules,
    whitened,
    within_class_whitener,
)
from models.training.loop import Progress, train_steps
from models.training.scores import Predictions, best_temperature
from models.training.session_levels import SessionLevels, about_level, centred, means_of
from models.training.trial_tensors import TrialTensors, cut_for, fit_normaliser

_TEMPERATURES = torch.logspace(-0.5, 1.0, 31)
_NORM_BATCHES = 4  # whose statistics frozen random encoders take
EVIDENCE_FOLDS = 3  # of subjects or trials, where network and discriminant are weighed
MIN_TRIALS_TO_STOP_EARLY = 12  # fewer training trials are all needed for training


@dataclass(frozen=True, eq=False)
class Finetuned(TrialClassifier):
    """A classifier and notes on its training."""

    epochs: int
    temperature: float
    notes: tuple[str, ...]  # sentences for the model card and the table
    apart: FusionNetwork | None = None  # the network as trained, where the model does not use its answer

    def predict_parts(self, heard: Heard) -> dict[str, Predictions]:
        """Return what network and discriminant say by themselves, with evidence."""
        if heard.evidence is None or self.evidence is None:
            return {}
        logits = {}
        if self.epochs:
            tokens = heard.tokens if self.apart is None else FrozenTokens(self.apart, heard.tokens.tensors)
            logits["network"] = tokens.fused().logits
        logits[self.evidence.config.kind] = heard.evidence.sum(dim=1)
        return {name: predictions_of(of_part, heard.windows) for name, of_part in logits.items()}


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
    trials = about_level(trials, options.normalise, trials)
    notes = [f"trained on {coverage(trials).words()}"]
    if options.evidence and options.max_windows is not None:
        options = replace(options, evidence=False)
        notes.append("no discriminant: it learns from whole trials")
    config = classifier_config(trials, options, pretrained, trained_on, is_simulated=is_simulated)
    losses = kind_losses(trials, config, options.seed) if options.evidence and not options.kind else {}
    if options.evidence and options.kind is None:
        options = replace(options, kind=preferred(losses))
    if options.evidence and options.kind == "riemann":
        config = replace(config, features=replace(config.features, covariance_hz=COVARIANCE_HZ))
    if options.dcca is None:
        options = replace(options, dcca=len(trials) >= MIN_DCCA_TRIALS)
        if not options.dcca and len(config.modalities) > 1:
            notes.append(f"no DCCA loss: fewer than {MIN_DCCA_TRIALS} trials")
    epochs, temperature, parts = options.few_epochs, 1.0, list[HeldOut]()
    enough = options.max_windows is None and len(trials) >= MIN_TRIALS_TO_STOP_EARLY
    folds = _folds(trials, options) if options.stop_early and enough and options.network else []
    if folds:
        epochs, temperature, parts = _best_epoch(folds, config, options, pretrained, progress)
        n_out = sum(len(out) for _, out in folds)
        notes.append(
            f"early-stopped after {epochs} epochs on {n_out} held-out training trials, then retrained on "
            f"all {len(trials)}; temperature {temperature:.2f} fitted on the held-out trials"
        )
        if temperature >= float(_TEMPERATURES[-1]):
            notes.append(
                "that temperature is the highest tried: probabilities are nearly uniform and carry little "
                "information"
            )
    elif not options.network:
        if not options.evidence:
            raise InputError("expected whole trials", where="--no-network", remedy="remove it, or --labels")
        epochs = 0
        notes.append(f"no network was trained: {options.kind} answers alone")
    else:
        why = "too few trials to hold some out" if options.stop_early else "no early stopping requested"
        notes.append(f"{why}: fixed at {epochs} epochs, no temperature scaling")
    few = options if options.network else replace(options, max_windows_per_trial=1)
    run = Training(config, trials, few, pretrained)
    run.train(epochs, progress)
    run.network.fusion.divide_logits(temperature)
    evidence = apart = None
    if run.evidence is not None:
        parts = parts or evidence_alone(trials, config, options)
        chosen = Weighed.on(parts)
        evidence = chosen.applied(run.evidence, parts)
        if options.network:
            notes.append(chosen.words(evidence.config.kind))
        if losses:
            among = ", ".join(f"{kind} {loss.mean():.2f}" for kind, loss in losses.items())
            notes.append(f"{evidence.config.kind} was kept; log loss on subjects left out in turn: {among}")
        if chosen.share == 0:
            apart = deepcopy(run.network).prepare_inference()
            run.network.fusion.even_out()
        run.network.weigh_by(evidence.config)
        config = run.network.config
    notes.append("features scaled by mean and SD of the training trials, each session about its own level")
    if options.network:
        notes.append(
            f"the channel projection of {' and '.join(config.modalities)} was initialised as a shrinkage "
            "discriminant of training windows"
        )
    if run.correlates is False:
        notes.append("the DCCA loss had no effect: every batch is smaller than it needs")
    return Finetuned(
        config, run.network.prepare_inference(), run.normaliser, epochs, temperature, tuple(notes),
        apart, levels=run.levels, evidence=evidence,
    )  # fmt: skip


def _folds(trials: Sequence[Trial], options: FinetuneOptions) -> list[tuple[list[Trial], list[Trial]]]:
    """Return (training, held-out) trials to choose epochs by; with evidence each is held out once."""
    if options.evidence:
        pairs = folds_by_people(trials, EVIDENCE_FOLDS, options.seed, least=2)
    else:
        pairs = [held_out(trials, seed=options.seed)]
    return pairs if all(len({t.label for t in out}) > 1 for _, out in pairs) else []


def _best_epoch(
    folds: Sequence[tuple[list[Trial], list[Trial]]],
    config: ModelConfig,
    options: FinetuneOptions,
    pretrained: PretrainedEncoders | None,
    progress: Progress,
) -> tuple[int, float, list[HeldOut]]:
    """Return the epoch (from 1) and temperature of least NLL on held-out trials, and what they are told."""
    (kept, out), *others = folds
    first = Training(config, kept, options, pretrained).curve(out, options.patience, progress)
    best = int(np.argmin(first.nlls))
    shorter = replace(options, epochs=best + 1)
    curves = [first] + [
        Training(config, kept, shorter, pretrained).curve(out, best + 1, progress) for kept, out in others
    ]
    ends = [one.epochs[best] for one in curves]
    windows = [one.windows for one in curves]
    nll, temperature = best_temperature(
        _nll(torch.cat([fused.logits for fused in ends]), windows), _TEMPERATURES
    )
    progress("stopping", 1.0, nll)
    parts = [
        replace(one.held, fused=end._replace(logits=end.logits / temperature))
        for one, end in zip(curves, ends, strict=True)
        if one.held is not None
    ]
    return best + 1, temperature, parts


def _nll(logits: Tensor, windows: Sequence[WindowSet]) -> Callable[[Tensor], Tensor]:
    """Return the mean negative log-likelihood of windows as a function of the temperature."""
    label = torch.cat([torch.from_numpy(part.label) for part in windows])
    return lambda temperature: nn.functional.cross_entropy(logits / temperature, label)


@dataclass(frozen=True, eq=False)
class Curve:
    """What is said of held-out windows after each epoch, and what a discriminant of the kept trials says."""

    windows: WindowSet
    epochs: list[Fused]
    nlls: list[float]  # of each epoch, by its best temperature
    held: HeldOut | None


class Training:
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
        self.evidence = fit_evidence(trials, config, options.kind) if options.evidence else None
        tangent = None if self.evidence is None else self.evidence.discriminant.tangent
        self.levels = SessionLevels.of(trials, config, tangent) if config.own_level else None
        rows = trials if self.levels is None else centred(trials, self.levels)
        self.normaliser = fit_normaliser(rows, config, known, eye_tails=options.eye_tails, fill=options.fill)
        self._is_new = pretrained is None
        self._rng = np.random.default_rng(options.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            self.network = FusionNetwork(config)
            self._dcca = None
            if options.dcca and len(config.modalities) > 1:
                self._dcca = DccaLoss(config.network.fusion.d_model, config.modalities)
        if pretrained is not None:
            self.network.load_state_dict(dict(pretrained.weights), strict=False)
        self._white: dict[str, tuple[Tensor, Tensor]] = {}  # coordinates of projections that have trained
        self.class_weights: Tensor | None = None
        drawn = np.random.default_rng([options.seed, 1])  # levels as uncertain as they will be
        self._tensors = self._tensors_of(trials, options.seed, drawn)
        if self._is_new and options.freeze:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(options.seed)
                fit_norms(self.network, self._tensors, _NORM_BATCHES)
            self.network.prepare_inference()  # its tokens are computed once
        self._tokens = self._token_source(self._tensors)

    @property
    def correlates(self) -> bool | None:
        """Whether any batch is large enough for the DCCA loss; None without it."""
        if self._dcca is None:
            return None
        return self._dcca.min_pairs <= max(map(len, self._batches(np.arange(len(self._tensors)))))

    def _tensors_of(
        self,
        trials: Sequence[Trial],
        seed: int,
        drawn: np.random.Generator | None,
        windows: WindowSet | None = None,
        means: Mapping[str, Tensor] | None = None,
    ) -> TrialTensors:
        """Return the trials' windows as input, about ``means`` (n, F) or the levels of their sessions."""
        windows = windows or training_windows(trials, self._options, self._config)
        if means is None and self.levels is not None:
            means = means_of(self.levels.levels(trials, drawn), windows)
        return TrialTensors(
            windows, trials[0].ch_names, self._config, self.normaliser,
            mask=self._options.mask, seed=seed, means=means,
        )  # fmt: skip

    def _token_source(self, tensors: TrialTensors) -> Tokens:
        return (FrozenTokens if self._options.freeze else Tokens)(self.network, tensors)

    def _trainable(self) -> list[nn.Parameter]:
        modules = trained_modules(self.network, self._config.modalities, encoders=not self._options.freeze)
        if self._dcca is not None:
            modules.append(self._dcca)
        return [parameter for module in modules for parameter in module.parameters()]

    @contextmanager
    def _training(self) -> Iterator[None]:
        """Seed what is random, whiten new projections and make an optimiser of what then trains."""
        options = self._options
        with ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng(devices=[]))
            torch.manual_seed(options.seed)
            if self._is_new and not options.freeze:
                fit_norms(self.network, self._tensors)
            for modality, encoded in self._tokens.encoded().items():
                begin = None
                if modality not in self._white:
                    x, label, places = fit_center(self.network, modality, encoded, self._tensors)
                    white = within_class_whitener(x.double().numpy(), label.numpy(), options.least_shrinkage)
                    self._white[modality] = torch.from_numpy(white).float(), places
                    begin = x, label
                projection = projection_of(self.network, modality)
                stack.enter_context(whitened(projection, *self._white[modality], begin))
            trained = self._trainable()
            self._optimiser = torch.optim.AdamW(
                trained, options.learning_rate, weight_decay=options.weight_decay
            )
            yield

    def train(self, epochs: int, progress: Progress = lambda stage, share, loss: None) -> None:
        with self._training():
            for epoch in range(epochs):
                loss = self._epoch()
                progress("training", (epoch + 1) / epochs, loss)
        if not self._options.freeze:  # the encoders have moved on
            for modality, encoded in self._tokens.encoded().items():
                move_center(self.network, modality, encoded, self._tensors)

    def curve(self, out: Sequence[Trial], patience: int, progress: Progress) -> Curve:
        """Train, and return what held-out trials are told, until ``patience`` epochs after the least NLL."""
        windows, seed = training_windows(out, self._options, self._config), self._options.seed + 1
        held = means = None
        if self.evidence is not None:
            course = follow(out, self.evidence, self._config, windows, self.levels)
            held, means = HeldOut(windows, course), course.levels
        tensors = self._tensors_of(out, seed, None, windows, means)
        curve, source = Curve(windows, [], [], held), self._token_source(tensors)
        with self._training():
            for epoch in range(1, self._options.epochs + 1):
                loss = self._epoch()
                self.network.eval()
                curve.epochs.append(source.fused())
                nll = _nll(curve.epochs[-1].logits, [windows])
                curve.nlls.append(best_temperature(nll, _TEMPERATURES)[0])
                progress("stopping", epoch / self._options.epochs, loss)
                if epoch - 1 - int(np.argmin(curve.nlls)) >= patience:
                    break
        return curve

    def _batches(self, order: NDArray[np.intp]) -> list[NDArray[np.intp]]:
        return np.array_split(order, max(1, round(len(order) / self._options.batch_size)))

    def _epoch(self) -> float:
        self.network.train()
        batches = self._batches(self._rng.permutation(len(self._tensors)))
        steps = train_steps(self._optimiser, batches, self._loss, clipped=self._trainable())
        return float(np.mean([loss.item() for loss in steps]))

    def _loss(self, at: NDArray[np.intp]) -> Tensor:
        label = self._tensors.label[at]
        tokens, present = self._tokens(at)
        kept = present
        if len(self._config.modalities) > 1 and self._options.p_drop_modality > 0:
            kept = present & torch.from_numpy(
                self._rng.random(tuple(present.shape)) >= self._options.p_drop_modality
            )
            kept = torch.where(kept.any(dim=1, keepdim=True), kept, present)  # never a window's last
        logits, _ = self.network.fusion(tokens, kept)
        loss = nn.functional.cross_entropy(logits, label, self.class_weights)
        for modality in self._config.modalities if len(self._config.modalities) > 1 else ():
            token = tokens[:, MODALITIES.index(modality)]
            own = self.network.heads[modality](token.detach() if self._options.detach_heads else token)
            loss = loss + nn.functional.cross_entropy(own, label, self.class_weights)
        if self._dcca is not None:
            loss = loss + DCCA_WEIGHT * self._dcca(tokens, present)
        return loss


def training_windows(
    trials: Sequence[Trial], options: FinetuneOptions, config: ModelConfig | None = None
) -> WindowSet:
    """Return the windows that train, of a ``config``, or of ``options.n_steps`` steps without context."""
    most = options.max_windows_per_trial if options.max_windows is None else None
    if config is None:
        windows = cut_windows(trials, options.n_steps, max_per_trial=most)
    else:
        windows = cut_for(config, trials, max_per_trial=most)
    if options.max_windows is None:
        return windows
    first: list[Any] = [None if a is None else a[: options.max_windows] for a in vars(windows).values()]
    return WindowSet(*first)
