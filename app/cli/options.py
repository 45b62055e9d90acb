"""Options that several commands share."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from acquisition.errors import InputError


class Features(enum.StrEnum):
    """Which features of a data set are read."""

    RAW = "raw"
    PUBLISHED = "published"


Model = Annotated[
    Path | None, typer.Option(help="Model folder; the shipped demo model without it.", show_default=False)
]
Profile = Annotated[
    Path | None,
    typer.Option(
        help="A person's profile, a folder made by a calibration with this model.", show_default=False
    ),
]
Streams = Annotated[
    str | None,
    typer.Option(
        help="Which streams, e.g. eeg=name:Muse,eye=type:Gaze,voice=source_id:abc,face=none.",
        show_default=False,
    ),
]
Montage = Annotated[
    str | None,
    typer.Option(
        help="EEG channel names: an MNE montage, or a TOML file from stream label or index to 10-20 name.",
        show_default=False,
    ),
]
Events = Annotated[
    str | None,
    typer.Option(help='Recordings: which markers are which class: "1=left,2=right".', show_default=False),
]
Session = Annotated[
    int | None, typer.Option(help="Data sets: the session; all without it.", show_default=False)
]
Line = Annotated[
    int | None,
    typer.Option(help="Mains frequency, 50 or 60 Hz: its bins are left out.", show_default=False),
]
Record = Annotated[
    Path | None, typer.Option(help="Record the selected streams to this XDF file.", show_default=False)
]
Headless = Annotated[
    bool, typer.Option("--headless", help="Plain lines in the terminal, instead of a window.")
]
Seconds = Annotated[
    float | None, typer.Option(min=0.1, help="Stop after so many seconds.", show_default=False)
]
Jsonl = Annotated[
    Path | None, typer.Option(help="Write predictions, one JSON object a line.", show_default=False)
]
Csv = Annotated[Path | None, typer.Option(help="Write predictions as a table.", show_default=False)]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Threads = Annotated[
    int, typer.Option(min=0, help="CPU threads of the network; 0 chooses by the model's size.")
]
ScreenCm = Annotated[
    str | None, typer.Option(help="Screen size, e.g. 53x30, for gaze in degrees.", show_default=False)
]
DistanceCm = Annotated[
    float | None, typer.Option(help="Eye to screen, for gaze in degrees.", show_default=False)
]
Baseline = Annotated[
    float | None,
    typer.Option(
        min=1.0,
        help="Normalise with the statistics of the first so many seconds of the person's own data.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Picture = Annotated[
    Path | None, typer.Option(help="Save the last screen as an SVG picture.", show_default=False)
]
Screenshot = Annotated[
    Path | None,
    typer.Option(
        help="Save a picture of each tab to this folder after --seconds of content, and close.",
        show_default=False,
    ),
]
Tab = Annotated[str, typer.Option(help="Tab to begin with, or to save: now, why, signals, health or all.")]
Size = Annotated[str | None, typer.Option(help="Window size, e.g. 1366x768.", show_default=False)]
Theme = Annotated[str | None, typer.Option(help="dark or light.", show_default=False)]
Scale = Annotated[
    float | None,
    typer.Option(help="1 to 2: text, lines and pictures that much larger.", show_default=False),
]


def given_options(context: typer.Context) -> dict[str, str]:
    """Return the option, e.g. ``--trial-s``, by parameter of each that stands on the command line."""
    given = {}
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        if source is not None and source.name == "COMMANDLINE":
            given[str(parameter.name)] = parameter.opts[0]
    return given


def refuse_others(context: typer.Context, where: str, why: Mapping[str, str]) -> None:
    """Refuse options that mean nothing here, instead of passing over them.

    Parameters
    ----------
    context : typer.Context
        Of the command.
    where : str
        For what they mean nothing.
    why : mapping of str to str
        Why not, by the name of the parameter.

    Raises
    ------
    InputError
        With all that were given, those of one reason together.
    """
    wrong: dict[str, list[str]] = {}
    for name, option in given_options(context).items():
        if name in why:
            wrong.setdefault(why[name], []).append(option)
    if wrong:
        said = "; ".join(f"{listed(options)}: {reason}" for reason, options in wrong.items())
        several = sum(map(len, wrong.values())) > 1
        raise InputError(said, where=where, remedy="leave them out" if several else "leave it out")


def listed(words: Sequence[str]) -> str:
    """Return for example ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
