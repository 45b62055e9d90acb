"""Generates folders like SEED-IV and SEED-V; recordings like SEED-IV's alone."""

import pickle
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat

from acquisition.errors import InputError
from acquisition.montage import SEED_CH_NAMES
from acquisition.simulator.subject import substream
from models.datasets.seed import SEED_IV, SEED_IV_SFREQ, SEED_V, SESSIONS, SeedSet
from models.features.config import EEG_BANDS
from tests.studies.data_sets import generator
from tests.studies.data_sets.options import MakeOptions, OnDone, each_subject, make_empty_folder, write_notice

#: 100 s give 16 windows of ten published steps; raw EEG of so long clips would take too much room.
TRIAL_S, TRIAL_S_WITH_RAW = 100.0, 44.0
_LEAST_S = 8
_WIDTHS_HZ = np.array([high - low for _, low, high in EEG_BANDS])
_NAMES = ("cz", "ha", "hql", "ldy", "ly", "mhw", "mz", "qyt", "rx", "tyc", "whh", "wll", "wq", "zjd", "zjy")
_AS_PUBLISHED = {
    "seed-iv": "15 subjects, 24 clips of about 2 min",
    "seed-v": "16 subjects, 15 clips of 2-4 min",
}

_Arrays = dict[str, NDArray[np.float64]]


def make_seed_iv(options: MakeOptions, on_done: OnDone = lambda n_done: None) -> None:
    """Write features, eye features and, with ``raw``, the EEG of generated subjects."""
    _make(SEED_IV, _write_seed_iv, options, on_done)


def make_seed_v(options: MakeOptions, on_done: OnDone = lambda n_done: None) -> None:
    """Write the features of generated subjects."""
    if options.raw:
        remedy = "use seed-iv --raw; real .cnt files are read through MNE"
        raise InputError("SEED-V's .cnt recordings are not generated", where="--raw", remedy=remedy)
    _make(SEED_V, _write_seed_v, options, on_done)


def _make(
    data_set: SeedSet, write: Callable[[MakeOptions, int], None], options: MakeOptions, on_done: OnDone
) -> None:
    n_trials, n_seconds = _sizes(data_set, options)
    make_empty_folder(options.folder)
    for part in (*data_set.folders("published"), *(data_set.folders("raw") if options.raw else ())):
        for session in SESSIONS if data_set.has_session_folders else ("",):
            (options.folder / part / str(session)).mkdir(parents=True)
    each_subject(write, options, on_done)
    write_notice(
        options.folder,
        data_set.title,
        options.command(data_set.name),
        f"{options.subjects} subjects, 3 sessions of {n_trials} clips of {n_seconds} s "
        f"(published: {_AS_PUBLISHED[data_set.name]}).\n",
    )


def _sizes(data_set: SeedSet, options: MakeOptions) -> tuple[int, int]:
    default_s = TRIAL_S_WITH_RAW if options.raw else TRIAL_S
    n_trials = options.n_trials(data_set.n_trials, 6, data_set.n_trials)
    return n_trials, options.seconds(default_s, 4, _LEAST_S)


def _trials(
    data_set: SeedSet, options: MakeOptions, subject: int, session: int
) -> Iterator[tuple[int, NDArray[np.float64], NDArray[np.float64]]]:
    """Yield number, entropy (n_seconds, 310) and published eye features (W, n_eye) of a session's trials."""
    model = generator.GeneratedSubject(options.seed, subject, generator.structure(), options.difficulty)
    n_trials, n_seconds = _sizes(data_set, options)
    for trial, label in enumerate(data_set.trial_labels[session][:n_trials], start=1):
        emotion = data_set.labels[label]
        de = model.eeg_trial(session, trial, emotion, n_seconds)
        rows = generator.averaged(model.eye_trial(session, trial, emotion, n_seconds))[:, : data_set.n_eye]
        yield trial, de, generator.lds_weights(len(rows)) @ rows


def _write_seed_iv(options: MakeOptions, subject: int) -> None:
    rng = substream(options.seed, "seed-iv files", subject)
    prefix = _NAMES[(subject - 1) % len(_NAMES)]
    for session in SESSIONS:
        name = f"{subject}_2015{rng.integers(1, 13):02d}{rng.integers(1, 29):02d}.mat"
        eeg: _Arrays = {}
        eye: _Arrays = {}
        raw: _Arrays = {}
        for trial, de, rows in _trials(SEED_IV, options, subject, session):
            eeg |= _smoothed(de, trial)
            eye[f"eye_{trial}"] = rows.T  # (31, W)
            if options.raw:
                wanted = de.reshape(len(de), len(SEED_CH_NAMES), -1)
                raw[f"{prefix}_eeg{trial}"] = generator.signal(wanted, SEED_CH_NAMES, SEED_IV_SFREQ, rng)
        for part, arrays in ((SEED_IV.eeg, eeg), (SEED_IV.eye, eye), (SEED_IV.raw, raw)):
            if arrays:  # sorted as text, eeg10 before eeg2, as nobody should rely on
                path = options.folder / part / str(session) / name
                savemat(path, dict(sorted(arrays.items())), do_compression=part == SEED_IV.raw)


def _smoothed(de: NDArray[np.float64], trial: int) -> _Arrays:
    """Return a trial's four feature arrays, each (62, W, 5), of entropy (n_seconds, 310)."""
    steps = generator.averaged(de)
    arrays = {}
    for name, weights in (("LDS", generator.lds_weights), ("movingAve", generator.moving_average_weights)):
        smooth = (weights(len(steps)) @ steps).reshape(len(steps), len(SEED_CH_NAMES), -1).transpose(1, 0, 2)
        arrays[f"de_{name}{trial}"] = smooth
        arrays[f"psd_{name}{trial}"] = np.exp(2 * (smooth - generator.DE_OF_UNIT)) / _WIDTHS_HZ  # µV² / Hz
    return arrays


def _write_seed_v(options: MakeOptions, subject: int) -> None:
    eeg, eye, label = {}, {}, {}
    for session, labels in SEED_V.trial_labels.items():
        for trial, de, rows in _trials(SEED_V, options, subject, session):
            entry = (session - 1) * SEED_V.n_trials + trial - 1
            eeg[entry], eye[entry] = generator.lds_weights(len(rows)) @ generator.averaged(de), rows
            label[entry] = np.full(len(rows), labels[trial - 1])
    for part, data in ((SEED_V.eeg, eeg), (SEED_V.eye, eye)):
        path = options.folder / part / f"{subject}_123.npz"
        np.savez(path, data=pickle.dumps(data), label=pickle.dumps(label))
