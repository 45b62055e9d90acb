"""Stamps that cannot be trusted: samples are aligned or absent, it is said, and a replay repeats it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from acquisition.adapters.media import MarkerAdapter
from acquisition.intake import StreamIntake
from acquisition.stream_words import Episodes, note_events
from acquisition.timebase import ClockMapper
from acquisition.types import Change, Fate, StreamEvent, StreamHeader

STREAMS = {"eeg": (250.0, True), "gaze": (60.0, False), "audio": (16_000.0, True), "video": (30.0, False)}
BEGIN = 5000.0
FAULT_S = 10.0  # after the beginning


@dataclass
class Run:
    """What a mapper made of a stream."""

    times: NDArray[np.float64]
    taken: NDArray[np.float64]  # when the samples that were kept were taken
    breaks: list[int]
    notes: list[tuple[Fate, float, float, int]]
    mapper: ClockMapper

    def errors_after(self, seconds: float) -> NDArray[np.float64]:
        return np.abs(self.times - self.taken)[self.taken >= BEGIN + seconds]


def run(
    kind: str,
    taken: NDArray[Any],
    stamps: NDArray[Any],
    came: NDArray[Any],
    recorded: Any = (),
    **options: Any,
) -> Run:
    """Map a stream as it is read: what came by each reading; without arrivals where ``recorded`` is given."""
    sfreq, dejitter = STREAMS[kind]
    mapper = ClockMapper("s", sfreq, dejitter=dejitter, recorded=recorded)
    times, kept, breaks, notes = [], [], [], []
    for part in np.split(np.arange(len(taken)), np.flatnonzero(np.diff(came)) + 1):
        mapped = mapper.map(stamps[part], float("nan") if recorded else float(came[part[0]]))
        breaks += [sum(map(len, times)) + at for at in mapped.breaks]
        times.append(mapped.times)
        kept.append(taken[part if mapped.keep is None else part[mapped.keep]])
        notes += mapper.take_notes()
    return Run(np.concatenate(times), np.concatenate(kept), breaks, notes, mapper)


def live(kind: str, seconds: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return when samples were taken, and when they came: at a reading every 20 ms, sound by buffers."""
    taken = BEGIN + np.arange(round(seconds * STREAMS[kind][0])) / STREAMS[kind][0]
    return taken, np.ceil((taken + (0.024 if kind == "audio" else 0.004)) / 0.02) * 0.02


def assert_replayed(kind: str, found: Run, taken: Any, stamps: Any, came: Any) -> None:
    again = run(kind, taken, stamps, came, recorded=found.mapper.take_segments())
    assert again.times.tobytes() == found.times.tobytes()
    assert again.breaks == found.breaks


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("returns", [True, False])
@pytest.mark.parametrize("leap_s", [0.5, -0.5, 1.0, -1.0, 2.0, -2.0, 4.5, 5.0, -5.0, 30.0, -30.0])
def test_a_clock_that_leaps_misaligns_nothing_and_is_said(kind: str, returns: bool, leap_s: float) -> None:
    taken, came = live(kind, 16.0 if kind == "audio" else 26.0)
    is_off = (taken >= BEGIN + FAULT_S) & ((taken < BEGIN + FAULT_S + 4) if returns else True)
    stamps = taken + leap_s * is_off
    found = run(kind, taken, stamps, came)
    assert len(found.times) == len(taken)
    assert found.errors_after(0).max() < 1e-4
    assert [note[0] for note in found.notes] == [Fate.LEAP] * (1 + returns)
    assert found.notes[0][2] == pytest.approx(leap_s, abs=0.04)
    assert_replayed(kind, found, taken, stamps, came)


@pytest.mark.parametrize("kind", ["eeg", "gaze"])
@pytest.mark.parametrize("leap_s", [0.0, 3.0])
def test_a_pause_is_no_leap_but_a_clock_that_leaps_in_it_is(kind: str, leap_s: float) -> None:
    taken, came = live(kind, 26.0)
    sent = (taken < BEGIN + FAULT_S) | (taken > BEGIN + FAULT_S + 5)
    taken, came = taken[sent], came[sent]
    found = run(kind, taken, taken + leap_s * (taken > BEGIN + FAULT_S), came)
    assert found.errors_after(0).max() < (0.03 if leap_s else 1e-4)  # as well as the arrival tells
    assert {note[0] for note in found.notes} == ({Fate.LEAP, Fate.GAP} if leap_s else {Fate.GAP})


def test_a_leap_that_is_read_late_is_undone_as_soon_as_the_arrival_shows_it() -> None:
    taken, came = live("eeg", 26.0)
    stalled = (came > BEGIN + FAULT_S - 0.1) & (came < BEGIN + FAULT_S + 0.35)
    came[stalled] = BEGIN + FAULT_S + 0.35  # nothing was read for half a second
    found = run("eeg", taken, taken + 0.5 * (taken >= BEGIN + FAULT_S), came)
    assert found.errors_after(FAULT_S + 1.2).max() < 0.005
    assert Fate.LEAP in [note[0] for note in found.notes]


