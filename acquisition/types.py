"""What travels between the parts: stream descriptions, chunks of samples, events, steps and windows.

Time is always seconds on the LSL clock of this computer unless a name says ``raw`` (the sender's own
stamps). Arrays are (n_samples, n_channels) while they are streams and read-only once published.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Kind(StrEnum):
    """What a stream carries."""

    EEG = "eeg"
    GAZE = "gaze"
    VIDEO = "video"
    AUDIO = "audio"
    MARKERS = "markers"
    OTHER = "other"


#: The four modalities of the fusion network, in the order of its tokens.
MODALITIES = ("eeg", "eye", "face", "voice")

#: Which stream kind feeds which modality.
MODALITY_OF_KIND = {Kind.EEG: "eeg", Kind.GAZE: "eye", Kind.VIDEO: "face", Kind.AUDIO: "voice"}
KIND_OF_MODALITY = {modality: kind for kind, modality in MODALITY_OF_KIND.items()}

#: What a modality is called wherever people read of it.
MODALITY_NAMES = {"eeg": "EEG", "eye": "eyes", "face": "face", "voice": "voice"}


@dataclass(frozen=True)
class ChannelInfo:
    """One ``desc/channels/channel`` of an LSL header; empty strings where it says nothing."""

    label: str = ""
    type: str = ""
    unit: str = ""
    eye: str = ""  # left | right | both, for gaze channels
    coordinate_system: str = ""


@dataclass(frozen=True)
class StreamHeader:
    """An LSL stream's own description, as an inlet or an XDF header chunk gives it."""

    name: str
    type: str
    source_id: str
    hostname: str
    uid: str
    nominal_sfreq: float  # Hz, 0 = irregular; never trust it
    n_channels: int
    channel_format: str  # float32 double64 string int8 int16 int32 int64
    channels: tuple[ChannelInfo, ...] = ()  # () when the header names none
    encoding: Mapping[str, str] = field(default_factory=dict)  # desc/encoding/*: codec, width, ...
    can_drop_samples: bool = False
    offset_mean_s: float = 0.0  # desc/synchronization/offset_mean, to be subtracted from stamps
    desc: Mapping[str, str] = field(default_factory=dict)  # other leaf texts of desc, by path
    n_described: int = 0  # descriptions of channels; of another number than channels, they are not used


@dataclass(frozen=True)
class StreamSpec:
    """What a stream delivers after its adapter: canonical channels, units and rate."""

    key: str  # unique within a source
    name: str
    kind: Kind
    ch_names: tuple[str, ...]
    units: tuple[str, ...]
    sfreq: float  # Hz, estimated or confirmed; 0 = irregular
    source_id: str = ""
    notes: tuple[str, ...] = ()  # warnings the user should see once, e.g. "unscaled"
    is_simulated: bool = False  # the stream says so: `acquisition.header.is_simulated`
    is_shown_only: bool = False  # not decoded: EEG whose channels are not mapped, or no modality's


@dataclass(frozen=True, eq=False)
class Chunk:
    """Consecutive samples of one stream on the LSL clock.

    ``data`` is (n_samples, n_channels) float for signals, and a tuple of n_samples objects for
    video (JPEG ``bytes`` or an (h, w, 3) uint8 BGR array) and markers (``str``).
    ``breaks`` lists the positions in this chunk whose sample does not continue the one before it
    (a gap or a clock reset lies between them).
    """

    stream: str  # StreamSpec.key
    start_index: int  # index of the first sample since the stream was opened
    data: NDArray[np.floating] | tuple[Any, ...]
    times: NDArray[np.float64]  # (n_samples,)
    breaks: tuple[int, ...] = ()
    arrival: float = float("nan")  # LSL time at which the chunk was read; NaN in replay
    pushed: float = float("nan")  # sender's push time of the last sample on our clock, where known


class Change(StrEnum):
    """What happened to a stream."""

    OPENED = "opened"
    STALE = "stale"  # silent for longer than the watchdog allows
    BACK = "back"  # data again after STALE
    ENDED = "ended"  # a file's stream has no more samples
    REFUSED = "refused"  # returned with another rate or channel set, or cannot be used
    WARNING = "warning"  # something is wrong or may surprise; no change of state
    NOTICE = "notice"  # something to know, and nothing wrong; no change of state


@dataclass(frozen=True)
class StreamEvent:
    """A change of a stream's state, with the sentence a user should read."""

    stream: str
    change: Change
    time: float
    message: str = ""
    spec: StreamSpec | None = None  # set for OPENED
    code: str = ""  # what a warning is of, as `Fate`; the words change with their figures


@dataclass(frozen=True)
class Offer:
    """A stream on the network that a running session could use besides its own."""

    uid: str
    header: StreamHeader  # without ``desc``
    kind: Kind
    n_rivals: int = 0  # others that fit the same modality: one must be chosen
    replaces: str = ""  # name of a stream that has gone, and would be given up for it

    @property
    def modality(self) -> str:
        """What it would feed, as ``--streams`` calls it."""
        return MODALITY_OF_KIND.get(self.kind, "markers")


@dataclass(frozen=True)
class StreamHealth:
    """Figures of a live stream, as of now."""

    n_samples: int  # since the start
    rate_hz: float  # samples that arrived a second, over the last 5 s
    age_s: float  # since the last sample arrived
    offset_s: float  # LSL time minus the sender's stamps
    backlog: int  # samples that waited at the last read
    is_stale: bool
    is_connected: bool
    n_missing: int  # samples that holes in the stamps suggest were lost on the way
    n_dropped: int  # samples dropped because their timestamps decrease
    stands_still: bool = False  # samples arrive, but timestamps do not advance
    late_s: float = 0.0  # how late it keeps coming where that is later than windows wait

    @property
    def is_silent(self) -> bool:
        """True while nothing usable arrives."""
        return self.is_stale or not self.is_connected

    @property
    def lost_share(self) -> float:
        """Estimated share of samples lost since the start; NaN before the first one."""
        n_all = self.n_missing + self.n_samples
        return self.n_missing / n_all if n_all else float("nan")


