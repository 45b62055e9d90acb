"""Everything the window may show, filled by the engine's news; bounded, and without Qt."""

from __future__ import annotations

from app.engine.messages import ModelInfo, Phase


class ViewStore:
    """The last ten minutes of signals, predictions and figures."""

    def __init__(self) -> None:
        self.model: ModelInfo | None = None
        self.phase = Phase("loading")

    def take(self, news: object) -> None:
        """Take one piece of news."""
