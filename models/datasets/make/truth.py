"""The generator's true means and covariances, as the published features have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import InputError
from models.datasets.make import person as model
from models.datasets.make.person import MadeUpPerson, Structure, autocovariance


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


FILE_NAME = "GENERATED_oracle.npz"


@dataclass(frozen=True, eq=False)
class Oracle:
    """True statistics of the published features of a generated data set.

    D is 310 (62 channels x 5 bands, channel-major) or the number of eye features. Covariances are split by
    how they live in time: ``trial`` parts hold for a whole trial, ``drift`` and ``white`` parts change
    within it, with the autocovariances given by lag in steps.
    """

    subjects: NDArray[np.int64]  # (S,)
    eeg_mean: NDArray[np.float64]  # (S, n_sessions, n_labels, D)
    eeg_trial: NDArray[np.float64]  # (D, D)
    eeg_drift: NDArray[np.float64]  # (D, D)
    eeg_white: NDArray[np.float64]  # (D, D)
    eye_mean: NDArray[np.float64]  # (S, n_sessions, n_labels, E)
    eye_trial: NDArray[np.float64]  # (E, E)
    eye_drift: NDArray[np.float64]  # (E, E)
    eye_white: NDArray[np.float64]  # (E, E)
    drift_autocovariance: NDArray[np.float64]  # (n_lags,)
    white_autocovariance: NDArray[np.float64]  # (n_lags,)

    def save(self, folder: Path) -> None:
        """Write ``GENERATED_oracle.npz`` beside the data."""
        np.savez_compressed(folder / FILE_NAME, **{f.name: getattr(self, f.name) for f in fields(self)})

    def scores(
        self,
        subject: str,
        session: int,
        eeg: NDArray[np.floating] | None,
        eye: NDArray[np.floating] | None = None,
    ) -> NDArray[np.float64]:
        """Return each class's log likelihood, up to a constant, of windows of one subject and session.

        Parameters
        ----------
        eeg : ndarray, (n, C, T, n_bands), or None
            As in `WindowSet`. A window counts by the mean of its steps.
        eye : ndarray, (n, E, T), or None
            Given the class, generated EEG and eye features are independent: their scores add up.

        Returns
        -------
        ndarray, (n, n_labels)

        Raises
        ------
        InputError
            If the statistics are of other subjects or fewer sessions.
        """
        at = self._row_of(subject, session)
        total: NDArray[np.float64] | float = 0.0
        if eeg is not None:
            n, n_channels, n_steps, n_bands = eeg.shape
            means = eeg.mean(axis=2).reshape(n, n_channels * n_bands)
            covariance = self._covariance("eeg", n_steps)
            total = total + _log_likelihoods(means, self.eeg_mean[at, session - 1], covariance)
        if eye is not None:
            covariance = self._covariance("eye", eye.shape[2])
            total = total + _log_likelihoods(eye.mean(axis=2), self.eye_mean[at, session - 1], covariance)
        return np.asarray(total)

    def _row_of(self, subject: str, session: int) -> int:
        """Return where a subject's statistics stand."""
        at = np.flatnonzero(self.subjects == int(subject))
        n_sessions = self.eeg_mean.shape[1]
        if len(at) == 0 or not 1 <= session <= n_sessions:
            raise InputError(
                f"expected statistics of subject {subject}, session {session}, found {n_sessions} sessions "
                f"of subjects {', '.join(map(str, self.subjects.tolist()))}",
                where=FILE_NAME,
                remedy="make the data set anew, or delete this file",
            )
        return int(at[0])

    def _covariance(self, modality: str, n_steps: int) -> NDArray[np.float64]:
        """Return the covariance of the mean of ``n_steps`` consecutive steps."""
        trial, drift, white = (getattr(self, f"{modality}_{part}") for part in ("trial", "drift", "white"))
        return (
            trial
            + _variance_of_mean(self.drift_autocovariance, n_steps) * drift
            + _variance_of_mean(self.white_autocovariance, n_steps) * white
        )


def load_oracle(folder: Path) -> Oracle | None:
    """Return a generated data set's true statistics; None for real data.

    Raises
    ------
    InputError
        If the file is there and broken.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            return Oracle(**{field.name: archive[field.name] for field in fields(Oracle)})
    except Exception as error:  # a damaged archive makes zipfile and NumPy raise all sorts of things
        raise InputError(
            "expected the generator's statistics, found a broken file",
            where=str(path),
            remedy="make the data set anew, or delete this file",
        ) from error


def _variance_of_mean(autocovariance: NDArray[np.float64], n: int) -> float:
    """Return the variance of the mean of ``n`` consecutive values."""
    lags = np.arange(1, min(n, len(autocovariance)))
    return float((n * autocovariance[0] + 2 * ((n - lags) * autocovariance[lags]).sum()) / n**2)


def _log_likelihoods(
    x: NDArray[np.floating], means: NDArray[np.float64], covariance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (n, n_labels): Gaussians of one covariance, without their common constant."""
    factor = np.linalg.cholesky(covariance)
    white_x = np.linalg.solve(factor, np.asarray(x, dtype=np.float64).T).T  # (n, D)
    white_means = np.linalg.solve(factor, means.T).T  # (n_labels, D)
    return -0.5 * ((white_x[:, None] - white_means[None]) ** 2).sum(axis=2)
