"""How far two runs' predictions agree, window by window: live against the replay of its recording."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from acquisition.errors import InputError

#: Windows of two runs are the same one when their ends differ by less than this, seconds.
_SAME_TIME_S = 1e-6


@dataclass(frozen=True)
class Comparison:
    """Agreement over the windows both runs have with their whole context."""

    n_a: int
    n_b: int
    n_common: int  # same t_end in both
    n_warm_up: int  # of those, left out: the context was not whole in one of them
    n_compared: int
    same_label: float  # share of the compared windows, NaN-free: 0 when nothing was compared
    max_abs_dp: float
    mean_abs_dp: float
    n_present_differs: int
    worst_t_end: float | None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def compare_runs(path_a: Path, path_b: Path) -> Comparison:
    """Compare two JSONL files of predictions.

    Raises
    ------
    InputError
        A file cannot be read, is no JSONL of predictions, or the labels differ.
    """
    a, b = _read(path_a), _read(path_b)
    pairs = [(a[t], b[t]) for t in sorted(a.keys() & b.keys())]
    whole = [(x, y) for x, y in pairs if not (x["warm_up"] or y["warm_up"])]
    for x, y in whole[:1]:
        if x["probs"].keys() != y["probs"].keys():
            raise InputError(
                f"expected the same labels, found {sorted(x['probs'])} and {sorted(y['probs'])}",
                where=f"{path_a} and {path_b}",
                remedy="compare runs of the same model",
            )
    differences = [max(abs(x["probs"][k] - y["probs"][k]) for k in x["probs"]) for x, y in whole]
    n = len(whole)
    worst = max(range(n), key=differences.__getitem__) if n else None
    return Comparison(
        n_a=len(a),
        n_b=len(b),
        n_common=len(pairs),
        n_warm_up=len(pairs) - n,
        n_compared=n,
        same_label=sum(x["label"] == y["label"] for x, y in whole) / n if n else 0.0,
        max_abs_dp=max(differences, default=0.0),
        mean_abs_dp=sum(differences) / n if n else 0.0,
        n_present_differs=sum(x["present"] != y["present"] for x, y in whole),
        worst_t_end=None if worst is None else whole[worst][0]["t_end"],
    )


def _read(path: Path) -> dict[int, dict[str, Any]]:
    """Return a file's predictions by their t_end in whole microseconds."""
    records: dict[int, dict[str, Any]] = {}
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                record = json.loads(line)
                missing = [
                    key for key in ("t_end", "label", "probs", "present", "warm_up") if key not in record
                ]
                if missing:
                    raise InputError(f"line {number} lacks {', '.join(missing)}", where=str(path))
                records[round(record["t_end"] / _SAME_TIME_S)] = record
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror}", where=str(path)) from error
    except (ValueError, TypeError, UnicodeDecodeError) as error:
        raise InputError(
            f"line {number} is no JSON object: {error}",
            where=str(path),
            remedy="give a file written by --jsonl",
        ) from error
    return records
