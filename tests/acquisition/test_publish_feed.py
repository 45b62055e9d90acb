"""The watchdog and the retrying feed on a manual clock, with readers that fail by script."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from clocks import ManualClock

from acquisition.errors import ErrorCode, InputError
from acquisition.publish.capture import Capture, DeviceFeed, Publishing, run_publisher
from acquisition.publish.webcam import RateLimit

STEP_S = 0.1


class ScriptedReader:
    """A device whose every step is known: ``content(now)`` is a hash, None for nothing."""

    def __init__(self, clock: ManualClock, content: Callable[[float], int | None]) -> None:
        self._clock = clock
        self._content = content
        self.failure = ""
        self.alive = True
        self.closed = False

    def take(self) -> list[Capture]:
        content = self._content(self._clock.now())
        return [] if content is None else [Capture(self._clock.now(), "picture", content)]

    def wait(self, timeout_s: float) -> None:
        self._clock.advance(timeout_s)

    def close(self) -> None:
        self.closed = True
        self.alive = False


class ReaderThatHangs(ScriptedReader):
    def close(self) -> None:
        self.closed = True


def run(feed: DeviceFeed, clock: ManualClock, until: float) -> list[Capture]:
    captures = []
    while clock.now() < until:
        captures += feed.take(clock.now())
        clock.advance(STEP_S)
    return captures


def make_feed(
    clock: ManualClock, open_reader: Callable[[], ScriptedReader]
) -> tuple[DeviceFeed, list[tuple[float, str]]]:
    reports: list[tuple[float, str]] = []
    feed = DeviceFeed(
        "camera 0",
        open_reader,
        lambda sentence: reports.append((clock.now(), sentence)),
        remedy="look",
        silent_s=1.5,
        frozen_s=1.5,
    )
    return feed, reports


def moving(now: float) -> int:
    return round(now * 1000)


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        pytest.param(lambda now: None, "no data for", id="blocks"),
        pytest.param(lambda now: 7, "the same frame for", id="repeats its last frame"),
    ],
)
def test_pulled_out_camera_is_reported_once_within_two_seconds_and_comes_back(
    fault: Callable[[float], int | None], word: str
) -> None:
    clock = ManualClock()
    feed, reports = make_feed(
        clock, lambda: ScriptedReader(clock, lambda now: moving(now) if now < 5 or now > 12 else fault(now))
    )
    run(feed, clock, 20.0)
    (lost_at, lost), (back_at, back) = reports
    assert word in lost
    assert 5.0 < lost_at <= 7.0
    assert "is sending again" in back
    assert 12.0 < back_at <= 12.0 + 1.0 + 2 * STEP_S


def test_failed_read_is_reported_at_once() -> None:
    clock = ManualClock()
    readers: list[ScriptedReader] = []

    def open_reader() -> ScriptedReader:
        readers.append(ScriptedReader(clock, moving))
        return readers[-1]

    feed, reports = make_feed(clock, open_reader)
    run(feed, clock, 3.0)
    readers[0].failure = "it sends no more frames"
    run(feed, clock, 5.0)
    assert reports[0][0] == pytest.approx(3.0, abs=STEP_S)
    assert reports[1] == (pytest.approx(4.0, abs=2 * STEP_S), "camera 0 is sending again")
    assert readers[0].closed
    assert not readers[1].closed


def test_camera_that_never_worked_is_refused_with_the_remedy() -> None:
    clock = ManualClock()
    reader = ScriptedReader(clock, lambda now: None)
    reader.failure = "it cannot be opened"
    feed, reports = make_feed(clock, lambda: reader)
    with pytest.raises(InputError, match=r"camera 0: it cannot be opened \(look\)") as error:
        feed.take(0.0)
    assert error.value.code is ErrorCode.DEVICE
    assert reports == []


def test_driver_that_hangs_is_not_given_more_than_four_threads() -> None:
    clock = ManualClock()
    readers: list[ReaderThatHangs] = []

    def open_reader() -> ReaderThatHangs:
        readers.append(ReaderThatHangs(clock, lambda now: moving(now) if now < 2 else None))
        return readers[-1]

    feed, reports = make_feed(clock, open_reader)
    run(feed, clock, 200.0)
    assert len(readers) == 4
    assert len(reports) == 1
    readers[0].alive = False  # the driver came back
    run(feed, clock, 205.0)
    assert len(readers) == 5


def test_slow_opening_is_no_loss() -> None:
    clock = ManualClock()
    feed, reports = make_feed(
        clock, lambda: ScriptedReader(clock, lambda now: moving(now) if now > 8 else None)
    )
    assert run(feed, clock, 9.0)
    assert reports == []


def test_rate_limit_halves_thirty_to_fifteen_despite_jitter() -> None:
    jitter = (0.004, -0.003, 0.001, -0.004, 0.002)
    stamps = [n / 30 + jitter[n % 5] for n in range(300)]
    limit = RateLimit(15.0)
    accepted = [stamp for stamp in stamps if limit.accepts(stamp)]
    assert len(accepted) == pytest.approx(150, abs=1)
    assert all(RateLimit(0.0).accepts(stamp) for stamp in stamps)


def test_rate_limit_does_not_catch_up_after_a_pause() -> None:
    limit = RateLimit(10.0)
    stamps = [n / 100 for n in range(100)] + [10 + n / 100 for n in range(100)]
    accepted = [stamp for stamp in stamps if limit.accepts(stamp)]
    assert all(later - earlier > 0.07 for earlier, later in pairwise(accepted))
    assert len(accepted) == pytest.approx(20, abs=2)


class Outlet:
    """An outlet that is listened to until a time."""

    def __init__(self, clock: ManualClock, listened_to_until: float) -> None:
        self._clock = clock
        self._until = listened_to_until

    def have_consumers(self) -> bool:
        return self._clock.now() < self._until


def test_publisher_ends_after_ten_minutes_without_a_listener() -> None:
    clock = ManualClock(1000.0)
    feed, reports = make_feed(clock, lambda: ScriptedReader(clock, moving))
    publishing = Publishing(
        lambda: False, lambda sentence: reports.append((clock.now(), sentence)), idle_limit_s=600.0
    )
    pushed: list[Capture] = []
    run_publisher(feed, Outlet(clock, 1600.0), pushed.append, clock, publishing)
    ((ended_at, _),) = reports
    assert ended_at == pytest.approx(2200.0, abs=0.2)
    assert len(pushed) > 10_000


def test_publisher_that_waits_for_a_listener_takes_nothing_before() -> None:
    clock = ManualClock()
    feed, _ = make_feed(clock, lambda: ScriptedReader(clock, moving))
    outlet = Outlet(clock, 0.0)
    outlet.have_consumers = lambda: clock.now() >= 30.0  # type: ignore[method-assign]
    pushed: list[Capture] = []
    publishing = Publishing(lambda: clock.now() > 31.0, lambda sentence: None, await_consumer=True)
    run_publisher(feed, outlet, pushed.append, clock, publishing)
    assert pushed[0].stamp == pytest.approx(30.0, abs=0.2)
