"""The base of panels: a titled widget that shows the store as of one moment."""

from collections.abc import Mapping
from typing import TypeVar

from PyQt6.QtCore import QEvent
from PyQt6.QtGui import QResizeEvent, QShowEvent
from PyQt6.QtWidgets import QComboBox, QFrame, QHBoxLayout, QLabel, QVBoxLayout

from app.qt.plots.plot import Plot
from app.qt.theme import DARK, Theme
from app.qt.widgets import plain_label, put
from app.view.store import ViewStore

AnyPlot = TypeVar("AnyPlot", bound=Plot)


class Panel(QFrame):
    """A titled frame; subclasses put their content into ``body`` and draw in `refresh`.

    ``title`` is plain text, shown above the content and read out to assistive technology.
    """

    def __init__(self, title: str) -> None:
        super().__init__()
        self.theme: Theme = DARK
        self._shown: tuple[object, ...] = ()
        self.setObjectName("panel")
        self.setAccessibleName(title)
        self.title = plain_label(title)
        self.title.setObjectName("panel-title")
        self.head = put(QHBoxLayout(), self.title, 1)  # beside the title: a panel's own controls
        self.body = QVBoxLayout()
        put(QVBoxLayout(self), self.head, (self.body, 1), margins=(8, 6, 8, 8), spacing=4)

    def refresh(self, store: ViewStore, t: float) -> None:
        """Show the store as of ``t`` (LSL seconds, NaN before the first sample).

        Called about 30 times a second while the panel is visible; a panel that changes less
        often asks `is_new` and returns at once.
        """
        raise NotImplementedError

    def fit(self) -> None:
        """Choose fonts and places by the panel's size and font; called when either may have changed."""

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        super().resizeEvent(event)
        self.fit()

    def showEvent(self, event: QShowEvent | None) -> None:
        super().showEvent(event)
        self.fit()

    def changeEvent(self, event: QEvent | None) -> None:
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.FontChange and self.isVisible():
            self.fit()

    def set_theme(self, theme: Theme) -> None:
        """Take other colours, also in the plots; the content is shown again at the next refresh."""
        self.theme, self._shown = theme, ()
        for plot in self.findChildren(Plot):
            plot.set_theme(theme)

    def is_new(self, *content: object) -> bool:
        """Tell whether this differs from the content last asked about."""
        before, self._shown = self._shown, content
        return content != before

    def add_plot(self, plot: AnyPlot) -> AnyPlot:
        """Let a plot take the room there is, and return it."""
        self.body.addWidget(plot, 1)
        return plot

    def add_choice(self, meaning: str, choices: Mapping[str, object], chosen: int = 0) -> QComboBox:
        """Return a choice beside the title: texts and what they stand for."""
        combo = QComboBox()
        combo.setAccessibleName(meaning)
        for text, value in choices.items():
            combo.addItem(text, value)
        combo.setCurrentIndex(chosen)
        self.head.addWidget(combo)
        return combo

    def add_words(self, text: str = "", *, muted: bool = False) -> QLabel:
        label = plain_label(text, muted=muted)
        self.head.addWidget(label)
        return label
