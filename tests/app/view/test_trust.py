"""When a prediction counts as an answer, when it is stale, and what is said against it."""

import math
from dataclasses import replace

import numpy as np
import pytest
from filled_store import filled_store

from acquisition.quality import ChannelQuality
from acquisition.types import Change, Kind, StreamEvent, StreamHealth, StreamSpec
from acquisition.windowing import WindowConfig
from app.engine.messages import GazePart, HealthPart, ModelInfo, Opened, Phase, QualityPart
from app.view.conditions import conditions, stream_note
from app.view.store import ViewStore
from app.view.trust import NO_PREDICTION, NONE_HERE, NOT_DECODED, electrodes_at, judge, judge_at, said_sets
from models import trust
from models.config import AnswerConfig
from models.prediction import Prediction
from models.trust import MIN_MARGIN, STALE_AFTER_S, ModelFacts, SignalFacts

NOW = 1000.0
LABELS = ("disgust", "fear", "sad", "neutral", "happy")
ANSWERS = AnswerConfig(0.85, 0.7, 0.6, 0.2, 0.5, 0.03, 12, 120)
FITTED, NO_SIGNALS = ModelFacts(ANSWERS), SignalFacts()
KINDS = {"eeg": Kind.EEG, "eye": Kind.GAZE, "face": Kind.VIDEO, "voice": Kind.AUDIO}


def probabilities(best, second, n=5):
    rest = (1 - best - second) / (n - 2) if n > 2 else 0.0
    return dict(zip(LABELS, [best, second, *[rest] * (n - 2)], strict=False))


def prediction(t_end=NOW, probs=None, facts=FITTED, signals=NO_SIGNALS, **changes):
    probs = probs or probabilities(0.8, 0.1)
    there = dict.fromkeys(KINDS, True)
    made = Prediction(
        index=round(t_end * 4),
        t_end=t_end,
        label=max(probs, key=probs.get),
        probs=probs,
        modality_attention=dict.fromkeys(KINDS, 0.25),
        channel_attention={},
        time_attention=(),
        present=there,
        coverage=dict.fromkeys(KINDS, 1.0),
        waited_s=0.0,
        warm_up=False,
        normalisation="",
        agreement=0.3,
    )
    made = replace(made, **changes)
    return replace(made, verdict=trust.judge(made, facts, signals))


def model(**changes):
    windows = WindowConfig()
    made = ModelInfo(
        "m", "m", LABELS, ("FP1",), "people", False, "small", 1, "cpu", (), windows, answers=ANSWERS
    )
    return replace(made, **changes)


def store(mode="live", opened_at=NOW - 60, without=(), now=NOW, **model_changes):
    made = ViewStore()
    made.take(Opened(mode, model(**model_changes), None))
    made.take(Phase("running"))
    for modality, kind in KINDS.items():
        if modality not in without:
            spec = StreamSpec(modality, f"{modality} stream", kind, ("FP1",), ("au",), 100.0)
            made.take(StreamEvent(modality, Change.OPENED, opened_at, "", spec))
    gaze(made, now, valid=1.0)
    return made


def gaze(filled, now, valid):
    times = now - np.arange(200)[::-1] * 0.02
    validity = (np.arange(200) < 200 * valid).astype(np.float32)
    two = np.full((200, 2), 0.5, np.float32)
    filled.take(GazePart(times, two, two, validity, "mm"))


def health(time=NOW, **changes):
    made = HealthPart(time, {}, {}, {"total": 90.0}, 400, 0, 50.0, 500.0, "", None, (), 0)
    return replace(made, **changes)


def verdict(filled, made=None, t=NOW):
    made = made or prediction()
    filled.take(made)
    return judge(made, filled, t)


def test_what_rounding_would_hide_is_said():
    found = verdict(store(), prediction(probs=probabilities(0.596, 0.1)))
    assert found.texts == ("top emotion 59.6 %; 60 % needed",)


def test_a_clear_lead_is_an_answer_and_nothing_speaks_against_it():
    found = verdict(store())
    assert (found.state, found.label, found.probability) == ("certain", "disgust", 0.8)
    assert found.texts == ()


def test_without_fitted_figures_the_lead_is_said_in_points():
    made = prediction(probs=probabilities(0.62, 0.62 - MIN_MARGIN + 0.01), facts=ModelFacts())
    assert "24 points ahead of fear; 25 needed" in verdict(store(), made).texts


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (ANSWERS, "disgust or fear (90 %), disgust (80 %)"),
        (replace(ANSWERS, set_90=0.7), "disgust (90 %)"),
        (replace(ANSWERS, set_90=1.0), "any emotion (90 %), disgust (80 %)"),
        (None, ""),
    ],
)
def test_sets_are_said_in_words(answers, words):
    made = prediction(probs=probabilities(0.7, 0.15), facts=ModelFacts(answers))
    assert said_sets(made.verdict) == words


