"""The signal checks before a session, each with a light, a finding with figures, and a remedy.

Green is good. Yellow is worth fixing, and the session can start. Red blocks it unless it is overridden. A
modality that cannot be used is yellow, because the others can be; it is red for EEG with consent, and if no
modality is left.
"""

import math
import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from acquisition import quality
from acquisition.errors import printable
from acquisition.record.files import bytes_per_second
from acquisition.record.recorder import MIN_FREE_BYTES
from acquisition.select import kind_of
from acquisition.stream_words import DEVICES, fault_words
from acquisition.text import age, counted, percent, rate
from acquisition.types import KIND_OF_MODALITY, MODALITY_OF_KIND, StreamHeader, StreamHealth, StreamSpec
from calibration.consent import recorded_kinds
from calibration.quality import Measured
from calibration.types import Check, Consent

GREEN, YELLOW, RED = "green", "yellow", "red"
_LIGHTS = (GREEN, YELLOW, RED)
_OF_SEVERITY = {quality.GOOD: GREEN, quality.SUSPECT: YELLOW, quality.BAD: RED}

_ROOM_TIGHT = 2.0  # times what the session needs
_PROBE_BYTES = 65536

_WAIT = "wait a moment"
_DISK_REMEDY = "free some space, or choose another folder with --data-dir"

#: A light, a finding and a remedy.
Finding = tuple[str, str, str]


@dataclass(frozen=True)
class StreamStatus:
    """What is known of one modality's stream."""

    name: str
    sfreq: float  # Hz, nominal; 0 = irregular
    health: StreamHealth | None = None  # None: no figures yet
    trouble: str = ""  # the newest warning about it, or why it was refused
    is_refused: bool = False


def stream_statuses(
    specs: Mapping[str, StreamSpec],
    health: Mapping[str, StreamHealth],
    trouble: Mapping[str, str] | None = None,
    refused: Collection[str] = (),
) -> dict[str, StreamStatus]:
    """Return what is known of each modality from what is known of each stream, all by the stream's key."""
    trouble = trouble or {}
    return {
        MODALITY_OF_KIND[spec.kind]: StreamStatus(
            spec.name, spec.sfreq, health.get(key), trouble.get(key, ""), key in refused
        )
        for key, spec in specs.items()
        if spec.kind in MODALITY_OF_KIND
    }


def check_modality(modality: str, status: StreamStatus | None, measured: Measured) -> Check:
    """Return a modality's check, the worse one of its stream's (None: not found) and its signal's."""
    name = DEVICES[KIND_OF_MODALITY[modality]].name
    stream = check_stream(modality, status)
    if stream[0] == RED:
        return Check(name, *_one_line(stream))
    signal = _SIGNALS[modality](measured)
    light = max(stream[0], signal[0], key=_LIGHTS.index)
    remedies = [remedy for shade, _, remedy in (stream, signal) if shade == light]
    remedy = "; ".join(dict.fromkeys(filter(None, remedies))) if light != GREEN else ""
    return Check(name, *_one_line((light, f"{stream[1]}; {signal[1]}", remedy)))


def check_stream(modality: str, status: StreamStatus | None) -> Finding:
    """Return the finding of a stream: there, sending, at its rate, on a known clock, without losses."""
    kind = KIND_OF_MODALITY[modality]
    if status is None:
        return RED, "no stream was found", DEVICES[kind].if_missing
    name, health = status.name, status.health
    if status.is_refused:
        remedy = "restart it with its original settings, or choose another with --streams"
        return RED, f"{name}: {status.trouble or 'it cannot be used'}", remedy
    if health is None:
        return YELLOW, f"{name}: opened, no statistics yet", _WAIT
    findings = quality.judge_stream(kind, status.sfreq, health)
    light, finding, remedy = GREEN, "", ""
    if findings:
        words = fault_words(findings[0], kind)
        light, finding, remedy = _OF_SEVERITY[findings[0].severity], words.finding, words.remedy
    if health.is_silent or health.n_samples == 0:
        return light, f"{name}: {finding}", remedy
    if status.trouble and not findings:
        light, finding, remedy = YELLOW, status.trouble, "restart the LSL app if this persists"
    figures = f"{name}: {rate(status.sfreq, health.rate_hz)}, newest sample {age(health.age_s)} old"
    return light, f"{figures}, {finding}" if finding else figures, remedy


