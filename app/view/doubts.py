"""The reasons to doubt a prediction, one line each with its figure."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from acquisition.types import KIND_OF_MODALITY, Kind
from app.view.devices import MODALITY_WORDS
from app.view.figures import age, counted
from app.view.findings import Finding, is_following
from app.view.machine import PROMISE_MS
from app.view.plain_text import one_line
from app.view.store import ViewStore
from app.view.waits import missing_context
from models.prediction import Prediction

MAX_BAD_SHARE = 0.2  # of the electrodes: beyond, interpolation and averaging no longer hide them
MIN_ELECTRODES_SHARE = 0.5  # of those of training
GAZE_OVER_S = 4.0  # one eye step
MIN_GAZE_VALID = 0.7  # a tracker that fits its wearer sees an eye in more than 90 % of the samples
MAX_SKIPPED_SHARE = 0.01
JUMPS_OVER_S = 10.0
MAX_JUMPS = 2  # windows overlap by more than nine tenths: the emotion cannot change this often


def doubts(prediction: Prediction, store: ViewStore, t: float, *, is_stale: bool) -> list[Finding]:
    """Return every reason to doubt ``prediction``, looked at from ``t``."""
    found = [
        *_of_modalities(prediction, store, t),
        *_of_signals(prediction, store, t),
        *_of_model(prediction, store),
        *_of_course(store, t),
    ]
    if store.is_simulated:
        found.append(Finding("info", "the streams are simulated"))
    if is_following(store, t):
        found += _of_session(store, is_stale)
    else:
        found.append(Finding("info", f"looking back {age(store.newest_time - t)}"))
    return found


def _of_modalities(prediction: Prediction, store: ViewStore, t: float) -> list[Finding]:
    absent = [modality for modality, there in prediction.present.items() if not there]
    found = []
    if absent:
        n_all = len(prediction.present)
        each = ", ".join(
            f"{MODALITY_WORDS.get(m, m)} ({_why_absent(m, prediction, store, t)})" for m in absent
        )
        found.append(Finding("caution", f"{n_all - len(absent)} of {n_all} modalities, without {each}"))
    masked = _masked(store, t)
    found += [
        Finding("caution", f"{MODALITY_WORDS.get(m, m)} unplugged by hand") for m in masked if m not in absent
    ]
    if prediction.warm_up:
        missing = missing_context(store, t)
        each = ", ".join(f"{MODALITY_WORDS[m]} {seconds:.0f} s" for m, seconds in missing.items())
        still = f", still missing: {each}" if each else ""
        found.append(Finding("caution", f"context not whole yet{still}"))
    return found


def _masked(store: ViewStore, t: float) -> tuple[str, ...]:
    return store.health.masked if store.health is not None and is_following(store, t) else ()


def _why_absent(modality: str, prediction: Prediction, store: ViewStore, t: float) -> str:
    if modality in _masked(store, t):
        return "unplugged by hand"
    stream = store.stream_of(KIND_OF_MODALITY[modality]) if modality in KIND_OF_MODALITY else None
    if stream is None:
        return "no stream"
    if stream.state != "open" and is_following(store, t):
        return f"stream {stream.state}"
    if modality == "eye" and (valid := _valid_gaze(store, t)) < MIN_GAZE_VALID:
        return f"gaze valid {100 * valid:.0f} %"
    coverage = prediction.coverage.get(modality, 0.0)
    windows = store.model.windows if store.model is not None else None
    if modality == "face" and windows is not None:
        n_steps = windows.face_s / windows.face_grid_s
        if coverage * n_steps >= windows.face_min_frames:
            return "no face found"
    return f"{100 * coverage:.0f} % of its samples"


def _valid_gaze(store: ViewStore, t: float) -> float:
    """Return the share of the newest gaze samples in which the tracker saw an eye; NaN without any."""
    _, values = store.gaze.read(t - GAZE_OVER_S, t)
    return float(np.mean(values[:, 4] > 0.5)) if len(values) else math.nan


def _of_signals(prediction: Prediction, store: ViewStore, t: float) -> list[Finding]:
    found = []
    quality = store.quality.at(t)
    if prediction.present.get("eeg") and quality is not None and quality.channels:
        n_bad = quality.n_bad
        if n_bad > MAX_BAD_SHARE * len(quality.channels):
            found.append(Finding("caution", f"{n_bad} of {len(quality.channels)} electrodes bad"))
    found += _of_electrodes(prediction, store)
    if prediction.present.get("eye") and (valid := _valid_gaze(store, t)) < MIN_GAZE_VALID:
        found.append(Finding("caution", f"gaze valid in {100 * valid:.0f} % of the last {GAZE_OVER_S:.0f} s"))
    if prediction.present.get("face") and prediction.face_box is None and math.isfinite(prediction.face_time):
        found.append(Finding("info", "no face in the newest frame: the face speaks of earlier ones"))
    return found


def _of_electrodes(prediction: Prediction, store: ViewStore) -> list[Finding]:
    """Compare the stream's electrodes with those of training: what is not there is not made up."""
    stream = store.stream_of(Kind.EEG)
    if stream is None or store.model is None or not prediction.present.get("eeg"):
        return []
    n_all = len(store.model.ch_names)
    n_there = len(set(stream.spec.ch_names) & set(store.model.ch_names))
    if n_there >= n_all:
        return []
    severity = "caution" if n_there < MIN_ELECTRODES_SHARE * n_all else "info"
    return [Finding(severity, f"EEG of {n_there} of the {n_all} electrodes of training")]


def _of_model(prediction: Prediction, store: ViewStore) -> list[Finding]:
    found = []
    if store.model is not None and store.model.warning:
        found.append(Finding("stop", one_line(store.model.warning)))
    if store.model is not None and store.model.is_simulated:
        found.append(Finding("caution", "model trained on simulated data: says nothing of people"))
    if prediction.normalisation == "training" and not (store.model is not None and store.model.profile):
        found.append(
            Finding("info", "scaled by the training data's average, not this person's: see --baseline")
        )
    return found


def _of_course(store: ViewStore, t: float) -> list[Finding]:
    labels = [p.label for p in store.predictions.read(t - JUMPS_OVER_S, t)]
    n_jumps = sum(a != b for a, b in pairwise(labels))
    if n_jumps <= MAX_JUMPS:
        return []
    return [Finding("caution", f"likeliest emotion changed {n_jumps} times in {JUMPS_OVER_S:.0f} s")]


def _of_session(store: ViewStore, is_stale: bool) -> list[Finding]:
    found = []
    if store.phase.name == "paused" and not is_stale:
        found.append(Finding("info", "paused"))
    if store.phase.name == "ended" and store.mode == "replay":
        found.append(Finding("info", "the replay has ended"))
    health = store.health
    if health is None or store.mode != "live":  # a replay's latency is that of the disk
        return found
    p99_ms = health.latency_p99_ms.get("total", math.nan)
    if p99_ms > PROMISE_MS:
        found.append(Finding("caution", f"latency p99 {p99_ms:.0f} ms, promised are {PROMISE_MS:.0f} ms"))
    n_windows = health.n_predictions + health.n_skipped
    if health.n_skipped > MAX_SKIPPED_SHARE * n_windows:
        found.append(Finding("caution", f"{health.n_skipped:,} of {counted(n_windows, 'window')} skipped"))
    return found
