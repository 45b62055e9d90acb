"""The messages of the engine to the window, and the window's commands to the engine, over a pipe.

Besides the classes here the engine sends `models.prediction.Prediction`,
`acquisition.types.StreamEvent` and `app.telemetry.Failure` as they are. Times are LSL seconds, live and
in a replay. Signals come ready for display: binned, filtered or encoded by `app.engine.tap`, so that
one feature code serves model and screen. Nothing here loads torch or Qt.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import ErrorCode
from acquisition.quality import ChannelQuality
from acquisition.types import MODALITIES, Offer, StreamHeader, StreamHealth, StreamLedger
from acquisition.windowing import WindowConfig
from calibration.types import Consent, DisplayTiming, Report
from models.config import AnswerConfig
from models.prediction import OcclusionRow


@dataclass(frozen=True)
class ModelInfo:
    name: str
    path: Path
    labels: tuple[str, ...]
    ch_names: tuple[str, ...]  # EEG channels of training
    trained_on: str
    is_simulated: bool  # trained on simulated data: the banner
    preset: str
    n_parameters: int
    device: str  # cpu | the card's name
    bands: tuple[tuple[str, float, float], ...]  # name, lowest and highest frequency in Hz
    windows: WindowConfig
    profile: str = ""  # of the participant, if one is in use
    verdict: str = ""  # on that profile, of its calibration
    warning: str = ""  # why the profile must not be trusted, if so
    unused: tuple[str, ...] = ()  # network or discriminant, where the answer is without it
    modalities: tuple[str, ...] = MODALITIES  # that it reads
    answers: AnswerConfig | None = None  # when it answers; None: it states no error of its answers


@dataclass(frozen=True)
class Mark:
    """A marker, or a gap of a recording."""

    time: float
    text: str
    stream: str = ""
    duration_s: float = 0.0  # of a gap


@dataclass(frozen=True)
class Timeline:
    """A replay's file: its span, marks, gaps and damage."""

    path: Path
    first: float
    last: float
    marks: tuple[Mark, ...]
    gaps: tuple[Mark, ...]
    damage: tuple[str, ...] = ()  # each broken place
    xdf: Path | None = None  # the file that is read: of an EEG file a copy


@dataclass(frozen=True)
class Opened:
    """The session runs, or a stream has joined it."""

    mode: str  # live | replay
    model: ModelInfo
    timeline: Timeline | None  # None live
    is_simulated: bool = False  # streams are simulated, all but those in ``real_streams``
    real_streams: tuple[str, ...] = ()  # names of those that are not
    headers: tuple[StreamHeader, ...] = ()  # of the streams in use


PhaseName = Literal["loading", "looking", "waiting", "running", "paused", "ended", "failed"]


@dataclass(frozen=True)
class Phase:
    """How far the session is; the last one is ``ended`` or ``failed``."""

    name: PhaseName
    message: str = ""  # for people; for failed: what, where, remedy
    speed: float = 1.0  # of a replay
    code: ErrorCode | None = None  # for failed: what input was wrong; None of an internal error
    facts: Mapping[str, str | int] = field(default_factory=dict)  # of the `InputError`


@dataclass(frozen=True, eq=False)
class EegPart:
    """EEG as the lowest and highest value of each bin, filtered for display alone.

    Bin ``i`` spans ``[i * bin_s, (i + 1) * bin_s)``; a bin without a sample does not come. What was sent
    with another ``look`` is void.
    """

    ch_names: tuple[str, ...]
    unit: str
    bin_s: float
    bins: NDArray[np.int64]  # (n,) ascending
    low: NDArray[np.float32]  # (n, C)
    high: NDArray[np.float32]  # (n, C)
    look: str = ""  # what was done to it: "1-45 Hz, notch 50"


@dataclass(frozen=True, eq=False)
class GazePart:
    """Gaze in shares of the screen (0, 0 upper left) and pupils in the tracker's unit."""

    times: NDArray[np.float64]  # (n,)
    xy: NDArray[np.float32]  # (n, 2)
    pupil: NDArray[np.float32]  # (n, 2) left, right; NaN where there is none
    validity: NDArray[np.float32]  # (n,) 0..1
    pupil_unit: str


@dataclass(frozen=True)
class FramePart:
    """One video frame as JPEG, at most 640 pixels wide."""

    time: float
    jpeg: bytes


@dataclass(frozen=True, eq=False)
class VoicePart:
    """Level per bin of ``bin_s``, in dB relative to full scale: root mean square and peak."""

    bin_s: float
    bins: NDArray[np.int64]  # (n,)
    rms_db: NDArray[np.float32]  # (n,)
    peak_db: NDArray[np.float32]  # (n,)


@dataclass(frozen=True, eq=False)
class LogMelPart:
    """Log-mel frames as the voice encoder gets them (`models.features.log_mel`)."""

    times: NDArray[np.float64]  # (n,) centre of each frame
    values: NDArray[np.float16]  # (n, n_mels)


@dataclass(frozen=True, eq=False)
class SpectrogramPart:
    """Columns of one EEG channel's spectrogram (`models.features.eeg`)."""

    ch_name: str
    times: NDArray[np.float64]  # (n,) end of each column's window
    freqs: NDArray[np.float32]  # (F,) Hz
    power_db: NDArray[np.float32]  # (n, F) dB re 1 µV²/Hz; of an unknown unit likewise
    restarts: bool  # True: another channel was chosen, what came before is void


