"""Tables and progress on the terminal; tables of streams, recordings and checks fit 80 columns."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from acquisition.clock_fit import agrees
from acquisition.errors import pasteable, printable, without_controls
from acquisition.quality import amplitude_trouble
from acquisition.select import kind_of
from acquisition.stream_words import fates
from acquisition.text import counted, data_size, duration, number, rate, say, say_json
from acquisition.types import MODALITY_OF_KIND, Kind
from app.environment import ExitCode

if TYPE_CHECKING:
    from acquisition.lsl.discovery import FoundStream
    from acquisition.xdf.inspect import XdfReport
    from app.doctor import Result
    from calibration.subjects import SubjectEntry
    from models.training.tables import Draw
    from models.training.tables import Table as ResultTable

#: Columns where the output goes to a file or a pipe, which have no width.
_PIPED_WIDTH = 120
_LONGEST_NAME = 200  # characters
MOST_STREAMS = 200  # of a recording, shown; --json has them all


def make_console(*, stderr: bool = False) -> Console:
    """Return a console for tables: as wide as the terminal, roomy where there is none.

    What it prints may hold what others wrote: neither markup nor control characters in it do anything.
    """
    console = Console(stderr=stderr, highlight=False, markup=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _PIPED_WIDTH
    console.push_render_hook(_Cleaning())
    return console


class _Cleaning(RenderHook):
    """Has a console print the characters of texts, tables and all else without those that control it."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Cleaned(content) for content in renderables]


@dataclass(frozen=True)
class _Cleaned:
    content: ConsoleRenderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for segment in console.render(self.content, options):
            lines = segment.text.split("\n")  # ends of lines are rich's own: of foreign text, see `printable`
            cleaned = "\n".join(map(without_controls, lines))
            yield segment if segment.control else Segment(cleaned, segment.style)


def say_on(console: Console, text: str) -> None:
    """Print one line, as `acquisition.text.say` does, beside what moves on a console."""
    console.print(without_controls(text), soft_wrap=True)


def streams_table(found: Sequence[FoundStream]) -> Table:
    titles = ("stream\ntype", "used\nas", "channels\nformat", "nominal\nrate", "source_id\nhost")
    table = row_table(titles, right=("channels\nformat", "nominal\nrate"))
    for stream in found[:MOST_STREAMS]:
        header, kind = stream.header, kind_of(stream.header)
        table.add_row(
            _two_lines(header.name, header.type or "no type"),
            "markers" if kind is Kind.MARKERS else MODALITY_OF_KIND.get(kind, "-"),  # as --streams calls it
            _two_lines(str(header.n_channels), header.channel_format),
            rate(header.nominal_sfreq),
            _two_lines(header.source_id or "none", header.hostname),
        )
    return table


def recording_table(report: XdfReport) -> Table:
    figures = ["chan-\nnels", "samples", "duration", "measured\nnominal", "gaps\nlongest"]
    figures += ["clock\nresets", "back-\nward"]
    table = row_table(("stream\ntype", *figures), right=figures)
    for stream in report.streams[:MOST_STREAMS]:
        header = stream.header
        measured = f"{stream.measured_sfreq:.2f} Hz" if stream.measured_sfreq > 0 else "-"
        table.add_row(
            _two_lines(header.name or f"stream {stream.stream_id}", header.type or "no type"),
            _two_lines(str(header.n_channels), header.channel_format),
            Text("empty", style="yellow") if stream.is_empty else f"{stream.n_samples:,}",
            "" if stream.is_empty else duration(stream.duration_s, 1),
            _two_lines(measured, rate(header.nominal_sfreq)),
            _two_lines(str(stream.n_gaps), f"{stream.longest_gap_s:.2f} s") if stream.n_gaps else "0",
            str(max(0, len(stream.segments) - 1)),
            str(stream.n_backward),
        )
    return table


_N_VALUES, _LONGEST_VALUE = 12, 40  # of markers


