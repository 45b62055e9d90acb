"""Health in words: streams, electrodes, messages, what the session costs, and latency by stage."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from types import MappingProxyType

from acquisition.quality import ChannelQuality, StreamFinding, judge_silence, judge_stream
from acquisition.stream_words import fates, fault_words, ledger_line
from acquisition.text import UNKNOWN, age, counted, data_size, duration, number, percent, rate, signed_time
from acquisition.types import MODALITY_OF_KIND, Kind, StreamHealth, StreamLedger
from app.engine.messages import HealthPart, PhaseName, RecordingInfo
from app.telemetry import N_LATENCIES, StreamState, percentile
from app.view.text import message_line, one_line
from models.prediction import Prediction

#: Shapes beside the words, so that nothing rests on colour.
SHAPES = {"good": "●", "suspect": "▲", "bad": "■", "muted": "○"}


@dataclass(frozen=True)
class StreamRow:
    """One stream in words."""

    key: str
    severity: str  # good | suspect | bad | muted
    state: str  # a word of `_judged` or of `_NOT_READ`
    kind: str
    name: str
    rate: str  # "998.7 of 1,000 Hz"
    lost: str  # estimated share of the samples, from gaps in the timestamps
    age: str  # since the last sample
    offset: str  # LSL time minus the sender's clock
    backlog: str  # samples that waited at the last read
    dropped: str  # samples excluded because their timestamps stepped back
    used: str  # share of the samples received
    decodable: str  # time with windows that the modality is present in
    remedy: str  # empty when all is well
    samples: str  # what became of them, in a sentence
    befell: str  # why samples are not used as they came; empty where all are

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as the table's columns, from state to decodable."""
        _, severity, state, *figures, _, _, _ = astuple(self)
        return (f"{SHAPES[severity]} {state}", *figures)


def stream_rows(
    streams: Mapping[str, StreamState],
    health: Mapping[str, StreamHealth],
    masked: Collection[str] = (),
    phase: PhaseName = "running",
    *,
    is_replay: bool = False,
    is_quiet: bool = False,
    ledgers: Mapping[str, StreamLedger] = MappingProxyType({}),
) -> list[StreamRow]:
    """Return a row for every stream, EEG first, of states and figures by key.

    A replay has ledgers only.

    A stream is not running in phases of the session in which nothing is read; ``is_quiet``: nobody speaks.
    """
    idle = {"paused": "paused", "ended": "at the end"} if is_replay else {"ended": "not read"}
    idle.setdefault("failed", "not read")
    rows = []
    for key in sorted(streams, key=lambda key: ([*Kind].index(streams[key].spec.kind), key)):
        stream = streams[key]
        judged = _judged(stream, health.get(key), masked)
        if judged[1] == "running" and is_quiet and stream.spec.kind is Kind.AUDIO:
            judged = ("muted", "quiet", "nobody speaks: the voice is masked until someone does")
        elif judged[1] == "running" and phase in idle:
            judged = ("muted", idle[phase], "")
        rows.append(_stream_row(key, stream, health.get(key), ledgers.get(key), *judged))
    return rows


def summary(rows: Sequence[StreamRow]) -> str:
    """Return how many streams are in which state: "5 streams: 3 running, 1 masked, 1 to check"."""
    if not rows:
        return ""
    states = ["to check" if row.severity in ("bad", "suspect") else row.state for row in rows]
    counts = Counter(sorted(states, key="to check".__eq__))  # which comes last
    said = [f"{n} {state}" for state, n in counts.items()]
    if len(counts) == 1 and "to check" not in counts:
        said = [f"all {states[0]}" if len(rows) > 1 else states[0]]
    return f"{counted(len(rows), 'stream')}: {', '.join(said)}"


