"""Whether a prediction may be shown as an answer, and every reason to doubt it, each with its figure.

The rule of abstention. The top emotion is an answer only when

- its probability is at least midway between chance and certainty, ``(1 + 1/n) / 2`` for ``n`` emotions
  (60 % of five, 62.5 % of four): it is then more probable than all others together; and
- it leads the second by at least `MIN_MARGIN`. A network's probabilities move between two ticks by 0.12
  in the median (the shipped model, on simulated streams): a smaller lead can be gone half a second later.

It also abstains where the answer is based mostly on EEG with mostly bad electrodes, and always with a
profile no better than chance in its calibration. The time course uses probabilities alone and shows neither.

Softmax outputs are not calibrated on a new subject: the rule hides doubtful answers, but
the others may still be wrong.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from acquisition.quality import BAD_ELECTRODES, GAZE_VALID, MIN_VALIDITY
from acquisition.text import age, counted, percent
from acquisition.types import KIND_OF_MODALITY, MODALITIES, MODALITY_NAMES, Kind
from app.view.machine import TARGET_MS
from app.view.store import ViewStore
from app.view.text import message_line, one_line
from models.prediction import Prediction

SEVERITIES = ("stop", "caution", "info")  # the gravest first
MIN_MARGIN = 0.25  # see above
STALE_AFTER_S = 1.0  # four hops of 0.25 s: the answer is out of date
FOLLOWING_S = 1.0  # a moment no older than this counts as now: current figures apply to it
UNCERTAIN = "uncertain"
NO_PREDICTION = "no prediction yet"
NONE_HERE = "no prediction here"  # a moment of a recording that was skipped

MIN_ELECTRODES_SHARE = 0.5  # of those of training
GAZE_OVER_S = 4.0  # one eye step
MAX_SKIPPED_SHARE = 0.01
JUMPS_OVER_S = 10.0
MAX_JUMPS = 2  # windows overlap by more than nine tenths: the emotion cannot change this often


@dataclass(frozen=True)
class Finding:
    """A reason for or against an answer, and how grave it is."""

    severity: str  # stop: do not use the answer | caution: it may be wrong | info: good to know
    text: str
    code: str = ""  # what it is about; the text says it with its figure


@dataclass(frozen=True)
class Verdict:
    """What to show, and how far to trust it."""

    state: str  # certain | uncertain | stale | warming up | nothing
    label: str  # in big: an emotion, "uncertain", `NO_PREDICTION` or `NONE_HERE`
    probability: float  # of the top emotion, NaN without one
    top: str = ""  # the top emotion, whether or not it is the answer
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
    def codes(self) -> tuple[str, ...]:
        """The findings' codes."""
        return tuple(finding.code for finding in self.findings)

    @property
    def is_grey(self) -> bool:
        """True when nothing shown applies to the time looked at."""
        return self.state in ("stale", "nothing")


def is_following(store: ViewStore, t: float) -> bool:
    """Tell whether ``t`` is the present of the session, so that the streams' state now applies to it."""
    return not store.newest_time - t > FOLLOWING_S  # NaN: nothing has come yet, so it is


def reference_time(store: ViewStore, t: float) -> float:
    """Return what "now" is at ``t``.

    When all streams of a live session fall silent, only the engine's own clock advances.
    """
    if store.mode == "live" and store.health is not None and is_following(store, t):
        return max(t, store.health.time)
    return t


# --- the verdict ---


def threshold(n_labels: int) -> float:
    """Return the lowest probability that counts as an answer: midway between chance and 1."""
    return (1 + 1 / n_labels) / 2


