"""The program's own LSL streams: its predictions and its clock map, so that a recording holds both.

A replay of such a recording follows the recorded clock map and so repeats the live run.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import asdict

from acquisition.header import CALIBRATION_ID, CLOCK_TYPE, NOTES_ID, PREDICTION_TYPE, parse_header
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


def new_source_id() -> str:
    """Return a ``source_id`` for the markers of one run."""
    return f"{CALIBRATION_ID}{uuid.uuid4().hex[:12]}"


class MarkerOutlet:
    """The stream ``Affectscope calibration``; open it before the recording begins, which shall hold it.

    Parameters
    ----------
    source_id : str
        From `new_source_id`; simulated devices are told it before there is an outlet.
    """

    def __init__(self, source_id: str) -> None:
        from pylsl import StreamInfo, StreamOutlet

        info = StreamInfo("Affectscope calibration", "Markers", 1, 0.0, "string", source_id)
        self.header = parse_header(info.as_xml())
        self._outlet = StreamOutlet(info)

    def push(self, text: str, time: float) -> None:
        """Send a marker stamped with ``time``, LSL seconds."""
        self._outlet.push_sample([text], time)

    def close(self) -> None:
        """Withdraw the stream."""
        del self._outlet


_MAX_LENGTH = 2000


class NoteOutlet:
    """The stream ``Affectscope notes``; open it after the search for streams, which would find it."""

    def __init__(self) -> None:
        from pylsl import StreamInfo, StreamOutlet

        info = StreamInfo(
            "Affectscope notes", "Markers", 1, 0.0, "string", f"{NOTES_ID}{uuid.uuid4().hex[:12]}"
        )
        self.header = parse_header(info.as_xml())
        self._outlet = StreamOutlet(info)

    def push(self, text: str, time: float) -> str:
        """Send a note, on one line, and return it as it was sent; nothing is sent of an empty one.

        Parameters
        ----------
        time : float
            LSL seconds.
        """
        line = " ".join(text.split())[:_MAX_LENGTH]
        if line:
            self._outlet.push_sample([line], time)
        return line

    def close(self) -> None:
        """Withdraw the stream."""
        del self._outlet
