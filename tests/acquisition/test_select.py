"""What a stream is, and which one is chosen."""

from __future__ import annotations

import shlex

import pytest

from acquisition.errors import ErrorCode, InputError
from acquisition.header import CALIBRATION_ID, NOTES_ID
from acquisition.select import exclude_unusable, kind_of, lacking, select_streams, without
from acquisition.types import Kind, StreamHeader


def header(
    name: str, type_: str, source_id: str = "", fmt: str = "float32", n_channels: int = 4
) -> StreamHeader:
    return StreamHeader(name, type_, source_id, "host", f"uid-{name}-{type_}", 100.0, n_channels, fmt)


@pytest.mark.parametrize(
    ("type_", "fmt", "kind"),
    [
        ("EEG", "float32", Kind.EEG),
        ("eeg", "int16", Kind.EEG),
        ("Gaze", "double64", Kind.GAZE),
        ("Eyetracker", "float32", Kind.GAZE),
        ("Eye Tracking", "float32", Kind.GAZE),
        ("VideoCompressed", "string", Kind.VIDEO),
        ("video_raw", "int8", Kind.VIDEO),
        ("Video", "string", Kind.VIDEO),
        ("AUDIO", "int16", Kind.AUDIO),
        ("StringMarker", "string", Kind.MARKERS),
        ("annotations", "string", Kind.MARKERS),
        ("Marker", "int32", Kind.MARKERS),
        ("ACC", "float32", Kind.OTHER),
        ("GYRO", "float32", Kind.OTHER),
        ("PPG", "float32", Kind.OTHER),
        ("EEG", "string", Kind.OTHER),
    ],
)
def test_kind_follows_type_and_format(type_: str, fmt: str, kind: Kind) -> None:
    assert kind_of(header("x", type_, fmt=fmt)) is kind


def test_a_video_stream_of_frame_numbers_is_no_video() -> None:
    assert kind_of(header("cam", "Video", fmt="int32", n_channels=1)) is Kind.OTHER


def of_kind(kind: Kind, kinds: dict) -> list:
    return [key for key, chosen in kinds.items() if chosen is kind]


MUSE = {i: header("Muse", type_, "Muse_00:55") for i, type_ in enumerate(("ACC", "GYRO", "PPG", "EEG"), 1)}


def test_streams_of_one_name_are_told_apart_by_type() -> None:
    assert select_streams(MUSE) == {4: Kind.EEG}
    assert select_streams(MUSE, "eeg=name:Muse") == {4: Kind.EEG}
    assert select_streams(MUSE, "eeg=source_id:Muse_00:55") == {4: Kind.EEG}


def test_another_sensor_is_never_eeg() -> None:
    with pytest.raises(InputError) as error:
        select_streams(MUSE, "eeg=type:ACC")
    assert error.value.code is ErrorCode.WRONG_STREAM
    assert error.value.facts == {"modality": "eeg"}


def test_two_candidates_are_named_with_the_way_to_choose() -> None:
    two = {"a": header("Cap", "EEG", "s1"), "b": header("Band", "EEG", "s2")}
    with pytest.raises(InputError, match=r"'Cap'.*'Band'.*--streams eeg=name:Cap") as error:
        select_streams(two)
    assert error.value.code is ErrorCode.AMBIGUOUS_STREAM
    assert error.value.facts == {"modality": "eeg", "n_streams": 2}
    assert of_kind(Kind.EEG, select_streams(two, "eeg=name:Band")) == ["b"]


def test_twins_are_told_apart_by_id() -> None:
    twins = {7: header("Cap", "EEG", "s"), 9: header("Cap", "EEG", "s")}
    with pytest.raises(InputError, match="eeg=id:7"):
        select_streams(twins)
    assert select_streams(twins, "eeg=id:9") == {9: Kind.EEG}


def test_none_excludes_a_modality() -> None:
    streams = {"a": header("Cap", "EEG"), "b": header("Cam", "VideoCompressed", fmt="string")}
    assert select_streams(streams, "face=none") == {"a": Kind.EEG}


def test_an_unknown_type_can_be_chosen_by_hand() -> None:
    assert select_streams({1: header("amp", "Signal")}, "eeg=name:amp") == {1: Kind.EEG}


def test_names_may_hold_commas_and_colons() -> None:
    streams = {1: header("Cap, old: 2", "EEG"), 2: header("Cap", "EEG"), 3: header("Eyes", "Gaze")}
    assert select_streams(streams, "eeg=Cap, old: 2,eye=Eyes") == {1: Kind.EEG, 3: Kind.GAZE}


def test_own_streams_are_never_input() -> None:
    streams = {1: header("p", "AffectscopePrediction"), 2: header("c", "AffectscopeClock", fmt="string")}
    with pytest.raises(InputError) as error:
        select_streams(streams)
    assert error.value.code is ErrorCode.NO_STREAM


def test_all_marker_streams_are_taken() -> None:
    streams = {1: header("Cap", "EEG"), 2: header("m", "Markers", fmt="string"), 3: header("n", "Marker")}
    assert of_kind(Kind.MARKERS, select_streams(streams)) == [2, 3]
    assert of_kind(Kind.MARKERS, select_streams(streams, "markers=name:n")) == [3]


