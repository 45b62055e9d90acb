"""Writes a copy of a recording with the predictions of its replay in it (``replay --record``)."""

from __future__ import annotations

import shutil
from pathlib import Path

from acquisition.errors import InputError
from acquisition.header import PREDICTION_TYPE
from acquisition.record.recorder import check_target
from acquisition.types import MODALITIES
from acquisition.xdf.write import XdfWriter
from models.prediction import Prediction

_AT_ONCE = 100  # predictions a chunk


class AnnotatedCopySink:
    """Appends predictions as one more stream to a copy of the recording.

    Parameters
    ----------
    recording : Path
        Copied as it is.
    target : Path
        Must not exist.
    labels : tuple of str
    stream_id : int
        One that the recording does not use.

    Raises
    ------
    InputError
        If the target exists or cannot be written.
    """

    def __init__(self, recording: Path, target: Path, labels: tuple[str, ...], stream_id: int) -> None:
        check_target(target)
        try:
            shutil.copyfile(recording, target)
        except OSError as error:
            raise InputError(f"cannot write: {error.strerror}", where=f"--record {target}") from error
        self._labels, self._stream_id = labels, stream_id
        self._writer = XdfWriter(target, append=True)
        self._writer.add_stream(stream_id, _header_xml(labels))
        self._waiting: list[Prediction] = []
        self._n_written = 0

    def write(self, prediction: Prediction) -> None:
        """Take one prediction."""
        self._waiting.append(prediction)
        if len(self._waiting) >= _AT_ONCE:
            self._flush()

    def close(self) -> None:
        """Finish the file."""
        self._flush()
        self._writer.footer(self._stream_id, f"<info><sample_count>{self._n_written}</sample_count></info>")
        self._writer.close()

    def _flush(self) -> None:
        if not self._waiting:
            return
        rows = [
            [p.probs[label] for label in self._labels] + [p.modality_attention[m] for m in MODALITIES]
            for p in self._waiting
        ]
        self._writer.samples(self._stream_id, [p.t_end for p in self._waiting], rows)
        self._n_written += len(self._waiting)
        self._waiting = []


def _header_xml(labels: tuple[str, ...]) -> str:
    names = [f"p_{label}" for label in labels] + [f"attention_{modality}" for modality in MODALITIES]
    channels = "".join(f"<channel><label>{name}</label></channel>" for name in names)
    return (
        '<?xml version="1.0"?><info><name>Affectscope predictions (replay)</name>'
        f"<type>{PREDICTION_TYPE}</type>"
        f"<channel_count>{len(names)}</channel_count><nominal_srate>0</nominal_srate>"
        "<channel_format>double64</channel_format><source_id>affectscope-replay</source_id>"
        f"<desc><channels>{channels}</channels></desc></info>"
    )
