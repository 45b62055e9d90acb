"""Stream headers and footers of a file, also where their XML is broken."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from xml.sax.saxutils import unescape

from acquisition.errors import InputError
from acquisition.header import parse_header
from acquisition.types import StreamHeader
from acquisition.xdf.format import DTYPES

_MOST_CHANNELS = 1 << 20


def parse_header_xml(xml: str) -> tuple[StreamHeader | None, str]:
    """Return the header, or None where nothing can be decoded by it, and a complaint ('' if none)."""
    complaint = ""
    try:
        header = parse_header(xml)
    except (InputError, RecursionError) as error:
        complaint = error.what if isinstance(error, InputError) else "nested too deeply"
        try:
            header = _salvage(xml)
        except ValueError:
            return None, f"{complaint}; its samples are lost"
        complaint += "; the main fields could be read"
    if header.channel_format != "string" and header.channel_format not in DTYPES:
        return None, f"unknown channel format {header.channel_format!r}; its samples are lost"
    if not 0 < header.n_channels <= _MOST_CHANNELS:
        return None, f"impossible channel count {header.n_channels}; its samples are lost"
    return header, complaint


def parse_footer_xml(xml: str) -> tuple[dict[str, str], str]:
    """Return the footer's own texts (sample_count, first_timestamp, ...) and a complaint ('' if none)."""
    try:
        root = ET.fromstring(xml)
    except ET.ParseError as error:
        fields = {name: _field(xml, name) for name in ("first_timestamp", "last_timestamp", "sample_count")}
        return {name: text for name, text in fields.items() if text}, f"not XML: {error}"
    return {child.tag: child.text.strip() for child in root if child.text and not len(child)}, ""


def _salvage(xml: str) -> StreamHeader:
    """Read a header's main fields from broken XML; ValueError where a needed one is gone."""
    return StreamHeader(
        name=_field(xml, "name"),
        type=_field(xml, "type"),
        source_id=_field(xml, "source_id"),
        hostname=_field(xml, "hostname"),
        uid=_field(xml, "uid"),
        nominal_sfreq=_rate(_field(xml, "nominal_srate")),
        n_channels=int(_field(xml, "channel_count")),
        channel_format=_field(xml, "channel_format"),
    )


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        return 0.0
    return rate if 0 < rate < math.inf else 0.0


def _field(xml: str, name: str) -> str:
    """Return the first text of an element of which one tag may be broken."""
    found = re.search(rf"<{name}>([^<]*)<|>([^<]*)</{name}>", xml)
    return unescape((found.group(1) or found.group(2) or "").strip()) if found else ""
