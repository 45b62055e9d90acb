"""What discovery says of the streams it finds."""

from __future__ import annotations

import uuid

import pytest

from acquisition.errors import ErrorCode, InputError
from acquisition.header import parse_header
from acquisition.lsl import discovery
from acquisition.lsl.discovery import describe, discover, open_inlet
from acquisition.types import Kind


def info(name: str, type_: str, source_id: str):
    from pylsl import StreamInfo

    return StreamInfo(name, type_, 2, 100.0, "float32", source_id)


@pytest.mark.lsl
def test_problems_are_named() -> None:
    infos = [
        info("b", "EEG", "same"),
        info("a", "EEG", "same"),
        info("c", "Gaze", ""),
        info("d", "ACC", "same"),
    ]
    headers = [parse_header(one.as_xml()) for one in infos]
    found = describe(infos, [*headers[:3], None])
    assert [stream.header.name for stream in found] == ["a", "b", "c", "d"]
    problems = {stream.header.name: " ".join(stream.problems) for stream in found}
    assert "used by several" in problems["a"]
    assert "used by several" in problems["b"]
    assert "empty source_id" in problems["c"]
    assert problems["d"] == "its full header could not be read"  # its type tells it from a and b


@pytest.mark.lsl
def test_a_stream_that_nobody_can_read_hides_no_other() -> None:
    from pylsl import StreamOutlet

    source_id = f"affectscope-test-{uuid.uuid4()}"
    outlets = [
        StreamOutlet(info("broken\x01name", "EEG", f"{source_id}-x")),
        StreamOutlet(info("a", "EEG", source_id)),
    ]
    deep = info("deep", "EEG", f"{source_id}-deep")
    node = deep.desc()
    for _ in range(1500):
        node = node.append_child("a")
    outlets.append(StreamOutlet(deep))
    found = {stream.header.source_id: stream for stream in discover(2.0)}
    assert source_id in found
    for unreadable in ("-x", "-deep"):
        stream = found[source_id + unreadable]
        assert stream.problems[0] == "its full header could not be read"
        assert (stream.header.n_channels, stream.header.channel_format) == (2, "float32")
    del outlets


@pytest.mark.lsl
@pytest.mark.parametrize(
    ("sfreq", "n_channels"), [(float("nan"), 2), (float("inf"), 2), (1e9, 2), (2e5, 500)]
)
def test_no_inlet_is_opened_of_a_stream_that_states_what_no_device_sends(
    sfreq: float, n_channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pylsl

    def opened(*_: object, **__: object) -> None:
        raise AssertionError("an inlet was opened")

    monkeypatch.setattr(pylsl, "StreamInlet", opened)
    monkeypatch.setattr(
        discovery,
        "resolve",
        lambda timeout_s: [pylsl.StreamInfo("X", "EEG", n_channels, sfreq, "float32", "x")],
    )
    (found,) = discover()
    assert found.problems[0].startswith("it cannot be used: it")
    with pytest.raises(InputError) as error:
        open_inlet(found.info, Kind.EEG, 1.0)
    assert error.value.code is ErrorCode.WRONG_STREAM


@pytest.mark.lsl
def test_a_stream_without_a_sample_format_is_listed_as_one_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import pylsl

    # What liblsl makes of an answer that it cannot read, such as that of a sender whose rate is no number.
    unreadable = pylsl.StreamInfo("(invalid: stoi)", "", 2, 0.0, 0, "")
    monkeypatch.setattr(discovery, "resolve", lambda timeout_s: [unreadable])
    (found,) = discover()
    assert found.header.channel_format == "undefined"
    assert found.problems[0].startswith("it cannot be used: it")
    with pytest.raises(InputError) as error:
        open_inlet(found.info, Kind.EEG, 1.0)
    assert error.value.code is ErrorCode.WRONG_STREAM


@pytest.mark.lsl
def test_any_error_of_a_strangers_stream_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    import pylsl

    def failing(*_: object, **__: object) -> None:
        raise TypeError("info")

    monkeypatch.setattr(pylsl, "StreamInlet", failing)
    monkeypatch.setattr(discovery, "resolve", lambda timeout_s: [info("X", "EEG", "x")])
    (found,) = discover()
    assert found.problems == ("its full header could not be read",)


def nested(n_levels: int) -> str:
    return "<a>" * n_levels + "</a>" * n_levels


@pytest.mark.parametrize(
    "bomb",
    [
        '<!DOCTYPE info [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><info><name>&b;</name></info>',
        f"<info><channel_count>2</channel_count><desc>{nested(100_000)}</desc></info>",
        f"<info><channel_count>2</channel_count><desc>{'<a/>' * 300_000}</desc></info>",
        f"<info><channel_count>2</channel_count><desc>{'a' * 17_000_000}</desc></info>",
    ],
    ids=["entities", "deep", "wide", "long"],
)
def test_a_header_that_no_device_writes_is_refused(bomb: str) -> None:
    with pytest.raises(InputError) as error:
        parse_header(bomb)
    assert error.value.code is ErrorCode.WRONG_STREAM


@pytest.mark.lsl
def test_a_recording_of_all_streams_leaves_out_what_no_device_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    import pylsl

    from app import recording

    rates = {"a": 250.0, "b": 1e308, "c": 0.0, "d": float("nan")}
    infos = [pylsl.StreamInfo(name, "EEG", 2, rate, "float32", name) for name, rate in rates.items()]
    found = describe(infos, [parse_header(one.as_xml()) for one in infos])
    monkeypatch.setattr(recording, "discover", lambda timeout_s: found)
    chosen = recording.choose(None, take_all=True, timeout_s=1.0)
    assert [header.name for header in chosen] == ["a", "c"]
