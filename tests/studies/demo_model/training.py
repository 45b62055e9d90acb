"""The ``small`` model, which ships with the program: trained and tested on simulated subjects alone."""

from __future__ import annotations

import copy
import math
import queue
from collections.abc import Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor, nn

from acquisition.montage import SEED_CH_NAMES
from acquisition.simulator.subject import EMOTIONS
from acquisition.types import MODALITIES
from acquisition.windowing import WindowConfig
from assets import CARDS
from models.checkpoint import save_checkpoint
from models.config import AnswerConfig, EvidenceConfig, ModelConfig, preset
from models.features.config import FeatureConfig
from models.fusion import gates_of
from models.level import Course, Evidence, SignalRange, answers, run_session
from models.mixed_discriminant import LabelledTrial, MixedDiscriminant
from models.network import FusionNetwork
from models.normalise import Normaliser, TokenLevel, fit_eeg, fit_eye
from models.process import keep_freed_memory
from models.training.loop import Progress
from models.training.scores import best_temperature
from tests.studies.demo_model.answers import fit_answers
from tests.studies.demo_model.data import (
    Rows,
    SubjectFeatures,
    SubjectPlan,
    feature_rows,
    labelled_trials,
    load_subject,
    simulate_subjects,
)
from tests.studies.demo_model.sessions import noise, profiled_session
from tests.studies.demo_model.stages import (
    DrawnLevels,
    EncodedRows,
    RowInputs,
    WindowTokens,
    encode_rows,
    modality_tokens,
    train_encoder,
    train_fusion,
    train_token_heads,
)
from tests.studies.jobs import process_pool
from tests.studies.stage import StageOptions

_POLL_S = 0.2
#: Seeds of simulated subjects: training uses the first ones, evaluation none of them.
FIRST_TRAINING_SEED = 1000
_MIN_SINCE_ONSET_S = 3.0
_EYE_STEPS = 3  # with the pupil's ten seconds all contexts are whole after thirteen
_EYE_TAILS = 0.01
_N_FOLDS = 5
_N_NOISE = 1000  # windows of noise that the fusion learns from
_PERSISTENCE = (0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0, 1.5)  # nats
_MOST_CHANGES = 5.7  # of the answer a minute while the emotion holds
_LEAST_WEIGHT = 0.01  # of a part that counts; below, it gets none
MIN_SINCE_ONSET_TESTED_S = 5.0  # earlier windows still hold more of the trial before


@dataclass(frozen=True)
class EncoderJob:
    """Everything a process needs to train one encoder; plain values, so it can be pickled."""

    modality: str
    config: dict[str, Any]
    folders: tuple[Path, ...]  # of the training subjects
    normaliser: dict[str, np.ndarray]
    options: StageOptions
    seed: int
    n_threads: int


