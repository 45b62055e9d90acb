"""Commands that record and what they record from: record, inspect, simulate, streams, publish."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from typer import Argument, Option

from acquisition.errors import ErrorCode, InputError, printable
from acquisition.lsl.discovery import FoundStream, discover
from acquisition.lsl.outlet import network_notice
from acquisition.record.supervisor import MAX_HOURS
from acquisition.select import kind_of, select_streams
from acquisition.text import counted, data_size, duration, say, say_json
from app import tables
from app.cli import options as opt
from app.cli.groups import add, application, option
from app.environment import ExitCode
from app.tables import make_console, progress_bar, say_on
from assets import DEMO_MODEL

if TYPE_CHECKING:
    from acquisition.publish.capture import Publishing
    from acquisition.simulator.source import SimulatorOptions
    from acquisition.xdf.format import Damage
    from acquisition.xdf.inspect import XdfReport

_CsvRate = Annotated[float | None, Option("--sfreq", min=1, help="CSV: sampling rate in Hz.")]
_NO_STREAMS = """\
No LSL streams were found.
- Is the device's LSL app running, on the same network? Firewalls often block LSL:
  it needs UDP port 16571 (multicast) and TCP and UDP ports 16572-16604.
- To search longer: affectscope streams --timeout 5
- Without any device: affectscope simulate
- To use this computer's camera or microphone: affectscope publish webcam, affectscope publish microphone"""


def streams(timeout: opt.Discovery = 2.0, as_json: opt.Json = False) -> None:
    """List the LSL streams on the network, and the modality each would be used as.

    \b
    Examples:
      affectscope streams
      affectscope streams --timeout 5 --json
    """
    found = discover(timeout)
    if as_json:
        say_json([_as_json(stream) for stream in found])
    elif found:
        _print_streams(found, make_console())
    else:
        say(*_NO_STREAMS.splitlines())


def _as_json(stream: FoundStream) -> dict[str, object]:
    header = stream.header
    return {
        "name": header.name,
        "type": header.type,
        "kind": kind_of(header).value,
        "n_channels": header.n_channels,
        "ch_names": [channel.label for channel in header.channels],
        "nominal_sfreq": header.nominal_sfreq,
        "format": header.channel_format,
        "hostname": header.hostname,
        "source_id": header.source_id,
        "uid": header.uid,
        "problems": list(stream.problems),
    }


def _print_streams(found: list[FoundStream], console: Console) -> None:
    console.print(tables.streams_table(found))
    console.print()
    _say_more(len(found), console)
    for stream in found[: tables.MOST_STREAMS]:
        for problem in stream.problems:
            say_on(console, f"- {stream.header.name}: {problem}")
    say_on(console, f"{counted(len(found), 'stream')} found.")
    try:
        select_streams({stream.key: stream.header for stream in found})
    except InputError as error:
        # The streams are listed above already.
        is_ambiguous = error.code is ErrorCode.AMBIGUOUS_STREAM
        what = "several streams fit one modality" if is_ambiguous else "no usable stream"
        say_on(console, f"For `affectscope live`: {what}; {error.remedy}.")


def _say_more(n_streams: int, console: Console) -> None:
    if n_streams > tables.MOST_STREAMS:
        say_on(console, f"... and {n_streams - tables.MOST_STREAMS:,} more streams, see --json")


