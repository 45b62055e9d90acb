"""Which options of finetune go together, and the command line that a model card names."""

from __future__ import annotations

import enum
import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acquisition.errors import InputError
from app.cli import options as opt
from app.cli.options import Features, refuse_others
from app.cli.screen import StageBars, check_model_folder
from models.datasets.trials import RECORDINGS

#: Options that hold a path, of which a model card keeps the last part.
_PATHS = ("out", "model", "seed_iv", "seed_v", "eav", "xdf", "raw", "montage")


def check_together(context: typer.Context, kind: str) -> None:
    """Refuse options that mean nothing for what is trained on, instead of passing over them."""
    for_data_sets, for_recordings = ("subject", "session"), ("montage", "events", "trial_s")
    if kind in RECORDINGS:
        why = dict.fromkeys(for_data_sets, "only for data sets")
    else:
        why = dict.fromkeys(for_recordings, "only for recordings")
    refuse_others(context, f"--{kind}", why)
    if context.params["features"] is Features.PUBLISHED and kind not in ("seed-iv", "seed-v"):
        raise InputError(
            "--features published: only for SEED's own features", where=f"--{kind}", remedy="leave it out"
        )


def check_from_scratch(given: Mapping[str, bool]) -> None:
    """Refuse options that are about a model where there is none."""
    if wrong := [name for name, there in given.items() if there]:
        raise InputError("there is no model whose weights these are", where=wrong[0], remedy="give a --model")


def command_line(context: typer.Context) -> str:
    """Return the command line that makes the same model, with names of folders in place of paths."""
    words = ["affectscope finetune"]
    for parameter in context.command.params:
        name, value = str(parameter.name), context.params.get(str(parameter.name))
        if name == "as_json" or value is None or value == parameter.default:
            continue
        if isinstance(value, bool):
            words.append(parameter.opts[0] if value else parameter.secondary_opts[0])
            continue
        text = value.value if isinstance(value, enum.Enum) else str(value)
        words += [parameter.opts[0], shlex.quote(Path(text).name if name in _PATHS else text)]
    return " ".join(words)


if TYPE_CHECKING:
    from app.cli.finetune_task import FinetuneTask
    from models.datasets.trials import Excluded, Trial
    from models.training.evaluate_trials import ScoreReport
    from models.training.finetune import Finetuned
    from models.training.provenance import TrainingRecord


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
class _Trained:
    """What came of a task."""

    model: Finetuned
    report: ScoreReport | None  # None where no figure is honest
    trained_on: str
    record: TrainingRecord  # of all that trained the model
    excluded: list[Excluded]
    notes: list[str]  # on classes that are lacking, and on `excluded`


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
        typer.Option(
            "--continue",
            help="Go on training the classifier given with --model; recordings are then not cross-validated.",
        ),
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
        str | None, typer.Option(help="Of a data set: the person's number.", show_default=False)
    ] = None,
    session: opt.Session = None,
    montage: opt.Montage = None,
    events: opt.Events = None,
    trial_s: Annotated[
        float | None,
        typer.Option(min=1.0, help="Length of a trial; to the next marker without it.", show_default=False),
    ] = None,
    labels: Annotated[
        str,
        typer.Option(
            help="Labelled training trials used, of each session: all, first:K, per-class:K or "
            "first-windows:K."
        ),
    ] = "all",
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
    dcca: Annotated[
        bool,
        typer.Option(
            "--dcca/--no-dcca",
            help="Deep CCA loss between EEG and eye tokens, 0.1 of it added to cross-entropy.",
        ),
    ] = True,
    normalisation: Annotated[
        Normalisation,
        typer.Option(
            help="Feature mean and SD: refit on the training trials, or keep the pre-trained model's."
        ),
    ] = Normalisation.REFIT,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="At most so many; 30, or 4 with --quick.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the training.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="Few windows and epochs, to try it out.")] = False,
    as_json: opt.Json = False,
) -> None:
    """Train a classifier on labelled trials, and report it on trials it was not trained on.

    Data sets: trained on the training trials of the published split, reported on its test trials.

    Recordings: reported by 5-fold cross-validation over trials; the model kept is trained on all of them.

    Examples:

      affectscope finetune --model m --seed-iv SEED-IV --subject 1 --out m1

      affectscope finetune --model m --xdf run.xdf --montage M --events "1=left,2=right,3=idle" --out m1
    """
    from app.cli.finetune_task import Beginning, FinetuneTask
    from models.training.finetune_config import FinetuneOptions
    from models.training.sources import LabelledSource, Labels

    _check_one_beginning(model, out, from_scratch=from_scratch)
    kind, path = _one_of({"seed-iv": seed_iv, "seed-v": seed_v, "eav": eav, "xdf": xdf, "raw": raw})
    check_together(context, kind)
    wanted = Labels.parse(labels)
    if model is None:
        check_from_scratch(
            {
                "--freeze": freeze,
                "--continue": goes_on,
                "--normalisation keep": normalisation is Normalisation.KEEP,
            }
        )
        begins = Beginning()
    else:
        begins = Beginning.of(model, kind, path, goes_on=goes_on)
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
    origin = features.value if features else begins.feature_origin
    source = LabelledSource(kind, path, origin, montage, events, trial_s)
    check_model_folder(out)
    task = FinetuneTask(
        source=source,
        subject=subject,
        session=session,
        labels=wanted,
        options=options,
        begins=begins,
        out=out,
        command=command_line(context),
        generated=source.is_generated,
        quick=quick,
    )
    trained = _train(task)
    for note in trained.notes:
        print(f"note: {note}", file=sys.stderr)
    sha256 = _save(task, trained)
    if as_json:
        print(json.dumps(_result(task, trained, sha256)))
    else:
        _say(task, trained, sha256)


