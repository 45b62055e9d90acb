"""All commands of ``affectscope``; those about this computer, doctor and bench, are here."""

from dataclasses import asdict

from acquisition.text import say_json
from app.cli import calibrate, certify, evaluate, finetune, record, reproduce, run, subjects, train, weights
from app.cli import options as opt
from app.cli.groups import add, application, option
from app.environment import ExitCode
from app.tables import make_console, print_checks, say_on


def doctor(as_json: opt.Json = False) -> int:
    """Check what is installed, what is missing, and how to get it.

    The exit code is 2 if something essential to demo and live is missing.

    \b
    Example:
      affectscope doctor
    """
    from app.doctor import examine

    results = examine()
    if as_json:
        say_json([asdict(result) for result in results])
    else:
        print_checks(results)
    is_usable = all(result.ok for result in results if result.is_essential)
    return ExitCode.GOOD if is_usable else ExitCode.WRONG_USE


def bench(
    as_json: opt.Json = False,
    only: list[str] | None = option(None, "Measure these rows only, e.g. replay,read_cost."),
    quick: bool = option(False, "Shorter runs, less precise results.", "--quick"),
    check: bool = option(False, "Exit with 1 if a row misses its target.", "--check"),
) -> int:
    """Measure speed, memory and latency, and compare each figure with its target.

    Needs a source checkout. Takes a few minutes; run nothing else meanwhile.

    \b
    Examples:
      affectscope bench
      affectscope bench --only replay,read_cost --quick --json
    """
    suite, rows_module = (opt.from_checkout(f"benchmarks.{name}") for name in ("suite", "rows"))
    names = suite.chosen_rows(only or [])
    machine = suite.describe_machine()
    progress = make_console(stderr=True)
    with progress.status("starting") as status:

        def say(text: str) -> None:
            if progress.is_terminal:
                status.update(text)
            else:
                say_on(progress, text)

        rows = suite.run_suite(names, quick=quick, say=say)
    if as_json:
        say_json({"machine": machine, "rows": [row.to_json() for row in rows]})
    else:
        make_console().print(rows_module.render(machine, rows))
    misses = check and not all(row.ok for row in rows)
    return ExitCode.INTERNAL_ERROR if misses else ExitCode.GOOD


app = application(
    "affectscope",
    """Read emotion live from EEG, eye tracker, webcam and microphone over Lab Streaming Layer (LSL).

    Start with: affectscope demo

    \b
    Examples:
      affectscope streams
      affectscope live --record session.xdf
      affectscope calibrate --subject S01
    """,
)
add(app, run.demo, run.live, run.replay, run.compare, panel="Live")
add(
    app,
    record.record,
    record.inspect,
    record.salvage,
    record.simulate,
    record.streams,
    record.publish,
    panel="Record",
)
add(app, calibrate.calibrate, subjects.subjects, panel="Calibrate")
add(
    app,
    train.make_dataset,
    train.pretrain,
    finetune.finetune,
    train.train,
    evaluate.evaluate,
    reproduce.reproduce,
    weights.weights,
    weights.model,
    panel="Data and training",
)
add(app, doctor, bench, certify.certify, panel="Machine")
