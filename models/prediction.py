"""What comes out of the decoder for one window."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.trust import Verdict

#: Of a model that reads face or voice alone.
SHOWN = "It names the expression shown, never what a person feels."
_EXPRESSIVE = {"face", "voice"}


def names_expression(modalities: Collection[str]) -> bool:
    """Tell whether a model that reads these modalities names nothing but the expression shown."""
    return _EXPRESSIVE.issuperset(modalities)


if TYPE_CHECKING:
    from torch import Tensor

    from models.window_batch import NetworkInput


@dataclass(frozen=True, eq=False)
class Given:
    """What evidence of a modality is about."""

    deviation: NDArray[np.float32]  # (F,) mean of the newest seconds less the level, 0 where unknown
    n_steps: int
    known: NDArray[np.bool_]  # (F,)
    level_trials: float  # trials' worth of data behind the level, one of those of `models.level`

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """As `MixedDiscriminant.evidence` takes it, one row."""
        import torch  # a window unpickles this class, and has no other use for torch

        known = torch.from_numpy(self.known)[None]
        return torch.from_numpy(self.deviation)[None], torch.tensor([float(self.n_steps)]), known

    def without(self, hidden: NDArray[np.bool_]) -> Given:
        """Return the same with some features (F,) unknown."""
        deviation = np.where(hidden, np.float32(0.0), self.deviation)
        return replace(self, deviation=deviation, known=self.known & ~hidden)


@dataclass(frozen=True)
class Latency:
    """Where the time went, milliseconds; NaN where it has no meaning (arrival and age in a replay).

    The stages before ``total`` sum to it: ``hand_over`` is between the threads and around the decoder.
    """

    arrival: float = math.nan
    wait: float = math.nan
    hand_over: float = math.nan
    features: float = math.nan
    network: float = math.nan
    total: float = math.nan
    age: float = math.nan


@dataclass(frozen=True)
class OcclusionRow:
    """How the probability of the predicted emotion changes when part of the input is removed."""

    kind: str  # modality | band | region
    name: str  # eeg, alpha, left temporal, ...
    delta_p: float  # without it minus with it: negative means it supported the emotion
    ch_names: tuple[str, ...] = ()  # of a region: its channels that were in use


@dataclass(frozen=True)
class FaceMeasures:
    """What the newest webcam frame shows beside the expression; NaN and None without a face.

    No model reads it: see `models.features.face.FaceMeter`.
    """

    time: float  # LSL seconds of the frame
    eye_aspect_left: float  # eye aspect ratio of the participant's left eye
    eye_aspect_right: float
    is_blinking: bool | None
    blinks_per_min: float  # over the last minute; NaN before ten seconds with a face, or below 10 frames/s
    yaw_deg: float  # positive: turned to the right of the picture
    pitch_deg: float  # positive: up
    roll_deg: float  # positive: clockwise in the picture
    fps: float  # frames measured a second; fewer than the camera's on a slow computer
    ms_per_frame: float  # mean time that a frame took


@dataclass(frozen=True, eq=False)
class Prediction:
    """Probabilities and attention for the window that ended at ``t_end`` (LSL seconds).

    Every attention sums to 1 over what is present; absent modalities have 0. From ``band_de`` on it is
    what a screen shows of the newest step, whether the network looked at it or not.
    """

    index: int
    t_end: float
    label: str
    probs: Mapping[str, float]
    modality_attention: Mapping[str, float]
    channel_attention: Mapping[str, float]  # empty without EEG
    time_attention: tuple[float, ...]  # oldest step first
    present: Mapping[str, bool]  # of the four modalities; those that the model does without never are
    coverage: Mapping[str, float]
    waited_s: float
    warm_up: bool
    normalisation: str  # "training", or what replaced the training statistics
    latency: Latency = field(default_factory=Latency)
    inputs: NetworkInput | None = None  # what the network was given; stays in the process that decodes
    # (C, n_bands) nats, differential entropy of the newest EEG step, not normalised; NaN where a channel is
    # unusable, all NaN where the step is invalid; (0, n_bands) without an EEG stream
    band_de: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), dtype=np.float32))
    band_ch_names: tuple[str, ...] = ()  # the C channels of ``band_de``
    # x, y of the upper left corner, width, height in shares of the frame; None: no face in the newest step
    face_box: tuple[float, float, float, float] | None = None
    face_time: float = math.nan  # LSL seconds of the window's newest frame in which a face was looked for
    face_measures: FaceMeasures | None = None  # None: not asked for, an eye tracker is in use, or no frame
    level_trials: float = math.nan  # trials' worth of data the running level rests on; NaN: none runs
    agreement: float = math.nan  # `models.agreement`: do the modalities change together? NaN: not known yet
    given: Mapping[str, Given] = field(default_factory=dict)  # what the evidence was about; stays as `inputs`
    reliability: Mapping[str, float] = field(default_factory=dict)  # by modality, 0..1; empty: not known
    is_quiet: bool = False  # the voice is absent because nobody speaks
    verdict: Verdict = field(default_factory=Verdict)
    marked_bad: tuple[str, ...] = ()  # electrodes marked bad by hand, which the network does not see
    shadow: Mapping[str, float] = field(default_factory=dict)  # probabilities by other evidence, if it runs
