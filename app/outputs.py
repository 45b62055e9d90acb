"""Sinks of predictions: JSONL, CSV, digest, and a copy of the recording with predictions in it.

Floats are written in full, so that a file read back has the same numbers.
"""

import contextlib
import hashlib
import io
import math
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from acquisition.errors import ErrorCode, InputError, file_errors
from acquisition.header import PREDICTION_TYPE, make_info
from acquisition.record.recorder import check_target
from acquisition.text import TableWriter, json_text
from acquisition.types import MODALITIES, StreamLedger
from acquisition.xdf.write import XdfWriter
from models.prediction import Prediction
from models.trust import STATES


class Sink(Protocol):
    """Takes predictions in order."""

    def write(self, prediction: Prediction) -> None:
        """Take one prediction."""

    def close(self) -> None:
        """Finish what was begun."""


#: Fields of a prediction that a line of JSON has as they are.
_RECORDED: tuple[str, ...] = ("t_end", "label", "probs", "modality_attention", "channel_attention")
_RECORDED += ("time_attention", "present", "coverage", "waited_s", "warm_up", "normalisation", "marked_bad")


def prediction_record(prediction: Prediction) -> dict[str, Any]:
    """Return what a line of JSON says of a prediction, for `json_text`."""
    face, verdict = prediction.face_measures, prediction.verdict
    return {name: getattr(prediction, name) for name in _RECORDED} | {
        "latency_ms": asdict(prediction.latency),
        "verdict": {
            "state": verdict.state,
            "safe_to_act": verdict.safe_to_act,
            "answer": verdict.answer,
            "set_90": verdict.set_90 or None,  # the model does not know it
            "set_80": verdict.set_80 or None,
            "needed": verdict.needed,
            "reliability": verdict.reliability or None,
            "reasons": [
                {"code": reason.code, "severity": reason.severity, **reason.facts}
                for reason in verdict.reasons
            ],
        },
        "face_landmarks": face and asdict(face),
        "agreement": prediction.agreement,
        "level_trials": prediction.level_trials,
    }


def prediction_channels(labels: tuple[str, ...]) -> list[dict[str, str]]:
    """Return label, unit and description of each value of `prediction_values`, as streams state them."""

    def each(prefix: str, names: Iterable[str], unit: str, words: str) -> list[dict[str, str]]:
        return [{"label": f"{prefix}{name}", "unit": unit, "description": words} for name in names]

    def numbered(names: Iterable[str]) -> str:
        return ", ".join(f"{at} {name}" for at, name in enumerate(names))

    sets = [
        (f"set{level}_", f"1: in the set that holds the true emotion in {level} % of trials; NaN: no sets")
        for level in (90, 80)
    ]
    return [
        *each("p_", labels, "probability", "of the emotion"),
        *each("attention_", MODALITIES, "weight", "of the modality"),
        *each("", ["state"], "code", numbered(STATES)),
        *each("", ["safe_to_act"], "flag", "1: certain, by fitted figures whose conditions hold"),
        *each("", ["answer"], "index", f"-1: none, {numbered(labels)}"),
        *(channel for prefix, words in sets for channel in each(prefix, labels, "flag", words)),
        *each("reliability_", MODALITIES, "share", "0 to 1; NaN: not known"),
        *each("", ["agreement"], "correlation", "of what the modalities say; NaN: not known yet"),
        *each("", ["level_trials"], "trials", "worth of data of the running level; NaN: none runs"),
    ]


def prediction_values(prediction: Prediction, labels: tuple[str, ...]) -> list[float]:
    """Return the values that `prediction_channels` describes."""
    verdict = prediction.verdict
    return [
        *(prediction.probs[label] for label in labels),
        *(prediction.modality_attention[modality] for modality in MODALITIES),
        float(STATES.index(verdict.state)),
        float(verdict.safe_to_act),
        -1.0 if verdict.answer is None else float(labels.index(verdict.answer)),
        *(
            float(label in members) if members else math.nan
            for members in (verdict.set_90, verdict.set_80)
            for label in labels
        ),
        *(verdict.reliability.get(modality, math.nan) for modality in MODALITIES),
        prediction.agreement,
        prediction.level_trials,
    ]


