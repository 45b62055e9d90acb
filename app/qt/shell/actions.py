"""Actions, menus and keys of the window, made from the table of commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from PyQt6.QtCore import QKeyCombination
from PyQt6.QtGui import QAction, QKeyEvent, QKeySequence
from PyQt6.QtWidgets import QMenuBar, QWidget

from app.qt.shell.shortcuts import COMMANDS, MENUS, plain_text


def make_actions(owner: QWidget, handlers: Mapping[str, Callable[[], object]]) -> dict[str, QAction]:
    """Return an action for every command, with its keys and explanation.

    Parameters
    ----------
    owner : QWidget
        In whose window the keys act.
    handlers : mapping
        What each command does, by name.
    """
    actions = {}
    for command in COMMANDS:
        action = QAction(command.text, owner)
        action.setCheckable(command.checkable)
        action.setToolTip(f"{command.explanation.capitalize()} ({', '.join(command.keys)})")
        action.setStatusTip(command.explanation)
        action.setIconText(command.short or plain_text(command))
        if command.plain:
            action.setText(f"{command.text}\t{command.keys[0]}")  # shown; `PlainKeys` makes it work
        else:
            action.setShortcuts([QKeySequence(keys) for keys in command.keys])
        action.triggered.connect(lambda _checked=False, call=handlers[command.name]: call())
        owner.addAction(action)
        actions[command.name] = action
    return actions


def fill_menus(bar: QMenuBar, actions: Mapping[str, QAction]) -> None:
    """Put every action into its menu."""
    for title in MENUS:
        menu = bar.addMenu(f"&{title}")
        assert menu is not None
        menu.setToolTipsVisible(True)
        for command in COMMANDS:
            if command.menu == title:
                menu.addAction(actions[command.name])


class PlainKeys:
    """Keys without modifier, which reach the window only when the focused control has no use for them."""

    def __init__(self, actions: Mapping[str, QAction]) -> None:
        self._actions = {
            QKeySequence(keys)[0].toCombined(): actions[command.name]
            for command in COMMANDS
            if command.plain
            for keys in command.keys
        }

    def take(self, event: QKeyEvent) -> bool:
        """Do what the key means; return whether it means anything."""
        pressed = QKeyCombination(event.modifiers(), event.keyCombination().key()).toCombined()
        action = self._actions.get(pressed)
        if action is None or not action.isEnabled():
            return False
        action.trigger()
        return True
