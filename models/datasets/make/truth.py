"""The generator's true means and covariances, as the published features have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from models.datasets.make import person as model
from models.datasets.make.person import MadeUpPerson, Structure
from models.datasets.make.smooth import autocovariance
from models.datasets.oracle import Oracle


def truth(
    people: Mapping[int, MadeUpPerson],
    shared: Structure,
    emotions: Sequence[str],
    n_sessions: int,
    n_eye: int,
) -> Oracle:
    """Return the statistics of a generated data set with these people."""
    sessions = range(1, n_sessions + 1)
    patterns, nuisance = shared.latent @ shared.latent.T, shared.nuisance @ shared.nuisance.T
    spread = np.diag(shared.eye_spread[:n_eye] ** 2)
    moves = np.ones(n_eye)
    moves[model.clip_rows()] = 0.0
    eye_latent = (shared.eye_spread[:, None] * shared.eye_latent)[:n_eye]
    return Oracle(
        subjects=np.array(sorted(people)),
        eeg_mean=np.array(
            [[[people[p].eeg_mean(s, e) for e in emotions] for s in sessions] for p in sorted(people)]
        ),
        eeg_trial=model.LATENT_TRIAL_SD**2 * patterns + model.NUISANCE_TRIAL_SD**2 * nuisance,
        eeg_drift=model.LATENT_DRIFT_SD**2 * patterns + model.NUISANCE_DRIFT_SD**2 * nuisance,
        eeg_white=model.WHITE_SD**2 * np.eye(len(shared.base)),
        eye_mean=np.array(
            [[[people[p].eye_mean(s, e)[:n_eye] for e in emotions] for s in sessions] for p in sorted(people)]
        ),
        eye_trial=eye_latent @ eye_latent.T + model.EYE_TRIAL_SD**2 * spread,
        eye_drift=model.EYE_DRIFT_SD**2 * spread * moves,
        eye_white=model.EYE_WHITE_SD**2 * spread * moves,
        drift_autocovariance=autocovariance(white=False),
        white_autocovariance=autocovariance(white=True),
    )
