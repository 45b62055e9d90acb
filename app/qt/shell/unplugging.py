"""Masks modalities by hand, to rehearse their loss."""

from __future__ import annotations

from collections.abc import Mapping

from PyQt6.QtGui import QAction

from acquisition.types import MODALITIES
from app.engine.messages import Mask
from app.qt.shell.session import Session
from app.qt.shell.shortcuts import BY_NAME


class Unplugging:
    """One switch a modality; its state is the engine's, which may refuse.

    Parameters
    ----------
    session : Session
    actions : mapping
        By name.
    """

    def __init__(self, session: Session, actions: Mapping[str, QAction]) -> None:
        self._session = session
        self._known: object = None  # figures whose switches are shown
        self._actions = {modality: actions[f"unplug_{modality}"] for modality in MODALITIES}

    def toggle(self, modality: str) -> None:
        """Unplug a modality, or plug it in again."""
        self._session.send(Mask(modality, self._actions[modality].isChecked()))

    def refresh(self) -> None:
        """Show which modalities are unplugged."""
        store = self._session.store
        is_running = store.phase.name in ("running", "paused")
        masked = store.health.masked if store.health is not None else ()
        for modality, action in self._actions.items():
            if action.isEnabled() != is_running:
                action.setEnabled(is_running)
            words = f"{_WORDS[modality]} off" if action.isChecked() else _WORDS[modality]
            if action.iconText() != words:
                action.setIconText(words)
            if store.health is not None and self._known is not store.health:
                action.setChecked(modality in masked)
        self._known = store.health


_WORDS = {modality: BY_NAME[f"unplug_{modality}"].short for modality in MODALITIES}
