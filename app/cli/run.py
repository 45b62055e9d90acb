"""Commands that predict, and the one that compares predictions: live, replay, compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acquisition.errors import InputError
from app.cli import options as opt
from app.environment import ExitCode
from assets import DEMO_MODEL


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(live)
    app.command()(replay)
    app.command()(compare)


def live(
    model: opt.Model = None,
    profile: opt.Profile = None,
    streams: opt.Streams = None,
    montage: opt.Montage = None,
    line: opt.Line = None,
    record: opt.Record = None,
    headless: opt.Headless = False,
    seconds: opt.Seconds = None,
    jsonl: opt.Jsonl = None,
    csv: opt.Csv = None,
    picture: opt.Picture = None,
    device: opt.Device = "auto",
    threads: opt.Threads = 0,
    screen_cm: opt.ScreenCm = None,
    distance_cm: opt.DistanceCm = None,
    baseline: opt.Baseline = None,
    webcam: Annotated[
        str | None,
        typer.Option(help="Publish this camera (0) or video file (again and again) too.", show_default=False),
    ] = None,
    microphone: Annotated[
        str | None,
        typer.Option(
            help="Publish this microphone (default) or WAV file (again and again) too.", show_default=False
        ),
    ] = None,
    discovery: Annotated[float, typer.Option(min=0.2, help="Seconds to look for streams.")] = 2.0,
    screenshot: opt.Screenshot = None,
    tab: opt.Tab = "all",
    size: opt.Size = None,
    theme: opt.Theme = None,
    scale: opt.Scale = None,
) -> int:
    """Predict from live LSL streams, in a window where there is a display.

    Examples:

      affectscope live

      affectscope live --webcam 0 --microphone default --record session.xdf

      affectscope live --profile sub-S01/ses-01/profile

      affectscope live --streams eeg=name:BioSemi,face=none --montage biosemi64 --line 50 --jsonl run.jsonl
    """
    from app.request import LiveRequest, SessionOptions
    from app.run_request import opens_window, run_request
    from app.window_options import parse_window_options

    window = parse_window_options(screenshot, seconds, tab, size, theme, scale)
    options = SessionOptions(
        model=model or DEMO_MODEL,
        profile=profile,
        streams=streams,
        montage=montage,
        screen_cm=screen_cm,
        distance_cm=distance_cm,
        line=line,
        baseline_s=baseline,
        record=record,
        headless=headless,
        seconds=None if screenshot else seconds,
        jsonl=jsonl,
        csv=csv,
        picture=picture,
        device=device,
        threads=threads,
    )
    in_window = opens_window(options, window)
    return run_request(LiveRequest(options, webcam, microphone, discovery), window, in_window=in_window)


def replay(
    file: Annotated[Path, typer.Argument(help="XDF recording.")],
    model: opt.Model = None,
    profile: opt.Profile = None,
    streams: opt.Streams = None,
    montage: opt.Montage = None,
    line: opt.Line = None,
    record: Annotated[
        Path | None,
        typer.Option(help="Write a copy of the recording with the predictions in it.", show_default=False),
    ] = None,
    headless: opt.Headless = False,
    seconds: opt.Seconds = None,
    jsonl: opt.Jsonl = None,
    csv: opt.Csv = None,
    device: opt.Device = "auto",
    threads: opt.Threads = 0,
    screen_cm: opt.ScreenCm = None,
    distance_cm: opt.DistanceCm = None,
    baseline: opt.Baseline = None,
    start: Annotated[
        float | None, typer.Option("--from", min=0, help="Seconds into the recording.", show_default=False)
    ] = None,
    stop: Annotated[
        float | None, typer.Option("--to", min=0, help="Seconds into the recording.", show_default=False)
    ] = None,
    speed: Annotated[
        str | None,
        typer.Option(
            help="Times real time, or max; 1 in the window and max in the terminal without it.",
            show_default=False,
        ),
    ] = None,
    chunk: Annotated[str, typer.Option(help="Samples handed on at a time, or all.")] = "all",
    digest: Annotated[
        bool, typer.Option("--digest", help="Print a SHA-256 over times, features and predictions.")
    ] = False,
    screenshot: opt.Screenshot = None,
    tab: opt.Tab = "all",
    size: opt.Size = None,
    theme: opt.Theme = None,
    scale: opt.Scale = None,
) -> int:
    """Predict from a recorded XDF file, by the very path of a live run.

    In a window where there is a display; --headless, --digest and --record run in the terminal.

    Examples:

      affectscope replay session.xdf

      affectscope replay session.xdf --from 60 --to 120 --speed 1 --jsonl replay.jsonl
    """
    from app.outputs import DigestSink
    from app.request import ReplayRequest, SessionOptions
    from app.run_request import opens_window, run_request
    from app.window_options import parse_window_options

    window = parse_window_options(screenshot, seconds, tab, size, theme, scale)
    digest_sink = DigestSink() if digest else None
    options = SessionOptions(
        model=model or DEMO_MODEL,
        profile=profile,
        streams=streams,
        montage=montage,
        screen_cm=screen_cm,
        distance_cm=distance_cm,
        line=line,
        baseline_s=baseline,
        record=record,
        headless=headless,
        seconds=None if screenshot else seconds,
        jsonl=jsonl,
        csv=csv,
        device=device,
        threads=threads,
        extra_sinks=(digest_sink,) if digest_sink else (),
    )
    in_window = record is None and opens_window(options, window)
    request = ReplayRequest(
        file,
        options,
        start_s=start,
        stop_s=stop,
        speed=_speed(speed or ("1" if in_window else "max")),
        chunk=None if chunk == "all" else _whole(chunk, "--chunk"),
    )
    code = run_request(request, window, in_window=in_window)
    if digest_sink:
        print(digest_sink.line())
    return code


def compare(
    a: Annotated[Path, typer.Argument(help="JSONL of one run.")],
    b: Annotated[Path, typer.Argument(help="JSONL of the other.")],
    as_json: opt.Json = False,
) -> None:
    """Compare two runs' predictions window by window, e.g. live against the replay of its recording.

    Example: affectscope compare live.jsonl replay.jsonl
    """
    from app.compare import compare_runs

    result = compare_runs(a, b)
    if as_json:
        print(json.dumps(result.to_json()))
        return
    print(f"windows: {result.n_a} and {result.n_b}, {result.n_common} in both")
    print(f"left out: {result.n_warm_up} of the first seconds, whose context was not whole in one of them")
    if result.n_compared:
        print(f"same label: {result.same_label:.2%} of {result.n_compared}")
        print(
            f"largest difference in a probability: {result.max_abs_dp:.2e} at t = {result.worst_t_end:.2f} s"
        )
        print(f"other modalities present: {result.n_present_differs} windows")


def _speed(text: str) -> float:
    if text == "max":
        return float("inf")
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise InputError(f"expected a positive number or max, got {text!r}", where="--speed")
    return value


def _whole(text: str, option: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise InputError(f"expected a whole number above 0 or all, got {text!r}", where=option)
    return int(text)


if TYPE_CHECKING:
    from acquisition.simulator.process import SimulatorProcess
    from app.request import SessionOptions


def register_demo(app: typer.Typer) -> None:
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
    from acquisition.simulator.process import SimulatorProcess, stream_choices
    from app.request import LiveRequest, SessionOptions, demo_streams
    from app.run_request import opens_window, run_request
    from app.window_options import parse_window_options

    simulated = demo_streams(seed, schedule)
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
    return ExitCode.GOOD


def _predict(options: SessionOptions, simulator: SimulatorProcess) -> None:
    """Load the model while the simulator starts, then run on its streams."""
    from acquisition.clock import LslClock
    from acquisition.types import Change, StreamEvent
    from app.live import LiveSession
    from app.terminal import show_live

    session = LiveSession(options)
    clock = LslClock()

    def on_emotion(emotion: str) -> None:
        message = f"the simulated person now shows: {emotion}"
        session.telemetry.on_event(StreamEvent("", Change.NOTICE, clock.now(), message))

    _ = session.checkpoint
    simulator.wait_until_found()
    simulator.tell(on_emotion)
    show_live(session)