def test_uncertain_names_the_two_top_emotions():
    found = verdict(store(), prediction(probs=probabilities(0.41, 0.33)))
    assert (found.state, found.label) == ("uncertain", "uncertain")
    assert (found.top, found.second) == ("disgust", "fear")
    assert "probability" in found.codes


def test_probabilities_that_are_no_numbers_are_no_answer():
    found = verdict(store(), prediction(probs=dict.fromkeys(LABELS, math.nan), label="disgust"))
    assert found.state == "uncertain"
    assert "nan" in found.codes


@pytest.mark.parametrize(("age_s", "state"), [(STALE_AFTER_S, "certain"), (STALE_AFTER_S + 0.01, "stale")])
def test_stale_begins_after_one_second(age_s, state):
    assert verdict(store(), prediction(NOW - age_s)).state == state


def test_stale_says_which_stream_stopped():
    filled = store()
    filled.take(StreamEvent("eye", Change.STALE, NOW - 1, "silent"))
    found = verdict(filled, prediction(NOW - 3.2))
    assert found.state == "stale"
    assert found.codes[:2] == ("stream", "overdue")
    assert found.texts[:2] == ("stream eye stream: silent", "no prediction for 3.2 s")
    assert [finding.severity for finding in found.findings[:2]] == ["stop", "stop"]


@pytest.mark.parametrize("by_figures", [True, False])
def test_when_everything_is_unplugged_that_is_said_first(by_figures):
    filled = store()
    gone = StreamHealth(100, 0.0, 5.0, 0.0, 0, False, False, 0, 0)
    filled.take(health(NOW + 5, streams=dict.fromkeys(KINDS, gone) if by_figures else {}))
    for modality in () if by_figures else KINDS:
        filled.take(StreamEvent(modality, Change.STALE, NOW + 1, "the sender is gone"))
    found = verdict(filled)
    assert found.codes[:2] == ("stream", "overdue")
    assert all(f"{modality} stream" in found.texts[0] for modality in KINDS)


def test_electrodes_are_not_known_once_their_stream_is_silent():
    filled = store()
    filled.take(QualityPart(NOW - 7, (ChannelQuality("FP1", "bad", "flat", 0.0),)))
    assert electrodes_at(filled, NOW) is None  # the eye tracker goes on
    assert electrodes_at(filled, NOW - 6) is not None  # looked back at
    filled.take(QualityPart(NOW - 1, (ChannelQuality("FP1", "bad", "flat", 0.0),)))
    assert "electrodes" in verdict(filled).codes
    filled.take(StreamEvent("eeg", Change.STALE, NOW, "the sender is gone"))
    assert "electrodes" not in verdict(filled).codes


def test_only_the_simulated_streams_are_called_so():
    filled = store()
    filled.take(Opened("live", model(), None, is_simulated=True, real_streams=("eye stream",)))
    spec = StreamSpec("eeg", "Made EEG", Kind.EEG, ("FP1",), ("uV",), 100.0, is_simulated=True)
    filled.take(StreamEvent("eeg", Change.OPENED, NOW - 60, "", spec))
    (said,) = [f.text for f in verdict(filled).findings if f.code == "simulated streams"]
    assert said == "simulated: Made EEG"
    (banner,) = [condition.text for condition in conditions(filled) if condition.key == "simulated"]
    assert banner == "Simulated: Made EEG; not simulated: eye stream."


def test_when_all_streams_fall_silent_the_engines_clock_still_makes_it_stale():
    filled = store()
    filled.take(health(NOW + 4.0))
    assert verdict(filled).state == "stale"  # looked at from the newest sample, which does not move


def test_a_failed_engine_makes_the_answer_stale_at_once_with_its_first_line():
    filled = store()
    filled.take(Phase("failed", "the card was lost\nat: decoder"))
    found = verdict(filled)
    assert found.state == "stale"
    assert found.codes[0] == "failed"
    assert found.texts[0].endswith(": the card was lost")


def test_a_live_session_that_ended_is_stale_and_a_replay_is_not():
    for mode, state in (("live", "stale"), ("replay", "certain")):
        filled = store(mode)
        filled.take(Phase("ended"))
        assert verdict(filled).state == state


def test_looking_back_judges_the_past_not_the_present():
    filled = store()
    made = prediction(NOW - 30)
    filled.take(StreamEvent("eye", Change.STALE, NOW, "silent"))
    filled.take(Phase("failed", "gone"))
    filled.take(health(NOW + 5, masked=("voice",)))
    found = verdict(filled, made, NOW - 30)
    assert found.state == "certain"
    assert found.codes == ("past",)


