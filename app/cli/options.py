"""Options that several commands share, each described once; `app.cli.groups` says how commands take them."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import uuid4

from typer import Option

from acquisition.errors import ErrorCode, InputError, file_errors, new_folder
from acquisition.lsl.outlet import open_to_network
from acquisition.record.files import later_parts
from acquisition.record.supervisor import MAX_HOURS
from app.cli.groups import option, option_group
from app.display import TAB_NAMES, WindowOptions, parse_size
from assets import DEMO_MODEL

if TYPE_CHECKING:
    from app.request import SessionOptions
    from models.training.sources import Source


Features = Literal["raw", "published"]  # of a data set
Normalise = Annotated[
    Literal["training", "subject", "baseline"],
    Option(help="A session's level: the training mean, its own trials, or those labelled baseline."),
]
Json = Annotated[bool, Option("--json", help="Print JSON.")]
PartOnly = Annotated[bool, Option("--part-only", help="Of a recording in parts, read this file alone.")]
Quick = Annotated[bool, Option("--quick", help="Quick trial run; results are marked.")]
Seconds = Annotated[float | None, Option(min=0.1, help="Stop after this many seconds.")]
MaxHours = Annotated[float, Option(min=0.01, help="End a recording so long after this program was killed.")]
Discovery = Annotated[float, Option(min=0.2, help="Seconds to look for streams.")]
Lan = Annotated[
    bool,
    Option(
        "--lan",
        help="Open the program's own streams to the network: not encrypted, anyone on it can read them.",
        callback=open_to_network,
    ),
]
Difficulty = Annotated[
    str, Option(help="Simulated emotions: easy, default, hard, none, or an effect size (1 is default).")
]
Seed = Annotated[int, Option(min=0, help="Random seed.")]
Jobs = Annotated[int, Option(min=1, help="Parallel processes.")]
Model = Annotated[Path, Option(help="Model folder.", show_default="the shipped demo model")]
Device = Annotated[Literal["auto", "cpu", "cuda"], Option(help="Where the network runs.")]
Events = Annotated[str | None, Option(help='Class of each marker, e.g. "1=left,2=right".')]
Montage = Annotated[
    str | None,
    Option(
        help="EEG channel names: a headset (muse, openbci-cyton, openbci-daisy, emotiv-epoc, unicorn), "
        "an MNE montage, or a TOML file that maps labels or indices to 10-20 names."
    ),
]
EegUnit = Annotated[
    str | None,
    Option(
        "--eeg-unit",
        "--unit",
        help="Unit of the EEG: uV, mV, V, nV; of counts the scale, e.g. 0.02235uV.",
        show_default="as stream or file say",
    ),
]
Line = Annotated[
    int | None, Option(help="Mains frequency in Hz, 50 or 60; it is excluded from the features.")
]
TrialSeconds = Annotated[
    float | None, Option(min=1.0, help="Trial length in seconds.", show_default="to the next marker")
]


@option_group("Model")
class ModelOptions:
    model: Model = DEMO_MODEL
    device: Device = "auto"
    threads: int = option(0, "CPU threads of the network.", min=0, show_default="by the model's size")


FaceLandmarks = Annotated[
    bool,
    Option(
        "--face-landmarks",
        help="Measure blinks and head pose from the webcam where no eye tracker is used. Shown and in "
        "--jsonl only: no model reads them. Needs the weights face-landmarks.",
    ),
]


@option_group()
class PersonalModelOptions(ModelOptions):
    profile: Path | None = option(None, "Profile folder from a calibration with this model.")
    baseline_s: float | None = option(
        None, "Normalise with statistics of the subject's first N seconds.", "--baseline", min=1.0, max=3600.0
    )
    normalise: Literal["training", "subject", "baseline"] = option(
        "subject", "The level: that of training, the subject's as it runs, or of --baseline."
    )
    answer_from: float | None = option(
        None, "Answer only from this probability of the top emotion on.", min=0.5, max=1.0,
        show_default="as fitted; a lower one has no effect",
    )  # fmt: skip
    min_coverage: float | None = option(
        None, "Share of a step's samples that must be there.", min=0.5, max=1.0, show_default="the model's"
    )

    def __post_init__(self) -> None:
        if self.normalise == "baseline" and self.baseline_s is None:
            what, remedy = "expected the length of the baseline", "add --baseline SECONDS"
            raise InputError(what, where="--normalise baseline", remedy=remedy)
        if self.normalise == "training":
            own = {"--profile": self.profile, "--baseline": self.baseline_s}
            refuse(own, "it has a level of its own", "--normalise training")


@option_group("Streams")
class StreamOptions:
    streams: str | None = option(None, "Which streams to use, e.g. eeg=name:Muse,eye=type:Gaze,face=none.")
    montage: Montage = None
    eeg_unit: EegUnit = None
    line: Line = None
    screen_cm: str | None = option(None, "Screen size in cm, e.g. 53x30, for gaze in degrees.")
    distance_cm: float | None = option(None, "Viewing distance in cm, for gaze in degrees.", min=10, max=500)


@option_group()
class LiveStreamOptions(StreamOptions):
    webcam: str | None = option(None, "Also publish a camera (e.g. 0) or a looped video file.")
    microphone: str | None = option(None, "Also publish a microphone (e.g. default) or a looped WAV file.")
    discovery: Discovery = 2.0
    lan: Lan = False
    lateness: Annotated[
        float | None,
        Option(min=0.01, max=30.0, help="Seconds that windows wait for a late stream.", show_default="0.15"),
    ] = None


@option_group()
class JoiningStreamOptions(LiveStreamOptions):
    wait: float | None = option(
        None,
        "Seconds to wait for a stream that the model reads, and those of --streams; 0 ends at once.",
        min=0,
        show_default="60 in the terminal, inf in the window",
    )
    join: bool | None = option(
        None,
        "Let a stream that appears later join, where the session has had none of its modality.",
        "--join/--no-join",
        show_default="join in the terminal, offered in the window",
    )


@option_group("Output")
class OutputOptions:
    record: Path | None = option(None, "Record the streams in use to this XDF file.")
    jsonl: Path | None = option(None, "Write predictions to this file, one JSON object per line.")
    csv: Path | None = option(None, "Write predictions to this file as a table.")
    summary: Path | None = option(
        None, "Write a summary at the end: a page (.html), a picture (.png) or tables (.csv)."
    )


@option_group()
class LiveOutputOptions(OutputOptions):
    """Outputs of a session, which may be killed."""

    max_hours: MaxHours = MAX_HOURS


@option_group()
class ReplayOutputOptions(OutputOptions):
    """Outputs of a replay, which copies its recording and can be repeated."""

    record: Path | None = option(None, "Write a copy of the recording with the predictions.")
    digest: bool = option(False, "Print a SHA-256 of times, features and predictions.", "--digest")


@option_group("Window")
class ScreenOptions:
    headless: bool = option(False, "Run in the terminal instead of a window.", "--headless")
    seconds: Seconds = None
    size: str | None = option(None, "Window size, e.g. 1366x768.")
    theme: Literal["dark", "light"] | None = option(None, "Colours.")
    scale: float | None = option(None, "Interface scale.", min=1, max=2)

    def window(self) -> WindowOptions:
        """Return how the window opens; refuse a size that cannot be used."""
        size = None if self.size is None else parse_size(self.size)
        return WindowOptions(seconds=self.seconds, size=size, theme=self.theme, scale=self.scale)


@option_group()
class TabScreenOptions(ScreenOptions):
    """Screen options of the dashboard, which has tabs and saves pictures of them."""

    screenshot: Path | None = option(None, "Save screenshots of the window to this folder, then exit.")
    tab: Literal["now", "why", "signals", "health", "all"] = option(
        "all", "Tab to open, or to capture with --screenshot."
    )

    def window(self) -> WindowOptions:
        tabs = TAB_NAMES if self.tab == "all" else (self.tab,)
        return dataclasses.replace(super().window(), screenshot=self.screenshot, tabs=tabs)


def session_options(screen: ScreenOptions, *groups: object, **others: Any) -> SessionOptions:
    """Return what the groups say of a session; their fields have the names of its fields."""
    from app.request import SessionOptions

    names = {field.name for field in dataclasses.fields(SessionOptions)}
    values = {name: value for group in groups for name, value in vars(group).items() if name in names}
    # With --screenshot the time is that before the pictures, not that of the session.
    seconds = None if screen.window().screenshot else screen.seconds
    return SessionOptions(headless=screen.headless, seconds=seconds, **values, **others)


_Paths = list[Path] | None


@option_group("Recordings")
class RecordingOptions:
    xdf: _Paths = option(None, "XDF recording, or a folder of them.", metavar="PATH")
    raw: _Paths = option(None, "EEG file (EDF, BDF, FIF, CSV, ...), or a folder of them.", metavar="PATH")
    trials: Path | None = option(
        None, "Table of trials: file,subject,session,trial,label,start_s,stop_s.", metavar="CSV"
    )
    montage: Montage = None
    sfreq: float | None = option(None, "CSV: sampling rate in Hz.", min=1.0)
    eeg_unit: EegUnit = None

    def files(self) -> list[tuple[str, Path]]:
        """Return kind and path of each recording, those of folders too."""
        from acquisition.xdf.format import is_xdf
        from models.datasets.trial_table import read_table, recordings_in

        found = [(kind, file) for kind in ("xdf", "raw") for path in getattr(self, kind) or ()
                 for file in recordings_in(path, kind)]  # fmt: skip
        of_table = () if self.trials is None else read_table(self.trials)
        found += [("xdf" if is_xdf(row.file) else "raw", row.file) for row in of_table]
        # A recording in parts is read whole where its first part is named, and it is named once.
        later = {part for kind, file in found if kind == "xdf" for part in later_parts(file)}
        return [one for one in dict.fromkeys(found) if one[1] not in later]

    def reading(self) -> dict[str, Any]:
        return {"montage": self.montage, "sfreq": self.sfreq, "unit": self.eeg_unit}


@option_group()
class LabelledRecordingOptions(RecordingOptions):
    label: list[str] | None = option(
        None, 'Files of one class, e.g. "rest=data/*_1.edf".', metavar="CLASS=GLOB"
    )
    subject_from: str | None = option(None, r'Subject within the path, e.g. "Subject(\d+)".', metavar="REGEX")
    events: Events = None
    trial_s: TrialSeconds = None

    def recordings(self) -> Source:
        """Return what the options name, as one source of trials."""
        from models.datasets.trial_table import read_table, rows_of_files
        from models.training.sources import Source

        how = self.reading()
        if self.trials is not None:
            others = flags(self, "xdf", "raw", "label", "events", "subject_from", "trial_s")
            refuse(others, "the table says it all", "--trials")
            return Source("trials", self.trials, rows=read_table(self.trials), **how)
        files = self.files()
        how |= {"events": self.events, "trial_s": self.trial_s}
        if len(files) == 1 and not self.label:
            return Source(*files[0], **how)
        rows = rows_of_files([file for _, file in files], self.label or (), self.subject_from)
        if not rows:
            what, remedy = "expected recordings, found none", "give --trials TABLE, --raw, --xdf or --label"
            raise InputError(what, where="recordings", remedy=remedy, code=ErrorCode.FILE)
        refuse(flags(self, "events", "trial_s") if self.label else {}, "not with --label")
        return Source("trials", rows[0].file.parent, rows=rows, **how)


@option_group("Data")
class DataOptions(RecordingOptions):
    seed_iv: _Paths = option(None, "Folder of SEED-IV.", metavar="PATH")
    seed_v: _Paths = option(None, "Folder of SEED-V.", metavar="PATH")
    eav: _Paths = option(None, "Folder of EAV; only its EEG is used.", metavar="PATH")

    def datasets(self) -> list[tuple[str, Path]]:
        kinds = ("seed_iv", "seed_v", "eav")
        return [(kind.replace("_", "-"), path) for kind in kinds for path in getattr(self, kind) or ()]


def flags(group: object, *names: str) -> dict[str, Any]:
    """Return values of a group by option, as `refuse` takes them: ``--trial-s`` of the field ``trial_s``."""
    return {f"--{name.replace('_', '-')}": getattr(group, name) for name in names}


def refuse(options: Mapping[str, object], why: str, where: str = "") -> None:
    """Refuse options that are given, i.e. neither None nor False, and mean nothing for what was asked.

    ``options`` are values by option, e.g. ``--session``; ``where`` names what was asked, if not the options.
    """
    given = [option for option, value in options.items() if value is not None and value is not False]
    if given:
        said = why if not where else f"{listed(given)}: {why}"
        remedy = "omit them" if len(given) > 1 else "omit it"
        raise InputError(said, where=where or listed(given), remedy=remedy, option=given[0])


def listed(words: Sequence[str]) -> str:
    """Return for example ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def difficulty_value(text: str) -> str | float:
    """Return the difficulty of simulated emotions: a name, or an effect size."""
    from acquisition.simulator.subject import effect_size

    try:
        effect_size(text)
    except InputError as error:
        raise InputError(error.what, where="--difficulty", remedy=error.remedy) from error
    try:
        return float(text)
    except ValueError:
        return text