def ranked(probs: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return labels and probabilities, the highest first; equal ones in the model's order."""
    return sorted(probs.items(), key=lambda item: -item[1] if item[1] == item[1] else math.inf)


def abstention(probs: Mapping[str, float]) -> Finding | None:
    """Return why the model should abstain, None where its answer stands."""
    if not probs or any(math.isnan(p) for p in probs.values()):
        return Finding("caution", "the probabilities are not valid numbers", "nan")
    best, *others = ranked(probs)
    least = threshold(len(probs))
    if best[1] < least - 1e-6:
        digits = 1 if round(100 * best[1]) >= round(100 * least) else 0  # 59.6 % is not "60 %" here
        text = f"top emotion {100 * best[1]:.{digits}f} %; {100 * least:.3g} % needed"
        return Finding("caution", text, "probability")
    if others and best[1] - others[0][1] < MIN_MARGIN - 1e-6:
        lead = 100 * (best[1] - others[0][1])
        text = f"{lead:.0f} points ahead of {others[0][0]}; {100 * MIN_MARGIN:.0f} needed"
        return Finding("caution", text, "margin")
    return None


def _unfit_signal(prediction: Prediction, store: ViewStore, t: float) -> Finding | None:
    """Return why the signals do not support an answer, None where they do.

    Bad electrodes outweigh the rest from half of the attention and half of the electrodes on.
    """
    quality = store.quality.at(t)
    if quality is None or not quality.channels or prediction.modality_attention.get("eeg", 0.0) < 0.5:
        return None
    n_bad, n_all = quality.n_bad, len(quality.channels)
    text = f"based mostly on EEG, but {n_bad} of {n_all} electrodes are bad"
    return Finding("caution", text, "bad eeg") if n_bad > BAD_ELECTRODES.bad * n_all else None


def judge(prediction: Prediction | None, store: ViewStore, t: float) -> Verdict:
    """Judge the newest prediction whose window ended at or before ``t``.

    ``t`` is the moment looked at, in LSL seconds; NaN before the first sample.
    """
    if prediction is None or not prediction.probs:
        return Verdict("nothing", NO_PREDICTION, math.nan, findings=tuple(_waits(store, t)))
    best, *others = ranked(prediction.probs)
    second = others[0] if others else ("", math.nan)
    unsure = abstention(prediction.probs) or _unfit_signal(prediction, store, t)
    is_guessing = store.model is not None and bool(store.model.warning)  # `_doubts` says so
    is_answer = unsure is None and not is_guessing
    age_s = reference_time(store, t) - prediction.t_end
    if age_s > STALE_AFTER_S and _stands_still(store, t):
        return Verdict("nothing", NONE_HERE, math.nan, findings=tuple(_passed_over(store, age_s)))
    stopped = _standstill(store, t, age_s)
    findings = [*stopped, *_doubts(prediction, store, t, is_stale=bool(stopped))]
    if unsure is not None:
        findings.append(unsure)
    state = "certain" if is_answer else "uncertain"
    if prediction.warm_up:
        state = "warming up"
    if stopped:
        state = "stale"
    return Verdict(
        state=state,
        label=best[0] if is_answer else UNCERTAIN,
        probability=best[1],
        top=best[0],
        second=second[0],
        second_probability=second[1],
        threshold=threshold(len(prediction.probs)),
        age_s=age_s,
        findings=tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))),
    )


def judge_at(store: ViewStore, t: float) -> tuple[Prediction | None, Verdict]:
    """Return the prediction to show at ``t``, None where it is of another moment, and its verdict."""
    prediction = store.predictions.at(t)
    verdict = judge(prediction, store, t)
    return (None if verdict.state == "nothing" else prediction), verdict


def labels_of(store: ViewStore, prediction: Prediction | None) -> tuple[str, ...]:
    """Return the emotions of a prediction, without one those of the model."""
    if prediction is not None:
        return tuple(prediction.probs)
    return store.model.labels if store.model is not None else ()


def _stands_still(store: ViewStore, t: float) -> bool:
    """Tell whether ``t`` is a time of a replay that stands still: nothing is overdue there."""
    is_held = store.phase.name in ("paused", "ended") or not is_following(store, t)
    return store.mode == "replay" and is_held


def _passed_over(store: ViewStore, age_s: float) -> Iterator[Finding]:
    """Yield why a moment of a replay has no prediction."""
    yield Finding("info", f"no prediction at this time; the last one is {age(age_s)} earlier", "none here")
    why = "skipped by the replay, or a gap in the recording; press Space to replay from here"
    yield Finding("info", why, "passed over")
    if store.phase.name == "paused":
        yield Finding("info", "paused", "paused")


def _standstill(store: ViewStore, t: float, age_s: float) -> list[Finding]:
    """Return why the prediction does not apply to ``t``; nothing when it does."""
    following, name = is_following(store, t), store.phase.name
    causes = []
    if following and name == "failed":
        first_line = (store.phase.message.strip() or "no reason given").splitlines()[0]
        causes.append(Finding("stop", f"the engine failed: {message_line(first_line)}", "failed"))
    if following and name == "ended" and store.mode == "live":
        causes.append(Finding("stop", "the session has ended", "ended"))
    if following and store.is_silent:
        text = f"no response from the engine for {age(store.silent_s)}"
        causes.append(Finding("stop", text, "silent"))
    if not causes and not age_s > STALE_AFTER_S:
        return []
    if following and not causes:
        causes += [
            Finding("stop", f"stream {one_line(stream.spec.name, 40)}: {stream.state}", "stream")
            for stream in store.streams.values()
            if stream.state != "open" and stream.spec.kind in KIND_OF_MODALITY.values()
        ]
    if age_s > STALE_AFTER_S:
        causes.insert(0, Finding("stop", f"no prediction for {age(age_s)}", "overdue"))
    return causes