def _open_at_once(path: str, flags: int) -> int:
    """Open a file; a FIFO that no program reads fails, as it would wait for ever."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)
    if hasattr(os, "O_NONBLOCK"):
        os.set_blocking(descriptor, True)
    return descriptor


class _TextSink:
    """A text file that an option names; what cannot be written whole, as on a full disk, leaves no part."""

    def __init__(self, path: Path, option: str, begins: tuple[bytes, ...]) -> None:
        self._where, self._n_bytes = f"{option} {path}", 0
        with _writing(self._where):
            path.parent.mkdir(parents=True, exist_ok=True)
            refuse_other(path, self._where, begins)
            self._file = open(path, "wb", buffering=0, opener=_open_at_once)  # noqa: SIM115 - as the sink is

    def _append(self, text: str) -> None:
        data = memoryview(text.encode())
        n_bytes = len(data)
        with _writing(self._where):
            try:
                while data:
                    data = data[self._file.write(data) :]
            except OSError:
                with contextlib.suppress(OSError):
                    self._file.truncate(self._n_bytes)
                    self._file.seek(self._n_bytes)
                raise
        self._n_bytes += n_bytes

    def close(self) -> None:
        with _writing(self._where):
            self._file.close()


class JsonlSink(_TextSink):
    """One JSON object a line; the last one has no prediction but ``ledger``, what became of the samples.

    ``remark`` is added to every line: a line may be read without those before it.
    """

    def __init__(
        self,
        path: Path,
        remark: Mapping[str, Any] = MappingProxyType({}),
        ledgers: Callable[[], Iterable[StreamLedger]] = tuple,
    ) -> None:
        super().__init__(path, "--jsonl", (b'{"t_end"', b'{"ledger"'))
        self._remark, self._ledgers, self._n = dict(remark), ledgers, 0

    def write(self, prediction: Prediction) -> None:
        self._append(json_text(prediction_record(prediction) | self._remark) + "\n")
        self._n += 1

    def close(self) -> None:
        """Append what became of the samples, also where no prediction was made."""
        last = {"ledger": [asdict(one) for one in self._ledgers()], "n_predictions": self._n}
        with contextlib.closing(self._file):
            self._append(json_text(last | self._remark) + "\n")


class CsvSink(_TextSink):
    """One row a prediction: time, label, probabilities, attention and presence, then the verdict."""

    def __init__(self, path: Path, labels: tuple[str, ...]) -> None:
        super().__init__(path, "--csv", (b"t_end_s,",))
        self._labels = labels
        prefixes = (
            ("p", labels),
            ("attention", MODALITIES),
            ("present", MODALITIES),
            ("reliability", MODALITIES),
        )
        p, attention, present, reliability = ([f"{of}_{name}" for name in names] for of, names in prefixes)
        verdict = ("state", "safe_to_act", "answer", "set_90", "set_80", *reliability)
        names = ("t_end_s", "label", *p, *attention, *present, "warm_up", "total_ms", *verdict)
        self._row([*names, "agreement", "level_trials", "marked_bad"])

    def _row(self, values: Iterable[Any]) -> None:
        line = io.StringIO(newline="")
        TableWriter(line).writerow(values)
        self._append(line.getvalue())

    def write(self, prediction: Prediction) -> None:
        verdict = prediction.verdict
        self._row(
            [repr(prediction.t_end), prediction.label]
            + [repr(prediction.probs[label]) for label in self._labels]
            + [repr(prediction.modality_attention[modality]) for modality in MODALITIES]
            + [int(prediction.present[modality]) for modality in MODALITIES]
            + [int(prediction.warm_up), repr(prediction.latency.total)]
            + [verdict.state, int(verdict.safe_to_act), verdict.answer or ""]
            + [" ".join(verdict.set_90), " ".join(verdict.set_80)]
            + [repr(verdict.reliability[m]) if m in verdict.reliability else "" for m in MODALITIES]
            + ["" if math.isnan(x) else repr(x) for x in (prediction.agreement, prediction.level_trials)]
            + [" ".join(prediction.marked_bad)]
        )


def network_features(prediction: Prediction) -> dict[str, Any]:
    """Return the tensors that the network was given, by modality, without left context."""
    inputs = prediction.inputs
    assert inputs is not None
    return {
        "eeg": inputs.eeg[0, :, -len(prediction.time_attention) :],
        "eye": inputs.eye[0],
        "face": inputs.face_tokens[0],
        "voice": inputs.voice_tokens[0],
    }


class DigestSink:
    """A SHA-256 over everything a replay must reproduce: times, features, outputs, masks."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.n_windows = 0

    def write(self, prediction: Prediction) -> None:
        update = self._hash.update
        update(np.float64(prediction.t_end).tobytes())
        for name, values in network_features(prediction).items():
            update(name.encode())
            update(np.ascontiguousarray(values.numpy()).tobytes())
        for values in (prediction.probs, prediction.modality_attention, prediction.channel_attention):
            update("|".join(values).encode())
            update(np.array(list(values.values()), dtype=np.float64).tobytes())
        update(np.array(prediction.time_attention, dtype=np.float64).tobytes())
        update(bytes(prediction.present[modality] for modality in MODALITIES))
        update(np.array([prediction.coverage[m] for m in MODALITIES], dtype=np.float64).tobytes())
        self.n_windows += 1

    def close(self) -> None:
        """Nothing to finish."""

    def line(self) -> str:
        """Return ``sha256 <hex> windows <n>``."""
        return f"sha256 {self._hash.hexdigest()} windows {self.n_windows}"


