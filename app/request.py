"""Requests of a live session, a replay or a calibration, and their checks.

Requests are picklable and reach the engine's process. Nothing here imports torch or Qt, so that the window's
process opens fast.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from acquisition.adapters import AdapterOptions, parse_screen_cm
from acquisition.adapters.eeg import refuse_companion, stated_unit
from acquisition.errors import ErrorCode, InputError, real_path
from acquisition.intake import make_adapter
from acquisition.montage import load_montage
from acquisition.record.recorder import check_target
from acquisition.record.supervisor import MAX_HOURS
from acquisition.select import exclude_unusable, parse_choices, select_streams
from acquisition.simulator.source import SimulatorOptions
from acquisition.types import MODALITY_OF_KIND, Kind, StreamHeader, StreamLedger
from acquisition.xdf.scan import check_xdf
from app.devices import kept_montage
from app.model_check import WEIGHTS_FILE, read_config
from app.outputs import CsvSink, JsonlSink, Sink, refuse_other
from assets import DEMO_MODEL
from calibration.profile_summary import ProfileSummary, model_sha256, read_summary
from calibration.storage import default_weights_folder
from calibration.subjects import note_elsewhere
from models.features.gaze import ScreenGeometry


@dataclass(frozen=True)
class SessionOptions:
    """Options that live and replay share; field names are the command line's."""

    model: Path = DEMO_MODEL
    profile: Path | None = None
    streams: str | None = None
    montage: str | None = None
    eeg_unit: str | None = None
    screen_cm: str | None = None
    distance_cm: float | None = None
    line: int | None = None
    lateness: float | None = None  # seconds that windows wait for a late stream; None: the model's
    answer_from: float | None = None  # least probability of an answer, if above the model's own
    min_coverage: float | None = None  # share of a step's samples; None: the model's
    baseline_s: float | None = None
    normalise: str = "subject"  # training: the level does not run
    face_landmarks: bool = False  # measure blinks and head pose where no eye tracker is in use
    record: Path | None = None
    max_hours: float = MAX_HOURS  # for which a recording goes on if the program is killed
    headless: bool = False
    seconds: float | None = None
    jsonl: Path | None = None
    csv: Path | None = None
    summary: Path | None = None  # of the session at its end
    device: str = "auto"  # | cpu | cuda
    threads: int = 0
    extra_sinks: tuple[Sink, ...] = field(default_factory=tuple)
    shows_unmapped: bool = False  # signals that cannot be decoded, as a window does

    def adapter_options(self, ch_names: tuple[str, ...]) -> AdapterOptions:
        return AdapterOptions(
            montage=load_montage(self.montage) if self.montage else None,
            eeg_unit=self.eeg_unit,
            screen_cm=parse_screen_cm(self.screen_cm) if self.screen_cm else None,
            distance_cm=self.distance_cm,
            ch_names=ch_names,
            kept=kept_montage,
            shows_unmapped=self.shows_unmapped,
        )

    def screen(self) -> ScreenGeometry | None:
        """Return the screen's geometry if both its size and its distance are given.

        Raises `InputError` if only one of them is given.
        """
        if self.screen_cm is None and self.distance_cm is None:
            return None
        if self.screen_cm is None or self.distance_cm is None:
            what = "gaze in degrees needs both the size of the screen and its distance"
            remedy = "give both: --screen-cm 53x30 --distance-cm 60"
            raise InputError(what, where="--screen-cm and --distance-cm", remedy=remedy)
        return ScreenGeometry(*parse_screen_cm(self.screen_cm), self.distance_cm)

    def of_devices(self, *, are_simulated: bool, profile: Path | None = None) -> SessionOptions:
        """Return the model, the streams and the geometry without outputs, for another kind of session."""
        kept = SessionOptions(self.model, profile, device=self.device, threads=self.threads)
        if are_simulated:  # which are read by the names they get
            return kept
        names = ("streams", "montage", "eeg_unit", "line", "lateness", "screen_cm", "distance_cm")
        return replace(kept, **{name: getattr(self, name) for name in names})

    def check(self) -> None:
        """Look at the model and the options that need no stream, without loading either.

        Raises `InputError` if the model, the profile, the montage or an option cannot be used.
        """
        read_config(self.model)
        if not (self.model / WEIGHTS_FILE).is_file():
            what, remedy = f"{WEIGHTS_FILE} is missing", "choose the folder of a model with --model"
            raise InputError(what, where=str(self.model), remedy=remedy, code=ErrorCode.MODEL)
        profile = self.profile_summary()
        if profile is not None:
            profile.check_base(model_sha256(self.model), f"--profile {self.profile}")
        if self.face_landmarks:
            from models.weights import FACE_LANDMARKS, check_installed

            check_installed(FACE_LANDMARKS, default_weights_folder())
        if self.summary is not None:
            check_summary(self.summary)
        self.adapter_options(())
        if self.eeg_unit is not None:
            stated_unit(self.eeg_unit, "--eeg-unit")
        self.screen()

    def profile_summary(self) -> ProfileSummary | None:
        """Return the summary of the profile in use, None without one.

        Raises `InputError` if its folder contains no profile.
        """
        return None if self.profile is None else read_summary(self.profile)

    def sinks(
        self, labels: tuple[str, ...], ledgers: Callable[[], Iterable[StreamLedger]] = tuple
    ) -> list[Sink]:
        """Open the output files; ``ledgers`` is asked at their end.

        Raises `InputError` if one cannot be written, or two options name the same file.
        """
        if self.jsonl is not None and self.csv is not None and real_path(self.jsonl) == real_path(self.csv):
            what = "both would write to the same file"
            raise InputError(what, where=f"--jsonl and --csv {self.csv}", remedy="choose two files")
        sinks = list(self.extra_sinks)
        if self.jsonl is not None:
            summary = self.profile_summary()
            sinks.append(JsonlSink(self.jsonl, {} if summary is None else summary.remark(), ledgers))
        if self.csv is not None:
            sinks.append(CsvSink(self.csv, labels))
        return sinks


