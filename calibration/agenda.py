"""The trials still to be done: the planned ones, and those asked for again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from calibration.order import can_be_arranged


class Agenda:
    """Says which trial comes next.

    Parameters
    ----------
    order : sequence of str
        Planned emotion by trial; trial 1 is the first.
    closing : str
        The emotion to end with; empty for any.
    over : iterable of int
        Numbers of trials that need not be done any more (after a resumption).
    shown : str
        The emotion shown last, empty for none.
    """

    def __init__(
        self, order: Sequence[str], closing: str = "", over: Iterable[int] = (), shown: str = ""
    ) -> None:
        self._order = tuple(order)
        self._closing = closing
        skip = set(over)
        self._waiting = [number for number in range(1, len(order) + 1) if number not in skip]
        self._again: list[int] = []
        self._shown = shown

    @property
    def waiting(self) -> tuple[int, ...]:
        """Numbers of the trials to be done, those to be repeated first."""
        return (*self._again, *self._waiting)

    def emotion(self, number: int) -> str:
        """Return the emotion of a trial."""
        return self._order[number - 1]

    def repeat(self, number: int, shown: str | None = None) -> int:
        """Put a trial on the list again, as early as no emotion comes twice running.

        Parameters
        ----------
        number : int
            A trial that is not waiting.
        shown : str, optional
            The emotion of the trial now running, which ends before.

        Returns
        -------
        int
            A second trial that is repeated with it, because otherwise an emotion would come twice
            running (with two classes, say) or the end would not be pleasant; 0 for none.
        """
        before = self._shown if shown is None else shown
        self._again.append(number)
        # one that is done already rather than one still to come; the class to end with is the kindest
        others = sorted(
            range(1, len(self._order) + 1),
            key=lambda n: (n in self.waiting, self.emotion(n) != self._closing),
        )
        for closing in (self._closing, ""):
            if self._fits(self.waiting, before, closing):
                return 0
            for other in others:
                if self._fits((*self.waiting, other), before, closing):
                    self._again.append(other)
                    return other
        return 0

    def next(self) -> int:
        """Take the next trial off the list; 0 when none is left."""
        if not self.waiting:
            return 0
        for closing in (
            self._closing,
            "",
        ):  # where too much was skipped for both, the end need not be pleasant
            for number in self.waiting:
                if self._may_come(number, closing):
                    return self._take(number)
        counts = Counter(self.emotion(n) for n in self.waiting)  # too few others left to keep all apart
        apart = [n for n in self.waiting if self.emotion(n) != self._shown]
        return self._take(max(apart or self.waiting, key=lambda n: counts[self.emotion(n)]))

    def was_shown(self, emotion: str) -> None:
        """Note the emotion that a stimulus has begun with."""
        self._shown = emotion

    def _may_come(self, number: int, closing: str) -> bool:
        emotion = self.emotion(number)
        rest = list(self.waiting)
        rest.remove(number)
        if emotion == self._shown or (closing and not rest and emotion != closing):
            return False
        return self._fits(rest, emotion, closing)

    def _take(self, number: int) -> int:
        for numbers in (self._again, self._waiting):
            if number in numbers:
                numbers.remove(number)
                break
        return number

    def _fits(self, numbers: Iterable[int], before: str, closing: str) -> bool:
        return can_be_arranged(Counter(self.emotion(n) for n in numbers), before, closing)
