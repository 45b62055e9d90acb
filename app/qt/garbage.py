"""Keeps Python's cyclic garbage collector out of painting.

Left to itself the collector runs wherever the next object happens to be made, also inside a paint event.
If it finds a widget there that nobody refers to any more, Qt ends the program ("Cannot destroy paint device
that is being painted"); and a collection of everything takes longer than one picture may.
"""

from __future__ import annotations

import gc

from PyQt6.QtCore import QObject, QTimer

_EVERY_MS = 1000
_ALL_EVERY = 30  # collections: then of old objects too


class GarbageTimer(QObject):
    """Collects from the event loop, between events, for as long as its parent lives.

    Parameters
    ----------
    parent : QObject
    """

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._n = 0
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._collect)

    def start(self) -> None:
        """Take over from the automatic collection."""
        gc.collect()
        gc.freeze()  # modules and windows stay: looking at them again and again would only take time
        gc.disable()
        self._timer.start(_EVERY_MS)

    def stop(self) -> None:
        """Leave it to Python again."""
        self._timer.stop()
        gc.enable()
        gc.unfreeze()

    def _collect(self) -> None:
        self._n += 1
        gc.collect(2 if self._n % _ALL_EVERY == 0 else 1)
