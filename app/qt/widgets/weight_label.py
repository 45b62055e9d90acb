"""The words that stand beside everything drawn from attention."""

from __future__ import annotations

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QLabel

NOT_CAUSE = "model weight, not cause"


def weight_label() -> QLabel:
    """Return the permanent label of a panel that shows attention."""
    label = QLabel(NOT_CAUSE)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setProperty("muted", True)
    label.setToolTip("Attention says how the model weighs its inputs; what they do is for occlusion to show.")
    return label
