"""What of its input a classifier is given in a test: all, one modality alone, or EEG with channels hidden."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.datasets.types import Trial

#: Shares of the EEG channels hidden, as in Table 4 of the MMV-SSTMA paper.
MASKS = (0.3, 0.5, 0.7)
_NAMES = {"eeg": "EEG", "eye": "eyes"}


@dataclass(frozen=True)
class Condition:
    """One way to give a classifier its input."""

    words: str  # which modalities
    needs: tuple[str, ...]  # modalities of which a trial must hold one
    modalities: tuple[str, ...] | None = None  # any other is taken for absent; None: all are given
    mask: float = 0.0  # share of the EEG channels hidden, others in each window


def held_modalities(reads: Sequence[str], trials: Sequence[Trial]) -> list[str]:
    """Return which of EEG and eyes a classifier reads and any of the trials holds."""
    return [m for m in _NAMES if m in reads and any(getattr(trial, m) is not None for trial in trials)]


def conditions(held: Sequence[str]) -> list[Condition]:
    """Return all input first, then each modality alone where there are two, then hidden EEG channels."""
    both = tuple(held)
    whole = Condition(" and ".join(_NAMES[m] for m in held), both)
    rows = [whole]
    if len(held) > 1:
        for modality in held:
            removed = " and ".join(_NAMES[m] for m in held if m != modality)
            rows.append(Condition(f"{_NAMES[modality]} alone, {removed} removed", (modality,), (modality,)))
    if "eeg" in held:
        rows += [Condition(whole.words, ("eeg",), mask=share) for share in MASKS]
    return rows
