"""What speaks for or against an answer, in a line; and which moment "now" is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from acquisition.types import KIND_OF_MODALITY, MODALITIES, Kind
from app.view.conditions import MODALITY_WORDS
from app.view.machine import PROMISE_MS
from app.view.store import ViewStore
from app.view.text import age, counted, message_line, one_line
from models.prediction import Prediction

SEVERITIES = ("stop", "caution", "info")  # the gravest first
FOLLOWING_S = 1.0  # a moment no older than this counts as now: figures of now speak of it


@dataclass(frozen=True)
class Finding:
    """A reason, and how grave it is."""

    severity: str  # stop: do not use the answer | caution: it may be wrong | info: good to know
    text: str


def is_following(store: ViewStore, t: float) -> bool:
    """Tell whether ``t`` is the present of the session, so that the streams' state now applies to it."""
    return not store.newest_time - t > FOLLOWING_S  # NaN: nothing has come yet, so it is


def reference_time(store: ViewStore, t: float) -> float:
    """Return what "now" is at ``t``.

    When all streams fall silent in a live session, only the engine's own clock goes on.
    """
    if store.mode == "live" and store.health is not None and is_following(store, t):
        return max(t, store.health.time)
    return t


MIN_MARGIN = 0.25  # see above
STALE_AFTER_S = 1.0  # four hops of 0.25 s: the answer no longer speaks of now
UNCERTAIN = "uncertain"
NO_ANSWER = "no answer yet"
NONE_HERE = "no answer here"  # a moment of a recording that was passed over


@dataclass(frozen=True)
class Verdict:
    """What to show, and how far to trust it."""

    state: str  # certain | uncertain | stale | warming up | nothing
    label: str  # in big: an emotion, "uncertain", `NO_ANSWER` or `NONE_HERE`
    probability: float  # of the likeliest emotion, NaN without one
    likeliest: str = ""
    second: str = ""
    second_probability: float = math.nan
    threshold: float = math.nan  # from which probability on there is an answer
    age_s: float = math.nan  # of the prediction
    findings: tuple[Finding, ...] = ()  # the gravest first

    @property
    def reasons(self) -> tuple[str, ...]:
        """The findings' texts."""
        return tuple(finding.text for finding in self.findings)

    @property
    def is_grey(self) -> bool:
        """True when nothing shown speaks of the moment looked at."""
        return self.state in ("stale", "nothing")


def threshold(n_labels: int) -> float:
    """Return the lowest probability that counts as an answer: midway between chance and 1."""
    return (1 + 1 / n_labels) / 2


def ranked(probs: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return labels and probabilities, the likeliest first; equal ones in the model's order."""
    return sorted(probs.items(), key=lambda item: -item[1] if item[1] == item[1] else math.inf)


def abstention(probs: Mapping[str, float]) -> str:
    """Return why the model should abstain, or an empty text where its answer stands."""
    if not probs or any(math.isnan(p) for p in probs.values()):
        return "probabilities are not numbers"
    best, *others = ranked(probs)
    least = threshold(len(probs))
    if best[1] < least - 1e-6:
        digits = 1 if round(100 * best[1]) >= round(100 * least) else 0  # 59.6 % is not "60 %" here
        return f"likeliest has {100 * best[1]:.{digits}f} %, an answer needs {100 * least:.3g} %"
    if others and best[1] - others[0][1] < MIN_MARGIN - 1e-6:
        lead = 100 * (best[1] - others[0][1])
        return f"leads {others[0][0]} by {lead:.0f} points, an answer needs {100 * MIN_MARGIN:.0f}"
    return ""


def unfit_signal(prediction: Prediction, store: ViewStore, t: float) -> str:
    """Return why the signals cannot carry an answer, or an empty text.

    Half of the attention and half of the electrodes are where the bad ones outweigh all the rest.
    """
    quality = store.quality.at(t)
    if quality is None or not quality.channels or prediction.modality_attention.get("eeg", 0.0) < 0.5:
        return ""
    n_bad, n_all = quality.n_bad, len(quality.channels)
    return f"rests on EEG, and {n_bad} of {n_all} electrodes are bad" if 2 * n_bad > n_all else ""


def answer_state(prediction: Prediction) -> str:
    """Return ``certain``, ``uncertain`` or ``warming up``: the verdict's state where nothing is stale."""
    if prediction.warm_up:
        return "warming up"
    return "uncertain" if not prediction.probs or abstention(prediction.probs) else "certain"


def judge(prediction: Prediction | None, store: ViewStore, t: float) -> Verdict:
    """Judge the newest prediction at moment ``t``.

    Parameters
    ----------
    prediction : Prediction or None
        The newest one whose window ended at or before ``t``.
    store : ViewStore
    t : float
        Moment looked at, LSL seconds; NaN before the first sample.
    """
    if prediction is None or not prediction.probs:
        return Verdict("nothing", NO_ANSWER, math.nan, findings=waits(store, t))
    best, *others = ranked(prediction.probs)
    second = others[0] if others else ("", math.nan)
    unsure = abstention(prediction.probs) or unfit_signal(prediction, store, t)
    is_guessing = store.model is not None and bool(store.model.warning)  # `doubts` says so
    age_s = reference_time(store, t) - prediction.t_end
    if age_s > STALE_AFTER_S and _stands_still(store, t):
        return Verdict("nothing", NONE_HERE, math.nan, findings=_passed_over(store, age_s))
    stopped = _standstill(store, t, age_s)
    findings = [*stopped, *doubts(prediction, store, t, is_stale=bool(stopped))]
    if unsure:
        findings.append(Finding("caution", unsure))
    state = "uncertain" if unsure or is_guessing else "certain"
    if prediction.warm_up:
        state = "warming up"
    if stopped:
        state = "stale"
    return Verdict(
        state=state,
        label=UNCERTAIN if unsure or is_guessing else best[0],
        probability=best[1],
        likeliest=best[0],
        second=second[0],
        second_probability=second[1],
        threshold=threshold(len(prediction.probs)),
        age_s=age_s,
        findings=tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))),
    )