def train_encoders(
    network: FusionNetwork,
    folders: Sequence[Path],
    normaliser: Normaliser,
    stages: dict[str, StageOptions],
    *,
    seed: int,
    n_jobs: int,
    progress: Progress,
) -> None:
    """Train all four encoders in place; the result does not depend on ``n_jobs``' order of ending."""
    config, n_threads = network.config.to_dict(), max(1, torch.get_num_threads() // n_jobs)
    scales = {name: tensor.numpy() for name, tensor in normaliser.to_dict().items()}
    jobs = [
        EncoderJob(modality, config, tuple(folders), scales, stages[modality], seed + index, n_threads)
        for index, modality in enumerate(MODALITIES)
    ]
    with get_context("spawn").Manager() as manager, process_pool(n_jobs) as pool:
        news = manager.Queue()
        # The two image encoders take longest: they go first.
        futures = {pool.submit(_run, job, news): job for job in reversed(jobs)}
        _report(futures, news, progress)
        for future in futures:
            network.load_state_dict(future.result(), strict=False)


def _report(futures: dict[Future[dict[str, Tensor]], EncoderJob], news: Any, progress: Progress) -> None:
    """Pass on the processes' progress until all have ended."""
    while True:
        done, running = wait(futures, timeout=_POLL_S)
        try:
            while True:
                progress(*news.get_nowait())
        except queue.Empty:
            pass
        if not running or any(future.exception() for future in done):
            return


def _run(job: EncoderJob, news: Any) -> dict[str, Tensor]:
    """Train one encoder and return its part of the network's state."""
    keep_freed_memory()
    torch.set_num_threads(job.n_threads)
    torch.manual_seed(job.seed)
    network = FusionNetwork(ModelConfig.from_dict(job.config))
    normaliser = Normaliser.from_dict({name: torch.from_numpy(a) for name, a in job.normaliser.items()})
    subjects = [load_subject(folder) for folder in job.folders]
    rows = Rows(subjects, normaliser)
    trials = [labelled_trials(str(number), subject) for number, subject in enumerate(subjects)]
    drawn = None
    if job.modality in ("eeg", "eye"):
        prior = MixedDiscriminant.fit([t for own in trials for t in own], len(network.config.labels))
        drawn = DrawnLevels(trials, {job.modality: prior.part(job.modality).level})
    last_share = -1.0

    def progress(stage: str, share: float, loss: float) -> None:
        nonlocal last_share
        if share - last_share >= 0.01 or share >= 1.0:
            last_share = share
            news.put((stage, share, loss))

    train_encoder(network, job.modality, rows, job.options, np.random.default_rng(job.seed), progress, drawn)
    prefixes = tuple(f"{owner}{job.modality}" for owner in ("", "tokens.", "heads."))
    state = network.state_dict()
    return {name: t for name, t in state.items() if name.startswith(prefixes)}


@dataclass(frozen=True)
class SimulatedSubjects:
    """Simulated subjects to run; the defaults are those of an evaluation."""

    n_subjects: int = 12
    n_trials: int = 10
    trial_s: float = 24.0
    difficulty: str | float = "default"
    n_jobs: int = 2

    def plans(self, first_seed: int) -> list[SubjectPlan]:
        """Return the subjects with seeds from the first on."""
        seeds = range(first_seed, first_seed + self.n_subjects)
        return [SubjectPlan(seed, self.n_trials, self.trial_s, self.difficulty) for seed in seeds]

    def simulate(
        self, first_seed: int, features: FeatureConfig, folder: Path, progress: Progress
    ) -> list[Path]:
        """Run the subjects and return their folders, for `load_subject`."""

        def on_done(n_done: int) -> None:
            progress("simulating", n_done / self.n_subjects, math.nan)

        plans = self.plans(first_seed)
        return simulate_subjects(plans, features, folder, n_jobs=self.n_jobs, on_done=on_done)


@dataclass(frozen=True)
class TrainingOptions(SimulatedSubjects):
    """How much to train on, and for how long."""

    n_subjects: int = 100
    n_encoder_subjects: int = 50  # train the encoders; the others fusion, temperature and sets
    seed: int = 1
    epochs_scale: float = 1.0  # multiplies every stage's passes

    def stages(self) -> dict[str, StageOptions]:
        """Return the settings of each stage."""
        stages = {
            "eeg": StageOptions(epochs=2.4, batch_size=64, learning_rate=2e-3),
            "eye": StageOptions(epochs=2, batch_size=64, learning_rate=2e-3),
            "face": StageOptions(epochs=3, batch_size=64, learning_rate=1e-3),
            "voice": StageOptions(epochs=2.2, batch_size=32, learning_rate=8e-4),
            "pooling": StageOptions(epochs=3, batch_size=128, learning_rate=5e-4),
            "fusion": StageOptions(epochs=18, batch_size=256, learning_rate=1e-3),
        }
        return {name: replace(s, epochs=s.epochs * self.epochs_scale) for name, s in stages.items()}


def train_simulated(folder: Path, options: TrainingOptions, progress: Progress) -> str:
    """Simulate subjects, train every stage and write the model folder; returns its SHA-256."""
    trained_on = "simulated data only"
    config = preset(
        "small",
        labels=EMOTIONS,
        ch_names=SEED_CH_NAMES,
        trained_on=trained_on,
        is_simulated=True,
        windows=WindowConfig(eye_n_steps=_EYE_STEPS),
        evidence=EvidenceConfig(trial_s=options.trial_s),
    )
    with TemporaryDirectory(prefix="affectscope-train-", ignore_cleanup_errors=True) as scratch:
        folders = options.simulate(FIRST_TRAINING_SEED, config.features, Path(scratch), progress)
        model = fit(config, folders, options, progress)
    return save_checkpoint(
        folder,
        model.config,
        model.network,
        model.normaliser.to_dict(),
        _card(options, model.config),
        model.evidence,
    )


def _card(options: TrainingOptions, config: ModelConfig) -> str:
    """Return the card of a model trained on simulated subjects alone."""
    evidence = config.evidence
    assert evidence is not None
    names = ("the network", *(f"the evidence of {m}" for m in MODALITIES))
    parts = zip(names, (evidence.network_weight, *evidence.weights), strict=True)
    unused = [name for name, weight in parts if weight == 0]
    chosen = f"; {' and '.join(unused)} got no weight" if unused else ""
    n_others, labels = options.n_subjects - options.n_encoder_subjects, ", ".join(config.labels)
    template = (CARDS / "simulated.md").read_text("utf-8")
    return template.format(options=options, n_others=n_others, labels=labels, chosen=chosen)


def fit(
    config: ModelConfig, folders: Sequence[Path], options: TrainingOptions, progress: Progress
) -> Trained:
    """Train encoders on the first ``n_encoder_subjects`` in ``folders``, all else on the others."""
    keep_freed_memory()
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    n_encoder, n_jobs, stages = options.n_encoder_subjects, options.n_jobs, options.stages()
    subjects = [load_subject(folder) for folder in folders]
    normaliser = fit_normaliser(subjects[:n_encoder])
    network = FusionNetwork(config)
    train_encoders(
        network, folders[:n_encoder], normaliser, stages, seed=options.seed, n_jobs=n_jobs, progress=progress
    )
    seen = [trial for i, s in enumerate(subjects[:n_encoder]) for trial in labelled_trials(f"seen {i}", s)]
    return FusionTraining(network, normaliser, subjects[n_encoder:], options, rng, progress, seen).run()


def fit_normaliser(training: Sequence[SubjectFeatures]) -> Normaliser:
    """Return scales fitted on the training subjects alone, about each subject's own level."""
    parts: dict[str, list[NDArray[np.floating]]] = {"eeg": [], "eye": []}
    for subject in training:
        for modality, rows in feature_rows(subject).items():
            parts[modality].append(rows - np.nanmean(rows, axis=0))
    levels = {
        m: np.mean([np.nanmean(feature_rows(s)[m], axis=0) for s in training], axis=0, keepdims=True)
        for m in parts
    }
    eeg, eye = (torch.from_numpy(np.concatenate(parts[m]) + levels[m]) for m in ("eeg", "eye"))
    return Normaliser(fit_eeg(eeg.unflatten(1, training[0].de.shape[1:])), fit_eye(eye, _EYE_TAILS))


@dataclass(frozen=True, eq=False)
class Trained:
    """A model before it is saved."""

    config: ModelConfig
    network: FusionNetwork
    normaliser: Normaliser
    evidence: Evidence


class FusionTraining:
    """Trains all but the encoders on subjects new to them; trials of ``seen`` ones serve the discriminant."""

    def __init__(
        self,
        network: FusionNetwork,
        normaliser: Normaliser,
        subjects: Sequence[SubjectFeatures],
        options: TrainingOptions,
        rng: np.random.Generator,
        progress: Progress,
        seen: Sequence[LabelledTrial] = (),
    ) -> None:
        self._network, self._options, self._rng, self._progress = network, options, rng, progress
        self._seen = list(seen)
        self._config, self._subjects = network.config, subjects
        bare = Rows(subjects, normaliser)
        self._encoded = encode_rows(network, bare, progress)
        tokens = token_rows(bare, self._encoded)
        self._features = features_of(bare, tokens)
        self._trials = [
            labelled_trials(str(i), s, {m: self._features[i][m] for m in tokens})
            for i, s in enumerate(subjects)
        ]
        means = {m: torch.from_numpy(np.nanmean(x, axis=0)).float() for m, x in tokens.items()}
        self._normaliser = replace(
            normaliser, face=TokenLevel(means["face"]), voice=TokenLevel(means["voice"])
        )
        self._fold = np.arange(len(subjects)) % _N_FOLDS

    def run(self) -> Trained:
        config, rng = self._config, self._rng
        assert config.evidence is not None
        courses, profiled = self._courses()
        rows = Rows(self._subjects, self._normaliser, courses.levels)
        inputs = RowInputs(self._network, rows, rng, self._encoded)
        usable = rows.where(min_since_onset_s=_MIN_SINCE_ONSET_S)
        stages = self._options.stages()
        train_token_heads(inputs, usable, stages["pooling"], rng, self._progress)
        every = np.arange(len(rows))
        windows = modality_tokens(inputs, every, 3, rng, self._progress)
        final = self._evidence([trial for own in self._trials for trial in own])
        clean = final.range.within(courses.measures[usable])
        of_noise, measures = noise(self._features[0], _N_NOISE, final, config.windows, rng)
        windows = replace(
            windows,
            evidence=courses.evidence,
            reliability=clean.reliability(courses.measures),
            pool=(of_noise, clean.reliability(measures)),
        )
        begun = copy.deepcopy(self._network.fusion.state_dict())
        in_profiles = replace(windows, evidence=profiled[0], reliability=clean.reliability(profiled[1]))
        held_out = torch.empty(1 + len(MODALITIES), len(rows), len(config.labels))
        with_profile = torch.empty_like(held_out)
        for fold in range(_N_FOLDS):
            own = self._fold[rows.subject] == fold
            self._network.fusion.load_state_dict(begun)
            self._train(windows, usable[~own[usable]], rows.label, f"fold {fold + 1}")
            at = np.flatnonzero(own)
            held_out[:, at] = self._parts(windows, at)
            with_profile[:, at] = self._parts(in_profiles, at)
        self._network.fusion.load_state_dict(begun)
        self._train(windows, usable, rows.label, "fusion")
        (of_network, *of_modalities), persistence, of_strangers = choose_answer(
            held_out, rows, config.evidence, MIN_SINCE_ONSET_TESTED_S
        )
        evidence = replace(
            config.evidence,
            network_weight=of_network,
            weights=tuple(of_modalities),
            profile_weights=tuple(best_weights(with_profile[:, usable], rows.label[usable])),
            persistence=persistence,
        )
        logits = torch.tensordot(torch.tensor(evidence.profile_weights), with_profile, 1)
        shown = answers(logits, rows.first, evidence)
        of_profiles = answers_at(shown, rows, MIN_SINCE_ONSET_TESTED_S)
        config = replace(config, evidence=evidence, answers=of_strangers, profile_answers=of_profiles)
        network = FusionNetwork(config)
        network.load_state_dict(self._network.state_dict())
        return Trained(
            config, network.eval(), self._normaliser, Evidence(final.discriminant, clean, evidence)
        )

    def _evidence(self, trials: Sequence[LabelledTrial]) -> Evidence:
        assert self._config.evidence is not None
        steps = {m: [trial.steps[m] for trial in trials] for m in MODALITIES}
        discriminant = MixedDiscriminant.fit([*trials, *self._seen], len(self._config.labels))
        return Evidence(discriminant, SignalRange.fit(steps), self._config.evidence)

    def _courses(self) -> tuple[Course, tuple[Tensor, Tensor]]:
        """Return each subject's session as the other folds' discriminant tells it, and `profiled_session`."""
        found: dict[int, Course] = {}
        profiled: dict[int, tuple[Tensor, Tensor]] = {}
        for fold in range(_N_FOLDS):
            others = [t for i, own in enumerate(self._trials) if self._fold[i] != fold for t in own]
            evidence = self._evidence(others)
            for at in np.flatnonzero(self._fold == fold).tolist():
                found[at] = run_session(self._features[at], evidence, self._config.windows)
                profiled[at] = profiled_session(
                    self._features[at],
                    self._trials[at],
                    np.unique(self._subjects[at].trial, return_inverse=True)[1].ravel(),
                    evidence,
                    self._config.windows,
                )
                self._progress("levels", len(found) / len(self._subjects), math.nan)
        every = range(len(self._subjects))
        one, other = (torch.cat([profiled[at][part] for at in every]) for part in (0, 1))
        return Course.joined([found[at] for at in every]), (one, other)

    def _train(self, windows: WindowTokens, at: NDArray[np.intp], label: Tensor, name: str) -> None:
        options, told = self._options.stages()["fusion"], partial(self._progress, name)
        train_fusion(self._network, windows, at, label, options, self._rng, told)

    @torch.no_grad()
    def _parts(self, windows: WindowTokens, at: NDArray[np.intp]) -> Tensor:
        """Return the parts (5, n, n_labels) of rows' logits, whole windows: network, modalities' evidence."""
        self._network.eval()
        present, reliability = windows.present[0, at], windows.reliability[at]
        logits, attention = self._network.fusion(windows.tokens[0, at], present, reliability)
        gates = gates_of(attention, present, reliability)
        return torch.stack([logits, *(gates[..., None] * windows.evidence[at]).unbind(dim=1)])


def token_rows(rows: Rows, encoded: EncodedRows) -> dict[str, NDArray[np.floating]]:
    """Return each row's face token (n, D) and mean voice token, NaN where there is none."""
    mask = encoded.voice_mask.float()[..., None]
    voice = ((encoded.voice * mask).sum(dim=1) / mask.sum(dim=1).clamp_min(1)).numpy()
    return {
        "face": np.where(rows.has_crop[:, None], encoded.face.numpy(), np.nan),
        "voice": np.where((rows.n_frames > 0)[:, None], voice, np.nan),
    }


def features_of(rows: Rows, tokens: dict[str, NDArray[np.floating]]) -> list[dict[str, NDArray[np.floating]]]:
    """Return each subject's raw features, and the tokens (n, D) of their rows, by modality."""
    return [
        feature_rows(subject, {m: x[rows.subject == number] for m, x in tokens.items()})
        for number, subject in enumerate(rows.subjects)
    ]


def choose_answer(
    held_out: Tensor, rows: Rows, config: EvidenceConfig, since_s: float
) -> tuple[tuple[float, ...], float, AnswerConfig]:
    """Choose weights (0 or more), persistence and sets by parts (5, n, n_labels) of held-out logits."""
    usable = rows.where(min_since_onset_s=_MIN_SINCE_ONSET_S)
    weights = best_weights(held_out[:, usable], rows.label[usable])
    logits = torch.tensordot(torch.tensor(weights), held_out, 1)
    for persistence in _PERSISTENCE:
        shown = answers(logits, rows.first, replace(config, persistence=persistence))
        if changes_a_minute(shown.argmax(dim=1).numpy(), rows, since_s) <= _MOST_CHANGES:
            break
    # The last answer's bonus makes it surer than it is: the temperature is that of what is shown.
    fitted = answers_at(shown, rows, since_s)
    weights = [weight / fitted.temperature for weight in weights]
    persistence /= fitted.temperature
    return tuple(weights), persistence, replace(fitted, temperature=1.0)


def best_weights(parts: Tensor, label: Tensor) -> list[float]:
    """Return the weights (k,), none below 0, by which parts (k, n, n_labels) make the likeliest logits."""
    given = parts.double()

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        of_parts = torch.from_numpy(weights).requires_grad_()
        found = nn.functional.cross_entropy(torch.tensordot(of_parts, given, 1), label)
        found.backward()
        assert of_parts.grad is not None
        return found.item(), of_parts.grad.numpy()

    begun = np.full(len(parts), 0.5)
    found = minimize(loss, begun, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * len(parts)).x
    return [float(w) if w >= _LEAST_WEIGHT else 0.0 for w in found]


def answers_at(shown: Tensor, rows: Rows, since_s: float) -> AnswerConfig:
    """Return when answers are given, and the temperature, by logits (n, n_labels) of held-out subjects."""
    at = rows.where(min_since_onset_s=since_s)

    def nll(temperature: Any) -> Tensor:
        return nn.functional.cross_entropy(shown[at] / temperature, rows.label[at])

    _, temperature = best_temperature(nll, torch.logspace(-0.5, 1.0, 61))
    probs = torch.softmax(shown[at] / temperature, dim=1).double().numpy()
    label, trial, subject = rows.label[at].numpy(), rows.trial[at], rows.subject[at]
    return fit_answers(probs, label, trial, subject, temperature=temperature)


def changes_a_minute(label: NDArray[np.intp], rows: Rows, since_s: float) -> float:
    """Return how often the label (n,) changes while the emotion does not."""
    steady = (rows.since_onset_s[1:] > since_s) & (rows.trial[1:] == rows.trial[:-1])
    steady &= rows.subject[1:] == rows.subject[:-1]
    return float((label[1:] != label[:-1])[steady].sum() / max(steady.sum(), 1) * 60)
