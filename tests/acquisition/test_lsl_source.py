"""Live reading against real senders that are killed and started again."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess

import numpy as np
import pylsl
import pytest
from lsl_outlet_process import Sender

from acquisition.clock import LslClock
from acquisition.errors import InputError
from acquisition.intake import intake_maker
from acquisition.lsl.discovery import FoundStream, discover, open_inlet
from acquisition.lsl.source import SETTLE_S, LiveStream, LslSource
from acquisition.types import Change, Chunk, Kind, StreamEvent, StreamSpec

pytestmark = pytest.mark.lsl


@pytest.fixture
def source_id() -> str:
    return f"affectscope-test-{uuid.uuid4()}"


@pytest.fixture
def start() -> Iterator[Callable[[Sender], BaseProcess]]:
    """Start senders; they are killed at the end."""
    running: list[BaseProcess] = []

    def start_sender(sender: Sender) -> BaseProcess:
        running.append(sender.start())
        return running[-1]

    yield start_sender
    for process in running:
        process.kill()
        process.join()


def found_streams(source_id: str, n: int = 1, within_s: float = 20.0) -> list[FoundStream]:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        found = [stream for stream in discover(0.6) if stream.header.source_id == source_id]
        if len(found) >= n:
            return found
    raise AssertionError(f"no {n} streams {source_id} within {within_s} s")


def opened(source_id: str, kind: Kind = Kind.EEG) -> LslSource:
    found = found_streams(source_id)
    return LslSource(found, {stream.key: kind for stream in found})


class Reading:
    """Reads a source until something is true, and keeps what came."""

    def __init__(self, source: LslSource) -> None:
        self.source = source
        self.clock = LslClock()
        self.chunks: list[Chunk] = []
        self.events: list[StreamEvent] = []

    def until(self, done: Callable[[], bool], within_s: float) -> float:
        """Return the seconds it took."""
        began = self.clock.now()
        while not done():
            now = self.clock.now()
            assert now - began < within_s, f"not within {within_s} s; events {self.events}"
            for item in self.source.read(now):
                (self.chunks if isinstance(item, Chunk) else self.events).append(item)  # type: ignore[arg-type]
            self.clock.wait_until(now + 0.01)
        return self.clock.now() - began

    def n_samples(self) -> int:
        return sum(len(chunk.times) for chunk in self.chunks)

    def saw(self, change: Change) -> Callable[[], bool]:
        return lambda: any(event.change is change for event in self.events)

    def message(self, change: Change) -> str:
        return next(event.message for event in self.events if event.change is change)


def test_every_sample_arrives_once_and_in_time(
    source_id: str, start: Callable[[Sender], BaseProcess]
) -> None:
    start(Sender(source_id))
    source = opened(source_id)
    reading = Reading(source)
    reading.until(lambda: reading.n_samples() > 400, within_s=6.0)
    values = np.concatenate([np.asarray(chunk.data)[:, 0] for chunk in reading.chunks])
    np.testing.assert_array_equal(np.diff(values), 1.0)
    assert [chunk.start_index for chunk in reading.chunks[:2]] == [0, len(reading.chunks[0].times)]
    lateness = [chunk.arrival - chunk.times[-1] for chunk in reading.chunks[5:]]
    assert -0.01 < np.median(lateness) < 0.15
    (health,) = source.health(reading.clock.now()).values()
    assert health.n_samples == reading.n_samples()
    assert 200 < health.rate_hz < 300
    assert abs(health.offset_s) < 0.01  # sender and reader share a computer
    assert health.n_missing == 0
    assert reading.events[0].change is Change.OPENED
    assert reading.events[0].spec is not None
    assert reading.events[0].spec.ch_names == ("FP1", "CZ", "PZ")
    source.close()


def test_an_unusable_stream_stops_only_a_session_that_needs_it(
    source_id: str, start: Callable[[Sender], BaseProcess]
) -> None:
    start(Sender(source_id))
    start(Sender(f"{source_id}-gaze", type="Gaze"))
    start(Sender(f"{source_id}-text", type="Gaze", fmt="string"))
    eeg, gaze, text = (found_streams(f"{source_id}{end}")[0] for end in ("", "-gaze", "-text"))
    for usable, needed, other in ((gaze, Kind.GAZE, Kind.EEG), (eeg, Kind.EEG, Kind.GAZE)):
        found, kinds = [usable, text], {usable.key: needed, text.key: other}
        if other is Kind.EEG:  # the text
            with pytest.raises(InputError):
                LslSource(found, kinds)
        source = LslSource(found, kinds, unread={other})
        events = [item for item in source.read(LslClock().now()) if isinstance(item, StreamEvent)]
        assert [spec.kind for spec in source.specs.values()] == [needed]
        assert [event.change for event in events][:2] == [Change.OPENED, Change.REFUSED]
        source.close()


def test_a_stream_that_appears_is_offered_joins_and_takes_the_place_of_one_that_has_gone(
    source_id: str, start: Callable[[Sender], BaseProcess]
) -> None:
    start(Sender(source_id))
    source = opened(source_id)
    reading, chosen = Reading(source), f"markers=none,eye=source_id:{source_id}"
    refused: list[str] = []

    def accept(spec: StreamSpec) -> None:
        if refused:
            raise InputError(refused.pop())

    source.watch_for(f"{chosen}-1", ("eeg", "eye"), accept)
    reading.until(lambda: reading.n_samples() > 0, 20.0)
    assert source.offers() == []
    gaze = start(Sender(f"{source_id}-1", type="Gaze"))
    reading.until(lambda: len(source.offers()) > 0, 20.0)
    (offer,) = source.offers()
    assert (offer.header.source_id, offer.modality, offer.replaces) == (f"{source_id}-1", "eye", "")
    source.join(offer.uid)
    reading.until(lambda: len(source.specs) == 2, 20.0)
    assert source.offers() == []
    gaze.kill()
    reading.until(reading.saw(Change.STALE), 20.0)
    source.watch_for(f"{chosen}-2", ("eeg", "eye"), accept)
    start(Sender(f"{source_id}-2", type="Gaze", n_channels=4))
    refused.append("not this one")
    reading.until(lambda: len(source.offers()) > 0, 20.0)
    assert source.offers()[0].replaces == "affectscope-test"
    source.join(source.offers()[0].uid)  # refused: nothing that runs is touched
    reading.until(reading.saw(Change.REFUSED), 20.0)
    assert [spec.kind for spec in source.specs.values()] == [Kind.EEG, Kind.GAZE]
    assert source.offers() == []
    start(Sender(f"{source_id}-3", type="Gaze", n_channels=4))
    source.watch_for(f"{chosen}-3", ("eeg", "eye"), accept)
    reading.until(lambda: len(source.offers()) > 0, 20.0)
    source.join(source.offers()[0].uid)
    reading.until(reading.saw(Change.ENDED), 20.0)
    assert [spec.source_id for spec in source.specs.values()] == [source_id, f"{source_id}-3"]
    assert len(source.ledgers()) == 4
    source.close()


def test_a_killed_sender_is_stale_within_two_seconds_and_taken_up_again(
    source_id: str, start: Callable[[Sender], BaseProcess]
) -> None:
    sender = Sender(source_id)
    process = start(sender)
    source = opened(source_id)
    reading = Reading(source)
    reading.until(lambda: reading.n_samples() > 100, within_s=6.0)
    process.kill()
    assert reading.until(reading.saw(Change.STALE), within_s=5.0) <= 2.2
    n_before = reading.n_samples()
    start(sender)
    reading.until(reading.saw(Change.BACK), within_s=15.0)
    reading.until(lambda: reading.n_samples() > n_before + 50, within_s=3.0)
    after = next(chunk for chunk in reading.chunks if chunk.start_index >= n_before)
    assert after.breaks[0] == 0  # what follows a silence does not continue what was before
    assert not next(iter(source.health(reading.clock.now()).values())).is_stale
    source.close()


def test_the_first_half_second_of_a_sender_that_is_back_is_not_taken(source_id: str) -> None:
    """A recorder may find it that much later, and a replay must have what the live run took."""
    clock, n = LslClock(), round(2 * SETTLE_S * 250.0)
    info = pylsl.StreamInfo("test", "EEG", 1, 250.0, "float32", source_id)
    info.desc().append_child("channels").append_child("channel").append_child_value("label", "CZ")
    outlet = pylsl.StreamOutlet(info)
    info = found_streams(source_id)[0].info
    opened = open_inlet(info, Kind.EEG, 5.0)
    live = LiveStream(
        "test", Kind.EEG, opened, intake_maker()(opened.header, "test", Kind.EEG, ()), clock.now()
    )
    for n_left_out in (0, n // 2):
        chunks: list[Chunk] = []
        stamps = clock.now() - 2 * SETTLE_S + np.arange(n) / 250.0
        outlet.push_chunk(np.arange(n, dtype=np.float32)[:, None], list(stamps))
        while not chunks:
            chunks = [item for item in live.read(clock.now(), 0.0) if isinstance(item, Chunk)]
        assert np.asarray(chunks[0].data)[0, 0] == n_left_out
        live.install(open_inlet(info, Kind.EEG, 5.0))


@pytest.mark.slow
def test_a_second_sender_of_one_source_id_is_named_once_and_not_read(
    source_id: str, start: Callable[[Sender], BaseProcess]
) -> None:
    start(Sender(source_id))
    source = opened(source_id)
    reading = Reading(source)
    source.watch_for(f"eeg=source_id:{source_id}", ("eeg",))
    start(Sender(source_id))
    reading.until(reading.saw(Change.WARNING), 30.0)
    n_before = reading.n_samples()
    reading.until(lambda: reading.n_samples() > n_before + 1000, 30.0)
    assert [event.code for event in reading.events if event.change is Change.WARNING] == ["same_source_id"]
    values = np.concatenate([np.asarray(chunk.data)[:, 0] for chunk in reading.chunks])
    np.testing.assert_array_equal(np.diff(values), 1.0)
    source.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "words"),
    [({"n_channels": 4}, "4 channels, were 3"), ({"sfreq": 125.0}, "125 Hz, was 250 Hz")],
    ids=["channels", "rate"],
)
def test_a_sender_that_returns_changed_is_refused(
    source_id: str, start: Callable[[Sender], BaseProcess], changed: dict[str, object], words: str
) -> None:
    process = start(Sender(source_id))
    source = opened(source_id)
    reading = Reading(source)
    reading.until(lambda: reading.n_samples() > 50, within_s=6.0)
    process.kill()
    changed_process = start(Sender(source_id, **changed))  # type: ignore[arg-type]
    reading.until(reading.saw(Change.REFUSED), within_s=15.0)
    assert words in reading.message(Change.REFUSED)
    changed_process.kill()  # the right one is still taken when it comes
    start(Sender(source_id))
    reading.until(reading.saw(Change.BACK), within_s=15.0)
    source.close()


@pytest.mark.slow
def test_a_sender_that_returned_changed_can_be_added_without_a_restart(
    source_id: str, start: Callable[[Sender], BaseProcess]
) -> None:
    process = start(Sender(source_id))
    source = opened(source_id)
    reading = Reading(source)
    source.watch_for(f"eeg=source_id:{source_id},markers=none", ("eeg",))
    reading.until(lambda: reading.n_samples() > 50, within_s=20.0)
    process.kill()
    start(Sender(source_id, sfreq=125.0, n_channels=4))
    reading.until(reading.saw(Change.REFUSED), within_s=30.0)
    reading.until(lambda: len(source.offers()) > 0, 20.0)
    (offer,) = source.offers()
    assert offer.replaces == "affectscope-test"
    source.join(offer.uid)
    n_before = reading.n_samples()
    reading.until(lambda: reading.n_samples() > n_before + 20, 30.0)
    assert [(spec.sfreq, len(spec.ch_names)) for spec in source.specs.values()] == [(125.0, 4)]
    assert [ledger.n_received > n_before for ledger in source.ledgers().values()] == [True]
    assert [e.change for e in reading.events][-2:] == [Change.ENDED, Change.OPENED]
    source.close()


def test_markers_that_end_before_they_are_opened_do_not_stop_the_others(
    source_id: str, start: Callable[[Sender], BaseProcess]
) -> None:
    start(Sender(source_id))
    markers = start(Sender(f"{source_id}-markers", type="Markers", n_channels=1, sfreq=0.0, fmt="string"))
    found = [*found_streams(source_id), *found_streams(f"{source_id}-markers")]
    markers.kill()
    markers.join()
    kinds = dict(zip((stream.key for stream in found), (Kind.EEG, Kind.MARKERS), strict=True))
    source = LslSource(found, kinds, connect_timeout_s=1.0)
    try:
        assert [spec.kind for spec in source.specs.values()] == [Kind.EEG]
        events = [event for event in source.read(LslClock().now()) if isinstance(event, StreamEvent)]
        assert Change.REFUSED in [event.change for event in events]
    finally:
        source.close()


@pytest.mark.slow
def test_unix_stamps_are_named_and_mapped(source_id: str, start: Callable[[Sender], BaseProcess]) -> None:
    start(Sender(source_id, unix_stamps=True))
    source = opened(source_id)
    reading = Reading(source)
    reading.until(lambda: reading.n_samples() > 50, within_s=6.0)
    assert "Unix time" in reading.message(Change.WARNING)
    assert abs(reading.chunks[-1].times[-1] - reading.clock.now()) < 0.5
    source.close()


@pytest.mark.slow
def test_markers_come_as_text_and_may_be_silent(
    source_id: str, start: Callable[[Sender], BaseProcess]
) -> None:
    start(Sender(source_id, type="Markers", n_channels=1, sfreq=10.0, fmt="string"))
    source = opened(source_id, Kind.MARKERS)
    reading = Reading(source)
    reading.until(lambda: reading.n_samples() > 3, within_s=6.0)
    texts = [text for chunk in reading.chunks for text in chunk.data]
    assert all(isinstance(text, str) and text.startswith("marker ") for text in texts)
    source.close()
