"""A sender in a process of its own, so that a test can kill it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.process import BaseProcess

from acquisition.clock import LslClock


@dataclass(frozen=True)
class Sender:
    """What the process sends: a counter in every channel."""

    source_id: str
    type: str = "EEG"
    n_channels: int = 3
    sfreq: float = 250.0
    fmt: str = "float32"
    unix_stamps: bool = False

    def start(self) -> BaseProcess:
        process = get_context("spawn").Process(target=send_for_ever, args=(self,), daemon=True)
        process.start()
        return process


def send_for_ever(sender: Sender) -> None:
    from pylsl import StreamInfo, StreamOutlet

    info = StreamInfo(
        "affectscope-test", sender.type, sender.n_channels, sender.sfreq, sender.fmt, sender.source_id
    )
    of_gaze = ["gaze_x", "gaze_y", "pupil_left", "pupil_right", "confidence"]
    labels = of_gaze if sender.type == "Gaze" else ["FP1", "CZ", "PZ", "OZ", "O1"]
    info.set_channel_labels(labels[: sender.n_channels])
    info.set_channel_units("normalized" if sender.type == "Gaze" else "microvolts")
    outlet = StreamOutlet(info)
    clock = LslClock()
    start, n_sent = clock.now(), 0
    while True:
        now = clock.now()
        n_due = int((now - start) * sender.sfreq)
        for index in range(n_sent, n_due):
            stamp = time.time() if sender.unix_stamps else start + index / sender.sfreq
            value = f"marker {index}" if sender.fmt == "string" else float(index % 30000)
            outlet.push_sample([value] * sender.n_channels, stamp)
        n_sent = max(n_sent, n_due)
        clock.wait_until(now + 0.01)
