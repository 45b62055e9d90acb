"""What a profile begins with, before any label of the session: one head, the mixed discriminant.

The base model's discriminant holds what other people's labelled trials say. Restricted to the session's
classes, modalities and electrodes, it is updated with the session's own trials in closed form, and the base
model's network answers beside it, about the subject's level.

Where the base model has no discriminant, or does not know the classes, one is fitted to the session alone: to
its trials without their labels, so that the covariance is the same for any labelling, and then updated like
the other. It answers alone.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from torch import nn

from calibration.tokens import Session
from models.config import EvidenceConfig, FusionConfig, ModelConfig
from models.fusion import FUSIONS, Fusion
from models.level import SignalRange
from models.mixed_discriminant import MixedDiscriminant
from models.network import FusionNetwork


def knows(config: ModelConfig, classes: Collection[str]) -> bool:
    return config.is_classifier and set(classes) <= set(config.labels)


def lends(config: ModelConfig, classes: Collection[str]) -> bool:
    """Tell whether a model's labelled trials say anything of the classes in a profile.

    What it says of covariances does not count: a calibration's rows hold none.
    """
    return config.evidence is not None and config.evidence.kind != "riemann" and knows(config, classes)


def fusion_config(config: ModelConfig, classes: Collection[str]) -> FusionConfig:
    fusion = config.network.fusion
    return fusion if lends(config, classes) else replace(fusion, variant="attention")


def fusion_of(base: FusionNetwork, classes: Sequence[str]) -> Fusion:
    """Return the base model's fusion with the classes' rows of its last layer.

    Where the base model lends nothing, one that attends to all modalities alike and says nothing.
    """
    head = FUSIONS[fusion_config(base.config, classes).variant](base.config.network.fusion, len(classes))
    if not lends(base.config, classes):
        for parameter in head.parameters():
            nn.init.zeros_(parameter)
        return head.eval()
    state = {name: value.clone() for name, value in base.fusion.state_dict().items()}
    for name, _ in list(base.fusion.named_parameters())[-2:]:  # the last layer
        state[name] = state[name][[base.config.labels.index(label) for label in classes]]
    head.load_state_dict(state)
    return head.eval()


def weights_of_parts(base: ModelConfig, classes: Collection[str]) -> EvidenceConfig:
    """Return how network and discriminant make the answer: as in the base model, if that lends anything."""
    config = base.evidence or EvidenceConfig()
    if not lends(base, classes):
        return replace(config, network_weight=0.0, weights=EvidenceConfig().weights, kind="discriminant")
    if not config.profile_weights:
        return config
    network_weight, *weights = config.profile_weights
    return replace(config, network_weight=network_weight, weights=tuple(weights))


@dataclass(frozen=True, eq=False)
class Beginning:
    """A profile before the first label, for one session and its classes."""

    session: Session
    classes: tuple[str, ...]

    @property
    def has_others(self) -> bool:
        """True where other people's labelled trials count."""
        return lends(self.session.base.config, self.classes)

    @cached_property
    def config(self) -> EvidenceConfig:
        """How network and evidence make the answer, before the profile's temperature."""
        return weights_of_parts(self.session.base.config, self.classes)

    @cached_property
    def fusion(self) -> Fusion:
        return fusion_of(self.session.base.network, self.classes)

    @cached_property
    def range(self) -> SignalRange:
        """What clean signals are like; of the session alone none is known to be otherwise."""
        evidence = self.session.base.evidence
        if evidence is not None and evidence.discriminant.tangent is None:
            return evidence.range
        trials = self.session.trials.values()
        return SignalRange.fit(
            {m: [t.steps[m] for t in trials if m in t.steps] for m in self.session.modalities}
        )

    @cached_property
    def _others(self) -> MixedDiscriminant:
        session, base = self.session, self.session.base
        assert base.evidence is not None
        features = session.windows.features
        known = {m: np.ones(features[m].shape[1], dtype=bool) for m in session.modalities if m in features}
        if "eeg" in known:
            is_connected = np.isin(np.arange(len(base.config.ch_names)), session.positions)
            known["eeg"] = np.repeat(is_connected, known["eeg"].size // len(is_connected))
        at = [base.config.labels.index(name) for name in self.classes]
        return base.evidence.discriminant.restricted(at, known)

    def discriminant(self, without: Collection[int] = ()) -> MixedDiscriminant:
        """Return the discriminant; one of the session alone does not see the trials ``without``."""
        if self.has_others:
            return self._others
        trials = [trial for number, trial in self.session.trials.items() if number not in without]
        n_bands = len(self.session.base.config.features.bands)
        return MixedDiscriminant.fit(trials, len(self.classes), n_bands=n_bands)
