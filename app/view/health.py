"""Streams, electrodes and messages of a session as rows of text with a severity."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from types import MappingProxyType

from acquisition.quality import ChannelQuality, StreamFinding, judge_silence, judge_stream
from acquisition.stream_words import fates, fault_words, ledger_line
from acquisition.text import UNKNOWN, age, counted, duration, number, percent, rate, signed_time
from acquisition.types import MODALITY_OF_KIND, Kind, StreamHealth, StreamLedger
from app.engine.messages import PhaseName
from app.telemetry import StreamState
from app.view.text import message_line, one_line

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
    rows = []
    for channel in sorted(channels, key=_gravity):
        severity = channel.state if channel.state in SHAPES else "muted"
        rows.append((severity, f"{SHAPES[severity]} {one_line(channel.ch_name)}  {quality_text(channel)}"))
    return rows


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
    rows = [
        MessageRow(time, _severity(severity), message_line(text, _LONGEST)) for time, text, severity in events
    ]
    rows = [row for row in reversed(rows) if row.is_problem or not problems_only]
    rows.sort(key=lambda row: math.inf if math.isnan(row.time) else -row.time)
    return rows[:N_SHOWN]


def _severity(word: str) -> str:
    return "suspect" if word == "warning" else word if word in _WORDS else "info"
