"""Notes typed in the window, as markers on the network and in the recording."""

from __future__ import annotations

import uuid

from acquisition.header import NOTES_ID, parse_header

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
