"""Commands that predict, and the one that compares predictions: live, replay, compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from acquisition.errors import InputError
from app.commands import options as opt
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
    from app.engine.request import LiveRequest
    from app.run_request import opens_window, run_request
    from app.session_options import SessionOptions
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
    from app.engine.request import ReplayRequest
    from app.outputs import DigestSink
    from app.run_request import opens_window, run_request
    from app.session_options import SessionOptions
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
