"""Faults that the simulator can be asked for, to try what depends on it.

``KIND:STREAM[@START[+DURATION]][=VALUE]``, separated by commas, times in seconds since the start:

- ``drop:eeg@20+5``: samples are lost
- ``stall:gaze@30+10``: nothing is sent, then everything at once
- ``gone:audio@20+8``: the outlet disappears and comes back
- ``rename:video@40``: the outlet comes back under another name
- ``jitter:eeg=0.02``: stamps scatter with this standard deviation in seconds
- ``clockjump:gaze@25=3.0``: stamps jump ahead by this many seconds
- ``offset:gaze=5``: stamps are off by this many seconds all the time
- ``epoch:gaze``: stamps are Unix time instead of LSL time
"""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import InputError
from acquisition.simulator.subject import substream

KINDS = ("drop", "stall", "gone", "rename", "jitter", "clockjump", "offset", "epoch")
STREAM_KEYS = ("eeg", "gaze", "video", "audio", "markers")
_NEEDS_VALUE = ("jitter", "clockjump", "offset")
_NUMBER = r"\d+(?:\.\d*)?|\.\d+"
_FORM = re.compile(rf"(\w+):(\w+)(?:@({_NUMBER})(?:\+({_NUMBER}))?)?(?:=([-+]?(?:{_NUMBER})))?")
GRAMMAR = (
    f"KIND:STREAM[@START[+DURATION]][=VALUE] separated by commas, KIND one of {', '.join(KINDS)}, "
    f"STREAM one of {', '.join(STREAM_KEYS)}"
)
_REMEDY = "example: drop:eeg@20+5,jitter:gaze=0.02"


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong with one stream."""

    kind: str
    stream: str
    start_s: float = 0.0  # since the session began
    duration_s: float = float("inf")
    value: float = 0.0  # seconds, where the kind takes one

    def active_at(self, times: NDArray[np.float64] | float) -> NDArray[np.bool_]:
        """Return at which session times the fault is on."""
        times = np.asarray(times)
        return (times >= self.start_s) & (times < self.start_s + self.duration_s)


def parse_faults(spec: str) -> tuple[Fault, ...]:
    """Return the faults in a ``--faults`` text; none for an empty one.

    Raises `InputError` with the grammar, at the first part that does not fit it.
    """
    return tuple(_parse_one(part.strip()) for part in spec.split(",") if part.strip())


def _parse_one(part: str) -> Fault:
    match = _FORM.fullmatch(part)
    if match is None or match[1] not in KINDS or match[2] not in STREAM_KEYS:
        raise InputError(f"expected {GRAMMAR}; found {part!r}", where="faults", remedy=_REMEDY)
    kind, stream, start, duration, value = match.groups()
    if (value is not None) != (kind in _NEEDS_VALUE):
        wants = "needs =SECONDS" if value is None else "takes no =VALUE"
        raise InputError(f"{kind} {wants}; found {part!r}", where="faults", remedy=_REMEDY)
    if kind == "jitter" and float(value) < 0:
        raise InputError(f"jitter cannot be negative; found {part!r}", where="faults", remedy=_REMEDY)
    return Fault(kind, stream, float(start or 0.0), float(duration or "inf"), float(value or 0.0))


class StreamFaults:
    """What goes wrong with one stream, asked by session time; the seed is the jitter's."""

    def __init__(self, faults: tuple[Fault, ...], key: str, seed: int) -> None:
        self._key, self._seed = key, seed
        self._faults = [fault for fault in faults if fault.stream == key]

    def kept(self, times: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which samples are not dropped, (n_times,)."""
        kept = np.ones(len(times), dtype=bool)
        for fault in self._of("drop"):
            kept &= ~fault.active_at(times)
        return kept

    def active(self, kind: str, t: float) -> bool:
        return any(fault.active_at(t) for fault in self._of(kind))

    def stamp_error_s(self, t: float, index: int, unix_offset_s: float) -> float:
        """Return what is wrong with the stamp of sample ``index`` at session time ``t``.

        ``unix_offset_s`` is Unix time minus LSL time now.
        """
        error = sum(fault.value for fault in self._of("clockjump", "offset") if fault.active_at(t))
        for fault in self._of("jitter"):
            if fault.active_at(t):
                error += fault.value * substream(self._seed, "jitter", self._key, index).standard_normal()
        if self.active("epoch", t):
            error += unix_offset_s
        return error

    def _of(self, *kinds: str) -> list[Fault]:
        return [fault for fault in self._faults if fault.kind in kinds]
