"""Paces simulated devices on the LSL clock, here or in a process that ends with the one that started it."""

from __future__ import annotations

import contextlib
import multiprocessing
import re
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from typing import Any, Self

from acquisition.clock import LslClock
from acquisition.errors import ErrorCode, InputError
from acquisition.process import interruptible
from acquisition.record.files import source_id_query
from acquisition.simulator.behaviour import FollowedTimeline
from acquisition.simulator.faults import StreamFaults
from acquisition.simulator.outlets import OUTLET_CLASSES, Session
from acquisition.simulator.source import SimulatorOptions
from acquisition.simulator.subject import EMOTIONS
from acquisition.types import MODALITY_OF_KIND, Kind

_RESOLVE_S = 0.5
_BEGUN = re.compile(r"[\d.]+ s: (\w+)")
TICK_S = 0.02
_TRIAL_MARKER = re.compile(rf"trial_start/({'|'.join(EMOTIONS)})")


def run_simulator(
    options: SimulatorOptions,
    stop: Callable[[], bool] = lambda: False,
    report: Callable[[str], None] = lambda sentence: None,
    on_emotion: Callable[[float, str], None] = lambda t, emotion: None,
) -> None:
    """Publish simulated devices as LSL outlets; blocks until stopped.

    It ends when ``stop()`` is true, the duration is over, or SIGINT or SIGTERM arrives (in a main
    thread). Spawn-safe as the target of a ``multiprocessing.Process``.

    Parameters
    ----------
    options : SimulatorOptions
        What to simulate.
    stop : callable
        Asked every 20 ms; ``multiprocessing.Event().is_set``, say.
    report : callable
        Told in a sentence when an outlet opens or goes.
    on_emotion : callable
        Told the session time at which an emotion (or ``rest``) begins.
    """
    import cv2

    cv2.setNumThreads(1)  # small pictures: a thread pool costs more than it saves
    behaviour = options.person()
    follower = _Follower(options, behaviour.timeline) if options.follow else None
    faults = options.parsed_faults()
    clock = LslClock()
    session = Session(clock.now(), -clock.unix_offset(), behaviour)

    def session_s() -> float:
        return clock.now() - session.start

    outlets = [
        OUTLET_CLASSES[key](spec, StreamFaults(faults, key, options.seed), session)
        for key, spec in options.specs().items()
    ]
    told_segment = -1
    with interruptible() as interrupted:
        while not (interrupted.is_set() or stop()):
            t = session_s()
            if options.duration_s is not None and t >= options.duration_s:
                break
            for outlet in outlets:
                if told := outlet.update(t):
                    report(told)
            for outlet in outlets:
                outlet.prepare()
            if follower is not None:
                follower.update(session_s())
            segment = behaviour.timeline.segment_at(t)
            if segment.index != told_segment:
                told_segment = segment.index
                on_emotion(t, segment.emotion or "rest")
            next_tick = (int(t / TICK_S) + 1) * TICK_S
            due = [time_s for outlet in outlets if (time_s := outlet.next_due_s()) > t]
            interrupted.wait(max(min([next_tick, *due]) - session_s(), 0.0))
    for outlet in outlets:
        outlet.close()


class _Follower:
    """Takes the emotion from somebody else's ``trial_start/EMOTION`` markers; any ``trial_end`` is rest."""

    def __init__(self, options: SimulatorOptions, timeline: Any) -> None:
        from pylsl import ContinuousResolver

        assert isinstance(timeline, FollowedTimeline)
        self._timeline = timeline
        self._own_ids = {spec.source_id for spec in options.specs().values()}
        wanted = options.follow.replace("'", "")
        self._resolver: Any = ContinuousResolver(
            pred=f"name='{wanted}' or type='{wanted}' or source_id='{wanted}'"
        )
        self._inlet: Any = None

    def update(self, t: float) -> None:
        """Begin what was announced since the last call; never waits."""
        from pylsl import StreamInlet

        if self._inlet is None:
            found = [info for info in self._resolver.results() if info.source_id() not in self._own_ids]
            if not found:
                return
            self._inlet = StreamInlet(found[0], max_buflen=60)
            self._resolver = None
        while True:
            sample, _ = self._inlet.pull_sample(timeout=0.0)
            if sample is None:
                return
            text = str(sample[0])
            if match := _TRIAL_MARKER.match(text):
                self._timeline.begin(match[1], t)
            elif text.startswith("trial_end"):
                self._timeline.begin(None, t)


