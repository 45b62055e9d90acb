"""What a session came to: kept from its messages while it runs, put together at its end; no Qt, no torch."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass

import numpy as np

from acquisition.stream_words import why_nothing
from acquisition.types import MODALITIES, StreamLedger
from app.engine.messages import HealthPart, Mark, ModelInfo, Opened, QualityPart
from app.modality_mask import read_change
from assets import words
from calibration.quality import TrialQuality
from calibration.report.summary import Excluded
from models.config import ModelConfig
from models.prediction import SHOWN, Prediction, names_expression
from models.trust import ABSTENTIONS, State, Verdict

#: Shown for as long as emotions are inferred.
NOTICE = "Emotion inference active"
ANSWERED, NOTHING = "answered", "no prediction"
_WHY = words("why")
_MOST_STRETCHES, _STRETCH_S = 12, 5.0  # of the electrodes' table: how many, and the shortest


def introduction(model: ModelConfig | ModelInfo, name: str, warning: str = "") -> list[str]:
    """Return what is said about the model of a run: its name, warnings and limits."""
    title = f"{name} ({model.trained_on})" if model.trained_on else name
    lines = [f"{NOTICE}. Model: {title}.", *([f"WARNING: {warning}."] if warning else [])]
    if model.is_simulated:
        lines.append("It was trained on simulated data: its output is not valid for real people.")
    if names_expression(model.modalities):
        lines.append(SHOWN)
    unused = [modality for modality in MODALITIES if modality not in model.modalities]
    if unused:
        trained, others = " and ".join(model.modalities), " and ".join(unused)
        lines.append(
            f"It was trained with {trained} only: {others} are treated as missing, even if connected."
        )
    return lines


@dataclass(frozen=True)
class MarkerAnswers:
    """The windows that end between a marker and the next one, or the end; of equal markers all together."""

    time_s: float  # of the first, since the start
    marker: str
    n_markers: int
    seconds: float
    n_windows: int
    n_answered: int
    decoded_s: float
    means: tuple[float, ...]  # mean probability of each emotion; NaN without a window


class SessionLog:
    """Keeps of a session's messages what its summary needs, some 250 bytes a prediction."""

    def __init__(self) -> None:
        self.opened: Opened | None = None
        self.ledgers: tuple[StreamLedger, ...] = ()
        self.n_skipped = 0
        self.predictions: dict[float, tuple[bytes, str]] = {}
        self.markers: dict[tuple[float, str], None] = {}
        self.quality: dict[float, tuple[tuple[str, ...], tuple[str, ...]]] = {}
        self._newest: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
        self.seen = (math.inf, -math.inf)

    def see(self, time: float) -> None:
        """Extend what was seen of the session to ``time`` (LSL seconds)."""
        self.seen = min(self.seen[0], time), max(self.seen[1], time)

    def take(self, message: object) -> None:
        """Take one of the engine's messages; most do not matter."""
        match message:
            case Opened():
                self.opened = message
            case HealthPart():
                self.ledgers, self.n_skipped = tuple(message.ledgers.values()), message.n_skipped
                self.see(message.time)
            case Prediction():
                probs = np.array(list(message.probs.values()), np.float32).tobytes()
                self.predictions[message.t_end] = probs, _what(message.verdict)
                self.see(message.t_end)
            case QualityPart():
                names = tuple(channel.ch_name for channel in message.channels)
                bad = tuple((c.cause or c.reason) if c.state == "bad" else "" for c in message.channels)
                if (names, bad) != self._newest:
                    self._newest = names, bad
                self.quality[message.time] = self._newest  # mostly the same object
            case Mark():
                if read_change(message.text, message.time) is None:  # not of the program itself
                    self.markers[message.time, message.text] = None

    def summary(self) -> SessionSummary | None:
        """Return the session up to now; None before it has opened."""
        return None if self.opened is None else SessionSummary(self, self.opened)


