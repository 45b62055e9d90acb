"""The command that tests this machine with real processes: certify."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from acquisition.errors import InputError, file_errors, new_folder
from acquisition.record.files import write_text
from acquisition.text import say_json
from app.cli import options as opt
from app.cli.groups import option
from app.environment import ExitCode
from app.tables import make_console


def certify(
    minutes: float = option(2.0, "About how long: 2 tries the main faults, 10 all of them.", min=2),
    full: bool = option(False, "All faults, fifty kills and an hour's soak.", "--full"),
    as_json: opt.Json = False,
    report: Path | None = option(None, "Also write the certificate as a page (.html)."),
    keep: Path | None = option(None, "Keep recordings and predictions in this new folder."),
) -> int:
    """Test this machine: simulated devices, faults, a recording and its replay, and a verdict to be filed.

    Starts device processes with known content as LSL streams that only this test sees, runs `live` and
    `record` against them, kills and disturbs them, and judges the files. Run nothing else meanwhile.

    \b
    Exit codes: 0 every row passes, 4 one fails, 5 something was not measured,
    for example because the machine was too busy, 130 interrupted.

    \b
    Examples:
      affectscope certify
      affectscope certify --minutes 10 --report certificate.html
      affectscope certify --json
    """
    import psutil

    from acquisition.clock import stopwatch
    from acquisition.process import interruptible
    from app.certify import plan
    from app.certify import report as pages
    from app.certify.judge import Row, counts, exit_code
    from app.certify.run import Running, run_sessions

    if report is not None and report.suffix.lower() != ".html":
        what = "expected a name that ends in .html"
        raise InputError(what, where=f"--report {report}", remedy=f"for example {report.stem}.html")
    sessions = plan.full() if full else plan.wide(minutes) if minutes >= plan.WIDE_MINUTES else plan.short()
    progress, began = make_console(stderr=True), stopwatch()
    with (
        _folder(keep) as folder,
        plan.with_disk(sessions, folder) as (sessions, not_made),
        interruptible() as interrupted,
        progress.status("starting") as status,
    ):
        psutil.cpu_percent()
        whole_s, rows = plan.seconds_of(sessions), list[Row]()

        def tell(words: str) -> None:
            left = max(0.0, whole_s - (stopwatch() - began))
            status.update(f"{words}; about {left:.0f} s left   Ctrl-C ends it")

        def done(running: Running) -> None:
            found = plan.rows_of(running.session, running.evidence)
            running.evidence.parts.clear()  # millions of samples
            rows.extend(found)
            progress.print(f"{running.session.name}: {counts(found)}", markup=False, highlight=False)

        over = run_sessions(sessions, folder, plan.lanes(sessions), interrupted, tell, done)
        if interrupted.is_set():
            return ExitCode.INTERRUPTED
        evidence = [running.evidence for running in over]
        rows += not_made
        about = pages.machine() | pages.load(evidence, psutil.cpu_percent())
        if report is not None:
            with file_errors("the certificate cannot be written", report, "choose another folder"):
                write_text(report, pages.to_html(rows, evidence, about, datetime.now()), durable=True)
    if as_json:
        say_json({"machine": about, "rows": [row.to_json() for row in rows]})
    else:
        console = make_console()
        console.print(pages.verdict(rows))
        console.print(pages.SIMULATED, markup=False, highlight=False)
        words = "; ".join(f"{name} {value}" for name, value in about.items())
        console.print(f"{counts(rows)}. {words}", markup=False, highlight=False)
    return exit_code(rows)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Give the folder of the recordings, which is deleted afterwards unless it is to be kept."""
    if keep is not None:
        if keep.exists():
            raise InputError("it exists already", where=f"--keep {keep}", remedy="choose a new folder")
        with new_folder(keep):
            yield keep.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="affectscope-certify-") as folder:
        yield Path(folder)
