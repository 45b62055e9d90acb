"""What the report says in sentences: results against chance, the rule of abstention, markers, consent."""

from datetime import UTC, datetime

from acquisition.text import counted, percent
from calibration.consent import TITLES
from calibration.report.summary import Score, Summary
from calibration.types import DisplayTiming
from calibration.verdict import ALPHA, DO_NOT_TRUST, VerdictCode
from models.conformal import too_rarely_covered

SIMULATED = (
    "Simulated data: the signals come from the program's own simulator, and no figure here is valid for real "
    "people."
)
USE = {
    VerdictCode.NOT_DISTINGUISHABLE: f"{DO_NOT_TRUST.capitalize()}.",
    VerdictCode.WEAK: "The profile is better than guessing, but often wrong.",
    VerdictCode.USABLE: "The profile may be demonstrated, within the limits below.",
}
_PHOTODIODE = (
    "Markers are stamped at the buffer swap, accurate to ±1 display frame; the panel's own delay is unknown. "
    "If it matters, put a photodiode on a corner of the screen and record it with the EEG."
)


def trial_counts(summary: Summary) -> str:
    parts = [f"{summary.n_planned} planned", f"{summary.n_staged} shown to their end"]
    if summary.n_repeated:
        parts.append(f"{summary.n_repeated} restarted")
    parts += [f"{len(summary.fit.trials)} used", f"{len(summary.excluded)} excluded"]
    return f"Trials: {', '.join(parts)}."


def chance_words(summary: Summary) -> str:
    verdict, shuffled = summary.verdict, summary.fit.shuffled
    n, least = verdict.n_trials, verdict.threshold
    parts = [f"Chance with {len(summary.fit.classes)} emotions is {percent(verdict.chance)}."]
    if least.balanced_accuracy is None:
        parts.append(f"With {n} trials not even a perfect result would rule out guessing.")
    else:
        sizes = {int(size) for size in summary.confusion.sum(axis=1) if size}
        share = percent(least.balanced_accuracy)
        reached = f"a balanced accuracy of {share}"
        if len(sizes) == 1:
            reached = f"{least.n_correct} or more of {n} trials correct (balanced accuracy {share})"
        parts.append(
            f"Guessing reaches {reached} in fewer than 1 of 20 sessions (binomial p < .05); for this model "
            f"{_p_value(verdict.p_binomial)}."
        )
    if verdict.p_permutation is None:
        parts.append("No fit on shuffled labels was made.")
    else:
        n_as_good = sum(share >= verdict.balanced_accuracy - 1e-9 for share in shuffled)
        parts.append(
            f"Of {len(shuffled)} fits on shuffled labels {n_as_good or 'none'} did as well "
            f"({_p_value(verdict.p_permutation)})."
        )
    parts.append(
        "The interval treats trials as independent; trials of one subject are not fully independent, so it "
        "is somewhat too narrow."
    )
    return " ".join(parts)


def answer_words(summary: Summary) -> str:
    answers, curve, sets = summary.fit.answers, summary.fit.risk, summary.fit.sets
    n = sets[0].n_trials
    trials = (
        f"Sets fitted to {counted(n, 'trial')} of one subject cannot promise exactly 90 or 80 %, only "
        f"multiples of 1/{n + 1}."
    )
    if answers is None or curve is None:
        return (
            "The base model does not know how often profiles of other subjects are wrong: an answer needs a "
            "probability midway between chance and certainty, and nothing should act upon it. The sets rest "
            f"on these trials alone, so their counts below are no test of them. {trials}"
        )
    if answers.abstain_below > 1:
        rule = "Profiles of other subjects were wrong too often at every probability: it never answers."
    else:
        answered, error, n_answered = curve.at(answers.answer_from)
        here = f"Here {percent(answered)} of the held-out windows have that"
        if n_answered:
            here += f"; of these answers {percent(error)} are wrong ({counted(n_answered, 'trial')}; the dot)"
        others = f"profiles of {answers.n_subjects} other subjects ({answers.n_trials} trials)"
        wrong = f"{percent(answers.error)} of these answers were wrong"
        found = f"In {others} {percent(answers.answered)} of the windows had that, and {wrong}."
        if answers.abstain_below < answers.answer_from:
            found = (
                f"The threshold fitted to {others} is lower, {percent(answers.abstain_below)}, and not in "
                f"force: from it on {percent(answers.error)} of their windows were wrong."
            )
        rule = (
            f"An answer needs a top probability of {percent(answers.answer_from)}. {here}. {found} The "
            f"dotted line is the {percent(answers.risk)} of wrong answers that a threshold is fitted to."
        )
    differ = ""
    if too_rarely_covered([trial.score for trial in summary.fit.trials], answers.set_90, 0.9):
        differ = " Other subjects' sets held the emotion too rarely here: the wider of both sets is shown."
    return f"{rule} {trials}{differ}"