def _writing(where: str) -> AbstractContextManager[None]:
    """Name the file and the remedy when it cannot be written, or the disk is full or gone."""
    return file_errors("cannot write", where, "free some space, or choose another file")


def refuse_other(path: Path, where: str, begins: tuple[bytes, ...]) -> None:
    """Output of an earlier run may be overwritten: an existing file that ``begins`` otherwise may not.

    Raises `InputError` for a recording, a model's or any other file that holds something else.
    """
    if not path.is_file():
        return
    with path.open("rb") as file:
        head = file.read(64)
    if head and not head.lower().startswith(begins):
        what = "expected a new file or an earlier run's output, found another file"
        raise InputError(what, where=where, remedy="choose another file", code=ErrorCode.FILE)


_AT_ONCE = 100  # predictions a chunk


class AnnotatedCopySink:
    """Appends predictions as one more stream to a copy of the recording.

    The recording must not use ``stream_id``. Raises `InputError` if the target exists or cannot be written.
    """

    def __init__(self, recording: Path, target: Path, labels: tuple[str, ...], stream_id: int) -> None:
        check_target(target)
        with _writing(f"--record {target}"):
            shutil.copyfile(recording, target)
        self._labels, self._stream_id = labels, stream_id
        self._writer = XdfWriter(target, append=True)
        channels = prediction_channels(labels)
        info = make_info(
            "Affectscope predictions (replay)",
            PREDICTION_TYPE,
            "double64",
            "affectscope-replay",
            n_channels=len(channels),
            desc={"channels": {"channel": channels}},
        )
        self._writer.add_stream(stream_id, info.as_xml())
        self._waiting: list[Prediction] = []
        self._n_written = 0

    def write(self, prediction: Prediction) -> None:
        self._waiting.append(prediction)
        if len(self._waiting) >= _AT_ONCE:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.footer(self._stream_id, f"<info><sample_count>{self._n_written}</sample_count></info>")
        self._writer.close()

    def _flush(self) -> None:
        if not self._waiting:
            return
        rows = [prediction_values(prediction, self._labels) for prediction in self._waiting]
        self._writer.samples(self._stream_id, [p.t_end for p in self._waiting], rows)
        self._n_written += len(self._waiting)
        self._waiting = []