@dataclass(frozen=True)
class LiveRequest:
    """A live session; with ``simulated`` the engine starts those streams first and reads them alone."""

    options: SessionOptions
    webcam: str | None = None
    microphone: str | None = None
    discovery_s: float = 2.0
    simulated: SimulatorOptions | None = None
    wait_s: float = 0.0  # for a stream that the model reads, and those that were chosen; after discovery
    newcomers: Literal["ignore", "offer", "join"] = "ignore"  # streams that appear while it runs
    preferred: tuple[str, ...] = ()  # source_id of streams that ran before: taken where several fit
    check_every_s: float | None = None  # between two questions of a self-check; None: on request alone

    def calibration(self, subject: str) -> CalibrationRequest:
        """Return a calibration of ``subject`` with the devices and the model of this session."""
        simulated = self.simulated and calibration_streams(self.simulated.seed, self.simulated.difficulty)
        return CalibrationRequest(
            self.options.of_devices(are_simulated=simulated is not None),
            subject,
            seed=0 if simulated is None else simulated.seed,
            webcam=self.webcam,
            microphone=self.microphone,
            simulated=simulated,
        )


@dataclass(frozen=True)
class ReplayRequest:
    path: Path  # XDF file
    options: SessionOptions
    start_s: float | None = None  # part to replay, seconds from the recording's first sample
    stop_s: float | None = None
    speed: float = math.inf  # times real time; infinity runs as fast as possible
    chunk: int | None = None  # samples; None takes the chunks of the file
    part_only: bool = False  # of a recording in parts, this file alone
    batch: int = 1  # windows that the network answers in one pass; not in a window


@dataclass(frozen=True)
class CalibrationRequest:
    """A guided calibration of ``subject``; nothing is opened before the window sends the consent.

    With ``simulated`` the engine starts those streams after the consent and reads them alone.
    """

    options: SessionOptions
    subject: str  # pseudonymous, S01
    plan: Path | None = None  # TOML; None is the plan that comes with the program
    data_dir: Path | None = None  # None is the platform's user data folder
    seed: int = 0  # of the order of trials
    classes: tuple[str, ...] | None = None  # None: those of the plan
    n_trials: int | None = None  # None: as many as the plan has
    time_scale: float = 1.0  # divides hints, answers and rests; a stimulus keeps 20 s
    resume: bool = True  # an interrupted session, if there is one
    labels: str = "intended"  # or reported
    webcam: str | None = None
    microphone: str | None = None
    discovery_s: float = 2.0
    simulated: SimulatorOptions | None = None

    def live(self, profile: Path) -> LiveRequest:
        """Return a live session with the devices and the model of this calibration, and a profile."""
        simulated = self.simulated
        return LiveRequest(
            self.options.of_devices(are_simulated=simulated is not None, profile=profile),
            webcam=self.webcam,
            microphone=self.microphone,
            newcomers="ignore" if simulated else "offer",
            simulated=simulated and demo_streams(simulated.seed, difficulty=simulated.difficulty),
        )