@dataclass(frozen=True)
class QualityPart:
    """Each electrode's state, once a second."""

    time: float
    channels: tuple[ChannelQuality, ...]

    @property
    def n_bad(self) -> int:
        return sum(channel.state == "bad" for channel in self.channels)


@dataclass(frozen=True)
class RecordingInfo:
    path: Path
    state: str  # starting | recording | stopping | stopped | failed
    message: str
    duration_s: float
    n_bytes: int
    free_bytes: int
    room_s: float  # how long the disk lasts at this rate


@dataclass(frozen=True)
class HealthPart:
    """Figures of streams, latency and machine, twice a second."""

    time: float
    streams: dict[str, StreamHealth]  # by key; empty in a replay
    latency_p50_ms: dict[str, float]  # by `app.telemetry.STAGES`
    latency_p99_ms: dict[str, float]
    n_predictions: int
    n_skipped: int
    cpu_percent: float  # of the engine's process, 100 = one core
    memory_mb: float  # resident, of the engine's process
    gpu: str  # "" without one; name, memory
    recording: RecordingInfo | None
    masked: tuple[str, ...]  # modalities masked manually
    n_view_dropped: int  # chunks not displayed: engine or window was too slow
    rest_left_s: float = 0.0  # of a rest; 0: none
    marked_bad: tuple[str, ...] = ()  # electrodes marked bad manually
    check_due: bool = False  # it is time for a self-report
    offers: tuple[Offer, ...] = ()  # streams that could join
    ledgers: dict[str, StreamLedger] = field(default_factory=dict)  # by key; of a replay since its last seek


@dataclass(frozen=True)
class Occlusion:
    """The answer to `SessionCommand.ASK_OCCLUSION`, about the window that ended at ``t_end``."""

    t_end: float
    label: str
    probability: float
    rows: tuple[OcclusionRow, ...]
    has_parts: bool = True  # False: the model reads covariances, from which no band or region can be removed


class SessionCommand(Enum):
    """Commands without parameters."""

    STOP = auto()  # end the session, the recording properly first
    STOP_RECORDING = auto()  # end the recording and continue
    ASK_OCCLUSION = auto()  # remove modalities, bands and regions of the newest window, one at a time
    PAUSE = auto()  # pause a replay
    PAUSE_SESSION = auto()  # pause the session; a running stimulus starts again afterwards
    RESUME_SESSION = auto()  # continue after a pause
    SKIP_TRIAL = auto()  # exclude the running trial
    ABORT_SESSION = auto()  # end the session now; what was recorded is kept, and can be resumed


@dataclass(frozen=True)
class Mask:
    """Mask a modality manually, or unmask it; with a ``ch_name``, mark that electrode bad, or unmark it."""

    modality: str
    masked: bool
    ch_name: str = ""


REST_S = 60.0  # of a rest as the window offers it


@dataclass(frozen=True)
class SetRest:
    """Begin a rest of so many whole seconds, which sets the participant's level; 0 ends it early."""

    duration_s: float


@dataclass(frozen=True)
class SelfCheckMark:
    """Note a self-check's question, its answer (a label), or an undoing: see `calibration.markers`."""

    what: str


@dataclass(frozen=True)
class AddStream:
    """Let a stream that is offered join the session."""

    uid: str


@dataclass(frozen=True)
class Note:
    """Send a typed note, or the name of a marker's key, as an LSL marker."""

    text: str
    time: float = math.nan  # LSL seconds at which it was sent; NaN: as it comes


@dataclass(frozen=True)
class StartRecording:
    path: Path


@dataclass(frozen=True)
class ChooseSpectrogram:
    ch_name: str


@dataclass(frozen=True)
class EegLook:
    """Show the EEG so; what is decoded stays as it is."""

    highpass_hz: float = 0.5
    lowpass_hz: float = 0.0  # 0: none
    notch_hz: float = 0.0  # 0: none
    is_average: bool = False  # against the average of the channels, those ``excluded`` apart
    excluded: tuple[str, ...] = ()


@dataclass(frozen=True)
class Play:
    """Continue a replay at ``speed`` times real time; infinity runs as fast as it goes."""

    speed: float


@dataclass(frozen=True)
class Seek:
    time: float


@dataclass(frozen=True)
class GiveConsent:
    """The participant consented; nothing is opened before. No modality at all means that they did not."""

    consent: Consent


@dataclass(frozen=True)
class Proceed:
    """Continue after the step ``step_id``, which has no end of its own, or end it early."""

    step_id: int
    overridden: tuple[str, ...] = ()  # names of checks at Stop (red) to override


@dataclass(frozen=True)
class Shown:
    """The step's screen appeared; its markers have this time."""

    step_id: int
    time: float  # LSL seconds, of the frame swap


@dataclass(frozen=True)
class Drawn:
    timing: DisplayTiming


@dataclass(frozen=True)
class Answer:
    step_id: int
    report: Report


@dataclass(frozen=True)
class RepeatTrial:
    """Repeat a trial after the planned ones, or now if it runs."""

    trial: int  # number
