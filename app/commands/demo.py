"""The command that shows everything without any device: demo."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from app.commands import options as opt
from app.exit_codes import GOOD
from assets import DEMO_MODEL

if TYPE_CHECKING:
    from app.session_options import SessionOptions
    from app.simulator_process import SimulatorProcess


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    model: opt.Model = None,
    profile: opt.Profile = None,
    headless: opt.Headless = False,
    seconds: opt.Seconds = None,
    seed: Annotated[int, typer.Option(min=0, help="Which simulated person.")] = 1,
    schedule: Annotated[
        str, typer.Option(help="Emotions: random:SECONDS, or EMOTION:SECONDS,... as in simulate.")
    ] = "random:15",
    record: opt.Record = None,
    jsonl: opt.Jsonl = None,
    picture: opt.Picture = None,
    device: opt.Device = "auto",
    threads: opt.Threads = 0,
    screenshot: opt.Screenshot = None,
    tab: opt.Tab = "all",
    size: opt.Size = None,
    theme: opt.Theme = None,
    scale: opt.Scale = None,
) -> int:
    """Predict live from a simulated person; no device is needed.

    Starts simulated EEG, eye tracker, webcam and microphone as LSL streams in a process of its own, and
    reads exactly these, whatever else is on the network. Ctrl-C ends it.

    Examples:

      affectscope demo

      affectscope demo --headless --seconds 20

      affectscope demo --screenshot pictures --seconds 40 --theme light
    """
    from acquisition.simulator.streams import SimulatorOptions
    from app.engine.request import LiveRequest
    from app.run_request import opens_window, run_request
    from app.session_options import SessionOptions
    from app.simulator_process import SimulatorProcess, stream_choices
    from app.window_options import parse_window_options

    # The process id keeps demos on one network apart.
    simulated = SimulatorOptions(seed=seed, schedule=schedule, source_id_suffix=f"-demo-{os.getpid()}")
    window = parse_window_options(screenshot, seconds, tab, size, theme, scale)
    options = SessionOptions(
        model=model or DEMO_MODEL,
        profile=profile,
        streams=stream_choices(simulated),
        record=record,
        headless=headless,
        seconds=None if screenshot else seconds,
        jsonl=jsonl,
        picture=picture,
        device=device,
        threads=threads,
    )
    print("All data in this demo is simulated: no real person and no real device is involved.", flush=True)
    if opens_window(options, window):
        return run_request(LiveRequest(options, simulated=simulated), window, in_window=True)
    print("Starting simulated EEG, eye tracker, webcam and microphone ...", flush=True)
    with SimulatorProcess(simulated) as simulator:
        try:
            _predict(options, simulator)
        except KeyboardInterrupt:
            print("stopping")  # before the live session, which takes it itself
    print("The simulated streams have ended.")
    return GOOD


def _predict(options: SessionOptions, simulator: SimulatorProcess) -> None:
    """Load the model while the simulator starts, then run on its streams."""
    from acquisition.clock import LslClock
    from acquisition.types import Change, StreamEvent
    from app.live import LiveSession
    from app.show import show_live

    session = LiveSession(options)
    clock = LslClock()

    def on_emotion(emotion: str) -> None:
        message = f"the simulated person now shows: {emotion}"
        session.telemetry.on_event(StreamEvent("", Change.NOTICE, clock.now(), message))

    _ = session.checkpoint
    simulator.wait_until_found()
    simulator.tell(on_emotion)
    show_live(session)