def _check_one_beginning(model: Path | None, out: Path, *, from_scratch: bool) -> None:
    if (model is None) != from_scratch:
        raise InputError(
            "expected either a pre-trained model or to begin at random",
            where="--model, --from-scratch",
            remedy="give --model MODEL (see: affectscope pretrain), or --from-scratch",
        )
    if model is not None and model.resolve() == out.resolve():
        raise InputError(
            "the model would be overwritten by what is made of it",
            where=f"--out {out}",
            remedy="name another folder",
        )


def _one_of(folders: dict[str, Path | None]) -> tuple[str, Path]:
    given = [(kind, path) for kind, path in folders.items() if path is not None]
    if len(given) != 1:
        raise InputError(
            f"expected one of --{', --'.join(folders)}, got {len(given)}",
            where="finetune",
            remedy="name what to train on, e.g. --seed-iv DIR --subject 1",
        )
    return given[0]


def _train(task: FinetuneTask) -> _Trained:
    from models.training.provenance import record_of_labels, record_of_recordings
    from models.training.sources import missing_classes

    trials, excluded = task.trials()
    task = task.fitted_to(trials)
    trained_on = task.words(trials)
    recordings = [task.source.path] if task.is_recording else []
    read_now = record_of_recordings(recordings, labels=True)  # before training: it may change meanwhile
    with StageBars() as bars:
        judged = _cross_validated if task.is_recording else _judged_on_test
        model, report, chosen = judged(task, trials, trained_on, bars)
    if report is not None:
        report = replace(report, protocol=task.protocol(report.protocol))
    if task.begins.seen:
        model = replace(model, config=replace(model.config, transductive=True))
    notes = [missing_classes(chosen, task.labels), *(entry.why for entry in excluded)]
    return _Trained(
        model=model,
        report=report,
        trained_on=trained_on,
        record=task.begins.record.then(read_now).then(
            replace(record_of_labels(chosen, generated=task.generated), quick=task.quick)
        ),
        excluded=excluded,
        notes=[note for note in notes if note],
    )


def _judged_on_test(
    task: FinetuneTask, trials: list[Trial], trained_on: str, bars: StageBars
) -> tuple[Finetuned, ScoreReport, list[Trial]]:
    """Return the model, its report on the published split's test trials, and what it was trained on."""
    from models.datasets.splits import published_split
    from models.training.evaluate_trials import report_on_test
    from models.training.finetune import finetune as train

    training, test = published_split(trials, shortened=task.generated)
    chosen = task.labels.choose(training, task.options.n_steps)
    model = train(
        chosen,
        task.options,
        task.begins.encoders,
        trained_on=trained_on,
        is_simulated=task.generated,
        progress=bars,
    )
    n_sessions = len({trial.session for trial in test})
    pooled = f", {n_sessions} sessions together" if n_sessions > 1 else ""
    words = f"on the {len(test)} test trials of the published split{pooled}"
    return model, report_on_test(model, test, words), chosen


def _cross_validated(
    task: FinetuneTask, trials: list[Trial], trained_on: str, bars: StageBars
) -> tuple[Finetuned, ScoreReport | None, list[Trial]]:
    """Return the model of all trials, a report of models that lacked some, and what it was trained on.

    There is no report where training goes on: the classifier may know all of the trials.
    """
    from models.training.evaluate_trials import report_by_cross_validation
    from models.training.finetune import finetune as train

    chosen, encoders = task.labels.choose(trials, task.options.n_steps), task.begins.encoders
    report = None
    if not task.begins.goes_on:
        report = report_by_cross_validation(chosen, task.options, encoders, progress=bars)
    model = train(
        chosen, task.options, encoders, trained_on=trained_on, is_simulated=task.generated, progress=bars
    )
    return model, report, chosen


def _save(task: FinetuneTask, trained: _Trained) -> str:
    """Write the model's folder and return the checksum of the weights."""
    from models.checkpoint import save_checkpoint
    from models.training.cards import finetuned_card
    from models.training.provenance import write_record

    model = trained.model
    card = finetuned_card(model, trained.report, task.command, task.generated, task.quick)
    sha256 = save_checkpoint(task.out, model.config, model.network, model.normaliser.to_dict(), card)
    write_record(task.out, trained.record)
    return sha256


def _say(task: FinetuneTask, trained: _Trained, sha256: str) -> None:
    from models.training.cards import NO_FIGURES

    model, report, marks = trained.model, trained.report, task.marks()
    print(f"{task.out}: {trained.trained_on}, sha256 {sha256[:16]}" + (f" [{marks}]" if marks else ""))
    for line in (*model.notes, *(report.lines() if report else [f"figures: {NO_FIGURES}"])):
        print(f"  {line}")
    if model.config.feature_origin == "raw":
        print(f"run it: affectscope live --model {task.out}")
    else:
        print(
            "it reads published features: for tables only, live refuses it "
            "(--features raw makes one that runs)"
        )


def _result(task: FinetuneTask, trained: _Trained, sha256: str) -> dict[str, Any]:
    from models.training.cards import NO_FIGURES

    model, report = trained.model, trained.report
    figures: dict[str, Any] = report.to_dict() if report else {"protocol": NO_FIGURES}
    return figures | {
        "trained_on": model.config.trained_on,
        "notes": list(model.notes),
        "left_out": [vars(entry) for entry in trained.excluded],
        "sha256": sha256,
        "generated": task.generated,
        "quick": task.quick,
        "transductive": model.config.transductive,
        "continued": task.begins.goes_on,
    }
