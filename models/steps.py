"""Features of single time steps, computed once a step: live, in replay, in calibration and in training.

| modality | feature of a step by `StepFeatures`          | cached by the decoder                    |
|----------|----------------------------------------------|------------------------------------------|
| eeg      | `EegStep`: entropy, usable channels, samples | the same                                 |
| eye      | 31 or 33 numbers, NaN where not measured     | the same                                 |
| face     | `FaceStep`: crop and box                     | `CachedFace`: its token in place of crop |
| voice    | log-mel frames, contours or samples          | `CachedVoice`: its tokens                |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acquisition.quality import COUNTS_FROM, FLAT_UV, MAX_SHARE_AT_RAIL, MOST_UV, share_of_equal_steps
from acquisition.types import Step, Window
from models.encoders.voice import LEAST_SPEECH_S
from models.features.config import FeatureConfig
from models.features.covariance import covariances
from models.features.eeg import differential_entropy, raw_eeg
from models.features.face import FaceFinder, crop_face, decode_frame
from models.features.gaze import ScreenGeometry, eye_features
from models.features.log_mel import HOP, log_mel, n_log_mel_frames, resample
from models.features.smoothing import EntropySmoother
from models.features.voice import contours

#: x, y of the upper left corner, width, height in shares of the frame.
FaceBox = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class EegStep:
    """Differential entropy of one step, and its samples where the network takes those."""

    de: Tensor  # (C, n_bands) nats, not normalised
    usable: Tensor  # (C,) bool: neither flat, at the rails, NaN, nor beyond all amplifiers
    raw: Tensor | None = None  # (C, raw_s * raw_sfreq) uV, filtered inside the step
    carries: Tensor | None = None  # (C,) bool: usable but for what was marked bad by hand; None: the same
    covariance: NDArray[np.float32] | None = None  # (C, C) µV², of a model that reads it
    tangent: NDArray[np.float32] | None = None  # (q,) what it is in such a model's `Tangent`

    @property
    def values(self) -> Tensor:
        """What the network takes: the samples where there are any, else the entropy."""
        return self.de if self.raw is None else self.raw

    def without(self, marked_bad: Tensor) -> EegStep:
        """Return the step with the channels (C,) marked bad, and no others, unusable whatever they carry."""
        carries = self.usable if self.carries is None else self.carries
        return replace(self, usable=carries & ~marked_bad, carries=carries)

    @property
    def usable_de(self) -> Tensor:
        """The entropy (C, n_bands), NaN in unusable channels."""
        return torch.where(self.usable[:, None], self.de, torch.nan)


@dataclass(frozen=True, eq=False)
class FaceStep:
    """The face of one step's frame."""

    crop: Tensor | None  # (3, face_size, face_size); None without a face
    box: FaceBox | None
    time: float  # LSL seconds of the frame; NaN where the step does not say


@dataclass(frozen=True, eq=False)
class CachedFace:
    """What is cached of a face step."""

    token: Tensor | None  # (D,); None where the frame holds no face, or the model does without faces
    box: FaceBox | None
    time: float  # LSL seconds of the frame


@dataclass(frozen=True, eq=False)
class CachedVoice:
    """What is cached of a voice step, of a model with voice."""

    tokens: Tensor  # (M, D)
    mask: Tensor  # (M,) bool
    times: Tensor  # (M,) seconds from the clip's start
    clip_s: float  # length of the clip
    speech_s: float | None = None  # of the newest `NEWEST_S`; None where the model does not ask

    @property
    def speaks(self) -> bool:
        """False where nobody spoke lately: what the clip holds is no voice."""
        return self.speech_s is None or self.speech_s >= LEAST_SPEECH_S


StepFeature = EegStep | FaceStep | Tensor
CachedStep = EegStep | CachedFace | CachedVoice | Tensor

#: By (modality, step index).
CachedSteps = Mapping[tuple[str, int], CachedStep]