def simulate(
    seed: int = option(1, "Which simulated subject.", min=0),
    difficulty: opt.Difficulty = "default",
    schedule: str = option(
        "random:20", "Emotions: random:SECONDS, or EMOTION:SECONDS and rest:SECONDS separated by commas."
    ),
    streams: str = option("eeg,gaze,video,audio,markers", "Streams to publish."),
    faults: str = option(
        "",
        "Simulated faults: KIND:STREAM[@START[+DURATION]][=VALUE] separated by commas, times in "
        "seconds; KIND is drop, stall, gone, rename, jitter, clockjump, offset or epoch.",
    ),
    lan: opt.Lan = False,
    follow: str = option(
        "", "Take the emotion from this marker stream (name, type or source_id): trial_start/EMOTION."
    ),
    seconds: opt.Seconds = None,
    id_suffix: str = option("", "Suffix of the source_ids, to run two simulators with one seed."),
    write: Path | None = option(
        None,
        "Write an XDF file of length --seconds instead of publishing. Goes with --seed, --schedule, "
        "--eeg-sfreq and --video-fps only.",
    ),
    eeg_sfreq: float = option(1000.0, "EEG rate in that file: 1000 Hz divided by a whole number."),
    video_fps: float = option(15.0, "Video frames per second in that file, up to 15."),
) -> None:
    """Publish a simulated subject's four devices as LSL streams.

    62-channel EEG at 1000 Hz, gaze and pupil at 60 Hz, a drawn face at 15 frames per second, voice at
    16 kHz, and markers. Emotions: disgust, fear, sad, neutral, happy. Ctrl-C ends it.

    \b
    Examples:
      affectscope simulate
      affectscope simulate --seed 7 --difficulty easy --schedule happy:20,rest:5,sad:20
      affectscope simulate --faults drop:eeg@20+5,gone:audio@30+10,jitter:gaze=0.02
      affectscope simulate --write simulated.xdf --seconds 30 --eeg-sfreq 200
    """
    from acquisition.simulator.process import refuse_second, run_simulator
    from acquisition.simulator.source import SimulatorOptions

    options = SimulatorOptions(
        seed=seed,
        difficulty=difficulty,
        schedule=schedule,
        streams=tuple(key.strip() for key in streams.split(",") if key.strip()),
        faults=faults,
        duration_s=seconds,
        source_id_suffix=id_suffix,
        follow=follow,
    )
    if write is not None:
        _write_recording(write, options, eeg_sfreq, video_fps)
        return
    for value, usual, where in ((eeg_sfreq, 1000.0, "--eeg-sfreq"), (video_fps, 15.0, "--video-fps")):
        if value != usual:
            what = f"published devices always run at {usual:g} Hz"
            raise InputError(what, where=where, remedy="add --write")
    refuse_second(options)
    until = f"for {seconds:g} s" if seconds else "until Ctrl-C"
    say(f"Publishing simulated data {until}: subject {seed}, difficulty {difficulty}.")
    if notice := network_notice():
        say(notice)
    for spec in options.specs().values():
        say(f"  {spec.name:<20} source_id {spec.source_id}")
    run_simulator(
        options,
        report=say,
        on_emotion=lambda t, emotion: say(f"{t:.1f} s: {emotion}"),
    )
    say("The simulated streams have ended.")


def _write_recording(path: Path, options: SimulatorOptions, eeg_sfreq: float, video_fps: float) -> None:
    from acquisition.record.recorder import check_target
    from acquisition.simulator.recording import write_simulated
    from acquisition.simulator.source import SimulatorOptions

    seconds = options.duration_s
    if options != SimulatorOptions(seed=options.seed, schedule=options.schedule, duration_s=seconds):
        what = "it can be combined with --seed, --schedule, --seconds, --eeg-sfreq and --video-fps only"
        remedy = "omit the other options, or publish the streams and record them"
        raise InputError(what, where="--write", remedy=remedy)
    check_target(path)
    seconds = seconds or 30.0
    write_simulated(
        path,
        options.streams,
        seconds,
        seed=options.seed,
        schedule=options.schedule,
        eeg_sfreq=eeg_sfreq,
        video_fps=video_fps,
    )
    say(f"{path}: {seconds:g} s of simulated data, {path.stat().st_size / 1e6:.1f} MB")


def record(
    file: Annotated[Path, Argument(help="XDF file to write; an existing file is never overwritten.")],
    streams: str | None = option(
        None,
        "Which streams: by modality as in live (eeg=name:Muse,face=none), or any streams by field "
        "(source_id:abc,name:Events).",
        show_default="one stream per modality, and all markers",
    ),
    all_streams: bool = option(False, "Record every stream found.", "--all"),
    seconds: opt.Seconds = None,
    stop: bool = option(False, "Stop a recording of this file left running by a crash.", "--stop"),
    discovery: opt.Discovery = 2.0,
    max_hours: opt.MaxHours = MAX_HOURS,
) -> int:
    """Record LSL streams to an XDF file with LabRecorder.

    The recording runs in a separate process and survives a crash of this one. Ctrl-C ends it. If its process
    dies, it continues in FILE_part-02.xdf.

    The exit code is 3 if something of it is missing.

    \b
    Examples:
      affectscope record session.xdf
      affectscope record session.xdf --all --seconds 600
      affectscope record session_part-02.xdf --streams source_id:abc
      affectscope record session.xdf --stop
    """
    from app import recording

    if file.suffix.lower() != ".xdf":
        what = "expected a name that ends in .xdf"
        raise InputError(what, where=str(file), remedy=f"for example {file.stem}.xdf")
    if stop:
        recording.end_orphan(file)
        return ExitCode.GOOD
    if all_streams and streams:
        what = "--all and --streams are mutually exclusive"
        raise InputError(what, where="record", remedy="use one of them")
    headers = recording.choose(streams, take_all=all_streams, timeout_s=discovery)
    return recording.record(file, headers, seconds, max_hours, may_lack=all_streams)


