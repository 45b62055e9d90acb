"""The command that turns a pre-trained model into a classifier of one person: finetune."""

from __future__ import annotations

import enum
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acquisition.errors import InputError
from app.commands import options as opt
from app.commands.finetune_options import check_from_scratch, check_together, command_line
from app.commands.stage_bars import StageBars, check_model_folder
from models.datasets.kinds import PUBLISHED, RECORDINGS

if TYPE_CHECKING:
    from models.datasets.types import LeftOut, Trial
    from models.training.finetune import Finetuned
    from models.training.finetune_config import FinetuneOptions, PretrainedEncoders
    from models.training.finetune_report import Report
    from models.training.protocols import LabelledSource, Labels
    from models.training.training_record import TrainingRecord


class Fusion(enum.StrEnum):
    """Entries of `models.fusion.FUSIONS`."""

    ATTENTION = "attention"
    CONCAT = "concat"
    SHARED_ATTENTION = "shared_attention"


class Normalisation(enum.StrEnum):
    """Whose statistics."""

    REFIT = "refit"
    KEEP = "keep"


@dataclass(frozen=True)
class _Task:
    """What is trained on what, and how it is to be marked."""

    source: LabelledSource
    subject: str | None
    session: int | None
    labels: Labels
    options: FinetuneOptions
    base: PretrainedEncoders | None
    goes_on: bool  # the base is a classifier
    seen: str  # of the tested trials by the base, in words
    record: TrainingRecord  # of the base's training
    out: Path
    command: str
    generated: bool
    quick: bool


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(finetune)


def finetune(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder for the model.")],
    model: Annotated[
        Path | None, typer.Option(help="Model of pretrain whose encoders are taken.", show_default=False)
    ] = None,
    from_scratch: Annotated[bool, typer.Option("--from-scratch", help="Begin with random weights.")] = False,
    goes_on: Annotated[
        bool,
        typer.Option("--continue", help="Train on a classifier; recordings are then not cross-validated."),
    ] = False,
    seed_iv: Annotated[Path | None, typer.Option(help="Folder of SEED-IV.", show_default=False)] = None,
    seed_v: Annotated[Path | None, typer.Option(help="Folder of SEED-V.", show_default=False)] = None,
    eav: Annotated[
        Path | None, typer.Option(help="Folder of EAV, whose EEG is taken.", show_default=False)
    ] = None,
    xdf: Annotated[Path | None, typer.Option(help="XDF recording.", show_default=False)] = None,
    raw: Annotated[
        Path | None, typer.Option(help="EEG file that MNE reads; annotations are labels.", show_default=False)
    ] = None,
    subject: Annotated[
        str | None, typer.Option(help="Of a data set: its number.", show_default=False)
    ] = None,
    session: opt.Session = None,
    montage: opt.Montage = None,
    events: opt.Events = None,
    trial_s: Annotated[
        float | None,
        typer.Option(min=1.0, help="Length of a trial; to the next marker without it.", show_default=False),
    ] = None,
    labels: Annotated[str, typer.Option(help="all, first:K trials, per-class:K or first-windows:K.")] = "all",
    features: Annotated[
        opt.Features | None,
        typer.Option(
            help="SEED: raw runs live, published serves tables; the model's without it.", show_default=False
        ),
    ] = None,
    modalities: Annotated[str, typer.Option(help="eeg, eye or both; those the data hold.")] = "eeg,eye",
    fusion: Annotated[Fusion, typer.Option(help="How modalities are put together.")] = Fusion.ATTENTION,
    freeze: Annotated[
        bool, typer.Option("--freeze/--no-freeze", help="Keep the encoders as pre-trained.")
    ] = False,
    dcca: Annotated[bool, typer.Option("--dcca/--no-dcca", help="Correlation loss beside the other.")] = True,
    normalisation: Annotated[
        Normalisation, typer.Option(help="Refit on the training trials, or keep the pre-trained model's.")
    ] = Normalisation.REFIT,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="At most; 30, or 4 with --quick.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the training.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="Few windows and epochs, to try it out.")] = False,
    as_json: opt.Json = False,
) -> None:
    """Train a classifier on labelled trials, and report it on trials it was not trained on.

    Examples:

      affectscope finetune --model m --seed-iv SEED-IV --subject 1 --out m1

      affectscope finetune --model m --xdf run.xdf --montage M --events "1=left,2=right,3=idle" --out m1
    """
    from models.checkpoint import load_checkpoint
    from models.training.finetune_base import check_base, seen_without_labels
    from models.training.finetune_config import FinetuneOptions, PretrainedEncoders
    from models.training.protocols import LabelledSource, Labels
    from models.training.training_record import TrainingRecord, read_record

    if (model is None) != from_scratch:
        raise InputError(
            "expected either a pre-trained model or to begin at random",
            where="--model, --from-scratch",
            remedy="give --model MODEL (see: affectscope pretrain), or --from-scratch",
        )
    kind, path = _one_of({"seed-iv": seed_iv, "seed-v": seed_v, "eav": eav, "xdf": xdf, "raw": raw})
    check_together(context, kind)
    wanted, base, seen, record = Labels.parse(labels), None, "", None
    if model is None:
        check_from_scratch(
            {
                "--freeze": freeze,
                "--continue": goes_on,
                "--normalisation keep": normalisation is Normalisation.KEEP,
            }
        )
    else:
        if model.resolve() == out.resolve():
            raise InputError(
                "the model would be overwritten by what is made of it",
                where=f"--out {out}",
                remedy="name another folder",
            )
        base = PretrainedEncoders.of(load_checkpoint(model))
        check_base(base.config, goes_on=goes_on)
        record = read_record(model)
        seen = seen_without_labels(base.config, kind, path, record)
    origin = features.value if features else base.config.feature_origin if base else "raw"
    options = FinetuneOptions(
        modalities=tuple(part.strip() for part in modalities.split(",")),
        fusion=fusion.value,
        freeze=freeze,
        dcca=dcca,
        normalisation=normalisation.value,
        seed=seed,
    )
    if quick:
        options = options.quick()
    if epochs is not None:
        options = replace(options, epochs=epochs, few_epochs=min(epochs, FinetuneOptions.few_epochs))
    source = LabelledSource(kind, path, origin, montage, events, trial_s)
    check_model_folder(out)
    task = _Task(
        source,
        subject,
        session,
        wanted,
        options,
        base,
        goes_on,
        seen,
        TrainingRecord() if model is None else record or TrainingRecord(complete=False),
        out,
        command_line(context),
        source.is_generated,
        quick,
    )
    _run(task, as_json)