class StepFeatures:
    """Computes each modality's features from one `Step`.

    EEG and voice features are computed on ``device``, which may be reassigned; their results are on the CPU.
    With a ``screen`` eye features are in degrees. With ``raw_eeg``, EEG steps are ``raw_s`` long and their
    samples are wanted; the entropy, then for display alone, is that of the last second. ``voice_form`` is
    that of `NetworkConfig`. Steps stand alone, but for EEG with `FeatureConfig.smoothing`: then they have to
    come in the order of time.
    """

    def __init__(
        self,
        config: FeatureConfig,
        device: torch.device,
        screen: ScreenGeometry | None = None,
        *,
        raw_eeg: bool = False,
        voice_form: str = "log_mel",
    ) -> None:
        self._voice_form = voice_form
        self.config, self._takes_raw_eeg, self.device = config, raw_eeg, device
        self._screen = screen
        self._finder: FaceFinder | None = None
        self.reset()

    def reset(self) -> None:
        """Forget the steps so far: what comes next does not continue them."""
        ratio = self.config.smoothing
        self._smoother = None if ratio is None else EntropySmoother(ratio)

    def __call__(self, modality: str, step: Step) -> StepFeature:
        """Return a modality's feature of a valid step with its samples."""
        compute: dict[str, Callable[[Step], StepFeature]]
        compute = {"eeg": self.eeg, "eye": self.eye, "face": self.face, "voice": self.voice}
        return compute[modality](step)

    def newest(self, window: Window) -> dict[str, Any]:
        """Return the features of a window's newest steps by modality; invalid ones are left out."""
        newest = {modality: steps[-1] for modality, steps in window.steps.items()}
        return {modality: self(modality, step) for modality, step in newest.items() if step.valid}

    def eeg(self, step: Step) -> EegStep:
        """Return the DE and usability of each channel of a (C, n_times) step in µV."""
        usable = usable_channels(step.data)
        data = step.data if usable.all() else np.where(usable[:, None], step.data, 0.0)
        x = torch.from_numpy(data).to(self.device)
        raw = None
        if self._takes_raw_eeg:
            raw = raw_eeg(x, step.sfreq, self.config).cpu()
            x = x[:, -round(step.sfreq) :]
        found = EegStep(
            differential_entropy(x, step.sfreq, self.config).cpu(),
            torch.from_numpy(usable),
            raw,
            covariance=covariances(data, step.sfreq, self.config.covariance_hz, self.config.n_tapers),
        )
        if self._smoother is not None:
            found = replace(found, de=self._smoother(step.t_end, found.usable_de).nan_to_num())
        return found

    def eye(self, step: Step) -> Tensor:
        """Return (n_features,) float32, NaN where a feature has nothing to go by."""
        return torch.from_numpy(eye_features(step.times, step.data, step.t_end, self.config, self._screen))

    def voice(self, step: Step) -> Tensor:
        """Return the log-mel frames (n_frames, n_mels) of a clip (n_times,) in -1..1, or its other form.

        Those are its contours, or its newest samples (n_frames, HOP).
        """
        wave = resample(step.data, step.sfreq, self.config)
        if self._voice_form == "contours":
            return contours(wave)
        if self._voice_form == "wave":
            return wave[len(wave) - HOP * n_log_mel_frames(len(wave)) :].reshape(-1, HOP)
        return log_mel(wave.to(self.device), self.config).cpu()

    def face(self, step: Step) -> FaceStep:
        """Return crop and place of the frame's largest face."""
        if self._finder is None:
            self._finder = FaceFinder(self.config)
        image = decode_frame(step.data)
        box = None if image is None else self._finder.find(image)
        time = float("nan") if step.times is None else float(step.times[-1])
        if image is None or box is None:
            return FaceStep(None, None, time)
        height, width = image.shape[:2]
        shares = (box[0] / width, box[1] / height, box[2] / width, box[3] / height)
        return FaceStep(crop_face(image, box, self.config), shares, time)


def usable_channels(data: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return which channels of a step (C, n_times) carry a signal, (C,) bool."""
    finite = (np.abs(data) <= MOST_UV).all(axis=1)  # NaN compares False
    if not finite.all():
        data = np.where(finite[:, None], data, 0.0)
    low, high = data.min(axis=1, keepdims=True), data.max(axis=1, keepdims=True)
    at_rail = np.maximum((data == low).mean(axis=1), (data == high).mean(axis=1))
    counts = share_of_equal_steps(data.T) >= COUNTS_FROM
    return finite & (data.std(axis=1) > FLAT_UV) & (at_rail <= MAX_SHARE_AT_RAIL) & ~counts
