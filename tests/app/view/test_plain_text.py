"""Text from outside on one line."""

from __future__ import annotations

from acquisition.errors import InputError
from app.engine.messages import Phase
from app.view.conditions import conditions
from app.view.store import ViewStore
from app.view.text import message_line, one_line


def test_names_lose_what_would_break_or_turn_a_row() -> None:
    assert one_line("<b>Cap</b>\n\u202etwo\u2028") == "<b>Cap</b> two"
    assert one_line("x" * 500, 20) == "x" * 19 + "…"


def test_a_long_message_keeps_its_beginning_and_its_remedy() -> None:
    kept = message_line("what is wrong " + "x " * 5000 + "(do this)", 60)
    assert len(kept) <= 60
    assert kept.startswith("what is wrong")
    assert kept.endswith("(do this)")
    assert message_line("short\nand good") == "short and good"


def test_the_remedy_of_a_failed_engine_is_on_the_screen() -> None:
    store = ViewStore()
    error = InputError("the stream has " + "#1 " * 400, where="EEG stream", remedy="pass --montage")
    store.take(Phase("failed", str(error)))
    (condition,) = conditions(store)
    assert "EEG stream" in condition.text
    assert condition.text.endswith("(pass --montage)")
