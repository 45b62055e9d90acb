"""Compute a feature of your own in the network's windows: ``python custom_feature.py [FILE.xdf]``.

Frontal alpha asymmetry: differential entropy of F4 minus that of F3 in the alpha band, in nats, one value a
second.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from acquisition.pump import Pump
from acquisition.types import Kind, StreamSpec
from acquisition.windowing import WindowConfig
from app.replay import ReplayFile
from app.request import ReplayRequest, SessionOptions
from assets import DEMO_RECORDING
from models.features.config import FeatureConfig
from models.features.eeg import differential_entropy


def alpha_asymmetry(path: Path) -> Iterator[tuple[float, float]]:
    """Yield the end of each second (LSL) and the asymmetry in it; seconds with gaps are left out."""
    specs: dict[Kind, StreamSpec] = {}
    source = ReplayFile(ReplayRequest(path, SessionOptions())).open()
    pump = Pump(source, WindowConfig(), on_open=lambda spec: specs.update({spec.kind: spec}))
    config = FeatureConfig()
    alpha = [name for name, _, _ in config.bands].index("alpha")
    for second in pump.whole_seconds(source.first_time, source.last_time):
        step = pump.window_at(second).steps["eeg"][-1]
        if not step.valid:
            continue
        left, right = (specs[Kind.EEG].ch_names.index(name) for name in ("F3", "F4"))
        samples = torch.from_numpy(step.data[[left, right]]).double()  # (2, n_times), µV
        entropy = differential_entropy(samples, step.sfreq, config)[:, alpha]
        yield second, float(entropy[1] - entropy[0])


if __name__ == "__main__":
    for second, asymmetry in alpha_asymmetry(Path(sys.argv[1]) if len(sys.argv) > 1 else DEMO_RECORDING):
        print(f"{second:.0f} s  {asymmetry:+.2f} nats")
