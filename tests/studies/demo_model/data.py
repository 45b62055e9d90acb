"""Features of simulated subjects, made by the live path itself: source, rings, windows, step features.

Nothing here computes a feature of its own, so a model trained on these rows sees live what it saw in
training. Rows are a second apart.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acquisition.pump import Pump
from acquisition.simulator.behaviour import Schedule
from acquisition.simulator.source import SimulatedSource, SimulatorOptions
from acquisition.simulator.subject import EMOTIONS
from acquisition.types import Window
from acquisition.windowing import EDGE_SLACK_S, WindowConfig, rows_back
from models.config import ModelConfig
from models.features.config import FeatureConfig
from models.features.log_mel import n_log_mel_frames
from models.mixed_discriminant import LabelledTrial
from models.normalise import Normaliser
from models.steps import StepFeatures
from models.window_batch import Part, StepRows, eeg_part, eye_part
from tests.studies.jobs import process_pool

#: One row a second needs no finer grid than the voice's and the face's.
TRAINING_WINDOWS = WindowConfig(hop_s=0.5)
# Two frames a second would do, but the newest one before a whole second must not be half a second old.
_VIDEO_FPS = 5.0
_N_CHANNELS = 62  # of the simulated cap
_MOST_CHANNELS = 40


@dataclass(frozen=True)
class SubjectPlan:
    """Which simulated subject to run, and for how long."""

    seed: int
    n_trials: int = 10
    trial_s: float = 24.0
    difficulty: str | float = "default"


@dataclass(frozen=True, eq=False)
class SubjectFeatures:
    """One simulated subject's features, a row a second; what was not valid is NaN or False."""

    t_end: NDArray[np.float64]  # (n,) seconds since the session began
    label: NDArray[np.int64]  # (n,) index into EMOTIONS
    trial: NDArray[np.int64]  # (n,)
    since_onset_s: NDArray[np.float64]  # (n,) seconds since the trial began
    de: NDArray[np.float32]  # (n, 62, 5) nats
    usable: NDArray[np.bool_]  # (n, 62)
    eye: NDArray[np.float32]  # (n, n_features)
    crop: NDArray[np.uint8]  # (n, 3, size, size)
    has_crop: NDArray[np.bool_]  # (n,)
    log_mel: NDArray[np.float16]  # (n, n_frames, n_mels), zero-padded
    n_frames: NDArray[np.int64]  # (n,)
    voice_clip_s: NDArray[np.float64]  # (n,) length of the clip, 0 where there is none


def simulate_subjects(
    plans: Sequence[SubjectPlan],
    features: FeatureConfig,
    folder: Path,
    *,
    n_jobs: int = 2,
    on_done: Callable[[int], None] = lambda n_done: None,
) -> list[Path]:
    """Run subjects in processes of their own and return the folders of their features."""
    folders = [folder / f"subject-{plan.seed}" for plan in plans]
    with process_pool(n_jobs) as pool:
        futures = [pool.submit(_simulate_into, *job, features) for job in zip(plans, folders, strict=True)]
        for n_done, future in enumerate(as_completed(futures), start=1):
            future.result()
            on_done(n_done)
    return folders


def _simulate_into(plan: SubjectPlan, folder: Path, features: FeatureConfig) -> None:
    torch.set_num_threads(1)
    subject = simulate_subject(plan, features)
    folder.mkdir(parents=True, exist_ok=True)
    for field in fields(SubjectFeatures):
        np.save(folder / f"{field.name}.npy", getattr(subject, field.name), allow_pickle=False)


def load_subject(folder: Path) -> SubjectFeatures:
    """Return a subject's features as maps of the files in its folder."""
    names = [field.name for field in fields(SubjectFeatures)]
    return SubjectFeatures(**{n: np.load(folder / f"{n}.npy", mmap_mode="r") for n in names})


def simulate_subject(plan: SubjectPlan, features: FeatureConfig) -> SubjectFeatures:
    """Pump one simulated subject through rings and step features."""
    schedule = Schedule.balanced(plan.seed, plan.n_trials, plan.trial_s)
    options = SimulatorOptions(seed=plan.seed, difficulty=plan.difficulty)
    source = SimulatedSource(options, video_fps=_VIDEO_FPS, timeline=schedule)
    step_features = StepFeatures(features, torch.device("cpu"))
    pump = Pump(source, TRAINING_WINDOWS)
    rows = [
        _row(pump.window_at(second, newest_only=True), schedule, step_features, features)
        for second in pump.whole_seconds(0, int(plan.n_trials * plan.trial_s))
    ]
    return SubjectFeatures(**{name: np.stack([row[name] for row in rows]) for name in rows[0]})


