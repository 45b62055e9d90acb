"""Every tab lives with any of the streams missing and with a panel that fails."""

from __future__ import annotations

from itertools import combinations

import pytest
from filled_store import news
from PyQt6.QtWidgets import QApplication

from acquisition.types import Kind, StreamEvent
from app.engine.messages import (
    EegPart,
    FramePart,
    GazePart,
    LogMelPart,
    Mark,
    QualityPart,
    SpectrogramPart,
    VoicePart,
)
from app.qt.shell.tab_set import HealthTab, NowTab, SignalsTab, WhyTab
from app.view.health import DisplayLatency
from app.view.store import ViewStore

PARTS = {
    Kind.EEG: (EegPart, SpectrogramPart, QualityPart),
    Kind.GAZE: (GazePart,),
    Kind.VIDEO: (FramePart,),
    Kind.AUDIO: (VoicePart, LogMelPart),
    Kind.MARKERS: (Mark,),
}
TABS = (NowTab, WhyTab, SignalsTab, lambda: HealthTab(DisplayLatency()))


def store_of(kinds: tuple[Kind, ...]) -> ViewStore:
    store = ViewStore()
    left_out = tuple(part for kind, parts in PARTS.items() if kind not in kinds for part in parts)
    for piece in news():
        is_foreign = (
            isinstance(piece, StreamEvent) and piece.spec is not None and piece.spec.kind not in kinds
        )
        if not isinstance(piece, left_out) and not is_foreign:
            store.take(piece)
    return store


@pytest.mark.parametrize("kinds", [*combinations(PARTS, 1), *combinations(PARTS, 4)], ids=str)
def test_every_tab_shows_what_there_is(qtbot, kinds: tuple[Kind, ...]) -> None:
    store = store_of(kinds)
    newest = store.predictions.newest
    assert newest is not None
    for make_tab in TABS:
        tab = make_tab()
        qtbot.addWidget(tab)
        tab.resize(1366, 768)
        tab.show()
        for t in (float("nan"), newest.t_end - 1e6, newest.t_end):
            tab.refresh(store, t)
        QApplication.processEvents()  # paints it: an exception there fails the test


def test_a_panel_that_fails_keeps_no_other_from_its_refresh(qtbot) -> None:
    store = store_of(tuple(PARTS))
    tab = SignalsTab()
    qtbot.addWidget(tab)

    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    tab.panels[0].refresh = fail  # type: ignore[method-assign]
    seen: list[float] = []
    tab.panels[-1].refresh = lambda store, t: seen.append(t)  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="broken"):
        tab.refresh(store, 5.0)
    assert seen == [5.0]
