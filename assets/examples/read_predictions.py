"""Read live predictions from LSL in any other program: ``python read_predictions.py [SECONDS [HOST]]``.

Start ``affectscope live`` or ``affectscope demo`` first; it waits a minute for them. HOST is the computer
whose predictions to take where several on the network have some. Only pylsl is needed.
"""

import sys
from collections.abc import Iterator

from pylsl import StreamInlet, local_clock, resolve_bypred


def channel_labels(inlet: StreamInlet) -> list[str]:
    """Return the channels' names, ``p_happy``, ..., ``attention_eeg``, ..., from the stream's header."""
    channel = inlet.info(timeout=5.0).desc().child("channels").child("channel")
    labels = []
    while not channel.empty():
        labels.append(channel.child_value("label"))
        channel = channel.next_sibling()
    return labels


def open_predictions(host: str | None = None) -> StreamInlet:
    """Return the stream of predictions of a computer, or of any, and say which.

    liblsl's own INFO lines go to standard error, as this does; a file ``lsl_api.cfg`` in the current folder
    with the lines ``[log]`` and ``level = -2`` ends them.
    """
    query = "type='AffectscopePrediction'" + (f" and hostname='{host}'" if host else "")
    if not resolve_bypred(query, timeout=60.0):
        sys.exit("no prediction stream found within 60 s: start affectscope live or demo")
    found = resolve_bypred(query, minimum=100, timeout=1.0)  # all there are
    hosts = " and ".join(info.hostname() for info in found)
    others = f"; found those of {hosts}: name one as the second argument" if len(found) > 1 else ""
    print(f"reading predictions of {found[0].hostname()}{others}", file=sys.stderr, flush=True)
    return StreamInlet(found[0])


def predictions(seconds: float, host: str | None = None) -> Iterator[tuple[float, dict[str, float]]]:
    """Yield the window's end (LSL seconds) and all values by name, for some seconds."""
    inlet = open_predictions(host)
    labels = channel_labels(inlet)
    end = local_clock() + seconds
    while local_clock() < end:
        values, t_end = inlet.pull_sample(timeout=1.0)
        if values is not None:
            yield t_end, dict(zip(labels, values, strict=True))


if __name__ == "__main__":
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
    for t_end, values in predictions(seconds, sys.argv[2] if len(sys.argv) > 2 else None):
        probs = {name[2:]: value for name, value in values.items() if name.startswith("p_")}
        top = max(probs, key=probs.__getitem__)
        print(f"{t_end:.2f} s  {top} {probs[top]:.0%}")