def calibration_streams(seed: int, difficulty: str | float = "default") -> SimulatorOptions:
    """Return the simulated devices of a calibration, which sends the markers itself."""
    return SimulatorOptions(
        seed=seed,
        difficulty=difficulty,
        streams=("eeg", "gaze", "video", "audio"),
        source_id_suffix=f"-calibration-{os.getpid()}",  # keeps sessions on one network apart
    )


def demo_streams(
    seed: int, schedule: str = "random:15", difficulty: str | float = "default"
) -> SimulatorOptions:
    suffix = f"-demo-{os.getpid()}"
    return SimulatorOptions(seed=seed, difficulty=difficulty, schedule=schedule, source_id_suffix=suffix)


def check_summary(path: Path) -> None:
    """Refuse a file for a session's summary whose name does not say what it shall be."""
    if path.suffix.lower() not in (".html", ".png", ".csv"):
        what = f"expected a name that ends with .html, .png or .csv, got {path.name!r}"
        remedy = "a page, a picture of the time course, or tables"
        raise InputError(what, where=f"--summary {path}", remedy=remedy, code=ErrorCode.FILE)
    begins = {".html": b"<!doctype html>", ".png": b"\x89png", ".csv": b"time_s,marker,"}[path.suffix.lower()]
    refuse_other(path, f"--summary {path}", (begins, b"marker\r\n"))
    if begins == b"time_s,marker,":  # a second table stands beside it
        streams = path.with_name(f"{path.stem}-streams.csv")
        refuse_other(streams, f"--summary {path}: {streams.name}", (b"name,", b"marker\r\n"))


#: What an own recording's sidecar says of how it was made: option -> (key there, types).
SIDECAR_OPTIONS: dict[str, tuple[str, tuple[type, ...]]] = {
    "montage": ("montage", (str,)),
    "eeg_unit": ("eeg_unit", (str,)),
    "screen_cm": ("screen_cm", (str,)),
    "distance_cm": ("distance_cm", (int, float)),
    "line": ("line_hz", (int,)),
    "answer_from": ("answer_from", (int, float)),
    "min_coverage": ("min_coverage", (int, float)),
}

Request = LiveRequest | ReplayRequest  # what the dashboard shows
EngineRequest = Request | CalibrationRequest


#: Of files that MNE reads and tables of EEG, which a replay takes too.
EEG_SUFFIXES = (".edf", ".bdf", ".gdf", ".fif", ".vhdr", ".set", ".cnt", ".csv", ".tsv", ".txt")


def check_recording(path: Path) -> None:
    """Refuse what a replay cannot be of, with `InputError`; EEG files are read by the engine alone."""
    if path.suffix.lower() not in EEG_SUFFIXES or not path.is_file():
        refuse_companion(path)
        check_xdf(path)


def check_streams(options: SessionOptions, headers: Sequence[StreamHeader]) -> None:
    """Look whether a session with ``options`` could use these streams, before another one is stopped for it.

    Raises `InputError` if it could not, or a stream that is chosen by name cannot be used.
    """
    model = read_config(options.model)
    unread = [kind for kind, modality in MODALITY_OF_KIND.items() if modality not in model.modalities]
    kinds = select_streams(dict(enumerate(headers)), options.streams, with_notes=False, unread=unread)
    known, adapting = dict(kinds), options.adapter_options(model.ch_names)
    refused = exclude_unusable(kinds, lambda i, kind: make_adapter(headers[i], "", kind, adapting), unread)
    if not set(kinds.values()) - {*unread, Kind.MARKERS}:
        what = f"the model reads {', '.join(model.modalities)} alone"
        remedy = "choose another model or stream"
        raise InputError(what, where="streams", remedy=remedy, code=ErrorCode.NO_STREAM)
    named = parse_choices(options.streams or "")
    for i, error in refused.items():
        if MODALITY_OF_KIND.get(known[i]) in named:
            raise error


def check_request(request: Request) -> None:
    """Look at what needs no stream and no torch, as the engine would a few seconds later.

    Raises `InputError` if the recording, the model, the montage, a target or an option cannot be used.
    """
    options = request.options
    options.check()
    if not isinstance(request, LiveRequest):
        check_recording(request.path)
    elif options.record is not None:
        check_target(options.record)
    if options.profile is not None:
        written = options.record, options.jsonl, options.csv, options.summary
        note_elsewhere(options.profile, [path for path in written if path is not None])
