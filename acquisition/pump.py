"""The only way from a source to windows: live, replay, calibration, training and data sets all pump here."""

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from statistics import median

from acquisition.stream_words import Episodes
from acquisition.types import (
    MODALITY_OF_KIND,
    Change,
    Chunk,
    Source,
    StreamEvent,
    StreamLedger,
    StreamSpec,
    Window,
)
from acquisition.windowing import Aligner, Known, WindowConfig, nothing_known

_N_ARRIVALS = 5  # before a stream is called late


class Pump:
    """Moves what a source delivers into the aligner's rings, and closes windows.

    It has no thread and reads no clock: the caller gives the time. `acquire` comes first, then any of the
    methods that close windows.

    Parameters
    ----------
    live : bool
        Windows may be late and may be skipped; a replay never does either.
    known : callable
        Steps it answers True for come without their samples.
    on_open : callable
        Told each stream before it is taken in; what it raises refuses the stream.
    on_event, on_chunk : callable
        See every change of a stream's state, and every chunk; they must not keep the caller waiting.
    """

    def __init__(
        self,
        source: Source,
        config: WindowConfig,
        *,
        live: bool = False,
        known: Known = nothing_known,
        on_open: Callable[[StreamSpec], None] = lambda spec: None,
        on_event: Callable[[StreamEvent], None] = lambda event: None,
        on_chunk: Callable[[Chunk], None] = lambda chunk: None,
    ) -> None:
        self.source = source
        self.aligner = Aligner(config)
        self.live, self._known, self._on_open = live, known, on_open
        self._tell, self._on_chunk = on_event, on_chunk
        self._episodes = Episodes()
        self._ledgers: dict[str, StreamLedger] = {}
        self._specs: dict[str, StreamSpec] = {}
        #: Half seconds with arrivals, and the age of the oldest sample that arrived in each.
        self._ages: dict[str, deque[tuple[int, float]]] = {}
        self.late_s: dict[str, float] = {}  # by stream key: how late it keeps coming; 0 in time

    def acquire(self, now: float) -> None:
        """Move everything that has come in by ``now`` (LSL seconds) into the rings."""
        arrived: set[str] = set()
        for item in self.source.read(now):
            if isinstance(item, Chunk):
                if self.live and item.stream not in arrived:
                    arrived.add(item.stream)
                    self._judge_lateness(item.stream, now, now - float(item.times[0]))
                if (spec := self._specs.get(item.stream)) is None or not spec.is_shown_only:
                    self._ledger(item.stream).n_used += len(item.times)
                self.aligner.push(item)
                self._on_chunk(item)
            else:
                self._take(item)

    def ledgers(self) -> dict[str, StreamLedger]:
        """Return what became of each stream's samples so far, by key, as a copy: samples go on coming."""
        for key, counts in self.source.ledgers().items():
            own = self._ledger(key)
            own.name, own.modality = counts.name or own.name, counts.modality or own.modality
            own.n_received, own.n_with, own.seconds = counts.n_received, counts.n_with, counts.seconds
        return {
            key: replace(ledger, decodable_s=ledger.decodable_s - ledger.faulty_s)
            for key, ledger in self._ledgers.items()
        }

    def note_faulty(self, modality: str) -> None:
        """Count the seconds of a window in which nothing of a modality that was present can be used."""
        if (spec := self.aligner.spec(modality)) is not None:
            self._ledger(spec.key).faulty_s += self.aligner.config.hop_s

    def _on_event(self, event: StreamEvent) -> None:
        if (told := self._episodes.admit(event)) is not None:
            self._tell(told)

    def _ledger(self, key: str) -> StreamLedger:
        return self._ledgers.setdefault(key, StreamLedger(name=key.split("|")[0]))

    def _judge_lateness(self, key: str, now: float, age_s: float) -> None:
        """Say once when a stream keeps coming after the windows it belongs to have closed."""
        spec, limit_s = self._specs.get(key), self.aligner.config.lateness_s
        if spec is None or spec.kind not in MODALITY_OF_KIND:
            return
        ages = self._ages.setdefault(key, deque(maxlen=20))
        half = int(2 * now)
        if ages and ages[-1][0] == half:  # a packet that is read in pieces
            age_s = max(age_s, ages.pop()[1])
        ages.append((half, age_s))
        late_s = median(age for _, age in ages)
        if len(ages) < _N_ARRIVALS:
            return
        was_late = self.late_s.get(key, 0.0) > 0
        # In time again only well below the limit, or a stream that comes at it would be named every minute.
        is_late = late_s > (limit_s / 2 if was_late else limit_s)
        self.late_s[key] = late_s if is_late else 0.0
        if is_late and not was_late:
            what = f"{spec.name} ({spec.kind.value})"
            remedy = f"raise --lateness to {math.ceil(12 * late_s) / 10:g} or fix its clock"
            message = f"{what} arrives {late_s:.1f} s late, windows wait {limit_s:g} s: {remedy}"
            self._on_event(StreamEvent(key, Change.WARNING, now, message, code="late"))

    def _take(self, event: StreamEvent) -> None:
        if event.change is Change.REFUSED:
            self._ledger(event.stream).refused = event.message
        if event.change is Change.OPENED and event.spec is not None:
            ledger, self._specs[event.stream] = self._ledger(event.stream), event.spec
            ledger.refused = "; ".join(event.spec.notes) if event.spec.is_shown_only else ""
            ledger.name, ledger.modality = event.spec.name, MODALITY_OF_KIND.get(event.spec.kind, "")
            if not event.spec.is_shown_only:
                self._on_open(event.spec)
                self.aligner.open(event.spec)
        elif event.change is Change.ENDED:
            self.aligner.end(event.stream)
        elif event.change in (Change.STALE, Change.REFUSED):
            self.aligner.wait_for(event.stream, False)
        elif event.change is Change.BACK:
            self._ledger(event.stream).refused = ""
            self.aligner.wait_for(event.stream, True)
        self._on_event(event)

    def due_windows(self, now: float) -> Iterator[Window]:
        """Close every window that is due, oldest first."""
        for index in self.aligner.due(now, self.source.complete_to(now)):
            yield self._cut(index, now, self._known)

    def newest_window(self, now: float) -> Window | None:
        """Close the freshest window that is due; older ones that are due too count as skipped."""
        due = self.aligner.due(now, self.source.complete_to(now))
        return self._cut(due[-1], now, self._known) if due else None

    def window_at(self, t_end: float, *, newest_only: bool = False) -> Window:
        """Close the window that ends at ``t_end`` on the hop grid (LSL seconds), whatever lies before it.

        Only for a source that tells what is complete, once it is acquired up to ``t_end``. With
        ``newest_only`` the steps before the window's newest come as known, without their samples.
        """
        index = round(t_end / self.aligner.config.hop_s)
        self.aligner.pass_over(index)
        known: Known = (lambda modality, step: step < index) if newest_only else self._known
        return self._cut(index, t_end, known)

    def _cut(self, index: int, now: float, known: Known) -> Window:
        window = self.aligner.cut(index, now, live=self.live, known=known)
        for key, ledger in self._ledgers.items():
            steps, spec = window.steps.get(ledger.modality, ()), self.aligner.spec(ledger.modality)
            if not steps or ledger.refused or spec is None or spec.key != key:  # another took its place
                continue
            ledger.n_windows += 1
            ledger.n_late += self.live and steps[-1].is_late
            ledger.decodable_s += self.aligner.config.hop_s * window.present[ledger.modality]
        return window

    def whole_seconds(self, begin: float, end: float) -> Iterator[float]:
        """Acquire from whole second to whole second (LSL), at least to ``end``, and yield each.

        For rows, which are a second apart: ``window_at`` closes the window of the second.
        """
        hops_per_s = round(1.0 / self.aligner.config.hop_s)
        index = (int(begin // 1) + 1) * hops_per_s
        while index < (end + 1.0) * hops_per_s and not self.source.exhausted:
            second = float(index // hops_per_s)
            self.acquire(second)
            yield second
            index = self.hop_after(index, hops_per_s)

    def hop_after(self, index: int, n_hops: int = 1) -> int:
        """Return the grid index ``n_hops`` after ``index``, or that at the end of a hole which begins there.

        A clock that was reset can leave a hole of hours or years. No window in it holds anything, so all of
        them are passed over. ``index`` is a multiple of ``n_hops``, acquired and closed.
        """
        config = self.aligner.config
        upcoming = self.source.next_time
        if upcoming is None or upcoming <= index * config.hop_s + config.context_s + 1.0:
            return index + n_hops
        after = max(index + n_hops, int(upcoming // (n_hops * config.hop_s)) * n_hops)
        self.aligner.pass_over(after)
        return after
