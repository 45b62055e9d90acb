"""What is changed while a session runs, window by window: what is masked manually, rests, self-reports.

Markers note the changes live, and a replay repeats them. A change holds for the windows that end at its time
or later, live and in a replay alike.
"""

import math
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TypeVar

from acquisition.errors import InputError
from acquisition.types import MODALITIES
from calibration.markers import ASKED, UNDO

_MARKER = re.compile(rf"affectscope/(unplug|plug)/({'|'.join(MODALITIES)})")
_ELECTRODE = re.compile(r"affectscope/(bad|good)/(.{1,100})")
_REST = re.compile(r"affectscope/rest/(\d{1,4})")
_CHECK = re.compile(r"affectscope/check/(?:(asked|undo)|felt/(.{1,100}))")
#: Least distance of changes from the ends of windows, seconds: a recording's clock offsets move stamps less.
_MARGIN_S = 0.01


@dataclass(frozen=True)
class MaskChange:
    """A modality is masked or unmasked in windows that end at ``time`` (LSL seconds) or later.

    With a ``ch_name`` it is that electrode alone, which was marked bad, or no longer.
    """

    time: float
    modality: str
    masked: bool
    ch_name: str = ""

    def __post_init__(self) -> None:
        if self.modality not in MODALITIES:
            what = f"expected one of {', '.join(MODALITIES)}, got {self.modality!r}"
            raise InputError(what, where="mask")

    @property
    def marker(self) -> str:
        if self.ch_name:
            return f"affectscope/{'bad' if self.masked else 'good'}/{self.ch_name}"
        return f"affectscope/{'unplug' if self.masked else 'plug'}/{self.modality}"

    @property
    def sentence(self) -> str:
        if self.ch_name:
            what = "marked bad" if self.masked else "no longer marked bad"
            return f"electrode {self.ch_name}: {what} here, as in the live run"
        what = "masked manually" if self.masked else "unmasked"
        return f"{self.modality}: {what} here, as in the live run"


@dataclass(frozen=True)
class Rest:
    """A participant's rest, which sets their level, begins with the first window that ends at ``time``."""

    time: float
    duration_s: float  # whole seconds; 0 ends a rest early

    @property
    def marker(self) -> str:
        return f"affectscope/rest/{self.duration_s:.0f}"

    @property
    def sentence(self) -> str:
        what = f"a rest of {self.duration_s:g} s begins" if self.duration_s else "the rest was ended early"
        return f"{what} here, as in the live run"


@dataclass(frozen=True)
class CheckMark:
    """A self-check's question, answer or undoing, before the first window that ends at ``time`` or later."""

    time: float
    what: str  # as `calibration.check.SelfCheck.take` takes it

    @property
    def marker(self) -> str:
        return f"affectscope/check/{self.what if self.what in (ASKED, UNDO) else f'felt/{self.what}'}"


Recorded = MaskChange | Rest | CheckMark
C = TypeVar("C", bound=Recorded)


def read_change(text: str, time: float) -> Recorded | None:
    """Return what a marker's text notes; None for any other marker."""
    if match := _CHECK.fullmatch(text):
        return CheckMark(time, match[1] or match[2])
    if match := _REST.fullmatch(text):
        return Rest(time, float(match[1]))
    if match := _ELECTRODE.fullmatch(text):
        return MaskChange(time, "eeg", match[1] == "bad", match[2])
    match = _MARKER.fullmatch(text)
    return MaskChange(time, match[2], match[1] == "unplug") if match else None


class ModalityMask:
    """What is masked, and who rests, in which window; may be read and changed from different threads.

    ``recorded`` are the changes that a recording holds of its live session.
    """

    def __init__(self, recorded: Iterable[Recorded] = ()) -> None:
        self._changes = tuple(sorted(recorded, key=attrgetter("time")))
        self._settled: dict[tuple[str, str], bool] = {}  # manually, for all windows
        self._newest_window = -math.inf
        self._newest_change = -math.inf
        self._lock = threading.Lock()

    def masked_at(self, t: float) -> tuple[str, ...]:
        """Return what is masked in a window that ends at ``t``, in the order of `MODALITIES`."""
        state = self._state(t)
        return tuple(modality for modality in MODALITIES if state.get((modality, ""), False))

    def marked_bad_at(self, t: float) -> tuple[str, ...]:
        """Return the electrodes marked bad in a window that ends at ``t``, sorted."""
        return tuple(sorted(name for (_, name), masked in self._state(t).items() if name and masked))

    def _state(self, t: float) -> dict[tuple[str, str], bool]:
        changes = (c for c in self._changes if isinstance(c, MaskChange) and c.time <= t)
        return {(c.modality, c.ch_name): c.masked for c in changes} | self._settled

    def of_window(self, t_end: float) -> frozenset[str]:
        """Return the same of a window that is being decoded; no later change reaches back to it."""
        with self._lock:
            self._newest_window = max(self._newest_window, t_end)
            return frozenset(self.masked_at(t_end))

    def rest_at(self, t: float) -> Rest | None:
        """Return the newest rest at ``t``, or its early end; None before the first and after a whole one."""
        rests = (c for c in self._changes if isinstance(c, Rest) and c.time <= t)
        rest = max(rests, key=attrgetter("time"), default=None)
        return rest if rest is not None and (not rest.duration_s or t < rest.time + rest.duration_s) else None

    def between(self, after: float, to: float) -> list[MaskChange | Rest]:
        """Return the changes with ``after < time <= to`` that are in force."""
        in_time = (c for c in self._changes if after < c.time <= to and not isinstance(c, CheckMark))
        return [c for c in in_time if isinstance(c, Rest) or (c.modality, c.ch_name) not in self._settled]

    def checks(self, after: float, to: float) -> list[CheckMark]:
        """Return the self-check's marks with ``after < time <= to``."""
        return [c for c in self._changes if isinstance(c, CheckMark) and after < c.time <= to]

    def add(self, change: C, hop_s: float) -> C:
        """Let a change hold from the next window on that is not decoded yet, and return it with its time.

        ``change`` has the time at which it was made; windows end at multiples of ``hop_s``.
        """
        with self._lock:
            change = replace(change, time=self._free_time(change.time, hop_s))
            self._changes = (*self._changes, change)
            return change

    def restated(self, now: float, hop_s: float) -> list[MaskChange]:
        """Return what is masked now as changes made now, for a recording that has just begun."""
        with self._lock:
            time = self._free_time(now, hop_s)
            state = self._state(math.inf)
            return [MaskChange(time, m, True, name) for (m, name), masked in state.items() if masked]

    def settle(self, modality: str, masked: bool, ch_name: str = "") -> None:
        """Mask or unmask a modality, or one electrode, in all windows, overriding what was recorded."""
        change = MaskChange(-math.inf, modality, masked, ch_name)
        self._settled = {**self._settled, (change.modality, ch_name): masked}

    def _free_time(self, now: float, hop_s: float) -> float:
        """Return about ``now``, past the newest window and change, and away from the end of any window.

        Were it at the end of a window, a recording's clock offset could carry it across.
        """
        time = max(now, self._newest_window + _MARGIN_S, self._newest_change)
        t_end = round(time / hop_s) * hop_s
        if abs(time - t_end) < _MARGIN_S:
            time = t_end + _MARGIN_S
        self._newest_change = time
        return time
