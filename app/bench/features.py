"""Differential entropy against a bare Fourier transform and against MNE's Welch."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.bench.rows import Row, Say, interleaved, row

TARGET = ">= 0.6 x scipy rfft, >= 3 x MNE Welch"
_N_CHANNELS, _SFREQ = 62, 1000
_N_WINDOWS = 60  # a minute of one-second windows, as a replay or training meets them
_MIN_OF_RFFT, _MIN_OF_WELCH = 0.6, 3.0


def bench_de(quick: bool, say: Say) -> list[Row]:
    """Return the row ``de_features``: times real time, the median of interleaved repeats."""
    say("differential entropy of a minute of windows")
    many = _times_real_time(_N_WINDOWS, n_rounds=8 if quick else 40)
    say("differential entropy of one window")
    one = _times_real_time(1, n_rounds=50 if quick else 300)
    of_welch = many["ours"] / many["mne_welch"]
    detail: dict[str, Any] = {
        "n_windows": _N_WINDOWS,
        "dtype": "float64",
        "ratio_to_mne_welch": of_welch,
        "mne_welch_x_real_time": many["mne_welch"],
        "ratio_of_best": many["ours_best"] / many["scipy_rfft_best"],
        "one_window": {
            "ours_x_real_time": one["ours"],
            "scipy_rfft_x_real_time": one["scipy_rfft"],
            "ratio_to_scipy_rfft": one["ours"] / one["scipy_rfft"],
            "ratio_to_mne_welch": one["ours"] / one["mne_welch"],
        },
    }
    return [
        row(
            "de_features",
            many["ours"],
            many["scipy_rfft"],
            "scipy.fft.rfft, workers=2",
            "x real time",
            TARGET,
            lambda ours, ratio: ratio >= _MIN_OF_RFFT and of_welch >= _MIN_OF_WELCH,
            detail,
        )
    ]


def _times_real_time(n_windows: int, n_rounds: int) -> dict[str, float]:
    """Return seconds of signal handled a second, by function, and of each one's best call."""
    import scipy.fft
    import torch
    from mne import set_log_level
    from mne.time_frequency import psd_array_welch

    from models.features.config import FeatureConfig
    from models.features.de import differential_entropy

    set_log_level("ERROR")
    config = FeatureConfig()
    rng = np.random.default_rng(0)
    # float64, as the EEG adapter gives it.
    windows = 20.0 * rng.standard_normal((n_windows, _N_CHANNELS, _SFREQ))
    tensor = torch.from_numpy(windows)
    took = interleaved(
        {
            "ours": lambda: differential_entropy(tensor, float(_SFREQ), config),
            "scipy_rfft": lambda: scipy.fft.rfft(windows, workers=2),
            "mne_welch": lambda: psd_array_welch(windows, _SFREQ, fmin=1, fmax=50, n_fft=_SFREQ, n_jobs=1),
        },
        n_rounds,
    )
    figures = {name: n_windows / timing.median_s for name, timing in took.items()}
    return figures | {f"{name}_best": n_windows / timing.best_s for name, timing in took.items()}
