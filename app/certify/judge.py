"""Judges what a session left behind; pure calculations, so that known evidence has known answers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.types import MODALITY_OF_KIND, Kind
from app.compare import Comparison
from app.telemetry import percentile
from models.config import WindowConfig

WINDOWS = WindowConfig()
ALIGNED_MS, STALE_S, BACK_S, LOST_S, GROWTH_MB, WARM_UP_MB = 5.0, 2.0, 5.0, 2.0, 30.0, 80.0
P50_MS, P99_MS, SAME_LABEL, MOST_DP, FEW = 80.0, 200.0, 0.999, 1e-3, 0.05
#: Where more processes than this wanted each core, or an idle device's timer fired this late in one second of
#: twenty, a machine was too busy for times to be measured. Two minutes' test takes half of two cores itself.
BUSY_LOAD, BUSY_MS = 1.5, 100.0
_SEEN_S = 0.5  # the program prints ten times a second, and its line is read a little later
#: Faults of a stream's stamps, of its values and of its flow; those of processes have targets of their own.
STAMPS = ("step", "drift", "jitter", "late", "unix", "nan_stamps", "disorder", "duplicate")
VALUES = ("nan", "inf", "constant", "railed")
FLOW = ("gone", "changed", "silent", "frozen")
PROCESSES = ("program", "recorder", "both", "disk")
Span = tuple[float, float]  # LSL seconds


@dataclass(frozen=True)
class Row:
    """A line of the verdict; ``ok`` is None where nothing was measured."""

    name: str
    value: float | str | None
    limit: float | str | None
    unit: str
    ok: bool | None
    detail: str = ""
    is_timing: bool = False  # a busy machine explains a miss

    def to_json(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k != "is_timing"}


class Rows(list[Row]):
    """Rows of one thing, each with its name before it."""

    def __init__(self, name: str = "") -> None:
        super().__init__()
        self._prefix = f"{name}: " if name else ""

    def at_most(
        self, name: str, value: float, limit: float, unit: str, detail: str = "", *, timing: bool = False
    ) -> None:
        """Add a figure with an upper limit: NaN was not measured, infinite never happened."""
        is_there = math.isfinite(value)
        detail = "it never happened" if math.isinf(value) else detail
        ok = None if math.isnan(value) else bool(value <= limit)
        figure, timing = round(float(value), 6) if is_there else None, timing and is_there
        self.append(Row(self._prefix + name, figure, limit, unit, ok, detail, timing))

    def is_so(self, name: str, holds: bool | None, detail: str = "", *, timing: bool = False) -> None:
        """Add something that must hold."""
        holds = None if holds is None else bool(holds)
        value = {True: "yes", False: "no", None: None}[holds]
        self.append(Row(self._prefix + name, value, "yes", "", holds, detail, timing))


def exit_code(rows: Sequence[Row]) -> int:
    """Return 4 if a row fails, 5 if one was not measured or there is none, else 0."""
    if any(row.ok is False for row in rows):
        return 4
    return 5 if not rows or any(row.ok is None for row in rows) else 0


def counts(rows: Sequence[Row]) -> str:
    """Return in words how many rows pass, fail and were not measured."""
    n_passed, n_failed = (sum(row.ok is ok for row in rows) for ok in (True, False))
    return f"{n_passed} pass, {n_failed} fail, {len(rows) - n_passed - n_failed} not measured"


@dataclass(frozen=True, eq=False)
class Track:
    """One stream in one file, in the order of the file; arrays are (n_samples,)."""

    sfreq: float
    index: NDArray[np.int64]  # which sample of the device it is
    truth: NDArray[np.float64]  # LSL time at which it was due
    live: NDArray[np.float64]  # where the live clock map puts it, NaN where that dropped it
    file: NDArray[np.float64]  # by the clock offsets of the file
    events: NDArray[np.intp]  # positions of flashes, clicks, markers or steps, as seen in the content
    wrong: NDArray[np.bool_]  # it holds something else than was sent


@dataclass(frozen=True, eq=False)
class Fault:
    """Something that goes wrong with a stream or a process, in seconds since the first prediction."""

    at: float
    until: float
    target: str  # kind of a stream, or one of `PROCESSES`
    what: str  # a fault of `STAMPS`, `VALUES` or `FLOW`, double; kill, stop, slow, inject, full
    value: Any = True

    @property
    def words(self) -> str:
        amount = f" {self.value:g}" if isinstance(self.value, float) else ""
        length = f" for {self.until - self.at:g} s" if self.until > self.at else ""
        return f"{self.target} {self.what}{amount}{length}"


@dataclass
class Evidence:
    """What a session left; times are LSL seconds, streams go by the key of their device."""

    name: str
    zero: float = math.nan  # of the first prediction
    ended: float = math.nan
    exit_code: int | None = None
    begun: dict[Fault, float] = field(default_factory=dict)
    over: dict[Fault, float] = field(default_factory=dict)
    messages: list[tuple[float, str]] = field(default_factory=list)
    predictions: list[dict[str, Any]] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)  # of the program, each second
    late_ms: list[float] = field(default_factory=list)  # of the devices' timers, the worst of each second
    load: list[float] = field(default_factory=list)  # processes that run or wait to, a core, each second
    parts: dict[str, dict[str, Track]] = field(default_factory=dict)  # by file
    damage: list[str] = field(default_factory=list)
    replayed: Comparison | None = None
    replay_problem: str = ""
    names: Mapping[str, str] = field(default_factory=dict)  # of the streams

    def told(self, key: str, since: float, until: float = math.inf) -> float:
        """Return after how long the program named a stream, or said anything for ``key`` ""; inf: never."""
        name = self.names.get(key, "")
        found = (at - since for at, text in self.messages if since <= at <= until and name in text)
        return next(found, math.inf)

    def present(self, key: str, begin: float, end: float) -> list[bool]:
        modality = _modality(key)
        return [one["present"][modality] for one in self.predictions if begin <= one["t_end"] <= end]

    @property
    def n_skipped(self) -> int:
        """Windows that the session skipped: they leave holes in the hops."""
        ends = [one["t_end"] for one in self.predictions]
        return sum(round((b - a) / WINDOWS.hop_s) - 1 for a, b in pairwise(ends))

    def spans(self, faults: Iterable[Fault], which: Sequence[str], more_s: float) -> list[Span]:
        """Return from when to when faults were at work; a stream that came back changed stays so."""
        found = [fault for fault in faults if fault.what in which and fault in self.begun]
        ends = [math.inf if f.what == "changed" else self.over.get(f, math.inf) + more_s for f in found]
        return [(self.begun[fault] - 0.5, end) for fault, end in zip(found, ends, strict=True)]


def _modality(key: str) -> str:
    return MODALITY_OF_KIND[Kind(key.split()[0])]


def without_times(rows: Iterable[Row], evidence: Evidence) -> list[Row]:
    """Return the rows of a session; a time that a busy machine missed is not measured, a loss is a loss."""
    late, load = percentile(evidence.late_ms, 95), percentile(evidence.load, 50)
    is_busy = late > BUSY_MS or load > BUSY_LOAD
    why = f"not measured: {load:.1f} processes wanted each core, timers were {late:.0f} ms late. "
    return [
        replace(row, ok=None, detail=why + row.detail) if is_busy and row.is_timing and not row.ok else row
        for row in rows
    ]


def _inside(times: NDArray[np.float64], spans: Sequence[Span]) -> NDArray[np.bool_]:
    found = [(times >= begin) & (times <= end) for begin, end in spans]
    return np.any([np.zeros(len(times), np.bool_), *found], axis=0)


def n_lost(track: Track, outages: Sequence[Span] = ()) -> int:
    """Return how many samples are missing between the first and the last, but for those due in outages."""
    have = np.unique(track.index)
    missing = np.setdiff1d(np.arange(have[0], have[-1] + 1), have, assume_unique=True)
    due = track.truth[0] + (missing - track.index[0]) / track.sfreq
    return int((~_inside(due, outages)).sum())


def misalignment_ms(tracks: Mapping[str, Track], which: str, begin: float) -> float:
    """Return how far apart one event lies in two streams at worst, by ``live`` or ``file`` times."""
    found: dict[int, list[float]] = {}
    for track in tracks.values():
        at = track.events[(track.truth[track.events] >= begin)]
        for truth, time in zip(track.truth[at], getattr(track, which)[at], strict=True):
            if math.isfinite(time):
                found.setdefault(round(truth * 10), []).append(float(time))
    apart = (max(times) - min(times) for times in found.values() if len(times) > 1)
    return 1e3 * max(apart, default=math.nan)


def sample_rows(evidence: Evidence, faults: Sequence[Fault]) -> Rows:
    """Return what became of the samples of each stream, over all parts."""
    rows = Rows()
    for key in evidence.names:
        own = [fault for fault in faults if fault.target == key]
        tracks = [part[key] for part in evidence.parts.values() if key in part]
        if not tracks:
            rows.is_so(f"{key}: samples in the file", False, "none")
            continue
        outages = evidence.spans(own, FLOW, BACK_S)
        other = evidence.spans(own, ("changed", "frozen", *VALUES), 0.5)
        lost, n = sum(n_lost(track, outages) for track in tracks), sum(len(track.index) for track in tracks)
        rows.at_most(f"{key}: samples lost", lost, 0, "samples", f"{n} in the file")
        altered = sum(int(t.wrong[~_inside(t.truth, other)].sum()) for t in tracks)
        rows.at_most(f"{key}: samples altered", altered, 0, "samples")
        if not {fault.what for fault in own} & {"duplicate", "disorder", "double", "changed"}:
            twice = sum(len(track.index) - len(np.unique(track.index)) for track in tracks)
            rows.at_most(f"{key}: samples twice", twice, 0, "samples")
            back = sum(int((np.diff(track.index) < 0).sum()) for track in tracks)
            rows.at_most(f"{key}: samples out of order", back, 0, "samples")
    wrong_clock = {fault.target for fault in faults if fault.what in (*STAMPS, "changed")}
    if len({"gaze", "video", "audio", "markers"} & set(evidence.names) - wrong_clock) < 2:
        return rows
    for which, words in (("file", "in the file"), ("live", "as live placed them")):
        whole = [{k: t for k, t in part.items() if k not in wrong_clock} for part in evidence.parts.values()]
        worst = [misalignment_ms(tracks, which, evidence.zero + 5.0) for tracks in whole]
        value = max((one for one in worst if math.isfinite(one)), default=math.nan)
        rows.at_most(f"flash, click, marker, gaze {words}", value, ALIGNED_MS, "ms")
    return rows


_FEWEST_FOR_P99 = 200  # of fewer it is the largest one, or next to it


def prediction_rows(evidence: Evidence, faults: Sequence[Fault]) -> Rows:
    """Return whether predictions are numbers, how late they are, how the memory goes, and a replay."""
    rows, found = Rows(), evidence.predictions
    probs = [p for one in found for p in one["probs"].values()]
    is_finite = bool(probs) and all(isinstance(p, float | int) and math.isfinite(p) for p in probs)
    rows.is_so("all predictions are numbers", is_finite, f"{len(found)} predictions")
    spans = evidence.spans(faults, [fault.what for fault in faults], BACK_S)
    ends = np.array([one["t_end"] for one in found])
    counted = ends > evidence.zero + 10.0
    counted &= ~_inside(ends, spans)
    totals = np.array([one["latency_ms"]["total"] or math.nan for one in found])[counted]
    limits = ((50, P50_MS), (99, P99_MS)) if len(totals) >= _FEWEST_FOR_P99 else ((50, P50_MS),)
    for percent, limit in limits:
        detail = f"of {len(totals)} predictions; {evidence.n_skipped} windows skipped"
        rows.at_most(f"latency p{percent}", percentile(totals, percent), limit, "ms", detail, timing=True)
    third = len(totals) // 3
    if third > 100:
        drift = 100 * (percentile(totals[-third:], 99) / percentile(totals[:third], 99) - 1)
        rows.at_most("latency p99, last third against first", drift, 20.0, "%", timing=True)
    # What is loaded and cached grows for a minute or so; a shorter session shows no more than a bound.
    warm_s, limit = (60, GROWTH_MB) if len(evidence.rss_mb) > 150 else (20, WARM_UP_MB)
    settled = evidence.rss_mb[warm_s:]
    n = len(settled) // 4
    if n >= 4:
        growth = float(np.median(settled[-n:]) - np.median(settled[:n]))
        detail = f"over {len(settled)} s, {warm_s} s after the start"
        rows.at_most("growth of memory", growth, limit, "MB", detail)
    run, name = evidence.replayed, "replay equals live: largest difference"
    if run is None or not run.n_compared:
        problem = evidence.replay_problem
        rows.append(Row(name, None, MOST_DP, "", False if problem else None, problem or "no whole window"))
        return rows
    is_equal = run.max_abs_dp <= MOST_DP and run.same_label >= SAME_LABEL and not run.n_present_differs
    detail = f"{run.n_compared} windows, same label {run.same_label:.2%}"
    detail += f", presence differs in {run.n_present_differs}; {evidence.n_skipped} skipped live"
    # A replay skips none, so the running level, which every window feeds, has seen more there.
    rows.append(Row(name, run.max_abs_dp, MOST_DP, "", is_equal, detail, evidence.n_skipped > 0))
    return rows


def seconds_needed(modality: str) -> float:
    """Return how much unbroken data makes a modality present, with a hop and the wait for late streams."""
    steps = WINDOWS.min_valid_steps - 1
    needed = {
        "eeg": WINDOWS.eeg_step_s + steps * WINDOWS.eeg_shift_s,
        "eye": WINDOWS.eye_step_s + steps * WINDOWS.eye_shift_s + WINDOWS.eye_grid_s,
        "face": WINDOWS.face_grid_s * WINDOWS.face_min_frames,
        "voice": WINDOWS.voice_min_s + WINDOWS.voice_grid_s,
    }[modality]
    return needed + WINDOWS.eeg_shift_s + WINDOWS.hop_s + WINDOWS.lateness_s


def stream_fault_rows(evidence: Evidence, fault: Fault) -> Rows:
    """Return whether one fault of a stream was told, masked and got over."""
    rows, key = Rows(fault.words), fault.target
    begun, over = evidence.begun[fault], evidence.over.get(fault, evidence.ended)
    if key == "markers":
        return rows
    modality = _modality(key)
    told = evidence.told(key, begun)
    if fault.what in FLOW and over - begun > STALE_S:
        rows.at_most("told after", told, STALE_S + _SEEN_S, "s", timing=True)
    if fault.what == "double":
        rows.at_most("told after", told, BACK_S + _SEEN_S, "s", timing=True)
    back = evidence.told(key, over)
    if fault.what in ("gone", "changed"):
        rows.at_most("told of its return after", back, BACK_S + _SEEN_S, "s", timing=True)
    if fault.what == "gone":
        ends = (p["t_end"] for p in evidence.predictions if p["present"][modality])
        first = next((end for end in ends if end > over + 0.5), math.inf)
        waited = first - (over + back) if math.isfinite(back) else math.inf
        rows.at_most("present so long after that", waited, seconds_needed(modality), "s", timing=True)
    words = f"; {'told' if evidence.told(key, begun, over + BACK_S) < math.inf else 'no message'}"
    if fault.what in (*VALUES, "gone", "silent"):
        # A face counts while two good frames are in its window.
        good_s = WINDOWS.face_s - WINDOWS.face_grid_s if fault.what in VALUES else 0.0
        step = {"eeg": WINDOWS.eeg_step_s, "eye": WINDOWS.eye_step_s, "face": good_s}.get(modality, 0.0)
        used = _used(evidence, modality, begun + max(STALE_S, step + 0.5), over)
        share = sum(used) / len(used) if used else math.nan
        if used or fault.what in VALUES:
            rows.at_most("used all the same", share, FEW, "of windows", f"{len(used)} windows{words}")
    if fault.what in STAMPS:
        n_misplaced, n_present, worst_ms = misplaced(evidence, key, begun, over)
        n_all = len(evidence.present(key, begun, over))
        detail = f"present in {n_present} of {n_all} windows, at worst {worst_ms:.1f} ms off{words}"
        is_silent = n_present < n_all / 2 and "told" not in words
        value = n_misplaced if n_all else math.nan
        rows.at_most("windows misplaced, or absent untold", value + is_silent, 0, "windows", detail)
    others = [k for k in evidence.names if k not in (key, "markers")]
    of_others = (other for other in evidence.begun if other.target in others)
    near = any(other.at <= fault.until and fault.at <= other.until + 12 for other in of_others)
    if others and not near:
        shares = [1 - sum(there) / len(there) for k in others if (there := evidence.present(k, begun, over))]
        rows.at_most("others absent", max(shares, default=math.nan), FEW, "of windows", timing=True)
    return rows


def _used(evidence: Evidence, modality: str, begin: float, end: float) -> list[bool]:
    """Return in which windows a modality counts as present and no reason of its own stops the answer."""
    bad = f"bad {modality}"
    inside = [one for one in evidence.predictions if begin <= one["t_end"] <= end]
    codes = [{reason["code"] for reason in one["verdict"]["reasons"]} for one in inside]
    return [one["present"][modality] and bad not in of_one for one, of_one in zip(inside, codes, strict=True)]


def misplaced(evidence: Evidence, key: str, begun: float, over: float) -> tuple[int, int, float]:
    """Return in how many windows the newest second lies elsewhere, in how many it counts, the worst ms."""
    tracks = [part[key] for part in evidence.parts.values() if key in part]
    times = np.concatenate([np.empty(0), *(track.live for track in tracks)])
    off_ms = 1e3 * np.abs(times - np.concatenate([np.empty(0), *(track.truth for track in tracks)]))
    modality, worst = _modality(key), list[float]()
    for one in evidence.predictions:
        if begun <= one["t_end"] <= over + 2.0 and one["present"][modality]:
            newest = (times > one["t_end"] - 1.0) & (times <= one["t_end"])
            worst.append(float(off_ms[newest].max(initial=0.0)))
    return sum(ms > ALIGNED_MS for ms in worst), len(worst), max(worst, default=0.0)


def process_fault_rows(evidence: Evidence, fault: Fault) -> Rows:
    """Return what a killed, stopped or failing process cost, and whether the session went on."""
    rows, begun = Rows(fault.words), evidence.begun[fault]
    over, what = evidence.over.get(fault, begun), (fault.target, fault.what)
    files = [[t for key, t in part.items() if key != "markers"] for part in evidence.parts.values()]
    is_whole = not evidence.damage and all(files) and bool(files)
    rows.is_so("every file opens", is_whole, "; ".join(evidence.damage) or ", ".join(evidence.parts))
    if what in (("recorder", "kill"), ("disk", "full"), ("program", "inject")):
        limit = 1.0 if fault.what == "inject" else STALE_S
        rows.at_most("told after", evidence.told("", begun), limit + _SEEN_S, "s", timing=True)
    if what in (("recorder", "kill"), ("both", "kill")):
        before = [begun - min(t.truth[-1] for t in part) for part in files if part[0].truth[0] < begun]
        rows.at_most("lost before it", before[-1] if before else math.inf, LOST_S, "s", timing=True)
    if what == ("recorder", "kill"):
        after = [max(t.truth[0] for t in part) - begun for part in files if part[0].truth[0] > begun]
        rows.at_most("recorded again after", min(after, default=math.inf), BACK_S + LOST_S, "s", timing=True)
    if what == ("program", "kill"):
        after = [min(t.truth[-1] for t in part) - begun for part in files]
        rows.is_so("the recording goes on", max(after, default=-1.0) > 0)
    elif fault.target != "both":
        n = sum(one["t_end"] > over for one in evidence.predictions)
        rows.is_so("the session goes on", n > 4, f"{n} predictions after it", timing=n > 0)
    return rows


def session_rows(evidence: Evidence, faults: Sequence[Fault]) -> Rows:
    rows = Rows()
    if math.isnan(evidence.zero):
        said = evidence.messages[-1][1] if evidence.messages else ""
        rows.is_so("a prediction came", False, said, timing=True)
        return rows
    rows += [*sample_rows(evidence, faults), *prediction_rows(evidence, faults)]
    for fault in faults:
        if fault not in evidence.begun:
            rows.is_so(fault.words, None, "the session ended before it")
        elif fault.target in PROCESSES:
            rows += process_fault_rows(evidence, fault)
        else:
            rows += stream_fault_rows(evidence, fault)
    if not any(fault.target in ("program", "both") and fault.what == "kill" for fault in faults):
        lacks = {fault.target for fault in faults} & {"recorder", "disk"}  # of the file: 3 says so
        is_well = evidence.exit_code == 0 or (bool(lacks) and evidence.exit_code == 3)
        rows.is_so("the session ended well", is_well, f"exit code {evidence.exit_code}")
    return rows
