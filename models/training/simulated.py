"""The ``small`` model, which ships with the program: trained and tested on simulated subjects alone."""

from __future__ import annotations

import math
import queue
from collections.abc import Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from acquisition.errors import ErrorCode, InputError
from acquisition.montage import SEED_CH_NAMES
from acquisition.simulator.subject import EMOTIONS
from acquisition.types import MODALITIES
from models.checkpoint import Checkpoint, save_checkpoint
from models.config import ModelConfig, preset
from models.features.config import FeatureConfig
from models.network import FusionNetwork
from models.normalise import Normaliser, fit_eeg, fit_eye
from models.process import keep_freed_memory, process_pool
from models.training.cards import ModelCard, bullets
from models.training.loop import Progress, StageOptions
from models.training.scores import best_temperature, wilson_interval
from models.training.simulated_data import Rows, SubjectFeatures, SubjectPlan, load_subject, simulate_subjects
from models.training.stages import (
    RowInputs,
    encode_rows,
    modality_tokens,
    replaced_by_noise,
    train_encoder,
    train_fusion,
    train_token_heads,
)

_POLL_S = 0.2
#: Seeds of simulated subjects: training uses the first ones, evaluation none of them.
FIRST_TRAINING_SEED = 1000
FIRST_EVALUATION_SEED = 900_000
_MIN_SINCE_ONSET_S = 3.0
_TEST_BATCH = 32
_MIN_SINCE_ONSET_TESTED_S = 5.0  # earlier windows still hold more of the trial before
#: Smaller caps, each part of the next.
CAPS = {
    "8": ("FP1", "FP2", "C3", "C4", "P7", "P8", "O1", "O2"),
    "16": ("F7", "F8", "F3", "F4", "T7", "T8", "P3", "P4"),
    "32": (
        *("FZ", "CZ", "PZ", "OZ", "FC5", "FC6", "FC1", "FC2"),
        *("CP5", "CP6", "CP1", "CP2", "AF3", "AF4", "PO3", "PO4"),
    ),
}


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
    rows = Rows([load_subject(folder) for folder in job.folders], normaliser)
    last_share = -1.0

    def progress(stage: str, share: float, loss: float) -> None:
        nonlocal last_share
        if share - last_share >= 0.01 or share >= 1.0:
            last_share = share
            news.put((stage, share, loss))

    train_encoder(network, job.modality, rows, job.options, np.random.default_rng(job.seed), progress)
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

    n_subjects: int = 40
    n_validation: int = 4  # of the subjects, held out for the temperature
    seed: int = 1
    epochs_scale: float = 1.0  # multiplies every stage's passes

    def stages(self) -> dict[str, StageOptions]:
        """Return the settings of each stage."""
        stages = {
            "eeg": StageOptions(epochs=3, batch_size=64, learning_rate=2e-3),
            "eye": StageOptions(epochs=2.5, batch_size=64, learning_rate=2e-3),
            "face": StageOptions(epochs=4, batch_size=64, learning_rate=1e-3),
            "voice": StageOptions(epochs=3, batch_size=32, learning_rate=8e-4),
            "pooling": StageOptions(epochs=3, batch_size=128, learning_rate=5e-4),
            "fusion": StageOptions(epochs=20, batch_size=256, learning_rate=1e-3),
        }
        return {name: replace(s, epochs=s.epochs * self.epochs_scale) for name, s in stages.items()}


def train_simulated(folder: Path, options: TrainingOptions, progress: Progress) -> str:
    """Simulate subjects, train every stage and write the model folder; returns its SHA-256."""
    trained_on = "simulated data only"
    config = preset(
        "small", labels=EMOTIONS, ch_names=SEED_CH_NAMES, trained_on=trained_on, is_simulated=True
    )
    with TemporaryDirectory(prefix="affectscope-train-", ignore_cleanup_errors=True) as scratch:
        folders = options.simulate(FIRST_TRAINING_SEED, config.features, Path(scratch), progress)
        network, normaliser = fit(config, folders, options, progress)
    return save_checkpoint(folder, config, network, normaliser.to_dict(), _card(options, EMOTIONS))


def _card(options: TrainingOptions, labels: Sequence[str]) -> str:
    """Return the card of a model trained on simulated subjects alone."""
    lines = [
        "**What it is for:** trying the program, its timing and its displays on simulated devices.",
        "**What it is not for:** predictions about real people: it was trained on none. "
        "Not for workplaces or education.",
        "**Inputs:** any subset of its 62 EEG channels (DE in five bands), 33 eye features, face crops, "
        "voice.",
        f"**Outputs:** {', '.join(labels)}; attention per modality, EEG channel and time step.",
        "**Protocol:** each encoder alone, then frozen, then shared attention over modality tokens with "
        "modality dropout; normalisation fitted on the training subjects. `affectscope evaluate simulated` "
        "gives its figures on subjects not seen in training.",
        "**Licence:** GPL-3.0-or-later.",
    ]
    card = ModelCard(
        "Affectscope small, simulated data only",
        f"Trained by `affectscope train --simulated` on {options.n_subjects - options.n_validation} "
        f"simulated subjects ({options.n_trials} trials of {options.trial_s:g} s each, five emotions, "
        f"difficulty {options.difficulty}, seed {options.seed}); {options.n_validation} more set the softmax "
        f"temperature. No recordings of real people were used.\n\n{bullets(lines)}",
    )
    return card.markdown()


