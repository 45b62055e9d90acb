"""The mixed discriminant beside a fine-tuned network: fitted to the same trials, weighed on held-out ones.

Trials held out from both are followed second by second with a running level, as a live session is; what each
part says of them, and of nothing else, decides how much of the answer it gives.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from acquisition.errors import InputError
from acquisition.types import MODALITIES
from models.config import EVIDENCE_KINDS, EvidenceConfig, ModelConfig
from models.datasets.splits import by_session, folds_by_people, folds_of_people
from models.datasets.trials import Trial, WindowSet
from models.features.covariance import MOST_CHANNELS, Tangent
from models.fusion import weighed
from models.level import Course, Evidence, SignalRange, run_session
from models.mixed_discriminant import MixedDiscriminant
from models.mixed_part import LabelledTrial, own_level
from models.training.finetune_config import FinetuneOptions
from models.training.scores import preferred_share, trial_ids
from models.training.session_levels import SessionLevels, onto, rows_of, seconds_of
from models.training.trial_tensors import cut_for

#: Shares of the answer that the network may get.
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
_TEMPERATURES = torch.logspace(0.0, 3.0, 46)  # from 1: few held-out trials are no reason to be surer
_KIND_FOLDS, LEAST_SUBJECTS = 5, 3  # to choose between them


def fit_evidence(
    trials: Sequence[Trial], config: ModelConfig, kind: str | None = None, person: str | None = None
) -> Evidence:
    """Fit a discriminant to training trials of several subjects, or of one whose next session is to be told.

    Each session is centred on its own level. Evidence is about as many steps as the network's windows have.
    Without a ``kind`` the one that tells held-out subjects better is fitted; ``person`` is whose labels are
    to be told, if some of the trials are theirs.
    """
    subjects = {trial.subject for trial in trials}
    person = subjects.pop() if len(subjects) == 1 else person
    kind = kind or preferred_kind(trials, config)
    discriminant = _fitted(kind, trials, config, person)
    labelled = _labelled(trials, config, discriminant.tangent)
    last = max(trial.session for trial in trials)
    signals = {m: [trial.steps[m] for trial in labelled] for m in config.modalities}
    windows, seconds = config.windows, [trial.n_steps * trial.step_s for trial in trials]
    about = EvidenceConfig(
        n_steps=(windows.eeg_n_steps, windows.eye_n_steps, 1, 1),
        trial_s=min(max(float(np.mean(seconds)), 1.0), 3600.0),
        kind=kind,
    )
    return Evidence(discriminant.in_session(last + 1), SignalRange.fit(signals), about)


def labelled_trial(trial: Trial, config: ModelConfig) -> LabelledTrial:
    """Return a trial as the discriminant takes it, of the model's channels."""
    baseline = None if trial.baseline is None else labelled_trial(trial.baseline, config)
    rows = rows_of(trial, config)
    return LabelledTrial(trial.subject, trial.session, trial.label, rows, baseline=baseline)


def _labelled(trials: Sequence[Trial], config: ModelConfig, tangent: Tangent | None) -> list[LabelledTrial]:
    return [labelled_trial(trial, config) for trial in onto(trials, config, tangent)]


def _fitted(
    kind: str, trials: Sequence[Trial], config: ModelConfig, person: str | None = None
) -> MixedDiscriminant:
    n_labels, n_bands, tangent = len(config.labels), len(config.features.bands), None
    if kind == "riemann":
        tangent = Tangent.fit([seconds_of(trial, config) for trial in trials])
    labelled = _labelled(trials, config, tangent)
    if kind == "lda":
        return MixedDiscriminant.lda(labelled, n_labels)
    if kind in ("svm", "riemann"):
        return MixedDiscriminant.linear(labelled, n_labels, tangent)
    return MixedDiscriminant.fit(labelled, n_labels, person=person, n_bands=n_bands)


def candidates(trials: Sequence[Trial], config: ModelConfig) -> list[str]:
    """Return which of `EVIDENCE_KINDS` can be fitted: ``riemann`` needs covariances in all trials."""
    has_all = (
        "eeg" in config.modalities
        and len(config.ch_names) <= MOST_CHANNELS
        and all(one.covariance is not None for trial in trials for one in (trial, trial.baseline or trial))
    )
    return [kind for kind in EVIDENCE_KINDS if kind != "riemann" or has_all]


