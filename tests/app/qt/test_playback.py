"""Time travel: what holding, stepping and seeking show, and what the engine is told of it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from engine_double import Engines
from filled_store import news

from app.engine.messages import Mark, Opened, Play, Seek, SessionCommand
from app.qt.shell.session import Playback, Session
from app.request import LiveRequest, ReplayRequest, SessionOptions


def playback(mode: str) -> tuple[Playback, Engines]:
    said = [
        replace(p, mode=mode, timeline=p.timeline if mode == "replay" else None)
        if isinstance(p, Opened)
        else p
        for p in news(20.0)
    ]
    engines = Engines(said)
    session = Session(engines)
    options = SessionOptions()
    session.start(LiveRequest(options) if mode == "live" else ReplayRequest(Path("a.xdf"), options))
    session.poll()
    return Playback(session), engines


def test_holding_live_keeps_the_moment_and_tells_the_engine_nothing():
    live, engines = playback("live")
    newest = live.time
    live.hold(math.nan)
    assert live.is_playing
    live.toggle()
    assert not live.is_playing
    assert live.time == newest
    live.hold(-1000.0)
    assert live.time == live.store.oldest_time
    live.toggle()
    assert live.is_playing
    assert engines.commands == []


def test_holding_a_replay_pauses_it_and_going_on_plays_from_the_moment_shown():
    replay, engines = playback("replay")
    at = replay.time - 3.0
    replay.hold(at)
    assert (replay.time, engines.commands) == (at, [SessionCommand.PAUSE])
    replay.toggle()
    assert engines.commands[1:] == [Seek(at), Play(1.0)]
    assert replay.is_playing


def test_steps_land_on_predictions_and_stepping_past_the_newest_is_live_again():
    live, _ = playback("live")
    times = [p.t_end for p in live.store.predictions.read(-math.inf, math.inf)]
    live.hold(times[10] + 0.01)
    live.step(-1)
    assert live.time == times[10]
    live.step(1)
    assert live.time == times[11]
    live.hold(times[-1])
    live.step(1)
    assert live.is_playing


def test_seek_in_a_running_replay_is_the_engine_s_and_in_a_held_one_the_view_s():
    replay, engines = playback("replay")
    kept = replay.time - 5.0
    replay.seek(kept)
    assert engines.commands == [Seek(kept)]
    replay.hold(replay.time)
    replay.seek(kept)
    assert replay.time == kept
    assert engines.commands == [Seek(kept), SessionCommand.PAUSE]
    ahead = replay.store.timeline.last - 0.5
    replay.seek(ahead)
    assert engines.commands[-1] == Seek(ahead)


def test_the_view_goes_back_no_further_than_what_is_kept():
    live, _ = playback("live")
    live.seek(live.store.oldest_time - 100)
    assert live.time == live.store.oldest_time
    live.to_end()
    live.jump(-1)
    assert live.time == pytest.approx(live.store.newest_time - 10.0)


def test_speed_goes_through_the_list_and_stops_at_its_ends():
    replay, engines = playback("replay")
    for _ in range(9):
        replay.change_speed(1)
    assert math.isinf(replay.speed)
    for _ in range(9):
        replay.change_speed(-1)
    assert engines.commands[-1] == Play(0.25)


def test_a_moment_with_signals_but_no_prediction_is_replayed():
    replay, engines = playback("replay")
    replay.hold(replay.time)
    kept = replay.time - 5.0
    assert replay.store.predictions.at(kept) is not None
    replay.store.predictions.cut_after(kept - 3.0)
    replay.seek_or_hold(kept)
    assert engines.commands == [SessionCommand.PAUSE, Seek(kept)]
    replay.seek(kept - 0.5)
    assert engines.commands[-1] == Seek(kept - 0.5)


def test_going_back_from_a_mark_that_was_sought_finds_the_mark_before():
    replay, engines = playback("replay")
    replay.hold(replay.time)
    first, last = replay.store.timeline.first, replay.time
    marks = (Mark(first + 1.0, "one"), Mark(last - 0.1, "two"))
    timeline = replace(replay.store.timeline, marks=marks, gaps=())
    replay.store.timeline = timeline
    replay.store.predictions.cut_after(-math.inf)  # so that marks are sought
    replay.to_mark(-1)
    assert engines.commands[-1] == Seek(last - 0.1)
    replay.to_mark(-1)
    assert engines.commands[-1] == Seek(first + 1.0)
