"""Commands that make data and models without labels of real subjects: make-dataset, pretrain, train."""

import time
from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from acquisition.errors import ErrorCode, InputError, pasteable
from acquisition.text import say
from app.cli import options as opt
from app.cli.groups import option, option_group
from app.environment import ExitCode
from app.tables import stage_bars


def train(
    out: Path = option(Path("model"), "Folder for the model."),
    simulated: bool = option(False, "Train on simulated subjects.", "--simulated"),
    subjects: int = option(100, "Simulated subjects; half of them train the encoders.", min=10),
    trials: int = option(10, "Trials per subject.", min=5),
    trial_s: float = option(24.0, "Trial length in seconds.", min=10),
    difficulty: opt.Difficulty = "default",
    seed: int = option(1, "Training seed; does not change the subjects."),
    jobs: opt.Jobs = 2,
    quick: opt.Quick = False,
) -> None:
    """Train the small model, on simulated subjects only. Needs a source checkout.

    \b
    Example:
      affectscope train --simulated --out my-model
    """
    if not simulated:
        remedy = "add --simulated to train on simulated subjects"
        raise InputError("nothing to train on", where="train", remedy=remedy)
    demo_model = opt.from_checkout("studies.demo_model.training")
    options = demo_model.TrainingOptions(
        n_subjects=subjects,
        n_encoder_subjects=subjects // 2,
        n_trials=trials,
        trial_s=trial_s,
        difficulty=opt.difficulty_value(difficulty),
        seed=seed,
        n_jobs=jobs,
        epochs_scale=0.1 if quick else 1.0,
    )
    opt.check_model_folder(out)
    with stage_bars() as bars:
        sha256 = demo_model.train_simulated(out, options, bars)
    say(f"{out}: trained on simulated data only, sha256 {sha256[:16]}")
    say(f"next: affectscope evaluate simulated --model {pasteable(out)}")


def make_dataset(
    layout: Annotated[Literal["seed-iv", "seed-v", "eav"], Argument(help="Data set whose layout is used.")],
    folder: Annotated[Path, Argument(help="Empty or new folder.")],
    subjects: int = option(3, "Number of subjects.", min=1),
    seed: int = option(0, "The same seed makes the same data.", min=0),
    difficulty: opt.Difficulty = "default",
    trials: int | None = option(None, "Trials per session.", show_default="as published; EAV 40"),
    trial_s: float | None = option(
        None, "Trial length in seconds.", show_default="100, 44 with --raw, EAV 20"
    ),
    raw: bool = option(False, "SEED-IV: also raw EEG, about 60 MB more per subject.", "--raw"),
    jobs: opt.Jobs = 2,
) -> None:
    """Generate data in the layout of a published data set.

    For trying out loaders, training and tables; there are no real subjects. Needs a source checkout.

    \b
    Example:
      affectscope make-dataset seed-iv s4 --subjects 3 --raw
    """
    sets = opt.from_checkout("studies.data_sets")
    options = sets.MakeOptions(
        folder, subjects, seed, opt.difficulty_value(difficulty), trials, trial_s, raw, jobs
    )
    began = time.monotonic()
    try:
        sets.MAKE[layout](options, lambda n_done: say(f"subject {n_done} of {subjects}", error=True))
    except OSError as error:
        what = f"the folder is half-written: {error.strerror or error}"
        remedy = "delete it, free some space or choose another, and start again"
        raise InputError(what, where=str(folder), remedy=remedy, code=ErrorCode.FILE) from error
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    say(
        f"{folder}: generated, no real subjects; {subjects} subjects in the layout of {layout}, "
        f"{size / 1e6:.0f} MB, {time.monotonic() - began:.0f} s"
    )


_QUICK_EPOCHS, _QUICK_WINDOWS, _QUICK_RATE = 3, 640, 1e-3