def preferred_kind(trials: Sequence[Trial], config: ModelConfig, seed: int = 0) -> str:
    """Return which of `EVIDENCE_KINDS` has less log loss on held-out subjects, by one standard error."""
    return preferred(kind_losses(trials, config, seed))


def preferred(losses: Mapping[str, NDArray[np.float64]]) -> str:
    """Return the kind of `kind_losses` to keep; of few subjects, without losses, the last."""
    if not losses:
        return EVIDENCE_KINDS[-1]
    return list(losses)[int(preferred_share(dict(enumerate(losses.values()))))]


def kind_losses(
    trials: Sequence[Trial], config: ModelConfig, seed: int = 0
) -> dict[str, NDArray[np.float64]]:
    """Return each kind's log loss on held-out subjects (n_subjects,); of few subjects none."""
    folds = folds_of_people(trials, _KIND_FOLDS, seed)
    losses: dict[str, NDArray[np.float64]] = {}
    if len({trial.subject for trial in trials}) < LEAST_SUBJECTS:
        return losses
    for kind in candidates(trials, config):
        scores, label, who = [], [], []
        for out in folds:
            model = _fitted(kind, [t for t in trials if t.subject not in out], config)
            for person in sorted(out):
                held = [trial for trial in trials if trial.subject == person]
                mine = _labelled(held, config, model.tangent)
                scores.append(trial_evidence(model, mine))
                label += [t.label for t in mine]
                who += [person] * len(mine)
        unit = np.unique(who, return_inverse=True)[1]
        losses[kind] = _at_best_temperature(torch.cat(scores), torch.tensor(label), unit)[0]
    return losses


def _at_best_temperature(
    logits: Tensor, label: Tensor, *units: NDArray[np.intp]
) -> tuple[NDArray[np.float64], float]:
    """Return the log loss of each unit at the temperature that serves their mean best, and that.

    ``units`` number what means are taken over in turn: trials of the windows (n,), subjects of the trials.
    """

    def losses(temperature: Tensor) -> NDArray[np.float64]:
        loss = nn.functional.cross_entropy(logits / temperature, label, reduction="none").double().numpy()
        for unit in units:
            loss = np.bincount(unit, loss) / np.bincount(unit)
        return loss

    found = [losses(temperature) for temperature in _TEMPERATURES]
    best = int(np.argmin([loss.mean() for loss in found]))
    return found[best], float(_TEMPERATURES[best])


def trial_evidence(model: MixedDiscriminant, trials: Sequence[LabelledTrial]) -> Tensor:
    """Return what a discriminant says of whole trials of one person, (n, n_labels), about their own level."""
    total = torch.zeros(len(trials), model.n_labels)
    for session in {trial.session for trial in trials}:
        at = [number for number, trial in enumerate(trials) if trial.session == session]
        level = own_level([trials[number] for number in at])
        total[at] = model.of_trials([trials[number].minus(level) for number in at])
    return total


def follow(
    trials: Sequence[Trial],
    evidence: Evidence,
    config: ModelConfig,
    windows: WindowSet,
    levels: SessionLevels | None = None,
) -> Course:
    """Return what is known at these windows of the trials, about a level that runs through each session.

    In sessions of which ``levels`` knows trials it is theirs, and does not run.
    """
    columns = windows.subject, windows.session, windows.trial, windows.end_step
    wanted = list(zip(*(column.tolist() for column in columns), strict=True))
    asked, keys, courses = set(wanted), list[tuple[str, int, int, int]](), []
    for (subject, session), group in by_session(onto(trials, config, evidence.discriminant.tangent)).items():
        fixed = None if levels is None else levels.known((subject, session))
        parts = [rows_of(trial, config) for trial in group]
        features = {m: np.concatenate([part[m] for part in parts]) for m in parts[0]}
        steps = [(subject, session, trial.trial, step) for trial in group for step in range(trial.n_steps)]
        told = list(range(len(steps)))
        if fixed is not None:
            told = [at for at, key in enumerate(steps) if key in asked]
        courses.append(run_session(features, evidence, config.windows, fixed, config.step_s, told))
        keys += [steps[at] for at in told]
    place = {key: at for at, key in enumerate(keys)}
    return Course.joined(courses).at([place[key] for key in wanted])


