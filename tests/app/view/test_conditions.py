"""What the window says is wrong, and what to do about it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from filled_store import filled_store
from test_trust import model, prediction, store

from acquisition.errors import ErrorCode
from acquisition.stream_words import DEVICES
from acquisition.types import Change, Kind, StreamEvent, StreamSpec
from app.engine.messages import HealthPart, ModelInfo, Opened, Phase, RecordingInfo
from app.telemetry import Failure
from app.view.conditions import Condition, can_rest, conditions, stop_title
from app.view.store import ViewStore


def live_store(*kinds: Kind, model: ModelInfo | None = None) -> ViewStore:
    store = ViewStore()
    store.take(Opened("live", model, None))
    store.take(Phase("running"))
    for kind in kinds:
        spec = StreamSpec(kind.value, f"My {kind.value}", kind, ("a",), ("",), 100.0)
        store.take(StreamEvent(kind.value, Change.OPENED, 100.0, "", spec))
    return store


def simulated_store() -> ViewStore:
    made = store()
    made.is_simulated = True
    return made


def health(time: float, recording: RecordingInfo | None = None) -> HealthPart:
    return HealthPart(time, {}, {}, {}, 0, 0, 0.0, 0.0, "", recording, (), 0)


def said(store: ViewStore, key: str) -> Condition:
    return next(condition for condition in conditions(store) if condition.key.startswith(key))


def test_a_replay_that_runs_says_only_what_the_model_was_trained_on():
    assert [condition.key for condition in conditions(filled_store(20.0))] == ["simulated"]


@pytest.mark.parametrize(("modalities", "is_said"), [(("face",), True), (("eeg", "face"), False)])
def test_a_model_of_expressions_alone_says_so(modalities: tuple[str, ...], is_said: bool) -> None:
    store = filled_store(20.0)
    assert store.model is not None
    store.model = replace(store.model, modalities=modalities)
    assert ("expression" in [condition.key for condition in conditions(store)]) is is_said


def test_a_missing_camera_is_named_with_its_remedy_once_the_streams_have_settled():
    store = live_store(Kind.EEG, Kind.GAZE, Kind.AUDIO)
    store.take(health(102.0))
    assert conditions(store) == []
    store.take(health(110.0))
    camera = said(store, "missing")
    assert "webcam" in camera.text
    assert camera.remedy == DEVICES[Kind.VIDEO].if_missing


def test_a_silent_stream_says_for_how_long():
    store = live_store(Kind.EEG)
    store.take(StreamEvent("eeg", Change.STALE, 105.0, "no sample for 2.0 s"))
    store.take(health(112.0))
    assert said(store, "stream eeg").text.startswith("No data from My eeg for 7.0 s")


@pytest.mark.parametrize(
    ("code", "action"),
    [
        (ErrorCode.NO_STREAM, "choose_streams"),
        (ErrorCode.AMBIGUOUS_STREAM, "choose_streams"),
        (ErrorCode.MODEL, "choose_model"),
        (ErrorCode.RECORDING, "open_recording"),
    ],
)
def test_a_failed_engine_offers_the_way_out(code, action):
    store = ViewStore()
    store.take(Phase("failed", "x", code=code))
    assert said(store, "engine").actions == (action, "start_again")


def test_a_failure_of_a_stage_is_said_once_with_its_newest_words():
    store = live_store(Kind.EEG)
    for words in ("no room on the disk", "the disk is gone"):
        store.take(Failure("recording", words, 101.0))
    assert [c.text for c in conditions(store)] == ["recording failed: the disk is gone"]


def test_a_disk_that_fills_up_warns_ahead():
    store = live_store(Kind.EEG)
    info = RecordingInfo(Path("a.xdf"), "recording", "", 60.0, 10**6, 10**7, 300.0)
    store.take(health(101.0, info))
    assert said(store, "disk").severity == "warning"


def test_damage_of_a_recording_is_said_with_its_number_of_places():
    store = filled_store(20.0)
    store.timeline = replace(store.timeline, damage=("chunk 0", "chunk 1", "chunk 2"))
    assert said(store, "damage").text == "The recording is damaged: chunk 0 (and 2 more places)"


def test_the_gravest_comes_first():
    store = filled_store(20.0)
    store.take(Phase("failed", "x"))
    severities = [condition.severity for condition in conditions(store)]
    assert severities == sorted(severities, key=("error", "warning", "info").index)


def recording(state: str, message: str = "", n_bytes: int = 0) -> RecordingInfo:
    return RecordingInfo(Path("a.xdf"), state, message, 5.0, n_bytes, 10**12, 1e6)


def test_an_engine_that_hangs_is_said_and_can_be_replaced():
    store = live_store(Kind.EEG)
    store.silent_s = 2.0
    assert conditions(store) == []
    store.silent_s = 7.0
    assert said(store, "silent").actions == ("start_again",)
    store.take(Phase("loading"))  # which takes its time
    assert conditions(store) == []


def test_a_failed_recording_is_said_once_and_whether_there_is_anything_in_it():
    store = live_store(Kind.EEG)
    store.take(health(102.0, recording("failed", "no stream answers")))
    store.take(Failure("recording", "a.xdf: no stream answers", 102.0))
    (condition,) = conditions(store)
    assert (condition.key, condition.remedy) == ("recording", "")
    assert condition.text.endswith(": no stream answers")
    store.take(health(103.0, recording("failed", "the disk is full", n_bytes=10_000)))
    assert said(store, "recording").remedy


def test_a_refused_second_recording_does_not_deny_the_first():
    store = live_store(Kind.EEG)
    store.take(health(102.0, recording("recording", n_bytes=10)))
    store.take(Failure("recording", "b.xdf: a recording is running already", 102.0))
    assert said(store, "failure recording").remedy == "a.xdf is still being recorded"


@pytest.mark.parametrize(
    ("code", "facts", "title"),
    [
        (ErrorCode.AMBIGUOUS_STREAM, {"n_streams": 2, "modality": "eeg"}, "Two EEG streams: choose one"),
        (ErrorCode.AMBIGUOUS_STREAM, {"n_streams": 5, "modality": "face"}, "5 webcam streams: choose one"),
        (ErrorCode.RECORDING, {}, "This recording cannot be replayed"),
        (ErrorCode.OPTION, {}, "The session cannot start"),
        (None, {}, "Internal error: the engine stopped"),
    ],
)
def test_the_title_says_what_kind_of_thing_is_wrong(code, facts, title):
    assert stop_title(Phase("failed", "x", code=code, facts=facts), "") == title


def test_every_code_of_an_error_has_a_title():
    titles = {stop_title(Phase("failed", "x", code=code), "live") for code in ErrorCode}
    assert len(titles) >= len(ErrorCode) - 3  # options, data and subjects have one for all
    assert all(titles)


def test_a_long_remedy_is_whole_and_the_chooser_is_offered_first():
    names = "; ".join(f"'Cap {i}' (type EEG, source_id {'x' * 60}, id {i})" for i in range(6))
    store = ViewStore()
    message = f'streams: 6 streams fit eeg: {names} (choose with --streams "eeg=name:Cap 0")'
    store.take(Phase("failed", message, code=ErrorCode.AMBIGUOUS_STREAM))
    (condition,) = conditions(store)
    assert message in condition.text
    assert condition.actions == ("choose_streams", "start_again")


def test_why_a_session_stopped_is_among_its_messages():
    store = ViewStore()
    store.take(Opened("live", None, None))
    store.take(Phase("failed", "the card is gone"))
    assert [(text, severity) for _, text, severity in store.events] == [("the card is gone", "bad")]


def test_a_model_of_faces_misses_no_other_device():
    faces = live_store(Kind.VIDEO, model=replace(model(), modalities=("face",)))
    faces.take(health(110.0))
    assert not [condition for condition in conditions(faces) if condition.key.startswith("missing")]
    assert not can_rest(faces)


def keys(store: ViewStore) -> set[str]:
    return {condition.key for condition in conditions(store)}


def test_a_rest_is_offered_until_the_level_is_known():
    begun = store()
    offer = said(begun, "rest")
    assert (offer.actions, offer.close, offer.can_be_closed) == (("start_rest",), "Skip", True)
    begun.take(prediction(normalisation="running level", level_trials=2.0))
    assert "rest" in keys(begun)
    begun.take(prediction(normalisation="running level", level_trials=4.5))
    assert "rest" not in keys(begun)
    begun.take(prediction(normalisation="baseline of 60 s"))
    assert "rest" not in keys(begun)


@pytest.mark.parametrize(
    "elsewhere", [store("replay"), store(profile="S01"), simulated_store(), live_store(Kind.EEG)]
)
def test_no_rest_is_offered_where_it_sets_no_level(elsewhere):
    assert not keys(elsewhere) & {"rest", "resting"}


def test_a_rest_says_how_long_it_lasts_and_can_be_ended():
    rests = store()
    rests.take(replace(health(1000.0), rest_left_s=33.6))
    assert (said(rests, "resting").actions, "rest" in keys(rests)) == (("stop_rest",), False)
    assert said(rests, "resting").text.startswith("Rest: 34 s left")
