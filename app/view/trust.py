"""The verdict as a window shows it: does it still hold at the moment looked at, and its reasons in words.

`models.trust` judges each prediction where it is decoded. Here it only becomes stale, and findings about
the display, the streams and the session join its reasons.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np

from acquisition.quality import BAD, BAD_ELECTRODES, GAZE_VALID, MIN_VALIDITY
from acquisition.text import age, counted, either, percent
from acquisition.types import KIND_OF_MODALITY, MODALITIES, MODALITY_NAMES, MODALITY_OF_KIND, Kind
from app.engine.messages import HealthPart, QualityPart
from app.telemetry import STATE_WORDS
from app.view.conditions import simulated_names, why_shown_only
from app.view.health import TARGET_MS
from app.view.store import ViewStore
from app.view.text import message_line, one_line
from assets import words
from models.prediction import Prediction
from models.trust import STALE_AFTER_S, Code, Reason, Severity, State, Verdict, needed_probability

MARKED_BAD = "marked by hand"
ELECTRODES_HOLD_S = 5.0  # their states come once a second, and are not known after so long without EEG
FOLLOWING_S = 1.0  # a moment no older than this counts as now: current figures apply to it
UNCERTAIN = "uncertain"
NO_PREDICTION = "no prediction yet"
NOT_DECODED = "not decoded"  # the signals are shown, but their channels are not mapped
NONE_HERE = "no prediction here"  # a moment of a recording that was skipped

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
class Shown(Verdict):
    """The verdict at the moment looked at, and what to show of it."""

    label: str = NO_PREDICTION  # in big: an emotion, "uncertain", `NO_PREDICTION` or `NONE_HERE`
    age_s: float = math.nan  # of the prediction
    findings: tuple[Finding, ...] = ()  # the gravest first

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(finding.text for finding in self.findings)

    @property
    def codes(self) -> tuple[str, ...]:
        return tuple(finding.code for finding in self.findings)

    @property
    def is_grey(self) -> bool:
        """True when nothing shown applies to the time looked at."""
        return self.state in (State.STALE, State.NOTHING)


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


def electrodes_at(store: ViewStore, t: float) -> QualityPart | None:
    """Return the electrodes' states at ``t``; None while they are not known, as without EEG.

    What is marked bad by hand now counts as bad at any time.
    """
    part, stream = store.quality.at(t), store.stream_of(Kind.EEG)
    if part is None or reference_time(store, t) - part.time > ELECTRODES_HOLD_S:
        return None
    is_silent = stream is not None and stream.state != "open" and store.phase.name == "running"
    if is_silent and is_following(store, t):
        return None
    marked = store.health.marked_bad if store.health is not None else ()
    if not marked:
        return part
    bad = partial(replace, state=BAD, reason=MARKED_BAD, score=0.0, cause=MARKED_BAD)
    return replace(part, channels=tuple(bad(c) if c.ch_name in marked else c for c in part.channels))


# --- the verdict ---


def judge(prediction: Prediction | None, store: ViewStore, t: float) -> Shown:
    """Judge the newest prediction whose window ended at or before ``t``.

    ``t`` is the moment looked at, in LSL seconds; NaN before the first sample.
    """
    if prediction is None or not prediction.probs:
        is_shown = store.shown_only is not None and store.phase.name != "failed"
        return Shown(label=NOT_DECODED if is_shown else NO_PREDICTION, findings=tuple(_waits(store, t)))
    age_s = reference_time(store, t) - prediction.t_end
    is_held = store.phase.name in ("paused", "ended") or not is_following(store, t)
    if age_s > STALE_AFTER_S and store.mode == "replay" and is_held:  # nothing is overdue there
        return Shown(label=NONE_HERE, findings=tuple(_passed_over(store, age_s)))
    verdict = prediction.verdict
    stopped = _standstill(store, t, age_s)
    findings = [
        *stopped,
        *(Finding(r.severity, _in_words(r, prediction, store, t), r.code) for r in verdict.reasons),
        *_doubts(prediction, store, t, is_stale=bool(stopped)),
    ]
    findings.sort(key=lambda finding: list(Severity).index(Severity(finding.severity)))
    now = verdict.stale() if stopped else verdict
    label = UNCERTAIN if verdict.abstains else verdict.top
    return Shown(**vars(now), label=label, age_s=age_s, findings=tuple(findings))


def judge_at(store: ViewStore, t: float) -> tuple[Prediction | None, Shown]:
    """Return the prediction to show at ``t``, None where it is of another moment, and its verdict."""
    prediction = store.predictions.at(t)
    verdict = judge(prediction, store, t)
    return (None if verdict.state is State.NOTHING else prediction), verdict


def labels_of(store: ViewStore, prediction: Prediction | None) -> tuple[str, ...]:
    if prediction is not None:
        return tuple(prediction.probs)
    return store.model.labels if store.model is not None else ()


def said_sets(verdict: Verdict) -> str:
    """Return the prediction sets in words: "happy or neutral (90 %), happy (80 %)"; "" where there are none.

    Equal sets are said once; a set of every emotion says nothing.
    """
    n_labels = verdict.n_labels
    said = {
        level: "any emotion" if len(labels) == n_labels else either(labels)
        for level, labels in (("90 %", verdict.set_90), ("80 %", verdict.set_80))
        if labels
    }
    if verdict.set_90 == verdict.set_80:
        said.pop("80 %", None)
    return ", ".join(f"{words} ({level})" for level, words in said.items())


def needed(store: ViewStore, labels: tuple[str, ...]) -> float:
    """Return the lowest probability that is an answer, for the model in use; NaN without one."""
    if not labels:
        return math.nan
    return needed_probability(len(labels), store.model.answers if store.model is not None else None)


def _passed_over(store: ViewStore, age_s: float) -> Iterator[Finding]:
    """Yield why a moment of a replay has no prediction."""
    yield Finding("info", f"no prediction at this time; the last one is {age(age_s)} earlier", "none here")
    why = "skipped by the replay, or a gap in the recording; press Space to replay from here"
    yield Finding("info", why, "passed over")
    if store.phase.name == "paused":
        yield Finding("info", "paused", "paused")


def _standstill(store: ViewStore, t: float, age_s: float) -> list[Finding]:
    """Return why the prediction does not apply to ``t``; nothing when it does."""
    name, is_overdue, causes = store.phase.name, age_s > STALE_AFTER_S, []
    if is_following(store, t):
        if name == "failed":
            first_line = (store.phase.message.strip() or "no reason given").splitlines()[0]
            causes.append(Finding("stop", f"the engine failed: {message_line(first_line)}", "failed"))
        if name == "ended" and store.mode == "live":
            causes.append(Finding("stop", "the session has ended", "ended"))
        if store.is_silent:
            text = f"no response from the engine for {age(store.silent_s)}"
            causes.append(Finding("stop", text, "silent"))
        if is_overdue and not causes:
            causes = _silences(store)
    # Last: what it follows from comes first.
    return [*causes, Finding("stop", f"no prediction for {age(age_s)}", "overdue")] if is_overdue else causes


def _silences(store: ViewStore) -> list[Finding]:
    """Return which streams do not send, in one sentence where it is all of them."""
    read = [stream for stream in store.streams.values() if stream.spec.kind in KIND_OF_MODALITY.values()]
    figures = store.health.streams if store.health is not None else {}
    silent = [
        (one_line(stream.spec.name, 40), STATE_WORDS.get(stream.state, "silent"))
        for stream in read
        if stream.state != "open" or (stream.spec.key in figures and figures[stream.spec.key].is_silent)
    ]
    if len(silent) == len(read) > 1:
        names = ", ".join(name for name, _ in silent)
        return [Finding("stop", f"no stream sends data: {names}; check devices and LSL apps", "stream")]
    return [Finding("stop", f"stream {name}: {state}", "stream") for name, state in silent]


# --- the verdict's reasons in words ---

_WORDS = words("reasons")


def _in_words(reason: Reason, prediction: Prediction, store: ViewStore, t: float) -> str:
    facts = reason.facts
    match reason.code:
        case Code.PROBABILITY:
            return _too_little(facts["probability"], facts["needed"])
        case Code.AGREEMENT if "agreement" not in facts:
            seconds = facts["needed_s"]
            return f"whether any emotion is shown: not known before {seconds:.0f} s of two modalities"
        case Code.MARGIN:
            lead, least = 100 * facts["lead"], 100 * facts["needed"]
            return f"{lead:.0f} points ahead of {prediction.verdict.second}; {least:.0f} needed"
        case Code.PROFILE:
            warning = store.model.warning if store.model is not None else ""
            return one_line(warning) or "the profile was no better than chance in its calibration"
        case Code.MISSING:
            missing = {m: _why_missing(m, prediction, store, t) for m in facts if m in MODALITY_NAMES}
            each = ", ".join(f"{MODALITY_NAMES[m]} ({why})" for m, why in missing.items())
            n_all = int(facts["n_all"])
            return f"{n_all - len(missing)} of {n_all} modalities used; missing: {each}"
        case Code.WARMING_UP:
            more = _missing_context(store, t).items()
            each = ", ".join(f"{MODALITY_NAMES[m]} {seconds:.0f} s" for m, seconds in more)
            return "warming up" + (f"; more data needed: {each}" if each else "")
        case Code.RELIABILITY:
            each = ", ".join(f"{MODALITY_NAMES[m]} {percent(share)}" for m, share in facts.items())
            return f"signal unlike that of training or calibration; reliability: {each}"
    return words_of(reason.code, facts)


def words_of(code: Code, facts: Mapping[str, float]) -> str:
    """Return a reason in words that needs nothing but its facts."""
    if code is not Code.SELF_REPORTS:
        return _WORDS[code].format(**facts).replace("%", " %")
    said = f"self-reports: the answer was right in {_share('n_right', '', facts)}"
    said += f", chance {percent(facts['chance'])}" if "chance" in facts else ""
    inside = f"; the 90 % set held {_share('n_inside', '_inside', facts)}" if "n_inside" in facts else ""
    return said + inside


def _share(name: str, of: str, facts: Mapping[str, float]) -> str:
    n, low, high = facts[name], facts[f"low{of}"], facts[f"high{of}"]
    return f"{n:.0f} of {facts['n_reports']:.0f} ({percent(low)} to {percent(high)})"


def _too_little(probability: float, least: float) -> str:
    """Return how far a probability is from an answer, never rounded to what is needed."""
    if least > 1:
        return "this model's answers were wrong too often with new participants: it gives none"
    digits = 1 if round(100 * probability) >= round(100 * least) else 0  # 59.6 % is not "60 %" here
    return f"top emotion {100 * probability:.{digits}f} %; {100 * least:.3g} % needed"


# --- what streams, session and display add ---


def level_words(prediction: Prediction, store: ViewStore, t: float) -> str:
    """Return what the participant's own level rests on; "" where there is none."""
    health = _current(store, t)
    if health is not None and health.rest_left_s:
        return f"own level: being set by the rest, {health.rest_left_s:.0f} s left"
    worth = prediction.level_trials
    if math.isfinite(worth):
        said = f"{counted(round(worth), 'trial')}' worth" if worth >= 1.5 else "one trial's worth"
        return f"own level: {said if worth >= 0.5 else 'less than ' + said} of data so far"
    known = {"training": "", "": "", "profile": "own level: that of the profile's calibration"}
    return known.get(prediction.normalisation, f"own level: {prediction.normalisation}")