def check_electrodes(channels: Sequence[quality.ChannelQuality]) -> Finding:
    """Return how many electrodes are good, and what is wrong with the worst ones."""
    if not channels:
        return YELLOW, "electrodes not assessed yet", _WAIT
    bad = [channel for channel in channels if channel.state == quality.BAD]
    suspect = [channel for channel in channels if channel.state == quality.SUSPECT]
    n = len(channels)
    finding = f"{n - len(bad) - len(suspect)} of {n} electrodes good"
    if not bad and not suspect:
        return GREEN, finding, ""
    worst = sorted([*bad, *suspect], key=lambda channel: channel.score)
    named = ", ".join(f"{channel.ch_name} {channel.reason}".strip() for channel in worst[:3])
    more = f" and {len(worst) - 3} more" if len(worst) > 3 else ""
    finding += f", {len(suspect)} suspect, {len(bad)} bad: {named}{more}"
    if not bad and len(suspect) <= quality.SUSPECT_ELECTRODES * n:
        return GREEN, finding, ""
    return RED if len(bad) > quality.BAD_ELECTRODES.bad * n else YELLOW, finding, _electrode_remedy(worst, n)


def _electrode_remedy(worst: Sequence[quality.ChannelQuality], n: int) -> str:
    """Return the remedy; many bad electrodes at once have one cause, the reference or mains."""
    n_mains = sum(channel.cause == quality.MAINS for channel in worst)
    if n_mains > n / 2:
        return "check ground and reference, and move power supplies away"
    if len(worst) > n / 2:
        return "check ground and reference, then the cap and its cable"
    others = " and the others" if len(worst) > 3 else ""
    return f"refit {', '.join(channel.ch_name for channel in worst[:3])}{others}"


def check_gaze(valid: float | None) -> Finding:
    """Return whether the eye tracker sees the eyes; ``valid`` is a share of samples."""
    if valid is None:
        return YELLOW, "gaze not measured yet", _WAIT
    remedy = "sit centred in front of the tracker, avoid reflections on glasses, and calibrate the tracker"
    return _by_share(valid, quality.GAZE_VALID, f"gaze valid in {percent(valid)} of samples", remedy)


def check_face(found: float | None) -> Finding:
    """Return whether the camera shows a face; ``found`` is a share of frames."""
    if found is None:
        return YELLOW, "no frame analysed yet", _WAIT
    remedy = "look at the camera from arm's length, and light the face from the front"
    return _by_share(found, quality.FACE_FOUND, f"face found in {percent(found)} of frames", remedy)


def _by_share(share: float, limits: quality.Limits, finding: str, remedy: str) -> Finding:
    if not share >= limits.bad:  # NaN is as bad as none
        return RED, finding, remedy
    return (GREEN, finding, "") if share >= limits.suspect else (YELLOW, finding, remedy)


def check_microphone(clipped: float | None, level_db: float | None) -> Finding:
    """Return whether the microphone hears something, and not too much.

    ``clipped`` is a share of samples, ``level_db`` the root mean square in dB relative to full scale.
    """
    if clipped is None or level_db is None:
        return YELLOW, "sound level not measured yet", _WAIT
    if math.isnan(level_db) or level_db == -math.inf:
        return RED, "digital silence: every sample is zero", "unmute the microphone, or choose another"
    level = f"level {level_db:.0f} dB"
    if clipped > quality.CLIPPED.suspect:
        light = RED if clipped > quality.CLIPPED.bad else YELLOW
        return light, f"{level}, {percent(clipped, 2)} of samples clipped", "turn the microphone down"
    if level_db < quality.QUIET_DB:
        remedy = "turn the microphone up, and check that it is the right one"
        return YELLOW, f"{level}, almost silent", remedy
    return GREEN, f"{level}, none clipped" if clipped == 0 else f"{level}, {percent(clipped, 2)} clipped", ""


