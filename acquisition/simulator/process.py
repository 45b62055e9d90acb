"""Simulated devices as LSL outlets on the LSL clock, here or in a process that ends with its parent."""

import base64
import contextlib
import math
import multiprocessing
import re
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from typing import Any

import numpy as np

from acquisition.clock import LslClock
from acquisition.errors import ErrorCode, InputError
from acquisition.header import make_info
from acquisition.lsl.outlet import open_outlet
from acquisition.process import interruptible
from acquisition.record.files import source_id_query
from acquisition.simulator.behaviour import FollowedTimeline
from acquisition.simulator.face import FPS, HEIGHT, WIDTH
from acquisition.simulator.faults import KINDS, StreamFaults
from acquisition.simulator.source import SimulatedSource, SimulatorOptions
from acquisition.simulator.subject import EMOTIONS
from acquisition.types import MODALITY_OF_KIND, Chunk, Kind, StreamSpec

_RESOLVE_S = 0.5
TICK_S = 0.02
_CATCH_UP_S = 0.25  # pushed at most in one go after a stall
_BUFFERED_S = 60  # what an outlet keeps for a slow inlet; a minute of EEG is 15 MB
_TRIAL_MARKER = re.compile(rf"trial_start/({'|'.join(EMOTIONS)})")

_MANUFACTURER = "Affectscope simulator (simulated data)"
_FORMATS = {Kind.EEG: "float32", Kind.GAZE: "float32", Kind.AUDIO: "int16"}  # the others are text
_TYPES = {"eeg": "EEG", "gaze": "Gaze", "video": "VideoCompressed", "audio": "Audio", "markers": "Markers"}
_GAZE_DESC = {  # label -> (type, eye, coordinate system)
    "gaze_x": ("ScreenX", "both", "screen"),
    "gaze_y": ("ScreenY", "both", "screen"),
    "pupil_left": ("Diameter", "left", ""),
    "pupil_right": ("Diameter", "right", ""),
    "validity": ("Confidence", "both", ""),
}


def outlet_info(spec: StreamSpec, name: str = "") -> Any:
    """Return the header of a simulated stream, a ``pylsl.StreamInfo``, under another name if one is given."""
    type_ = _TYPES[spec.key]
    desc: dict[str, Any] = {"manufacturer": _MANUFACTURER, "simulated": "true"}
    if spec.kind is Kind.VIDEO:
        desc["encoding"] = {"codec": "jpeg", "transfer": "base64", "width": WIDTH, "height": HEIGHT}
        desc["synchronization"] = {"can_drop_samples": "true"}
    elif spec.kind is not Kind.MARKERS:
        channels: list[dict[str, str]] = []
        for label, unit in zip(spec.ch_names, spec.units, strict=True):
            meaning = _GAZE_DESC[label] if spec.kind is Kind.GAZE else (type_,)
            fields = zip(("type", "eye", "coordinate_system"), meaning, strict=False)
            channels.append({"label": label, "unit": unit, **dict(fields)})
        desc["channels"] = {"channel": channels}
    return make_info(
        name or spec.name,
        type_,
        _FORMATS.get(spec.kind, "string"),
        spec.source_id,
        n_channels=len(spec.ch_names),
        sfreq=spec.sfreq,
        desc=desc,
    )


def as_sent(kind: Kind, data: Any) -> Any:
    """Return a chunk's data as an outlet sends it: float32, int16 of sound, or text."""
    if kind is Kind.VIDEO:
        return [base64.b64encode(frame).decode("ascii") for frame in data]
    if kind is Kind.AUDIO:
        return np.round(data * 32767.0).astype(np.int16)
    return data if kind is Kind.MARKERS else data.astype(np.float32)


class _Outlet:
    """One stream's outlet, with the faults of its connection and of its sender's clock."""

    def __init__(self, spec: StreamSpec, faults: StreamFaults, start: float, unix_offset_s: float) -> None:
        self._spec, self._faults = spec, faults
        self._start, self._unix_offset_s = start, unix_offset_s
        self._outlet: Any = None
        self._name = ""

    def update(self, t: float) -> str:
        """Open, close or rename the outlet as the faults demand; return what a user should know, or ''."""
        name = self._spec.name + ("Renamed" if self._faults.active("rename", t) else "")
        wanted = "" if self._faults.active("gone", t) else name
        if wanted == self._name:
            return ""
        before, self._name = self._name, wanted
        self._outlet = None  # the old one goes before the new one comes: they share a source_id
        if not wanted:
            return f"{before} is gone"
        self._outlet = open_outlet(outlet_info(self._spec, wanted), max_buffered=_BUFFERED_S)
        format_ = _FORMATS.get(self._spec.kind, "string")
        return f"{wanted}: {format_}, {len(self._spec.ch_names)} ch, {self._spec.sfreq:g} Hz"

    def push(self, chunk: Chunk) -> None:
        if self._outlet is None:
            return
        data = as_sent(self._spec.kind, chunk.data)
        if self._spec.kind not in _FORMATS:
            for text, time in zip(data, chunk.times, strict=True):
                self._outlet.push_sample([text], timestamp=self._stamp(float(time)))
            return
        runs = zip(np.split(data, chunk.breaks), np.split(chunk.times, chunk.breaks), strict=True)
        for samples, times in runs:
            if len(samples):  # LSL gives the stamp to the run's last sample
                stamp = self._stamp(float(times[-1]))
                self._outlet.push_chunk(np.ascontiguousarray(samples), timestamp=stamp)

    def _stamp(self, time: float) -> float:
        t = time - self._start
        index = round(t * (self._spec.sfreq or 1000.0))
        return time + self._faults.stamp_error_s(t, index, self._unix_offset_s)