# --- reasons to doubt a prediction ---


def _doubts(prediction: Prediction, store: ViewStore, t: float, *, is_stale: bool) -> Iterator[Finding]:
    yield from _of_modalities(prediction, store, t)
    yield from _of_signals(prediction, store, t)
    yield from _of_model(prediction, store)
    labels = [p.label for p in store.predictions.read(t - JUMPS_OVER_S, t)]
    n_jumps = sum(a != b for a, b in pairwise(labels))
    if n_jumps > MAX_JUMPS:
        yield Finding("caution", f"top emotion changed {n_jumps} times in {JUMPS_OVER_S:.0f} s", "jumps")
    if store.is_simulated:
        yield Finding("info", "the streams are simulated", "simulated streams")
    if not is_following(store, t):
        yield Finding("info", f"showing data from {age(store.newest_time - t)} ago", "past")
        return
    if store.phase.name == "paused" and not is_stale:
        yield Finding("info", "paused", "paused")
    if store.phase.name == "ended" and store.mode == "replay":
        yield Finding("info", "the replay has ended", "ended")
    if store.mode == "live":  # a replay's latency is that of the disk
        yield from _of_speed(store)


def _of_modalities(prediction: Prediction, store: ViewStore, t: float) -> Iterator[Finding]:
    missing = [modality for modality, there in prediction.present.items() if not there]
    if missing:
        n_all = len(prediction.present)
        each = ", ".join(f"{MODALITY_NAMES[m]} ({_why_missing(m, prediction, store, t)})" for m in missing)
        text = f"{n_all - len(missing)} of {n_all} modalities used; missing: {each}"
        yield Finding("caution", text, "missing")
    for modality in _masked(store, t):
        if modality not in missing:
            yield Finding("caution", f"{MODALITY_NAMES[modality]} masked manually", "masked")
    if prediction.warm_up:
        each = ", ".join(f"{MODALITY_NAMES[m]} {s:.0f} s" for m, s in _missing_context(store, t).items())
        needed = f"; more data needed: {each}" if each else ""
        yield Finding("caution", f"warming up{needed}", "warming up")


def _masked(store: ViewStore, t: float) -> tuple[str, ...]:
    return store.health.masked if store.health is not None and is_following(store, t) else ()


def _why_missing(modality: str, prediction: Prediction, store: ViewStore, t: float) -> str:
    if modality in _masked(store, t):
        return "masked manually"
    stream = store.stream_of(KIND_OF_MODALITY[modality]) if modality in KIND_OF_MODALITY else None
    if stream is None:
        return "no stream"
    if stream.state != "open" and is_following(store, t):
        return f"stream {stream.state}"
    if modality == "eye" and (valid := _valid_gaze(store, t)) < GAZE_VALID.suspect:
        return f"gaze valid {percent(valid)}"
    coverage = prediction.coverage.get(modality, 0.0)
    windows = store.model.windows if store.model is not None else None
    if modality == "face" and windows is not None:
        n_steps = windows.face_s / windows.face_grid_s
        if coverage * n_steps >= windows.face_min_frames:
            return "no face found"
    return f"only {percent(coverage)} of samples valid"


def _valid_gaze(store: ViewStore, t: float) -> float:
    """Return the share of the newest gaze samples in which the tracker saw an eye; NaN without any."""
    _, values = store.gaze.read(t - GAZE_OVER_S, t)
    return float(np.mean(values[:, 4] >= MIN_VALIDITY)) if len(values) else math.nan


def _of_signals(prediction: Prediction, store: ViewStore, t: float) -> Iterator[Finding]:
    quality = store.quality.at(t)
    if prediction.present.get("eeg") and quality is not None and quality.channels:
        n_bad, n_all = quality.n_bad, len(quality.channels)
        if n_bad > BAD_ELECTRODES.suspect * n_all:
            yield Finding("caution", f"{n_bad} of {n_all} electrodes bad", "electrodes")
    yield from _of_montage(prediction, store)
    if prediction.present.get("eye") and (valid := _valid_gaze(store, t)) < GAZE_VALID.suspect:
        text = f"gaze valid in {percent(valid)} of the last {GAZE_OVER_S:.0f} s"
        yield Finding("caution", text, "gaze")
    if prediction.present.get("face") and prediction.face_box is None and math.isfinite(prediction.face_time):
        yield Finding("info", "no face in the latest frame; earlier frames are used", "face")


