"""Figures of the machine and of the recording, in words."""

from __future__ import annotations

import math
from dataclasses import dataclass

from app.engine.messages import HealthPart, RecordingInfo
from app.view.figures import counted, data_size, duration, number
from app.view.plain_text import message_line, one_line

#: Less room than this on the disk is an alarm.
ROOM_ALARM_S = 600.0


@dataclass(frozen=True)
class Figure:
    """A labelled line; ``severity`` colours it, the words say the same."""

    label: str
    text: str
    severity: str = "good"  # good | suspect | bad | muted


def machine_figures(
    health: HealthPart | None, window_cpu_percent: float, window_memory_mb: float
) -> list[Figure]:
    """Return the lines of the machine panel, always the same labels in the same order.

    Parameters
    ----------
    health : HealthPart or None
        None before the engine sent any.
    window_cpu_percent, window_memory_mb : float
        Of this process; 100 % is one core.
    """
    window = f"{number(window_cpu_percent)} % of a core, {number(window_memory_mb)} MB"
    if health is None:
        waiting = [Figure(label, "no figures yet", "muted") for label in ("Engine", "GPU", "Decoded")]
        return [*waiting, Figure("Window", window), *_recording_figures(None)]
    decoded = f"{counted(health.n_predictions, 'prediction')}, {counted(health.n_skipped, 'window')} skipped"
    shown = f"; {health.n_view_dropped:,} chunks not shown, for want of time" if health.n_view_dropped else ""
    return [
        Figure("Engine", f"{number(health.cpu_percent)} % of a core, {number(health.memory_mb)} MB"),
        Figure("GPU", one_line(health.gpu) or "none: CPU"),
        Figure("Decoded", decoded, "suspect" if health.n_skipped else "good"),
        Figure("Window", window + shown, "suspect" if health.n_view_dropped else "good"),
        *_recording_figures(health.recording),
    ]


def _recording_figures(recording: RecordingInfo | None) -> list[Figure]:
    if recording is None:
        return [Figure("Recording", "not recording", "muted"), Figure("Disk", "-", "muted")]
    name = one_line(recording.path.name)
    so_far = f"{duration(recording.duration_s)}, {data_size(recording.n_bytes)}"
    text = f"{recording.state}: {name}, {so_far}"
    if recording.state == "failed":
        text = f"failed: {message_line(recording.message) or 'no reason given'} ({name}, {so_far})"
    return [
        Figure("Recording", text, "bad" if recording.state == "failed" else "good"),
        _disk(recording),
    ]


def _disk(recording: RecordingInfo) -> Figure:
    free = f"{data_size(recording.free_bytes)} free"
    if not math.isfinite(recording.room_s):  # no rate yet
        return Figure("Disk", free)
    lasts = f"{free}, lasts {duration(recording.room_s)}"
    if recording.room_s < ROOM_ALARM_S:
        return Figure("Disk", f"almost full, {lasts}: make room, or stop the recording", "bad")
    return Figure("Disk", lasts)
