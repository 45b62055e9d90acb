"""CPU, memory, disk and recording in words, and the latency of predictions by stage."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from acquisition.text import counted, data_size, duration, number
from app.engine.messages import HealthPart, RecordingInfo
from app.telemetry import N_LATENCIES, percentile
from app.view.text import message_line, one_line
from models.prediction import Prediction

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

    There is no ``health`` before the engine sent any; the window's figures are those of this process.
    """
    window = f"{number(window_cpu_percent)} % of a core, {number(window_memory_mb)} MB"
    if health is None:
        waiting = [Figure(label, "no figures yet", "muted") for label in ("Engine", "GPU", "Decoded")]
        return [*waiting, Figure("Display", window), *_recording_figures(None)]
    decoded = f"{counted(health.n_predictions, 'prediction')}, {counted(health.n_skipped, 'window')} skipped"
    n_late = health.n_view_dropped
    shown = f"; {n_late:,} chunks not displayed (too slow)" if n_late else ""
    return [
        Figure("Engine", f"{number(health.cpu_percent)} % of a core, {number(health.memory_mb)} MB"),
        Figure("GPU", one_line(health.gpu) or "none (CPU only)"),
        Figure("Decoded", decoded, "suspect" if health.n_skipped else "good"),
        Figure("Display", window + shown, "suspect" if n_late else "good"),
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
    severity = "bad" if recording.state == "failed" else "good"
    return [Figure("Recording", text, severity), _disk(recording)]


def _disk(recording: RecordingInfo) -> Figure:
    free = f"{data_size(recording.free_bytes)} free"
    if not math.isfinite(recording.room_s):  # no rate yet
        return Figure("Disk", free)
    lasts = f"{free}, enough for {duration(recording.room_s)}"
    if recording.room_s < ROOM_ALARM_S:
        return Figure("Disk", f"almost full: {lasts}; free some space, or stop the recording", "bad")
    return Figure("Disk", lasts)


#: The target of a live prediction, from the push of the last sample to the prediction's output.
TARGET_MS = 200.0

_STAGES = ("arrival", "wait", "hand_over", "features", "network")  # a replay begins at the third


@dataclass(frozen=True)
class Stage:
    """One bar of the waterfall, in ms; NaN where it is not known."""

    name: str
    start_ms: float
    took_ms: float
    p50_ms: float
    p99_ms: float

    @property
    def figures(self) -> tuple[str, str, str]:
        return tuple(number(v, 1 if abs(v) < 100 else 0) for v in (self.took_ms, self.p50_ms, self.p99_ms))  # type: ignore[return-value]


def stages(
    prediction: Prediction,
    p50_ms: Mapping[str, float],
    p99_ms: Mapping[str, float],
    display: DisplayLatency,
    *,
    live: bool,
) -> list[Stage]:
    """Return the stages of a prediction in order, and last their total.

    Live, ``display`` starts where the engine gave the prediction out. A replay has no arrival, wait and
    display. Percentiles by stage are those of `HealthPart`.
    """
    latency, begins, found = vars(prediction.latency), 0.0, []
    for name in _STAGES if live else _STAGES[2:]:
        took = latency[name]
        p50, p99 = p50_ms.get(name, math.nan), p99_ms.get(name, math.nan)
        found.append(Stage(name.replace("_", "-"), begins, took, p50, p99))
        begins += took if math.isfinite(took) else 0.0
    decided = latency["total"] if math.isfinite(latency["total"]) else begins
    p50, p99 = p50_ms.get("total", math.nan), p99_ms.get("total", math.nan)
    if not live:
        return [*found, Stage("total", 0.0, decided, p50, p99)]
    shown = display.of(prediction)
    display_ms, to_screen_ms = zip(display.percentiles_ms(50), display.percentiles_ms(99), strict=True)
    return [
        *found,
        Stage("decided", 0.0, decided, p50, p99),
        Stage("display", decided, shown, *display_ms),
        Stage("on screen", 0.0, decided + shown, *to_screen_ms),
    ]


def axis_end_ms(found: list[Stage]) -> float:
    """Return where the axis ends: a round number that holds every bar, at least past the target."""
    ends = [stage.start_ms + stage.took_ms for stage in found]
    longest, end = max(filter(math.isfinite, ends), default=0.0), TARGET_MS * 1.25
    while end < longest * 1.02:
        end *= 2
    return end


def verdict(found: list[Stage]) -> tuple[str, str]:
    """Return severity and one sentence on the target, judged by the p99 of ``decided``."""
    decided = next((stage for stage in found if stage.name == "decided"), None)
    if decided is None:
        return "muted", "A replay times only the computation: there is no arrival, waiting or display."
    if not math.isfinite(decided.p99_ms):
        return "muted", f"Target: 99 % of predictions within {TARGET_MS:.0f} ms. Not measured yet."
    severity, word = ("good", "met") if decided.p99_ms <= TARGET_MS else ("bad", "missed")
    return severity, (
        f"Target {word}: 99 % of predictions in the last 2 min were made within {decided.p99_ms:.0f} ms "
        f"(target: {TARGET_MS:.0f} ms)."
    )


class DisplayLatency:
    """Collects display times; whoever paints the newest prediction says so with `shown`."""

    def __init__(self) -> None:
        self._shown: dict[int, tuple[float, float]] = {}  # by prediction: the display, and all until then, ms

    def shown(self, prediction: Prediction, now: float) -> None:
        """Note that ``prediction`` was painted at ``now`` (LSL seconds).

        Only the first painting of a new prediction counts. A replay has no such latency: its age is NaN.
        """
        newest = next(reversed(self._shown), -1)
        if prediction.index <= newest or not math.isfinite(prediction.latency.age):
            return
        display = (now - prediction.t_end) * 1e3 - prediction.latency.age
        self._shown[prediction.index] = display, prediction.latency.total + display
        if len(self._shown) > N_LATENCIES:
            del self._shown[next(iter(self._shown))]

    def forget(self) -> None:
        self._shown.clear()

    def of(self, prediction: Prediction) -> float:
        """Return the display time of a prediction in ms, NaN if it was not painted when it was new."""
        return self._shown.get(prediction.index, (math.nan,))[0]

    def percentiles_ms(self, q: float) -> tuple[float, float]:
        """Return a percentile of display times, and of times from push to painted window, ms."""
        display, to_screen = ([times[i] for times in self._shown.values()] for i in (0, 1))
        return percentile(display, q), percentile(to_screen, q)
