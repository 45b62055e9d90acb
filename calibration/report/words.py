"""What the figures mean, in sentences."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from calibration.consent import TITLES
from calibration.report.summary import Score, Summary
from calibration.types import DisplayTiming
from calibration.verdict import ALPHA, DO_NOT_TRUST, NOT_DISTINGUISHABLE, USABLE, percent

SIMULATED = (
    "Simulated data: no person was measured. The signals come from the program's own simulator, and no "
    "figure here says anything about real people."
)
PHOTODIODE = (
    "A marker carries the time at which the screen swapped to the frame, which is right to plus or minus one "
    "display frame; what the panel adds to that is not known. Where it matters, put a photodiode on a corner "
    "of the screen and record it beside the EEG."
)


def trust(summary: Summary) -> str:
    """Return in one line whether to use the profile."""
    if summary.verdict.verdict == NOT_DISTINGUISHABLE:
        return f"{DO_NOT_TRUST.capitalize()}."
    if summary.verdict.verdict == USABLE:
        return "The profile may be demonstrated, with the doubts below."
    return "The profile is better than guessing, and often wrong."


def counts(summary: Summary) -> str:
    """Return how many trials there were and what became of them."""
    parts = [f"{summary.n_planned} planned", f"{summary.n_staged} shown to their end"]
    if summary.n_repeated:
        parts.append(f"{summary.n_repeated} begun anew")
    parts += [f"{len(summary.fit.trials)} used", f"{len(summary.left_out)} left out"]
    return "Trials: " + ", ".join(parts) + "."


def chance_words(summary: Summary) -> str:
    """Return the result against both thresholds."""
    verdict = summary.verdict
    n, least = verdict.n_trials, verdict.threshold
    parts = [f"Chance with {len(summary.fit.classes)} emotions is {percent(verdict.chance)}."]
    if least.balanced_accuracy is None:
        parts.append(f"With {n} trials not even a perfect result would rule out guessing.")
    else:
        sizes = {int(size) for size in summary.confusion.sum(axis=1) if size}
        share = percent(least.balanced_accuracy)
        reached = f"a balanced accuracy of {share}"
        if len(sizes) == 1:
            reached = f"{least.n_correct} or more of {n} trials right (balanced accuracy {share})"
        parts.append(
            f"Guessing gets {reached} in fewer than one session of twenty (binomial p < .05); this model's "
            f"result has {p_value(verdict.p_binomial)}."
        )
    if verdict.p_permutation is None:
        parts.append("No fit on shuffled labels was made.")
    else:
        shuffled = summary.fit.shuffled
        n_as_good = sum(share >= verdict.balanced_accuracy - 1e-9 for share in shuffled)
        parts.append(
            f"Of {len(shuffled)} fits on shuffled labels {n_as_good or 'none'} did as well "
            f"({p_value(verdict.p_permutation)})."
        )
    parts.append(
        "The interval takes trials as independent; those of one person are not quite, so the truth is wider."
    )
    return " ".join(parts)


def p_value(p: float) -> str:
    """Return "p = 0.012" or "p < 0.001"."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.095 else f"p = {p:.2f}"


def does_eeg_add(summary: Summary) -> str:
    """Return in words whether EEG adds anything to the rest: the face-only control."""
    fit = summary.fit
    without, face = fit.removed.get("eeg"), fit.alone.get("face")
    if "eeg" not in summary.modalities:
        return "EEG was not used in this session."
    if without is None:
        return "EEG was the only modality: there is nothing to compare it with."
    whole = summary.score
    parts = [f"The face alone gets {of(face)} right."] if face is not None else []
    parts.append(f"Without EEG the model gets {of(without)} right, with it {of(whole)}.")
    n_won, n_lost = _differing(whole.right, without.right)
    if n_won <= n_lost:
        parts.append(
            "Nothing here shows that EEG adds anything: what is decoded may be the face, the eyes or the "
            "voice."
        )
        return " ".join(parts)
    p = sum(math.comb(n_won + n_lost, k) for k in range(n_won, n_won + n_lost + 1)) / 2 ** (n_won + n_lost)
    turned = f"EEG sets {trials(n_won)} right and {n_lost} wrong (one-sided sign test, {p_value(p)})"
    parts.append(
        f"{turned}: it adds to the rest."
        if p < ALPHA
        else f"{turned}: too few to show that EEG adds anything."
    )
    return " ".join(parts)