@dataclass(frozen=True)
class MapSegment:
    """A piece of a stream's clock map: from ``raw_start`` on, raw stamps become LSL seconds.

    A dejittered stream counts: ``t = t_start + i * period_s`` for the i-th sample from the one
    stamped ``raw_start``. Otherwise ``period_s`` is 0 and ``t = raw + offset_s``.

    With a ``pause`` it says why nothing after the sample stamped ``raw_start`` was taken, until the next
    segment: a recorder may have connected to a sender sooner than the live run, or to one that it refused.
    """

    stream: str
    raw_start: float
    t_start: float
    period_s: float
    offset_s: float
    sfreq: float  # the rate features assume, Hz; 0 = irregular
    is_break: bool  # True where the sample at raw_start does not continue the one before
    pause: str = ""


@dataclass(frozen=True)
class Lateness:
    """Windows of a live run from ``t_end`` on had a stream's samples up to ``newest`` only; None for all."""

    stream: str
    t_end: float
    newest: float | None


class Fate(StrEnum):
    """What was done with samples that could not be taken as they came, or what befell them."""

    OVERLAP = "overlap"  # dropped: stamps before samples already placed, or the very ones of earlier samples
    NO_STAMP = "no_stamp"  # dropped: no stamp, and none before it
    LEAP = "leap"  # placed by counting, because the stamps leapt while samples went on
    SPREAD = "spread"  # equal stamps of whole chunks, spread by the measured rate
    SCATTER = "scatter"  # stamps in disorder by jitter: counted at the rate; counts those that step back
    STALL = "stall"  # stamps left the sampling rate and came back: no sample is missing
    GAP = "gap"  # nothing for longer than a second; counts holes, not samples


DROPPED = (Fate.OVERLAP, Fate.NO_STAMP)


@dataclass
class StreamLedger:
    """What became of one stream's samples since it was opened."""

    name: str = ""
    modality: str = ""  # "" for markers
    n_received: int = 0
    n_used: int = 0  # in windows' reach: placed, and inside the part that is replayed
    n_with: dict[Fate, int] = field(default_factory=lambda: dict.fromkeys(Fate, 0))
    seconds: dict[Fate, float] = field(default_factory=lambda: dict.fromkeys(Fate, 0.0))
    decodable_s: float = 0.0  # of windows in which the modality was present, and of EEG some electrode usable
    faulty_s: float = 0.0  # of windows in which EEG was present, but no electrode usable
    n_windows: int = 0
    n_late: int = 0  # windows that closed before their newest sample had come
    refused: str = ""  # why it is not used at all

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "StreamLedger":
        """Return what `dataclasses.asdict` made a JSON record of; KeyError or TypeError for anything else."""
        by_fate = {name: {fate: record[name].get(fate, 0) for fate in Fate} for name in ("n_with", "seconds")}
        return cls(**{**record, **by_fate})

    def note(self, fate: Fate, n_samples: int, seconds: float) -> None:
        self.n_with[fate] += n_samples
        self.seconds[fate] += seconds


class Source(Protocol):
    """Where chunks come from: live inlets, a file, or the simulator pumped by hand."""

    def read(self, now: float) -> list[Chunk | StreamEvent]:
        """Return everything that is due at ``now`` (LSL seconds)."""

    def complete_to(self, now: float) -> float | None:
        """Return the time up to which no more data can come, or None if only watermarks tell."""

    @property
    def next_time(self) -> float | None:
        """LSL time of the next sample where it is known, as in a file; None elsewhere."""

    @property
    def exhausted(self) -> bool:
        """True when nothing will ever come again."""

    def ledgers(self) -> Mapping[str, StreamLedger]:
        """Return what became of each stream's samples, by key."""

    def close(self) -> None:
        """Release inlets, files and threads."""


@dataclass(frozen=True, eq=False)
class Step:
    """One time step of one modality: the samples that end at ``t_end``, or why there are none."""

    index: int  # on the hop grid: t_end = index * hop_s
    t_end: float
    valid: bool
    coverage: float  # 0..1
    sfreq: float  # Hz of ``data``; 0 = irregular
    data: Any = None  # array (frame for the face); None when invalid or when the caller has it
    times: Any = None  # (n_samples,), for irregular data
    known: bool = False  # True: valid, but omitted because the caller already has it
    is_late: bool = False  # its window closed before its samples had come


@dataclass(frozen=True, eq=False)
class Window:
    """Everything the network may look at for one prediction; nothing of it lies past ``t_end``."""

    index: int  # t_end = index * hop_s
    t_end: float
    steps: Mapping[str, Sequence[Step]]  # by modality, oldest first
    present: Mapping[str, bool]
    coverage: Mapping[str, float]
    waited_s: float
    closed_at: float  # LSL time (live) or t_end (replay)
    newest_push: float = float("nan")  # push time of the sample that closed the window, live only
    newest_arrival: float = float("nan")  # when that sample was read, live only
    warm_up: bool = False  # some stream began too late to fill the whole context
    context: Sequence[Step] = ()  # EEG steps before those in ``steps``, oldest first; see WindowConfig