def run_simulator(
    options: SimulatorOptions,
    stop: Callable[[], bool] = lambda: False,
    report: Callable[[str], None] = lambda sentence: None,
    on_emotion: Callable[[float, str], None] = lambda t, emotion: None,
) -> None:
    """Publish simulated devices as LSL outlets; blocks until stopped.

    It ends when ``stop()``, asked every 20 ms, is true, the duration is over, or SIGINT or SIGTERM arrives
    (in a main thread). Spawn-safe as the target of a ``multiprocessing.Process``. ``report`` is told in a
    sentence when an outlet opens or goes, ``on_emotion`` the session time at which an emotion (or ``rest``)
    begins.
    """
    import cv2

    cv2.setNumThreads(1)  # small pictures: a thread pool costs more than it saves
    clock = LslClock()
    source = SimulatedSource(options, start=clock.now(), possible_faults=KINDS, longest_s=_CATCH_UP_S)
    timeline = source.behaviour.timeline
    follower = _Follower(options, timeline) if options.follow else None
    faults = options.parsed_faults()
    outlets = {
        spec.key: _Outlet(
            spec, StreamFaults(faults, spec.key, options.seed), source.start, -clock.unix_offset()
        )
        for spec in source.specs
    }
    t, told_segment = 0.0, -1
    with interruptible() as interrupted:
        while not (interrupted.is_set() or stop()):
            # Made before it is due, so that it is pushed on time.
            chunks = [item for item in source.read(source.start + t) if isinstance(item, Chunk)]
            interrupted.wait(max(source.start + t - clock.now(), 0.0))
            for outlet in outlets.values():
                if told := outlet.update(t):
                    report(told)
            for chunk in chunks:
                outlets[chunk.stream].push(chunk)
            if options.duration_s is not None and t >= options.duration_s:
                break
            now = clock.now() - source.start
            if follower is not None:
                follower.update(max(now, t + 1e-6))  # markers up to ``t`` are sent already
            segment = timeline.segment_at(t)
            if segment.index != told_segment:
                told_segment = segment.index
                on_emotion(t, segment.emotion or "rest")
            next_tick = (int(t / TICK_S + 1e-6) + 1) * TICK_S
            next_frame = (math.floor(t * FPS + 1e-6) + 1) / FPS
            t = max(min(next_tick, next_frame), now)


class _Follower:
    """Takes the emotion from another program's ``trial_start/EMOTION`` markers; any ``trial_end`` is rest."""

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


class SimulatorProcess(contextlib.AbstractContextManager["SimulatorProcess"]):
    """Simulated devices in a spawned process, which a ``with`` ends."""

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

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait_until_found(self, timeout_s: float = 30.0) -> None:
        """Return when all streams answer on the network.

        Raises `InputError` if they do not within ``timeout_s``, or the process ends.
        """
        from pylsl import resolve_bypred

        clock = LslClock()
        deadline = clock.now() + timeout_s
        missing = [source_id_query(spec.source_id) for spec in self._options.specs().values()]
        while missing:
            missing = [query for query in missing if not resolve_bypred(query, 1, _RESOLVE_S)]
            ended = not self.running
            if missing and (ended or clock.now() > deadline):
                what = f"its streams do not answer within {timeout_s:.0f} s"
                what = f"it ended with exit code {self._process.exitcode}" if ended else what
                remedy = "see `affectscope doctor`" + ("" if ended else ": a firewall may block LSL")
                raise InputError(what, where="simulator", remedy=remedy, code=ErrorCode.NO_STREAM)

    @property
    def running(self) -> bool:
        return self._process.is_alive()

    def close(self) -> None:
        """End it, by force where it does not react."""
        self._stop.set()
        self._process.join(3.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def tell(self, on_emotion: Callable[[str], None]) -> None:
        """Have a thread call ``on_emotion`` with every emotion (or ``rest``) the subject shows."""

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
        # What is not mentioned would be searched for by type, among all streams.
        chosen.append(f"{MODALITY_OF_KIND.get(kind, 'markers')}={found[0] if found else 'none'}")
    return ",".join(chosen)


def refuse_second(options: SimulatorOptions) -> None:
    """Refuse to simulate a device that is being simulated already.

    Two streams with one ``source_id`` cannot be told apart by those who record or reconnect. Raises
    `InputError` if one of the streams answers on the network.
    """
    from pylsl import resolve_bypred

    # In brackets: liblsl puts "session_id='…' and" before it.
    query = "(" + " or ".join(source_id_query(spec.source_id) for spec in options.specs().values()) + ")"
    if found := resolve_bypred(query, 1, _RESOLVE_S):
        raise InputError(
            f"{found[0].name()} of simulated subject {options.seed} is already being published "
            f"on {found[0].hostname()}",
            where="simulate",
            remedy="choose another --seed, or tell them apart with --id-suffix b",
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
