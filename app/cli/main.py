"""All commands of ``affectscope``; each group of them has a file in `app.cli`."""

from __future__ import annotations

import typer

from app.cli import bench, calibrate, devices, evaluate, files, finetune, papers, run, train

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
run.register(app)
run.register_demo(app)
train.register(app)
evaluate.register(app)
train.register_pretrain(app)
bench.register(app)
train.register_dataset(app)
finetune.register(app)
papers.register(app)
calibrate.register(app)
files.register_subjects(app)
