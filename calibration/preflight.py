"""The traffic lights before a session: what was found, with figures, and what to do about it, a line each.

Green is fine. Yellow is worth mending, and the session can go on. Red stops it unless it is overridden. A
modality that cannot be used is yellow, because the others can do without it; it is red for EEG that was
consented to, and where nothing is left.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from acquisition.record.recorder import MIN_FREE_BYTES
from acquisition.record.selection import bytes_per_second
from acquisition.select import kind_of
from acquisition.types import MODALITY_OF_KIND, StreamHeader
from calibration.consent import recorded_kinds
from calibration.signal_checks import GREEN, RED, YELLOW, Measured, Sight, check_modality
from calibration.types import Check, Consent

_ROOM_TIGHT = 2.0  # times what the session needs, chosen
_PROBE_BYTES = 65536
_DISK_REMEDY = "free some space, or choose another folder with --data-dir"


def preflight(
    consent: Consent,
    sights: Mapping[str, Sight],
    measured: Measured,
    *,
    found: Sequence[StreamHeader],
    folder: Path,
    seconds: float,
    recorded: Sequence[StreamHeader] | None = None,
    free_bytes: Callable[[Path], int] | None = None,
) -> tuple[Check, ...]:
    """Return a light for each modality that was consented to, for the source ids and for the disk.

    Parameters
    ----------
    consent : Consent
    sights : mapping of str to Sight
        By modality; one that is absent was not found.
    measured : Measured
        What the signals say.
    found : sequence of StreamHeader
        All streams on the network.
    folder : Path
        Where the session will be kept; it need not exist yet.
    seconds : float
        How long the session lasts.
    recorded : sequence of StreamHeader, optional
        What will be recorded; otherwise all of ``found`` that may be.
    free_bytes : callable, optional
        Returns the room in a folder; the disk is asked otherwise.
    """
    checks = {one: check_modality(one, sights.get(one), measured) for one in consent.modalities}
    is_any_usable = any(check.light != RED for check in checks.values())
    lights = [
        _as_optional(check) if check.light == RED and is_any_usable and one != "eeg" else check
        for one, check in checks.items()
    ]
    if recorded is None:
        recorded = [header for header in found if kind_of(header) in recorded_kinds(consent)]
    return (
        *lights,
        check_source_ids(recorded, found, consent),
        check_disk(folder, bytes_per_second(recorded), seconds, free_bytes),
    )


def _as_optional(check: Check) -> Check:
    return replace(check, light=YELLOW, remedy=f"{check.remedy}; or go on without it")


def check_source_ids(
    recorded: Sequence[StreamHeader], found: Sequence[StreamHeader], consent: Consent
) -> Check:
    """Return whether the recording can tell the streams apart, and takes none without consent.

    It finds a stream by source_id and type: another one with both goes into the file, too.
    """
    name, allowed = "source ids", recorded_kinds(consent)
    for header in recorded:
        kind = kind_of(header)
        if kind in MODALITY_OF_KIND and kind not in allowed:
            finding = f"{header.name!r} ({header.type}) must not be recorded: it was not agreed to"
            return Check(name, RED, finding, "leave it out with --streams, or ask for consent")
        n_same = sum((one.source_id, one.type) == (header.source_id, header.type) for one in found)
        if header.source_id and n_same > 1:
            finding = f"{n_same} streams of type {header.type} bear the source_id {header.source_id!r}"
            return Check(name, RED, finding, "stop all but one of them")
    nameless = [repr(header.name) for header in recorded if not header.source_id]
    if nameless:
        finding = f"{_counted(len(nameless), 'stream')} without: {', '.join(nameless[:3])}"
        return Check(name, YELLOW, finding, "do not restart these devices during the session")
    return Check(name, GREEN, f"{_counted(len(recorded), 'recorded stream')}, each with its own")


def check_disk(
    folder: Path,
    bytes_per_s: float,
    seconds: float,
    free_bytes: Callable[[Path], int] | None = None,
) -> Check:
    """Return whether the session's folder can be written and holds the session.

    Parameters
    ----------
    folder : Path
        It need not exist: the nearest folder above it that does is asked.
    bytes_per_s : float
        What the recording writes.
    seconds : float
        How long the session lasts.
    free_bytes : callable, optional
        Returns the room in a folder.
    """
    there = _nearest(folder)
    try:
        free = free_bytes(there) if free_bytes else shutil.disk_usage(there).free
        room = max(0, free - MIN_FREE_BYTES)
        with tempfile.TemporaryFile(dir=there) as probe:
            probe.write(b"\0" * _PROBE_BYTES)
            probe.flush()
    except OSError as error:
        return Check("disk", RED, f"{there} cannot be written: {error.strerror or error}", _DISK_REMEDY)
    need = bytes_per_s * seconds
    finding = (
        f"{room / 1e6:,.0f} MB free beyond the {MIN_FREE_BYTES / 1e6:.0f} MB that stay free, "
        f"{need / 1e6:,.0f} MB needed ({seconds / 60:.0f} min at {bytes_per_s / 1e6:.2g} MB/s)"
    )
    if room < need:
        return Check("disk", RED, finding, _DISK_REMEDY)
    if room < _ROOM_TIGHT * need:
        return Check("disk", YELLOW, finding, "free some space: a repeated trial needs room, too")
    return Check("disk", GREEN, finding)


def _nearest(folder: Path) -> Path:
    for place in (folder, *folder.absolute().parents):
        if place.is_dir():
            return place
    return folder


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