def inspect(
    file: Annotated[Path, Argument(help="XDF recording, or an EEG file (EDF, BDF, FIF, CSV, ...).")],
    as_json: opt.Json = False,
    montage: opt.Montage = None,
    eeg_unit: opt.EegUnit = None,
    sfreq: _CsvRate = None,
    part_only: opt.PartOnly = False,
) -> int:
    """Show what a recording contains, and what is wrong with it.

    Streams, units and amplitude, measured and nominal rates, gaps, clock resets, timestamps that step back,
    markers, damage; and what a replay, or training, would make of it with these options.

    The exit code is 3 if the file is damaged and 2 if it cannot be read.

    \b
    Examples:
      affectscope inspect session.xdf
      affectscope inspect session.xdf --montage muse
      affectscope inspect subject01.edf --eeg-unit uV
    """
    from acquisition.xdf.format import is_xdf
    from acquisition.xdf.inspect import inspect_xdf
    from app.model_check import read_config
    from app.request import SessionOptions

    if not is_xdf(file):
        from models.datasets.recordings import Reading, describe

        found = describe(file, Reading(montage, sfreq=sfreq, unit=eeg_unit))
        if as_json:
            say_json(found)
        for line in () if as_json else tables.eeg_file_lines(found):
            say_on(make_console(), line)
        return 0
    session = SessionOptions(montage=montage, eeg_unit=eeg_unit)
    options = session.adapter_options(read_config(DEMO_MODEL).ch_names)
    with progress_bar("reading") as progress:
        report = inspect_xdf(file, progress, options, alone=part_only)
    if as_json:
        say_json(report.to_json())
    else:
        _print(report, make_console())
    return ExitCode.after(report.damage)


def salvage(
    file: Annotated[Path, Argument(metavar="IN", help="Damaged XDF recording; it is not changed.")],
    target: Annotated[Path, Argument(metavar="OUT", help="XDF file to write.")],
    force: bool = option(False, "Overwrite OUT if it exists.", "--force"),
) -> int:
    """Write what can be read of a damaged recording as a whole XDF file.

    All samples, markers, clock offsets and stream headers that can be read are kept; what was damaged is
    listed. The exit code is 3 if the file was damaged.

    \b
    Example:
      affectscope salvage damaged.xdf salvaged.xdf
    """
    from acquisition.xdf.salvage import salvage_xdf

    with progress_bar("copying") as progress:
        n_samples, damage = salvage_xdf(file, target, progress, force=force)
    for name, n in n_samples.items():
        say(f"{name}: {counted(n, 'sample')}")
    _print_damage(damage, make_console())
    say(f"{target}: {counted(len(n_samples), 'stream')}, {data_size(target.stat().st_size)}")
    return ExitCode.after(damage)


_N_SHOWN = 20  # damaged places printed; --json has them all


def _print(report: XdfReport, console: Console) -> None:
    size, n_streams = data_size(report.n_bytes), counted(len(report.streams), "stream")
    say_on(console, f"{report.path.name}: {size}, {n_streams}, {duration(report.duration_s, 1)}")
    for note in report.notes:
        say_on(console, f"- {note}")
    if report.streams:
        console.print()
        console.print(tables.recording_table(report))
        console.print()
        _say_more(len(report.streams), console)
    for remark in tables.recording_remarks(report):
        console.print(f"- {printable(remark)}")  # which is wrapped
    if report.has_clock_map:
        say_on(console, "- recorded by Affectscope: a replay uses its clock map and reproduces the live run")
    _print_damage(report.damage, console)
    if report.damage:
        say_on(console, "`affectscope salvage IN OUT` writes what can be read of it as a whole file.")


def _print_damage(damage: Sequence[Damage], console: Console) -> None:
    for entry in damage[:_N_SHOWN]:
        say_on(console, f"damaged at byte {entry.position:,}: {printable(entry.what)}")
    if len(damage) > _N_SHOWN:
        say_on(console, f"... and {len(damage) - _N_SHOWN} more places, see inspect --json")
    if not damage:
        say_on(console, "Read to its end: no damage found.")


def _publish(
    context: typer.Context,
    stop: bool = option(False, "Stop publishers left behind by a crashed `affectscope live`.", "--stop"),
) -> None:
    if context.invoked_subcommand is not None:
        return
    if not stop:
        say(*context.get_help().splitlines())
        return
    from acquisition.publish.process import stop_publishers

    stopped = stop_publishers()
    for entry in stopped:
        say(f"stopped: {entry}")
    if not stopped:
        say("No publisher was running in the background.")


