"""The machine's figures and the session's messages, in words."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from app.engine.messages import HealthPart, RecordingInfo
from app.view.health import N_SHOWN, machine_figures, message_rows

RECORDING = RecordingInfo(
    Path("sub-S01.xdf"), "recording", "", 725.0, 1_350_000_000, 200_000_000_000, 12_000.0
)
HEALTH = HealthPart(0.0, {}, {}, {}, 1234, 0, 64.2, 812.0, "", RECORDING, (), 0)


def figures(health, window_mb=210.0):
    return {figure.label: figure for figure in machine_figures(health, 12.0, window_mb)}


def test_figures_of_engine_window_and_recording():
    shown = figures(HEALTH)
    assert {label: figure.text for label, figure in shown.items()} == {
        "Engine": "64 % of a core, 812 MB",
        "GPU": "none (CPU only)",
        "Decoded": "1,234 predictions, 0 windows skipped",
        "Display": "12 % of a core, 210 MB",
        "Recording": "recording: sub-S01.xdf, 12 min 5 s, 1.35 GB",
        "Disk": "200 GB free, enough for 3 h 20 min",
    }
    assert {figure.severity for figure in shown.values()} == {"good"}


@pytest.mark.parametrize(("room_s", "severity"), [(600.0, "good"), (599.0, "bad")])
def test_a_disk_that_lasts_less_than_ten_minutes_is_an_alarm(room_s, severity):
    disk = figures(replace(HEALTH, recording=replace(RECORDING, room_s=room_s)))["Disk"]
    assert disk.severity == severity


@pytest.mark.parametrize("room_s", [float("nan"), float("inf")])
def test_a_disk_without_a_rate_says_only_what_is_free(room_s):
    disk = figures(replace(HEALTH, recording=replace(RECORDING, room_s=room_s)))["Disk"]
    assert (disk.text, disk.severity) == ("200 GB free", "good")


def test_troubles_are_worded():
    failed = replace(RECORDING, state="failed", message="the disk\nis full")
    shown = figures(replace(HEALTH, recording=failed, n_skipped=3, n_view_dropped=5, gpu="NVIDIA <b>H100"))
    assert shown["Recording"].text.startswith("failed: the disk is full (sub-S01.xdf")
    assert shown["Decoded"].text.endswith("3 windows skipped")
    assert "5 chunks" in shown["Display"].text
    assert [shown[label].severity for label in ("Recording", "Decoded", "Display")] == [
        "bad",
        "suspect",
        "suspect",
    ]
    assert shown["GPU"].text == "NVIDIA <b>H100"


def test_the_same_lines_with_and_without_an_engine():
    assert set(figures(None, float("nan"))) == set(figures(HEALTH))
    assert figures(None, float("nan"))["Engine"].text == "no figures yet"
    assert figures(None, float("nan"))["Display"].text == "12 % of a core, - MB"


EVENTS = [  # as they came: a failure was stamped by another thread, and one event has no time
    (math.nan, "as it was recorded", "info"),
    (1.0, "opened", "info"),
    (5.0, "recording: the disk is full", "bad"),
    (3.0, "silent\n<b>", "warning"),
]


def test_messages_come_in_order_of_time_newest_first():
    rows = message_rows(EVENTS)
    assert [row.line(lambda t: f"{t:.0f}") for row in rows] == [
        "5  ■ problem  recording: the disk is full",
        "3  ▲ warning  silent <b>",
        "1  ○ note  opened",
        "nan  ○ note  as it was recorded",
    ]


def test_problems_only():
    assert [row.time for row in message_rows(EVENTS, problems_only=True)] == [5.0, 3.0]


def test_messages_are_bounded():
    many = [(float(i), "x", "info") for i in range(2 * N_SHOWN)]
    rows = message_rows(many)
    assert len(rows) == N_SHOWN
    assert rows[0].time == 2 * N_SHOWN - 1