def test_warm_up_keeps_the_emotion_and_says_what_is_missing():
    found = verdict(store(opened_at=NOW - 4), prediction(warm_up=True))
    assert (found.state, found.label) == ("warming up", "disgust")
    assert found.texts == ("warming up; more data needed: EEG 6 s, eyes 16 s, face 2 s, voice 2 s",)


def test_absent_modalities_are_counted_with_their_cause():
    filled = store(without=("voice",))
    present = dict.fromkeys(KINDS, True) | {"face": False, "voice": False}
    found = verdict(filled, prediction(present=present))
    assert found.texts == ("2 of 4 modalities used; missing: face (no face found), voice (no stream)",)


def test_a_modality_that_is_missing_because_it_is_late_says_so():
    filled = store()
    late = StreamHealth(100, 60.0, 0.0, 0.0, 0, False, True, 0, 0, late_s=9.8)
    filled.take(health(streams={"eye": late}))
    found = verdict(filled, prediction(present=dict.fromkeys(KINDS, True) | {"eye": False}))
    assert "eyes (arrives 9.8 s late)" in found.texts[found.codes.index("missing")]


def test_a_modality_masked_manually_is_named_once():
    filled = store()
    filled.take(health(masked=("eeg",)))
    present = dict.fromkeys(KINDS, True) | {"eeg": False}
    found = verdict(filled, prediction(present=present))
    assert found.texts == ("3 of 4 modalities used; missing: EEG (masked manually)",)


@pytest.mark.parametrize(("n_bad", "codes"), [(12, ()), (13, ("electrodes",))])
def test_more_than_a_fifth_of_bad_electrodes_is_said(n_bad, codes):
    filled = store()
    channels = [ChannelQuality(f"E{i}", "bad" if i < n_bad else "good", "", 0.5) for i in range(62)]
    filled.take(QualityPart(NOW - 0.5, tuple(channels)))
    assert verdict(filled).codes == codes


def test_little_valid_gaze_is_said():
    filled = store()
    gaze(filled, NOW, valid=0.4)
    assert verdict(filled).codes == ("gaze",)


def test_slow_and_skipped_windows_are_said_live_only():
    figures = health(latency_p99_ms={"total": 312.0}, n_skipped=12)
    live, replay = store(), store("replay")
    live.take(figures)
    replay.take(figures)
    assert verdict(live).codes == ("latency", "skipped")
    assert verdict(replay).codes == ()


def test_a_model_of_simulated_data_and_foreign_statistics_are_said():
    facts = ModelFacts(ANSWERS, is_simulated=True)
    found = verdict(store(is_simulated=True), prediction(normalisation="training", facts=facts))
    assert [(f.severity, f.code) for f in found.findings] == [
        ("caution", "simulated model"),
        ("info", "normalisation"),
    ]


def test_an_emotion_that_keeps_changing_is_said():
    filled = store()
    for k in range(4):
        probs = probabilities(0.8, 0.1) if k % 2 else probabilities(0.1, 0.8)
        filled.take(prediction(NOW - 4 + k, probs))
    found = verdict(filled, prediction(probs=probabilities(0.8, 0.1)))
    assert found.codes == ("jumps",)


def test_before_the_first_prediction_it_says_what_is_waited_for():
    filled = store(opened_at=NOW - 4, without=("voice",))
    found = judge(None, filled, NOW)
    assert (found.state, found.label) == ("nothing", NO_PREDICTION)
    assert found.codes == ("waiting", "context", "context", "context", "no stream")
    assert found.texts[1] == "EEG: 6 s more data needed"


def test_an_empty_store_waits_for_the_model():
    assert judge(None, ViewStore(), math.nan).codes == ("loading",)


def test_a_hostile_stream_name_is_made_one_plain_line():
    filled = store()
    spec = StreamSpec("x", "<b>T7</b>\n\u202eevil" + "x" * 500, Kind.EEG, ("x",), ("au",), 100.0)
    filled.take(StreamEvent("x", Change.OPENED, NOW, "", spec))
    filled.take(StreamEvent("x", Change.ENDED, NOW, ""))
    text = verdict(filled, prediction(NOW - 3)).texts[0]
    assert text.startswith("stream <b>T7</b> ")
    assert "\n" not in text
    assert "\u202e" not in text
    assert len(text) < 80


def test_an_engine_that_hangs_makes_its_last_answer_stale():
    made = store()
    assert judge(prediction(), made, NOW).state != "stale"
    made.silent_s = 5.0
    verdict = judge(prediction(), made, NOW)
    assert verdict.state == "stale"
    assert verdict.codes[0] == "silent"