_NO_DEVICE = "No {} was found. Is one connected, and may this program use it?"
_Loop = Annotated[bool, Option("--loop", help="Repeat a file endlessly.")]
_List = Annotated[bool, Option("--list", help="List the devices and exit.")]
_Name = Annotated[str, Option(help="Name of the stream.")]
_File = Annotated[str | None, Argument(help="File to play, as --device FILE.")]


def webcam(
    file: _File = None,
    device: str = option("0", "Camera number, or a video file."),
    loop: _Loop = False,
    list_devices: _List = False,
    name: _Name = "Affectscope webcam",
    lan: opt.Lan = False,
    fps: float = option(0.0, "Frames per second.", min=0, show_default="what the camera delivers"),
    max_width: int = option(640, "Scale wider frames down to this width, in pixels.", min=64),
    quality: int = option(85, "JPEG quality.", min=1, max=100),
) -> None:
    """Publish a camera, or a video file, as JPEG frames.

    A file is played in real time in place of the camera. Ctrl-C ends it.

    \b
    Examples:
      affectscope publish webcam --list
      affectscope publish webcam --device 1 --fps 15
      affectscope publish webcam face.mp4 --loop
    """
    from acquisition.publish.webcam import camera_from_text, list_cameras, publish_webcam

    if list_devices:
        found = [
            f"{one.index}: {one.width} x {one.height} px"
            + (f" at {one.fps:g} frames/s" if one.fps > 0 else "")
            for one in list_cameras()
        ]
        say(*found or [_NO_DEVICE.format("camera")])
        return
    parsed = camera_from_text(file or device)
    with _publishing(name, loop) as publishing:
        publish_webcam(parsed, publishing, fps=fps, max_width=max_width, quality=quality)


def microphone(
    file: _File = None,
    device: str = option("default", "default, a number, part of a device's name, or a WAV file."),
    loop: _Loop = False,
    list_devices: _List = False,
    name: _Name = "Affectscope microphone",
    lan: opt.Lan = False,
) -> None:
    """Publish a microphone, or a WAV file, as int16 samples.

    A file is played in real time in place of the microphone. Ctrl-C ends it.

    \b
    Examples:
      affectscope publish microphone --list
      affectscope publish microphone --device "USB Audio"
      affectscope publish microphone speech.wav --loop
    """
    from acquisition.publish.microphone import list_microphones, microphone_from_text, publish_microphone

    if list_devices:
        found = [
            f"{one.index}: {one.name}, {one.host}, {one.n_channels} ch, {one.sfreq:g} Hz"
            + ("  (default)" if one.is_default else "")
            for one in list_microphones()
        ]
        say(*found or [_NO_DEVICE.format("microphone")])
        return
    parsed = microphone_from_text(file or device)
    with _publishing(name, loop) as publishing:
        publish_microphone(parsed, publishing)


def recording(
    file: Annotated[Path, Argument(help="XDF recording, or an EEG file (EDF, BDF, FIF, CSV, ...).")],
    loop: _Loop = False,
    lan: opt.Lan = False,
    sfreq: _CsvRate = None,
    eeg_unit: opt.EegUnit = None,
) -> None:
    """Publish a recording as the streams it was recorded from, in real time.

    Each stream of an XDF file; of an EEG file its channels, and its annotations as markers. Ctrl-C ends it.

    \b
    Examples:
      affectscope publish recording session.xdf
      affectscope publish recording subject01.edf --loop
    """
    from acquisition.publish.recording import eeg_content, publish_recording, xdf_content
    from acquisition.xdf.format import is_xdf
    from models.datasets.recordings import Reading, opened

    if is_xdf(file):
        content = xdf_content(file, say)
    else:
        content = eeg_content(file, opened(file, Reading(sfreq=sfreq, unit=eeg_unit)), eeg_unit)
    with _publishing("", loop) as publishing:
        publish_recording(file, content, publishing)


@contextmanager
def _publishing(name: str, loop: bool) -> Iterator[Publishing]:
    from acquisition.process import interruptible
    from acquisition.publish.capture import Publishing

    if notice := network_notice():
        say(notice)
    with interruptible() as interrupted:
        yield Publishing(interrupted.is_set, say, name=name, loop=loop)
    say("The stream has ended.")


publish = application(
    "publish",
    """Publish a webcam or microphone, or a file, as an LSL stream.

    It goes on until the file ends or Ctrl-C, which both exit with 0.

    \b
    Examples:
      affectscope publish webcam
      affectscope publish recording session.xdf
      affectscope publish microphone --device speech.wav --loop
      affectscope publish --stop
    """,
    _publish,
)
add(publish, webcam, microphone, recording)
