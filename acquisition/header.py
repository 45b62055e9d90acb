"""Reads and builds the XML header that LSL streams and XDF files share."""

import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Any

from acquisition.errors import ErrorCode, InputError, without_controls
from acquisition.text import stated
from acquisition.types import ChannelInfo, StreamHeader

#: Types of the streams this program publishes itself: its clock map and its predictions.
CLOCK_TYPE = "AffectscopeClock"
PREDICTION_TYPE = "AffectscopePrediction"
#: Begins the source_id of the predictions of a live run.
PREDICTION_ID = "affectscope-prediction-"
#: Begins the source_id of the notes typed in a window; markers by type, so that every recorder takes them.
NOTES_ID = "affectscope-notes-"
#: Begins the source_id of the markers of a guided calibration.
CALIBRATION_ID = "affectscope-calibration-"
#: Begins the source_id of simulated streams, which also say ``<simulated>true</simulated>`` in their desc.
SIMULATOR_ID = "affectscope-simulator-"


_DEEPEST, _MOST_ELEMENTS, _LONGEST = 64, 200_000, 16_000_000
_LONGEST_FIELD = 2_000  # characters of a name or a label


class _Bounded(ET.TreeBuilder):
    """Builds a tree as long as it is one that a device may have written."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = self._n_elements = 0

    def start(self, tag: str, attrs: dict[str, str]) -> ET.Element:
        self._depth, self._n_elements = self._depth + 1, self._n_elements + 1
        if self._depth > _DEEPEST or self._n_elements > _MOST_ELEMENTS:
            raise _unreadable(f"has more than {_DEEPEST} levels or {_MOST_ELEMENTS:,} elements")
        return super().start(tag, attrs)

    def end(self, tag: str) -> ET.Element:
        self._depth -= 1
        return super().end(tag)

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise _unreadable("has a DOCTYPE, which no device writes")


def _unreadable(what: str) -> InputError:
    return InputError(f"the stream header {what}", where="stream header", code=ErrorCode.WRONG_STREAM)


def parse_xml(xml: str) -> ET.Element:
    """Return the root of a header's or footer's XML; `InputError` if it is none or of no sensible size."""
    if len(xml) > _LONGEST:
        raise _unreadable(f"is longer than {_LONGEST:,} characters")
    try:
        return ET.fromstring(xml, parser=ET.XMLParser(target=_Bounded()))
    except ET.ParseError as error:
        raise _unreadable(f"is not XML: {error}") from error


def parse_header(xml: str) -> StreamHeader:
    """Return the description in an LSL ``<info>`` document: of a ``StreamInfo`` or an XDF stream header.

    Raises `InputError` if the text is not XML of a sensible size or has no usable channel count.
    """
    root = parse_xml(xml)
    name = _text(root, "name")
    try:
        n_channels = int(_text(root, "channel_count") or "0")
        nominal_sfreq = float(_text(root, "nominal_srate") or "0")
    except ValueError as error:
        what, where = f"unreadable number in the header: {error}", f"stream {name!r}"
        raise InputError(what, where=where, code=ErrorCode.WRONG_STREAM, stream=name) from error
    desc = root.find("desc")
    desc = desc if desc is not None else ET.Element("desc")
    return StreamHeader(
        name=name,
        type=_text(root, "type"),
        source_id=_text(root, "source_id"),
        hostname=_text(root, "hostname"),
        uid=_text(root, "uid"),
        nominal_sfreq=nominal_sfreq if 0 < nominal_sfreq < math.inf else 0.0,  # 0: the stream states none
        n_channels=n_channels,
        channel_format=_text(root, "channel_format") or "float32",
        channels=_channels(desc, n_channels),
        n_described=len(desc.findall("channels/channel")),
        encoding={child.tag: (child.text or "").strip() for child in desc.findall("encoding/*")},
        can_drop_samples=_text(desc, "synchronization/can_drop_samples").lower() in ("true", "1", "yes"),
        offset_mean_s=stated(_text(desc, "synchronization/offset_mean")),
        desc=_leaves(desc),
    )


def is_simulated(header: StreamHeader) -> bool:
    """Tell whether a stream says of itself that its data are simulated; live and in recordings."""
    says_so = header.desc.get("simulated", "").lower() in ("true", "1", "yes")
    return says_so or header.source_id.startswith(SIMULATOR_ID)


def stream_identity(header: StreamHeader) -> str:
    """Return ``name|type|source_id``, which names a stream across restarts and in recordings."""
    return f"{header.name}|{header.type}|{header.source_id}"


def make_info(
    name: str,
    type_: str,
    channel_format: str,
    source_id: str,
    *,
    n_channels: int = 1,
    sfreq: float = 0.0,
    desc: Mapping[str, Any] | None = None,
) -> Any:
    """Return a ``pylsl.StreamInfo`` for an outlet; a list in ``desc`` gives several elements of one name.

    Control characters, which no reader of XML takes, become spaces.
    """
    from pylsl import StreamInfo

    name, type_, source_id = map(without_controls, (name, type_, source_id))
    info = StreamInfo(name, type_, n_channels, sfreq, channel_format, source_id)
    _append(info.desc(), desc or {})
    return info


def _append(element: Any, content: Mapping[str, Any]) -> None:
    for tag, value in content.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, Mapping):
                _append(element.append_child(tag), one)
            else:
                element.append_child_value(tag, without_controls(str(one)))


def _text(element: ET.Element, path: str) -> str:
    return (element.findtext(path) or "").strip()[:_LONGEST_FIELD]


def _channels(desc: ET.Element, n_channels: int) -> tuple[ChannelInfo, ...]:
    found = tuple(
        ChannelInfo(
            label=_text(channel, "label"),
            type=_text(channel, "type"),
            unit=_text(channel, "unit"),
            eye=_text(channel, "eye").lower(),
            coordinate_system=_text(channel, "coordinate_system"),
        )
        for channel in desc.findall("channels/channel")
    )
    # A list of another length cannot be matched to the samples' columns.
    return found if len(found) == n_channels else ()


def _leaves(element: ET.Element, path: str = "") -> dict[str, str]:
    leaves: dict[str, str] = {}
    for child in element:
        child_path = f"{path}/{child.tag}" if path else child.tag
        if child_path in ("channels", "encoding", "synchronization"):
            continue
        if len(child):
            leaves.update(_leaves(child, child_path))
        elif text := (child.text or "").strip():
            leaves[child_path] = text
    return leaves