def fit(
    config: ModelConfig, folders: Sequence[Path], options: TrainingOptions, progress: Progress
) -> tuple[FusionNetwork, Normaliser]:
    """Train all stages on the subjects in ``folders``; the last ``n_validation`` only set the temperature."""
    keep_freed_memory()
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    subjects = [load_subject(folder) for folder in folders]
    training, validation = subjects[: -options.n_validation], subjects[-options.n_validation :]
    normaliser = fit_normaliser(training)
    network, stages, own = FusionNetwork(config), options.stages(), folders[: -options.n_validation]
    seed, n_jobs = options.seed, options.n_jobs
    train_encoders(network, own, normaliser, stages, seed=seed, n_jobs=n_jobs, progress=progress)
    rows = Rows(training, normaliser)
    inputs = RowInputs(network, rows, rng, encode_rows(network, rows, progress))
    usable = rows.where(min_since_onset_s=_MIN_SINCE_ONSET_S)
    train_token_heads(inputs, usable, stages["pooling"], rng, progress)
    windows = modality_tokens(inputs, usable, 3, rng, progress)
    train_fusion(network, windows, rows.label[usable], stages["fusion"], rng, progress)
    _set_temperature(network, Rows(validation, normaliser), rng, progress)
    return network, normaliser


def fit_normaliser(training: list[SubjectFeatures]) -> Normaliser:
    """Return scales fitted on the training subjects alone; unusable channels and steps are excluded."""
    de = np.concatenate([np.where(s.usable[..., None], s.de, np.nan) for s in training])
    eye = np.concatenate([s.eye for s in training])
    return Normaliser(fit_eeg(torch.from_numpy(de)), fit_eye(torch.from_numpy(eye)))


def _set_temperature(
    network: FusionNetwork, rows: Rows, rng: np.random.Generator, progress: Progress
) -> None:
    """Fold the temperature that suits held-out subjects into the last layer."""
    inputs = RowInputs(network, rows, rng, encode_rows(network, rows, progress))
    usable = rows.where(min_since_onset_s=_MIN_SINCE_ONSET_S)
    windows = modality_tokens(inputs, usable, 1, rng, progress)
    network.eval()
    with torch.no_grad():
        logits, _ = network.fusion(windows.tokens[0], windows.present[0])
    label, candidates = rows.label[usable], torch.logspace(-0.5, 1.0, 61)
    _, temperature = best_temperature(lambda t: nn.functional.cross_entropy(logits / t, label), candidates)
    network.fusion.divide_logits(temperature)


def evaluate_simulated(
    checkpoint: Checkpoint, subjects: SimulatedSubjects, progress: Progress
) -> dict[str, Any]:
    """Return accuracies per trial and per window (keys ending in ``_window``), with chance beside them.

    A trial's prediction is the mean of its windows' probabilities, from the fifth second on. The keys are
    ``all``, ``only`` and ``without`` by modality, ``channels`` by cap size, ``chance``, counts, Wilson
    intervals of the accuracies per trial (``interval``), and how each modality's attention moves: its SD over
    windows and its change when the modality is replaced by noise.

    Raises `InputError`; see `check_simulated`.
    """
    check_simulated(checkpoint.config)
    with TemporaryDirectory(prefix="affectscope-evaluate-", ignore_cleanup_errors=True) as scratch:
        features = checkpoint.config.features
        folders = subjects.simulate(FIRST_EVALUATION_SEED, features, Path(scratch), progress)
        normaliser = Normaliser.from_dict(checkpoint.normaliser_tensors)
        rows = Rows([load_subject(path) for path in folders], normaliser)
        return _Evaluation(checkpoint.network, rows, progress).report()


def check_simulated(config: ModelConfig) -> None:
    """Refuse a model that cannot be tested on simulated subjects, with the reason."""
    for expected, found in (
        ("a classifier", "a classifier" if config.is_classifier else "pre-trained encoders"),
        ("raw features", f"{config.feature_origin} features"),
        (f"modalities {', '.join(MODALITIES)}", f"modalities {', '.join(config.modalities)}"),
        (f"labels {', '.join(EMOTIONS)}", f"labels {', '.join(config.labels)}"),
    ):
        if expected != found:
            raise InputError(
                f"the model cannot be tested on simulated subjects: expected {expected}, found {found}",
                where="--model",
                remedy="choose one made by affectscope train --simulated, or omit --model",
                code=ErrorCode.MODEL,
                found=found,
            )