def _row(
    window: Window, schedule: Schedule, step_features: StepFeatures, features: FeatureConfig
) -> dict[str, Any]:
    """Return one row of every field of `SubjectFeatures`."""
    segment = schedule.segment_at(window.t_end - EDGE_SLACK_S)  # the row that ends a trial belongs to it
    newest = step_features.newest(window)
    n_longest = n_log_mel_frames(round(TRAINING_WINDOWS.voice_s * features.voice_sfreq))
    row: dict[str, Any] = {
        "t_end": np.float64(window.t_end),
        "label": np.int64(EMOTIONS.index(str(segment.emotion))),
        "trial": np.int64(segment.index),
        "since_onset_s": np.float64(window.t_end - segment.onset_s),
        "de": np.full((_N_CHANNELS, len(features.bands)), np.nan, dtype=np.float32),
        "usable": np.zeros(_N_CHANNELS, dtype=bool),
        "eye": np.full(features.eye_features, np.nan, dtype=np.float32),
        "crop": np.zeros((3, features.face_size, features.face_size), dtype=np.uint8),
        "has_crop": np.bool_(False),
        "log_mel": np.zeros((n_longest, features.n_mels), dtype=np.float16),
        "n_frames": np.int64(0),
        "voice_clip_s": np.float64(0.0),
    }
    if "eeg" in newest:
        row |= {"de": newest["eeg"].de.numpy(), "usable": newest["eeg"].usable.numpy()}
    if "eye" in newest:
        row["eye"] = newest["eye"].numpy()
    if "face" in newest and newest["face"].crop is not None:
        row |= {"crop": as_bytes(newest["face"].crop), "has_crop": np.bool_(True)}
    if "voice" in newest:
        frames, clip = newest["voice"][:n_longest].numpy(), window.steps["voice"][-1]
        row["log_mel"][: len(frames)] = frames
        row["n_frames"] = np.int64(len(frames))
        row["voice_clip_s"] = np.float64(len(clip.data) / clip.sfreq)
    return row


def as_bytes(crop: Tensor) -> NDArray[np.uint8]:
    """Return a crop (3, size, size) in an eighth of its memory; `as_crop` undoes it exactly."""
    return ((crop * 0.5 + 0.5) * 255).round().clamp(0, 255).to(torch.uint8).numpy()


def as_crop(stored: NDArray[np.uint8]) -> Tensor:
    """Return stored crops (..., 3, size, size) as the network wants them."""
    return (torch.from_numpy(stored).float() / 255 - 0.5) / 0.5


@dataclass(frozen=True)
class Augment:
    """How windows are thinned out in training, so that one checkpoint takes any subset."""

    min_channels: int = 8
    p_most_channels: float = 0.5  # 40 channels or more
    min_level_trials: int = 1  # of the subject's that its level is the mean of
    max_level_trials: int = 10
    min_steps: int = 3
    p_forget_last_trial: float = 0.5  # mask the steps that lie before the trial's onset
    eeg_noise: float = 0.1  # SD added to z-scores
    p_drop_eye_feature: float = 0.15


#: Seconds from a trial's onset at which steps no longer hold the trial before.
_WHOLE_S = {"eeg": 1.0, "eye": 6.0, "face": 1.0, "voice": 5.0}

#: Means (n, F) of n rows' subjects by modality.
Levels = Mapping[str, Tensor]


def labelled_trials(
    person: str, subject: SubjectFeatures, tokens: Mapping[str, NDArray[np.floating]] | None = None
) -> list[LabelledTrial]:
    """Return a subject's trials as the discriminant takes them; ``tokens`` (n, D) are of faces and voice."""
    rows = feature_rows(subject, tokens)
    found = []
    for trial in np.unique(subject.trial):
        at = subject.trial == trial
        steps = {m: x[at & (subject.since_onset_s >= _WHOLE_S[m])] for m, x in rows.items()}
        found.append(LabelledTrial(person, 0, int(subject.label[at][0]), steps))
    return found


def feature_rows(
    subject: SubjectFeatures, tokens: Mapping[str, NDArray[np.floating]] | None = None
) -> dict[str, NDArray[np.floating]]:
    """Return raw features (n, F) by modality, NaN where unknown; see `labelled_trials`."""
    eeg = np.where(subject.usable[..., None], subject.de, np.nan).reshape(len(subject.de), -1)
    return {"eeg": eeg, "eye": np.asarray(subject.eye), **(tokens or {})}