class SessionSummary:
    """A session at its end, of a log that has its opening; seconds are since the start."""

    excluded: tuple[Excluded, ...] = ()  # none: the report's figures ask

    def __init__(self, log: SessionLog, opened: Opened) -> None:
        model, timeline = opened.model, opened.timeline
        first, last = log.seen
        if timeline is not None:
            first, last = timeline.first, min(max(last, timeline.first), timeline.last)
        self.title = f"Replay of {timeline.path.name}" if timeline is not None else "Live session"
        self.seconds = max(0.0, last - first) if math.isfinite(last - first) else 0.0
        self.labels, self.hop_s = model.labels, model.windows.hop_s
        #: A window looks back so far, also across a marker.
        self.context_s = max(map(model.windows.context_of, model.modalities), default=0.0)
        self.n_skipped, self.ledgers = log.n_skipped, log.ledgers
        ran = introduction(model, model.name)
        if model.profile:
            ran.append(f"Profile: {model.profile}, {model.verdict}.")
        self.words = [*ran, *([f"WARNING: {model.warning}."] if model.warning else [])]  # what ran
        self.simulated = ""  # what is simulated; empty where nothing is
        if opened.is_simulated:
            real = f", but for {', '.join(opened.real_streams)}." if opened.real_streams else ""
            self.simulated = f"Simulated data{real or ': no real participant.'}"
        times = np.array(sorted(log.predictions))
        kept = [log.predictions[t] for t in times.tolist()]
        self.times = times - first if len(times) else times  # (n,) ends of the windows
        probs = np.frombuffer(b"".join(p for p, _ in kept), np.float32)
        self.probs = probs.reshape(-1, len(model.labels))  # (n, n_labels)
        self.is_answer = np.array([what == ANSWERED for _, what in kept], bool)  # (n,)
        counts = Counter(what for _, what in kept)
        #: What there was, and for how many seconds.
        self.shares = [(what, n * self.hop_s) for what, n in counts.most_common()]
        self.shares.append((NOTHING, max(0.0, self.seconds - self.hop_s * len(kept))))
        #: Where there was no prediction at all.
        self.why_nothing = why_nothing(log.ledgers, model.modalities) if not kept else []
        self.markers = [(time - first, text) for time, text in sorted(log.markers)]
        #: The electrodes in stretches of equal length, numbered from 1, and the stretches' ends.
        self.quality, self.stretches = _stretches(log, first, self.seconds)

    def answers(self, *, together: bool) -> list[MarkerAnswers]:
        """Return the answers after each marker, or after all markers of one text ``together``."""
        begins = np.array([time for time, _ in self.markers])
        lengths = np.diff(np.append(begins, max(self.seconds, *begins, 0.0)))
        # The marker before a window, from 1; 0: none.
        after = np.searchsorted(begins, self.times, side="right")
        n_all = len(begins) + 1
        counts = np.bincount(after, minlength=n_all)[1:]
        answered = np.bincount(after, self.is_answer, minlength=n_all)[1:]
        sums = np.zeros((n_all, len(self.labels)))
        np.add.at(sums, after, self.probs)
        groups: dict[object, list[int]] = {}
        for at, (_, text) in enumerate(self.markers):
            groups.setdefault(text if together else at, []).append(at)
        found = []
        for ats in groups.values():
            n, seconds = int(counts[ats].sum()), float(lengths[ats].sum())
            means = sums[1:][ats].sum(axis=0) / (n or math.nan)
            (time, text), n_answered = self.markers[ats[0]], int(answered[ats].sum())
            decoded_s, p = min(seconds, n * self.hop_s), tuple(means.tolist())
            found.append(MarkerAnswers(time, text, len(ats), seconds, n, n_answered, decoded_s, p))
        return found


def _stretches(
    log: SessionLog, first: float, seconds: float
) -> tuple[tuple[TrialQuality, ...], tuple[float, ...]]:
    """Return how long and why each electrode was bad in each stretch, and the stretches' ends."""
    n = min(_MOST_STRETCHES, max(1, int(seconds // _STRETCH_S)))
    times, ends = sorted(log.quality), []
    found: list[TrialQuality] = []
    for at in range(n):
        end = seconds * (at + 1) / n
        span = [bisect_left(times, first + t) for t in (seconds * at / n, end)]
        parts = [log.quality[t] for t in times[slice(*span)]]
        if not parts:
            continue
        names = parts[-1][0]
        bad = list(zip(*(causes for of, causes in parts if of == names), strict=True))
        shares = tuple(sum(map(bool, of)) / len(of) for of in bad)
        reasons = tuple(max((x for x in of if x), key=of.count, default="") for of in bad)
        found.append(TrialQuality(len(found) + 1, len(parts), {}, names, shares, reasons))
        ends.append(end)
    return tuple(found), tuple(ends)


def _what(verdict: Verdict) -> str:
    if verdict.answer is not None:
        return ANSWERED
    if verdict.state is State.WARMING_UP:
        return "warming up"
    code = next((reason.code for reason in verdict.reasons if reason.code in ABSTENTIONS), None)
    return f"uncertain: {_WHY[code]}" if code is not None else "uncertain"