class _Evaluation:
    """All conditions over the same windows."""

    def __init__(self, network: FusionNetwork, rows: Rows, progress: Progress) -> None:
        self._rng = np.random.default_rng(0)
        self._inputs = RowInputs(network, rows, self._rng, encode_rows(network, rows, progress))
        self._network, self._rows, self._progress = network.prepare_inference(), rows, progress
        self._at = rows.where(min_since_onset_s=_MIN_SINCE_ONSET_TESTED_S)
        self._labels = rows.label[self._at].numpy()
        trial = rows.subject[self._at] * 1_000_000 + rows.trial[self._at]
        _, self._trial_of_window = np.unique(trial, return_inverse=True)
        self._n_trials = int(self._trial_of_window.max()) + 1

    def report(self) -> dict[str, Any]:
        names = self._network.config.ch_names
        picks: dict[str, list[int] | None] = {"": None}
        cap: tuple[str, ...] = ()
        for size, added in CAPS.items():
            cap += added
            picks[size] = sorted(names.index(name) for name in cap if name in names)
        tokens = {}
        for number, (size, channels) in enumerate(picks.items()):
            tokens[size] = self._tokens(channels)
            self._progress("evaluating", (number + 1) / (len(picks) + 1), math.nan)
        conditions: dict[str, tuple[Sequence[str], str]] = {"all": (MODALITIES, "")}
        for modality in MODALITIES:
            conditions[f"only/{modality}"] = ((modality,), "")
            conditions[f"without/{modality}"] = ([m for m in MODALITIES if m != modality], "")
        for size in CAPS:
            conditions[f"channels/{size}"] = (("eeg",), size)
            conditions[f"channels_with_all/{size}"] = (MODALITIES, size)
        probs = {name: self._predict(*tokens[size], chosen)[0] for name, (chosen, size) in conditions.items()}
        noisy, _ = self._tokens(None, noise=True)
        self._progress("evaluating", 1.0, math.nan)
        return self._table(probs) | {"attention": self._attention(*tokens[""], noisy)}

    def _tokens(self, channels: list[int] | None, *, noise: bool = False) -> tuple[Tensor, Tensor]:
        """Return modality tokens (n, 4, d_model) and presence (n, 4) of all windows."""
        tokens, present = [], []
        for start in range(0, len(self._at), _TEST_BATCH):
            at = self._at[start : start + _TEST_BATCH]
            batch = self._inputs.window(at, channels=channels)
            for modality in MODALITIES if noise else ():
                batch = replaced_by_noise(batch, modality, self._rng)
            with torch.no_grad():
                tokens.append(self._network.modality_tokens(batch))
            present.append(batch.present)
        return torch.cat(tokens), torch.cat(present)

    @torch.no_grad()
    def _predict(
        self, tokens: Tensor, present: Tensor, chosen: Sequence[str]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return probabilities (n, n_labels) and modality attention (n, 4) from the chosen modalities."""
        mask = torch.tensor([modality in chosen for modality in MODALITIES])
        logits, attention = self._network.fusion(tokens, present & mask)
        return torch.softmax(logits, dim=-1).double().numpy(), attention.double().numpy()

    def _table(self, probs: dict[str, NDArray[np.float64]]) -> dict[str, Any]:
        table: dict[str, Any] = {
            "chance": 1 / probs["all"].shape[1],
            "n_subjects": len(self._rows.subjects),
            "n_trials": self._n_trials,
            "n_windows": len(self._at),
            "interval": {},
        }
        for name, p in probs.items():
            group, _, key = name.partition("/")
            per_trial, per_window = self._accuracies(p)
            interval = wilson_interval(per_trial, self._n_trials)
            figures = (table, group, per_trial), (table, f"{group}_window", per_window)
            for where, name_of_group, figure in (*figures, (table["interval"], group, interval)):
                if key:
                    where.setdefault(name_of_group, {})[key] = figure
                else:
                    where[name_of_group] = figure
        return table

    def _accuracies(self, probs: NDArray[np.float64]) -> tuple[float, float]:
        """Return accuracy per trial and per window of probabilities (n, n_labels)."""
        sums = np.zeros((self._n_trials, probs.shape[1]))
        np.add.at(sums, self._trial_of_window, probs)
        label_of_trial = np.zeros(self._n_trials, dtype=np.int64)
        label_of_trial[self._trial_of_window] = self._labels
        per_trial = float((sums.argmax(1) == label_of_trial).mean())
        return per_trial, float((probs.argmax(1) == self._labels).mean())

    def _attention(self, tokens: Tensor, present: Tensor, noisy: Tensor) -> dict[str, dict[str, float]]:
        """Return, by modality, the attention's mean, SD over windows and mean change under noise."""
        whole = self._predict(tokens, present, MODALITIES)[1]
        moved = {}
        for index, modality in enumerate(MODALITIES):
            disturbed = tokens.clone()
            disturbed[:, index] = noisy[:, index]
            changed = self._predict(disturbed, present, MODALITIES)[1]
            moved[modality] = {
                "mean": float(whole[:, index].mean()),
                "sd": float(whole[:, index].std()),
                "change_by_noise": float((changed - whole)[:, index].mean()),
            }
        return moved
