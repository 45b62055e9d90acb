"""The pump gives the windows of an aligner fed by hand, however the samples come in."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import accumulate

import numpy as np
import pytest

from acquisition.errors import InputError
from acquisition.pump import Pump
from acquisition.simulator.source import SimulatedSource, SimulatorOptions
from acquisition.types import Change, Chunk, Kind, StreamEvent, StreamLedger, StreamSpec, Window
from acquisition.windowing import Aligner, WindowConfig

END_S = 14.0
CONFIG = WindowConfig()
EEG = StreamSpec("e", "Cap", Kind.EEG, ("FZ", "CZ"), ("uV", "uV"), 100.0)
GAZE = StreamSpec("g", "Tracker", Kind.GAZE, tuple("xylrv"), ("",) * 5, 60.0)


def simulated(faults: str = "drop:eeg@6+0.3,drop:gaze@9+2") -> SimulatedSource:
    return SimulatedSource(SimulatorOptions(seed=5, faults=faults))


class Script:
    """A source that delivers given items at given times, as the live one does."""

    def __init__(self, items: Iterable[tuple[float, Chunk | StreamEvent]], *, complete: bool) -> None:
        self._items = sorted(items, key=lambda pair: pair[0])
        self._complete = complete

    def read(self, now: float) -> list[Chunk | StreamEvent]:
        due = [item for time, item in self._items if time <= now]
        self._items = self._items[len(due) :]
        return due

    def complete_to(self, now: float) -> float | None:
        return now if self._complete else None

    @property
    def next_time(self) -> float | None:
        return self._items[0][0] if self._complete and self._items else None

    @property
    def exhausted(self) -> bool:
        return not self._items

    def ledgers(self) -> dict[str, StreamLedger]:
        return {}

    def close(self) -> None:
        pass


def opened(spec: StreamSpec) -> tuple[float, StreamEvent]:
    return -1.0, StreamEvent(spec.key, Change.OPENED, 0.0, spec=spec)


def seconds_of(spec: StreamSpec, begin: float, end: float) -> list[tuple[float, Chunk]]:
    """A chunk every tenth of a second, whose values are the samples' times."""
    chunks, sfreq = [], spec.sfreq
    for at in np.arange(round(begin * 10), round(end * 10)):
        times = np.arange(round(at * sfreq / 10), round((at + 1) * sfreq / 10)) / sfreq
        data = np.repeat(times[:, None], len(spec.ch_names), axis=1)
        chunks.append((float(times[-1]), Chunk(spec.key, 0, data, times, (0,) if at == begin * 10 else ())))
    return chunks


def assert_same(one: Window, other: Window) -> None:
    assert (one.index, one.present, one.coverage) == (other.index, other.present, other.coverage)
    for modality, steps in one.steps.items():
        for step, twin in zip(steps, other.steps[modality], strict=True):
            assert (step.valid, step.coverage, step.sfreq) == (twin.valid, twin.coverage, twin.sfreq)
            if step.valid:
                np.testing.assert_array_equal(step.data, twin.data)


@pytest.fixture(scope="module")
def by_hand() -> list[Window]:
    """Every window of the simulated subject, of an aligner that was given all samples at once."""
    aligner = Aligner(CONFIG)
    for item in simulated().read(END_S):
        if isinstance(item, Chunk):
            aligner.push(item)
        elif item.spec is not None:
            aligner.open(item.spec)
    return [aligner.cut(index, END_S, live=False) for index in aligner.due(END_S, END_S)]


@pytest.mark.parametrize("hop_s", [0.037, 0.25, 0.7, END_S])
def test_any_chunk_size_gives_the_windows_of_an_aligner_fed_by_hand(by_hand, hop_s):
    pump = Pump(simulated(), CONFIG)
    windows = []
    for now in [*np.arange(hop_s, END_S, hop_s), END_S]:
        pump.acquire(now)
        windows += pump.due_windows(now)
    assert len(windows) == len(by_hand) == 57
    assert pump.aligner.n_skipped == 0
    for window, expected in zip(windows, by_hand, strict=True):
        assert_same(window, expected)


def test_the_newest_window_counts_those_it_skips(by_hand):
    pump = Pump(simulated(), CONFIG)
    pump.acquire(2.0)
    assert_same(pump.newest_window(2.0), by_hand[8])
    assert pump.aligner.n_skipped == 8  # that at 0 s and seven more
    assert pump.newest_window(2.0) is None


