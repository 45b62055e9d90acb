"""The filters of the EEG that is drawn are SciPy's, in pieces of any length."""

import numpy as np
import pytest
from scipy import signal

from app.engine.filters import BUTTERWORTH, Section


@pytest.mark.parametrize("sfreq", [128.0, 250.0, 1000.0])
@pytest.mark.parametrize(
    ("kind", "order", "hz"), [("highpass", 2, 0.5), ("lowpass", 4, 40.0), ("notch", 2, 50.0)]
)
def test_sections_filter_as_scipys_whatever_the_pieces(kind, order, hz, sfreq):
    x = np.random.default_rng(0).normal(size=(1000, 3)).cumsum(axis=0) + 50.0
    if kind == "notch":
        sos, sections = signal.tf2sos(*signal.iirnotch(hz, 25.0, fs=sfreq)), [Section(kind, hz, 25.0, sfreq)]
    else:
        sos = signal.butter(order, hz, kind, fs=sfreq, output="sos")
        sections = [Section(kind, hz, q, sfreq) for q in BUTTERWORTH[order]]
    expected, _ = signal.sosfilt(sos, x, axis=0, zi=signal.sosfilt_zi(sos)[:, :, None] * x[0])
    begun = x[0]
    for section in sections:
        begun = section.settle(begun)
    pieces = []
    for piece in np.split(x, [1, 7, 300, 301, 430]):
        for section in sections:
            piece = section(piece)
        pieces.append(piece)
    np.testing.assert_allclose(np.concatenate(pieces), expected, atol=1e-8)
