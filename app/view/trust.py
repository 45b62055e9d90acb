"""Whether a prediction may be shown as an answer, and every reason not to trust it, each with its figure.

The rule of abstention. The likeliest emotion is an answer only when

- its probability is at least midway between chance and certainty, ``(1 + 1/n) / 2`` for ``n`` emotions
  (60 % of five, 62.5 % of four): it is then likelier than all others together, and chance-corrected it is
  nearer to knowing than to guessing; and
- it leads the second by at least `MIN_MARGIN`. A network's probabilities move between two ticks by 0.12
  in the median (the shipped model, on simulated streams): a smaller lead can be gone half a second later.

It abstains too where the answer rests mostly on an EEG most of whose electrodes are bad (`unfit_signal`)
and, always, with a profile that did no better than chance in its calibration; the course, which looks at
probabilities alone, does not show either.

Softmax outputs are not calibrated on a new person: the rule keeps doubtful answers off the screen, it
does not make the others true.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from app.view.doubts import doubts
from app.view.figures import age
from app.view.findings import SEVERITIES, Finding, is_following, reference_time
from app.view.plain_text import message_line, one_line
from app.view.store import ViewStore
from app.view.waits import waits
from models.prediction import Prediction

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