class Fused(NamedTuple):
    """What a network makes of n windows."""

    logits: Tensor  # (n, n_labels)
    attention: Tensor  # (n, 4)
    present: Tensor  # (n, 4)

    def with_evidence(self, evidence: Tensor, config: EvidenceConfig) -> Tensor:
        """Return the logits of network and evidence (n, 4, n_labels), as `FusionNetwork.fuse` does."""
        gates = self.attention, self.present, torch.ones_like(self.attention)
        of_modalities = weighed(evidence, evidence.new_tensor(config.weights), *gates)
        return config.network_weight * self.logits + of_modalities


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What both parts say of windows of trials that trained neither; without ``fused`` the evidence alone."""

    windows: WindowSet
    course: Course
    fused: Fused | None = None


def evidence_alone(trials: Sequence[Trial], config: ModelConfig, options: FinetuneOptions) -> list[HeldOut]:
    """Return what discriminants say of trials left out in turn, none where classes have one trial each."""
    try:
        folds = folds_by_people(trials, seed=options.seed)
    except InputError:
        return []
    parts = []
    for kept, out in folds:
        evidence = fit_evidence(kept, config, options.kind)
        windows = cut_for(config, out, max_per_trial=options.max_windows_per_trial)
        levels = SessionLevels.of(kept, config, evidence.discriminant.tangent)
        parts.append(HeldOut(windows, follow(out, evidence, config, windows, levels)))
    return parts


@dataclass(frozen=True)
class Weighed:
    """How much of the answer the network gives, the discriminant gives the rest; and on what that rests."""

    share: float = 0.0
    temperature: float = 1.0
    n_trials: int = 0
    n_subjects: int = 0
    compared: bool = False  # False: too few trials to hold some out from a network

    @classmethod
    def on(cls, parts: Sequence[HeldOut]) -> Self:
        """Choose by the likelihood of held-out trials, each subject alike; one standard error against it."""
        if not parts:
            return cls()
        nll: dict[float, NDArray[np.float64]] = {}
        temperatures: dict[float, float] = {}
        compared = all(part.fused is not None for part in parts)
        label = torch.cat([torch.from_numpy(part.windows.label) for part in parts])
        ids = [trial_ids(part.windows) for part in parts]
        starts = np.cumsum([0, *(of_part.max() + 1 for of_part in ids)])
        trial = np.concatenate([of_part + start for of_part, start in zip(ids, starts, strict=False)])
        subject = np.concatenate([part.windows.subject for part in parts])
        names, of_trial = np.unique(subject[np.unique(trial, return_index=True)[1]], return_inverse=True)
        units = (trial,) if len(names) == 1 else (trial, of_trial)
        for share in SHARES if compared else SHARES[:1]:
            logits = torch.cat([_mixed(part, share) for part in parts])
            nll[share], temperatures[share] = _at_best_temperature(logits, label, *units)
        share = preferred_share(nll)
        return cls(share, temperatures[share], int(starts[-1]), len(names), compared)

    def applied(self, evidence: Evidence, parts: Sequence[HeldOut]) -> Evidence:
        """Return the evidence with these weights, and with the range of signals of held-out trials."""
        config = replace(
            evidence.config,
            network_weight=self.share / self.temperature,
            weights=((1 - self.share) / self.temperature,) * len(MODALITIES),
            level_temperature=max(evidence.config.level_temperature, self.temperature),
        )
        signals = evidence.range
        if parts:
            signals = signals.within(torch.cat([part.course.measures for part in parts]))
        return Evidence(evidence.discriminant, signals, config)

    def words(self, kind: str = "discriminant") -> str:
        """Return one sentence for the model card; ``kind`` is what gives the evidence."""
        shares = f"weights: network {self.share:.0%}, {kind} {1 - self.share:.0%}"
        if self.share in (0.0, 1.0):
            shares += f"; the {kind if self.share else 'network'} got no weight"
        if not self.compared:
            return f"{shares}, because the training trials are too few to compare both on some of them"
        unit = f"subjects ({self.n_subjects})" if self.n_subjects > 1 else "trials"
        return f"{shares}: chosen on {unit} left out in turn, {self.n_trials} trials in all"


def _mixed(part: HeldOut, share: float) -> Tensor:
    """Return the logits (n, n_labels) of both parts; the discriminant alone takes modalities as they are."""
    if part.fused is None or share == 0:
        return part.course.evidence.sum(dim=1)
    about = EvidenceConfig(network_weight=share, weights=(1 - share,) * len(MODALITIES))
    return part.fused.with_evidence(part.course.evidence, about)
