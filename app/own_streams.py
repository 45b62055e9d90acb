"""The program's own LSL streams: its predictions and its clock map, so that a recording holds both.

A replay of such a recording follows the recorded clock map and so repeats the live run.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import asdict

from acquisition.header import CLOCK_TYPE, PREDICTION_TYPE
from acquisition.types import MODALITIES, MapSegment, StreamHeader
from models.prediction import Prediction


class PredictionOutlet:
    """Probabilities and modality attention as a float stream, stamped with the window's end."""

    def __init__(self, labels: tuple[str, ...]) -> None:
        from pylsl import StreamInfo, StreamOutlet

        self._labels = labels
        names = [f"p_{label}" for label in labels] + [f"attention_{m}" for m in MODALITIES]
        info = StreamInfo(
            "Affectscope predictions",
            PREDICTION_TYPE,
            len(names),
            0.0,
            "double64",
            f"affectscope-prediction-{uuid.uuid4().hex[:12]}",
        )
        channels = info.desc().append_child("channels")
        for name in names:
            channel = channels.append_child("channel")
            channel.append_child_value("label", name)
            channel.append_child_value("unit", "probability" if name.startswith("p_") else "weight")
        self.header = _header(info)
        self._outlet = StreamOutlet(info)

    def write(self, prediction: Prediction) -> None:
        """Push one prediction."""
        values = [prediction.probs[label] for label in self._labels]
        values += [prediction.modality_attention[modality] for modality in MODALITIES]
        self._outlet.push_sample(values, prediction.t_end)

    def close(self) -> None:
        """Withdraw the stream."""
        del self._outlet


class ClockOutlet:
    """The pieces of every stream's clock map as they come into force, one JSON object a sample."""

    def __init__(self) -> None:
        from pylsl import StreamInfo, StreamOutlet

        info = StreamInfo(
            "Affectscope clock map",
            CLOCK_TYPE,
            1,
            0.0,
            "string",
            f"affectscope-clock-{uuid.uuid4().hex[:12]}",
        )
        self.header = _header(info)
        self._outlet = StreamOutlet(info)

    def publish(self, segments: Iterable[MapSegment]) -> None:
        """Push the segments that began since the last call."""
        for segment in segments:
            self._outlet.push_sample([json.dumps(asdict(segment))])

    def close(self) -> None:
        """Withdraw the stream."""
        del self._outlet


def _header(info) -> StreamHeader:
    from acquisition.header import parse_header

    return parse_header(info.as_xml())