def _current(store: ViewStore, t: float) -> HealthPart | None:
    """Return the engine's figures where they apply to ``t``."""
    return store.health if is_following(store, t) else None


def _doubts(prediction: Prediction, store: ViewStore, t: float, *, is_stale: bool) -> Iterator[Finding]:
    health = _current(store, t)
    for modality in health.masked if health is not None else ():
        if prediction.present.get(modality, True):
            yield Finding("caution", f"{MODALITY_NAMES[modality]} masked manually", "masked")
    yield from _of_signals(prediction, store, t)
    labels = [p.label for p in store.predictions.read(t - JUMPS_OVER_S, t)]
    n_jumps = sum(a != b for a, b in pairwise(labels))
    if n_jumps > MAX_JUMPS:
        yield Finding("caution", f"top emotion changed {n_jumps} times in {JUMPS_OVER_S:.0f} s", "jumps")
    if level := level_words(prediction, store, t):
        yield Finding("info", level, "level")
    if store.model is not None and store.model.profile:
        said = f"profile {one_line(store.model.profile, 40)}: {store.model.verdict or 'no verdict'}"
        yield Finding("info", said, "profile in use")
    if store.is_simulated:
        names = ", ".join(simulated_names(store) if store.real_streams else [])
        said = f"simulated: {names}" if names else "the streams are simulated"
        yield Finding("info", said, "simulated streams")
    if not is_following(store, t):
        yield Finding("info", f"showing data from {age(store.newest_time - t)} ago", "past")
        return
    if store.phase.name == "paused" and not is_stale:
        yield Finding("info", "paused", "paused")
    if store.phase.name == "ended" and store.mode == "replay":
        yield Finding("info", "the replay has ended", "ended")
    if store.mode == "live" and health is not None:  # a replay's latency is that of the disk
        yield from _of_speed(health)


