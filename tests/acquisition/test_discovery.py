"""What discovery says of the streams it finds."""

from __future__ import annotations

import uuid

import pytest

from acquisition.header import parse_header
from acquisition.lsl.discovery import describe, discover


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
    found = [stream.header.source_id for stream in discover(2.0)]
    assert source_id in found
    del outlets