def _one_of(folders: dict[str, Path | None]) -> tuple[str, Path]:
    given = [(kind, path) for kind, path in folders.items() if path is not None]
    if len(given) != 1:
        raise InputError(
            f"expected one of --{', --'.join(folders)}, got {len(given)}",
            where="finetune",
            remedy="name what to train on, e.g. --seed-iv DIR --subject 1",
        )
    return given[0]


def _run(task: _Task, as_json: bool) -> None:
    from models.checkpoint import save_checkpoint
    from models.datasets.windows import steps_that_fit
    from models.training.finetune_report import finetuned_card
    from models.training.protocols import missing_classes
    from models.training.training_record import record_of_labels, record_of_recordings, write_record

    trials, left_out = _trials(task)
    task = replace(
        task,
        options=replace(
            task.options,
            n_steps=steps_that_fit(trials, task.options.n_steps),
            max_windows=task.labels.max_windows,
        ),
    )
    trained_on = _words(task, trials)
    recordings = [task.source.path] if task.source.kind in RECORDINGS else []
    read_now = record_of_recordings(recordings, labels=True)
    model, report, chosen = _trained(task, trials, trained_on)
    if task.seen:
        model = replace(model, config=replace(model.config, transductive=True))
    for note in [missing_classes(chosen, task.labels), *(entry.why for entry in left_out)]:
        if note:
            print(f"note: {note}", file=sys.stderr)
    card = finetuned_card(model, report, task.command, task.generated, task.quick)
    sha256 = save_checkpoint(task.out, model.config, model.network, model.normaliser.to_dict(), card)
    write_record(task.out, task.record.then(read_now).then(record_of_labels(chosen)))
    if as_json:
        print(json.dumps(_result(task, model, report, left_out, sha256)))
        return
    marks = {"generated data": task.generated, "quick": task.quick, "transductive": bool(task.seen)}
    marked = ", ".join(mark for mark, there in marks.items() if there)
    print(f"{task.out}: {trained_on}, sha256 {sha256[:16]}" + (f" [{marked}]" if marked else ""))
    for line in (*model.notes, *_report_lines(report)):
        print(f"  {line}")
    print(_next(model.config.feature_origin, task.out))


