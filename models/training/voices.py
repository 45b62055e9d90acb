"""Emotion from acted speech: statistics of a clip, a linear head, and a level that runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from acquisition.errors import ErrorCode, InputError
from acquisition.types import MODALITIES
from models.checkpoint import Checkpoint
from models.config import AstConfig, EvidenceConfig, ModelConfig
from models.datasets.voices import EMOTIONS, Utterance
from models.encoders.voice import N_STATISTICS
from models.features.voice import contours, functionals
from models.level import Evidence, RunningLevel, SignalRange
from models.mixed_discriminant import MixedDiscriminant
from models.mixed_part import LabelledTrial
from models.network import FusionNetwork
from models.training.loop import Progress
from models.training.scores import balanced_accuracy, t_interval

_N = len(EMOTIONS)
Fold = tuple[NDArray[Any], NDArray[Any]]  # indices of the training and the test part
SHRINKAGE = 0.9  # far, as speakers are few
_CLIP_S = 5.0  # live: a trial's worth of speech for the level


def measure(
    utterances: Sequence[Utterance], progress: Progress = lambda stage, share, loss: None
) -> NDArray[Any]:
    """Return the statistics (n, n_features) of utterances, as the live voice encoder makes them of a clip."""
    rows = []
    for one in utterances:
        rows.append(list(functionals(contours(torch.from_numpy(one.wave)).numpy()).values()))
        progress("features", len(rows) / len(utterances), np.nan)
    return np.array(rows)


def running_evidence(rows: NDArray[Any], label: NDArray[Any], speaker: NDArray[Any]) -> Evidence:
    """Return LDA of statistics about each speaker's mean, to be scored about a running level, as `live` does.

    The level is the plain mean of what was said so far and, at first, of the training speakers' levels: no
    guess of the emotions is subtracted (53 against 56 % on left-out speakers of RAVDESS and nEMO).
    """
    given = zip(rows, label, speaker, strict=True)
    trials = [LabelledTrial(str(who), 1, int(what), {"voice": row[None]}) for row, what, who in given]
    only_voice = tuple(float(modality == "voice") for modality in MODALITIES)
    config = EvidenceConfig(
        network_weight=0.0,
        weights=only_voice,
        kind="lda",
        trial_s=_CLIP_S,
        max_trials=40.0,
        level_temperature=1e6,
    )
    discriminant = MixedDiscriminant.lda(trials, _N, SHRINKAGE)
    return Evidence(discriminant, SignalRange.fit({}), config)


def running_logits(evidence: Evidence, rows: NDArray[Any], speaker: NDArray[Any]) -> NDArray[Any]:
    """Return logits (n, n_labels) of clips, each by what its speaker said before it, in a random order."""
    logits = np.empty((len(rows), _N))
    for name in np.unique(speaker):
        level = RunningLevel(evidence.discriminant, evidence.config)
        for at in np.random.default_rng(0).permutation(np.flatnonzero(speaker == name)):
            recent = {"voice": rows[at][None]}
            said = evidence.scores(evidence.given(recent, level)).sum(dim=0).numpy()
            level.take(recent, said, _CLIP_S)
            logits[at] = said
    return logits


def speaker_scores(
    label: NDArray[Any], answer: NDArray[Any], speaker: NDArray[Any], n_labels: int
) -> dict[str, Any]:
    """Return balanced accuracy by speaker, its mean and 95 % t interval over speakers, and pooled."""
    by_speaker = {
        str(name): balanced_accuracy(label[speaker == name], answer[speaker == name])
        for name in np.unique(speaker)
    }
    values = list(by_speaker.values())
    counts = np.bincount(label * n_labels + answer, minlength=n_labels**2).reshape(n_labels, n_labels)
    interval = t_interval(values)
    return {
        "mean": float(np.mean(values)),
        "interval": None if interval is None else [max(0.0, interval[0]), min(1.0, interval[1])],
        "n_speakers": len(values),
        "n_clips": len(label),
        "speakers": by_speaker,
        "pooled": balanced_accuracy(label, answer),
        "confusion": counts.tolist(),
    }


def speaker_folds(trained: Sequence[Utterance], tested: Sequence[Utterance] = ()) -> list[Fold]:
    """Return folds, of one speaker each without ``tested``, whose indices follow those of ``trained``.

    Raises `InputError`: too few speakers, an emotion missing from a training part, or a speaker on both
    sides.
    """
    speaker = np.array([one.speaker for one in trained])
    label = np.array([one.label for one in trained])
    names, n = np.unique(speaker), len(speaker)
    if tested:
        both = sorted(set(names.tolist()) & {one.speaker for one in tested})
        if both:
            what = f"on both sides: {', '.join(both)}; test speakers must differ from training speakers"
            remedy = "omit --test: each speaker is then tested in turn"
            raise InputError(what, where="--test", remedy=remedy, code=ErrorCode.SUBJECT)
        folds = [(np.arange(n), np.arange(n, n + len(tested)))]
    else:
        folds = [(np.flatnonzero(speaker != name), np.flatnonzero(speaker == name)) for name in names]
    lacking = [(train, k) for train, _ in folds for k in range(_N) if k not in label[train]]
    what, facts = f"expected at least 3 speakers, found {len(names)}", dict[str, Any](n_speakers=len(names))
    if len(names) >= 3 and lacking:
        (train, at), *_ = lacking
        n_speakers = len(np.unique(speaker[train]))
        what = f"expected every emotion among the {n_speakers} training speakers, found no {EMOTIONS[at]}"
        facts = {"missing": EMOTIONS[at]}
    if len(names) < 3 or lacking:
        where, remedy = "training voices", "add recordings"
        raise InputError(what, where=where, remedy=remedy, code=ErrorCode.DATA, **facts)
    return folds


@torch.no_grad()
def voice_model(utterances: Sequence[Utterance], base: ModelConfig) -> Checkpoint:
    """Return a model whose voice answers as ``evaluate voice`` tests it, level running, sized as ``base``."""
    folds, rows = speaker_folds(utterances), measure(utterances)
    label = np.array([one.label for one in utterances])
    speaker = np.array([one.speaker for one in utterances])
    logits = np.empty((len(rows), _N))
    for train, part in folds:
        evidence = running_evidence(rows[train], label[train], speaker[train])
        logits[part] = running_logits(evidence, rows[part], speaker[part])

    def surprise(temperature: float) -> float:
        return -float(log_softmax(logits / temperature, axis=1)[np.arange(len(label)), label].mean())

    temperature = float(minimize_scalar(surprise, bounds=(0.1, 100.0), method="bounded").x)
    scores = speaker_scores(label, logits.argmax(axis=1), speaker, _N)
    low, high = scores["interval"]
    evidence = running_evidence(rows, label, speaker)
    weights = tuple(weight / temperature for weight in evidence.config.weights)
    evidence = Evidence(evidence.discriminant, evidence.range, replace(evidence.config, weights=weights))
    sizes = AstConfig(width=N_STATISTICS, n_layers=1, n_heads=1, ffn_dim=8)
    config = replace(
        base,
        labels=EMOTIONS,
        modalities=("voice",),
        network=replace(base.network, voice_encoder="statistics", voice=sizes),
        evidence=evidence.config,
        is_simulated=False,
        trained_on=f"acted speech, {len(rows)} clips of {len(folds)} speakers",
        notes=f"each of {len(folds)} speakers left out, the level running: balanced accuracy "
        f"{scores['mean']:.0%} ({low:.0%} to {high:.0%}, chance {1 / _N:.0%}), temperature {temperature:.1f} "
        "fitted to the same",
    )
    return Checkpoint(config, FusionNetwork(config).eval(), {}, "", evidence=evidence)