def recording_remarks(report: XdfReport) -> list[str]:
    """Return what a user should know of a recording's streams before using it."""
    remarks = []
    placed = [s for s in report.streams if not s.is_empty and not s.unix_stamped]
    signals = [stream for stream in placed if kind_of(stream.header) in MODALITY_OF_KIND]
    begin = min((stream.placed[0] for stream in signals), default=math.nan)
    end = max((stream.placed[1] for stream in signals), default=math.nan)
    for stream in report.streams[:MOST_STREAMS]:
        # Devices such as Muse call all their streams by one name.
        called = stream.header.name or f"stream {stream.stream_id}"
        name = printable(f"{called} ({stream.header.type or 'no type'})")
        nominal = stream.header.nominal_sfreq
        if stream.is_empty:
            remarks.append(f"{name}: empty, no sample was recorded")
            continue
        said = []
        if nominal > 0 and not agrees(stream.measured_sfreq, nominal):
            said.append(f"runs at {stream.measured_sfreq:.2f} Hz, not at its nominal {nominal:g} Hz")
        if len(stream.segments) > 1:
            parts = ", ".join(duration(part.last_time - part.first_time, 1) for part in stream.segments)
            said.append(f"{counted(len(stream.segments) - 1, 'clock reset')}; segment durations: {parts}")
        if stream.n_backward:
            said.append(f"timestamps step back at {counted(stream.n_backward, 'sample')}")
        if kind_of(stream.header) is not Kind.OTHER:
            said += fates(stream.ledger)
        if stream in signals and stream.placed[0] - begin > 1:
            said.append(f"begins {duration(stream.placed[0] - begin, 1)} after the first")
        if stream in signals and end - stream.placed[1] > 1:
            said.append(f"ends {duration(end - stream.placed[1], 1)} before the last")
        if stream.values:
            said.append(_most_frequent(stream.values))
        if not math.isnan(stream.amplitude_uv):
            unit = ", ".join(printable(unit) or "not stated" for unit in stream.units) or "not stated"
            what = f"unit {unit}; amplitude (SD of a second) {stream.amplitude_uv:.3g} µV"
            said.append(amplitude_trouble(stream.amplitude_uv) or what)
        if stream.behind_s:
            lag = f"arrived {stream.behind_s:.1f} s behind the other streams"
            said.append(f"{lag}: live needs --lateness, or its clock fixed")
        said += map(printable, stream.notes)
        if stream.refused:
            what = "a replay stops here" if stream.stops else "not used by a replay"
            said.append(f"{what}: {printable(stream.refused)}")
        remarks += [f"{name}: {clause}" for clause in said]
    if report.refused:
        remarks.append(f"a replay cannot choose its streams: {printable(report.refused)}")
    return remarks


def eeg_file_lines(found: Mapping[str, Any]) -> list[str]:
    """Return what `models.datasets.recordings.describe` says of an EEG file."""
    labels, amplitude, unit = found["ch_names"], found["amplitude_uv"], ", ".join(found["units"])
    n_eeg = found["types"].count("eeg")
    lines = [
        f"{Path(found['path']).name}: {counted(len(labels), 'channel')} ({n_eeg} EEG), "
        f"{rate(found['sfreq'])}, {duration(found['duration_s'], 1)}",
        f"- channels: {' '.join(labels)}",
        f"- unit {unit or 'not stated'}; EEG's amplitude (SD of a second) {number(amplitude, 2)} µV"
        + ("" if unit else ", if its unit is µV"),
    ]
    if amplitude == 0:
        lines.append(f"- {amplitude_trouble(amplitude)}")
    if found["bads"]:
        lines.append(f"- marked as bad: {' '.join(found['bads'])}")
    lines += [f"- {note}" for note in found["notes"]]
    for begin, end in found["holes_s"]:
        span = f"from {begin:.1f} to {end:.1f} s: bad"
        lines.append(f"- not used {span if end - begin > 0.05 else f'across {begin:.1f} s: a gap'}")
    events = f"events: {_most_frequent(found['events']) or 'none'}"
    lines.append(f"- training refuses it: {found['refused']}" if found["refused"] else f"- {events}")
    lines.append(f"Play it as a live stream with: affectscope publish recording {pasteable(found['path'])}")
    return [printable(line) for line in lines]


def _most_frequent(values: Mapping[str, int]) -> str:
    most = sorted(values.items(), key=lambda item: -item[1])
    said = [f"{printable(text[:_LONGEST_VALUE]) or 'empty'} ({n:,})" for text, n in most[:_N_VALUES]]
    return ", ".join(said) + (f" and {len(most) - _N_VALUES:,} other values" if len(most) > _N_VALUES else "")


def subjects_table(entries: Sequence[SubjectEntry]) -> Table:
    titles = ("subject", "session", "began (UTC)", "trials", "recordings", "verdict", "size")
    table = row_table(titles, right=("trials", "recordings", "size"))
    for entry in entries:
        size = data_size(entry.n_bytes)
        if not entry.sessions:
            table.add_row(entry.subject, "none", "", "", "", "", size)
        for at, session in enumerate(entry.sessions):
            verdict = session.verdict or ("being recorded" if session.is_recording else "no report")
            table.add_row(
                entry.subject if at == 0 else "",
                f"ses-{session.number:02d}",
                Text(session.given_at[:16].replace("T", " ")),
                str(session.n_trials),
                str(session.n_recordings),
                Text(verdict),
                size if at == 0 else "",
            )
    return table


