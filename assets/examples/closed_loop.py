"""Act on live answers, only while that is safe: ``python closed_loop.py [SECONDS [HOST]]``.

Start ``affectscope live`` first; it waits a minute for it. HOST is the computer whose answers to take where
several on the network have some. Put your stimulus into `act`.
"""

import sys

from pylsl import local_clock
from read_predictions import channel_labels, open_predictions

MAX_AGE_S = 1.0  # an older answer no longer holds
DWELL_S = 1.0  # so long something must hold before it is acted upon: answers may flicker
STATES = ("nothing", "warming up", "stale", "uncertain", "certain")  # as the stream's header says


def act(emotion: str | None, why: str) -> None:
    """Do what fits the emotion; None: undo it, because nothing is known."""
    print(f"{'nothing known: undo' if emotion is None else f'act on {emotion}'}  ({why})", flush=True)


def decide(values: dict[str, float], age_s: float) -> tuple[str | None, str]:
    """Return the emotion to act upon, None where there is none, and why."""
    emotions = [name.removeprefix("p_") for name in values if name.startswith("p_")]
    if age_s > MAX_AGE_S:
        return None, "the answer is old"
    if values["safe_to_act"] != 1:
        members = [emotion for emotion in emotions if values[f"set90_{emotion}"] == 1]
        return None, f"{STATES[int(values['state'])]}: {' or '.join(members) or 'no sets'}"
    emotion = emotions[int(values["answer"])]
    return emotion, f"{values[f'p_{emotion}']:.0%}"


class Dwell:
    """Tells when a decision has held for a while, and is new."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._wanted: str | None = None
        self._since = 0.0
        self._doing: str | None = "not known yet"

    def is_due(self, wanted: str | None, now: float, *, at_once: bool = False) -> bool:
        """Take a decision at a time (s); return True where it is now to be acted upon."""
        if wanted != self._wanted:
            self._wanted, self._since = wanted, now
        if wanted == self._doing or not (at_once or now - self._since >= self._seconds):
            return False
        self._doing = wanted
        return True


if __name__ == "__main__":
    inlet = open_predictions(sys.argv[2] if len(sys.argv) > 2 else None)
    labels, dwell = channel_labels(inlet), Dwell(DWELL_S)
    end = local_clock() + (float(sys.argv[1]) if len(sys.argv) > 1 else 60.0)
    while (now := local_clock()) < end:
        sample, t_end = inlet.pull_sample(timeout=MAX_AGE_S)
        age_s, emotion, why = local_clock() - t_end if sample else MAX_AGE_S + 1, None, "no prediction"
        if sample is not None:
            emotion, why = decide(dict(zip(labels, sample, strict=True)), age_s)
        if dwell.is_due(emotion, now, at_once=age_s > MAX_AGE_S):
            act(emotion, why)
