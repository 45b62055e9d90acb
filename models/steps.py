"""Features of single time steps: what is computed once per step and kept, live, in replay and in training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acquisition.quality import FLAT_UV, MAX_SHARE_AT_RAIL, MOST_UV
from acquisition.types import Step
from models.features.config import FeatureConfig
from models.features.de import differential_entropy
from models.features.face import FaceFinder, crop_face, decode_frame
from models.features.gaze import ScreenGeometry, eye_features
from models.features.log_mel import log_mel, resample
from models.features.raw_eeg import raw_eeg


@dataclass(frozen=True, eq=False)
class EegStep:
    """Differential entropy of one step, and its samples where the network takes those."""

    de: Tensor  # (C, n_bands) nats, not normalised
    usable: Tensor  # (C,) bool: neither flat, at the rails, NaN, nor beyond all amplifiers
    raw: Tensor | None = None  # (C, raw_s * raw_sfreq) uV, filtered inside the step


@dataclass(frozen=True, eq=False)
class FaceStep:
    """The face of one step's frame."""

    crop: Tensor | None  # (3, face_size, face_size); None without a face
    box: tuple[float, float, float, float] | None  # x, y, width, height in shares of the frame
    time: float  # LSL seconds of the frame; NaN where the step does not say


class StepFeatures:
    """Computes each modality's features from one `Step`.

    Parameters
    ----------
    config : FeatureConfig
        The checkpoint's feature settings.
    device : torch.device
        Where EEG and voice features are computed; their results are on the CPU. The attribute of this
        name may be set anew.
    screen : ScreenGeometry, optional
        For eye features in degrees.
    raw_eeg : bool
        EEG steps are ``raw_s`` long and their samples are wanted. The entropy, then for display alone, is
        that of the last second.
    """

    def __init__(
        self,
        config: FeatureConfig,
        device: torch.device,
        screen: ScreenGeometry | None = None,
        *,
        raw_eeg: bool = False,
    ) -> None:
        self.config = config
        self._takes_raw_eeg = raw_eeg
        self.device = device
        self._screen = screen
        self._finder: FaceFinder | None = None

    def eeg(self, step: Step) -> EegStep:
        """Return the DE and usability of each channel of a (C, n_times) step in µV."""
        usable = usable_channels(step.data)
        x = torch.from_numpy(np.where(usable[:, None], step.data, 0.0)).to(self.device)
        raw = None
        if self._takes_raw_eeg:
            raw = raw_eeg(x, step.sfreq, self.config).cpu()
            x = x[:, -round(step.sfreq) :]
        entropy = differential_entropy(x, step.sfreq, self.config).cpu()
        return EegStep(entropy, torch.from_numpy(usable), raw)

    def eye(self, step: Step) -> Tensor:
        """Return (n_features,) float32, NaN where a feature has nothing to go by."""
        return torch.from_numpy(eye_features(step.times, step.data, step.t_end, self.config, self._screen))

    def voice(self, step: Step) -> Tensor:
        """Return the log-mel frames (n_frames, n_mels) of a clip (n_times,) in -1..1."""
        wave = resample(step.data, step.sfreq, self.config)
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
    data = np.where(finite[:, None], data, 0.0)
    low, high = data.min(axis=1, keepdims=True), data.max(axis=1, keepdims=True)
    at_rail = np.maximum((data == low).mean(axis=1), (data == high).mean(axis=1))
    return finite & (data.std(axis=1) > FLAT_UV) & (at_rail <= MAX_SHARE_AT_RAIL)
