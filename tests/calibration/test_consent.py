"""What a participant is told and agrees to."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from refused import refused

from acquisition.errors import ErrorCode, InputError
from acquisition.types import MODALITIES, Kind
from calibration.consent import (
    check_consent,
    consent_from_record,
    consent_record,
    give_consent,
    notice,
    recorded_kinds,
)
from calibration.types import Consent

NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def test_the_notice_tells_use_place_and_way_back() -> None:
    told = notice("S01", Path("/data/sub-S01"))
    text = told.text()
    for words in (
        "not for workplaces",
        "not for education",
        "/data/sub-S01",
        "subjects delete S01",
        "voluntary",
    ):
        assert words in text
    assert [one.modality for one in told.modalities] == list(MODALITIES)


def test_the_way_to_delete_names_the_folder_where_it_is_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFFECTSCOPE_DATA", str(tmp_path))
    assert "delete S01\n" in notice("S01", tmp_path / "sub-S01" / "ses-01").text()
    other = notice("S01", Path("/other/sub-S01/ses-01")).text()
    assert f'delete S01 --data-dir "{Path("/other")}"\n' in other


def test_raw_video_and_voice_have_a_tick_of_their_own_that_says_what_it_means() -> None:
    keeps = {one.modality: one.keep for one in notice("S01", Path("d")).modalities}
    assert not keeps["eeg"]
    assert not keeps["eye"]
    assert "recognise me" in keeps["face"]
    assert "hear what I say" in keeps["voice"]


def test_consent_is_in_the_modalities_order_and_in_utc() -> None:
    given = give_consent(["voice", "eeg"], NOON.astimezone(timezone(timedelta(hours=5))))
    assert given.modalities == ("eeg", "voice")
    assert given.given_at == "2026-03-01T12:00:00+00:00"
    assert (given.keep_face_video, given.keep_voice) == (False, False)


def test_what_is_not_agreed_to_and_raw_face_and_voice_are_not_recorded() -> None:
    given = give_consent(MODALITIES, NOON)
    assert recorded_kinds(given) == {Kind.EEG, Kind.GAZE}
    kept = give_consent(["face", "voice"], NOON, keep_face_video=True)
    assert recorded_kinds(kept) == {Kind.VIDEO}
    assert recorded_kinds(give_consent(["voice"], NOON, keep_voice=True)) == {Kind.AUDIO}
    assert recorded_kinds(give_consent(["eeg"], NOON)) == {Kind.EEG}


GIVEN = give_consent(["eeg", "face"], NOON)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"modalities": ()}, "modalities"),
        ({"modalities": ("eeg", "smell")}, "modalities"),
        ({"modalities": ("eeg", "eeg")}, "modalities"),
        ({"keep_voice": True}, "keep_voice"),
        ({"modalities": ("eeg",), "keep_face_video": True}, "keep_face_video"),
        ({"given_at": ""}, "given_at"),
        ({"given_at": "2026-03-01T12:00:00"}, "given_at"),
        ({"notice_version": 0}, "notice_version"),
    ],
)
def test_a_consent_that_cannot_hold_is_refused(changed: dict[str, object], field: str) -> None:
    error = refused(lambda: check_consent(replace(GIVEN, **changed)))
    assert (error.code, error.facts) == (ErrorCode.SUBJECT, {"field": field})


def test_a_refused_consent_says_what_to_tick() -> None:
    with pytest.raises(InputError, match=r"voice would be stored but not used \(tick voice too"):
        check_consent(replace(GIVEN, keep_voice=True))


def test_the_record_holds_answer_and_words_and_comes_back() -> None:
    told = notice("S01", Path("d"))
    record = json.loads(json.dumps(consent_record(GIVEN, told)))
    assert record["declined"] == ["eye", "voice"]
    assert record["recorded"] == ["eeg"]
    assert record["notice"] == told.text().split("\n")
    assert consent_from_record(record) == GIVEN


def test_a_record_of_older_words_is_still_read() -> None:
    record = consent_record(GIVEN, notice("S01", Path("d"))) | {"notice_version": 0}
    assert consent_from_record(record).notice_version == 0


@pytest.mark.parametrize(
    "broken", [{}, {"modalities": "eeg"}, {"modalities": [1]}, {"keep_voice": 1}, {"given_at": None}]
)
def test_a_broken_record_is_refused_in_a_line(broken: dict[str, object]) -> None:
    record = (consent_record(GIVEN, notice("S01", Path("d"))) | broken) if broken else {}
    error = refused(lambda: consent_from_record(record))
    assert error.facts["field"] == next(iter(broken), "modalities")
    assert "\n" not in str(error)


def test_consent_is_to_be_asked_for_before_it_counts() -> None:
    with pytest.raises(InputError):
        check_consent(Consent(("eeg",)))