class Rows:
    """All subjects' rows end to end, about ``levels`` known when they end, else about the training mean."""

    def __init__(
        self, subjects: Sequence[SubjectFeatures], normaliser: Normaliser, levels: Levels | None = None
    ) -> None:
        self.subjects, self.normaliser = subjects, normaliser
        self.levels = levels or {}
        lengths = [len(s.t_end) for s in subjects]
        self.first = np.repeat(np.cumsum([0, *lengths[:-1]]), lengths)  # first row of a row's subject
        self.subject = np.repeat(np.arange(len(subjects)), lengths)

        def joined(name: str) -> NDArray[Any]:
            return np.concatenate([getattr(subject, name) for subject in subjects])

        self.label = torch.from_numpy(joined("label"))
        self.trial, self.since_onset_s = joined("trial"), joined("since_onset_s")
        self.has_crop = joined("has_crop")
        self.n_frames, self.voice_clip_s = joined("n_frames"), joined("voice_clip_s")
        de, usable, eye = (torch.from_numpy(joined(n)) for n in ("de", "usable", "eye"))
        valid = np.ones(len(self), dtype=bool)  # a step in which nothing is usable is a gap
        self._eeg = StepRows(self.first, de, usable, valid)
        self._eye = StepRows(self.first, eye, torch.isfinite(eye), valid)

    def __len__(self) -> int:
        return len(self.label)

    def where(self, *, min_since_onset_s: float = 0.0) -> NDArray[np.intp]:
        """Return the rows at least so long into their trial."""
        return np.flatnonzero(self.since_onset_s >= min_since_onset_s)

    def crops(self, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Return stored face crops (n, 3, size, size)."""
        return np.stack([self.subjects[self.subject[r]].crop[r - self.first[r]] for r in rows])

    def log_mel(self, rows: NDArray[np.intp]) -> tuple[Tensor, Tensor]:
        """Return log-mel frames (n, F, n_mels) and their mask (n, F)."""
        frames = np.stack([self.subjects[self.subject[r]].log_mel[r - self.first[r]] for r in rows])
        mask = np.arange(frames.shape[1]) < self.n_frames[rows][:, None]
        return torch.from_numpy(frames).float(), torch.from_numpy(mask)

    def steps_back(self, rows: NDArray[np.intp], n_steps: int) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Return the rows of the last ``n_steps`` seconds (n, T), oldest first, and which exist."""
        return rows_back(rows, n_steps, self.first[rows])

    def centred(self, rows: NDArray[np.intp], levels: Levels | None = None) -> Normaliser:
        """Return the scales about the levels (n, F) of n windows: given ones, else those that are known."""
        found = {m: level[rows] for m, level in self.levels.items()} if levels is None else levels
        return self.normaliser.about(found)

    def eeg(
        self,
        rows: NDArray[np.intp],
        channels: Sequence[int],
        config: ModelConfig,
        levels: Levels | None = None,
    ) -> Part:
        """Return the EEG of windows that end at some rows, of some channels by their indices."""
        values, usable, _ = self._eeg.cut(rows, config.n_eeg_steps)
        at, normaliser = torch.tensor(channels), self.centred(rows, levels)
        return eeg_part(values[:, :, at], usable[:, :, at], at, config, normaliser)

    def eye(self, rows: NDArray[np.intp], config: ModelConfig, levels: Levels | None = None) -> Part:
        """Return the eye features of windows that end at some rows."""
        values, usable, _ = self._eye.cut(rows, config.windows.eye_n_steps)
        return eye_part(values, usable, self.centred(rows, levels))

    def before_onset(self, rows: NDArray[np.intp], n_steps: int) -> Tensor:
        """Return which of the last ``n_steps`` steps (n, T) began before the running trial."""
        age = np.arange(n_steps - 1, -1, -1)
        return torch.from_numpy(self.since_onset_s[rows][:, None] - age < 1.0)


def thinned(step_mask: Tensor, before_onset: Tensor, augment: Augment, rng: np.random.Generator) -> Tensor:
    """Return a step mask (n, T) with random old steps masked; the newest three stay."""
    n, n_steps = step_mask.shape
    keep = step_mask.clone()
    lengths = torch.from_numpy(rng.integers(augment.min_steps, n_steps + 1, n))
    keep &= torch.arange(n_steps - 1, -1, -1) < lengths[:, None]
    forget = torch.from_numpy(rng.random(n) < augment.p_forget_last_trial)
    newest = torch.arange(n_steps) >= n_steps - augment.min_steps
    return keep & (~(before_onset & forget[:, None]) | (newest & step_mask))


def random_channels(n_channels: int, augment: Augment, rng: np.random.Generator) -> list[int]:
    """Return a random subset of channel indices, sorted; in half of the cases of most channels."""
    most = min(_MOST_CHANNELS, n_channels)
    bounds = (most, n_channels) if rng.random() < augment.p_most_channels else (augment.min_channels, most)
    size = int(rng.integers(bounds[0], bounds[1] + 1))
    return sorted(rng.choice(n_channels, size, replace=False).tolist())