def _trained(
    task: _Task, trials: list[Trial], trained_on: str
) -> tuple[Finetuned, Report | None, list[Trial]]:
    """Return the model, its report and the trials it was trained on; no report where none is honest."""
    from models.datasets.splits import published_split
    from models.training.finetune import finetune as train
    from models.training.finetune_report import report_by_cross_validation, report_on_test

    report: Report | None = None
    with StageBars() as bars:
        if task.source.kind in PUBLISHED:
            training, test = published_split(trials, shortened=task.generated)
            chosen = task.labels.choose(training, task.options.n_steps)
            model = train(chosen, task.options, task.base, trained_on=trained_on, progress=bars)
            n_sessions = len({trial.session for trial in test})
            pooled = f", {n_sessions} sessions together" if n_sessions > 1 else ""
            report = report_on_test(
                model, test, f"on the {len(test)} test trials of the published split{pooled}"
            )
        else:
            chosen = task.labels.choose(trials, task.options.n_steps)
            if not task.goes_on:
                report = report_by_cross_validation(chosen, task.options, task.base, progress=bars)
            model = train(chosen, task.options, task.base, trained_on=trained_on, progress=bars)
    if report is not None:
        known = "the classifier it began with was trained with labels: no figure if any were of these trials"
        said = (report.protocol, task.seen, known if task.goes_on else "")
        report = replace(report, protocol="; ".join(part for part in said if part))
    return model, report, chosen


def _trials(task: _Task) -> tuple[list[Trial], list[LeftOut]]:
    """Return the trials to work on, and what of them could not be read."""

    source, subject, session = task.source, task.subject, task.session
    config = task.base.config if task.base else None
    if source.kind not in PUBLISHED:
        return source.trials(None, config), []
    if subject is None:
        raise InputError(
            "expected the person's number", where=f"--{source.kind}", remedy="add for example --subject 1"
        )
    left_out: list[LeftOut] = []
    trials = source.trials([subject], config, left_out)
    if not trials:
        raise InputError(left_out[0].why, where=f"subject {subject}")
    chosen = [trial for trial in trials if session in (None, trial.session)]
    if not chosen:
        found = ", ".join(str(number) for number in sorted({trial.session for trial in trials}))
        remedy = "leave it out to see what could not be read" if left_out else ""
        raise InputError(f"expected session {found}, found {session}", where="--session", remedy=remedy)
    return chosen, left_out


def _words(task: _Task, trials: list[Trial]) -> str:
    """Return in words what the model is trained on, with all that a figure must not hide."""
    first = trials[0]
    sessions = ", ".join(str(number) for number in sorted({trial.session for trial in trials}))
    made = ""
    if task.generated:
        made = "simulated " if task.source.kind in RECORDINGS else "generated data in the layout of "
    labels = task.labels.words()
    if len({trial.session for trial in trials}) > 1 and task.labels.how in ("first", "per-class"):
        labels += " of each session"
    words = (
        f"{made}{task.source.kind}, subject {first.subject}, session {sessions}, labels: {labels}, "
        f"{first.origin} features"
    )
    if task.goes_on and task.base is not None:
        words += f"; continued from a classifier ({task.base.config.trained_on})"
    return f"{words}; {task.seen}" if task.seen else words


def _report_lines(report: Report | None) -> list[str]:
    from models.training.finetune_report import NO_FIGURES

    return report.lines() if report else [f"figures: {NO_FIGURES}"]


def _result(
    task: _Task, model: Finetuned, report: Report | None, left_out: list[LeftOut], sha256: str
) -> dict[str, Any]:
    from models.training.finetune_report import NO_FIGURES

    figures: dict[str, Any] = report.to_dict() if report else {"protocol": NO_FIGURES}
    return figures | {
        "trained_on": model.config.trained_on,
        "notes": list(model.notes),
        "left_out": [vars(entry) for entry in left_out],
        "sha256": sha256,
        "generated": task.generated,
        "quick": task.quick,
        "transductive": model.config.transductive,
        "continued": task.goes_on,
    }


def _next(origin: str, out: Path) -> str:
    if origin == "raw":
        return f"run it: affectscope live --model {out}"
    return (
        "it reads published features: for tables only, live refuses it (--features raw makes one that runs)"
    )
