"""Cuts windows from the rings on the hop grid of the data's own clock.

A window closes when every present stream's newest sample has passed its end, or when it has waited
``lateness_s``; a replay knows when nothing more can come and never waits. What a step may be made of is
decided here (coverage, gaps, resets); what a present modality is, by `WindowConfig`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from acquisition.ring import Ring
from acquisition.steps import CUTTERS
from acquisition.types import MODALITIES, MODALITY_OF_KIND, Chunk, Kind, Step, StreamSpec, Window
from acquisition.windows import WindowConfig

_KEEP_MARGIN_S = 5.0

#: Tells whether the caller already has a valid step: (modality, step index).
Known = Callable[[str, int], bool]


def nothing_known(modality: str, index: int) -> bool:
    """Have every valid step cut."""
    return False


class _Feed:
    """One modality's stream: its ring, and whether windows wait for it."""

    def __init__(self, spec: StreamSpec, keep_s: float) -> None:
        self.spec = spec
        self.ring = Ring(None if spec.kind is Kind.VIDEO else len(spec.ch_names), keep_s)
        self.is_waited_for = True
        self.newest_push = float("nan")
        self.newest_arrival = float("nan")


class Aligner:
    """Rings of the modalities' streams and the grid that cuts them.

    Parameters
    ----------
    config : WindowConfig
        Geometry, from the checkpoint.
    """

    def __init__(self, config: WindowConfig) -> None:
        self.config = config
        self._feeds: dict[str, _Feed] = {}  # by modality
        self._modality_of_stream: dict[str, str] = {}
        self._next: int | None = None  # index of the next window to close
        self._not_before = -math.inf
        self.n_skipped = 0

    # --- streams ---

    def open(self, spec: StreamSpec) -> None:
        """Take a stream in; one of the same modality is replaced."""
        modality = MODALITY_OF_KIND.get(spec.kind)
        if modality is None:
            return
        self._feeds[modality] = _Feed(spec, self.config.context_s + _KEEP_MARGIN_S)
        self._modality_of_stream = {
            key: name for key, name in self._modality_of_stream.items() if name != modality
        }
        self._modality_of_stream[spec.key] = modality

    def wait_for(self, stream: str, waited_for: bool) -> None:
        """Let windows wait for a stream, or stop waiting (stale, ended)."""
        modality = self._modality_of_stream.get(stream)
        if modality is not None:
            self._feeds[modality].is_waited_for = waited_for

    def start_at(self, time: float) -> None:
        """Close no window that ends before ``time``."""
        self._not_before = time

    def pass_over(self, index: int) -> None:
        """Leave out the windows before ``index`` uncounted, because nothing is in them."""
        if self._next is not None:
            self._next = max(self._next, index)

    def push(self, chunk: Chunk) -> None:
        """Append a chunk to its ring; streams of no modality are ignored."""
        modality = self._modality_of_stream.get(chunk.stream)
        if modality is None:
            return
        feed = self._feeds[modality]
        feed.ring.append(chunk)
        feed.newest_push = chunk.pushed if math.isfinite(chunk.pushed) else float(chunk.times[-1])
        feed.newest_arrival = chunk.arrival

    def spec(self, modality: str) -> StreamSpec | None:
        """Return the stream behind a modality, if one is open."""
        feed = self._feeds.get(modality)
        return feed.spec if feed else None

    # --- the grid ---

    def due(self, now: float, complete_to: float | None) -> range:
        """Return the indices of the windows that can close now, oldest first.

        Parameters
        ----------
        now : float
            LSL seconds.
        complete_to : float or None
            Time up to which nothing more can come (replay), or None (live: watermarks decide).
        """
        if self._next is None:
            firsts = [f.ring.first_time for f in self._feeds.values() if not math.isnan(f.ring.first_time)]
            if not firsts:
                return range(0)
            self._next = math.ceil(max(min(firsts), self._not_before) / self.config.hop_s)
        if complete_to is None:
            waited_for = [f.ring.newest_time for f in self._feeds.values() if f.is_waited_for]
            watermark = min((t for t in waited_for if not math.isnan(t)), default=-math.inf)
            complete_to = max(watermark, now - self.config.lateness_s)
        last = math.floor(complete_to / self.config.hop_s + 1e-9)
        return range(self._next, last + 1)

    def cut(self, index: int, now: float, *, live: bool, known: Known = nothing_known) -> Window:
        """Close window ``index`` and everything before it.

        Parameters
        ----------
        known : callable
            Steps it answers True for come without their samples.
        """
        assert self._next is not None, "due() comes first"
        if index > self._next:
            self.n_skipped += index - self._next
        self._next = index + 1
        t_end = index * self.config.hop_s
        steps = {
            modality: self._steps(modality, index, known, live)
            for modality in MODALITIES
            if modality in self._feeds
        }
        closing = self._closing(t_end) if live else []
        return Window(
            index=index,
            t_end=t_end,
            steps=steps,
            present={m: self._is_present(m, steps.get(m, ())) for m in MODALITIES},
            coverage={m: _mean_coverage(steps.get(m, ())) for m in MODALITIES},
            waited_s=max(0.0, now - t_end) if live else 0.0,
            closed_at=now if live else t_end,
            newest_push=max((feed.newest_push for feed in closing), default=math.nan),
            newest_arrival=max((feed.newest_arrival for feed in closing), default=math.nan),
            warm_up=self._is_warm_up(t_end),
            run_in=self._run_in(index, known, live),
        )

    def _closing(self, t_end: float) -> list[_Feed]:
        """Return the feeds whose newest sample lets a window that ends at ``t_end`` close."""
        return [f for f in self._feeds.values() if f.is_waited_for and f.ring.newest_time >= t_end]

    def _is_warm_up(self, t_end: float) -> bool:
        """Tell whether some open stream began too late to fill its modality's context."""
        return any(
            not feed.ring.first_time <= t_end - self.config.context_of(modality)
            for modality, feed in self._feeds.items()
        )

    # --- steps ---

    def _steps(self, modality: str, index: int, known: Known, live: bool) -> tuple[Step, ...]:
        return self._cut_steps(modality, self._step_indices(modality, index), known, live)

    def _run_in(self, index: int, known: Known, live: bool) -> tuple[Step, ...]:
        """Cut the EEG steps before the window's."""
        if "eeg" not in self._feeds or self.config.eeg_run_in == 0:
            return ()
        steps = self._step_indices("eeg", index)
        first, shift = steps.start, steps.step
        return self._cut_steps(
            "eeg", range(first - self.config.eeg_run_in * shift, first, shift), known, live
        )

    def _cut_steps(self, modality: str, indices: range, known: Known, live: bool) -> tuple[Step, ...]:
        feed, cut = self._feeds[modality], CUTTERS[modality]
        steps = []
        for i in indices:
            t_end = i * self.config.hop_s
            if live and feed.ring.newest_time < t_end:
                # Late: what has come so far is not what a replay would see, and must not be kept.
                steps.append(Step(i, t_end, False, 0.0, 0.0))
            else:
                steps.append(cut(feed.ring, feed.spec.sfreq, self.config, i, known(modality, i)))
        return tuple(steps)

    def _step_indices(self, modality: str, index: int) -> range:
        """Return the grid indices of a window's steps, oldest first."""
        config = self.config
        shift_s, n_steps, grid_s = {
            "eeg": (config.eeg_shift_s, config.eeg_n_steps, config.hop_s),
            "eye": (config.eye_shift_s, config.eye_n_steps, config.hop_s),
            "face": (config.face_grid_s, round(config.face_s / config.face_grid_s), config.face_grid_s),
            "voice": (config.voice_grid_s, 1, config.voice_grid_s),
        }[modality]
        shift, grid = round(shift_s / config.hop_s), round(grid_s / config.hop_s)
        newest = index // grid * grid
        return range(newest - (n_steps - 1) * shift, newest + 1, shift)

    def _is_present(self, modality: str, steps: tuple[Step, ...]) -> bool:
        """Apply the rule of presence; whether a face is in the frames is found out later."""
        if not steps:
            return False
        n_valid = sum(step.valid for step in steps)
        if modality == "voice":
            return steps[-1].valid
        if modality == "face":
            return n_valid >= self.config.face_min_frames and steps[-1].valid
        return n_valid >= min(self.config.min_valid_steps, len(steps)) and steps[-1].valid


def _mean_coverage(steps: tuple[Step, ...]) -> float:
    return float(np.mean([step.coverage for step in steps])) if steps else 0.0
