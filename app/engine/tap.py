"""Takes what the screen shows off the pipeline, without holding it up.

The acquire thread only appends chunks to a bounded queue; a thread of its own turns them into parts for
display about 30 times a second. Where that is too slow, the oldest chunks go and are counted; video
goes first and is not, for nobody looks at hundreds of frames a second.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from acquisition.clock import LslClock
from acquisition.types import Change, Chunk, Kind, StreamEvent, StreamSpec
from app.engine.lines import EegLine, Line, make_line
from app.failure import Failure
from models.config import ModelConfig
from models.prediction import Prediction

_PERIOD_S = 1 / 30
#: Of chunks that wait. The half minute before a moment that a replay seeks comes at once: it fits.
_MAX_BYTES = 64_000_000
_MAX_FRAME_BYTES = 32_000_000  # of video that waits; what goes beyond is thinned out
_N_MESSAGES = 2000


@dataclass(frozen=True, eq=False)
class _Entry:
    """A chunk that waits."""

    position: int  # in the order of arrival, over both queues
    spec: StreamSpec  # as of its arrival
    chunk: Chunk
    n_bytes: int


class _Queue:
    """Chunks that wait, and how many bytes they take."""

    def __init__(self) -> None:
        self.entries: deque[_Entry] = deque()
        self.n_bytes = 0

    def append(self, entry: _Entry) -> None:
        self.entries.append(entry)
        self.n_bytes += entry.n_bytes

    def popleft(self) -> _Entry:
        entry = self.entries.popleft()
        self.n_bytes -= entry.n_bytes
        return entry


class Tap:
    """Makes news for the window of chunks, events, predictions and failures.

    Parameters
    ----------
    tell : callable
        Sends one piece of news; called from the tap's thread alone. May block, and may raise OSError
        when nobody listens any more, which ends the thread.
    model_config : ModelConfig
        Whose features the spectrogram and the log-mel are computed with.
    """

    def __init__(self, tell: Callable[[object], None], model_config: ModelConfig) -> None:
        self.n_dropped = 0  # chunks of signals the sender was too slow for
        self._tell = tell
        self._config = model_config.features
        self._lock = threading.Lock()
        self._signals = _Queue()
        self._frames = _Queue()
        self._n_queued = 0
        self._lost: set[str] = set()  # streams of which chunks were dropped since the last step
        self._messages: deque[object] = deque(maxlen=_N_MESSAGES)
        self._specs: dict[str, StreamSpec] = {}
        self._lines: dict[str, tuple[StreamSpec, Line]] = {}
        self._newest: dict[str, float] = {}
        self._broken: set[str] = set()  # streams whose display failed and was reported
        self._ch_name = ""
        self._wanted = ""
        self._has_failed = False  # and that was reported
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="tap", daemon=True)

    # --- called by the session's threads ---

    def on_chunk(self, chunk: Chunk) -> None:
        """Take a chunk; costs microseconds."""
        spec = self._specs.get(chunk.stream)
        if spec is None:
            return
        n_bytes = _size(chunk)
        is_video = spec.kind is Kind.VIDEO
        with self._lock:
            queue, most = (self._frames, _MAX_FRAME_BYTES) if is_video else (self._signals, _MAX_BYTES)
            queue.append(_Entry(self._n_queued, spec, chunk, n_bytes))
            self._n_queued += 1
            while queue.n_bytes > most and len(queue.entries) > 1:
                self._lost.add(queue.popleft().chunk.stream)
                self.n_dropped += not is_video

    def on_event(self, event: StreamEvent) -> None:
        """Take a change of a stream's state, before the stream's first chunk."""
        if event.change is Change.OPENED and event.spec is not None:
            self._specs[event.stream] = event.spec
        self.put(event)

    def on_prediction(self, prediction: Prediction) -> None:
        """Take a prediction; the network's inputs stay here."""
        self.put(replace(prediction, features={}))

    def on_failure(self, failure: Failure) -> None:
        """Take a dead or degraded stage."""
        self.put(failure)

    def put(self, news: object) -> None:
        """Take any other news as it is."""
        self._messages.append(news)

    def choose_spectrogram(self, ch_name: str) -> None:
        """Show another EEG channel's spectrogram, its last half minute at once."""
        self._wanted = ch_name

    # --- the tap's own thread ---

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Send what waits and end."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)

    def _loop(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._stop.wait(_PERIOD_S)
            try:
                self.step()
            except OSError:
                return  # the window is gone; whoever owns the pipe sees to that
            except Exception as error:  # a window without news would look as if all were well
                if not self._has_failed:
                    self._has_failed = True
                    self.put(Failure("display", f"some of it cannot be shown: {error}", LslClock().now()))

    def step(self) -> None:
        """Send everything that has come since the last step."""
        while self._messages:
            self._tell(self._messages.popleft())
        self._choose()
        with self._lock:
            waiting = sorted([*self._signals.entries, *self._frames.entries], key=lambda e: e.position)
            self._signals, self._frames = _Queue(), _Queue()
            lost, self._lost = self._lost, set()
        gathered: dict[str, tuple[StreamSpec, list[Chunk]]] = {}
        for entry in waiting:
            spec, chunk = entry.spec, entry.chunk
            key = chunk.stream
            if key in lost:
                lost.discard(key)
                chunk = replace(chunk, breaks=(0, *(at for at in chunk.breaks if at != 0)))
            if self._begins_anew(spec, chunk):
                self._send(gathered)
                self._lines.pop(key, None)
            self._newest[key] = float(chunk.times[-1]) if len(chunk.times) else self._newest.get(key, np.nan)
            gathered.setdefault(key, (spec, []))[1].append(chunk)
        self._send(gathered)

    def _begins_anew(self, spec: StreamSpec, chunk: Chunk) -> bool:
        """Tell whether a stream was opened anew, or a replay sought back: nothing goes on from before."""
        known = self._lines.get(chunk.stream)
        is_other = known is not None and known[0] is not spec
        return is_other or bool(len(chunk.times) and chunk.times[0] < self._newest.get(chunk.stream, -np.inf))

    def _send(self, gathered: dict[str, tuple[StreamSpec, list[Chunk]]]) -> None:
        for key, (spec, chunks) in gathered.items():
            for part in self._parts(key, spec, [chunk for chunk in chunks if len(chunk.times)]):
                self._tell(part)
        gathered.clear()

    def _parts(self, key: str, spec: StreamSpec, chunks: list[Chunk]) -> list[object]:
        """Return a stream's parts; a line that fails is begun anew and reported once."""
        if not chunks:
            return []
        if key not in self._lines:
            line = make_line(spec, self._config, self._ch_name)
            if line is None:
                return []
            self._lines[key] = spec, line
        try:
            parts = list(self._lines[key][1].push(chunks))
        except Exception as error:  # the screen's trouble must not become the decoder's
            del self._lines[key]
            if key in self._broken:
                return []
            self._broken.add(key)
            return [Failure("display", f"{spec.name} cannot be shown: {error}", float(chunks[-1].times[-1]))]
        return parts

    def _choose(self) -> None:
        if self._wanted == self._ch_name:
            return
        self._ch_name = self._wanted
        for _, line in self._lines.values():
            if isinstance(line, EegLine):
                for part in line.choose(self._ch_name):
                    self._tell(part)


def _size(chunk: Chunk) -> int:
    """Return about how many bytes a chunk takes."""
    if isinstance(chunk.data, tuple):
        return 200 + sum(len(x) if isinstance(x, (bytes, str)) else x.nbytes for x in chunk.data)
    return 200 + chunk.data.nbytes
