"""One measured figure beside its reference, and how two functions are timed against each other."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from acquisition.clock import stopwatch

#: Told in a few words what is being measured.
Say = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """A line of the table.

    ``ok`` is the outcome of a measurement, never a wish: False where nothing could be measured.
    """

    name: str
    ours: float | None  # in ``unit``; None where it could not be measured
    reference: float | None
    reference_name: str
    unit: str
    ratio: float | None  # ours / reference
    target: str
    ok: bool
    detail: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def row(
    name: str,
    ours: float,
    reference: float,
    reference_name: str,
    unit: str,
    target: str,
    ok: Callable[[float, float], bool],
    detail: Mapping[str, Any] | None = None,
) -> Row:
    """Return a row with its ratio; ``ok`` is asked with ours and the ratio, either of which may be NaN."""
    ratio = ours / reference if reference else math.nan
    return Row(
        name=name,
        ours=_finite(ours),
        reference=_finite(reference),
        reference_name=reference_name,
        unit=unit,
        ratio=_finite(ratio),
        target=target,
        ok=bool(ok(ours, ratio)),  # a comparison with NaN is False
        detail=dict(detail or {}),
    )


def _finite(value: float) -> float | None:
    """Return the value, None where it is not finite: JSON knows no NaN."""
    return value if math.isfinite(value) else None


def failed_row(name: str, target: str, reason: str) -> Row:
    """Return the row of something that could not be measured."""
    return Row(name, None, None, "", "", None, target, False, {"error": reason})


@dataclass(frozen=True)
class Timing:
    """Seconds a call took."""

    median_s: float
    best_s: float


def interleaved(functions: Mapping[str, Callable[[], Any]], n_rounds: int) -> dict[str, Timing]:
    """Time functions turn by turn, so that what else the machine does hits all of them.

    Every function runs once before the clock does.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(n_rounds):
        for name, function in functions.items():
            began = stopwatch()
            function()
            seconds[name].append(stopwatch() - began)
    return {name: Timing(statistics.median(took), min(took)) for name, took in seconds.items()}
