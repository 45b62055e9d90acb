"""Calibrate subjects: `affectscope calibrate`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer import Argument, Option

from acquisition.errors import ErrorCode, InputError
from acquisition.record.files import read_sidecar
from acquisition.text import json_text, say
from app.cli import options as opt
from app.cli.groups import add, application, option, option_group
from app.cli.subjects import DataDir, data_folder
from app.display import opens_window
from app.environment import ExitCode
from calibration.plan import load_plan
from calibration.storage import newest_profile

if TYPE_CHECKING:
    from app.request import CalibrationRequest
    from calibration.types import Consent

_Trials = Annotated[int | None, Option(min=2, help="Number of trials.", show_default="as planned")]
_LabelSource = Annotated[
    Literal["intended", "reported"], Option(help="Trial labels: of the protocol, or of the subject.")
]


@option_group("Session")
class SubjectOptions:
    subject: str | None = option(None, "Subject ID, e.g. S01; never a name.", metavar="ID")
    data_dir: DataDir = None
    resume: bool = option(True, "Resume an interrupted session, or start a new one.", "--resume/--new")
    as_json: opt.Json = False


@option_group("Protocol")
class PlanOptions:
    protocol: Path | None = option(None, "TOML file with emotions, durations and clips.")
    classes: str | None = option(None, "Emotions to use, e.g. happy,sad,neutral.")
    trials: _Trials = None


@option_group()
class SessionPlanOptions(PlanOptions):
    labels: _LabelSource = "intended"
    seed: int = option(0, "Seed for trial order and simulated subject.", min=0)


@option_group("Consent, without a window")
class ConsentOptions:
    consent: str | None = option(None, "Modalities that may be recorded and used, e.g. eeg,eye.")
    keep_face_video: bool = option(False, "Keep the raw video.", "--keep-face-video")
    keep_voice: bool = option(False, "Keep the raw sound.", "--keep-voice")

    def given(self) -> Consent | None:
        from calibration.consent import give_consent

        modalities = opt.comma_separated(self.consent)
        if modalities is None:
            return None
        now = datetime.now(UTC)
        return give_consent(modalities, now, keep_face_video=self.keep_face_video, keep_voice=self.keep_voice)


@option_group("Simulated subject")
class SimulationOptions:
    simulate: bool = option(False, "Calibrate a simulated subject.", "--simulate")
    difficulty: opt.Difficulty = "default"
    time_scale: float = option(
        1.0, "Divide instructions, ratings, rests and trials by it (a trial keeps 5 s).", min=1
    )


@option_group("Self-check of a profile")
class CheckOptions:
    check: bool = option(
        False,
        "Run live with the newest profile, ask what is felt, and compare. In the terminal a number "
        "answers, Enter is none of these, ? asks at once, u undoes an update.",
        "--check",
    )
    every: float = option(5.0, "Minutes between two questions.", min=0.1)
    replay: Path | None = option(None, "Count the self-reports of this recording instead.", metavar="FILE")
    record: Path | None = option(None, "Record streams and self-reports to this XDF file.")
    jsonl: Path | None = option(None, "Write predictions to this file, one JSON object a line.")


def _session(
    context: typer.Context,
    who: SubjectOptions,
    streams: opt.LiveStreamOptions,
    plan: SessionPlanOptions,
    consent: ConsentOptions,
    simulation: SimulationOptions,
    model: opt.ModelOptions,
    screen: opt.ScreenOptions,
    check: CheckOptions,
) -> int:
    if context.invoked_subcommand is not None:
        groups = (who, streams, plan, consent, simulation, model, screen, check)
        if any(group != type(group)() for group in groups):
            what = "options must follow the subcommand"
            remedy = f"see: affectscope calibrate {context.invoked_subcommand} --help"
            raise InputError(what, where=f"calibrate {context.invoked_subcommand}", remedy=remedy)
        return ExitCode.GOOD
    if who.subject is None:
        what = "the subject ID is missing"
        raise InputError(what, where="--subject", remedy="give an ID: --subject S01", code=ErrorCode.SUBJECT)
    if check.check:
        return _self_check(who.subject, who, streams, plan, simulation, model, screen, check)
    opt.refuse(opt.flags(check, "replay", "record", "jsonl"), "only with --check")
    from app.request import CalibrationRequest, calibration_streams

    given, difficulty = consent.given(), opt.difficulty_value(simulation.difficulty)
    request = CalibrationRequest(
        opt.session_options(screen, streams, model),
        who.subject,
        plan=plan.protocol,
        data_dir=who.data_dir,
        seed=plan.seed,
        classes=opt.comma_separated(plan.classes),
        n_trials=plan.trials,
        time_scale=simulation.time_scale,
        resume=who.resume,
        labels=plan.labels,
        webcam=streams.webcam,
        microphone=streams.microphone,
        discovery_s=streams.discovery,
        simulated=calibration_streams(plan.seed, difficulty) if simulation.simulate else None,
    )
    if opens_window(request.options, window := screen.window()):
        from app.qt.calibration.window import run_calibration_window

        return run_calibration_window(request, window)
    if simulation.simulate and given is None:
        _say("the simulated subject consents to everything, including raw face video and voice")
        everything = ConsentOptions(consent="eeg,eye,face,voice", keep_face_video=True, keep_voice=True)
        given = everything.given()
    return _headless(request, given, who.as_json)


def _self_check(
    subject: str,
    who: SubjectOptions,
    streams: opt.LiveStreamOptions,
    plan: SessionPlanOptions,
    simulation: SimulationOptions,
    model: opt.ModelOptions,
    screen: opt.ScreenOptions,
    check: CheckOptions,
) -> int:
    from app.request import LiveRequest, ReplayRequest, check_request, demo_streams

    profile = newest_profile(data_folder(who.data_dir), subject)
    options = opt.session_options(screen, streams, model, check, profile=profile)
    request: LiveRequest | ReplayRequest
    if check.replay is not None:
        opt.refuse({"--record": check.record, "--simulate": simulation.simulate}, "not with --replay")
        _check_subject(check.replay, subject)
        request = ReplayRequest(check.replay, options)
    else:
        difficulty = opt.difficulty_value(simulation.difficulty)
        simulated = demo_streams(plan.seed, difficulty=difficulty) if simulation.simulate else None
        devices = streams.webcam, streams.microphone, streams.discovery
        request = LiveRequest(options, *devices, simulated, check_every_s=60 * check.every)
    check_request(request)
    is_live = isinstance(request, LiveRequest)
    if is_live and not who.as_json and opens_window(options, window := screen.window()):
        from app.qt.application import run_window

        return run_window(request, window)
    from app.replay import ReplaySession
    from app.self_check import report_record, run_check, summary_lines
    from app.terminal import show_live, show_replay

    code: int = ExitCode.GOOD
    if isinstance(request, LiveRequest):
        telemetry = run_check(request, lambda session: show_live(session, quiet=who.as_json))
    else:
        session = ReplaySession(request)
        code, telemetry = show_replay(session, quiet=True), session.telemetry
    newest = telemetry.prediction
    record = report_record(None if newest is None else newest.verdict)
    say(*([json_text(record)] if who.as_json else summary_lines(record)))
    return code


def _check_subject(recording: Path, subject: str) -> None:
    """Refuse the recording of another subject, and say where it does not tell whose it is."""
    found = read_sidecar(recording).get("subject")
    if found is None:
        _say(f"nothing beside the recording says whose it is: it is counted as {subject}'s")
    elif found != subject:
        what = f"the recording is of {found}, and the profile would be of {subject}"
        remedy = f"choose a recording of {subject}, or --subject {found}"
        raise InputError(what, where=str(recording), remedy=remedy, code=ErrorCode.SUBJECT)


def _headless(request: CalibrationRequest, consent: Consent | None, as_json: bool) -> int:
    from acquisition.process import interruptible
    from app.calibrate.headless import calibrate_headless

    if consent is None:
        what = "a session without a window needs the subject's consent"
        remedy = "list the modalities the subject consented to: --consent eeg,eye,face,voice"
        raise InputError(what, where="--consent", remedy=remedy, code=ErrorCode.SUBJECT)
    problems: list[str] = []
    with interruptible() as interrupted:
        found = calibrate_headless(request, consent, interrupted, _say, problems.append)
    for problem in problems:
        _say(f"incomplete: {problem}")
    if found is None:
        return ExitCode.INTERRUPTED
    _print(found, as_json)
    return ExitCode.after(problems)


@option_group("Recording of another program")
class ForeignOptions:
    events: opt.Events = None
    trial_s: opt.TrialSeconds = None
    trials: int | None = option(None, "Fit to the first N trials.", min=2, show_default="10")
    per_class: int | None = option(None, "Fit to the first N trials of each class.", min=2)
    subject: str | None = option(None, "Subject ID.", metavar="ID")
    seed: int = option(0, "Seed stored in the profile.", min=0)


def refit(
    files: Annotated[list[Path], Argument(help="Recordings of one subject, in chronological order.")],
    streams: opt.StreamOptions,
    consent: ConsentOptions,
    model: opt.ModelOptions,
    foreign: ForeignOptions,
    out: Path | None = option(None, "Folder for profile and report.", show_default="fit, next to the file"),
    labels: _LabelSource = "intended",
    as_json: opt.Json = False,
) -> int:
    """Fit a personal model again, from recordings.

    Calibration recordings contain their own markers. For recordings made by other programs, --events names
    the classes; the model is fitted to the first trials and tested on all others.

    The exit code is 3 if a recording is damaged.

    \b
    Examples:
      affectscope calibrate refit sub-S01_ses-01_task-calibration_run-01.xdf
      affectscope calibrate refit run.xdf --events "1=left,2=right" --montage M.toml --per-class 4
    """
    from app.request import CalibrationRequest

    options = opt.session_options(opt.ScreenOptions(), streams, model)
    request = CalibrationRequest(
        options, foreign.subject or "", seed=foreign.seed, n_trials=foreign.trials, labels=labels
    )
    if foreign.events is None:
        from app.calibrate.offline import fit_again

        of_others = opt.flags(foreign, "trial_s", "trials", "per_class")
        opt.refuse(of_others, "only for recordings of other programs, with --events")
        found = fit_again(files, request, consent.given(), out, _say)
        _print(found, as_json)
        return ExitCode.after(found.damage)
    from app.calibrate.offline import EventTrials, calibrate_events

    if len(files) != 1:
        what = f"expected one recording, found {len(files)}"
        raise InputError(what, where="calibrate refit --events", remedy="fit them one at a time")
    wanted = EventTrials(foreign.events, foreign.trial_s, foreign.trials, foreign.per_class)
    _print(calibrate_events(files[0], request, wanted, out, _say), as_json)
    return ExitCode.GOOD


def study(
    n: Annotated[int, Argument(min=1, help="Number of simulated subjects.", metavar="N")],
    plan: PlanOptions,
    difficulty: opt.Difficulty = "default",
    seed: opt.Seed = 0,
    jobs: opt.Jobs = 2,
    model: opt.Model = opt.DEMO_MODEL,
    as_json: opt.Json = False,
) -> None:
    """Calibrate simulated subjects, and compare accuracy with and without calibration.

    Needs a source checkout.

    \b
    Example:
      affectscope calibrate study 10 --json
    """
    calibration = opt.from_checkout("studies.calibration")
    loaded = load_plan(plan.protocol, opt.comma_separated(plan.classes), plan.trials)
    size = opt.difficulty_value(difficulty)
    options = calibration.StudyOptions(n, size, seed, jobs, model, loaded)
    calibration.show_study(options, as_json=as_json)


def _print(found: Any, as_json: bool) -> None:
    say(*([json_text(found.to_json())] if as_json else found.lines()))


def _say(line: str) -> None:
    say(line, error=True)


calibrate = application(
    "calibrate",
    """Guide a subject through ten labelled trials, and fit a personal model to them.

    Takes about 15 minutes: consent, signal checks, one minute of rest, ten trials. Files go to the data
    folder under sub-S01/ses-01. The same command resumes an interrupted session.

    \b
    Examples:
      affectscope calibrate --subject S01
      affectscope calibrate --subject S01 --simulate --headless --time-scale 20 --json
      affectscope calibrate refit sub-S01_ses-01_task-calibration_run-01.xdf
      affectscope calibrate --subject S01 --check --every 3 --record checked.xdf
      affectscope calibrate --subject S01 --check --replay checked.xdf --json
    """,
    _session,
)
add(calibrate, refit, study)