@pytest.mark.parametrize("text", ["nose=name:x", "eeg", "eeg=", "eeg=a,eeg=b"])
def test_a_malformed_choice_is_an_error_of_the_option(text: str) -> None:
    with pytest.raises(InputError) as error:
        select_streams({1: header("Cap", "EEG")}, text)
    assert error.value.code is ErrorCode.OPTION


@pytest.mark.parametrize("text", ["eeg=name:nobody", "eeg=type:nothing"])
def test_a_choice_that_nothing_fits_names_its_modality(text: str) -> None:
    with pytest.raises(InputError) as error:
        select_streams({1: header("Cap", "EEG")}, text)
    assert error.value.code is ErrorCode.WRONG_STREAM
    assert error.value.facts == {"modality": "eeg"}


def test_one_stream_cannot_be_two_modalities() -> None:
    with pytest.raises(InputError) as error:
        select_streams({1: header("Amp", "Signal")}, "eeg=name:Amp,eye=name:Amp")
    assert error.value.code is ErrorCode.WRONG_STREAM
    assert error.value.facts == {"modality": "eye"}


def test_notes_of_another_live_session_are_taken_only_by_choice() -> None:
    streams = {
        "eeg": header("Cap", "EEG", "cap"),
        "task": header("Task", "Markers", "task", fmt="string"),
        "notes": header("Affectscope notes", "Markers", f"{NOTES_ID}1", fmt="string"),
    }
    streams["trials"] = header("Affectscope calibration", "Markers", f"{CALIBRATION_ID}1", fmt="string")
    live = select_streams(streams, with_notes=False)
    assert of_kind(Kind.MARKERS, live) == ["task"]
    assert set(live) == {"eeg", "task"}
    chosen = select_streams(streams, "markers=name:Affectscope notes", with_notes=False)
    assert of_kind(Kind.MARKERS, chosen) == ["notes"]
    recorded = select_streams(streams)  # a recording holds its own
    assert of_kind(Kind.MARKERS, recorded) == ["task", "notes", "trials"]


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        (None, "face=none,voice=none"),
        ("eeg=name:Cap,face=name:Cam", "eeg=name:Cap,face=none,voice=none"),
    ],
)
def test_a_modality_can_be_left_out_whatever_was_chosen_for_it(choices: str | None, expected: str) -> None:
    assert without(choices, ("face", "voice")) == expected
    assert without(choices, ()) == choices


def test_among_several_the_stream_that_ran_before_is_used() -> None:
    two = {"a": header("Cap", "EEG", "s1"), "b": header("Band", "EEG", "s2")}
    told: list[str] = []
    assert select_streams(two, preferred=("s2", "gone"), tell=told.append) == {"b": Kind.EEG}
    assert len(told) == 1
    with pytest.raises(InputError):
        select_streams(two, preferred=("s1", "s2"))


def test_several_streams_that_the_model_does_not_read_stop_nothing() -> None:
    streams = {1: header("Cap", "EEG"), 2: header("Band", "EEG"), 3: header("Cam", "Video", fmt="string")}
    told: list[str] = []
    assert select_streams(streams, unread={Kind.EEG}, tell=told.append) == {3: Kind.VIDEO}
    assert len(told) == 1


def test_what_is_waited_for_is_what_the_model_reads_and_what_was_chosen() -> None:
    streams = {1: header("Cap", "EEG"), 2: header("p", "AffectscopePrediction")}
    assert lacking(streams, None, ("eeg", "eye")) == {"eye": ""}
    assert lacking({}, "eeg=name:Muse,eye=none", ("eeg", "eye")) == {"eeg": "name:Muse"}
    assert lacking(streams, "eeg=name:Muse,voice=name:Mic", ("eeg",)) == {
        "eeg": "name:Muse",
        "voice": "name:Mic",
    }


def test_a_session_does_without_a_stream_that_cannot_be_used_unless_it_needs_it() -> None:
    def use(key: str, kind: Kind) -> None:
        if key.startswith("bad"):
            raise InputError("not understood", code=ErrorCode.CHANNELS)

    chosen = {"eeg": Kind.EEG, "bad gaze": Kind.GAZE, "m": Kind.MARKERS}
    refused = exclude_unusable(chosen, use)
    assert (list(chosen), list(refused)) == (["eeg", "m"], ["bad gaze"])
    for needed in ({"bad": Kind.EEG, "a": Kind.AUDIO}, {"bad": Kind.GAZE, "m": Kind.MARKERS}):
        with pytest.raises(InputError):
            exclude_unusable(dict(needed), use)
    assert list(exclude_unusable({"bad": Kind.EEG, "v": Kind.VIDEO}, use, {Kind.EEG})) == ["bad"]


def test_a_choice_that_is_proposed_runs_nothing_when_pasted_and_means_its_stream() -> None:
    for names in (["$(touch a)", "`touch a`"], ["A\x1b[2J\u202e", "B\n"], ["one's", 'two"s']):
        headers = {at: header(name, "EEG") for at, name in enumerate(names)}
        with pytest.raises(InputError) as error:
            select_streams(headers)
        words = shlex.split(error.value.remedy)
        choice = words[words.index("--streams") + 1]
        assert "\x1b" not in error.value.remedy
        assert select_streams(headers, choice) == {0: Kind.EEG}
