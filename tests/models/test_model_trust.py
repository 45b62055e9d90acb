"""What a verdict says from facts alone: state, reasons, answer, sets, and whether to act upon it."""

import math
import subprocess
import sys
from dataclasses import replace

import pytest

from models.config import AnswerConfig
from models.conformal import NEVER
from models.prediction import Prediction
from models.trust import (
    ABSTENTIONS,
    MIN_MARGIN,
    Code,
    ModelFacts,
    SignalFacts,
    State,
    Verdict,
    judge,
    needed_probability,
)

LABELS = ("disgust", "fear", "sad", "neutral", "happy")
MODALITIES = ("eeg", "eye", "face", "voice")
ANSWERS = AnswerConfig(
    set_90=0.85, set_80=0.7, abstain_below=0.5, error=0.2, answered=0.6, ece=0.03, n_subjects=12, n_trials=120
)
FITTED = ModelFacts(ANSWERS)


def verdict(best=0.6, second=0.2, facts=FITTED, signals=None, n=5, **changes):
    rest = (1 - best - second) / (n - 2) if n > 2 else 0.0
    probs = dict(zip(LABELS, [best, second, *[rest] * (n - 2)], strict=False))
    there = dict.fromkeys(MODALITIES, True)
    share = dict.fromkeys(MODALITIES, 0.25)
    made = Prediction(
        4, 1.0, "disgust", probs, share, {}, (), there, dict.fromkeys(there, 1.0), 0.0, False, "profile"
    )
    return judge(replace(made, **{"agreement": 0.3} | changes), facts, signals or SignalFacts())


def codes(found):
    return {reason.code for reason in found.reasons}