def test_windows_of_whole_seconds_are_those_of_every_hop(by_hand):
    pump = Pump(simulated(), CONFIG)
    seconds = []
    for second in pump.whole_seconds(0.0, END_S - 1):
        seconds.append(second)
        assert_same(pump.window_at(second), by_hand[4 * int(second)])
    assert seconds == list(range(1, 14))
    assert pump.aligner.n_skipped == 0


def test_the_newest_steps_alone_have_samples_where_only_they_are_wanted(by_hand):
    pump = Pump(simulated(), CONFIG)
    pump.acquire(5.0)
    steps = pump.window_at(5.0, newest_only=True).steps["eeg"]
    assert [step.known for step in steps if step.valid] == [True] * 4 + [False]
    np.testing.assert_array_equal(steps[-1].data, by_hand[20].steps["eeg"][-1].data)


def test_steps_the_caller_knows_come_without_samples():
    pump = Pump(simulated(), CONFIG, known=lambda modality, index: modality == "eeg")
    pump.acquire(6.0)
    steps = pump.newest_window(6.0).steps
    assert steps["eeg"][-1].known
    assert steps["eeg"][-1].data is None
    assert steps["eye"][-1].data is not None


@pytest.mark.parametrize("change", [Change.STALE, Change.ENDED, Change.REFUSED])
def test_windows_wait_for_a_stream_until_it_stops_and_again_once_it_is_back(change):
    items = [opened(EEG), opened(GAZE), *seconds_of(EEG, 0, 20), *seconds_of(GAZE, 0, 10)]
    items += [(12.0, StreamEvent("g", change, 12.0)), (14.0, StreamEvent("g", Change.BACK, 14.0))]
    pump = Pump(Script(items, complete=False), CONFIG, live=True)

    def newest_t_end(now: float) -> float:
        pump.acquire(now + 0.08)  # the cap runs ahead of the caller's clock
        return pump.newest_window(now).t_end

    assert newest_t_end(11.02) == 10.75  # the tracker is waited for: its budget of 0.15 s decides
    assert newest_t_end(12.02) == 12.0  # it is not
    assert newest_t_end(14.02) == 13.75  # it is again


def test_a_caller_sees_every_chunk_and_event_and_may_refuse_a_stream():
    items = [opened(EEG), *seconds_of(EEG, 0, 2), (1.0, StreamEvent("e", Change.WARNING, 1.0, "loud"))]
    chunks, events, specs = [], [], []
    pump = Pump(
        Script(items, complete=True),
        CONFIG,
        on_open=specs.append,
        on_event=events.append,
        on_chunk=chunks.append,
    )
    pump.acquire(2.0)
    assert specs == [EEG]
    assert [event.change for event in events] == [Change.OPENED, Change.WARNING]
    assert len(chunks) == 20

    def refuse(spec: StreamSpec) -> None:
        raise InputError("foreign channels")

    with pytest.raises(InputError):
        Pump(Script(items, complete=True), CONFIG, on_open=refuse).acquire(0.0)


@pytest.mark.parametrize("hole_s", [5.0, 1e8])
def test_holes_are_jumped_over_and_no_row_is_lost(hole_s):
    later = 12.0 + hole_s
    items = [opened(EEG), *seconds_of(EEG, 0, 12), *seconds_of(EEG, later, later + 3)]
    pump = Pump(Script(items, complete=True), CONFIG)
    windows = {}
    for second in pump.whole_seconds(0.0, later + 2.9):
        windows[second] = pump.window_at(second)
        assert len(windows) < 40
    valid = [second for second, window in windows.items() if window.steps["eeg"][-1].valid]
    assert valid == [*range(1, 13), *(later + np.arange(1, 4))]
    assert pump.aligner.n_skipped == 0


def test_hops_beyond_a_hole_begin_with_the_next_sample():
    items = [opened(EEG), *seconds_of(EEG, 0, 2), *seconds_of(EEG, 1000, 1001)]
    pump = Pump(Script(items, complete=True), CONFIG)
    pump.acquire(1.0)
    assert list(pump.due_windows(1.0))
    assert pump.hop_after(4) == 5
    pump.acquire(2.0)
    assert len(list(pump.due_windows(2.0))) == 4
    assert pump.hop_after(8) == 4000
    pump.acquire(1000.25)
    assert [window.t_end for window in pump.due_windows(1000.25)] == [1000.0, 1000.25]


