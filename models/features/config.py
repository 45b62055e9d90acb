"""The settings every feature depends on, hashed into the checkpoint: another setting, other weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from acquisition.errors import ErrorCode, InputError
from acquisition.quality import MIN_VALIDITY

#: Band name and edges in Hz; a band holds lo <= f < hi, the topmost its upper edge too.
Bands = tuple[tuple[str, float, float], ...]

EEG_BANDS: Bands = (
    ("delta", 1.0, 4.0),
    ("theta", 4.0, 8.0),
    ("alpha", 8.0, 14.0),
    ("beta", 14.0, 31.0),
    ("gamma", 31.0, 50.0),
)
_MOST = 1e5  # of any setting
PUPIL_BANDS: Bands = (("0-0.2", 0.0, 0.2), ("0.2-0.4", 0.2, 0.4), ("0.4-0.6", 0.4, 0.6), ("0.6-1", 0.6, 1.0))


@dataclass(frozen=True)
class FeatureConfig:
    """What turns signals into features; part of every checkpoint."""

    # Differential entropy of EEG
    n_tapers: int = 3  # sine tapers a step: more are steadier, and blur a band by (n_tapers + 1) / 2 Hz
    bands: Bands = EEG_BANDS
    smoothing: float | None = None  # q/r a second of the causal filter of `models.features.smoothing`
    line_hz: float | None = None  # 50 or 60: leave the mains out of its band
    line_halfwidth_hz: float = 2.0
    covariance_hz: tuple[float, float] | None = None  # of a step's covariance, of models that read it
    variance_floor_uv2: float = 1e-4  # (0.01 uV)^2, below the noise of any amplifier
    # EEG spectrogram, for display
    spectrogram_window_s: float = 1.0
    spectrogram_step_s: float = 0.25
    spectrogram_fmin_hz: float = 1.0
    spectrogram_fmax_hz: float = 50.0
    # Raw EEG for EEGformer
    raw_sfreq: float = 100.0
    raw_s: float = 5.0
    raw_fmin_hz: float = 0.5
    raw_fmax_hz: float = 45.0
    # Eye features
    eye_features: int = 33  # 31 as SEED-IV, 33 as SEED-V
    eye_step_s: float = 4.0
    eye_context_s: float = 10.0  # pupil entropy and the rates of rows 23 to 33
    pupil_bands: Bands = PUPIL_BANDS
    pupil_max_hole_s: float = 0.5  # a longer loss of the pupil is not bridged
    pupil_min_coverage: float = 0.8  # of eye_context_s, bridged holes included
    pupil_variance_floor: float = 1e-8  # squared pupil units
    pupil_guard_s: float = 0.05  # next to a loss the lid still covers part of the pupil
    min_validity: float = MIN_VALIDITY  # a gaze sample counts from this validity on
    velocity_window_s: float = 0.03  # near the 33 ms between two neighbours at 60 Hz, so rates agree
    saccade_velocity_deg_s: float = 30.0
    min_fixation_s: float = 0.06
    min_saccade_s: float = 0.01
    max_saccade_s: float = 0.2
    min_blink_s: float = 0.05
    max_blink_s: float = 0.5
    max_gaze_gap_s: float = 0.1  # as WindowConfig.max_gap_s: no event spans a longer hole in the timestamps
    # Voice
    voice_sfreq: int = 16000
    n_mels: int = 128
    # Face
    face_size: int = 224
    face_margin: float = 0.15  # of the box's side, on each side
    face_detect_width: int = 160  # the frame is searched at this width, pixels

    def __post_init__(self) -> None:
        if self.line_hz not in (None, 50, 60):
            raise InputError(f"expected a line frequency of 50 or 60 Hz, got {self.line_hz}", where="--line")
        if self.eye_features not in (31, 33):
            raise _refused(f"expected 31 or 33 eye features, got {self.eye_features}")
        if self.voice_sfreq != 16000:  # the log-mel's frames and filters are made for it
            raise _refused(f"expected a voice rate of 16000 Hz, got {self.voice_sfreq}")
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, (int, float)) and not (0 < value <= _MOST or entry.name == "face_margin"):
                raise _refused(f"{entry.name}: expected more than 0 and at most {_MOST:g}, got {value}")
        covariance = () if self.covariance_hz is None else (("covariance", *self.covariance_hz),)
        for name, low, high in (*self.bands, *self.pupil_bands, *covariance):
            if not 0 <= low < high:
                raise _refused(f"expected 0 <= lo < hi, got {low}-{high} Hz in {name}")

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values that JSON keeps exactly."""
        # Through JSON, so that tuples are lists before and after a file, and equal dicts stay equal.
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_dict(cls, values: Any, where: str = "feature config") -> FeatureConfig:
        """Build the settings from `to_dict`'s answer, defaults for missing ones; else raises `InputError`."""
        if not isinstance(values, Mapping):
            raise _refused(f"expected an object, found {type(values).__name__}", where)
        if unknown := sorted(set(values) - {field.name for field in fields(cls)}):
            remedy = "use the version of affectscope that made the model"
            raise _refused(f"unknown feature settings {', '.join(unknown)}", where, remedy)
        known = dict(values)
        try:
            for name in ("bands", "pupil_bands"):
                if name in known:
                    known[name] = tuple((str(n), float(lo), float(hi)) for n, lo, hi in known[name])
            if known.get("covariance_hz") is not None:
                low, high = known["covariance_hz"]
                known["covariance_hz"] = float(low), float(high)
            return cls(**known)
        except (TypeError, ValueError) as error:
            raise _refused(f"expected a setting of another type: {error}", where) from error

    def digest(self) -> str:
        """Return the SHA-256 (hex) of the settings in canonical JSON: sorted keys, no spaces."""
        numbers = _numbers_as_float(self.to_dict())
        for name in ("smoothing", "covariance_hz"):
            if getattr(self, name) is None:
                del numbers[name]  # as models were hashed before there was the setting
        text = json.dumps(numbers, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


def _refused(what: str, where: str = "feature config", remedy: str = "") -> InputError:
    return InputError(what, where=where, remedy=remedy, code=ErrorCode.MODEL, setting="features")


def _numbers_as_float(value: Any) -> Any:
    """Return the value with int as float: 50 and 50.0 are the same setting, and must hash alike."""
    if isinstance(value, dict):
        return {key: _numbers_as_float(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers_as_float(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
