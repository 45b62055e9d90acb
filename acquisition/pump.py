"""The only way from a source to windows: live, replay, calibration, training and data sets all pump here."""

from collections.abc import Callable, Iterator

from acquisition.types import Change, Chunk, Source, StreamEvent, StreamSpec, Window
from acquisition.windowing import Aligner, Known, WindowConfig, nothing_known


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
        self._on_event, self._on_chunk = on_event, on_chunk

    def acquire(self, now: float) -> None:
        """Move everything that has come in by ``now`` (LSL seconds) into the rings."""
        for item in self.source.read(now):
            if isinstance(item, Chunk):
                self.aligner.push(item)
                self._on_chunk(item)
            else:
                self._take(item)

    def _take(self, event: StreamEvent) -> None:
        if event.change is Change.OPENED and event.spec is not None:
            self._on_open(event.spec)
            self.aligner.open(event.spec)
        elif event.change is Change.ENDED:
            self.aligner.end(event.stream)
        elif event.change in (Change.STALE, Change.REFUSED):
            self.aligner.wait_for(event.stream, False)
        elif event.change is Change.BACK:
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
        return self.aligner.cut(index, now, live=self.live, known=known)

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
