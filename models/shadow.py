"""A shadow of the evidence in use: what the answer would be by a copy that self-reports have updated.

See `calibration.check`, which updates and promotes it.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from models.fusion import weighed
from models.level import AnswerFilter, Evidence, Given
from models.window_batch import NetworkInput


class Shadow:
    """Answers of ``evidence``, which may be replaced while the session runs."""

    def __init__(self, evidence: Evidence, hop_s: float) -> None:
        self.evidence, self._hop_s = evidence, hop_s
        self._weights = torch.tensor(evidence.config.weights)
        self.restart()

    def restart(self) -> None:
        """Forget the windows before: what comes next does not continue them."""
        self._filter = AnswerFilter(self.evidence.config, self._hop_s)

    def logits(
        self, index: int, inputs: NetworkInput, output: Mapping[str, Tensor], given: Mapping[str, Given]
    ) -> Tensor:
        """Return the logits (n_labels,) at a window, whose ``output`` is that of the evidence in use."""
        change = self.evidence.scores(given)[None] - inputs.evidence
        gates = output["modality_attention"], inputs.present, inputs.reliability
        return self._filter(index, (output["logits"] + weighed(change, self._weights, *gates))[0])
