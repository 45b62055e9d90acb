"""What a window is made of: step lengths, grids and the rules of presence. Part of every checkpoint."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from acquisition.errors import InputError
from acquisition.types import MODALITIES


@dataclass(frozen=True)
class WindowConfig:
    """Geometry of windows on the data's clock; all times in seconds.

    A *step* is one time step of a modality. Steps end on the hop grid, ``t = index * hop_s``.

    Raises
    ------
    InputError
        If a value is not positive, exceeds what it is a part of, or is no multiple of the hop.
    """

    hop_s: float = 0.25  # a new window every hop; divides 1 s
    eeg_step_s: float = 1.0
    eeg_shift_s: float = 1.0
    eeg_n_steps: int = 10
    eeg_run_in: int = 0  # steps before these that a streaming network has seen; they count for nothing else
    eye_step_s: float = 4.0
    eye_shift_s: float = 1.0
    eye_n_steps: int = 10
    pupil_s: float = 10.0  # pupil DE needs longer than a step: its lowest band starts at 0.1 Hz
    voice_s: float = 5.0
    voice_grid_s: float = 0.5
    voice_min_s: float = 2.0
    face_s: float = 5.0
    face_grid_s: float = 0.5
    face_min_frames: int = 2
    min_valid_steps: int = 3  # EEG and eye, including the newest; all of them where a window has fewer
    min_coverage: float = 0.9  # of a step's samples
    min_valid_gaze: float = 0.5  # share of a step's gaze samples in which the tracker saw an eye
    max_gap_s: float = 0.1  # a longer hole is a gap: no step spans it
    lateness_s: float = 0.15  # how long a window waits for a late stream

    def __post_init__(self) -> None:
        self._check_sizes()
        for name in ("eeg_shift_s", "eye_shift_s", "voice_grid_s", "face_grid_s"):
            value = getattr(self, name)
            if abs(value / self.hop_s - round(value / self.hop_s)) > 1e-9:
                raise InputError(
                    f"hop_s must divide {name}: {value} s is no multiple of {self.hop_s} s",
                    where="window config",
                    remedy="use a hop of 0.1, 0.125, 0.25 or 0.5 s",
                )

    def _check_sizes(self) -> None:
        """Refuse what no window can be cut with."""
        for entry in fields(self):
            value = getattr(self, entry.name)
            if entry.name == "eeg_run_in":
                continue
            if not (value > 0 and math.isfinite(value)):  # NaN is refused too
                raise InputError(f"{entry.name}: expected more than 0, got {value}", where="window config")
        if self.eeg_run_in < 0:
            raise InputError(f"eeg_run_in: expected 0 or more, got {self.eeg_run_in}", where="window config")
        for small, large in (
            ("min_coverage", 1.0),
            ("min_valid_gaze", 1.0),
            ("min_valid_steps", max(self.eeg_n_steps, self.eye_n_steps)),
            ("voice_min_s", self.voice_s),
            ("voice_grid_s", self.voice_s),
            ("face_min_frames", round(self.face_s / self.face_grid_s)),
            ("eye_step_s", self.pupil_s),  # an eye step is cut as far back as the pupil's entropy looks
        ):
            value = getattr(self, small)
            if value > large:
                raise InputError(f"{small}: expected at most {large}, got {value}", where="window config")

    def context_of(self, modality: str) -> float:
        """Return how far back a window looks at a modality, seconds; the run-in is not counted."""
        return {
            "eeg": (self.eeg_n_steps - 1) * self.eeg_shift_s + self.eeg_step_s,
            "eye": (self.eye_n_steps - 1) * self.eye_shift_s + max(self.eye_step_s, self.pupil_s),
            "voice": self.voice_s + self.voice_grid_s,
            "face": self.face_s + self.face_grid_s,
        }[modality]

    @property
    def context_s(self) -> float:
        """How far back a window can look at all, the run-in included."""
        run_in_s = self.eeg_run_in * self.eeg_shift_s
        return max(self.context_of("eeg") + run_in_s, *(self.context_of(modality) for modality in MODALITIES))
