"""What a calibration session is made of: plain values that session, model, report and window share.

No torch here: the window's process imports it. Times are LSL seconds unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from calibration.verdict import Verdict

#: Kinds of steps, in the order of a session. ``trial`` counts from 1 in hint, stimulus, report and rest.
STEP_KINDS = (
    "preflight",
    "baseline_open",
    "baseline_closed",
    "practice",
    "hint",
    "stimulus",
    "report",
    "rest",
    "finish",
)

STIMULUS_KINDS = ("text", "image", "sound", "video")

# --- the plan ---


@dataclass(frozen=True)
class Stimulus:
    """What is shown or played in a trial; ``text`` is the prompt, or the caption of a file."""

    kind: str  # one of STIMULUS_KINDS
    text: str = ""
    path: Path | None = None  # None for a text


@dataclass(frozen=True)
class Step:
    """One screen of a session, from its onset to the next one's."""

    kind: str  # one of STEP_KINDS
    duration_s: float | None = None  # None: until the participant continues
    trial: int = 0  # 0 outside the trials
    emotion: str = ""  # intended
    stimulus: Stimulus | None = None
    onset_marker: str = ""  # sent as the screen appears; empty sends none
    offset_marker: str = ""  # sent as the next one appears


# --- before it begins ---


@dataclass(frozen=True)
class Consent:
    """What the participant agreed to be recorded and used, and when."""

    modalities: tuple[str, ...]  # of acquisition.types.MODALITIES
    keep_face_video: bool = False  # raw, in the XDF file
    keep_voice: bool = False
    given_at: str = ""  # ISO 8601, UTC
    notice_version: int = 1


@dataclass(frozen=True)
class Check:
    """One signal check of the pre-flight."""

    name: str  # EEG, eye tracker, face, voice, disk, ...
    light: str  # green | yellow | red
    finding: str  # in a line, with figures and units
    remedy: str = ""  # in a line; empty where green


# --- what happened ---


@dataclass(frozen=True)
class Report:
    """What the participant said of a trial."""

    label: str
    valence: int  # 1 unpleasant to 9 pleasant
    arousal: int  # 1 calm to 9 excited


@dataclass(frozen=True)
class TrialRecord:
    """One trial that was shown to its end, or given up."""

    number: int  # from 1, in the order planned; a repeated one keeps its number
    emotion: str  # intended
    begin: float  # stimulus onset
    end: float  # stimulus offset
    report: Report | None = None  # None: no answer in time
    state: str = "done"  # done | skipped | repeated (a later one of this number counts)
    run: int = 1  # of the recording it is in


@dataclass(frozen=True)
class DisplayTiming:
    """How well a screen kept its time."""

    step: str  # the step's onset marker
    interval_s: float  # median between frame swaps
    n_frames: int
    n_missed: int  # intervals over 1.5 times the median


# --- while it runs ---


@dataclass(frozen=True)
class Progress:
    """How the model does so far, from the fourth trial on, each trial predicted without itself."""

    n_trials: int
    n_correct: int
    interval: tuple[float, float]  # Wilson, 95 %
    chance: float
    weakest: str  # the class with the fewest correct ones; empty where all are
    worth_repeating: int  # number of a trial of poor quality, or of the weakest class; 0 for none


@dataclass(frozen=True)
class Result:
    """What the window shows at the end; the report has the rest."""

    verdict: Verdict
    profile: Path | None
    report: Path
    recording: Path | None
    is_simulated: bool = False


@dataclass(frozen=True)
class SessionView:
    """Where a session stands; sent to the window whenever it changes."""

    step: Step
    step_id: int  # counts up; what the window says names it
    began: float | None  # None until the window has shown it
    ends: float | None  # None: not known, or no end by time
    is_paused: bool = False
    n_trials: int = 10
    trials: tuple[TrialRecord, ...] = ()
    checks: tuple[Check, ...] = ()
    progress: Progress | None = None
    fit_stage: str = ""  # while the model is fitted
    fit_share: float = 0.0
    result: Result | None = None
    message: str = ""  # the newest thing to know, in a sentence


# --- what the model is fitted to and the report is made of ---


@dataclass(frozen=True)
class SessionRecord:
    """A whole session as its folder keeps it (``session.json``)."""

    subject: str
    session: int
    classes: tuple[str, ...]
    seed: int
    consent: Consent
    trials: tuple[TrialRecord, ...] = ()
    baseline: tuple[tuple[float, float], ...] = ()  # (begin, end) of eyes open and closed
    baseline_run: int = 1  # of the recording it is in
    recordings: tuple[Path, ...] = ()  # of the runs, relative to the folder
    overridden: tuple[str, ...] = ()  # names of red checks that were overridden
    timing: tuple[DisplayTiming, ...] = ()
    order: tuple[str, ...] = ()  # planned emotion by trial
    settings: Mapping[str, object] = field(default_factory=dict)  # of the plan, in words and figures
    is_simulated: bool = False
