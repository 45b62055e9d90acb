"""How good the signals of a trial were, whether it may be learned from, and why not.

The rules, chosen: a modality carries a trial where it covers at least half of the stimulus and at least half
of that is usable (electrodes, gaze, faces). A trial whose EEG does not carry it is rejected where EEG is
used at all; without EEG it is rejected where no modality carries it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from acquisition.types import MODALITIES
from calibration.percent import percent

LEAST_COVERAGE = 0.5  # of the stimulus
LEAST_USABLE = 0.5  # of electrodes, gaze samples and frames
MOST_BAD = 0.5  # of the assessed seconds: an electrode that is bad for longer is lost to the trial
SILENT_DB = -60.0  # rms below which a microphone hears no room, let alone a voice

_DEVICE = {"eeg": "EEG", "eye": "eye tracker", "face": "webcam", "voice": "microphone"}


@dataclass(frozen=True)
class TrialQuality:
    """What the four streams were like during one stimulus; NaN where there was nothing to look at."""

    trial: int
    n_seconds: int  # whole LSL seconds inside the stimulus
    coverage: Mapping[str, float] = field(
        default_factory=dict
    )  # by modality: share of quarter seconds with data
    ch_names: tuple[str, ...] = ()
    bad_share: tuple[float, ...] = ()  # by electrode: share of the assessed seconds in which it was bad
    reasons: tuple[str, ...] = ()  # by electrode: the most frequent one of those; empty where never bad
    gaze_valid: float = math.nan  # share of samples
    face_found: float = math.nan  # share of the frames looked at, one a second
    voice_rms_db: float = math.nan  # relative to full scale
    voice_peak_db: float = math.nan
    voice_clipped: float = math.nan  # share of seconds with samples at full scale

    @property
    def lost_electrodes(self) -> tuple[str, ...]:
        """Electrodes that were bad for more than half of the trial."""
        return tuple(name for name, bad in zip(self.ch_names, self.bad_share, strict=True) if bad > MOST_BAD)


def modality_fault(quality: TrialQuality, modality: str) -> str:
    """Return why a modality does not carry a trial, in a clause with its figures; empty where it does."""
    covered = quality.coverage.get(modality, 0.0)
    if covered < LEAST_COVERAGE:
        return f"{_DEVICE[modality]}: data for {percent(covered)} of the stimulus"
    if modality == "eeg" and quality.ch_names:
        lost = quality.lost_electrodes
        if len(lost) > (1 - LEAST_USABLE) * len(quality.ch_names):
            return (
                f"EEG: {len(lost)} of {len(quality.ch_names)} electrodes bad for more than half of it"
                f"{_main_reason(quality)}"
            )
    if modality == "eye" and quality.gaze_valid < LEAST_USABLE:
        return f"eye tracker: gaze valid in {percent(quality.gaze_valid)} of the samples"
    if modality == "face" and quality.face_found < LEAST_USABLE:
        return f"webcam: a face in {percent(quality.face_found)} of the frames"
    return ""


def usable_modalities(quality: TrialQuality, modalities: Collection[str] = MODALITIES) -> tuple[str, ...]:
    """Return which of the session's modalities carry the trial, in the network's order."""
    return tuple(m for m in MODALITIES if m in modalities and not modality_fault(quality, m))


def rejection(quality: TrialQuality, modalities: Collection[str] = MODALITIES) -> str:
    """Return why a trial is left out of the model, in words; empty where it is kept.

    Parameters
    ----------
    quality : TrialQuality
    modalities : collection of str
        Those that the session uses: agreed to, and with a stream.
    """
    faults = [fault for m in MODALITIES if m in modalities and (fault := modality_fault(quality, m))]
    if "eeg" in modalities:
        return modality_fault(quality, "eeg")
    if not usable_modalities(quality, modalities):
        return "; ".join(["no modality left", *faults])
    return ""


def remarks(quality: TrialQuality, modalities: Collection[str] = MODALITIES) -> tuple[str, ...]:
    """Return everything a person should know of a kept or rejected trial, each in a clause."""
    found = [fault for m in MODALITIES if m in modalities and (fault := modality_fault(quality, m))]
    if "voice" in modalities:
        if quality.voice_clipped > 0:
            found.append(f"microphone: overloaded in {percent(quality.voice_clipped)} of the seconds")
        if quality.voice_rms_db < SILENT_DB:
            found.append(f"microphone: silent ({quality.voice_rms_db:.0f} dB)")
    return tuple(found)


def _main_reason(quality: TrialQuality) -> str:
    lost = set(quality.lost_electrodes)
    reasons = [r for name, r in zip(quality.ch_names, quality.reasons, strict=True) if name in lost and r]
    return f", mostly {max(sorted(set(reasons)), key=reasons.count)}" if reasons else ""
