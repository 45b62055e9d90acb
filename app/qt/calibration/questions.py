"""The question before a session is ended for good."""

from __future__ import annotations

from collections.abc import Callable

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QMessageBox, QWidget


def ask_to_end(parent: QWidget, end: Callable[[], object]) -> QMessageBox:
    """Ask whether the session shall end, and call ``end`` if so."""
    question = QMessageBox(parent)
    question.setWindowTitle("End the session?")
    question.setTextFormat(Qt.TextFormat.PlainText)
    question.setText(
        "End the session now? What was recorded is kept, and the next start offers to go on from here."
    )
    yes = question.addButton("&End the session", QMessageBox.ButtonRole.AcceptRole)
    stay = question.addButton("&Stay", QMessageBox.ButtonRole.RejectRole)
    question.setDefaultButton(stay)
    question.finished.connect(lambda: end() if question.clickedButton() is yes else None)
    question.open()
    return question