def comma_separated(text: str | None) -> tuple[str, ...] | None:
    """Return the words of ``a,b``; None without a text."""
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())


def check_writable(folder: Path) -> None:
    """Refuse a folder that cannot hold the result before hours of work, not after them.

    It is made only to be tried: work that then fails on its input leaves no empty folder behind. The folder
    it lies in must be there, so that a mistyped path does not fill another disk.
    """
    if not (parent := folder.absolute().parent).exists():
        what, remedy = f"there is no folder {parent}", "correct the path, or make that folder first"
        raise InputError(what, where=f"--out {folder}", remedy=remedy, code=ErrorCode.FILE)
    probe = folder / f"{uuid4().hex}.tmp"  # the name of nothing that is there
    with file_errors("the folder cannot be written", f"--out {folder}", "choose another"), new_folder(folder):
        probe.touch()
        probe.unlink()


def check_model_folder(folder: Path) -> None:
    """Refuse a folder that cannot hold a model, or whose README would be lost to the model card."""
    check_writable(folder)
    if (folder / "README.md").exists() and not (folder / "config.json").exists():
        what = "its README.md is not a model card and would be overwritten"
        raise InputError(what, where=f"--out {folder}", remedy="choose a new folder", code=ErrorCode.FILE)


#: The folder that the packages lie in: that of the checkout, where the program was installed with ``-e``.
_PROJECT = Path(__file__).parents[2]


def from_checkout(name: str) -> Any:
    """Return a module of ``tests`` that a command runs; processes that it spawns find it on the path too."""
    if not (_PROJECT / "tests" / "benchmarks" / "suite.py").is_file():
        what = f"what this runs is not part of the installed program: {_PROJECT} has no tests"
        remedy = "install the program from its checkout: pip install -e ."
        raise InputError(what, where=name.partition(".")[0], remedy=remedy, code=ErrorCode.INSTALLATION)
    if str(_PROJECT) not in sys.path:
        sys.path.insert(0, str(_PROJECT))  # before any other package called tests
    return import_module(f"tests.{name}")
