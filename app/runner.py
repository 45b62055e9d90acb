"""Drives a live pipeline in two threads, and a third that measures faces."""

import contextlib
import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from acquisition.clock import Clock
from acquisition.errors import InputError
from acquisition.types import Window
from app.outputs import Sink
from app.pipeline import Pipeline
from app.telemetry import Failure, Telemetry
from models.prediction import Prediction

_POLL_S = 0.005  # how often inlets are drained; half of it is the arrival latency it adds
_FRAME_POLL_S = 0.02  # how often webcam frames to measure are looked for
_STOP_WITHIN_S = 3.0


class Mailbox:
    """Holds the newest window; an unread one is replaced and counted. One thread puts, one takes."""

    def __init__(self) -> None:
        self._window: queue.Queue[Window] = queue.Queue(1)
        self.n_replaced = 0

    def put(self, window: Window) -> None:
        with contextlib.suppress(queue.Empty):
            self._window.get_nowait()
            self.n_replaced += 1
        self._window.put(window)

    def take(self, timeout_s: float) -> Window | None:
        """Wait for a window, at most ``timeout_s``."""
        with contextlib.suppress(queue.Empty):
            return self._window.get(timeout=timeout_s)
        return None


class LiveRunner:
    """Acquires and decodes in two threads until stopped; a third measures webcam frames, if asked for.

    ``after_acquire`` is called with the time after every acquisition, in the acquire thread;
    ``after_decode`` in the decode thread after every window, and ten times a second when none comes.
    Sinks are written from the decode thread too.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        clock: Clock,
        sinks: Sequence[Sink],
        telemetry: Telemetry,
        after_acquire: Callable[[float], None] = lambda now: None,
        after_decode: Callable[[], None] = lambda: None,
    ) -> None:
        self._pipeline, self._clock = pipeline, clock
        self._sinks, self._telemetry = sinks, telemetry
        self._after_acquire, self._after_decode = after_acquire, after_decode
        self._handing_on, self._acquired, self._is_closed = threading.Lock(), threading.Lock(), False
        self._mailbox = Mailbox()
        self._stop = threading.Event()
        self._decoding = threading.Event()
        self._threads = [
            threading.Thread(target=self._guarded, args=("acquisition", self._acquire), daemon=True),
            threading.Thread(target=self._guarded, args=("decoding", self._decode), daemon=True),
        ]
        if pipeline.decoder.landmarks is not None:
            measuring = ("face landmarks", self._measure)
            self._threads.append(threading.Thread(target=self._guarded, args=measuring, daemon=True))
        self.error: BaseException | None = None
        self.n_dropped: Counter[str] = Counter()  # predictions, by the file that could not be written

    def start(self) -> None:
        """Start reading; windows are cut from `begin_decoding` on."""
        for thread in self._threads:
            thread.start()

    def begin_decoding(self, from_time: float) -> None:
        """Cut windows that end at ``from_time`` or later."""
        self._pipeline.aligner.start_at(from_time)
        self._decoding.set()

    @property
    def running(self) -> bool:
        """False once a thread has failed or `stop` was called."""
        return not self._stop.is_set()

    def stop(self) -> None:
        """Stop both threads and wait for them; afterwards nothing is written any more.

        A forward pass that takes longer than the wait is left to itself, and its result is dropped.
        """
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(_STOP_WITHIN_S)
        with self._handing_on, self._acquired:
            self._is_closed = True

    def _acquire(self) -> None:
        while not self._stop.is_set():
            now = self._clock.now()
            self._pipeline.acquire(now)
            if self._decoding.is_set():
                window = self._pipeline.newest_window(self._clock.now())
                if window is not None:
                    self._mailbox.put(window)
            self._telemetry.n_skipped = self._pipeline.aligner.n_skipped + self._mailbox.n_replaced
            with self._acquired:
                if not self._is_closed:
                    self._after_acquire(now)
            self._clock.wait_until(now + _POLL_S)

    def _decode(self) -> None:
        while not self._stop.is_set():
            window = self._mailbox.take(timeout_s=0.1)
            if window is not None:
                prediction = self._pipeline.decode(window, self._clock.now)
                if prediction is not None:
                    self._hand_on(prediction)
            self._after_decode()

    def _measure(self) -> None:
        while not self._stop.is_set():
            if not self._pipeline.measure_frame():
                self._stop.wait(_FRAME_POLL_S)

    def _hand_on(self, prediction: Prediction) -> None:
        with self._handing_on:
            if self._is_closed:
                return
            self._telemetry.on_prediction(prediction)
            for sink in self._sinks:
                try:
                    sink.write(prediction)
                except InputError as error:  # a full disk, say: the session and its other outputs go on
                    if error.where not in self.n_dropped:
                        failed = Failure(
                            "output", f"{error}; until then predictions are dropped", self._clock.now()
                        )
                        self._telemetry.on_failure(failed)
                    self.n_dropped[error.where] += 1

    def _guarded(self, stage: str, loop: Callable[[], None]) -> None:
        """Run a thread's loop; what kills it is a failure on the screen, and the end of the run."""
        try:
            loop()
        except Exception as error:
            self.error = self.error or error
            self._telemetry.on_failure(Failure(stage, f"{stage} ended: {error}", self._clock.now()))
            self._stop.set()


@contextlib.contextmanager
def closing(sinks: Sequence[Sink], on_error: Callable[[str], None] | None = None) -> Iterator[None]:
    """Close every sink at the end, whatever happens; raise what one cannot write, or tell it ``on_error``."""

    def close(sink: Sink) -> None:
        try:
            sink.close()
        except InputError as error:
            if on_error is None:
                raise
            on_error(str(error))

    with contextlib.ExitStack() as stack:
        for sink in sinks:
            stack.callback(close, sink)
        yield
