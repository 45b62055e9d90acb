"""What a simulated person says of a trial."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calibration.types import Report

#: Valence and arousal on scales of 1 to 9, about where the circumplex of affect has them (Russell 1980).
_FELT = {"disgust": (2, 6), "fear": (2, 8), "sad": (2, 3), "neutral": (5, 3), "happy": (8, 6)}
_AGREEMENT = 0.9  # share of trials that felt as intended


def simulated_report(seed: int, trial: int, intended: str, classes: Sequence[str]) -> Report:
    """Return the answer to trial ``trial``; always the same for one seed.

    Nine trials of ten felt as intended, the others like another of ``classes``.
    """
    rng = np.random.default_rng((seed, trial))
    others = [label for label in classes if label != intended]
    felt = intended if rng.random() < _AGREEMENT or not others else str(rng.choice(others))
    valence, arousal = (
        int(np.clip(centre + rng.integers(-1, 2), 1, 9)) for centre in _FELT.get(felt, (5, 5))
    )
    return Report(felt, valence, arousal)
