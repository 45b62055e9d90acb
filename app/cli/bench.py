"""The command that measures: bench."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from app.cli import options as opt


def bench(
    as_json: opt.Json = False,
    only: Annotated[
        list[str] | None, typer.Option(help="Measure these rows only, e.g. latency_total,read_cost.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Shorter runs, less exact figures.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 if a row misses its target.")] = False,
) -> int:
    """Measure speed, memory and latency, and compare each figure with its target.

    Takes some minutes; run nothing else on the machine meanwhile.

    \b
    Examples:
      affectscope bench
      affectscope bench --only latency_total,read_cost --quick --json
    """
    from rich.console import Console

    from app.bench.machine import describe_machine
    from app.bench.suite import chosen_rows, run_suite
    from app.bench.table import render

    names = chosen_rows(only or [])
    machine = describe_machine()
    progress = Console(stderr=True)
    with progress.status("starting") as status:

        def say(text: str) -> None:
            if progress.is_terminal:
                status.update(text)
            else:
                progress.print(text, markup=False, highlight=False)

        rows = run_suite(names, quick=quick, say=say)
    if as_json:
        print(json.dumps({"machine": machine, "rows": [row.to_json() for row in rows]}))
    else:
        Console(highlight=False).print(render(machine, rows))
    return 1 if check and not all(row.ok for row in rows) else 0
