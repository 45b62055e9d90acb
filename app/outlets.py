"""The program's own LSL streams: predictions, clock map, calibration markers and notes.

They are recorded with the streams in use. A replay of such a recording follows the recorded clock map and so
reproduces the live run.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import chain

from acquisition.errors import printable, without_controls
from acquisition.header import (
    CLOCK_TYPE,
    NOTES_ID,
    PREDICTION_ID,
    PREDICTION_TYPE,
    make_info,
    parse_header,
)
from acquisition.lsl.outlet import open_outlet
from acquisition.types import Lateness, MapSegment
from app.outputs import prediction_channels, prediction_values
from models.prediction import Prediction

_MAX_LENGTH = 2000  # characters of a note


class Outlet:
    """One irregular LSL stream, which exists from the construction to `close`.

    ``channels`` describe float channels; without any, the stream has one text channel.
    """

    def __init__(
        self, name: str, kind: str, source_id: str, channels: Sequence[Mapping[str, str]] = ()
    ) -> None:
        form = "double64" if channels else "string"
        desc = {"channels": {"channel": list(channels)}} if channels else None
        info = make_info(name, kind, form, source_id, n_channels=len(channels) or 1, desc=desc)
        self.header = parse_header(info.as_xml())
        self._outlet = open_outlet(info)

    def push(self, text: str, time: float) -> str:
        """Send a text stamped with ``time``, LSL seconds, and return it as it was sent."""
        text = without_controls(text)
        self._outlet.push_sample([text], time)
        return text

    def close(self) -> None:
        del self._outlet


def new_id(prefix: str) -> str:
    """Return a ``source_id`` for one run."""
    return f"{prefix}{uuid.uuid4().hex[:12]}"


class PredictionOutlet(Outlet):
    """Probabilities, attention and verdict as a float stream, stamped with the window's end."""

    def __init__(self, labels: tuple[str, ...]) -> None:
        self._labels = labels
        source_id = new_id(PREDICTION_ID)
        super().__init__("Affectscope predictions", PREDICTION_TYPE, source_id, prediction_channels(labels))

    def write(self, prediction: Prediction) -> None:
        self._outlet.push_sample(prediction_values(prediction, self._labels), prediction.t_end)


class ClockOutlet(Outlet):
    """What a replay needs to follow the live run, one JSON object a sample.

    Segments of every stream's clock map as they take effect, pauses in what was taken, and what was late.
    """

    def __init__(self) -> None:
        super().__init__("Affectscope clock map", CLOCK_TYPE, new_id("affectscope-clock-"))

    def publish(self, *entries: Sequence[MapSegment | Lateness]) -> None:
        """Push what happened since the last call."""
        for entry in chain(*entries):
            self._outlet.push_sample([json.dumps(asdict(entry))])


class NoteOutlet(Outlet):
    """The stream ``Affectscope notes``; open it after the search for streams, which would find it."""

    def __init__(self) -> None:
        super().__init__("Affectscope notes", "Markers", new_id(NOTES_ID))

    def push(self, text: str, time: float) -> str:
        """Send a note on one line, unless it is empty."""
        line = printable(text[: 4 * _MAX_LENGTH])[:_MAX_LENGTH]
        return super().push(line, time) if line else ""
