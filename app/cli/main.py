"""All commands of ``affectscope``."""

from app.cli import calibrate, evaluate, finetune, machine, record, reproduce, run, subjects, train, weights
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
add(app, machine.doctor, machine.bench, panel="Machine")
