"""What a calibration session is made of: plain values that session, model, report and window share.

No torch here: the window's process imports it. Times are LSL seconds unless a name says otherwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from calibration.verdict import Verdict

#: Kinds of steps, in the order of a session. Only hint, stimulus, report and rest belong to a trial.
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


@dataclass(frozen=True)
class Stimulus:
    """What is shown or played in a trial; ``text`` is the prompt, or the caption of a file."""

    kind: str  # one of STIMULUS_KINDS
    text: str = ""
    path: Path | None = None  # the file to show or play; None for a text


@dataclass(frozen=True)
class Step:
    """One screen of a session, from its onset to that of the next one."""

    kind: str  # one of STEP_KINDS
    duration_s: float | None = None  # None: until the participant continues
    trial: int = 0  # number of the trial, from 1; 0 outside the trials
    emotion: str = ""  # the intended emotion
    stimulus: Stimulus | None = None
    onset_marker: str = ""  # sent when the screen appears; empty: none is sent
    offset_marker: str = ""  # sent when the next screen appears


@dataclass(frozen=True)
class Consent:
    """What the participant consented to, and when."""

    modalities: tuple[str, ...]  # to be recorded and used, of acquisition.types.MODALITIES
    keep_face_video: bool = False  # keep the raw video in the XDF file
    keep_voice: bool = False  # keep the raw sound in the XDF file
    given_at: str = ""  # time in ISO 8601, UTC
    notice_version: int = 1  # of the notice that was shown


@dataclass(frozen=True)
class Check:
    """One signal check before a session."""

    name: str  # EEG, eye tracker, face, voice, disk, ...
    light: str  # green | yellow | red
    finding: str  # one line with figures and units
    remedy: str = ""  # one line; empty if the light is green


@dataclass(frozen=True)
class Report:
    """The participant's answer to a trial."""

    label: str
    valence: int | None = None  # 1 unpleasant to 9 pleasant; None: not rated in time
    arousal: int | None = None  # 1 calm to 9 excited


@dataclass(frozen=True)
class TrialRecord:
    """One trial that was shown to its end, or given up."""

    number: int  # from 1, in the planned order; a repeated trial keeps its number
    emotion: str  # the intended emotion
    begin: float  # stimulus onset
    end: float  # stimulus offset
    report: Report | None = None  # None: no answer in time
    state: str = "done"  # done | skipped | repeated (a later attempt at this number counts)
    run: int = 1  # run number of the recording that holds it


@dataclass(frozen=True)
class DisplayTiming:
    """The frame timing of one screen."""

    step: str  # onset marker of the step
    interval_s: float  # median interval between frame swaps
    n_frames: int
    n_missed: int  # intervals longer than 1.5 times the median


@dataclass(frozen=True)
class Progress:
    """Leave-one-trial-out accuracy so far, from the fourth trial on."""

    n_trials: int
    n_correct: int
    interval: tuple[float, float]  # Wilson, 95 %
    chance: float
    weakest: str  # the class with the smallest share of correct trials; empty if all are correct
    worth_repeating: int  # number of a trial of poor quality, or of the weakest class; 0 for none


@dataclass(frozen=True)
class Result:
    """What the window shows at the end; the report has the rest."""

    verdict: Verdict
    profile: Path | None
    report: Path
    recordings: tuple[Path, ...]  # of all runs
    is_simulated: bool = False
    against_base: str = ""  # whether the profile beats the base model, in a sentence


@dataclass(frozen=True)
class SessionView:
    """The state of a session; sent to the window whenever it changes."""

    step: Step
    step_id: int  # counts up; the window quotes it in its messages
    began: float | None  # None until the window has shown the step
    ends: float | None  # None: not known yet, or not limited by time
    is_paused: bool = False
    n_trials: int = 10
    trials: tuple[TrialRecord, ...] = ()
    checks: tuple[Check, ...] = ()
    progress: Progress | None = None
    fit_stage: str = ""  # what is being done while the model is fitted
    fit_share: float = 0.0  # share of the fit that is done, 0..1
    result: Result | None = None
    message: str = ""  # the newest message, a sentence


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
    baseline_run: int = 1  # run number of the recording that holds the baseline
    recordings: tuple[Path, ...] = ()  # files of the runs, relative to the folder
    overridden: tuple[str, ...] = ()  # names of the red checks that were overridden
    timing: tuple[DisplayTiming, ...] = ()
    order: tuple[str, ...] = ()  # planned emotion of each trial
    settings: Mapping[str, object] = field(default_factory=dict)  # plan settings as text and numbers
    is_simulated: bool = False
