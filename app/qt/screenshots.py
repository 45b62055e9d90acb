"""Saves pictures of a window with real content, then closes it (``--screenshot``)."""

from collections.abc import Callable, Iterator
from math import isnan
from pathlib import Path
from time import monotonic

from app.display import WindowOptions
from app.engine.messages import SessionCommand
from app.qt.shell.window import MainWindow
from app.qt.widgets import lay_out

_LOADING_LIMIT_S = 90.0
_SETTLE_S = 1.0  # a tab that has just come to the front draws for so long before its picture
_OCCLUSION_LIMIT_S = 15.0


class Screenshots:
    """Saves a picture of each tab after the seconds asked for, keeps errors, and closes the window.

    ``say`` reports pictures and errors.
    """

    def __init__(
        self,
        window: MainWindow,
        options: WindowOptions,
        say: Callable[[str], None] = print,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        assert options.screenshot is not None
        self._window, self._options, self._say = window, options, say
        self._folder, self._clock = options.screenshot, clock
        self.saved: list[Path] = []
        self.faults: list[str] = []
        self._steps = self._run()

    def poll(self) -> None:
        """Take the next step if it is due; called now and then."""
        next(self._steps, None)

    def _run(self) -> Iterator[None]:
        """Do all of it, giving way wherever there is something to wait for."""
        session = self._window.session

        def is_over() -> bool:
            return session.store.is_over

        def is_checked() -> bool:
            return session.store.occlusion is not None or not session.is_running

        yield from self._wait(_LOADING_LIMIT_S, lambda: not isnan(session.store.newest_time) or is_over())
        yield from self._wait(self._options.content_s, is_over)
        for tab in self._options.tabs:
            self._window.tabs.show_tab(tab)
            if tab == "why":
                session.send(SessionCommand.ASK_OCCLUSION)
            yield from self._wait(_SETTLE_S)
            if tab == "why":
                yield from self._wait(_OCCLUSION_LIMIT_S, is_checked)
            self._save(tab)
        phase, n_faults = session.store.phase, self._window.faults.n_faults
        self.faults += [phase.message] if phase.name == "failed" else []
        self.faults += [f"{n_faults} internal errors while the window was open"] if n_faults else []
        for each in self.faults:
            self._say(f"error: {each}")
        self._window.closing.begin()

    def _wait(self, most_s: float, until: Callable[[], bool] = lambda: False) -> Iterator[None]:
        end = self._clock() + most_s
        while not until() and self._clock() <= end:
            yield

    def _save(self, tab: str) -> None:
        """Save the window as it is, under a name of tab, size, scale and theme."""
        window, scale = self._window, self._window.devicePixelRatioF()
        times = f"@{scale:g}x" if scale != 1 else ""
        theme = window.appearance.theme.name
        path = self._folder / f"{tab}-{window.width()}x{window.height()}{times}-{theme}.png"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self.faults.append(str(error))
            return
        lay_out()  # or a text that has just changed is cut
        if window.grab().save(str(path)):
            self.saved.append(path)
            self._say(f"saved {path}")
        else:
            self.faults.append(f"cannot write {path}")
