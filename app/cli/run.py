"""Commands that predict, and the one that compares predictions: demo, live, replay, compare."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from acquisition.errors import InputError
from acquisition.text import counted, say, say_json
from app.cli import options as opt
from app.cli.groups import option
from app.display import WindowOptions, opens_window
from app.environment import ExitCode

if TYPE_CHECKING:
    from app.request import Request


_WAIT_S = 60.0


def demo(
    model: opt.PersonalModelOptions,
    output: opt.LiveOutputOptions,
    screen: opt.TabScreenOptions,
    seed: int = option(1, "Which simulated subject.", min=0),
    schedule: str = option("random:15", "Emotions: random:SECONDS, or EMOTION:SECONDS,... as in simulate."),
    lan: opt.Lan = False,
) -> int:
    """Predict live from a simulated subject; needs no device.

    Starts simulated EEG, eye tracker, webcam and microphone as LSL streams in a separate process, and reads
    only these, whatever else is on the network. Ctrl-C ends it.

    \b
    Examples:
      affectscope demo
      affectscope demo --headless --seconds 20
      affectscope demo --screenshot pictures --seconds 40 --theme light
    """
    from app.request import LiveRequest, demo_streams

    simulated = demo_streams(seed, schedule)
    window = screen.window()
    options = opt.session_options(screen, model, output)
    say("All data in this demo are simulated: no real subject or device is involved.")
    if opens_window(options, window):
        return run_request(LiveRequest(options, simulated=simulated), window, in_window=True)
    say("Starting simulated EEG, eye tracker, webcam and microphone ...")
    code: int = ExitCode.GOOD
    try:
        code = run_request(LiveRequest(options, simulated=simulated), window, in_window=False)
    except KeyboardInterrupt:
        say("stopping")  # before the live session, which handles it itself
    say("The simulated streams have ended.")
    return code


def live(
    streams: opt.JoiningStreamOptions,
    model: opt.PersonalModelOptions,
    output: opt.LiveOutputOptions,
    screen: opt.TabScreenOptions,
    face_landmarks: opt.FaceLandmarks = False,
) -> int:
    """Predict from live LSL streams.

    Opens a window if there is a display, otherwise runs in the terminal. Waits where no stream is there
    yet. Streams may come, go and return while it runs. Ctrl-C ends it.

    \b
    Exit codes: 0 there were predictions, 2 an input or option cannot be used,
    or no stream came within --wait, 3 no prediction, or part of the recording or of
    an output file is missing (the reason is printed).

    \b
    Examples:
      affectscope live
      affectscope live --webcam 0 --microphone default --record session.xdf
      affectscope live --profile sub-S01/ses-01/profile
      affectscope live --streams eeg=name:BioSemi,face=none --montage biosemi64
    """
    from app.request import LiveRequest

    window = screen.window()
    options = opt.session_options(screen, streams, model, output, face_landmarks=face_landmarks)
    in_window = opens_window(options, window)
    # A window that is to close by itself, or to save pictures, is no place to wait without end.
    is_attended = in_window and window.seconds is None and window.screenshot is None
    request = LiveRequest(
        options,
        streams.webcam,
        streams.microphone,
        streams.discovery,
        wait_s=streams.wait if streams.wait is not None else math.inf if is_attended else _WAIT_S,
        newcomers="join" if (streams.join is None and not in_window) or streams.join else "offer",
    )
    return run_request(request, window, in_window=in_window)


def replay(
    files: Annotated[
        list[Path],
        Argument(help="XDF recordings, or EEG files (EDF, BDF, FIF, CSV, ...).", show_default=False),
    ],
    streams: opt.StreamOptions,
    model: opt.PersonalModelOptions,
    output: opt.ReplayOutputOptions,
    screen: opt.TabScreenOptions,
    start: float | None = option(None, "Start this many seconds in.", "--from", min=0),
    stop: float | None = option(None, "Stop this many seconds in.", "--to", min=0),
    speed: str | None = option(
        None, "Speed relative to real time, or max.", show_default="1 in the window, max in the terminal"
    ),
    chunk: str = option("all", "Samples per chunk, or all; does not affect predictions."),
    part_only: opt.PartOnly = False,
    face_landmarks: opt.FaceLandmarks = False,
    batch: int = option(
        1, "Windows the network answers in one pass; probabilities stay equal to 1e-5.", min=1
    ),
    out: Path | None = option(
        None, "Write RECORDING.jsonl of each file into this folder; a next run goes on."
    ),
    jobs: int = option(1, "With --out: parallel processes.", min=1),
    dask: str | None = option(None, "With --out: run on a Dask cluster, e.g. tcp://host:8786."),
) -> int:
    """Predict from recordings, exactly as a live run would.

    Opens a window if there is a display; --headless, --digest, --record, --batch and --out run in the
    terminal. Several files need --out; what is in the folder already is not replayed again.

    \b
    Exit codes: 0 there were predictions, 2 an input or option cannot be used,
    3 a recording is damaged or gave no prediction.

    \b
    Examples:
      affectscope replay session.xdf
      affectscope replay session.xdf --from 60 --to 120 --speed 1 --jsonl replay.jsonl
      affectscope replay study/*.xdf --out predictions --jobs 4
    """
    from app.outputs import DigestSink
    from app.request import ReplayRequest

    window = screen.window()
    digest = DigestSink() if output.digest else None
    sinks = (digest,) if digest else ()
    given = screen, streams, model, output
    options = opt.session_options(*given, extra_sinks=sinks, face_landmarks=face_landmarks)
    if digest and batch > 1:
        what = "a digest is to the last bit, which depends on the size of a batch"
        raise InputError(what, where="--batch", remedy="omit it, or --digest")
    in_terminal = batch > 1 or options.record is not None or out is not None
    in_window = not in_terminal and opens_window(options, window)
    request = ReplayRequest(
        files[0],
        options,
        start_s=start,
        stop_s=stop,
        speed=_speed(speed or ("1" if in_window else "max")),
        chunk=None if chunk == "all" else _whole(chunk, "--chunk"),
        part_only=part_only,
        batch=batch,
    )
    if out is not None:
        of_one = (output.jsonl, output.csv, output.record, output.summary, output.digest or None)
        if any(value is not None for value in of_one):
            what = "--jsonl, --csv, --record, --summary and --digest are of one recording"
            raise InputError(what, where=f"--out {out}", remedy="omit them, or --out")
        from app.bulk import replay_all

        return replay_all([replace(request, path=path) for path in files], out, jobs, dask)
    if len(files) > 1 or jobs > 1 or dask is not None:
        what = f"{counted(len(files), 'recording')} to be replayed by several processes, and no folder"
        raise InputError(what, where="replay", remedy="add --out FOLDER, which takes their predictions")
    code = run_request(request, window, in_window=in_window)
    if digest:
        say(digest.line())
    return code


def compare(
    a: Annotated[Path, Argument(help="JSONL file of one run.")],
    b: Annotated[Path, Argument(help="JSONL file of the other run.")],
    as_json: opt.Json = False,
) -> None:
    """Compare the predictions of two runs window by window.

    For example, a live run and the replay of its recording.

    \b
    Example:
      affectscope compare live.jsonl replay.jsonl
    """
    from app.compare import Comparison

    result = Comparison(a, b)
    if as_json:
        say_json(vars(result))
        return
    say(f"windows: {result.n_a} and {result.n_b}, {result.n_common} in both")
    say(f"excluded: {result.n_warm_up} windows with incomplete context in one of the runs")
    if result.n_compared:
        say(f"same label: {result.same_label:.2%} of {result.n_compared}")
        say(f"largest difference in a probability: {result.max_abs_dp:.2e} at t = {result.worst_t_end:.2f} s")
        say(f"different modalities present: {result.n_present_differs} windows")
        if result.n_verdict_differs is not None:
            say(f"different verdict: {result.n_verdict_differs} windows")


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


def run_request(request: Request, window: WindowOptions, *, in_window: bool) -> int:
    """Run a live session or a replay to its end and return the exit code.

    Raises `InputError` if the request cannot be run; what can be known is known before torch is loaded.
    """
    from app.request import LiveRequest, check_request

    check_request(request)
    if in_window:
        from app.qt.application import run_window

        return run_window(request, window)
    from app.live import LiveSession
    from app.replay import ReplaySession
    from app.terminal import show_live, show_replay

    if isinstance(request, LiveRequest):
        return show_live(LiveSession(request))
    return show_replay(ReplaySession(request), quiet=bool(request.options.extra_sinks))