def test_importing_it_loads_no_torch():
    program = (
        "import sys, models.trust, models.prediction, models.conformal; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_clear_answer_by_fitted_figures_is_safe_to_act_upon():
    found = verdict(0.8, 0.1)
    assert (found.state, found.answer, found.safe_to_act) == (State.CERTAIN, "disgust", True)
    assert found.set_90 == ("disgust",)


def test_an_answer_wrong_more_often_than_one_in_five_is_none_to_act_upon():
    found = verdict()
    assert (found.state, found.answer, found.safe_to_act) == (State.CERTAIN, "disgust", False)
    assert (found.set_90, found.set_80) == (("disgust", "fear"), ("disgust",))
    assert (found.top, found.probability, found.second, found.second_probability) == (
        "disgust",
        0.6,
        "fear",
        0.2,
    )
    assert (found.needed, found.reasons) == (0.5, ())


def test_below_what_the_model_needs_it_abstains_and_keeps_its_sets():
    found = verdict(0.49, 0.4)
    assert (found.state, found.answer, found.safe_to_act) == (State.UNCERTAIN, None, False)
    assert found.set_90[:2] == ("disgust", "fear")
    assert len(found.set_90) == 3  # 89 % are too little
    (reason,) = found.reasons
    assert (reason.code, dict(reason.facts)) == (Code.PROBABILITY, {"probability": 0.49, "needed": 0.5})


def test_fitted_figures_need_no_margin():
    assert verdict(0.5, 0.45).state is State.CERTAIN


def test_a_model_that_was_wrong_too_often_never_answers():
    assert verdict(1.0, 0.0, ModelFacts(replace(ANSWERS, abstain_below=NEVER))).answer is None


@pytest.mark.parametrize(("n", "least"), [(2, 0.75), (4, 0.625), (5, 0.6)])
def test_without_figures_an_answer_begins_midway_between_chance_and_certainty(n, least):
    assert needed_probability(n, None) == pytest.approx(least)
    second = (1 - least) / 2 if n > 2 else 1 - least
    found = verdict(least, second, ModelFacts(), n=n)
    assert (found.answer, found.set_90, found.set_80) == ("disgust", (), ())
    assert Code.PROBABILITY in codes(verdict(least - 0.002, second, ModelFacts(), n=n))


def test_without_figures_an_answer_must_lead_and_nothing_may_act_upon_it():
    assert verdict(0.62, 0.62 - MIN_MARGIN, ModelFacts()).state is State.CERTAIN
    assert Code.MARGIN in codes(verdict(0.62, 0.62 - MIN_MARGIN + 0.01, ModelFacts()))
    found = verdict(0.99, 0.01, ModelFacts())
    assert (found.answer, found.safe_to_act, codes(found)) == ("disgust", False, {Code.NOT_FITTED})


def test_probabilities_that_are_no_numbers_are_no_answer_and_no_set():
    found = verdict(probs=dict.fromkeys(LABELS, math.nan))
    assert (found.state, found.set_90, codes(found)) == (State.UNCERTAIN, (), {Code.NAN})


def test_warming_up_is_no_answer_yet():
    found = verdict(warm_up=True)
    assert (found.state, found.answer, found.safe_to_act) == (State.WARMING_UP, None, False)
    assert not found.abstains
    assert verdict(0.4, warm_up=True).abstains


def test_a_profile_that_only_guesses_gives_no_answer():
    found = verdict(0.99, 0.01, ModelFacts(ANSWERS, has_profile=True, is_guessing=True))
    assert (found.state, found.answer, found.reasons[0].code) == (State.UNCERTAIN, None, Code.PROFILE)


@pytest.mark.parametrize(("n_bad", "state"), [(31, State.CERTAIN), (32, State.UNCERTAIN)])
def test_an_answer_that_rests_on_bad_electrodes_is_withheld(n_bad, state):
    signals = SignalFacts(n_bad=n_bad, n_connected=62)
    attention = {"eeg": 0.7, "eye": 0.1, "face": 0.1, "voice": 0.1}
    assert verdict(modality_attention=attention, signals=signals).state is state
    assert verdict(signals=signals).state is State.CERTAIN  # a quarter of the attention


@pytest.mark.parametrize(("share", "is_said"), [(0.24, True), (0.25, False)])
def test_an_unreliable_modality_is_said_and_nothing_acts(share, is_said):
    found = verdict(0.9, 0.05, reliability={"eeg": share, "eye": 0.9})
    assert (Code.RELIABILITY in codes(found)) is is_said
    assert (found.answer, found.safe_to_act) == ("disgust", not is_said)
    assert found.reliability == {"eeg": share, "eye": 0.9}
    without = dict.fromkeys(MODALITIES, True) | {"eeg": False}
    assert Code.RELIABILITY not in codes(verdict(reliability={"eeg": share}, present=without))


@pytest.mark.parametrize(
    ("agreement", "is_safe", "facts"),
    [
        (0.08, True, None),
        (0.07, False, {"agreement": 0.07, "needed": 0.08}),
        (math.nan, False, {"needed_s": 72.0}),
    ],
)
def test_nothing_acts_before_the_modalities_have_changed_together(agreement, is_safe, facts):
    found = verdict(0.9, 0.05, agreement=agreement)
    assert (found.answer, found.safe_to_act) == ("disgust", is_safe)
    assert [dict(reason.facts) for reason in found.reasons if reason.code == Code.AGREEMENT] == [facts] * (
        facts is not None
    )
    with_profile = ModelFacts(ANSWERS, own_scores=(0.1,) * 10, has_profile=True)
    assert verdict(0.9, 0.05, with_profile, agreement=agreement).safe_to_act


@pytest.mark.parametrize(("are_simulated", "is_safe"), [(True, True), (False, False)])
def test_a_simulated_model_is_for_simulated_streams(are_simulated, is_safe):
    signals = SignalFacts(are_simulated=are_simulated)
    found = verdict(0.9, 0.05, ModelFacts(ANSWERS, is_simulated=True), signals)
    assert (found.answer, found.safe_to_act) == ("disgust", is_safe)
    assert codes(found) == {Code.SIMULATED_MODEL}


def test_own_trials_outside_the_sets_of_others_widen_them():
    agrees = ModelFacts(ANSWERS, own_scores=(0.2,) * 9 + (0.9,), has_profile=True)
    assert agrees.set_thresholds == (0.85, 0.7)
    assert verdict(0.8, 0.1, facts=agrees).safe_to_act
    differs = ModelFacts(ANSWERS, own_scores=(0.2,) * 6 + (0.9, 0.91, 0.92, 0.93), has_profile=True)
    assert differs.set_thresholds == (0.93, 0.92)  # the tenth and ninth of ten: 10/11 and 9/11
    found = verdict(0.97, 0.01, facts=differs)
    (reason,) = found.reasons
    assert (reason.code, dict(reason.facts)) == (
        Code.SETS_DIFFER,
        {"n_inside": 6, "n_trials": 10, "level": 0.9},
    )
    assert not found.safe_to_act


def test_own_trials_alone_make_sets_where_other_people_s_are_not_known():
    found = verdict(facts=ModelFacts(own_scores=(0.2,) * 8 + (0.5, 0.8), has_profile=True))
    assert (found.set_90, found.set_80) == (("disgust", "fear"), ("disgust",))


def test_few_electrodes_of_training_are_graver_than_many():
    facts = ModelFacts(ANSWERS, n_electrodes=62)
    for n_connected, expected in ((62, []), (40, ["info"]), (30, ["caution"])):
        found = verdict(facts=facts, signals=SignalFacts(n_connected=n_connected))
        assert [reason.severity for reason in found.reasons] == expected


def test_the_gravest_reason_comes_first():
    found = verdict(
        0.3,
        0.25,
        ModelFacts(is_guessing=True),
        normalisation="training",
        present=dict.fromkeys(MODALITIES, False),
    )
    severities = [reason.severity for reason in found.reasons]
    assert severities == sorted(severities, key=["stop", "caution", "info"].index)
    assert len(severities) == 5


def test_a_stale_verdict_is_no_answer_and_keeps_the_rest():
    found = verdict().stale()
    assert (found.state, found.answer, found.safe_to_act, found.top) == (State.STALE, None, False, "disgust")


def test_no_prediction_is_nothing():
    assert (Verdict().state, Verdict().abstains, Verdict().safe_to_act) == (State.NOTHING, True, False)
    assert Code.PROFILE in ABSTENTIONS


def test_sets_hold_their_probability_where_less_is_known_than_when_they_were_fitted():
    there = {**dict.fromkeys(MODALITIES, True), "voice": False}
    whole, missing = verdict(0.55, 0.2), verdict(0.55, 0.2, present=there)
    unreliable = verdict(0.55, 0.2, reliability={"eeg": 0.1})
    assert (len(whole.set_90), len(whole.set_80)) == (2, 1)
    for found in (missing, unreliable):
        assert (found.is_whole, len(found.set_90), len(found.set_80)) == (False, 4, 3)
    without_voice = replace(FITTED, modalities=("eeg", "eye", "face"))
    assert verdict(0.55, 0.2, without_voice, present=there).set_90 == whole.set_90


def test_where_nothing_is_likely_enough_for_a_set_no_emotion_is_excluded():
    facts = ModelFacts(replace(ANSWERS, set_90=0.7, set_80=0.5))
    found = verdict(0.25, 0.2, facts)
    assert (set(found.set_90), set(found.set_80)) == (set(LABELS), set(LABELS))
    assert (verdict(0.5, 0.2, facts).set_90, verdict(0.5, 0.2, facts).set_80) == (("disgust",),) * 2
