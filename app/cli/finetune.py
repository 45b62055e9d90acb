"""The command that trains a classifier on labelled trials: finetune."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from acquisition.errors import InputError, pasteable, real_path
from acquisition.text import say, say_json
from app.cli import options as opt
from app.cli.groups import option, option_group
from app.environment import ExitCode
from app.tables import stage_bars

if TYPE_CHECKING:
    from models.training.finetune_config import FinetuneOptions
    from models.training.sources import Source


Fusion = Literal["attention", "concat", "shared_attention"]  # entries of `models.fusion.FUSIONS`


@option_group("Model")
class WeightOptions:
    out: Path = option(..., "Folder for the model.")
    model: Path | None = option(None, "Model from pretrain that provides the encoders.")
    from_scratch: bool = option(False, "Start with random weights.", "--from-scratch")

    def __post_init__(self) -> None:
        if (self.model is None) != self.from_scratch:
            what = "expected either a pre-trained model or random weights"
            remedy = "give --model MODEL (see: affectscope pretrain), or --from-scratch"
            raise InputError(what, where="--model, --from-scratch", remedy=remedy)
        if self.model is not None and real_path(self.model) == real_path(self.out):
            what = "the model would be overwritten by the one made from it"
            raise InputError(what, where=f"--out {self.out}", remedy="choose another folder")


@option_group()
class LabelledDataOptions(opt.DataOptions, opt.LabelledRecordingOptions):
    subject: str | None = option(None, "Data sets: subject by number, several (1,2,5) or all.")
    session: int | None = option(None, "Data sets: the session by number.", show_default="all")
    labels: str = option(
        "all", "Labelled training trials to use per session: all, first:K, per-class:K or first-windows:K."
    )
    features: opt.Features | None = option(
        None,
        "SEED features: raw (the model can run live) or published (for tables only).",
        show_default="as the model",
    )
    modalities: str = option("eeg,eye", "eeg, eye or both, if the data contain them.")

    def source(self) -> Source:
        """Return the data; refuse none, several, and options that mean nothing for them."""
        from models.training.sources import Source

        given = self.datasets()
        has_recordings = bool(self.raw or self.xdf or self.trials or self.label)
        if len(given) + has_recordings != 1:
            what = f"expected a data set or recordings, got {len(given) + has_recordings} of them"
            remedy = "choose what to train on, e.g. --seed-iv DIR --subject 1, or --trials TABLE"
            raise InputError(what, where="finetune", remedy=remedy)
        if has_recordings:
            given_as = next(name for name in ("trials", "xdf", "raw", "label") if getattr(self, name))
            opt.refuse(opt.flags(self, "subject", "session"), "only for data sets", f"--{given_as}")
            source = self.recordings()
        else:
            source = Source(*given[0])
            names = ("montage", "events", "trial_s", "subject_from", "sfreq", "eeg_unit")
            opt.refuse(opt.flags(self, *names), "only for recordings", f"--{source.kind}")
        if source.kind not in ("seed-iv", "seed-v"):
            published = {"--features published": self.features == "published"}
            opt.refuse(published, "only for SEED's own features", f"--{source.kind}")
        return source


@option_group("Training")
class TrainingOptions:
    fusion: Fusion = option("attention", "How modalities are combined.")
    freeze: bool = option(False, "Freeze the pre-trained encoders.", "--freeze/--no-freeze")
    dcca: bool | None = option(
        None,
        "Add a deep CCA loss between EEG and eye tokens to cross-entropy, weighted 0.1.",
        "--dcca/--no-dcca",
        show_default="with 12 trials or more",
    )
    normalise: opt.Normalise = "subject"
    network: bool = option(
        True, "Also train a network, which takes most of the time.", "--network/--no-network"
    )
    epochs: int | None = option(
        None, "Maximum number of epochs.", min=1, show_default="30, or 4 with --quick"
    )
    seed: int = option(0, "Training seed.", min=0)
    quick: bool = option(False, "Quick trial run: few windows and epochs.", "--quick")

    def options(self, modalities: str) -> FinetuneOptions:
        from models.training.finetune_config import FinetuneOptions

        names = ("fusion", "freeze", "dcca", "normalise", "network", "seed")
        options = FinetuneOptions(
            modalities=tuple(part.strip() for part in modalities.split(",")),
            evidence=True,
            eye_tails=0.01,
            fill=True,
            **{name: getattr(self, name) for name in names},
        )
        return options.shortened(quick=self.quick, epochs=self.epochs)


def finetune(
    context: typer.Context,
    weights: WeightOptions,
    data: LabelledDataOptions,
    training: TrainingOptions,
    as_json: opt.Json = False,
) -> int:
    """Train a classifier on labelled trials, and test it on other trials.

    A network and a discriminant; held-out subjects (or trials, of one) decide how much each counts.

    Data sets: trained on the training trials of the published split, tested on its test trials.

    Recordings: tested by 5-fold cross-validation over trials; the model kept is trained on all of them.

    The exit code is 3 if a session could not be read: the others are used.

    \b
    Examples:
      affectscope finetune --model m --seed-iv SEED-IV --subject 1 --out m1
      affectscope finetune --model m --xdf run.xdf --montage M --events "1=left,2=right" --out m1
      affectscope finetune --from-scratch --trials trials.csv --out m1
    """
    from app.cli.finetune_task import FinetuneTask, InitialWeights, Trained
    from models.training.sources import Labels

    source = data.source()
    labels = Labels.parse(data.labels)
    if weights.model is None:
        opt.refuse({"--freeze": training.freeze}, "there is no model: give a --model")
    initial = InitialWeights(weights.model, source)
    source = replace(source, features=data.features or initial.feature_origin)
    opt.check_model_folder(weights.out)
    task = FinetuneTask(
        source=source,
        subject=data.subject,
        session=data.session,
        labels=labels,
        options=training.options(data.modalities),
        initial=initial,
        out=weights.out,
        command=command_line(context),
        quick=training.quick,
    )
    with stage_bars() as bars:
        trained = Trained(task, bars)
    for note in trained.notes:
        say(f"note: {note}", error=True)
    sha256 = trained.save()
    if as_json:
        say_json(trained.to_dict(sha256))
    else:
        say(*trained.lines(sha256))
    return ExitCode.after(trained.excluded)


#: Options that hold a path, of which a model card keeps the last part.
_PATHS = ("out", "model", "seed_iv", "seed_v", "eav", "xdf", "raw", "trials", "montage")


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
        for one in value if isinstance(value, (list, tuple)) else (value,):
            text = Path(one).name if name in _PATHS else str(one)
            if name == "label":  # CLASS=GLOB
                text = f"{text.partition('=')[0]}={Path(text.partition('=')[2]).name}"
            words += [parameter.opts[0], pasteable(text)]
    return " ".join(words)
