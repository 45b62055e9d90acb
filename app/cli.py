"""All commands of ``affectscope``; each group of them has a file in `app.commands`."""

from __future__ import annotations

import typer

from app.commands import (
    bench,
    calibrate,
    dataset,
    decode,
    demo,
    devices,
    evaluate,
    files,
    finetune,
    pretrain,
    reproduce,
    subjects,
    train,
)

app = typer.Typer(
    name="affectscope",
    help="Reads emotion live from EEG, eye tracker, webcam and microphone over Lab Streaming Layer.\n\n"
    "Start with: affectscope demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)

devices.register(app)
files.register(app)
decode.register(app)
demo.register(app)
train.register(app)
evaluate.register(app)
pretrain.register(app)
bench.register(app)
dataset.register(app)
finetune.register(app)
reproduce.register(app)
calibrate.register(app)
subjects.register(app)