def does_eeg_add(summary: Summary) -> str:
    """Return in words whether EEG adds anything to the rest: the face-only control."""
    without, face = summary.fit.removed.get("eeg"), summary.fit.alone.get("face")
    if "eeg" not in summary.modalities:
        return "EEG was not used in this session."
    if without is None:
        return "EEG was the only modality: there is nothing to compare it with."
    whole = summary.score
    parts = [f"The face alone predicts {out_of(face)} trials correctly."] if face is not None else []
    both = out_of(without), out_of(whole)
    parts.append("Without EEG the model predicts {} trials correctly, with it {}.".format(*both))
    n_won, n_lost, p = whole.against(without)
    if n_won <= n_lost:
        nothing = "Nothing here shows that EEG adds anything: the model may rely on face, eyes or voice."
        return " ".join([*parts, nothing])
    adds = "it adds to the rest" if p < ALPHA else "too few to show that EEG adds anything"
    corrects = f"EEG corrects {counted(n_won, 'trial')} and makes {n_lost} wrong"
    return " ".join([*parts, f"{corrects} (one-sided sign test, {_p_value(p)}): {adds}."])


def against_base(summary: Summary) -> str:
    """Return in words whether the profile beats the base model on the same trials; "" without any."""
    base, whole = summary.fit.base_model, summary.score
    if not summary.fit.trials:
        return ""
    if base is None:
        return "The base model does not know these emotions: there is nothing to compare the profile with."
    n_won, n_lost, p = whole.against(base)
    said = (
        f"On the same trials the base model alone, given this subject's average signals, is right in "
        f"{out_of(base)}, the profile in {out_of(whole)}"
    )
    if not n_won and not n_lost:
        return f"{said}, in each trial alike: nothing here shows that the profile is better."
    better = (
        "the profile is better than the base model" if p < ALPHA else "this does not show it to be better"
    )
    changed = f"the profile corrects {counted(n_won, 'trial')} and makes {n_lost} wrong"
    return f"{said}: {changed} (one-sided sign test, {_p_value(p)}): {better}."


def agreement(summary: Summary) -> str:
    n_answered = len(summary.reported)
    fitted = f"The model was fitted to the {summary.fit.labels} emotion."
    if n_answered == 0:
        return f"No trial was answered. {fitted}"
    n_without = summary.n_staged - n_answered
    unanswered = f"No answer to {counted(n_without, 'trial')}. " if n_without else ""
    return (
        f"In {summary.n_agreed} of {n_answered} answered trials the participant named the emotion that was "
        f"intended ({percent(summary.n_agreed / n_answered)}). {unanswered}{fitted}"
    )


def timing_words(timing: tuple[DisplayTiming, ...]) -> str:
    shown = [one for one in timing if one.n_frames > 0 and one.interval_s > 0]
    if not shown:
        return (
            "No display was measured: the session ran without a window, and markers carry the time of the "
            "command to show a stimulus."
        )
    intervals = sorted(one.interval_s for one in shown)
    middle = 1e3 * intervals[len(intervals) // 2]
    n_frames, n_missed = sum(one.n_frames for one in shown), sum(one.n_missed for one in shown)
    return (
        f"Display interval {middle:.1f} ms (median of {len(shown)} steps), so markers are accurate to "
        f"±{middle:.0f} ms. {n_missed} of {n_frames} frames came late by half an interval or more "
        f"({100 * n_missed / n_frames:.2f} %). {_PHOTODIODE}"
    )


def consent_words(summary: Summary) -> str:
    consent = summary.record.consent
    agreed = [TITLES.get(one, one) for one in consent.modalities]
    declined = [title for one, title in TITLES.items() if one not in consent.modalities]
    raw = {"video of the face": consent.keep_face_video, "voice": consent.keep_voice}
    kept = " and ".join(name for name, is_kept in raw.items() if is_kept)
    parts = [f"Consented to: {', '.join(agreed) or 'nothing'}."]
    if declined:
        parts.append(f"No consent, neither recorded nor used: {', '.join(declined)}.")
    parts.append(f"Raw {kept} kept in the recording." if kept else "Neither raw video nor raw sound is kept.")
    if consent.given_at:
        parts.append(f"Consent given {moment(consent.given_at)} (notice version {consent.notice_version}).")
    if summary.record.overridden:
        parts.append(f"Signal checks at Stop that were overridden: {', '.join(summary.record.overridden)}.")
    return " ".join(parts)


def moment(stamp: str) -> str:
    """Return an ISO 8601 time as "2026-03-02 10:30 UTC"; anything else as it is."""
    try:
        time = datetime.fromisoformat(stamp)
    except ValueError:
        return stamp
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if time.tzinfo else f"{time:%Y-%m-%d %H:%M}"


def _p_value(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.095 else f"p = {p:.2f}"


def out_of(score: Score) -> str:
    """Return for example 7 of 10."""
    return f"{score.n_correct} of {score.n_trials}"
