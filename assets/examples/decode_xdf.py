"""Decode a recording in Python: ``python decode_xdf.py [FILE.xdf]``.

Without a file it decodes the minute of simulated data that ships with the program.
"""

import sys
from pathlib import Path

from app.replay import ReplaySession
from app.request import ReplayRequest, SessionOptions
from assets import DEMO_RECORDING
from models.prediction import Prediction


class Collector:
    """An output, like the JSONL file of ``--jsonl``: it gets every prediction in order."""

    def __init__(self) -> None:
        self.predictions: list[Prediction] = []

    def write(self, prediction: Prediction) -> None:
        """Take one prediction."""
        self.predictions.append(prediction)

    def close(self) -> None:
        """Nothing to finish."""


def decode(path: Path) -> list[Prediction]:
    """Return the predictions for a recording, one every 0.25 s."""
    collector = Collector()
    request = ReplayRequest(path, SessionOptions(extra_sinks=(collector,)))
    ReplaySession(request).run(lambda share: None)
    return collector.predictions


if __name__ == "__main__":
    for prediction in decode(Path(sys.argv[1]) if len(sys.argv) > 1 else DEMO_RECORDING):
        top = max(prediction.probs, key=prediction.probs.__getitem__)
        missing = [modality for modality, is_there in prediction.present.items() if not is_there]
        print(f"{prediction.t_end:.2f} s  {top} {prediction.probs[top]:.0%}  missing: {missing or 'nothing'}")
