"""What a window orders of an engine that runs a calibration. Plain values; the answer is a `SessionView`."""

from __future__ import annotations

from dataclasses import dataclass

from calibration.types import Consent, DisplayTiming, Report


@dataclass(frozen=True)
class GiveConsent:
    """The person agreed; nothing is opened before. No modality at all means that they did not."""

    consent: Consent


@dataclass(frozen=True)
class Proceed:
    """Go on from the step ``step_id``, which has no end of its own, or end it early."""

    step_id: int
    overridden: tuple[str, ...] = ()  # names of red checks that shall not stop the session


@dataclass(frozen=True)
class Shown:
    """The step's screen appeared; markers are stamped with this time."""

    step_id: int
    time: float  # LSL seconds, of the frame swap


@dataclass(frozen=True)
class Drawn:
    """How well a step's screen kept its time."""

    timing: DisplayTiming


@dataclass(frozen=True)
class Answer:
    """What the person said of the trial."""

    step_id: int
    report: Report


@dataclass(frozen=True)
class PauseSession:
    """Hold the session; a stimulus that runs is begun anew afterwards."""


@dataclass(frozen=True)
class ResumeSession:
    """Go on after a pause."""


@dataclass(frozen=True)
class RepeatTrial:
    """Do a trial again at the end of the planned ones, or now if it runs."""

    trial: int  # number


@dataclass(frozen=True)
class SkipTrial:
    """Leave the running trial out."""


@dataclass(frozen=True)
class AbortSession:
    """End the session now; what was recorded is kept, and the next start offers to go on."""