def _stands_still(store: ViewStore, t: float) -> bool:
    """Tell whether ``t`` is a moment of a replay that does not go on: nothing is overdue there."""
    is_held = store.phase.name in ("paused", "ended") or not is_following(store, t)
    return store.mode == "replay" and is_held


def _passed_over(store: ViewStore, age_s: float) -> tuple[Finding, ...]:
    """Return why a moment of a replay has no prediction."""
    found = [
        f"no prediction of this moment: the last one before it is {age(age_s)} older",
        "the replay passed over it, or its streams have a gap here; Space replays it from here",
    ]
    if store.phase.name == "paused":
        found.append("paused")
    return tuple(Finding("info", text) for text in found)


def _standstill(store: ViewStore, t: float, age_s: float) -> list[Finding]:
    """Return why the prediction no longer speaks of ``t``; nothing when it does."""
    following, name = is_following(store, t), store.phase.name
    causes = []
    if following and name == "failed":
        first_line = (store.phase.message.strip() or "no reason given").splitlines()[0]
        causes.append(f"the engine failed: {message_line(first_line)}")
    if following and name == "ended" and store.mode == "live":
        causes.append("the session has ended")
    if following and store.is_silent:
        causes.append(f"the engine has not answered for {age(store.silent_s)}")
    if not causes and not age_s > STALE_AFTER_S:
        return []
    if following and not causes:
        causes += [
            f"stream {one_line(stream.spec.name, 40)}: {stream.state}"
            for stream in store.streams.values()
            if stream.state != "open" and stream.spec.kind.value in ("eeg", "gaze", "video", "audio")
        ]
    if age_s > STALE_AFTER_S:
        causes.insert(0, f"no prediction for {age(age_s)}")
    return [Finding("stop", cause) for cause in causes]


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


_READY = "data come"


def missing_context(store: ViewStore, t: float) -> dict[str, float]:
    """Return how many seconds of its context each open modality still lacks, where it does."""
    missing: dict[str, float] = {}
    for modality in MODALITIES if store.model is not None else ():
        stream = store.stream_of(KIND_OF_MODALITY[modality])
        if stream is not None and stream.state == "open":
            assert store.model is not None
            seconds = stream.since + store.model.windows.context_of(modality) - t
            if seconds > 0:
                missing[modality] = math.ceil(seconds)
    return missing


def why_no_prediction(store: ViewStore) -> str:
    """Return in a sentence why a panel has no prediction to show."""
    if store.phase.name in ("failed", "ended"):
        return "No prediction: the session is over."
    return "No prediction yet: it needs a stream and a few seconds of data."


def waits(store: ViewStore, t: float) -> tuple[Finding, ...]:
    """Return what is being waited for while there is no prediction."""
    name, message = store.phase.name, store.phase.message.strip()
    if name == "failed":
        first, *more = (message_line(line) for line in (message or "no reason given").splitlines())
        what = "the session stopped" if store.phase.is_mendable else "the engine failed"
        return (Finding("stop", f"{what}: {first}"), *(Finding("info", line) for line in more))
    if name == "ended":
        return (Finding("info", "the session ended without a prediction"),)
    if name == "loading":
        return (Finding("info", message_line(message) or "loading the model"),)
    if not is_following(store, t):
        return (Finding("info", "no prediction at or before this moment"),)
    opening = {
        "looking for streams": "looking for streams",
        "paused": "paused before the first prediction",
    }.get(name, "waiting for the first prediction")
    states = _readiness(store, t)
    lines = [message_line(message) or opening]
    lines += [f"{MODALITY_WORDS[modality]}: {state}" for modality, state in states.items()]
    if name == "running" and _READY in states.values():
        lines.append("of which there must be enough valid samples: see Health and Signals")
    return tuple(Finding("info", line) for line in lines)


def _readiness(store: ViewStore, t: float) -> dict[str, str]:
    missing = missing_context(store, t)
    states = {}
    for modality in MODALITIES:
        stream = store.stream_of(KIND_OF_MODALITY[modality])
        if stream is None:
            state = "no stream yet"
        elif stream.state != "open":
            state = f"stream {stream.state}"
        elif modality in missing:
            state = f"{missing[modality]:.0f} s of context still missing"
        else:
            state = _READY
        states[modality] = state
    return states
