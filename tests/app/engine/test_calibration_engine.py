"""A calibration's engine in its own process: nothing before the consent, and a valid file after a stop."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from acquisition.clock import LslClock
from acquisition.intake import intake_maker
from acquisition.select import is_calibration
from acquisition.simulator.source import SimulatorOptions
from acquisition.xdf.outline import read_markers
from acquisition.xdf.scan import scan_xdf
from app.engine.messages import GiveConsent, Opened, Phase, Proceed, SessionCommand, Shown
from app.engine.process import EngineProcess
from app.request import CalibrationRequest, SessionOptions
from calibration.consent import give_consent
from calibration.storage import load_record
from calibration.types import Consent, SessionView

pytestmark = [pytest.mark.lsl, pytest.mark.slow]


class Person:
    """Steers an engine as a window would, and keeps what it said."""

    def __init__(self, request: CalibrationRequest) -> None:
        self.engine = EngineProcess(request)
        self.news: list[Any] = []
        self._n_shown = 0  # the step shown last
        self.engine.start()

    def of(self, kind: type) -> list[Any]:
        return [piece for piece in self.news if isinstance(piece, kind)]

    def until(self, condition: Callable[[], Any], seconds: float = 90.0) -> Any:
        deadline = monotonic() + seconds
        while not (found := condition()):
            assert monotonic() < deadline, (
                f"not within {seconds} s: {self.of(Phase)} {self.of(SessionView)[-1:]}"
            )
            self.news += self.engine.receive()
            self._show()
            threading.Event().wait(0.02)
        return found

    def _show(self) -> None:
        views = self.of(SessionView)
        if views and views[-1].step_id != self._n_shown and not views[-1].is_paused:
            self._n_shown = views[-1].step_id
            self.engine.send(Shown(self._n_shown, LslClock().now()))

    def step(self, kind: str, trial: int = 0) -> SessionView:
        """Wait for a step; every step on the way is shown."""

        def there() -> SessionView | None:
            view = self.of(SessionView)[-1] if self.of(SessionView) else None
            return view if view and view.step.kind == kind and view.step.trial in (0, trial) else None

        return self.until(there)


@pytest.fixture
def request_(tmp_path: Path, random_model: Path) -> CalibrationRequest:
    simulated = SimulatorOptions(
        seed=72, streams=("eeg", "gaze"), source_id_suffix=f"-calibration-engine-{os.getpid()}"
    )
    return CalibrationRequest(
        SessionOptions(model=random_model, device="cpu"), "S01", data_dir=tmp_path, classes=("happy", "sad"),
        n_trials=4, time_scale=20, simulated=simulated,
    )  # fmt: skip


def test_without_consent_nothing_is_opened_or_written(request_, tmp_path):
    person = Person(request_)
    person.engine.send(GiveConsent(Consent(())))
    person.until(lambda: not person.engine.is_alive)
    person.news += person.engine.receive()
    assert [phase.name for phase in person.of(Phase)] == ["loading", "ended"]
    assert not person.of(Opened)
    assert not list(tmp_path.iterdir())
    person.engine.stop()


def test_a_session_is_steered_and_stopped(request_, tmp_path):
    person = Person(request_)
    try:
        person.engine.send(GiveConsent(give_consent(("eeg",), datetime.now(UTC))))
        view = person.step("preflight")
        person.until(lambda: person.of(SessionView)[-1].checks)
        names = tuple(check.name for check in person.of(SessionView)[-1].checks)
        person.engine.send(Proceed(view.step_id, names))
        person.step("baseline_open")
        person.step("hint", 1)
        person.step("stimulus", 1)
        person.until(lambda: person.of(SessionView)[-1].began)
        person.engine.send(SessionCommand.PAUSE_SESSION)
        person.until(lambda: person.of(SessionView)[-1].is_paused)
        person.engine.send(SessionCommand.RESUME_SESSION)
        person.step("hint", 1)
        person.engine.send(SessionCommand.SKIP_TRIAL)
        person.step("hint", 2)
        person.engine.send(SessionCommand.ABORT_SESSION)
        person.until(lambda: person.of(Phase)[-1].name == "ended")
    finally:
        person.engine.send(SessionCommand.STOP)
        person.engine.stop()
    place = tmp_path / "sub-S01" / "ses-01"
    record = load_record(place / "session.json")
    assert [(trial.number, trial.state) for trial in record.trials] == [(1, "repeated"), (1, "skipped")]
    index = scan_xdf(next(place.glob("*.xdf")))
    assert not index.damage
    assert not any(
        stream.header.name == "SimulatedGaze" for stream in index.streams.values()
    )  # not agreed to
    stream = next(number for number, s in index.streams.items() if is_calibration(s.header))
    texts = [text for _, text in read_markers(index, stream, intake_maker())]
    assert texts[0] == "session_start/S01"
    assert [text for text in texts if text in ("pause", "resume", "trial_skipped/1")] == [
        "pause",
        "resume",
        "trial_skipped/1",
    ]
    assert texts[-1] == "session_aborted"
