"""The small files beside a recording, the names of parts and runs, and what LabRecorder is asked to take.

The supervisor imports it, so it loads the standard library alone.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acquisition.errors import ErrorCode, InputError, file_errors, read_limited
from acquisition.text import finite, json_text, parse_json, stated

if TYPE_CHECKING:
    from acquisition.record.supervisor import StreamInFile
    from acquisition.types import StreamHeader


def status_path(recording: Path) -> Path:
    """Return where the supervisor writes the recording's state."""
    return recording.with_name(recording.name + ".status.json")


def stop_path(recording: Path) -> Path:
    """Return the file whose appearance stops the recording."""
    return recording.with_name(recording.name + ".stop")


def log_path(recording: Path) -> Path:
    """Return where the supervisor and LabRecorder write their messages."""
    return recording.with_name(recording.name + ".log")


def sidecar_path(recording: Path) -> Path:
    """Return the BIDS-like JSON sidecar: ``a.xdf`` has ``a.json``."""
    return recording.with_suffix(".json")


def recording_parts(recording: Path) -> tuple[Path, ...]:
    """Return the files of the session that a recording belongs to, in order; often it is the only one.

    The sidecars name them (``part_of`` and ``parts``), and so do the files' names: a sidecar may be
    missing, or was written before the last part began.
    """
    folder, match = recording.parent, re.fullmatch(r"(.*)_part-\d+", recording.stem)
    first = recording.with_name((match[1] if match else recording.stem) + recording.suffix)
    first = next(iter(_named(folder, _sidecar_of(recording).get("part_of"))), first)
    name = re.compile(rf"{re.escape(first.stem)}_part-\d+{re.escape(first.suffix)}")
    found = sorted(path for path in folder.iterdir() if name.fullmatch(path.name)) if folder.is_dir() else []
    parts = [first, *_named(folder, _sidecar_of(first).get("parts")), *found]
    whole = [path for path in dict.fromkeys(parts) if path.is_file()]
    return tuple(whole) if recording in whole else (recording,)


def later_parts(recording: Path) -> tuple[Path, ...]:
    """Return the other parts of the session that a recording begins; none of a later part."""
    first, *others = recording_parts(recording)
    return tuple(others) if first == recording else ()


def _sidecar_of(recording: Path) -> dict[str, Any]:
    try:
        return read_sidecar(recording)
    except InputError:  # said where its options are needed
        return {}


def _named(folder: Path, names: Any) -> list[Path]:
    """Return the recordings of a folder that a sidecar names; it may be a stranger's, so by plain names."""
    names = names if isinstance(names, list) else [names]
    plain = [name for name in names if isinstance(name, str) and re.fullmatch(r"[^/\\:]+\.xdf", name)]
    # isfile: False, not an error, for a name that is too long.
    return [folder / name for name in plain if os.path.isfile(folder / name)]


def next_path(recording: Path, entity: str) -> Path:
    """Return the next free ``…_part-02.xdf`` or, for the entity "run", ``…_run-02.xdf`` of a recording."""
    match = re.fullmatch(rf"(.*)_{entity}-(\d+)", recording.stem)
    stem, number = (match[1], int(match[2])) if match else (recording.stem, 1)
    while True:
        number += 1
        candidate = recording.with_name(f"{stem}_{entity}-{number:02d}{recording.suffix}")
        if not candidate.exists():
            return candidate


def write_sidecar(recording: Path, content: Mapping[str, Any]) -> Path:
    """Write what JSON can hold, and paths, as the sidecar of a recording that need not exist yet.

    Raises `InputError` if the folder cannot be written.
    """
    path = sidecar_path(recording)
    with file_errors("the sidecar cannot be written", path, "choose another folder"):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, content)
    return path