def _stream_row(
    key: str,
    stream: StreamState,
    health: StreamHealth | None,
    ledger: StreamLedger | None,
    severity: str,
    state: str,
    remedy: str,
) -> StreamRow:
    spec = stream.spec
    has_come = ledger is not None and ledger.n_received > 0
    return StreamRow(
        key=key,
        severity=severity,
        state=state,
        kind="EEG" if spec.kind is Kind.EEG else spec.kind.value,
        name=one_line(spec.name) or "(no name)",
        rate=rate(spec.sfreq, health.rate_hz if health else None),
        lost=percent(health.lost_share if health and spec.sfreq > 0 else None, 1),
        age=age(health.age_s) if health else UNKNOWN,
        offset=signed_time(health.offset_s) if health else UNKNOWN,
        backlog=number(health.backlog) if health else UNKNOWN,
        dropped=number(health.n_dropped) if health else UNKNOWN,
        used=percent(ledger.n_used / ledger.n_received, 1) if ledger and has_come else UNKNOWN,
        decodable=duration(ledger.decodable_s) if ledger and ledger.modality else UNKNOWN,
        remedy=remedy[:1].upper() + remedy[1:],
        samples=message_line(ledger_line(ledger)) if ledger else one_line(spec.name),
        befell=message_line("; ".join(fates(ledger))) if ledger else "",
    )


def _judged(
    stream: StreamState, health: StreamHealth | None, masked: Collection[str]
) -> tuple[str, str, str]:
    """Return severity, state in words and what to do."""
    spec = stream.spec
    if stream.state == "refused":
        why = message_line(stream.message) or "it cannot be used"
        return "bad", "refused", f"{why}: restart it with its original settings, or choose another stream"
    if stream.state == "ended":
        return "muted", "ended", ""
    if stream.state == "stale" or (health is not None and health.is_silent):
        return _in_words(judge_silence(health), spec.kind)
    if MODALITY_OF_KIND.get(spec.kind) in masked:
        return "muted", "masked", "masked manually: recorded, but not decoded; unmask it to use it"
    findings = judge_stream(spec.kind, spec.sfreq, health) if health is not None else ()
    return _in_words(findings[0], spec.kind) if findings else ("good", "running", "")


def _in_words(finding: StreamFinding, kind: Kind) -> tuple[str, str, str]:
    words = fault_words(finding, kind)
    return finding.severity, words.state, f"{words.finding}: {words.remedy}"


def quality_text(channel: ChannelQuality) -> str:
    """Return an electrode's state with its reason: "bad: mains 63 %"."""
    reason = one_line(channel.reason)
    return f"{channel.state}: {reason}" if reason else channel.state


def electrode_rows(channels: Sequence[ChannelQuality]) -> list[tuple[str, str]]:
    """Return each electrode's severity and text, worst first: "■ T7  bad: mains 63 %"."""
    worst_first = sorted(channels, key=_gravity)
    states = [channel.state if channel.state in SHAPES else "muted" for channel in worst_first]
    texts = [f"{one_line(channel.ch_name)}  {quality_text(channel)}" for channel in worst_first]
    return [(state, f"{SHAPES[state]} {text}") for state, text in zip(states, texts, strict=True)]


def _gravity(channel: ChannelQuality) -> tuple[int, float]:
    """Return the sort key of electrodes; good ones keep their order, which keeps the list steady."""
    rank = {"bad": 0, "suspect": 1, "good": 3}.get(channel.state, 4)
    score = channel.score if math.isfinite(channel.score) else -1.0
    return rank, 1.0 if channel.state == "good" else score


def electrode_counts(channels: Sequence[ChannelQuality]) -> str:
    """Return "58 good, 3 suspect, 1 bad"."""
    states = [channel.state for channel in channels]
    return ", ".join(f"{states.count(state)} {state}" for state in ("good", "suspect", "bad"))


N_SHOWN = 300  # of the messages: the newest
_LONGEST = 1500  # characters; a shorter limit would cut remedies

_WORDS = {"good": "● good", "info": "○ note", "suspect": "▲ warning", "bad": "■ problem"}


