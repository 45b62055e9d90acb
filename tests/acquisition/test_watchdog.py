"""Silence, return and clocks of live streams, with time handed in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from acquisition.lsl.reconnect import Verdict, Watchdog, differences, judge_return, place
from acquisition.types import ChannelInfo, StreamHeader

OLD = StreamHeader(
    "amp", "EEG", "id-1", "host", "uid-1", 500.0, 2, "float32", (ChannelInfo("CZ"), ChannelInfo("PZ"))
)
NEW = replace(OLD, uid="uid-2", channels=())


def test_silence_of_two_seconds_is_stale_once() -> None:
    watchdog = Watchdog(now=10.0)
    assert not watchdog.check(11.9)
    assert watchdog.check(12.0)
    assert not watchdog.check(13.0)
    assert watchdog.is_stale


def test_the_first_samples_end_the_silence_once() -> None:
    watchdog = Watchdog(now=0.0)
    watchdog.check(2.0)
    assert watchdog.hear(5.0)
    assert not watchdog.hear(5.1)
    assert not watchdog.check(7.0)
    assert watchdog.check(7.1)


def test_a_lost_sender_is_stale_at_once() -> None:
    watchdog = Watchdog(now=0.0)
    assert watchdog.declare()
    assert not watchdog.declare()
    assert not watchdog.check(9.0)


def test_markers_may_be_silent_for_ever() -> None:
    assert not Watchdog(now=0.0, stale_s=float("inf")).check(1e9)


def test_the_same_stream_under_a_new_uid_is_opened() -> None:
    judgement = judge_return(OLD, [NEW, replace(NEW, source_id="other", uid="u")], is_lost=True)
    assert (judgement.verdict, judgement.uid) == (Verdict.OPEN, "uid-2")


def test_a_new_name_is_no_hindrance_where_there_is_a_source_id() -> None:
    assert judge_return(OLD, [replace(NEW, name="renamed")], is_lost=True).verdict is Verdict.OPEN
    anonymous = replace(OLD, source_id="")
    assert judge_return(anonymous, [replace(NEW, name="renamed", source_id="")], True).verdict is Verdict.WAIT
    assert judge_return(anonymous, [replace(NEW, source_id="")], True).verdict is Verdict.OPEN


def test_other_types_of_one_device_are_not_taken_for_it() -> None:
    assert judge_return(OLD, [replace(NEW, type="ACC")], is_lost=True).verdict is Verdict.WAIT


def test_a_silent_sender_that_still_answers_is_waited_for() -> None:
    assert judge_return(OLD, [OLD], is_lost=False).verdict is Verdict.WAIT
    assert judge_return(OLD, [OLD], is_lost=True).verdict is Verdict.OPEN


def test_two_candidates_are_named_and_none_is_taken() -> None:
    judgement = judge_return(OLD, [NEW, replace(NEW, uid="uid-3")], is_lost=True)
    assert judgement.verdict is Verdict.AMBIGUOUS
    assert "2 streams claim to be 'amp'" in judgement.message


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"nominal_sfreq": 250.0}, "250 Hz, was 500 Hz"),
        ({"n_channels": 3}, "3 channels, were 2"),
        ({"channel_format": "int16"}, "format int16, was float32"),
    ],
)
def test_a_changed_stream_is_refused_with_both_values(changed: dict[str, object], words: str) -> None:
    judgement = judge_return(OLD, [replace(NEW, **changed)], is_lost=True)  # type: ignore[arg-type]
    assert judgement.verdict is Verdict.REFUSE
    assert words in judgement.message
    assert judge_return(OLD, [replace(NEW, **changed)], True, {"uid-2"}).verdict is Verdict.WAIT  # type: ignore[arg-type]


def test_changed_labels_are_a_difference() -> None:
    relabelled = replace(OLD, channels=(ChannelInfo("CZ"), ChannelInfo("OZ")))
    assert differences(OLD, relabelled) == "channel 1 is OZ [], was PZ []"
    assert differences(OLD, OLD) == ""


UNIX_OFFSET_S = 1000.0 - 1.7e9


def test_measured_offsets_are_used() -> None:
    placement = place(500.0, 500.0, now=1000.0, unix_offset_s=UNIX_OFFSET_S)
    assert (placement.offset_s, placement.message) == (500.0, "")


def test_unix_stamps_are_named_and_mapped() -> None:
    placement = place(1.7e9, 0.0, now=1000.0, unix_offset_s=UNIX_OFFSET_S)
    assert placement.is_unix
    assert placement.offset_s == UNIX_OFFSET_S
    assert "Unix" in placement.message


def test_stamps_of_no_known_clock_are_refused() -> None:
    assert place(5e9, 0.0, now=1000.0, unix_offset_s=UNIX_OFFSET_S).is_refused


def test_without_a_measurement_the_offset_is_nought_or_guessed_and_said() -> None:
    near = place(999.5, None, now=1000.0, unix_offset_s=UNIX_OFFSET_S)
    assert near.offset_s == 0.0
    assert "shares this computer's clock" in near.message
    far = place(50_000.0, None, now=1000.0, unix_offset_s=UNIX_OFFSET_S)
    assert far.offset_s == -49_000.0
    assert "estimated from arrival times" in far.message


@pytest.mark.parametrize(("stamp", "side"), [(3700.0 + 100, "ahead of"), (200.0, "behind")])
def test_stamps_hours_off_are_mapped_by_their_arrival_and_said_so(stamp: float, side: str) -> None:
    now = 3800.0 if side == "behind" else 200.0
    placement = place(stamp, 0.01, now, 0.0)
    assert placement.by_arrival
    assert placement.offset_s == now - stamp
    assert f"1 h {side} the LSL clock" in placement.message


@pytest.mark.parametrize("age_s", [-0.15, 0.0, 20.0, 60.0])
def test_a_backlog_and_a_little_skew_are_no_other_clock(age_s: float) -> None:
    assert not place(1000.0 - age_s, 0.0, 1000.0, 0.0).by_arrival


def test_unix_time_of_a_clock_minutes_off_is_decided_once() -> None:
    placement = place(1.7e9 + 600.0, 0.0, now=1000.0, unix_offset_s=1000.0 - 1.7e9)
    assert placement.is_unix
    assert placement.fits(1.7e9 + 601.0, 1001.0)