def _why_missing(modality: str, prediction: Prediction, store: ViewStore, t: float) -> str:
    health = _current(store, t)
    if health is not None and modality in health.masked:
        return "masked manually"
    stream = store.stream_of(KIND_OF_MODALITY[modality]) if modality in KIND_OF_MODALITY else None
    if stream is None:
        return "no stream"
    if stream.spec.is_shown_only:
        return "channels not mapped"
    if stream.state != "open" and is_following(store, t):
        return f"stream {STATE_WORDS[stream.state]}"
    figures = health.streams.get(stream.spec.key) if health is not None else None
    if figures is not None and figures.late_s > 0:
        return f"arrives {age(figures.late_s)} late"
    if modality == "eye" and (valid := _valid_gaze(store, t)) < GAZE_VALID.suspect:
        return f"gaze valid {percent(valid)}"
    coverage = prediction.coverage.get(modality, 0.0)
    if modality == "face" and store.model is not None:
        windows = store.model.windows
        if coverage * windows.face_s / windows.face_grid_s >= windows.face_min_frames:
            return "no face found"
    return f"only {percent(coverage)} of samples valid"


def _valid_gaze(store: ViewStore, t: float) -> float:
    """Return the share of the newest gaze samples in which the tracker saw an eye; NaN without any."""
    _, values = store.gaze.read(t - GAZE_OVER_S, t)
    return float(np.mean(values[:, 4] >= MIN_VALIDITY)) if len(values) else math.nan


