"""Generates a folder like SEED-IV."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat

from acquisition.montage import SEED_CH_NAMES
from acquisition.simulator.subject import substream
from models.datasets.make.options import MakeOptions, OnDone, each_subject, new_folder, write_notice
from models.datasets.make.person import (
    DE_OF_UNIT,
    MadeUpPerson,
    averaged,
    lds_weights,
    moving_average_weights,
    signal,
    structure,
    truth,
)
from models.datasets.seed_iv import EYE, LABELS, N_EYE, N_TRIALS, RAW, RAW_SFREQ, SMOOTH, TRIAL_LABELS
from models.features.config import EEG_BANDS

#: 100 s give 16 windows of ten published steps; raw EEG of so long clips would take too much room.
TRIAL_S, TRIAL_S_WITH_RAW = 100.0, 44.0
_LEAST_S = 8
_WIDTHS_HZ = np.array([high - low for _, low, high in EEG_BANDS])
_NAMES = ("cz", "ha", "hql", "ldy", "ly", "mhw", "mz", "qyt", "rx", "tyc", "whh", "wll", "wq", "zjd", "zjy")


def make_seed_iv(options: MakeOptions, on_done: OnDone = lambda n_done: None) -> None:
    """Write features, eye features and, with ``raw``, the EEG of made-up subjects.

    Raises
    ------
    InputError
        If the folder is not empty, or an option is outside what the layout holds.
    """
    n_trials, n_seconds = _sizes(options)
    shared = structure()
    people = {
        p: MadeUpPerson(options.seed, p, shared, options.difficulty) for p in range(1, options.subjects + 1)
    }
    new_folder(options.folder)
    for part in (SMOOTH, EYE, RAW) if options.raw else (SMOOTH, EYE):
        for session in TRIAL_LABELS:
            (options.folder / part / str(session)).mkdir(parents=True)
    each_subject(_write_subject, options, on_done)
    truth(people, shared, LABELS, len(TRIAL_LABELS), N_EYE).save(options.folder)
    write_notice(
        options.folder,
        "SEED-IV",
        options.command("seed-iv"),
        f"{options.subjects} subjects, 3 sessions of {n_trials} clips of {n_seconds} s "
        "(published: 15 subjects, 24 clips of about 2 min).\n"
        "GENERATED_oracle.npz: the model's true means and covariances, for the best possible discriminant.\n",
    )


def _sizes(options: MakeOptions) -> tuple[int, int]:
    default_s = TRIAL_S_WITH_RAW if options.raw else TRIAL_S
    return options.n_trials(N_TRIALS, 6, N_TRIALS), options.seconds(default_s, 4, _LEAST_S)


def _write_subject(options: MakeOptions, subject: int) -> None:
    n_trials, n_seconds = _sizes(options)
    person = MadeUpPerson(options.seed, subject, structure(), options.difficulty)
    rng = substream(options.seed, "seed-iv files", subject)
    prefix = _NAMES[(subject - 1) % len(_NAMES)]
    for session, labels in TRIAL_LABELS.items():
        name = f"{subject}_2015{rng.integers(1, 13):02d}{rng.integers(1, 29):02d}.mat"
        eeg: dict[str, NDArray[np.float64]] = {}
        eye: dict[str, NDArray[np.float64]] = {}
        raw: dict[str, NDArray[np.float64]] = {}
        for trial in range(1, n_trials + 1):
            emotion = LABELS[labels[trial - 1]]
            de = person.eeg_trial(session, trial, emotion, n_seconds)  # (n_seconds, 310)
            eeg |= _published(de, trial)
            rows = averaged(person.eye_trial(session, trial, emotion, n_seconds))[:, :N_EYE]
            eye[f"eye_{trial}"] = (lds_weights(len(rows)) @ rows).T  # (31, W)
            if options.raw:
                wanted = de.reshape(n_seconds, len(SEED_CH_NAMES), -1)
                raw[f"{prefix}_eeg{trial}"] = signal(wanted, SEED_CH_NAMES, RAW_SFREQ, rng)
        # Sorted as text, eeg10 before eeg2, as nobody should rely on.
        savemat(options.folder / SMOOTH / str(session) / name, dict(sorted(eeg.items())))
        savemat(options.folder / EYE / str(session) / name, dict(sorted(eye.items())))
        if raw:
            path = options.folder / RAW / str(session) / name
            savemat(path, dict(sorted(raw.items())), do_compression=True)


def _published(de: NDArray[np.float64], trial: int) -> dict[str, NDArray[np.float64]]:
    """Return a trial's four feature arrays, each (62, W, 5), of entropy (n_seconds, 310)."""
    steps = averaged(de)
    arrays = {}
    for name, weights in (
        ("LDS", lds_weights(len(steps))),
        ("movingAve", moving_average_weights(len(steps))),
    ):
        smooth = (weights @ steps).reshape(len(steps), len(SEED_CH_NAMES), -1).transpose(1, 0, 2)
        arrays[f"de_{name}{trial}"] = smooth
        arrays[f"psd_{name}{trial}"] = np.exp(2 * (smooth - DE_OF_UNIT)) / _WIDTHS_HZ  # µV² / Hz
    return arrays