def row_table(titles: Iterable[str], right: Collection[str]) -> Table:
    """Return a table without lines and yet without rows; columns in ``right`` are flush right."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, justify="right" if title in right else "left", overflow="fold")
    return table


def _two_lines(first: str, second: str) -> Text:
    # Names come from the network: as Text, brackets in them are no markup.
    first, second = (printable(text[:_LONGEST_NAME]) for text in (first, second))
    return Text(first).append(f"\n{second}", style="dim")


def print_checks(results: Sequence[Result]) -> None:
    """Print a line for each check of the doctor, with the remedy below where something is missing."""
    console = make_console()
    table = Table.grid(padding=(0, 2, 0, 0))
    for result in results:
        missing_style = "bold red" if result.is_essential else "yellow"
        state = Text("ok", style="green") if result.ok else Text("missing", style=missing_style)
        found = Text(result.found)
        if result.remedy:
            found.append(f"\n-> {result.remedy}", style="bold")
        table.add_row(state, Text(result.name), found)
    console.print(table)
    console.print()
    missing = [result for result in results if not result.ok]
    essential = [result.name for result in missing if result.is_essential]
    if essential:
        say_on(console, f"Affectscope cannot run without: {', '.join(essential)}.")
    elif missing:
        say_on(console, f"Affectscope runs; {counted(len(missing), 'optional part')} missing.")
    else:
        console.print("Everything is installed.")


def give_table(
    table: ResultTable,
    folder: Path | None,
    *,
    as_json: bool,
    draw: Draw | None = None,
    with_confusion: bool = False,
) -> int:
    """Write the table to a folder, and print it as JSON or as text; return the exit code.

    The text may hold the confusion matrix of the first row's model; ``draw`` draws another plot.
    """
    from models.training.tables import confusion_cells, write_table

    paths = [] if folder is None else write_table(table, folder, draw)
    if as_json:
        say_json(table.to_dict())
        return ExitCode.after(table.excluded)
    _show_table(table)
    if with_confusion:
        title = f"our confusion matrix: true (rows) by predicted (columns), trials: {table.rows[0].name}"
        make_console().print(figures_table(title, *confusion_cells(table)))
    if paths:
        say(f"written: {', '.join(map(str, paths))}")
    return ExitCode.after(table.excluded)


def _show_table(table: ResultTable) -> None:
    from models.training.tables import INTERVALS, short_cells

    console = make_console()
    title = " - ".join(part for part in (table.title, table.marks()) if part)
    say_on(console, f"{table.protocol}; {INTERVALS}")
    console.print(figures_table(title, *short_cells(table)))
    console.print(f"balanced accuracy, macro-F1, NLL, ECE: per {table.unit}, mean of sessions")
    for sentence in (*table.differs, *table.notes):
        say_on(console, f"- {sentence}")
    for entry in table.excluded:
        say_on(console, f"excluded: subject {entry.subject}: {entry.why}")


def figures_table(
    title: str, header: Sequence[str], rows: Iterable[Sequence[str]], caption: str | None = None
) -> Table:
    """Return a table whose first column names the row; figures are right-aligned."""
    grid = Table(title=title, title_justify="left", caption=caption)
    for at, column in enumerate(header):
        grid.add_column(column, no_wrap=at > 0, justify="right" if at else "left")
    for row in rows:
        grid.add_row(*row)
    return grid


@contextlib.contextmanager
def progress_bar(word: str, console: Console | None = None) -> Iterator[Callable[[float], None]]:
    """Give a function that shows the share done where the console, by default stderr, is a terminal."""
    console = console or make_console(stderr=True)
    columns = TextColumn(word), BarColumn(), TextColumn("{task.percentage:.0f} %"), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=None)  # unknown until the first call
        yield lambda share: bar.update(task, total=1.0, completed=share)


@contextlib.contextmanager
def stage_bars() -> Iterator[Callable[..., None]]:
    """Give a function that shows each stage of a long computation on stderr: bars in a terminal, else lines.

    It takes the stage, the share of it that is done, the loss (NaN for none), and anything else to say.
    """
    console = make_console(stderr=True)
    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} % {task.fields[loss]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    tasks: dict[str, Any] = {}
    tenths: dict[str, int] = {}
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:

        def show(stage: str, share: float, loss: float, words: str = "") -> None:
            said = "" if math.isnan(loss) else f"loss {loss:.3f}"
            shown = ", ".join(filter(None, (said, words)))
            if console.is_terminal:
                if stage not in tasks:
                    tasks[stage] = bars.add_task(stage, total=1.0, loss="")
                bars.update(tasks[stage], completed=share, loss=shown)
            elif int(share * 10) > tenths.get(stage, -1):
                tenths[stage] = int(share * 10)
                say_on(console, f"{stage} {share:.0%} {shown}")

        yield show
