"""The command that makes a personal model of a guided session: calibrate."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acquisition.errors import InputError
from app.cli import options as opt
from app.cli.train import difficulty_value
from app.environment import ExitCode
from assets import DEMO_MODEL

if TYPE_CHECKING:
    from app.request import CalibrationRequest
    from calibration.types import Consent

_PANEL_SIMULATED, _PANEL_AGAIN = "Simulated people", "From recordings"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(calibrate)


def calibrate(
    subject: Annotated[
        str | None, typer.Option(help="Whose session: a code such as S01, no name.", show_default=False)
    ] = None,
    protocol: Annotated[
        Path | None, typer.Option(help="TOML file with emotions, times and clips.", show_default=False)
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="Emotions to take, e.g. happy,sad,neutral.", show_default=False)
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=2, help="How many; with --events the first so many.", show_default=False)
    ] = None,
    labels: Annotated[str, typer.Option(help="intended, or as the person reported.")] = "intended",
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of all subjects; the user's data folder.", show_default=False)
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--new", help="Go on with a session that was broken off, or begin anew.")
    ] = True,
    seed: Annotated[int, typer.Option(min=0, help="Of the order, and of simulated people.")] = 0,
    consent: Annotated[
        str | None,
        typer.Option(help="Without a window: what may be recorded, e.g. eeg,eye.", show_default=False),
    ] = None,
    keep_face_video: Annotated[
        bool, typer.Option("--keep-face-video", help="Without a window: keep the raw video, too.")
    ] = False,
    keep_voice: Annotated[
        bool, typer.Option("--keep-voice", help="Without a window: keep the raw sound, too.")
    ] = False,
    simulate: Annotated[bool, typer.Option("--simulate", help="A simulated person who follows.")] = False,
    difficulty: Annotated[
        str, typer.Option(help="Of simulated people: easy, default, hard, none or an effect size.")
    ] = "default",
    time_scale: Annotated[
        float, typer.Option(min=1, help="Shortens hints, answers and rests; stimuli keep 20 s.")
    ] = 1.0,
    study: Annotated[
        int | None,
        typer.Option(min=1, help="Calibrate so many simulated people, without LSL.", show_default=False),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes of a study.")] = 2,
    from_xdf: Annotated[
        list[Path] | None,
        typer.Option(help="Fit again from this recording; more than one in their order.", show_default=False),
    ] = None,
    events: Annotated[
        str | None,
        typer.Option(help='Of a foreign recording: "1=left,2=right".', show_default=False),
    ] = None,
    trial_s: Annotated[
        float | None,
        typer.Option(min=1.0, help="Length of its trials; to the next marker without.", show_default=False),
    ] = None,
    per_class: Annotated[
        int | None,
        typer.Option(min=2, help="Its first so many of each class, instead of --trials.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for profile and report of --from-xdf.", show_default=False)
    ] = None,
    model: opt.Model = None,
    streams: opt.Streams = None,
    montage: opt.Montage = None,
    line: opt.Line = None,
    screen_cm: opt.ScreenCm = None,
    distance_cm: opt.DistanceCm = None,
    webcam: Annotated[str | None, typer.Option(help="Publish this camera too.", show_default=False)] = None,
    microphone: Annotated[
        str | None, typer.Option(help="Publish this microphone too.", show_default=False)
    ] = None,
    discovery: Annotated[float, typer.Option(min=0.2, help="Seconds to look for streams.")] = 2.0,
    device: opt.Device = "auto",
    threads: opt.Threads = 0,
    headless: opt.Headless = False,
    as_json: opt.Json = False,
    screenshot: Annotated[
        Path | None,
        typer.Option(
            help="Save a picture of each screen to this folder while the session goes on by itself.",
            show_default=False,
        ),
    ] = None,
    seconds: opt.Seconds = None,
    size: opt.Size = None,
    theme: opt.Theme = None,
    scale: opt.Scale = None,
) -> int:
    """Lead a person through ten labelled trials, and fit a personal model to them.

    A quarter of an hour: consent, a look at the signals, two quiet minutes, ten trials. Files go to the
    data folder under sub-S01/ses-01. A session that was broken off is gone on with by the same command.

    Examples:

      affectscope calibrate --subject S01

      affectscope calibrate --subject S01 --simulate --headless --time-scale 20 --seed 1 --json

      affectscope calibrate --from-xdf sub-S01_ses-01_task-calibration_run-01.xdf

      affectscope calibrate --from-xdf run.xdf --events "1=left,2=right" --montage M.toml --per-class 4

      affectscope calibrate --study 10 --json
    """
    from app.request import CalibrationRequest, SessionOptions, calibration_streams

    options = SessionOptions(
        model=model or DEMO_MODEL,
        streams=streams,
        montage=montage,
        screen_cm=screen_cm,
        distance_cm=distance_cm,
        line=line,
        headless=headless,
        device=device,
        threads=threads,
    )
    _refuse_mixed(
        study=study is not None,
        from_xdf=bool(from_xdf),
        events=events is not None,
        given={
            "--subject": subject is not None,
            "--simulate": simulate,
            "--protocol": protocol is not None,
            "--classes": classes is not None,
            "--trials": trials is not None,
            "--trial-s": trial_s is not None,
            "--per-class": per_class is not None,
            "--out": out is not None,
        },
    )
    wanted = None if classes is None else tuple(part.strip() for part in classes.split(",") if part.strip())
    if study is not None:
        return _study(study, difficulty, seed, jobs, options.model, protocol, wanted, trials, as_json)
    request = CalibrationRequest(
        options,
        subject or "",
        plan=protocol,
        data_dir=data_dir,
        seed=seed,
        classes=wanted,
        n_trials=trials,
        time_scale=time_scale,
        resume=resume,
        labels=labels,
        webcam=webcam,
        microphone=microphone,
        discovery_s=discovery,
        simulated=calibration_streams(seed, difficulty_value(difficulty)) if simulate else None,
    )
    given = _consent(consent, keep_face_video, keep_voice, everything=simulate and consent is None)
    if from_xdf:
        return _again(from_xdf, request, given, events, trial_s, per_class, out, as_json)
    if subject is None:
        raise InputError("whose session is it?", where="--subject", remedy="give a code: --subject S01")
    if not headless:
        from app.calibrate.window import run_in_window
        from app.window_options import parse_window_options

        window = parse_window_options(screenshot, seconds, "all", size, theme, scale)
        code = run_in_window(request, window)
        if code is not None:
            return code
    if simulate and consent is None:
        _say("the simulated person agrees to everything, raw face video and voice included")
    return _headless(request, given, as_json)


#: By what is wanted, what does not go with it: it would count for nothing, or for something else than meant.
_APART = {
    "--study": ("--subject", "--simulate", "--trial-s", "--per-class", "--out"),
    "--from-xdf": ("--simulate", "--protocol", "--classes", "--trials", "--trial-s", "--per-class"),
    "--from-xdf with --events": ("--simulate", "--protocol", "--classes"),
    "a session": ("--trial-s", "--per-class", "--out"),
}


def _refuse_mixed(*, study: bool, from_xdf: bool, events: bool, given: dict[str, bool]) -> None:
    """Raise an InputError where the command line asks for two things at once."""
    if study and from_xdf:
        raise InputError(
            "a study is of simulated people, and a fit is of recordings",
            where="--study with --from-xdf",
            remedy="leave one out",
        )
    if events and not from_xdf:
        raise InputError("markers of which recording?", where="--events", remedy="name it: --from-xdf FILE")
    again = "--from-xdf with --events" if events else "--from-xdf"
    wanted = "--study" if study else again if from_xdf else "a session"
    for name in _APART[wanted]:
        if given[name]:
            raise InputError(f"{name} does not go with {wanted}", where=name, remedy="leave it out")


def _headless(request: CalibrationRequest, consent: Consent | None, as_json: bool) -> int:
    from acquisition.process import interruptible
    from app.calibrate.headless import calibrate_headless

    if consent is None:
        raise InputError(
            "nobody has agreed to anything",
            where="--consent",
            remedy="name what the person agreed to be recorded and used: --consent eeg,eye,face,voice",
        )
    with interruptible() as interrupted:
        found = calibrate_headless(request, consent, interrupted, _say)
    if found is None:
        return ExitCode.INTERRUPTED
    _print(found.to_json(), found.lines(), as_json)
    return ExitCode.GOOD


def _again(
    files: list[Path],
    request: CalibrationRequest,
    consent: Consent | None,
    events: str | None,
    trial_s: float | None,
    per_class: int | None,
    out: Path | None,
    as_json: bool,
) -> int:
    if events is None:
        from app.calibrate.offline import fit_again

        found = fit_again(files, request, consent, out, _say)
        _print(found.to_json(), found.lines(), as_json)
        return ExitCode.DAMAGED_INPUT if found.damage else ExitCode.GOOD
    from app.calibrate.events import EventTrials, calibrate_events

    if len(files) != 1:
        raise InputError(
            f"expected one recording, found {len(files)}",
            where="--from-xdf with --events",
            remedy="fit one after the other",
        )
    wanted = EventTrials.parse(events, trial_s, request.n_trials, per_class)
    tested = calibrate_events(files[0], request, wanted, out, _say)
    _print(tested.to_json(), tested.lines(), as_json)
    return ExitCode.GOOD


def _study(
    n_subjects: int,
    difficulty: str,
    seed: int,
    jobs: int,
    model: Path,
    protocol: Path | None,
    classes: tuple[str, ...] | None,
    trials: int | None,
    as_json: bool,
) -> int:
    from app.calibrate.headless import show_study
    from calibration.plan import load_plan
    from calibration.study import StudyOptions

    plan = load_plan(protocol, classes, trials)
    show_study(
        StudyOptions(n_subjects, difficulty_value(difficulty), seed, jobs, model, plan), as_json=as_json
    )
    return ExitCode.GOOD


def _consent(
    text: str | None, keep_face_video: bool, keep_voice: bool, *, everything: bool
) -> Consent | None:
    """Return the consent that the command line states; a simulated person agrees to everything."""
    from datetime import UTC, datetime

    from acquisition.types import MODALITIES
    from calibration.consent import give_consent

    if everything:
        return give_consent(MODALITIES, datetime.now(UTC), keep_face_video=True, keep_voice=True)
    if text is None:
        return None
    named = [part.strip() for part in text.split(",") if part.strip()]
    return give_consent(named, datetime.now(UTC), keep_face_video=keep_face_video, keep_voice=keep_voice)


def _print(result: dict[str, Any], lines: list[str], as_json: bool) -> None:
    if as_json:
        print(json.dumps(result), flush=True)
        return
    for line in lines:
        print(line, flush=True)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
