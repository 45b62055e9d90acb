"""All commands of ``affectscope``, and the spellings of earlier versions."""

import shlex
import sys

from app.cli import calibrate, evaluate, finetune, machine, record, reproduce, run, train
from app.cli.groups import add, application

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
add(app, record.record, record.inspect, record.simulate, record.streams, record.publish, panel="Record")
add(app, calibrate.calibrate, calibrate.subjects, panel="Calibrate")
add(
    app,
    train.make_dataset,
    train.pretrain,
    finetune.finetune,
    train.train,
    evaluate.evaluate,
    reproduce.reproduce,
    panel="Data and training",
)
add(app, machine.doctor, machine.bench, panel="Machine")

#: Subcommands by command; in version 0.1 options might stand before them.
_SUBCOMMANDS = {
    "evaluate": ("simulated", "generated", "emodb", "seed-iv", "seed-v", "eav", "recording"),
    "reproduce": ("seed-iv", "seed-v", "eav"),
}
#: Options of these commands that take no value.
_FLAGS = ("--simulated", "--quick", "--json", "--freeze", "--no-freeze", "--keep-models")
#: Options that version 0.1 accepted where they mean nothing.
_WITHOUT_EFFECT = ("--headless", "--resume", "--new")


def modern(words: list[str]) -> list[str]:
    """Return a command line of version 0.1 in today's spelling, and say so where they differ.

    ========================  ==============================
    ``evaluate --simulated``  ``evaluate simulated``
    ``evaluate xdf FILE``     ``evaluate recording FILE``
    ``evaluate raw FILE``     ``evaluate recording FILE``
    ``calibrate --study N``   ``calibrate study N``
    ``... --from-xdf FILE``   ``calibrate refit FILE``
    ========================  ==============================
    """
    if not words or words[0] not in ("evaluate", "reproduce", "calibrate"):
        return words
    command, rest = words[0], list(words[1:])
    if command == "calibrate":
        spelt = [command, *_calibrate(rest)]
    else:
        if command == "evaluate":
            rest = ["simulated" if word == "--simulated" else word for word in rest]
            at = _first(rest, ("xdf", "raw"))
            if at is not None and _first(rest[:at], _SUBCOMMANDS[command]) is None:
                rest[at] = "recording"
        at = _first(rest, _SUBCOMMANDS[command])
        spelt = [command, *rest] if at is None else [command, rest.pop(at), *rest]
    if spelt != words:
        print(f"note: this command is now: affectscope {shlex.join(spelt)}", file=sys.stderr)
    return spelt


def _calibrate(words: list[str]) -> list[str]:
    for option, subcommand in (("--study", "study"), ("--from-xdf", "refit")):
        values, others, remaining = [], [], iter(words)
        for word in remaining:
            name, equals, value = word.partition("=")
            if name == option:
                values.append(value if equals else next(remaining, ""))
            elif word not in _WITHOUT_EFFECT:
                others.append(word)
        if values:
            return [subcommand, *values, *others]
    return words


def _first(words: list[str], names: tuple[str, ...]) -> int | None:
    """Return where the first of some names stands that is no option's value."""
    for at, word in enumerate(words):
        before = words[at - 1] if at else ""
        is_value = before.startswith("--") and "=" not in before and before not in _FLAGS
        if word in names and not is_value:
            return at
    return None
