"""Compares the predictions of two runs window by window, e.g. a live run and the replay of its recording."""

import math
from pathlib import Path
from typing import Any

from acquisition.errors import ErrorCode, InputError, file_errors, open_regular
from acquisition.text import parse_json

#: Windows of two runs are the same one when their ends differ by less than this, seconds.
_SAME_TIME_S = 1e-6


class Comparison:
    """Agreement of two JSONL files of predictions, over the windows that both have with complete context.

    Raises `InputError`: a file cannot be read, is not JSONL of predictions, the labels differ, or no window
    is in both.
    """

    def __init__(self, path_a: Path, path_b: Path) -> None:
        a, b = _read(path_a), _read(path_b)
        pairs = [(a[t], b[t]) for t in sorted(a.keys() & b.keys())]  # same t_end in both
        if not pairs:
            what = f"no window is in both: {len(a)} and {len(b)} predictions"
            remedy = "compare runs of one recording with the same model"
            raise InputError(what, where=f"{path_a} and {path_b}", remedy=remedy, code=ErrorCode.DATA)
        compared = [(x, y) for x, y in pairs if not (x["warm_up"] or y["warm_up"])]
        for x, y in compared[:1]:
            if x["probs"].keys() != y["probs"].keys():
                what = f"expected the same labels, found {sorted(x['probs'])} and {sorted(y['probs'])}"
                remedy = "compare runs of the same model"
                raise InputError(what, where=f"{path_a} and {path_b}", remedy=remedy, code=ErrorCode.DATA)
        differences = [max(abs(x["probs"][k] - y["probs"][k]) for k in x["probs"]) for x, y in compared]
        has_verdicts = all("verdict" in record for pair in compared for record in pair)
        n = len(compared)
        self.n_a, self.n_b, self.n_common = len(a), len(b), len(pairs)
        self.n_warm_up, self.n_compared = len(pairs) - n, n  # still warming up in one of the runs; the others
        self.same_label = sum(x["label"] == y["label"] for x, y in compared) / n if n else 0.0
        self.max_abs_dp = max(differences, default=0.0)
        self.mean_abs_dp = sum(differences) / n if n else 0.0
        self.n_present_differs = sum(x["present"] != y["present"] for x, y in compared)
        #: State, answer, sets or safe_to_act; None where a file has no verdicts.
        self.n_verdict_differs = (
            sum(_verdict(x) != _verdict(y) for x, y in compared) if has_verdicts else None
        )
        self.worst_t_end = compared[differences.index(self.max_abs_dp)][0]["t_end"] if n else None


def _read(path: Path) -> dict[int, dict[str, Any]]:
    """Return a file's predictions by their t_end in whole microseconds."""
    records: dict[int, dict[str, Any]] = {}
    number = 0
    try:
        with file_errors("cannot read", path), open_regular(path) as file:
            for line in file:
                number += 1
                found = parse_json(line)
                if not (isinstance(found, dict) and "ledger" in found):  # of the samples, at the end
                    t_end, record = _prediction(found)
                    records[t_end] = record
    except ValueError as error:  # no UTF-8 and no JSON are ValueErrors too
        what = f"line {number} is not a prediction: {error}"
        remedy = "give a file written by --jsonl"
        raise InputError(what, where=str(path), remedy=remedy, code=ErrorCode.FILE, line=number) from error
    return records


def _prediction(record: Any) -> tuple[int, dict[str, Any]]:
    if not isinstance(record, dict):
        raise ValueError("expected a JSON object")
    if missing := [key for key in ("t_end", "label", "probs", "present", "warm_up") if key not in record]:
        raise ValueError(f"missing: {', '.join(missing)}")
    t_end, probs = record["t_end"], record["probs"]
    if not (_is_number(t_end) and isinstance(probs, dict) and probs and all(map(_is_number, probs.values()))):
        raise ValueError("expected numbers in t_end and probs")
    return round(t_end / _SAME_TIME_S), record


def _verdict(record: dict[str, Any]) -> tuple[Any, ...]:
    verdict = record["verdict"]
    return tuple(verdict.get(name) for name in ("state", "safe_to_act", "answer", "set_90", "set_80"))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
