"""Generates a folder like SEED-V: its features; the recordings are not generated."""

from __future__ import annotations

import pickle

import numpy as np

from acquisition.errors import InputError
from models.datasets.make.options import MakeOptions, OnDone, each_subject, new_folder, write_notice
from models.datasets.make.person import MadeUpPerson, averaged, lds_weights, structure, truth
from models.datasets.seed_v import EEG, EYE, LABELS, N_EYE, N_TRIALS, TRIAL_LABELS

TRIAL_S = 100.0
_LEAST_S = 8


def make_seed_v(options: MakeOptions, on_done: OnDone = lambda n_done: None) -> None:
    """Write the features of made-up subjects.

    Raises
    ------
    InputError
        If raw EEG is asked for, the folder is not empty, or an option is outside what the layout holds.
    """
    if options.raw:
        raise InputError(
            "SEED-V's .cnt recordings are not generated",
            where="--raw",
            remedy="use seed-iv --raw; real .cnt files are read through MNE",
        )
    n_trials, n_seconds = _sizes(options)
    shared = structure()
    people = {
        p: MadeUpPerson(options.seed, p, shared, options.difficulty) for p in range(1, options.subjects + 1)
    }
    new_folder(options.folder)
    for part in (EEG, EYE):
        (options.folder / part).mkdir()
    each_subject(_write_subject, options, on_done)
    truth(people, shared, LABELS, len(TRIAL_LABELS), N_EYE).save(options.folder)
    write_notice(
        options.folder,
        "SEED-V",
        options.command("seed-v"),
        f"{options.subjects} subjects, 3 sessions of {n_trials} clips of {n_seconds} s "
        "(published: 16 subjects, 15 clips of 2-4 min).\n"
        "GENERATED_oracle.npz: the model's true means and covariances, for the best possible discriminant.\n",
    )


def _sizes(options: MakeOptions) -> tuple[int, int]:
    return options.n_trials(N_TRIALS, 6, N_TRIALS), options.seconds(TRIAL_S, 4, _LEAST_S)


def _write_subject(options: MakeOptions, subject: int) -> None:
    n_trials, n_seconds = _sizes(options)
    person = MadeUpPerson(options.seed, subject, structure(), options.difficulty)
    eeg, eye, label = {}, {}, {}
    for session, labels in TRIAL_LABELS.items():
        for trial in range(1, n_trials + 1):
            entry = (session - 1) * N_TRIALS + trial - 1
            emotion = LABELS[labels[trial - 1]]
            steps = averaged(person.eeg_trial(session, trial, emotion, n_seconds))  # (W, 310)
            rows = averaged(person.eye_trial(session, trial, emotion, n_seconds))[:, :N_EYE]  # (W, 33)
            weights = lds_weights(len(steps))
            eeg[entry], eye[entry] = weights @ steps, weights @ rows
            label[entry] = np.full(len(steps), labels[trial - 1])
    name = f"{subject}_123.npz"
    np.savez(options.folder / EEG / name, data=pickle.dumps(eeg), label=pickle.dumps(label))
    np.savez(options.folder / EYE / name, data=pickle.dumps(eye), label=pickle.dumps(label))