@pytest.mark.parametrize(("delay_s", "size_s", "said_s"), [(3.0, 0.1, 3.1), (0.0, 2.0, 2.0)])
@pytest.mark.parametrize("lateness_s", [0.15, 4.0])
def test_a_stream_that_keeps_coming_late_is_named_once_with_its_lateness(
    delay_s: float, size_s: float, said_s: float, lateness_s: float
) -> None:
    packets = seconds_of(GAZE, 0.0, 24.0)
    late = [(size_s * math.ceil((time + 1e-9) / size_s) + delay_s, chunk) for time, chunk in packets]
    script = Script([opened(EEG), opened(GAZE), *seconds_of(EEG, 0.0, 24.0), *late], complete=False)
    events: list[StreamEvent] = []
    pump = Pump(script, WindowConfig(lateness_s=lateness_s), live=True, on_event=events.append)
    for now in np.arange(0.0, 24.0, 0.05):
        pump.acquire(now)
        pump.newest_window(now)
    said = [event for event in events if event.change is Change.WARNING]
    is_late = lateness_s < 1
    ledgers = pump.ledgers()
    assert [event.stream for event in said] == ["g"] * is_late
    assert (ledgers["g"].n_late > 60) == is_late
    assert ledgers["e"].n_late < 3
    assert (ledgers["e"].n_used, ledgers["g"].n_used) == (2390, sum(len(c.times) for t, c in late if t < 24))
    if is_late:
        assert pump.late_s["g"] == pytest.approx(said_s, abs=0.1)
        assert "--lateness" in said[0].message
        assert f"{said_s:.1f} s late" in said[0].message


@pytest.mark.parametrize("delay_s", [0.3, 2.0])
def test_a_replay_that_follows_a_live_run_lacks_what_came_too_late_then(delay_s: float) -> None:
    gaze = seconds_of(GAZE, 0.0, 40.0)
    arrivals = accumulate((time + delay_s * (20 < time < 28) for time, _ in gaze), max)
    held_back = [(arrival, chunk) for arrival, (_, chunk) in zip(arrivals, gaze, strict=True)]
    eeg = [opened(EEG), opened(GAZE), *seconds_of(EEG, 0.0, 40.0)]
    live = Pump(Script([*eeg, *held_back], complete=False), WindowConfig(), live=True)
    replay = Pump(Script([*eeg, *gaze], complete=True), WindowConfig())
    taken: list[Window] = []
    for now in np.arange(0.0, 40.0, 0.05):
        live.acquire(now)
        taken += [window for window in (live.newest_window(now),) if window is not None]
    recorded = live.aligner.take_lateness()
    assert live.aligner.take_lateness() == []
    replay.aligner.follow({"g": recorded})
    n_absent = 0
    for window in taken:
        replay.acquire(window.t_end)
        again = replay.window_at(window.t_end)
        assert again.present == window.present
        assert [s.valid for s in again.steps["eye"]] == [s.valid for s in window.steps["eye"]]
        n_absent += window.t_end > 16 and not window.present["eye"]
    assert n_absent > 16
    live.aligner.restate()
    live.aligner.cut(400, 100.0, live=True)
    assert {entry.stream for entry in live.aligner.take_lateness()} == {"e", "g"}


def test_a_stream_that_comes_about_at_the_limit_is_named_once() -> None:
    packets = seconds_of(GAZE, 0.0, 80.0)
    late = [(time + (0.1 if int(time / 15) % 2 else 0.0), chunk) for time, chunk in packets]
    script = Script([opened(EEG), opened(GAZE), *seconds_of(EEG, 0.0, 80.0), *late], complete=False)
    events: list[StreamEvent] = []
    pump = Pump(script, WindowConfig(lateness_s=0.18), live=True, on_event=events.append)
    for now in np.arange(0.0, 80.0, 0.05):
        pump.acquire(now)
    assert [event.stream for event in events if event.change is Change.WARNING] == ["g"]


def test_a_ledger_stays_as_of_its_moment_while_samples_go_on_coming() -> None:
    script = Script([opened(EEG), *seconds_of(EEG, 0.0, 4.0)], complete=False)
    pump = Pump(script, WindowConfig(), live=True)
    pump.acquire(2.0)
    then = pump.ledgers()["e"]
    n_used = then.n_used
    pump.acquire(4.0)
    assert (then.n_used, pump.ledgers()["e"].n_used > n_used) == (n_used, True)
