"""Text is larger where a page is, in whatever stands upon it, and a page can shrink again."""

import pytest
from PyQt6.QtWidgets import QLabel, QTableView, QTabWidget, QVBoxLayout

from app.qt.theme import DARK, LIGHT, GrowingPage, let_fonts_through, style_sheet


@pytest.fixture
def shown(qtbot):
    let_fonts_through()
    tabs, page = QTabWidget(), GrowingPage()
    qtbot.addWidget(tabs)
    title, table = QLabel("title"), QTableView()
    title.setObjectName("panel-title")  # the style sheet gives it a weight
    plain = QLabel("plain")
    layout = QVBoxLayout(page)
    for widget in (title, plain, table):
        layout.addWidget(widget)
    tabs.setStyleSheet(style_sheet(LIGHT))
    tabs.addTab(page, "page")
    return tabs, page, (title, plain, table)


def test_text_grows_with_the_page_and_shrinks_with_it(shown):
    tabs, page, widgets = shown
    tabs.resize(1366, 640)
    tabs.show()
    small = [widget.fontMetrics().height() for widget in widgets]
    assert page.text_growth == 1.0
    tabs.resize(2560, 1300)
    assert page.text_growth == 1.5
    for widget, before in zip(widgets, small, strict=True):
        assert widget.fontMetrics().height() == pytest.approx(1.5 * before, abs=2)
    assert page.minimumSizeHint().height() < 300
    tabs.resize(1366, 640)
    assert [widget.fontMetrics().height() for widget in widgets] == small


def test_text_is_large_from_the_first_picture_and_in_another_theme(shown):
    tabs, page, widgets = shown
    tabs.resize(2560, 1300)
    tabs.show()
    size = page.font().pointSizeF()
    assert [widget.font().pointSizeF() for widget in widgets] == [size] * 3
    tabs.setStyleSheet(style_sheet(DARK))
    assert [widget.font().pointSizeF() for widget in widgets] == [size] * 3
    assert widgets[0].font().weight() >= 600
