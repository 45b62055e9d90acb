"""Which emotion comes when: balanced over time, never the same twice running, and a pleasant end."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence


def make_order(classes: Sequence[str], n_trials: int, seed: int, closing: str = "") -> tuple[str, ...]:
    """Return the emotion of each trial.

    Trials come in blocks that hold every class once (the first block holds what does not divide), so a
    drift over the session meets all classes alike. Built from the end, where the closing emotion is.

    Parameters
    ----------
    classes : sequence of str
        At least two.
    n_trials : int
        How many; the classes' counts differ by one at most.
    seed : int
        Equal seeds give equal orders.
    closing : str
        One of the classes, or empty: the emotion of the last trial.
    """
    rng = random.Random(seed)
    order: list[str] = []
    while len(order) < n_trials:
        size = min(len(classes), n_trials - len(order))
        block = rng.sample(list(classes), size)
        follows_another = not order or block[-1] != order[0]
        ends_well = bool(order) or not closing or block[-1] == closing
        if follows_another and ends_well:
            order = block + order
    return tuple(order)


def can_be_arranged(counts: Mapping[str, int], before: str = "", closing: str = "") -> bool:
    """Tell whether trials can be put into an order in which no emotion comes twice running.

    Parameters
    ----------
    counts : mapping
        Number of trials left by emotion.
    before : str
        The emotion just shown, which must not come first; empty for none.
    closing : str
        The emotion that must come last; empty for any.
    """
    left = {name: n for name, n in counts.items() if n > 0}
    if not left:
        return True
    if closing:
        if closing not in left:
            return False
        left[closing] -= 1
        if not sum(left.values()):
            return closing != before
    # n equal ones need n - 1 others between them, one more in front after their like, and one behind
    # before their like. With that held for every emotion an order exists.
    total = sum(left.values())
    return all(n <= total - n + 1 - (name == before) - (name == closing) for name, n in left.items() if n)