def test_every_code_of_a_verdict_has_words():
    facts = ModelFacts(ANSWERS, own_scores=(0.95,) * 10, is_simulated=True, is_guessing=True, n_electrodes=62)
    made = prediction(
        facts=facts,
        signals=SignalFacts(n_bad=20, n_connected=20),
        reliability={"eye": 0.1},
        modality_attention={"eeg": 0.9},
        face_time=NOW,
        normalisation="training",
    )
    assert verdict(store(), made).texts == (
        "the profile was no better than chance in its calibration",
        "model trained on simulated data: not valid for real people",
        "90 % sets from other participants held the emotion in only 0 of this one's 10 calibration trials: "
        "wider sets are shown",
        "signal unlike that of training or calibration; reliability: eyes 10 %",
        "EEG has 20 of the 62 training electrodes",
        "based mostly on EEG, but 20 of 20 electrodes are bad",
        "no face in the latest frame; earlier frames are used",
        "normalised with training-data statistics, not this participant's",
    )


def test_a_held_replay_is_not_overdue_and_paused_is_no_fault():
    filled = store("replay")
    filled.take(Phase("paused"))
    found = verdict(filled)
    assert found.state == "certain"
    assert [(f.severity, f.code) for f in found.findings] == [("info", "paused")]
    early = judge(prediction(NOW - 15), filled, NOW)  # sought to a moment that has no prediction
    assert (early.state, early.label) == ("nothing", NONE_HERE)
    assert {finding.severity for finding in early.findings} == {"info"}
    assert early.codes[0] == "none here"


def test_looking_back_in_a_replay_at_what_was_passed_over_is_no_fault():
    filled = store("replay")
    found = judge(prediction(NOW - 45), filled, NOW - 30)
    assert found.state == "nothing"
    assert "stop" not in {finding.severity for finding in found.findings}


def test_a_running_replay_without_predictions_is_stale():
    assert judge(prediction(NOW - 15), store("replay"), NOW).state == "stale"


def test_simulated_streams_are_said_also_of_an_earlier_moment():
    filled = filled_store(20.0)
    earlier = filled.predictions.at(filled.newest_time - 4.0)
    assert filled.is_simulated
    assert "simulated streams" in judge(earlier, filled, filled.newest_time - 4.0).codes


def test_a_profile_that_only_guesses_gives_no_answer_and_says_why_first():
    made = store(profile="S01, session 1", warning="do not trust this model: its calibration was chance")
    verdict = judge(prediction(facts=ModelFacts(ANSWERS, is_guessing=True)), made, NOW)
    assert verdict.state == "uncertain"
    assert verdict.label == "uncertain"
    assert verdict.findings[0].severity == "stop"
    assert verdict.codes[0] == "profile"
    assert any(c.key == "profile" and not c.can_be_closed for c in conditions(made))


def test_the_profile_in_use_is_said_with_its_verdict():
    found = verdict(store(profile="S01, session 1", verdict="weak"))
    assert ("profile in use", "profile S01, session 1: weak") in zip(found.codes, found.texts, strict=True)


def test_own_level_is_said_by_what_it_rests_on():
    def words(**changes):
        return [f.text for f in verdict(store(), prediction(**changes)).findings if f.code == "level"]

    assert words() == words(normalisation="training") == []
    assert words(normalisation="running level", level_trials=0.2) == [
        "own level: less than one trial's worth of data so far"
    ]
    assert words(normalisation="running level", level_trials=2.7) == [
        "own level: 3 trials' worth of data so far"
    ]
    assert words(normalisation="baseline of 60 s") == ["own level: baseline of 60 s"]
    assert words(normalisation="profile") == ["own level: that of the profile's calibration"]
    rests = store()
    rests.take(health(rest_left_s=33.6))
    assert "own level: being set by the rest, 34 s left" in verdict(rests, prediction()).texts


def test_signals_that_are_shown_only_are_said_not_to_be_decoded_and_offer_the_mapping():
    store, spec = ViewStore(), StreamSpec("k", "Muse", Kind.EEG, ("TP9",), ("µV",), 256.0, is_shown_only=True)
    store.take(Phase("running"))
    store.take(StreamEvent("k", Change.OPENED, 0.0, "", spec))
    _, shown = judge_at(store, 1.0)
    assert (shown.label, shown.codes[0]) == (NOT_DECODED, "unmapped")
    (found,) = (c for c in conditions(store) if c.key == "unmapped")
    assert found.actions == ("map_channels",)
    assert stream_note(store, Kind.EEG, 1.0) == ""