def _differing(whole: tuple[bool, ...], without: tuple[bool, ...]) -> tuple[int, int]:
    """Return in how many trials only the first, and only the second, is right."""
    pairs = list(zip(whole, without, strict=True))
    return sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)


def agreement_words(summary: Summary) -> str:
    """Return how often the person named the emotion that was intended."""
    n_asked, n_answered = summary.n_staged, len(summary.reported)
    used = "the reported" if summary.fit.labels == "reported" else "the intended"
    if n_answered == 0:
        return f"No trial was answered. The model was fitted to {used} emotion."
    n_without = n_asked - n_answered
    unanswered = f" {trials(n_without).capitalize()} went without an answer." if n_without else ""
    return (
        f"In {summary.n_agreed} of {n_answered} answered trials the person named the emotion that was "
        f"intended ({percent(summary.n_agreed / n_answered)}).{unanswered} The model was fitted to {used} "
        "emotion."
    )


def timing_words(timing: tuple[DisplayTiming, ...]) -> str:
    """Return how exact the markers are."""
    shown = [one for one in timing if one.n_frames > 0 and one.interval_s > 0]
    if not shown:
        return (
            "No display was measured: the session ran without a window, and markers carry the time of the "
            "order to show a stimulus."
        )
    intervals = sorted(one.interval_s for one in shown)
    middle = 1e3 * intervals[len(intervals) // 2]
    n_frames, n_missed = sum(one.n_frames for one in shown), sum(one.n_missed for one in shown)
    return (
        f"Display interval {middle:.1f} ms (median of {len(shown)} steps), so markers are right to "
        f"±{middle:.0f} ms. {n_missed} of {n_frames} frames came late by half an interval or more "
        f"({100 * n_missed / n_frames:.2f} %). {PHOTODIODE}"
    )


def consent_words(summary: Summary) -> str:
    """Return what was agreed to; nobody is named."""
    consent = summary.consent
    agreed = [TITLES.get(one, one) for one in consent.modalities]
    declined = [title for one, title in TITLES.items() if one not in consent.modalities]
    kept = [
        words
        for is_kept, words in ((consent.keep_face_video, "video of the face"), (consent.keep_voice, "voice"))
        if is_kept
    ]
    parts = [f"Agreed to: {', '.join(agreed) or 'nothing'}."]
    if declined:
        parts.append(f"Not agreed to, and neither recorded nor used: {', '.join(declined)}.")
    parts.append(
        f"Raw {' and '.join(kept)} kept in the recording."
        if kept
        else "No raw video and no raw sound is kept."
    )
    if consent.given_at:
        parts.append(f"Given {moment(consent.given_at)}, to version {consent.notice_version} of the notice.")
    if summary.overridden:
        parts.append(f"Red lights that were overridden: {', '.join(summary.overridden)}.")
    return " ".join(parts)


def moment(stamp: str) -> str:
    """Return an ISO 8601 time as "2026-03-02 10:30 UTC"; anything else as it is."""
    try:
        time = datetime.fromisoformat(stamp)
    except ValueError:
        return stamp
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if time.tzinfo else f"{time:%Y-%m-%d %H:%M}"


def of(score: Score) -> str:
    """Return "8 of 10"."""
    return f"{score.n_correct} of {score.n_trials}"


def trials(n: int) -> str:
    """Return "1 trial" or "3 trials"."""
    return f"{n} trial{'' if n == 1 else 's'}"