@pytest.mark.parametrize("kind", ["eeg", "gaze"])
def test_a_sender_that_was_late_and_catches_up_is_not_taken_for_a_leap(kind: str) -> None:
    taken, came = live(kind, 60.0)
    is_late = (taken >= BEGIN + 10) & (taken < BEGIN + 35)
    came = np.where(is_late, np.minimum(came + 2.0, BEGIN + 35.1), came)
    found = run(kind, taken, taken, np.maximum.accumulate(came))
    assert len(found.times) == len(taken)
    assert found.errors_after(0).max() < 0.001
    assert found.notes == []


def test_a_clock_that_runs_ahead_of_the_arrival_is_held_back_and_said() -> None:
    taken, came = live("gaze", 60.0)
    found = run("gaze", taken, taken + 0.01 * (taken - BEGIN), came)
    assert found.errors_after(0).max() < 0.45
    assert found.notes[0][0] is Fate.LEAP


@pytest.mark.parametrize(
    ("kind", "settled_s", "most_s"),
    [
        ("eeg", 5.0, 0.005),
        ("gaze", 30.0, 0.015),
        pytest.param("audio", 30.0, 0.0055, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("begins_s", [0.0, 10.0])
def test_jitter_of_50_ms_drops_no_regular_sample_and_is_averaged(
    kind: str, settled_s: float, most_s: float, begins_s: float
) -> None:
    taken, came = live(kind, 10.0 + begins_s + settled_s)
    n_each = 320 if kind == "audio" else 1
    noise = np.repeat(np.random.default_rng(3).normal(0, 0.05, len(taken)), n_each)[: len(taken)]
    stamps = taken + noise * (taken >= BEGIN + begins_s)
    found = run(kind, taken, stamps, came)
    assert len(found.times) >= len(taken) - (60 if kind == "gaze" else 0)  # until the jitter is known
    assert found.errors_after(begins_s + settled_s).max() < most_s
    # From the first sample on, a tracker of 60 Hz shows its rate only after some seconds.
    learnt_s = 15 if kind == "gaze" and begins_s == 0 else 2
    assert all(found.taken[at] < BEGIN + begins_s + learnt_s for at in found.breaks)
    assert Fate.SCATTER in [note[0] for note in found.notes]
    assert_replayed(kind, found, taken, stamps, came)


@pytest.mark.parametrize("kind", ["eeg", "gaze", "audio"])
@pytest.mark.parametrize("n_each", [1, 5])
def test_samples_sent_twice_are_taken_once(kind: str, n_each: int) -> None:
    taken, _ = live(kind, 20.0)
    chunks = np.split(np.arange(len(taken)), range(n_each, len(taken), n_each))
    order = np.concatenate([part for chunk in chunks for part in (chunk, chunk)])
    came = np.ceil((np.maximum.accumulate(taken[order]) + 0.004) / 0.02) * 0.02
    found = run(kind, taken[order], taken[order], came)
    np.testing.assert_array_equal(np.unique(found.taken), taken)
    assert len(found.taken) <= len(taken) + 1  # what is sent first may be a chunk of equal stamps
    assert found.errors_after(0).max() < 1.01 / STREAMS[kind][0]
    assert found.breaks == [0]


def test_a_drift_that_lsl_measures_is_followed() -> None:
    taken, came = live("eeg", 60.0)
    mapper, worst = ClockMapper("s", 250.0), 0.0
    stamps = (taken - BEGIN) * (1 + 1e-4)
    for at in range(0, len(taken), 5):
        if at % 1250 == 0:
            mapper.add_offset(float(stamps[at]), float(taken[at] - stamps[at]))
        times = mapper.map(stamps[at : at + 5], float(came[at])).times
        worst = max(worst, float(np.abs(times - taken[at : at + 5]).max()))
    assert worst < 0.005


def test_a_fault_that_goes_on_is_told_a_few_times_and_then_with_a_count() -> None:
    notes = [(Fate.LEAP, t, 5.0 + t, 0) for t in np.arange(0.0, 130.0, 0.1)]
    events = note_events("k", "Amp", notes)
    assert {event.code for event in events} == {Fate.LEAP}
    assert all(event.message.endswith("after the session") for event in events)
    episodes = Episodes()
    told = [event for each in events if (event := episodes.admit(each)) is not None]
    assert [round(event.time) for event in told] == [0, 0, 0, 60, 60, 60, 120, 120, 120]
    assert "(597 more of these before)" in told[3].message
    back = StreamEvent("k", Change.BACK, 130.0, "data resumed")
    assert [episodes.admit(back) for _ in range(9)] == [back] * 9  # a change of state is always told


@pytest.mark.parametrize("from_the_start", [True, False])
def test_the_push_time_of_a_clock_that_leapt_is_before_the_arrival(from_the_start: bool) -> None:
    header = StreamHeader("Amp", "EEG", "amp", "here", "", 100.0, 1, "float32", desc={"unit": "uV"})
    intake = StreamIntake("amp", MarkerAdapter(header, "amp"), ClockMapper("amp", 100.0))
    intake.mapper.add_offset(0.0, 0.0)
    for i in range(100):
        stamps = 10.0 + (np.arange(10) + i * 10) / 100.0
        arrival = float(stamps[-1]) + 0.01
        if from_the_start or i > 20:
            stamps = stamps + 5.0
        chunk = intake.feed(stamps, np.zeros((10, 1), np.float32), arrival, float(stamps[-1]))
        assert chunk is not None
    assert -0.2 < chunk.pushed - arrival <= 0.0
