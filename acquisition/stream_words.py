"""What devices and the faults of streams are called, and what to do, for windows, commands and reports."""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from acquisition.quality import StreamFinding
from acquisition.text import age, counted, duration, either
from acquisition.types import (
    DROPPED,
    MODALITIES,
    MODALITY_NAMES,
    Change,
    Fate,
    Kind,
    StreamEvent,
    StreamLedger,
)
from assets import words


@dataclass(frozen=True)
class Device:
    """What sends a modality's stream."""

    name: str
    if_missing: str
    if_silent: str


DEVICES = {Kind(kind): Device(**said) for kind, said in words("devices").items()}


@dataclass(frozen=True)
class FaultWords:
    """A finding of `judge_stream` in words."""

    state: str  # a word or two, for a table
    finding: str  # a clause with its figure
    remedy: str


_FAULTS = {fault: FaultWords(**said) for fault, said in words("stream_faults").items()}


def fault_words(finding: StreamFinding, kind: Kind) -> FaultWords:
    """Return a finding in words, for a stream of that kind."""
    found, figure = _FAULTS[finding.fault], finding.figure
    said = found.finding.format(
        figure=figure,
        seconds=age(figure),
        since=f" for {age(figure)}" if math.isfinite(figure) else "",
        percent=100 * abs(figure),
        side="below" if figure < 0 else "above",
    )
    look_at = DEVICES[kind].if_silent if kind in DEVICES else "check the sending LSL app"
    return FaultWords(found.state, said, found.remedy or f"{look_at}; it will reconnect automatically")


def waiting_words(missing: Mapping[str, str], modalities: Collection[str]) -> str:
    """Return for which streams a session waits: ``missing`` has what was chosen for each, "" for any."""
    named = [f"{MODALITY_NAMES[m]} ({choice})" for m, choice in missing.items() if choice]
    of_any = [MODALITY_NAMES[m] for m, choice in missing.items() if not choice and m in modalities]
    found = [MODALITY_NAMES[m] for m in MODALITIES if m in modalities and m not in missing]
    wanted = ", ".join(named) or either(of_any)
    return f"waiting for a stream of {wanted}; found so far: {', '.join(found) or 'none'}"


def offer_words(name: str, modality: str, n_rivals: int, replaces: str, joins: bool) -> str:
    """Return what to say of a stream that has appeared beside a running session."""
    as_what = MODALITY_NAMES.get(modality, modality)
    if joins:
        return f"{name} appeared and joins as {as_what} (--no-join would leave it out)"
    if n_rivals:
        return f"{name} appeared, one of {n_rivals + 1} streams for {as_what}: choose one (--streams)"
    if replaces:
        return f"{name} appeared: it can take the place of {replaces}, which has gone, as {as_what}"
    return f"{name} appeared: it can join as {as_what} without a restart"


# --- what became of samples ---

_FATES, _WHY_NOT = words("fates"), words("no_prediction")
_FEWEST_WINDOWS = 12


def note_events(key: str, name: str, notes: Iterable[tuple[Fate, float, float, int]]) -> list[StreamEvent]:
    """Return a warning for each note of `acquisition.timebase.ClockMapper.take_notes`."""
    events = []
    for fate, time, seconds, n_samples in notes:
        said = _FATES[fate]["said"].format(
            side="fall back" if seconds < 0 else "leap ahead",
            seconds=duration(abs(seconds), 1),
            samples=counted(n_samples, "sample"),
            milliseconds=1e3 * seconds,
        )
        message = f"{name}: {said} (t={time:.1f} s); {_FATES[fate]['remedy']}"
        events.append(StreamEvent(key, Change.WARNING, time, message, code=fate))
    return events


_EPISODE_S = 60.0
_N_TOLD = 3  # in an episode


class Episodes:
    """Lets a few warnings of one kind and stream through a minute, and says with the next how many came."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str], tuple[float, int]] = {}  # when it began, and how many since

    def admit(self, event: StreamEvent) -> StreamEvent | None:
        """Return the event as it is to be told, or None if it is only counted."""
        if event.change is not Change.WARNING:
            return event
        key = event.stream, event.code or event.message
        begun, n = self._told.get(key, (-math.inf, 0))
        is_new = not event.time - begun < _EPISODE_S  # NaN compares False
        self._told[key] = (event.time, 1) if is_new else (begun, n + 1)
        if is_new and n > _N_TOLD:
            more = f"{event.message} ({n - _N_TOLD:,} more of these before)"
            return replace(event, message=more)
        return event if is_new or n < _N_TOLD else None


def ledger_line(ledger: StreamLedger) -> str:
    """Return in one sentence what was received, used, dropped or mended and why, and decodable."""
    if ledger.refused and not ledger.n_used:
        return f"{ledger.name}: not used: {ledger.refused}"
    parts = [f"{counted(ledger.n_received, 'sample')} received, {ledger.n_used:,} used", *fates(ledger)]
    if ledger.modality:
        parts.append(f"decodable {duration(ledger.decodable_s, 1)}")
    if ledger.faulty_s:
        parts.append(f"no usable electrode for {duration(ledger.faulty_s, 1)}")
    return f"{ledger.name}: {'; '.join(parts)}"


def fates(ledger: StreamLedger) -> list[str]:
    """Return a clause for each thing that befell samples, with their number and seconds."""
    late = f"late in {ledger.n_late:,} of {counted(ledger.n_windows, 'window')}"
    return [
        _FATES[fate]["counted"].format(
            samples=counted(n, "sample"),
            holes=counted(n, "hole"),
            seconds=f" ({duration(seconds, 1)})" if (seconds := ledger.seconds[fate]) >= 0.05 else "",
        )
        for fate in Fate
        if (n := ledger.n_with[fate])
    ] + [late] * bool(ledger.n_late)


def why_nothing(ledgers: Collection[StreamLedger], modalities: Collection[str]) -> list[str]:
    """Return why no prediction was made from ``modalities``, a sentence each, the first cause first."""
    reasons = []
    for modality in (m for m in MODALITIES if m in modalities):
        name = MODALITY_NAMES[modality]
        found = [ledger for ledger in ledgers if ledger.modality == modality]
        reasons += [f"{name}: {_why_not(ledger)}" for ledger in found] or [f"{name}: no stream"]
    return sorted(reasons, key=lambda reason: reason.endswith(": no stream"))


def _why_not(ledger: StreamLedger) -> str:
    n_dropped, n_used = sum(ledger.n_with[fate] for fate in DROPPED), ledger.n_used
    is_unplaced = n_used < ledger.n_received / 2 and n_dropped > n_used
    causes = (
        ("nothing", ledger.n_received == 0),
        ("unplaced", is_unplaced),
        ("out of range", n_used == 0),
        ("milliseconds", ledger.n_with[Fate.GAP] > n_used / 2),
        ("late", ledger.n_late > ledger.n_windows / 2),
        ("no electrode", ledger.faulty_s > ledger.decodable_s),
        ("masked", ledger.decodable_s > 0),
        ("too short", ledger.n_windows <= _FEWEST_WINDOWS),
        ("broken", True),
    )
    said = _WHY_NOT[next(code for code, is_so in causes if is_so)]
    said = said.format(n_dropped=f"{n_dropped:,}", received=counted(ledger.n_received, "sample"))
    return ledger.refused or str(said)
