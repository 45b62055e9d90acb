"""The simulator's process: paces the outlets on the LSL clock until it is told to stop."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from acquisition.clock import LslClock
from acquisition.interrupt import interruptible
from acquisition.simulator.effects import EMOTIONS
from acquisition.simulator.faults import StreamFaults
from acquisition.simulator.outlets import OUTLET_CLASSES, Session
from acquisition.simulator.schedule import FollowedTimeline
from acquisition.simulator.streams import SimulatorOptions

TICK_S = 0.02
_TRIAL_MARKER = re.compile(rf"trial_start/({'|'.join(EMOTIONS)})")


def never() -> bool:
    """The ``stop`` of a simulator that runs until its duration is over or a signal comes."""
    return False


def silent(_: str) -> None:
    """The ``report`` of a simulator that nobody listens to."""


def run_simulator(
    options: SimulatorOptions,
    stop: Callable[[], bool] = never,
    report: Callable[[str], None] = silent,
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
        Told in a sentence when an outlet opens or goes, and when an emotion begins.
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
                report(f"{t:.1f} s: {segment.emotion or 'rest'}")
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
