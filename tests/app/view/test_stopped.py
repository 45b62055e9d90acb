"""A session that stopped is named by its kind."""

from __future__ import annotations

import pytest

from app.engine.messages import Opened, Phase
from app.view.conditions import conditions, stop_title
from app.view.store import ViewStore

CASES = [
    ("streams: 2 streams fit eeg: 'A'; 'B' (choose with --streams ...)", "Two EEG streams: choose one"),
    ("streams: 5 streams fit voice: 'A'; 'B'", "5 voice streams: choose one"),
    ("streams: no EEG, eye, face or voice stream to use", "No stream was found"),
    ("--streams eeg: no stream has name 'X'", "A chosen stream is not there"),
    ("a.xdf: no XDF file: expected it to begin with b'XDF:'", "This recording cannot be replayed"),
    ("m/config.json: expected JSON", "This model cannot be used"),
    ("--line: expected 50 or 60", "The session cannot begin"),
]


@pytest.mark.parametrize(("message", "title"), CASES)
def test_the_title_says_what_kind_of_thing_is_wrong(message, title):
    assert stop_title(Phase("failed", message, is_mendable=True), "").startswith(title)


def test_a_fault_of_the_program_is_the_engine_s():
    assert stop_title(Phase("failed", "a fault of the program: x"), "live") == "The engine stopped"
    assert stop_title(Phase("failed", "--line: no", is_mendable=True), "live") == "The session stopped"


def test_a_long_remedy_is_whole_and_the_chooser_is_offered_first():
    names = "; ".join(f"'Cap {i}' (type EEG, source_id {'x' * 60}, id {i})" for i in range(6))
    store = ViewStore()
    message = f'streams: 6 streams fit eeg: {names} (choose with --streams "eeg=name:Cap 0")'
    store.take(Phase("failed", message, is_mendable=True))
    (condition,) = conditions(store)
    assert message in condition.text
    assert condition.actions == ("choose_streams", "start_again")


def test_why_a_session_stopped_is_among_its_messages():
    store = ViewStore()
    store.take(Opened("live", None, None))
    store.take(Phase("failed", "the card is gone"))
    assert [(text, severity) for _, text, severity in store.events] == [("the card is gone", "bad")]
