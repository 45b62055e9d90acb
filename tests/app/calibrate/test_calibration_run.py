"""What a run makes of its lights and its recording, without streams."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from app.calibrate.run import CalibrationRun
from calibration.plan import load_plan
from calibration.session import Session
from calibration.types import Check, Consent, SessionRecord

GREEN = Check("EEG", "green", "", "")
CONSENT = Consent(("eeg",))


def make_session() -> Session:
    return Session(
        load_plan(classes=("sad", "happy"), n_trials=4),
        SessionRecord("S01", 1, (), 1, CONSENT),
        on_marker=lambda text, time: None,
        on_change=lambda record: None,
    )


def test_a_light_that_turns_red_while_the_file_is_opened_does_not_hold_the_session_up(tmp_path):
    prepared: Any = SimpleNamespace(
        place=SimpleNamespace(recording=lambda run: tmp_path / f"{run}.xdf"),
        run=1,
        request=SimpleNamespace(options=SimpleNamespace(line=None)),
    )
    nobody: Any = None
    run: Any = CalibrationRun(prepared, CONSENT, nobody, interrupted=threading.Event())
    run.session = make_session()
    recording = SimpleNamespace(start=lambda path, now: None, state="starting")
    recording.info = lambda now: SimpleNamespace(path=Path("1.xdf"), message="")
    run.live = SimpleNamespace(recording=recording, source=SimpleNamespace(specs={}), stream_health={})
    lights = [GREEN]
    run._signals.checks = SimpleNamespace(checks=lambda health: tuple(lights))

    run._look_at_streams(0.0)
    run.proceed(run.session.view(0.0).step_id, 0.1)
    lights[0] = replace(GREEN, light="red")
    run._look_at_streams(0.5)
    recording.state = "recording"
    run._look_at_recording(0.6)

    assert run.session.view(0.7).step.kind != "preflight"
