"""The command that turns a pre-trained model into a classifier of one person: finetune."""

from __future__ import annotations

import enum
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acquisition.errors import InputError
from app.commands import options as opt
from app.commands.stage_bars import StageBars, check_writable

if TYPE_CHECKING:
    from models.datasets.types import LeftOut, Trial
    from models.training.finetune_config import FinetuneOptions, PretrainedEncoders
    from models.training.protocols import LabelledSource


class Fusion(enum.StrEnum):
    """Entries of `models.fusion.FUSIONS`."""

    ATTENTION = "attention"
    CONCAT = "concat"
    SHARED_ATTENTION = "shared_attention"


class Normalisation(enum.StrEnum):
    """Whose statistics."""

    REFIT = "refit"
    KEEP = "keep"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(finetune)


def finetune(
    out: Annotated[Path, typer.Option(help="Folder for the model.")],
    model: Annotated[
        Path | None, typer.Option(help="Model of pretrain whose encoders are taken.", show_default=False)
    ] = None,
    from_scratch: Annotated[bool, typer.Option("--from-scratch", help="Begin with random weights.")] = False,
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
    session: Annotated[
        int | None, typer.Option(help="Of a data set; all without it.", show_default=False)
    ] = None,
    montage: opt.Montage = None,
    events: Annotated[
        str | None,
        typer.Option(help='Which markers are which class: "1=left,2=right".', show_default=False),
    ] = None,
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
    epochs: Annotated[int, typer.Option(min=1, help="At most.")] = 30,
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
    from models.training.finetune_config import FinetuneOptions, PretrainedEncoders
    from models.training.protocols import LabelledSource

    if (model is None) != from_scratch:
        raise InputError(
            "expected either a pre-trained model or to begin at random",
            where="--model, --from-scratch",
            remedy="give --model MODEL (see: affectscope pretrain), or --from-scratch",
        )
    folders = {"seed-iv": seed_iv, "seed-v": seed_v, "eav": eav, "xdf": xdf, "raw": raw}
    kind, path = _one_of(folders)
    pretrained = None if model is None else PretrainedEncoders.of(load_checkpoint(model))
    origin = features.value if features else pretrained.config.feature_origin if pretrained else "raw"
    source = LabelledSource(kind, path, origin, montage, events, trial_s)
    options = FinetuneOptions(
        modalities=tuple(part.strip() for part in modalities.split(",")),
        fusion=fusion.value,
        freeze=freeze,
        dcca=dcca,
        normalisation=normalisation.value,
        epochs=epochs,
        few_epochs=min(epochs, 15),
        seed=seed,
    )
    if freeze and pretrained is None:
        raise InputError("random encoders would be frozen", where="--freeze", remedy="give a --model")
    check_writable(out)
    _run(
        source,
        subject,
        session,
        labels,
        options.quick() if quick else options,
        pretrained,
        out,
        quick,
        as_json,
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


def _run(
    source: LabelledSource,
    subject: str | None,
    session: int | None,
    labels: str,
    options: FinetuneOptions,
    pretrained: PretrainedEncoders | None,
    out: Path,
    quick: bool,
    as_json: bool,
) -> None:
    from models.checkpoint import save_checkpoint
    from models.datasets.make.folder import is_generated
    from models.datasets.splits import published_split
    from models.datasets.windows import steps_that_fit
    from models.training.finetune import finetune as train
    from models.training.finetune_report import finetuned_card, report_by_cross_validation, report_on_test
    from models.training.protocols import PUBLISHED, Labels, missing_classes

    wanted = Labels.parse(labels)
    trials, left_out = _trials(source, subject, session, pretrained)
    generated = is_generated(source.path)
    options = replace(
        options, n_steps=steps_that_fit(trials, options.n_steps), max_windows=wanted.max_windows
    )
    trained_on = _words(source, trials, wanted, generated)
    with StageBars() as bars:
        if source.kind in PUBLISHED:
            training, test = published_split(trials)
            chosen = wanted.choose(training, options.n_steps)
            model = train(chosen, options, pretrained, trained_on=trained_on, progress=bars)
            report = report_on_test(model, test, f"on the {len(test)} test trials of the published split")
        else:
            chosen = wanted.choose(trials, options.n_steps)
            report = report_by_cross_validation(chosen, options, pretrained, progress=bars)
            model = train(chosen, options, pretrained, trained_on=trained_on, progress=bars)
    for note in [missing_classes(chosen, wanted), *(entry.why for entry in left_out)]:
        if note:
            print(f"note: {note}", file=sys.stderr)
    command = f"affectscope finetune --out {out.name}" + (" --quick" if quick else "")
    card = finetuned_card(model, report, command, generated, quick)
    sha256 = save_checkpoint(out, model.config, model.network, model.normaliser.to_dict(), card)
    if as_json:
        print(json.dumps(_result(report.to_dict(), model.notes, left_out, sha256, generated, quick)))
        return
    marks = [mark for mark, there in (("generated data", generated), ("quick", quick)) if there]
    print(f"{out}: {trained_on}, sha256 {sha256[:16]}" + (f" [{', '.join(marks)}]" if marks else ""))
    for line in (*model.notes, *report.lines()):
        print(f"  {line}")
    print(_next(model.config.feature_origin, out))


def _trials(
    source: LabelledSource, subject: str | None, session: int | None, pretrained: PretrainedEncoders | None
) -> tuple[list[Trial], list[LeftOut]]:
    """Return the trials to work on, and what of them could not be read."""
    from models.training.protocols import PUBLISHED

    if source.kind not in PUBLISHED:
        return source.trials(None, pretrained.config if pretrained else None), []
    if subject is None:
        raise InputError(
            "expected the person's number", where=f"--{source.kind}", remedy="add for example --subject 1"
        )
    left_out: list[LeftOut] = []
    trials = source.trials([subject], pretrained.config if pretrained else None, left_out)
    if not trials:
        raise InputError(left_out[0].why, where=f"subject {subject}")
    chosen = [trial for trial in trials if session in (None, trial.session)]
    if not chosen:
        found = ", ".join(str(number) for number in sorted({trial.session for trial in trials}))
        raise InputError(f"expected session {found}, found {session}", where="--session")
    return chosen, left_out


def _words(source: LabelledSource, trials: list[Trial], labels: Any, generated: bool) -> str:
    first = trials[0]
    sessions = ", ".join(str(number) for number in sorted({trial.session for trial in trials}))
    made = "generated data in the layout of " if generated else ""
    return (
        f"{made}{source.kind}, subject {first.subject}, session {sessions}, labels: {labels.words()}, "
        f"{first.origin} features"
    )


def _result(
    report: dict[str, Any],
    notes: tuple[str, ...],
    left_out: list[LeftOut],
    sha256: str,
    generated: bool,
    quick: bool,
) -> dict[str, Any]:
    return report | {
        "notes": list(notes),
        "left_out": [vars(entry) for entry in left_out],
        "sha256": sha256,
        "generated": generated,
        "quick": quick,
    }


def _next(origin: str, out: Path) -> str:
    if origin == "raw":
        return f"run it: affectscope live --model {out}"
    return (
        "it reads published features: for tables only, live refuses it (--features raw makes one that runs)"
    )
