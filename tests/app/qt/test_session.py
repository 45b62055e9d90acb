"""The session behind the window: engines follow one another, and none is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_double import Engines

from app.engine.messages import Opened, Phase, SessionCommand
from app.qt.shell import session as session_module
from app.qt.shell.session import Session, continued
from app.request import LiveRequest, SessionOptions

REQUEST = LiveRequest(SessionOptions())


def test_the_next_engine_starts_only_when_the_one_before_has_ended():
    engines = Engines()
    session = Session(engines)
    session.start(REQUEST)
    first = engines.newest
    first.obeys_stop = False
    session.start(REQUEST)
    session.poll()
    assert first.commands == [SessionCommand.STOP]
    assert len(engines.made) == 1
    first.end()
    session.poll()
    assert len(engines.made) == 2
    assert engines.newest.is_alive


def test_an_engine_that_dies_leaves_its_last_words_and_no_one_to_order():
    engines = Engines()
    session = Session(engines)
    session.start(REQUEST)
    engines.newest.end(Phase("failed", "the card is gone"))
    session.poll()
    assert session.store.phase == Phase("failed", "the card is gone")
    assert not session.is_running
    session.send(SessionCommand.STOP)
    assert engines.commands == []


def test_an_engine_that_does_not_stop_is_ended_by_force(monkeypatch, qtbot):
    monkeypatch.setattr(session_module, "STOP_WITHIN_S", 0.0)
    engines = Engines()
    session = Session(engines)
    session.start(REQUEST)
    engines.newest.obeys_stop = False
    session.stop()

    def is_over() -> bool:
        session.poll()
        return session.is_over

    qtbot.waitUntil(is_over)
    assert engines.newest.was_killed


def test_each_engine_gets_a_store_of_its_own():
    engines = Engines()
    session = Session(engines)
    session.start(REQUEST)
    before = session.store
    session.start(REQUEST)
    session.poll()
    assert session.store is not before


def test_what_follows_a_session_overwrites_none_of_its_files(tmp_path: Path):
    jsonl = tmp_path / "run.jsonl"
    (tmp_path / "run-2.jsonl").touch()
    following = continued(LiveRequest(SessionOptions(jsonl=jsonl, record=tmp_path / "a.xdf")))
    assert following.options.jsonl == tmp_path / "run-3.jsonl"
    assert following.options.record is None


def test_how_long_an_engine_has_been_silent_is_known_unless_the_window_itself_stood_still(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(session_module, "monotonic", lambda: clock[0])
    engines = Engines()
    session = Session(engines)
    session.start(REQUEST)
    engines.newest.unread.append(Phase("running"))
    for clock[0] in (100.0, 100.5, 101.0, 101.5, 102.0, 102.5, 103.0, 103.5):
        session.poll()
    assert session.store.silent_s == 3.5
    assert session.store.is_silent
    clock[0] = 123.0  # the window was stopped for 20 s
    session.poll()
    assert not session.store.is_silent


@pytest.mark.parametrize(("has_opened", "patience_s"), [(False, 1.0), (True, 2.5)])
def test_an_engine_that_is_still_loading_gets_less_time_to_end(monkeypatch, qtbot, has_opened, patience_s):
    clock = [100.0]
    monkeypatch.setattr(session_module, "monotonic", lambda: clock[0])
    engines = Engines([Opened("live", None, None)] if has_opened else [])
    session = Session(engines)
    session.start(REQUEST)
    session.poll()
    engines.newest.obeys_stop = False
    session.stop()
    clock[0] += patience_s - 0.5
    session.poll()
    assert not engines.newest.was_killed
    clock[0] += 0.5
    session.poll()
    qtbot.waitUntil(lambda: engines.newest.was_killed)