@dataclass(frozen=True)
class MessageRow:
    """One message."""

    time: float  # LSL seconds
    severity: str  # good | info | suspect | bad
    text: str

    @property
    def is_problem(self) -> bool:
        """True for what the filter "problems" leaves."""
        return self.severity in ("suspect", "bad")

    def line(self, clock_text: Callable[[float], str]) -> str:
        return f"{clock_text(self.time)}  {_WORDS[self.severity]}  {self.text}"


def message_rows(
    events: Iterable[tuple[float, str, str]], *, problems_only: bool = False
) -> list[MessageRow]:
    """Return `ViewStore.events` as at most `N_SHOWN` messages, newest first; those without a time last."""
    rows = []
    for time, text, word in events:
        severity = {"warning": "suspect"}.get(word, word if word in _WORDS else "info")
        rows.append(MessageRow(time, severity, message_line(text, _LONGEST)))
    rows = [row for row in reversed(rows) if row.is_problem or not problems_only]
    rows.sort(key=lambda row: math.inf if math.isnan(row.time) else -row.time)
    return rows[:N_SHOWN]


#: Less room than this on the disk is an alarm.
ROOM_ALARM_S = 600.0


@dataclass(frozen=True)
class Figure:
    """A labelled line; ``severity`` colours it, the words say the same."""

    label: str
    text: str
    severity: str = "good"  # good | suspect | bad | muted


def machine_figures(
    health: HealthPart | None, window_cpu_percent: float, window_memory_mb: float
) -> list[Figure]:
    """Return the lines of the machine panel, always the same labels in the same order.

    There is no ``health`` before the engine sent any; the window's figures are those of this process.
    """
    window = f"{number(window_cpu_percent)} % of a core, {number(window_memory_mb)} MB"
    if health is None:
        waiting = [Figure(label, "no figures yet", "muted") for label in ("Engine", "GPU", "Decoded")]
        return [*waiting, Figure("Display", window), *_recording_figures(None)]
    decoded = f"{counted(health.n_predictions, 'prediction')}, {counted(health.n_skipped, 'window')} skipped"
    n_late = health.n_view_dropped
    shown = f"; {n_late:,} chunks not displayed (too slow)" if n_late else ""
    return [
        Figure("Engine", f"{number(health.cpu_percent)} % of a core, {number(health.memory_mb)} MB"),
        Figure("GPU", one_line(health.gpu) or "none (CPU only)"),
        Figure("Decoded", decoded, "suspect" if health.n_skipped else "good"),
        Figure("Display", window + shown, "suspect" if n_late else "good"),
        *_recording_figures(health.recording),
    ]


def _recording_figures(recording: RecordingInfo | None) -> list[Figure]:
    if recording is None:
        return [Figure("Recording", "not recording", "muted"), Figure("Disk", "-", "muted")]
    name = one_line(recording.path.name)
    so_far = f"{duration(recording.duration_s)}, {data_size(recording.n_bytes)}"
    written = Figure("Recording", f"{recording.state}: {name}, {so_far}")
    if recording.state == "failed":
        why = message_line(recording.message) or "no reason given"
        written = Figure("Recording", f"failed: {why} ({name}, {so_far})", "bad")
    disk = Figure("Disk", f"{data_size(recording.free_bytes)} free")
    if math.isfinite(recording.room_s):  # else there is no rate yet
        disk = replace(disk, text=f"{disk.text}, enough for {duration(recording.room_s)}")
    if recording.room_s < ROOM_ALARM_S:
        remedy = "free some space, or stop the recording"
        disk = Figure("Disk", f"almost full: {disk.text}; {remedy}", "bad")
    return [written, disk]


#: The target of a live prediction, from the push of the last sample to the prediction's output.
TARGET_MS = 200.0

_STAGES = ("arrival", "wait", "hand_over", "features", "network")  # a replay begins at the third


@dataclass(frozen=True)
class Stage:
    """One bar of the waterfall, in ms; NaN where it is not known."""

    name: str
    start_ms: float
    took_ms: float
    p50_ms: float
    p99_ms: float

    @property
    def figures(self) -> tuple[str, str, str]:
        return tuple(number(v, 1 if abs(v) < 100 else 0) for v in (self.took_ms, self.p50_ms, self.p99_ms))  # type: ignore[return-value]