_SIGNALS: Mapping[str, Callable[[Measured], Finding]] = {
    "eeg": lambda measured: check_electrodes(measured.electrodes),
    "eye": lambda measured: check_gaze(measured.gaze_valid),
    "face": lambda measured: check_face(measured.face_found),
    "voice": lambda measured: check_microphone(measured.voice_clipped, measured.voice_db),
}


def _one_line(finding: Finding) -> Finding:
    """Names come from the network and may hold anything."""
    light, words, remedy = map(printable, finding)
    return light, words, remedy


def preflight(
    consent: Consent,
    stream_statuses: Mapping[str, StreamStatus],
    measured: Measured,
    *,
    found: Sequence[StreamHeader],
    folder: Path,
    seconds: float,
    recorded: Sequence[StreamHeader] | None = None,
    free_bytes: Callable[[Path], int] | None = None,
) -> tuple[Check, ...]:
    """Return a check for each modality that was consented to, for the source ids and for the disk.

    ``stream_statuses`` is by modality; one that is absent was not found. ``found`` are all streams on the
    network, ``recorded`` those that will be recorded (otherwise all of ``found`` that may be). ``folder``,
    where the session will be kept for ``seconds``, need not exist yet.
    """
    checks = {one: check_modality(one, stream_statuses.get(one), measured) for one in consent.modalities}
    is_any_usable = any(check.light != RED for check in checks.values())
    for one, check in checks.items():
        if check.light == RED and is_any_usable and one != "eeg":
            checks[one] = replace(check, light=YELLOW, remedy=f"{check.remedy}; or continue without it")
    if recorded is None:
        recorded = [header for header in found if kind_of(header) in recorded_kinds(consent)]
    return (
        *checks.values(),
        check_source_ids(recorded, found, consent),
        check_disk(folder, bytes_per_second(recorded), seconds, free_bytes),
    )


def check_source_ids(
    recorded: Sequence[StreamHeader], found: Sequence[StreamHeader], consent: Consent
) -> Check:
    """Return whether the recording can tell the streams apart, and takes none without consent.

    It finds a stream by source_id and type: any other stream with both is recorded too.
    """
    name, allowed = "source ids", recorded_kinds(consent)
    for header in recorded:
        kind = kind_of(header)
        if kind in MODALITY_OF_KIND and kind not in allowed:
            finding = f"{header.name!r} ({header.type}) must not be recorded without consent"
            return Check(name, RED, finding, "exclude it with --streams, or ask for consent")
        n_same = sum((one.source_id, one.type) == (header.source_id, header.type) for one in found)
        if header.source_id and n_same > 1:
            finding = f"{n_same} streams of type {header.type} share the source_id {header.source_id!r}"
            return Check(name, RED, finding, "stop all but one of them")
    nameless = [repr(header.name) for header in recorded if not header.source_id]
    if nameless:
        verb = "has" if len(nameless) == 1 else "have"
        finding = f"{counted(len(nameless), 'stream')} {verb} no source_id: {', '.join(nameless[:3])}"
        return Check(name, YELLOW, finding, "do not restart these devices during the session")
    return Check(name, GREEN, f"{counted(len(recorded), 'recorded stream')}, each with its own source_id")


def check_disk(
    folder: Path, bytes_per_s: float, seconds: float, free_bytes: Callable[[Path], int] | None = None
) -> Check:
    """Return whether the session's folder can be written and holds the session.

    ``folder`` need not exist: the nearest existing folder above it is checked. ``free_bytes`` returns the
    free space in a folder.
    """
    there = next((one for one in (folder, *folder.absolute().parents) if one.is_dir()), folder)
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
        f"{room / 1e6:,.0f} MB available ({MIN_FREE_BYTES / 1e6:.0f} MB kept in reserve), "
        f"{need / 1e6:,.0f} MB needed ({seconds / 60:.0f} min at {bytes_per_s / 1e6:.2g} MB/s)"
    )
    if room < need:
        return Check("disk", RED, finding, _DISK_REMEDY)
    if room < _ROOM_TIGHT * need:
        return Check("disk", YELLOW, finding, "free some space: repeated trials need more")
    return Check("disk", GREEN, finding)