def _of_montage(prediction: Prediction, store: ViewStore) -> Iterator[Finding]:
    """Compare the stream's electrodes with those of training."""
    stream = store.stream_of(Kind.EEG)
    if stream is None or store.model is None or not prediction.present.get("eeg"):
        return
    n_all = len(store.model.ch_names)
    n_there = len(set(stream.spec.ch_names) & set(store.model.ch_names))
    if n_there < n_all:
        severity = "caution" if n_there < MIN_ELECTRODES_SHARE * n_all else "info"
        yield Finding(severity, f"EEG has {n_there} of the {n_all} training electrodes", "montage")


def _of_model(prediction: Prediction, store: ViewStore) -> Iterator[Finding]:
    model = store.model
    if model is not None and model.warning:
        yield Finding("stop", one_line(model.warning), "profile")
    if model is not None and model.is_simulated:
        text = "model trained on simulated data: not valid for real people"
        yield Finding("caution", text, "simulated model")
    if prediction.normalisation == "training" and not (model is not None and model.profile):
        text = "normalised with training-data statistics, not this participant's (see --baseline)"
        yield Finding("info", text, "normalisation")


def _of_speed(store: ViewStore) -> Iterator[Finding]:
    health = store.health
    if health is None:
        return
    p99_ms = health.latency_p99_ms.get("total", math.nan)
    if p99_ms > TARGET_MS:
        yield Finding("caution", f"latency (p99) {p99_ms:.0f} ms; target {TARGET_MS:.0f} ms", "latency")
    n_windows = health.n_predictions + health.n_skipped
    if health.n_skipped > MAX_SKIPPED_SHARE * n_windows:
        text = f"{health.n_skipped:,} of {counted(n_windows, 'window')} skipped"
        yield Finding("caution", text, "skipped")


# --- what is being waited for while there is no prediction yet ---


def why_no_prediction(store: ViewStore) -> str:
    """Return in a sentence why a panel has no prediction to show."""
    if store.phase.name in ("failed", "ended"):
        return "No prediction: the session is over."
    return "No prediction yet: it needs a stream and a few seconds of data."


def _waits(store: ViewStore, t: float) -> Iterator[Finding]:
    """Yield what is being waited for while there is no prediction."""
    name, message = store.phase.name, store.phase.message.strip()
    if name == "failed":
        first, *more = (message_line(line) for line in (message or "no reason given").splitlines())
        what = "the engine failed" if store.phase.code is None else "the session stopped"
        yield Finding("stop", f"{what}: {first}", "failed")
        for line in more:
            yield Finding("info", line, "failed")
    elif name == "ended":
        yield Finding("info", "the session ended without a prediction", "ended")
    elif name == "loading":
        yield Finding("info", message_line(message) or "loading the model", "loading")
    elif not is_following(store, t):
        yield Finding("info", "no prediction at or before this time", "past")
    else:
        is_paused = name == "paused"
        opening = "paused before the first prediction" if is_paused else "waiting for the first prediction"
        yield Finding("info", message_line(message) or opening, "waiting")
        readiness = _readiness(store, t)
        for modality, (code, words) in readiness.items():
            yield Finding("info", f"{MODALITY_NAMES[modality]}: {words}", code)
        if name == "running" and "ready" in {code for code, _ in readiness.values()}:
            text = "perhaps not enough valid samples yet: see Health and Signals"
            yield Finding("info", text, "validity")


def _readiness(store: ViewStore, t: float) -> dict[str, tuple[str, str]]:
    """Return how far each modality is: a code, and words."""
    missing = _missing_context(store, t)
    states = {}
    for modality in MODALITIES:
        stream = store.stream_of(KIND_OF_MODALITY[modality])
        states[modality] = "ready", "receiving data"
        if stream is None:
            states[modality] = "no stream", "no stream yet"
        elif stream.state != "open":
            states[modality] = "stream", f"stream {stream.state}"
        elif modality in missing:
            states[modality] = "context", f"{missing[modality]:.0f} s more data needed"
    return states


def _missing_context(store: ViewStore, t: float) -> dict[str, float]:
    """Return how many seconds of context each open modality still needs, if any."""
    missing: dict[str, float] = {}
    for modality in MODALITIES if store.model is not None else ():
        stream = store.stream_of(KIND_OF_MODALITY[modality])
        if stream is not None and stream.state == "open":
            assert store.model is not None
            seconds = stream.since + store.model.windows.context_of(modality) - t
            if seconds > 0:
                missing[modality] = math.ceil(seconds)
    return missing
