"""Which sessions a certificate is made of: those of two minutes, of ten, or of a long night."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from app.certify.judge import Evidence, Fault, Row, Rows, sample_rows, session_rows, without_times
from app.certify.run import Session

WIDE_MINUTES = 10.0
_SOAK_S, _LONG_SOAK_S, _N_KILLS = 200.0, 3600.0, 50
_DISK_MB = 320


def faults(*texts: str) -> tuple[Fault, ...]:
    """Return the faults that texts name: ``BEGIN-END TARGET FAULT``, with a number after it or none."""
    found = []
    for text in texts:
        span, target, what, *value = text.split()
        begin, end = span.split("-")
        found.append(Fault(float(begin), float(end), target, what, float(value[0]) if value else True))
    return tuple(found)


def _one_by_one(at: float, every: float, for_s: float, *texts: str) -> tuple[Fault, ...]:
    times = [at + every * number for number in range(len(texts))]
    return faults(*(f"{begin}-{begin + for_s} {text}" for begin, text in zip(times, texts, strict=True)))


def short() -> list[Session]:
    streams = (
        "18-19 eeg gone",
        "24-29 gaze gone",
        "34-37.5 audio silent",
        "42-47 eeg nan",
        "50-56 video step 5",
    )
    processes = ("28-28 recorder kill", "44-49 program stop", "62-62 program kill")
    return [Session("streams", 64, faults(*streams)), Session("processes", 66, faults(*processes))]


def wide(minutes: float = WIDE_MINUTES) -> list[Session]:
    """Return all sessions, the longest first, so that they end together; more minutes go into the soak."""
    of_eeg = [f"eeg {what}" for what in ("nan", "inf", "constant", "railed")]
    of_media = ["audio constant", "audio railed", "video nan"]  # a still picture is "video frozen"
    of_gaze = [f"gaze {what}" for what in ("nan", "inf", "constant", "railed")]
    still = [f"{kind} {what}" for kind in ("audio", "video") for what in ("silent", "frozen")]
    ahead = ("14-50 audio drift 100", "16-26 gaze step 5", "40-50 video unix", "62-70 gaze nan_stamps")
    behind = ["16-26 gaze late 2", "30-40 eeg jitter 0.05", "44-54 gaze step -5"]
    behind += ["62-68 gaze duplicate", "72-78 gaze disorder"]
    strained = ("16-21 recorder stop", "30-45 program slow", "56-56 program inject")
    returns = (*faults("16-24 gaze double"), Fault(32, 35, "eeg", "changed", {"sfreq": 500.0}))
    formats = [f"eeg {fmt} 250 8" for fmt in ("double64", "int8", "int16", "int32")]
    rates = ["eeg float32 1000 64", "eeg float32 2048 128"]
    disk = faults("24-24 disk full")  # after a whole window
    return [
        Session("soak", _SOAK_S + 60.0 * (minutes - WIDE_MINUTES)),
        Session("outages", 135, faults("18-19 eeg gone", "32-42 gaze gone", "58-118 video gone")),
        Session("values", 100, _one_by_one(16, 10, 6, *of_eeg, *of_media)),
        Session("gaze values", 84, _one_by_one(16, 16, 8, *of_gaze)),
        Session("clocks ahead", 84, faults(*ahead)),
        Session("clocks behind", 90, faults(*behind)),
        Session("flow", 76, _one_by_one(16, 14, 6, *still)),
        Session("processes", 90, faults("28-28 recorder kill", "50-70 program stop", "84-84 program kill")),
        Session("program slow, device lost", 76, faults(*strained), module="app.certify.devices"),
        Session("other returns", 50, returns),
        Session("full disk", 42, disk, ("eeg", "gaze", "markers")),
        Session("both killed", 36, faults("30-30 both kill")),
        Session("an output fails", 18, options=("--jsonl", "/dev/full")),
        Session("formats and rates", 20, devices=(*formats, *rates), command="record"),
        Session("int64", 5, devices=("eeg int64 250 8",), command="record"),
    ]


def full() -> list[Session]:
    """Return those of ten minutes with an hour's soak, and fifty kills one after the other."""
    kills = _one_by_one(16, 28, 0, *["recorder kill"] * (_N_KILLS // 2))
    kills += _one_by_one(30, 28, 2, *["eeg gone"] * (_N_KILLS // 2))
    more = (_LONG_SOAK_S - _SOAK_S) / 60
    return [*wide(WIDE_MINUTES + more), Session("fifty kills", 14.0 * _N_KILLS + 30, kills)]


def lanes(sessions: list[Session]) -> int:
    return min(3, len(sessions))


def seconds_of(sessions: list[Session]) -> float:
    """Return about how long sessions take, with their start and replay."""
    ends = [0.0] * lanes(sessions)
    for session in sessions:
        ends[ends.index(min(ends))] += session.seconds + 32.0
    return max(ends)


@contextmanager
def with_disk(sessions: list[Session], folder: Path) -> Iterator[tuple[list[Session], list[Row]]]:
    """Give the session of a full disk a small one of its own; where none can be made, a row says so."""
    at, rows = folder / "disk", Rows()
    need = [one for one in sessions if any(fault.target == "disk" for fault in one.faults)]
    is_there = False
    if need and os.name == "posix" and os.geteuid() == 0:
        at.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_MB}m", "tmpfs", str(at)]
        is_there = subprocess.run(mount, check=False, capture_output=True).returncode == 0
    for one in need if not is_there else ():
        rows.is_so(one.name, None, "not measured: making a small disk needs root on Linux")
    placed = [replace(one, folder=at) if one in need else one for one in sessions]
    try:
        yield placed if is_there else [one for one in sessions if one not in need], rows
    finally:
        if is_there:
            subprocess.run(["umount", "-l", str(at)], check=False, capture_output=True)


def rows_of(session: Session, evidence: Evidence) -> list[Row]:
    said = " ".join(text for _, text in evidence.messages)
    if session.name == "int64":
        rows = Rows()
        rows.is_so("refused before the recording", evidence.exit_code == 2 and not evidence.parts, said)
    elif session.options:
        rows = sample_rows(evidence, ())
        lasted_s = evidence.ended - evidence.zero
        rows.is_so("the session lasts to its end", lasted_s > session.seconds - 3, f"{lasted_s:.0f} s")
        rows.is_so("told", bool(evidence.told("", evidence.zero - 5) < session.seconds), said)
        rows.is_so("the session ended well", evidence.exit_code in (0, 3), f"exit code {evidence.exit_code}")
    elif session.command == "record":
        rows = sample_rows(evidence, ())
        rows.is_so("the recording ended well", evidence.exit_code == 0, said)
    else:
        rows = session_rows(evidence, session.faults)
    return without_times([replace(row, name=f"{session.name}: {row.name}") for row in rows], evidence)
