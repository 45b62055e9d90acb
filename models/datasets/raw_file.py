"""Differential entropy of a recording step by step, by the functions that serve live."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.adapters.eeg import EegAdapter
from acquisition.adapters.options import AdapterOptions
from acquisition.errors import InputError
from acquisition.montage import SEED_CH_NAMES, load_montage
from acquisition.types import ChannelInfo, StreamHeader
from models.datasets.events import class_names, end_to_end, no_trials
from models.datasets.types import Trial
from models.features.config import FeatureConfig
from models.features.de import differential_entropy
from models.steps import usable_channels

STEP_S = 1.0


def entropy_steps(
    x: NDArray[np.floating], sfreq: float, config: FeatureConfig, step_s: float = STEP_S
) -> NDArray[np.float32]:
    """Return the entropy of consecutive steps.

    Parameters
    ----------
    x : ndarray, (C, n_times)
        EEG in µV; what is left over after the last whole step is not used.
    sfreq : float
        Hz.
    config : FeatureConfig
        Bands and mains.
    step_s : float
        Length of a step, and the distance to the next.

    Returns
    -------
    ndarray, (W, C, n_bands), float32
        Nats; NaN where a channel is flat, at its rails or not finite in that step.

    Raises
    ------
    InputError
        If the rate is too low for a band.
    """
    n_channels, n_times = x.shape
    n_step = round(step_s * sfreq)
    n_steps = n_times // n_step
    if n_steps == 0:
        return np.zeros((0, n_channels, len(config.bands)), dtype=np.float32)
    steps = x[:, : n_steps * n_step].reshape(n_channels, n_steps, n_step).transpose(1, 0, 2)  # (W, C, n)
    usable = np.array([usable_channels(step) for step in steps]).reshape(n_steps, n_channels)
    filled = torch.from_numpy(np.where(usable[:, :, None], steps, 0.0))
    de = differential_entropy(filled, sfreq, config).numpy()  # (W, C, n_bands)
    return np.where(usable[:, :, None], de, np.nan).astype(np.float32)


def raw_file_trials(
    path: Path,
    events: Mapping[str, str] | None = None,
    *,
    montage: str | None = None,
    trial_s: float | None = None,
    subject: str = "",
    config: FeatureConfig | None = None,
    ch_names: Sequence[str] = SEED_CH_NAMES,
) -> list[Trial]:
    """Return one trial for each annotation.

    Parameters
    ----------
    path : Path
        EDF, BDF, BrainVision, FIF, GDF, CNT and whatever else `mne.io.read_raw` knows.
    events : mapping of str to str, optional
        Class by annotation; without it every text is a class of its own.
    montage : str, optional
        As ``--montage``: names for channels that the file does not name by the 10-20 system.
    trial_s : float, optional
        Length of a trial from its onset; without it the annotation's own duration.
    subject : str
        The file's name without it.
    config : FeatureConfig, optional
        Of the entropy, one step a second.
    ch_names : sequence of str
        Channels that are wanted, of those the file has.

    Returns
    -------
    list of Trial
        By onset.

    Raises
    ------
    InputError
        If MNE cannot read the file, no channel has a 10-20 name, the montage does not fit, no annotation
        fits, or a trial lasts less than a step.
    """
    raw = _opened(path)
    annotations = sorted(
        zip(raw.annotations.onset, raw.annotations.duration, raw.annotations.description, strict=True)
    )
    texts = [str(text) for _, _, text in annotations]
    if events is None:
        events = {text: text for text in sorted(set(texts))}
    chosen = [entry for entry in annotations if str(entry[2]) in events]
    if not chosen:
        raise no_trials(events, texts, str(path))
    adapter = _adapter(raw, montage, ch_names, path)
    sfreq, label_names = float(raw.info["sfreq"]), class_names(events)
    spans = [(float(o), float(o) + (float(d) if trial_s is None else trial_s)) for o, d, _ in chosen]
    trials = []
    for number, (begin, end) in enumerate(end_to_end(spans, str(path)), start=1):
        text = chosen[number - 1][2]
        start = round((begin - raw.first_time) * sfreq)
        stop = min(start + round((end - begin) * sfreq), raw.n_times)
        if stop - start < STEP_S * sfreq:
            found_s = max(0, stop - start) / sfreq
            raise InputError(
                f"trial {number} ({text}) holds {found_s:.2f} s, expected at least {STEP_S:g} s",
                where=str(path),
                remedy="give the length of a trial, or fewer events",
            )
        x = _microvolts(raw, adapter, max(start, 0), stop)
        eeg = entropy_steps(x, sfreq, config or FeatureConfig())
        trials.append(
            Trial("raw", subject or path.stem, 1, number, label_names.index(events[str(text)]), label_names,
                  STEP_S, eeg, None, adapter.spec.ch_names, "raw", str(path))
        )  # fmt: skip
    return trials


def raw_file_sequence(
    path: Path,
    montage: str | None = None,
    *,
    subject: str = "",
    config: FeatureConfig | None = None,
    ch_names: Sequence[str] = SEED_CH_NAMES,
) -> Trial:
    """Return a whole file as one unlabelled sequence of steps, for pre-training.

    Parameters
    ----------
    path : Path
    montage : str, optional
    subject : str
    config : FeatureConfig, optional
    ch_names : sequence of str
        All as in `raw_file_trials`.

    Returns
    -------
    Trial
        From the first sample to the last, whatever the annotations say; its label is -1.

    Raises
    ------
    InputError
        If MNE cannot read the file, no channel has a 10-20 name, or the montage does not fit.
    """
    raw = _opened(path)
    adapter = _adapter(raw, montage, ch_names, path)
    sfreq, config = float(raw.info["sfreq"]), config or FeatureConfig()
    block = round(60 * sfreq)  # a minute at a time: a recording of a day needs no more memory
    parts = [
        entropy_steps(_microvolts(raw, adapter, at, min(at + block, raw.n_times)), sfreq, config)
        for at in range(0, raw.n_times, block)
    ]
    return Trial("raw", subject or path.stem, 1, 1, -1, (), STEP_S, np.concatenate(parts), None,
                 adapter.spec.ch_names, "raw", str(path))  # fmt: skip


def data_files(path: Path) -> list[Path]:
    """Return the files that hold a recording's samples: of BrainVision or EEGLAB not the header's.

    Raises
    ------
    InputError
        If it is neither XDF nor what MNE reads.
    """
    if path.suffix.lower() in (".xdf", ".xdfz"):
        return [path]
    named = [Path(name) for name in _opened(path).filenames if name is not None]
    if files := sorted(name for name in named if name.is_file()):
        return files
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def _opened(path: Path) -> Any:
    from mne.io import read_raw

    if not path.is_file() and not path.is_dir():
        raise InputError("expected an EEG file, found none", where=str(path))
    try:
        return read_raw(path, verbose="error")
    except Exception as error:  # a damaged file makes MNE raise whatever its bytes happen to say
        found = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise InputError(
            f"expected an EEG file that MNE reads, found: {found}",
            where=str(path),
            remedy="give an EDF, BDF, BrainVision, FIF, GDF or CNT file",
        ) from error


def _adapter(raw: Any, montage: str | None, wanted: Sequence[str], path: Path) -> EegAdapter:
    """Return what picks, names and scales the channels, as it does those of a stream."""
    channels = tuple(
        ChannelInfo(label, "" if kind == "misc" else kind, "V")  # MNE's misc: a unit it does not know
        for label, kind in zip(raw.ch_names, raw.get_channel_types(), strict=True)
    )
    header = StreamHeader(path.name, "EEG", "", "", "", float(raw.info["sfreq"]), len(channels), "double64",
                          channels)  # fmt: skip
    options = AdapterOptions(load_montage(montage) if montage else None, ch_names=tuple(wanted))
    return EegAdapter(header, "eeg", options)


def _microvolts(raw: Any, adapter: EegAdapter, start: int, stop: int) -> NDArray[np.float64]:
    """Return (C, n_times) of the adapter's channels."""
    try:
        x = raw.get_data(start=start, stop=stop)
    except Exception as error:  # as in opening: whatever the bytes happen to say
        raise InputError(
            f"the samples cannot be read: {str(error).splitlines()[0][:100] if str(error) else error!r}",
            where=str(raw.filenames[0]),
            remedy="is the file complete? copy it again",
        ) from error
    return adapter.convert(x.T).T
