"""What a window is made of: step lengths, grids and the rules of presence. Part of every checkpoint."""

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from acquisition.clock_fit import agrees
from acquisition.errors import InputError
from acquisition.quality import GAZE_VALID, MIN_VALIDITY
from acquisition.ring import Ring
from acquisition.types import MODALITIES, MODALITY_OF_KIND, Chunk, Kind, Lateness, Step, StreamSpec, Window

#: Onsets are stamps and steps end on the grid: a step that ends this little past an edge still ends at it.
EDGE_SLACK_S = 1e-6


_MOST = 600  # seconds or steps: rings of memory are as long


@dataclass(frozen=True)
class WindowConfig:
    """Geometry of windows on the data's clock; all times in seconds.

    A *step* is one time step of a modality. Steps end on the hop grid, ``t = index * hop_s``. Raises
    `InputError` if a value is not positive, exceeds what it is a part of, or is not a multiple of the hop.
    """

    hop_s: float = 0.25  # a new window every hop; divides 1 s
    eeg_step_s: float = 1.0
    eeg_shift_s: float = 1.0
    eeg_n_steps: int = 10
    n_context_steps: int = 0  # left context of a streaming EEG encoder: steps before these, for nothing else
    eye_step_s: float = 4.0
    eye_shift_s: float = 1.0
    eye_n_steps: int = 10
    eye_grid_s: float = 1.0  # steps of the eyes end on it: they are 4 s long and tell little new before
    pupil_s: float = 10.0  # pupil DE needs longer than a step: its lowest band starts at 0.1 Hz
    voice_s: float = 5.0
    voice_grid_s: float = 0.5
    voice_min_s: float = 2.0
    face_s: float = 5.0
    face_grid_s: float = 0.5
    face_min_frames: int = 2
    min_valid_steps: int = 3  # EEG and eye, including the newest; all of them where a window has fewer
    min_coverage: float = 0.9  # of a step's samples
    min_valid_gaze: float = GAZE_VALID.bad  # share of a step's gaze samples in which the tracker saw an eye
    max_gap_s: float = 0.1  # a longer hole is a gap: no step spans it
    lateness_s: float = 0.15  # how long a window waits for a late stream

    def __post_init__(self) -> None:
        self._check_sizes()
        for name in ("eeg_shift_s", "eye_shift_s", "eye_grid_s", "voice_grid_s", "face_grid_s"):
            value = getattr(self, name)
            if abs(value / self.hop_s - round(value / self.hop_s)) > 1e-9:
                what = f"hop_s must divide {name}: {value} s is not a multiple of {self.hop_s} s"
                raise InputError(what, where="window config", remedy="use a hop of 0.1, 0.125, 0.25 or 0.5 s")

    def _check_sizes(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            is_in_range = value >= 0 if entry.name == "n_context_steps" else value > 0
            if not (is_in_range and value <= _MOST):  # NaN is refused too
                least = "0 or more" if entry.name == "n_context_steps" else "more than 0"
                what = f"{entry.name}: expected {least} and at most {_MOST}, got {value}"
                raise InputError(what, where="window config")
        for small, large in (
            ("min_coverage", 1.0),
            ("min_valid_gaze", 1.0),
            ("min_valid_steps", max(self.eeg_n_steps, self.eye_n_steps)),
            ("voice_min_s", self.voice_s),
            ("voice_grid_s", self.voice_s),
            ("face_min_frames", round(self.face_s / self.face_grid_s)),
            ("eye_step_s", self.pupil_s),  # an eye step is cut as far back as the pupil's entropy looks
        ):
            value = getattr(self, small)
            if value > large:
                raise InputError(f"{small}: expected at most {large}, got {value}", where="window config")

    def context_of(self, modality: str) -> float:
        """Return how far back a window looks at a modality, seconds; the left context is not counted."""
        return {
            "eeg": (self.eeg_n_steps - 1) * self.eeg_shift_s + self.eeg_step_s,
            "eye": (self.eye_n_steps - 1) * self.eye_shift_s
            + max(self.eye_step_s, self.pupil_s)
            + self.eye_grid_s,
            "voice": self.voice_s + self.voice_grid_s,
            "face": self.face_s + self.face_grid_s,
        }[modality]

    @property
    def context_s(self) -> float:
        """How far back a window can look at all, the left context included."""
        left_s = self.n_context_steps * self.eeg_shift_s
        return max(self.context_of("eeg") + left_s, *(self.context_of(modality) for modality in MODALITIES))


# --- what one step may be made of: which samples, how many, and no gap between them ---

_FROZEN_S = 1.5  # what has not varied at all for so long is a device that repeats its last value
_LARGEST_GAZE = 1e6  # pixels, mm or degrees: no screen, eye or angle is as large
_RATE_GRID = 0.005  # other rates are rounded to half a percent, so that they hold still


def cut_eeg(ring: Ring, nominal_sfreq: float, config: WindowConfig, index: int, known: bool) -> Step:
    """Cut the samples of ``eeg_step_s`` before the grid time, (n_channels, n_times)."""
    t_end = index * config.hop_s
    stop = ring.index_at(t_end)
    sfreq = _rate(ring, stop, nominal_sfreq)
    n_times = round(sfreq * config.eeg_step_s)
    if n_times == 0 or stop == ring.start_index:
        return Step(index, t_end, False, 0.0, sfreq)
    n_inside = stop - ring.index_at(t_end - config.eeg_step_s)
    coverage = min(1.0, n_inside / n_times)
    start = stop - n_times
    is_valid = bool(coverage >= config.min_coverage and start >= ring.last_break(stop))
    if not is_valid or known:
        return Step(index, t_end, is_valid, coverage, sfreq, known=is_valid and known)
    # A copy for safety, as in every cutter: the decode thread reads it while the ring moves.
    return Step(index, t_end, True, coverage, sfreq, ring.data(start, stop).T.copy())


def cut_eye(ring: Ring, nominal_sfreq: float, config: WindowConfig, index: int, known: bool) -> Step:
    """Cut gaze samples of the step and, for the pupil's DE, up to ``pupil_s`` before its end."""
    t_end = index * config.hop_s
    stop = ring.index_at(t_end)
    sfreq = _rate(ring, stop, nominal_sfreq, irregular=True)
    if stop == ring.start_index or sfreq == 0:
        return Step(index, t_end, False, 0.0, sfreq)
    begin = ring.index_at(t_end - config.eye_step_s)
    unbroken = ring.last_break(stop)
    coverage = min(1.0, (stop - max(begin, unbroken)) / (sfreq * config.eye_step_s))
    validity = ring.data(begin, stop)[:, 4]
    seen = ring.data(max(unbroken, ring.index_at(t_end - config.pupil_s)), stop)
    newest = ring.data(ring.index_at(t_end - _FROZEN_S), stop)
    is_broken = (np.abs(seen) > _LARGEST_GAZE).any()  # NaN, a lost eye, compares False
    is_frozen = len(newest) > 2 and (newest[1:, :2] == newest[:-1, :2]).all()
    is_valid = bool(
        coverage >= config.min_coverage
        and not (is_broken or is_frozen)
        and ring.times(unbroken, unbroken + 1)[0] <= t_end - config.eye_step_s + config.max_gap_s
        and (validity >= MIN_VALIDITY).mean() >= config.min_valid_gaze
    )
    if not is_valid or known:
        return Step(index, t_end, is_valid, coverage, sfreq, known=is_valid and known)
    start = max(unbroken, ring.index_at(t_end - config.pupil_s))
    return Step(
        index, t_end, True, coverage, sfreq, ring.data(start, stop).copy(), ring.times(start, stop).copy()
    )


def cut_voice(ring: Ring, nominal_sfreq: float, config: WindowConfig, index: int, known: bool) -> Step:
    """Cut whole grid steps of unbroken sound up to ``voice_s`` before the grid time, (n_times,)."""
    t_end = index * config.hop_s
    stop = ring.index_at(t_end)
    sfreq = _rate(ring, stop, nominal_sfreq)
    if stop == ring.start_index or sfreq == 0:
        return Step(index, t_end, False, 0.0, sfreq)
    is_newest_there = ring.times(stop - 1, stop)[0] >= t_end - config.max_gap_s
    unbroken_s = (stop - ring.last_break(stop)) / sfreq if is_newest_there else 0.0
    n_grid = min(round(config.voice_s / config.voice_grid_s), int(unbroken_s / config.voice_grid_s + 1e-6))
    clip_s = n_grid * config.voice_grid_s
    coverage = clip_s / config.voice_s
    if clip_s < config.voice_min_s:
        return Step(index, t_end, False, coverage, sfreq)
    if known:
        return Step(index, t_end, True, coverage, sfreq, known=True)
    start = max(ring.last_break(stop), stop - round(clip_s * sfreq))
    clip = ring.data(start, stop)[:, 0].copy()
    # One NaN would spread over the whole clip; and what does not vary at all is no sound of a room.
    if not np.isfinite(clip).all() or np.ptp(clip[-round(_FROZEN_S * sfreq) :]) == 0:
        return Step(index, t_end, False, coverage, sfreq)
    return Step(index, t_end, True, coverage, sfreq, clip)


def cut_face(ring: Ring, nominal_sfreq: float, config: WindowConfig, index: int, known: bool) -> Step:
    """Take the newest frame before the grid time, if it is no older than the grid is wide."""
    t_end = index * config.hop_s
    stop = ring.index_at(t_end)
    if stop == ring.start_index or ring.times(stop - 1, stop)[0] < t_end - config.face_grid_s:
        return Step(index, t_end, False, 0.0, 0.0)
    if _is_frozen(ring, stop, t_end):
        return Step(index, t_end, False, 1.0, 0.0)
    if known:
        return Step(index, t_end, True, 1.0, 0.0, known=True)
    return Step(index, t_end, True, 1.0, 0.0, ring.data(stop - 1, stop)[0], ring.times(stop - 1, stop).copy())


def _is_frozen(ring: Ring, stop: int, t_end: float) -> bool:
    """Tell whether a camera repeats its last frame: noise makes every picture differ from the one before."""
    first = ring.index_at(t_end - _FROZEN_S)
    if stop - first < 3 or ring.start_index == first:
        return False
    newest, *others = ring.data(first, stop)[::-1]
    return all(np.array_equal(frame, newest) for frame in others)


def _rate(ring: Ring, stop: int, nominal: float, *, irregular: bool = False) -> float:
    """Return the sampling rate features may assume, Hz, from up to 10 s before ``stop``.

    The median interval serves irregular streams, which may drop samples; 0 if there is nothing to
    measure and no nominal rate.
    """
    start = max(ring.last_break(stop), ring.start_index)
    if stop - start < 3:
        return nominal
    start = max(start, ring.index_at(ring.times(stop - 1, stop)[0] - 10.0))
    times = ring.times(start, stop)
    span = float(times[-1] - times[0])
    if span < 1.0 and nominal > 0:
        return nominal
    measured = 1.0 / float(np.median(np.diff(times))) if irregular else (len(times) - 1) / span
    if agrees(measured, nominal):
        return nominal
    return math.exp(round(math.log(measured) / _RATE_GRID) * _RATE_GRID)


#: How each modality's steps are cut: (ring, nominal sfreq, config, index, known) -> Step.
CUTTERS = {"eeg": cut_eeg, "eye": cut_eye, "face": cut_face, "voice": cut_voice}


# --- windows ---

_KEEP_MARGIN_S = 5.0
_N_NOTED = 10_000

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
        self.has_ended = False
        self.newest_push = float("nan")
        self.newest_arrival = float("nan")
        self.told_newest: float | None = None  # of the lateness noted last


class Aligner:
    """Rings of the modalities' streams and the grid that cuts them.

    A window closes when every present stream's newest sample has passed its end, or when it has waited
    ``lateness_s``; a replay knows when nothing more can come and never waits.
    """

    def __init__(self, config: WindowConfig) -> None:
        self.config = config
        self._feeds: dict[str, _Feed] = {}  # by modality
        self._next: int | None = None  # index of the next window to close
        self._not_before = -math.inf
        self.n_skipped = 0
        self._noted: deque[Lateness] = deque(maxlen=_N_NOTED)
        self._recorded: Mapping[str, Sequence[Lateness]] = {}

    def take_lateness(self) -> list[Lateness]:
        """Return what live windows lacked since the last call, for the recording."""
        return [self._noted.popleft() for _ in range(len(self._noted))]

    def restate(self) -> None:
        """Note anew what the next live window lacks, for a recording that begins now."""
        for feed in self._feeds.values():
            feed.told_newest = None

    def follow(self, recorded: Mapping[str, Sequence[Lateness]]) -> None:
        """Let windows lack what those of the live run lacked, by stream key."""
        self._recorded = recorded

    # --- streams ---

    def open(self, spec: StreamSpec) -> None:
        """Take a stream in; one of the same modality is replaced."""
        modality = MODALITY_OF_KIND.get(spec.kind)
        if modality is not None:
            before = self._feeds.get(modality)
            feed = _Feed(spec, self.config.context_s + _KEEP_MARGIN_S + self.config.lateness_s)
            feed.told_newest = before.told_newest if before and before.spec.key == spec.key else None
            self._feeds[modality] = feed

    def wait_for(self, stream: str, waited_for: bool) -> None:
        """Let windows wait for a stream, or stop waiting (stale, ended)."""
        if feed := self._feed_of(stream):
            feed.is_waited_for = waited_for

    def end(self, stream: str) -> None:
        """Take note that nothing more comes of a stream: what lies after its last sample is missing."""
        if feed := self._feed_of(stream):
            feed.is_waited_for, feed.has_ended = False, True

    def _feed_of(self, stream: str) -> _Feed | None:
        return next((feed for feed in self._feeds.values() if feed.spec.key == stream), None)

    @property
    def next_index(self) -> int:
        """Index of the next window to close; 0 before it is known."""
        return self._next or 0

    def start_at(self, time: float) -> None:
        """Close no window that ends before ``time``."""
        self._not_before = time

    def pass_over(self, index: int) -> None:
        """Skip the windows before ``index`` uncounted, because nothing is in them."""
        if self._next is not None:
            self._next = max(self._next, index)

    def push(self, chunk: Chunk) -> None:
        """Append a chunk to its ring; streams of no modality are ignored."""
        if feed := self._feed_of(chunk.stream):
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

        ``complete_to`` is the time up to which nothing more can come (replay), or None (live: watermarks
        decide).
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
        """Close window ``index`` and everything before it; ``known`` steps come without their samples."""
        if self._next is not None and index > self._next:
            self.n_skipped += index - self._next
        self._next = index + 1
        t_end = index * self.config.hop_s
        for feed in self._feeds.values() if live else ():
            newest = feed.ring.newest_time if feed.ring.newest_time < t_end else None
            if newest != feed.told_newest:
                feed.told_newest = newest
                self._noted.append(Lateness(feed.spec.key, t_end, newest))
        newest_of = {m: self._newest(feed, t_end, live) for m, feed in self._feeds.items()}
        steps = {
            modality: self._steps(modality, self._step_indices(modality, index), known, newest_of[modality])
            for modality in MODALITIES
            if modality in self._feeds
        }
        context: tuple[Step, ...] = ()
        if "eeg" in steps and self.config.n_context_steps:
            eeg = self._step_indices("eeg", index)
            left = range(eeg.start - self.config.n_context_steps * eeg.step, eeg.start, eeg.step)
            context = self._steps("eeg", left, known, newest_of["eeg"])
        feeds = self._feeds.values()
        # Those whose newest sample lets the window close.
        closing = [f for f in feeds if live and f.is_waited_for and f.ring.newest_time >= t_end]
        return Window(
            index=index,
            t_end=t_end,
            steps=steps,
            present={m: self._is_present(m, index, steps.get(m, ()), newest_of) for m in MODALITIES},
            coverage={
                m: float(np.mean([step.coverage for step in steps.get(m, ())] or 0.0)) for m in MODALITIES
            },
            waited_s=max(0.0, now - t_end) if live else 0.0,
            closed_at=now if live else t_end,
            newest_push=max((feed.newest_push for feed in closing), default=math.nan),
            newest_arrival=max((feed.newest_arrival for feed in closing), default=math.nan),
            warm_up=self._is_warming_up(t_end),
            context=context,
        )

    def _is_warming_up(self, t_end: float) -> bool:
        """Tell whether a context is not full yet; a stream that joins after that is as one that returns."""
        # NaN, before a stream's first sample, compares False: as if it had yet to join.
        firsts = {m: feed.ring.first_time for m, feed in self._feeds.items()}
        joined_by = min((t for t in firsts.values() if t == t), default=math.nan) + self.config.context_s
        return any(t_end - self.config.context_of(m) < t <= joined_by for m, t in firsts.items())

    # --- steps ---

    def _newest(self, feed: _Feed, t_end: float, live: bool) -> float:
        """Return up to when a step of a window may end; infinity without a limit.

        Late: what has come so far is not what a replay would see, and must not be kept. A replay knows it of
        an own recording, and of a stream that has ended, whose next sample would have closed the step.
        """
        recorded = self._recorded.get(feed.spec.key, ())
        at = bisect_right(recorded, t_end + EDGE_SLACK_S, key=lambda entry: entry.t_end)
        if at and (newest := recorded[at - 1].newest) is not None:
            return newest
        if not (live or feed.has_ended) or math.isnan(feed.ring.newest_time):
            return math.inf
        period_s = 1.0 / feed.spec.sfreq if feed.spec.sfreq > 0 and not live else 0.0
        return feed.ring.newest_time + 1.5 * period_s

    def _steps(self, modality: str, indices: range, known: Known, newest: float) -> tuple[Step, ...]:
        feed, cut = self._feeds[modality], CUTTERS[modality]
        steps = []
        for i in indices:
            t_end = i * self.config.hop_s
            if newest < t_end:
                steps.append(Step(i, t_end, False, 0.0, 0.0, is_late=True))
            else:
                steps.append(cut(feed.ring, feed.spec.sfreq, self.config, i, known(modality, i)))
        return tuple(steps)

    def _step_indices(self, modality: str, index: int) -> range:
        config = self.config
        shift_s, n_steps, grid_s = {
            "eeg": (config.eeg_shift_s, config.eeg_n_steps, config.hop_s),
            "eye": (config.eye_shift_s, config.eye_n_steps, config.eye_grid_s),
            "face": (config.face_grid_s, round(config.face_s / config.face_grid_s), config.face_grid_s),
            "voice": (config.voice_grid_s, 1, config.voice_grid_s),
        }[modality]
        shift, grid = round(shift_s / config.hop_s), round(grid_s / config.hop_s)
        newest = index // grid * grid
        return range(newest - (n_steps - 1) * shift, newest + 1, shift)

    def _is_present(
        self, modality: str, index: int, steps: tuple[Step, ...], newest_of: Mapping[str, float]
    ) -> bool:
        if modality == "eye" and steps and steps[-1].index < index:  # what has ended since is absent at once
            now = range(index, index + 1)
            steps = (*steps[:-1], *self._steps(modality, now, lambda *_: True, newest_of[modality]))
        valid = np.array([step.valid for step in steps], dtype=bool)
        return bool(steps) and bool(holds_enough(modality, valid, self.config))


def holds_enough(modality: str, valid: NDArray[np.bool_], config: WindowConfig) -> NDArray[np.bool_]:
    """Apply the rule of presence to windows' valid steps (..., T): the newest is valid, and enough others.

    A streaming encoder's left context does not count. Whether a face is in the frames is found out later.
    """
    least = config.face_min_frames if modality == "face" else min(config.min_valid_steps, valid.shape[-1])
    enough: NDArray[np.bool_] = valid[..., -1] & (valid.sum(axis=-1) >= least)
    return enough


def rows_back(
    ends: NDArray[np.intp], n_steps: int, first: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return the last ``n_steps`` rows (n, T) of windows in a table with a row a step, and which exist.

    ``ends`` (n,) are the windows' newest rows, ``first`` (n,) the first rows that they may hold. For a row
    before that stands the window's newest.
    """
    back = ends[:, None] - np.arange(n_steps - 1, -1, -1)
    exists = back >= first[:, None]
    return np.where(exists, back, ends[:, None]), exists
