"""Read live predictions from LSL in any other program: ``python read_predictions.py [SECONDS]``.

Start ``affectscope live`` or ``affectscope demo`` first; it waits a minute for them. Only pylsl is needed.
"""

import sys
from collections.abc import Iterator

from pylsl import StreamInlet, local_clock, resolve_byprop


def channel_labels(inlet: StreamInlet) -> list[str]:
    """Return the channels' names, ``p_happy``, ..., ``attention_eeg``, ..., from the stream's header."""
    channel = inlet.info(timeout=5.0).desc().child("channels").child("channel")
    labels = []
    while not channel.empty():
        labels.append(channel.child_value("label"))
        channel = channel.next_sibling()
    return labels


def predictions(seconds: float) -> Iterator[tuple[float, dict[str, float]]]:
    """Yield the window's end (LSL seconds) and all values by name, for some seconds."""
    found = resolve_byprop("type", "AffectscopePrediction", timeout=60.0)
    if not found:
        sys.exit("no prediction stream found within 60 s: start affectscope live or demo")
    inlet = StreamInlet(found[0])
    labels = channel_labels(inlet)
    end = local_clock() + seconds
    while local_clock() < end:
        values, t_end = inlet.pull_sample(timeout=1.0)
        if values is not None:
            yield t_end, dict(zip(labels, values, strict=True))


if __name__ == "__main__":
    for t_end, values in predictions(float(sys.argv[1]) if len(sys.argv) > 1 else 30.0):
        probs = {name[2:]: value for name, value in values.items() if name.startswith("p_")}
        top = max(probs, key=probs.__getitem__)
        print(f"{t_end:.2f} s  {top} {probs[top]:.0%}")
