"""Work that would hold the window up, done in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from PyQt6.QtCore import QObject, pyqtSignal

from acquisition.errors import InputError


class Work(QObject):
    """Calls a function in a thread and hands its result over in the window's thread.

    Parameters
    ----------
    function : callable
        What to do; an InputError it raises goes to ``on_refused`` in words.
    on_done : callable
        Gets the result.
    on_refused : callable
        Gets the error's text.
    owner : QObject
        Without it nobody wants the result any more.
    """

    _finished = pyqtSignal(object, str)

    def __init__(
        self,
        function: Callable[[], Any],
        on_done: Callable[[Any], None],
        on_refused: Callable[[str], None],
        owner: QObject,
    ) -> None:
        super().__init__(owner)
        self._function, self._on_done, self._on_refused = function, on_done, on_refused
        self._finished.connect(self._hand_over)  # queued: it is emitted in another thread
        threading.Thread(target=self._run, name="window-work", daemon=True).start()

    def _run(self) -> None:
        try:
            result, refusal = self._function(), ""
        except InputError as error:
            result, refusal = None, str(error)
        try:
            self._finished.emit(result, refusal)
        except RuntimeError:
            return  # the dialog was closed and deleted meanwhile

    def _hand_over(self, result: object, refusal: str) -> None:
        if refusal:
            self._on_refused(refusal)
        else:
            self._on_done(result)
        self.deleteLater()