def _of_signals(prediction: Prediction, store: ViewStore, t: float) -> Iterator[Finding]:
    quality = electrodes_at(store, t)
    if prediction.present.get("eeg") and quality is not None and quality.channels:
        n_bad, n_all = quality.n_bad, len(quality.channels)
        if n_bad > BAD_ELECTRODES.suspect * n_all:
            yield Finding("caution", f"{n_bad} of {n_all} electrodes bad", "electrodes")
    if prediction.present.get("eye") and (valid := _valid_gaze(store, t)) < GAZE_VALID.suspect:
        text = f"gaze valid in {percent(valid)} of the last {GAZE_OVER_S:.0f} s"
        yield Finding("caution", text, "gaze")


def _of_speed(health: HealthPart) -> Iterator[Finding]:
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
    if (shown := store.shown_only) is not None:
        return f"No prediction: {why_shown_only(shown)}."
    if store.is_over:
        return "No prediction: the session is over."
    return "No prediction yet: it needs a stream and a few seconds of data."


def _waits(store: ViewStore, t: float) -> Iterator[Finding]:
    """Yield what is being waited for while there is no prediction."""
    name, message = store.phase.name, store.phase.message.strip()
    if (shown := store.shown_only) is not None and name != "failed":
        code = "unmapped" if shown.spec.kind is Kind.EEG else "no modality"
        yield Finding("stop", f"not decoded: {why_shown_only(shown)}", code)
        if not any(
            s.spec.kind in MODALITY_OF_KIND and not s.spec.is_shown_only for s in store.streams.values()
        ):
            return
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
        readiness = {} if name == "waiting" else _readiness(store, t)
        for modality, (code, words) in readiness.items():
            yield Finding("info", f"{MODALITY_NAMES[modality]}: {words}", code)
        if name == "running" and "ready" in {code for code, _ in readiness.values()}:
            text = "perhaps not enough valid samples yet: see Health and Signals"
            yield Finding("info", text, "validity")


def _readiness(store: ViewStore, t: float) -> dict[str, tuple[str, str]]:
    """Return how far each modality is: a code, and words."""
    missing = _missing_context(store, t)
    states = {}
    for modality in store.modalities:
        stream = store.stream_of(KIND_OF_MODALITY[modality])
        states[modality] = "ready", "receiving data"
        if stream is None:
            states[modality] = "no stream", "no stream yet"
        elif stream.state != "open":
            states[modality] = "stream", f"stream {STATE_WORDS[stream.state]}"
        elif stream.spec.is_shown_only:
            states[modality] = "unmapped", "channels not mapped"
        elif modality in missing:
            states[modality] = "context", f"{missing[modality]:.0f} s more data needed"
    return states


def _missing_context(store: ViewStore, t: float) -> dict[str, float]:
    """Return how many seconds of context each open modality still needs, if any."""
    if store.model is None:
        return {}
    streams = {modality: store.stream_of(KIND_OF_MODALITY[modality]) for modality in MODALITIES}
    since = {
        m: stream.since for m, stream in streams.items() if stream is not None and stream.state == "open"
    }
    left = {m: start + store.model.windows.context_of(m) - t for m, start in since.items()}
    return {modality: math.ceil(seconds) for modality, seconds in left.items() if seconds > 0}
