"""Act on live answers, only while that is safe: ``python closed_loop.py [SECONDS]``.

Start ``affectscope live`` first; it waits a minute for it. Put your stimulus into `act`.
"""

import sys

from pylsl import StreamInlet, local_clock, resolve_byprop
from read_predictions import channel_labels

MAX_AGE_S = 1.0  # an older answer no longer holds
STATES = ("nothing", "warming up", "stale", "uncertain", "certain")  # as the stream's header says


def act(emotion: str | None, why: str) -> None:
    """Do what fits the emotion; None: undo it, because nothing is known."""
    print(f"{emotion or 'neutral lights'}  ({why})", flush=True)


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


if __name__ == "__main__":
    found = resolve_byprop("type", "AffectscopePrediction", timeout=60.0)
    if not found:
        sys.exit("no prediction stream found within 60 s: start affectscope live")
    inlet = StreamInlet(found[0])
    labels = channel_labels(inlet)
    doing: str | None = "not known yet"
    end = local_clock() + (float(sys.argv[1]) if len(sys.argv) > 1 else 60.0)
    while local_clock() < end:
        sample, t_end = inlet.pull_sample(timeout=MAX_AGE_S)
        emotion, why = None, "no prediction"
        if sample is not None:
            values = dict(zip(labels, sample, strict=True))
            emotion, why = decide(values, local_clock() - t_end)
        if emotion != doing:
            doing = emotion
            act(emotion, why)
