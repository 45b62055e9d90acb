"""Commands around the devices: streams, simulate, publish, record, doctor."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acquisition.errors import InputError
from app.cli import options as opt
from app.cli import publish
from app.environment import ExitCode

if TYPE_CHECKING:
    from rich.console import Console

    from acquisition.lsl.discovery import FoundStream
    from acquisition.simulator.streams import SimulatorOptions

_NO_STREAMS = """\
No LSL streams were found.
- Is the device's LSL program running, and in the same network? Firewalls often block LSL:
  it needs UDP port 16571 (multicast) and TCP and UDP ports 16572-16604.
- To look longer:      affectscope streams --timeout 5
- Without any device:  affectscope simulate
- For this computer's: affectscope publish webcam, affectscope publish microphone"""

Timeout = Annotated[float, typer.Option(min=0.2, help="Seconds to look for streams.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(streams)
    app.command()(simulate)
    publish.register(app)
    app.command()(record)
    app.command()(doctor)


def streams(
    timeout: Timeout = 2.0,
    as_json: opt.Json = False,
) -> None:
    """List the LSL streams on the network, and what each is taken for.

    Examples:

      affectscope streams

      affectscope streams --timeout 5 --json
    """
    from acquisition.lsl.discovery import discover
    from app.tables import make_console

    found = discover(timeout)
    if as_json:
        print(json.dumps([_as_json(stream) for stream in found]))
    elif found:
        _print_streams(found, make_console())
    else:
        print(_NO_STREAMS)


def _as_json(stream: FoundStream) -> dict[str, object]:
    from acquisition.select import kind_of

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
    from acquisition.select import select_streams
    from app.tables import counted, stream_remarks, streams_table

    console.print(streams_table(found))
    console.print()
    for remark in stream_remarks(found):
        console.print(f"- {remark}", markup=False, soft_wrap=True)
    console.print(f"{counted(len(found), 'stream')} found.", markup=False)
    try:
        select_streams({stream.key: stream.header for stream in found})
    except InputError as error:
        # Its list of streams stands above already.
        what = re.split("[:;]", error.what)[0]
        console.print(f"For `affectscope live`: {what}; {error.remedy}.", markup=False, soft_wrap=True)


def simulate(
    seed: Annotated[int, typer.Option(min=0, help="Which simulated person; the same seed is the same.")] = 1,
    difficulty: Annotated[
        str,
        typer.Option(help="easy, default, hard, none, or the effect size: 1 is the default, 0 no emotion."),
    ] = "default",
    schedule: Annotated[
        str,
        typer.Option(help="Emotions: random:SECONDS, or EMOTION:SECONDS and rest:SECONDS with commas."),
    ] = "random:20",
    streams: Annotated[str, typer.Option(help="Which of the five.")] = "eeg,gaze,video,audio,markers",
    faults: Annotated[
        str,
        typer.Option(
            help="What goes wrong: KIND:STREAM[@START[+DURATION]][=VALUE] with commas; "
            "KIND is drop, stall, gone, rename, jitter, clockjump, offset or epoch; times in seconds.",
            show_default=False,
        ),
    ] = "",
    follow: Annotated[
        str,
        typer.Option(
            help="Take the emotion from this marker stream (name, type or source_id): trial_start/EMOTION.",
            show_default=False,
        ),
    ] = "",
    seconds: opt.Seconds = None,
    name_prefix: Annotated[str, typer.Option(help="Begins the streams' names.")] = "Simulated",
    id_suffix: Annotated[
        str,
        typer.Option(help="Tells two simulators with one seed apart by source_id.", show_default=False),
    ] = "",
    write: Annotated[
        Path | None,
        typer.Option(help="Write an XDF file of --seconds instead of publishing.", show_default=False),
    ] = None,
    eeg_sfreq: Annotated[
        float, typer.Option(help="EEG rate in that file: 1000 Hz or a whole fraction of it.")
    ] = 1000.0,
) -> None:
    """Publish a simulated person's four devices as LSL streams.

    62-channel EEG at 1000 Hz, gaze and pupil at 60 Hz, a drawn face at 15 frames a second, voice at 16 kHz
    and markers. Emotions: disgust, fear, sad, neutral, happy. Ctrl-C ends it.

    Examples:

      affectscope simulate

      affectscope simulate --seed 7 --difficulty easy --schedule happy:20,rest:5,sad:20

      affectscope simulate --faults drop:eeg@20+5,gone:audio@30+10,jitter:gaze=0.02

      affectscope simulate --write simulated.xdf --seconds 30 --eeg-sfreq 200
    """
    from acquisition.simulator.outlets import run_simulator
    from acquisition.simulator.process import refuse_second
    from acquisition.simulator.streams import SimulatorOptions

    options = SimulatorOptions(
        seed=seed,
        difficulty=difficulty,
        schedule=schedule,
        streams=tuple(key.strip() for key in streams.split(",") if key.strip()),
        faults=faults,
        duration_s=seconds,
        name_prefix=name_prefix,
        source_id_suffix=id_suffix,
        follow=follow,
    )
    if write is not None:
        _write_recording(write, options, eeg_sfreq)
        return
    if eeg_sfreq != 1000.0:
        raise InputError(
            "only a written recording has another rate", where="--eeg-sfreq", remedy="add --write"
        )
    refuse_second(options)
    until = f"for {seconds:g} s" if seconds else "until Ctrl-C"
    print(f"Publishing simulated data {until}: person {seed}, difficulty {difficulty}.", flush=True)
    for spec in options.specs().values():
        print(f"  {spec.name:<20} source_id {spec.source_id}", flush=True)
    run_simulator(options, report=lambda sentence: print(sentence, flush=True))
    print("The simulated streams have ended.")


def _write_recording(path: Path, options: SimulatorOptions, eeg_sfreq: float) -> None:
    from acquisition.record.recorder import check_target
    from acquisition.simulator.recording import write_simulated
    from acquisition.simulator.streams import SimulatorOptions

    understood = replace(
        SimulatorOptions(), seed=options.seed, schedule=options.schedule, duration_s=options.duration_s
    )
    if options != understood:
        raise InputError(
            "a written recording follows --seed, --schedule, --seconds and --eeg-sfreq alone",
            where="--write",
            remedy="leave the other options out, or publish the streams and record them",
        )
    check_target(path)
    seconds = options.duration_s or 30.0
    keys = ("eeg", "gaze", "video", "audio")
    write_simulated(path, keys, seconds, seed=options.seed, schedule=options.schedule, eeg_sfreq=eeg_sfreq)
    print(f"{path}: {seconds:g} s of simulated data, {path.stat().st_size / 1e6:.1f} MB")


def record(
    file: Annotated[Path, typer.Argument(help="XDF file to write; an existing one is refused.")],
    streams: Annotated[
        str | None,
        typer.Option(
            help="Which streams: by modality as in live (eeg=name:Muse,face=none), or of any kind by field "
            "(source_id:abc,name:Events). Without it, one a modality and all markers.",
            show_default=False,
        ),
    ] = None,
    all_streams: Annotated[bool, typer.Option("--all", help="Record everything found.")] = False,
    seconds: opt.Seconds = None,
    stop: Annotated[
        bool,
        typer.Option("--stop", help="End a recording of this file that outlived its program."),
    ] = False,
    discovery: Timeout = 2.0,
) -> None:
    """Record LSL streams to an XDF file with LabRecorder.

    The recording runs under a process of its own and survives a crash of this one. Ctrl-C ends it.

    Examples:

      affectscope record session.xdf

      affectscope record session.xdf --all --seconds 600

      affectscope record session_part-02.xdf --streams source_id:abc

      affectscope record session.xdf --stop
    """
    from app import recording

    if file.suffix.lower() != ".xdf":
        raise InputError(
            "expected a name that ends in .xdf", where=str(file), remedy=f"for example {file.stem}.xdf"
        )
    if stop:
        recording.end_orphan(file)
        return
    if all_streams and streams:
        raise InputError("--all and --streams exclude each other", where="record", remedy="give one of them")
    headers = recording.choose(streams, take_all=all_streams, timeout_s=discovery)
    recording.record(file, headers, seconds)


def doctor(as_json: opt.Json = False) -> int:
    """Check what is installed, what is missing and how to get it.

    The exit code is 2 if something is missing without which neither the demo nor live can run, else 0.

    Example: affectscope doctor
    """
    from app.doctor import examine
    from app.tables import print_checks

    results = examine()
    if as_json:
        print(json.dumps([result.to_json() for result in results]))
    else:
        print_checks(results)
    return (
        ExitCode.WRONG_USE
        if any(result.is_essential and not result.ok for result in results)
        else ExitCode.GOOD
    )
