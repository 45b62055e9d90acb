"""Records without decoding, from the choice of streams to the finished file: the command record."""

import math
import re
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.text import Text

from acquisition.clock import LslClock
from acquisition.errors import ErrorCode, InputError
from acquisition.lsl.discovery import discover
from acquisition.process import interruptible
from acquisition.record.recorder import stop_recording
from acquisition.select import select_streams
from acquisition.text import counted, data_size, duration
from acquisition.types import StreamHeader
from app.engine.messages import RecordingInfo
from app.recording_control import RecordingControl, RecordingHooks
from app.tables import say

_POLL_S = 0.25
_LINE_EVERY_S = 10.0  # progress lines where there is no terminal
_BY_FIELD = re.compile(r"\s*(?:name|type|source_id|host):")


def choose(text: str | None, *, take_all: bool, timeout_s: float) -> list[StreamHeader]:
    """Discover streams and return those to record, or everything found.

    The text chooses by modality as in live, ``eeg=name:Muse,face=none``, or takes streams of any kind,
    ``source_id:abc,name:Events``. Without it, one stream a modality and all markers are recorded. Raises
    `InputError` if there are no streams, or the choice is malformed, ambiguous or matches nothing.
    """
    headers = {found.key: found.header for found in discover(timeout_s)}
    if not headers:
        remedy = "see `affectscope streams`"
        raise InputError("no LSL stream was found", where="record", remedy=remedy, code=ErrorCode.NO_STREAM)
    if take_all:
        return list(headers.values())
    if text and _BY_FIELD.match(text):
        return _by_field(headers, text)
    return [headers[key] for key in select_streams(headers, text)]


def _by_field(headers: Mapping[str, StreamHeader], text: str) -> list[StreamHeader]:
    chosen: dict[str, StreamHeader] = {}
    # A name may hold commas, so cut only before the next field.
    for part in re.split(rf",(?={_BY_FIELD.pattern})", text):
        name, _, value = (piece.strip() for piece in part.partition(":"))
        values = {key: getattr(h, "hostname" if name == "host" else name) for key, h in headers.items()}
        found = {key: headers[key] for key, there in values.items() if there == value}
        if not found:
            known = ", ".join(sorted({there or "empty" for there in values.values()}))
            what = f"no stream has {name} {value!r}; found: {known}"
            raise InputError(what, where="--streams", code=ErrorCode.WRONG_STREAM)
        chosen.update(found)
    return list(chosen.values())


def record(path: Path, headers: list[StreamHeader], seconds: float | None) -> None:
    """Record until ``seconds`` are over, Ctrl-C, or the recording fails.

    In a terminal a status line is updated; elsewhere a line is printed every ten seconds. Raises `InputError`
    if the recording cannot start, or ends by itself.
    """
    console, clock = Console(highlight=False), LslClock()
    notices: list[str] = []
    recording = RecordingControl(headers, (), RecordingHooks(notices.append, confirm_within_s=math.inf))

    with interruptible() as interrupted:
        recording.start(path, clock.now())
        say(console, f"Recording {counted(len(headers), 'stream')} to {path.absolute()}:")
        for header in headers:
            say(console, f"  {header.name} ({header.type}) on {header.hostname}")
        next_line_s, seconds = 0.0, seconds or math.inf
        try:
            with console.status("") as status_line:
                while recording.is_running and not interrupted.is_set():
                    recording.step(clock.now())
                    while notices:
                        say(console, f"- {notices.pop(0)}")
                    info = recording.info(clock.now())
                    assert info is not None
                    if info.duration_s >= seconds:
                        break
                    shown = f"{_progress(info)}   Ctrl-C ends the recording"
                    status_line.update(Text(shown, no_wrap=True, overflow="ellipsis"))
                    is_due = info.state == "recording" and info.duration_s >= next_line_s
                    if is_due and not console.is_terminal:
                        next_line_s = info.duration_s + _LINE_EVERY_S
                        say(console, _progress(info))
                    interrupted.wait(max(0.0, min(_POLL_S, seconds - info.duration_s)))
            say(console, "closing the file")
        finally:
            recording.finish(clock.now())
    info = recording.info(clock.now())
    assert info is not None
    if info.state == "failed":
        remedy = f"see {path.name}.log"
        raise InputError(info.message, where=str(path), remedy=remedy, code=ErrorCode.RECORDING)
    say(console, f"{path.name}: {data_size(info.n_bytes)}, {info.message}")
    say(console, f"Inspect it with: affectscope inspect {path}")


def _progress(info: RecordingInfo) -> str:
    if info.state == "starting":
        return f"{info.message} ..."
    size, free = data_size(info.n_bytes), data_size(info.free_bytes)
    return f"{duration(info.duration_s, 1)}  {size}, {free} free on the disk"


def end_orphan(path: Path) -> None:
    """Stop a recording that was left running by a crash.

    Raises `InputError` if none is running, or it failed.
    """
    status = stop_recording(path)
    if status.state == "failed":
        remedy = "the file is readable up to the last complete chunk"
        raise InputError(status.message, where=str(path), remedy=remedy, code=ErrorCode.RECORDING)
    print(f"{path.name}: {data_size(status.n_bytes)}, {status.message}")
