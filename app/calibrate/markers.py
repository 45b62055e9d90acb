"""The markers of a session on the network, and so in its recording."""

from __future__ import annotations

import uuid

from acquisition.header import CALIBRATION_ID, parse_header


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