# --- in a process of its own ---


class SimulatorProcess:
    """Simulated devices in a spawned process, which a ``with`` ends.

    Parameters
    ----------
    options : SimulatorOptions
    """

    def __init__(self, options: SimulatorOptions) -> None:
        context = multiprocessing.get_context("spawn")
        self._options = options
        self._stop = context.Event()
        self._emotions, sender = context.Pipe(duplex=False)
        self._process = context.Process(
            target=_simulate, args=(options, self._stop, sender), name="simulator", daemon=True
        )
        self._process.start()
        sender.close()  # so that the end of the process ends the pipe

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait_until_found(self, timeout_s: float = 30.0) -> None:
        """Return when all streams answer on the network.

        Raises
        ------
        InputError
            If they do not within ``timeout_s``, or the process ends.
        """
        from pylsl import resolve_bypred

        clock = LslClock()
        deadline = clock.now() + timeout_s
        missing = [spec.source_id for spec in self._options.specs().values()]
        while missing:
            missing = [
                source_id
                for source_id in missing
                if not resolve_bypred(source_id_query(source_id), 1, _RESOLVE_S)
            ]
            if missing and not self.running:
                raise InputError(
                    f"it ended with exit code {self._process.exitcode}",
                    where="simulator",
                    remedy="see `affectscope doctor`",
                    code=ErrorCode.NO_STREAM,
                )
            if missing and clock.now() > deadline:
                raise InputError(
                    f"its streams do not answer within {timeout_s:.0f} s",
                    where="simulator",
                    remedy="see `affectscope doctor`: a firewall may block LSL",
                    code=ErrorCode.NO_STREAM,
                )

    @property
    def running(self) -> bool:
        """True until the process has ended."""
        return self._process.is_alive()

    def close(self) -> None:
        """End it, by force where it does not react."""
        self._stop.set()
        self._process.join(3.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def tell(self, on_emotion: Callable[[str], None]) -> None:
        """Have a thread call ``on_emotion`` with every emotion (or ``rest``) the person shows."""

        def listen() -> None:
            with contextlib.suppress(EOFError, OSError):
                while True:
                    on_emotion(self._emotions.recv())

        threading.Thread(target=listen, daemon=True).start()


def stream_choices(options: SimulatorOptions) -> str:
    """Return the ``--streams`` text that takes exactly the streams of these simulated devices."""
    specs = options.specs()
    chosen = []
    for kind in (*MODALITY_OF_KIND, Kind.MARKERS):
        found = [f"source_id:{spec.source_id}" for spec in specs.values() if spec.kind is kind]
        # What is not mentioned would be looked for by type, among everybody's streams.
        chosen.append(f"{MODALITY_OF_KIND.get(kind, 'markers')}={found[0] if found else 'none'}")
    return ",".join(chosen)


def refuse_second(options: SimulatorOptions) -> None:
    """Refuse to simulate a device that is being simulated already.

    Two streams with one ``source_id`` cannot be told apart by those who record or reconnect.

    Raises
    ------
    InputError
        If one of the streams answers on the network.
    """
    from pylsl import resolve_bypred

    # In brackets: liblsl puts "session_id='…' and" before it.
    query = "(" + " or ".join(source_id_query(spec.source_id) for spec in options.specs().values()) + ")"
    if found := resolve_bypred(query, 1, _RESOLVE_S):
        raise InputError(
            f"{found[0].name()} of person {options.seed} is published on {found[0].hostname()} already",
            where="simulate",
            remedy="choose another --seed, or tell them apart with --id-suffix b --name-prefix Other",
        )


def _simulate(options: SimulatorOptions, stop: Event, emotions: Connection) -> None:
    parent = multiprocessing.parent_process()

    def stopped() -> bool:
        # A parent that was killed can set no event.
        return stop.is_set() or (parent is not None and not parent.is_alive())

    def on_emotion(t: float, emotion: str) -> None:
        if not stopped():
            with contextlib.suppress(OSError):  # the parent may have gone since
                emotions.send(emotion)

    run_simulator(options, stopped, on_emotion=on_emotion)