@option_group()
class PretrainDataOptions(opt.DataOptions):
    line: opt.Line = None
    features: opt.Features | None = option(
        None, "Which features to read.", show_default="raw if all sources hold raw EEG, else published"
    )
    modalities: str | None = option(None, "eeg, eye or eeg,eye.", show_default="what the data contain")
    cache: Path | None = option(None, "Folder for cached step features.", show_default="next to --out")


@option_group("Training")
class PretrainTrainingOptions:
    epochs: int | None = option(None, "Number of epochs.", min=1, show_default="30, or 3 with --quick")
    batch: int = option(64, "Windows per step, over all processes.", min=2)
    mask: float = option(0.3, "Fraction of channels masked.")
    lr: float | None = option(
        None, "Peak learning rate.", min=1e-7, show_default="1.5e-4, or 1e-3 with --quick"
    )
    seed: int = option(1, "Seed for weights, masks and order.", min=0)
    context: Literal["window", "streaming"] = option(
        "window", "What the encoder sees: whole windows, or only past steps."
    )
    quick: opt.Quick = False
    resume: bool = option(False, "Resume an interrupted run with the same --out.", "--resume")
    device: opt.Device = "auto"


def pretrain(
    out: Annotated[Path, Option(help="Folder for the model.")],
    data: PretrainDataOptions,
    training: PretrainTrainingOptions,
) -> int:
    """Pre-train the encoders of EEG and eye features without labels, by masking channels.

    Options that name data may be repeated.

    On several GPUs or machines: torchrun --nproc-per-node 8 -m app pretrain ...

    \b
    Example:
      affectscope pretrain --seed-iv s4 --out m --quick
    """
    from app.model_loading import choose_device
    from models.training.pretrain import PretrainOptions
    from models.training.pretrain import pretrain as run
    from models.training.pretrain_loop import LoopOptions, joined_world
    from models.training.sources import Source

    files = data.files()
    if not files:
        opt.refuse(opt.flags(data, "montage", "sfreq", "eeg_unit"), "only for recordings")
    quick = training.quick
    loop = LoopOptions(
        epochs=training.epochs or (_QUICK_EPOCHS if quick else 30),
        learning_rate=training.lr or (_QUICK_RATE if quick else 1.5e-4),
        checkpoint_every=10 if quick else 50,
    )
    options = PretrainOptions(
        sources=(
            *(Source(kind, path) for kind, path in data.datasets()),
            *(Source(kind, path, **data.reading()) for kind, path in files),
        ),
        out=out,
        cache=data.cache,
        features=data.features,
        modalities=opt.comma_separated(data.modalities),
        batch=training.batch,
        mask=training.mask,
        seed=training.seed,
        resume=training.resume,
        quick=quick,
        context=training.context,
        most_a_pass=_QUICK_WINDOWS if quick else None,
        line_hz=data.line,
        loop=loop,
    )
    with joined_world(choose_device(training.device)) as world, stage_bars() as bars:
        if world.is_first:
            opt.check_model_folder(out)  # before hours of reading
        done = run(options, world, bars)
    if done is None:
        return ExitCode.GOOD
    for entry in done.corpus.excluded:
        say(f"excluded: {entry.subject}: {entry.why}", error=True)
    for sentence in done.corpus.words():
        say(sentence)
    for modality, outcome in done.outcomes.items():
        say(
            f"{modality}: loss {outcome.losses[0]:.3f} in the first epoch, {outcome.losses[-1]:.3f} "
            f"in the last; {outcome.n_steps} steps, {outcome.seconds:.0f} s, "
            f"{outcome.windows_s:.0f} windows/s, {outcome.wait_share:.0%} of the time waiting for data"
        )
    said = f"{done.corpus.n_test} test trials excluded"
    say(f"{out}: pre-trained, not fine-tuned; {said}; sha256 {done.sha256[:16]}")
    say(f"next: affectscope finetune --model {pasteable(out)}")
    return ExitCode.after(done.corpus.excluded)