def read_sidecar(recording: Path) -> dict[str, Any]:
    """Return the recording's sidecar, or an empty dictionary where it has none.

    Raises `InputError` if the sidecar is not a JSON object.
    """
    path = sidecar_path(recording)
    if not path.is_file():
        return {}
    refused = partial(InputError, where=str(path), remedy="move it away", code=ErrorCode.FILE)
    try:
        content = parse_json(read_limited(path))
    except (OSError, ValueError) as error:
        raise refused(f"the sidecar cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise refused("expected a JSON object")
    return content


def write_json(path: Path, content: Mapping[str, Any], durable: bool = False) -> None:
    write_text(path, json_text(content, indent=2, default=_as_json) + "\n", durable)


def write_text(path: Path, text: str, durable: bool = False) -> None:
    """Replace ``path`` in one step, so that a reader never meets half a file.

    With ``durable`` the disk has it before this returns, so that a power cut leaves the old file or the new.
    A lone surrogate, as from a broken file name, is written as JSON's escape for it.
    """
    # A name of its own for each writer: two processes may write the same file.
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write(text)
            if durable:
                file.flush()
                os.fsync(file.fileno())
    except OSError:
        temporary.unlink(missing_ok=True)  # a full disk: half a file helps nobody
        raise
    for _ in range(20):
        try:
            os.replace(temporary, path)
            return
        except PermissionError:  # Windows refuses while another process reads the old file
            time.sleep(0.01)
    os.replace(temporary, path)


def _as_json(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):  # NumPy arrays and scalars
        return finite(value.tolist())
    raise TypeError(f"{type(value).__name__} has no JSON form")


_SAMPLE_BYTES = {"float32": 4, "double64": 8, "int8": 1, "int16": 2, "int32": 4, "int64": 8}
_STAMP_BYTES = 9  # the length byte and the time stamp that XDF gives a sample, where it cannot be deduced
_IRREGULAR_HZ = 120.0  # assumed for a stream that states no rate
_TEXT_BYTES = 2000.0  # a line of JSON with its stamp; a marker needs less
_VIDEO_BYTES = 80_000.0  # a JPEG in base64 where the stream states no size


def recorded_identity(header: StreamHeader | StreamInFile) -> tuple[str, str, str, str]:
    """Return what tells a stream from all others, also after it was restarted."""
    if header.source_id:
        return ("", "", "", header.source_id)
    return (header.name, header.type, header.hostname, "")


def stream_query(header: StreamHeader) -> str:
    """Return the XPath predicate that finds this stream.

    By ``source_id`` where it has one; a stream without one is found by name, type and host. The type goes
    with the ``source_id``, because some devices give one id to all their streams, also to those that were not
    chosen. This program's own are known by their ``source_id`` alone.
    """
    if header.source_id:
        of_type = f" and type={quote_xpath(header.type)}" if header.type else ""
        return source_id_query(header.source_id) + of_type
    pairs = (("name", header.name), ("type", header.type), ("hostname", header.hostname))
    return " and ".join(f"{key}={quote_xpath(value)}" for key, value in pairs)


def source_id_query(source_id: str) -> str:
    """Return the XPath predicate that finds a stream by its ``source_id``."""
    return f"source_id={quote_xpath(source_id)}"


def quote_xpath(text: str) -> str:
    """Return ``text`` as an XPath 1.0 string; the language has no escape character."""
    if "'" not in text:
        return f"'{text}'"
    if '"' not in text:
        return f'"{text}"'
    parts = ', "\'", '.join(f"'{part}'" for part in text.split("'"))
    return f"concat({parts})"


def bytes_per_second(streams: Sequence[StreamHeader]) -> float:
    """Estimate what recording ``streams`` writes, from their rates and formats.

    An estimate on the safe side: irregular numeric streams count as 120 Hz, a compressed video frame
    as a third of a byte per pixel (base64 of a quarter).
    """
    return sum(_stream_bytes_per_second(stream) for stream in streams)


def _stream_bytes_per_second(stream: StreamHeader) -> float:
    if stream.channel_format == "string":
        if stream.type.lower().startswith("video"):
            fps = stream.nominal_sfreq or stated(stream.encoding.get("fps", ""), 30.0)
            width, height = (stated(stream.encoding.get(side, "")) for side in ("width", "height"))
            return fps * (width * height / 3 or _VIDEO_BYTES)
        return (stream.nominal_sfreq or 4.0) * stream.n_channels * _TEXT_BYTES
    return (stream.nominal_sfreq or _IRREGULAR_HZ) * sample_bytes(stream)


def sample_bytes(stream: StreamHeader) -> int:
    return stream.n_channels * _SAMPLE_BYTES.get(stream.channel_format, 0) + _STAMP_BYTES