def stages(
    prediction: Prediction,
    p50_ms: Mapping[str, float],
    p99_ms: Mapping[str, float],
    display: DisplayLatency,
    *,
    live: bool,
) -> list[Stage]:
    """Return the stages of a prediction in order, and last their total.

    Live, ``display`` starts where the engine gave the prediction out. A replay has no arrival, wait and
    display. Percentiles by stage are those of `HealthPart`.
    """
    latency, begins, found = vars(prediction.latency), 0.0, []
    for name in _STAGES if live else _STAGES[2:]:
        took = latency[name]
        p50, p99 = p50_ms.get(name, math.nan), p99_ms.get(name, math.nan)
        found.append(Stage(name.replace("_", "-"), begins, took, p50, p99))
        begins += took if math.isfinite(took) else 0.0
    decided = latency["total"] if math.isfinite(latency["total"]) else begins
    p50, p99 = p50_ms.get("total", math.nan), p99_ms.get("total", math.nan)
    if not live:
        return [*found, Stage("total", 0.0, decided, p50, p99)]
    shown = display.of(prediction)
    display_ms, to_screen_ms = zip(display.percentiles_ms(50), display.percentiles_ms(99), strict=True)
    return [
        *found,
        Stage("decided", 0.0, decided, p50, p99),
        Stage("display", decided, shown, *display_ms),
        Stage("on screen", 0.0, decided + shown, *to_screen_ms),
    ]


def axis_end_ms(found: list[Stage]) -> float:
    """Return where the axis ends: a round number that holds every bar, at least past the target."""
    ends = [stage.start_ms + stage.took_ms for stage in found]
    longest, end = max(filter(math.isfinite, ends), default=0.0), TARGET_MS * 1.25
    while end < longest * 1.02:
        end *= 2
    return end


def verdict(found: list[Stage]) -> tuple[str, str]:
    """Return severity and one sentence on the target, judged by the p99 of ``decided``."""
    decided = next((stage for stage in found if stage.name == "decided"), None)
    if decided is None:
        return "muted", "A replay times only the computation: there is no arrival, waiting or display."
    if not math.isfinite(decided.p99_ms):
        return "muted", f"Target: 99 % of predictions within {TARGET_MS:.0f} ms. Not measured yet."
    severity, word = ("good", "met") if decided.p99_ms <= TARGET_MS else ("bad", "missed")
    return severity, (
        f"Target {word}: 99 % of predictions in the last 2 min were made within {decided.p99_ms:.0f} ms "
        f"(target: {TARGET_MS:.0f} ms)."
    )


class DisplayLatency:
    """Collects display times; whoever paints the newest prediction says so with `shown`."""

    def __init__(self) -> None:
        self._shown: dict[int, tuple[float, float]] = {}  # by prediction: the display, and all until then, ms

    def shown(self, prediction: Prediction, now: float) -> None:
        """Note that ``prediction`` was painted at ``now`` (LSL seconds).

        Only the first painting of a new prediction counts. A replay has no such latency: its age is NaN.
        """
        newest = next(reversed(self._shown), -1)
        if prediction.index <= newest or not math.isfinite(prediction.latency.age):
            return
        display = (now - prediction.t_end) * 1e3 - prediction.latency.age
        self._shown[prediction.index] = display, prediction.latency.total + display
        if len(self._shown) > N_LATENCIES:
            del self._shown[next(iter(self._shown))]

    def forget(self) -> None:
        self._shown.clear()

    def of(self, prediction: Prediction) -> float:
        """Return the display time of a prediction in ms, NaN if it was not painted when it was new."""
        return self._shown.get(prediction.index, (math.nan,))[0]

    def percentiles_ms(self, q: float) -> tuple[float, float]:
        """Return a percentile of display times, and of times from push to painted window, ms."""
        display, to_screen = ([times[i] for times in self._shown.values()] for i in (0, 1))
        return percentile(display, q), percentile(to_screen, q)
