"""The command that measures accuracy, on data of every kind: evaluate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from rich.table import Table
from typer import Argument

from acquisition.errors import InputError
from acquisition.text import say, say_json
from app.cli import options as opt
from app.cli.groups import add, application, option, option_group
from app.environment import ExitCode
from app.tables import figures_table, give_table, make_console, stage_bars

if TYPE_CHECKING:
    from models.datasets.trials import Excluded
    from models.training.sources import Source

_Folder = Annotated[Path, Argument(help="Folder of the data set.")]


@option_group("Classifier and result")
class ClassifierOptions:
    model: Path = option(..., "Classifier made by finetune.")
    out: Path | None = option(None, "Folder for CSV, JSON, text and plot.")
    as_json: opt.Json = False


@option_group()
class SeedClassifierOptions(ClassifierOptions):
    """What is evaluated: a model, or what labels are worth to models fitted on the spot."""

    model: Path = option(None, "Classifier made by finetune.", show_default="none")
    protocol: Literal["own", "transfer"] | None = option(
        None,
        "Fit models here: on each subject's own trials, or on other subjects' too. Needs a source checkout.",
    )
    labels: Literal["10", "all"] | None = option(
        None, "With --protocol: own labelled trials of a session.", show_default="all"
    )
    features: Literal["published", "raw"] | None = option(None, "With --protocol.", show_default="published")
    jobs: opt.Jobs = 2


@option_group("Part of the data set")
class SubjectsOptions:
    subject: str | None = option(None, "Subjects by number, e.g. 1,2.", show_default="all")
    session: int | None = option(None, "Session by number.", show_default="all")

    def subjects(self) -> tuple[str, ...] | None:
        """Return the numbers, each once; None for all subjects."""
        if self.subject is None:
            return None
        numbers = [part.strip() for part in self.subject.split(",")]
        if not all(numbers):
            what = f"expected a subject's number, or several as 1,2; found {self.subject!r}"
            raise InputError(what, where="--subject", remedy="omit it for all of them")
        return tuple(dict.fromkeys(numbers))


def simulated(
    model: opt.Model = opt.DEMO_MODEL,
    subjects: int = option(12, "Number of simulated subjects.", min=1),
    trials: int = option(10, "Trials per subject.", min=5),
    trial_s: float = option(24.0, "Trial length in seconds.", min=10),
    difficulty: opt.Difficulty = "default",
    brief: bool = option(
        False, "Only with all modalities and all channels: faster, or more subjects.", "--brief"
    ),
    jobs: opt.Jobs = 2,
    as_json: opt.Json = False,
) -> None:
    """On simulated subjects not seen in training.

    With all modalities, each one alone, each one missing, and fewer EEG channels. Needs a source checkout.

    \b
    Examples:
      affectscope evaluate simulated
      affectscope evaluate simulated --brief --subjects 60
    """
    from models.checkpoint import load_checkpoint

    study = opt.from_checkout("studies.simulated_subjects")
    checkpoint = load_checkpoint(model)
    options = study.SimulatedSubjects(subjects, trials, trial_s, opt.difficulty_value(difficulty), jobs)
    with stage_bars() as bars:
        result = study.evaluate_simulated(checkpoint, options, bars, brief=brief)
    _give(result, as_json, study.simulated_tables)


def generated(quick: opt.Quick = False, jobs: opt.Jobs = 2, as_json: opt.Json = False) -> None:
    """On generated data sets: accuracy by a subject's own and other subjects' labels.

    Of what is kept of discriminant and network, LDA and SVM. Needs a source checkout, and up to two hours.

    \b
    Example:
      affectscope evaluate generated --json
    """
    study = opt.from_checkout("studies.generated_labels")
    test = study.GeneratedTest(n_jobs=jobs)
    test = study.GeneratedTest(study.SEEDS[:2], 2, jobs, network=False) if quick else test
    with stage_bars() as bars:
        result = study.evaluate_generated(test, bars)
    _give(result | {"quick": quick}, as_json, study.generated_tables)


def voice(
    train: Annotated[list[Path], Argument(help="Folders of acted speech to train on.")],
    test: list[Path] | None = option(
        None, "A folder of other speakers to test on; repeatable.", show_default="leave speakers out"
    ),
    normalise: Literal["training", "running", "speaker"] | None = option(
        None,
        "A speaker's level: that of training, of their clips so far (as live), or of all, unlabelled.",
        show_default="each",
    ),
    as_json: opt.Json = False,
) -> int:
    """On acted speech (EMO-DB, RAVDESS, nEMO, CREMA-D, URDU): speakers that were not trained on.

    Across corpora and languages with --test; compared with openSMILE's features and an SVM. Needs a source
    checkout.

    \b
    Examples:
      affectscope evaluate voice RAVDESS NEMO --test EMODB
      affectscope evaluate voice EMODB --normalise speaker --json
    """
    from models.datasets.voices import load_voices

    study = opt.from_checkout("studies.voices")
    excluded: list[Excluded] = []
    voices = load_voices(train, excluded), load_voices(test or (), excluded)
    with stage_bars() as bars:
        asked = study.VoiceTest(*voices, (normalise,) if normalise else study.NORMALISE)
        result = study.evaluate_voice(asked, bars)
    if not result["differences"]:
        say("no reference: opensmile is not installed (pip install 'affectscope[test]')", error=True)
    return _give(result | {"left_out": list(map(vars, excluded))}, as_json, voice_tables, "speaker")


def seed_iv(folder: _Folder, part: SubjectsOptions, classifier: SeedClassifierOptions) -> int:
    """On the test trials of SEED-IV's published split.

    A model with all input, each modality alone, and EEG channels hidden; by subject, with confusion matrices.
    With --protocol the discriminant, the network, LDA and SVM, each fitted to the same trials.

    \b
    Example:
      affectscope evaluate seed-iv s4 --model m1 --subject 1 --out m1-on-s4
      affectscope evaluate seed-iv s4 --protocol transfer --labels 10 --json
    """
    return _on_seed("seed-iv", folder, classifier, part)


def seed_v(folder: _Folder, part: SubjectsOptions, classifier: SeedClassifierOptions) -> int:
    """On the test trials of SEED-V's published split.

    A model with all input, each modality alone, and EEG channels hidden; by subject, with confusion matrices.
    With --protocol the discriminant, the network, LDA and SVM, each fitted to the same trials.

    \b
    Example:
      affectscope evaluate seed-v s5 --model m1
      affectscope evaluate seed-v s5 --protocol own
    """
    return _on_seed("seed-v", folder, classifier, part)


def eav(folder: _Folder, part: SubjectsOptions, classifier: ClassifierOptions) -> int:
    """On the test trials of EAV's published split; only its EEG is used.

    With all channels, and with channels hidden; by subject, with confusion matrices.

    \b
    Example:
      affectscope evaluate eav EAV --model m1
    """
    return _on_test_trials("eav", folder, classifier, part)


def recording(
    file: Annotated[Path, Argument(help="XDF recording, or an EEG file MNE can read.")],
    classifier: ClassifierOptions,
    montage: opt.Montage = None,
    events: opt.Events = None,
    trial_s: opt.TrialSeconds = None,
) -> int:
    """On every labelled trial of a recording.

    A recording used for training is refused; a cut or converted copy of it is not recognised.

    \b
    Example:
      affectscope evaluate recording run2.xdf --model m1 --events "1=left,2=right"
    """
    from acquisition.xdf.format import is_xdf
    from models.training.sources import Source

    kind = "xdf" if is_xdf(file) else "raw"
    return _on_trials(Source(kind, file, "raw", montage, events, trial_s), classifier, SubjectsOptions())


def recordings(
    data: opt.LabelledRecordingOptions,
    protocol: str = option(
        "loso", "loso, within, or transfer:K: also trained on the subject's first K trials."
    ),
    normalise: opt.Normalise = "subject",
    network: bool = option(False, "Train a network in each fold too: minutes a fold.", "--network"),
    model: Path | None = option(None, "Test this classifier instead.", show_default="fitted here"),
    quick: opt.Quick = False,
    jobs: opt.Jobs = 1,
    as_json: opt.Json = False,
) -> int:
    """On many recordings of many subjects: models fitted here, and what finetune would keep of them.

    Accuracy per trial, 95 % interval over subjects. The level of each subject's session is taken from its
    unlabelled trials (subject: transductive), from trials labelled baseline, or is that of training.

    \b
    Examples:
      affectscope evaluate recordings --trials trials.csv --protocol loso --normalise subject
      affectscope evaluate recordings --label "a=d/*_1.edf" --label "b=d/*_2.edf" --subject-from "S(\\d+)"
    """
    source = data.recordings()
    if model is not None:
        opt.refuse({"--network": network, "--quick": quick}, "not with --model")
        return _on_trials(source, ClassifierOptions(model=model, as_json=as_json), SubjectsOptions())
    from models.training.evaluate_recordings import RecordingsTest, evaluate_recordings, sentences

    test = RecordingsTest(protocol, normalise, network, n_jobs=jobs)
    test = replace(test, options=test.options.quick()) if quick else test
    excluded: list[Excluded] = []
    with stage_bars() as bars:
        result = evaluate_recordings(test, source.trials(excluded=excluded), bars, excluded)
    named_by_file = any(not row.subject for row in source.rows)
    result |= {"named_by_file": named_by_file, "quick": quick, "left_out": list(map(vars, excluded))}
    code = _give(result, as_json, recordings_tables)
    say(*(() if as_json else sentences(result)))
    return code


def _on_seed(kind: str, folder: Path, asked: SeedClassifierOptions, part: SubjectsOptions) -> int:
    if asked.protocol is None:
        opt.refuse({"--labels": asked.labels, "--features": asked.features}, "only with --protocol")
        if asked.model is None:
            what = "expected a classifier or a protocol, found neither"
            raise InputError(what, where="--model", remedy="give --model DIR, or --protocol own or transfer")
        return _on_test_trials(kind, folder, asked, part)
    from models.training.sources import Source

    opt.refuse({"--model": asked.model, "--out": asked.out, "--session": part.session}, "not with --protocol")
    study = opt.from_checkout("studies.label_protocols")
    test = study.LabelTest(
        Source(kind, folder, asked.features or "published"),
        asked.protocol,
        10 if asked.labels == "10" else None,
        n_jobs=asked.jobs,
        subjects=part.subjects(),
    )
    with stage_bars() as bars:
        result = study.evaluate_labels(test, bars).to_dict()
    return _give(result, asked.as_json, label_tables)


def _on_test_trials(kind: str, folder: Path, classifier: ClassifierOptions, part: SubjectsOptions) -> int:
    from models.checkpoint import load_config
    from models.training.sources import Source

    origin = load_config(classifier.model).feature_origin
    return _on_trials(Source(kind, folder, origin), classifier, part)


def _on_trials(source: Source, classifier: ClassifierOptions, part: SubjectsOptions) -> int:
    from models.training.evaluate_trials import TrialTest, evaluate_trials

    if classifier.out is not None:
        opt.check_writable(classifier.out)
    with stage_bars() as bars:
        found = evaluate_trials(TrialTest(classifier.model, source, part.subjects(), part.session), bars)
    return give_table(found, classifier.out, as_json=classifier.as_json, with_confusion=True)


def _give(
    result: dict[str, Any], as_json: bool, tables: Callable[[dict[str, Any]], Any], who: str = "subject"
) -> int:
    """Print a result and what of the data is not in it; return the exit code."""
    left_out = result.get("left_out", ())
    for one in left_out:
        say(f"excluded: {who} {one['subject']}: {one['why']}", error=True)
    if as_json:
        say_json(result)
    else:
        for table in tables(result):
            make_console().print(table)
    return ExitCode.after(left_out)


def _quick(result: dict[str, Any]) -> str:
    return " Quick run, not a result." if result.get("quick") else ""


def label_tables(result: dict[str, Any]) -> Iterable[Table]:
    rows, first = result["rows"], result["rows"][0]
    title = (
        f"{'GENERATED DATA; ' if result['generated'] else ''}protocol {first['protocol']}, own labelled "
        f"trials: {first['labels']}; {len(first['subjects'])} subjects, {first['n_trials']} tested trials, "
        f"chance {first['chance']:.0%}.{_quick(result)}"
    )
    cells = [
        (
            row["model"], row["modalities"], f"{row['mean']:.1%}", interval_words(row["interval"]),
            f"{row['trial_mean']:.1%}", interval_words(row["trial_interval"]),
        )
        for row in rows
    ]  # fmt: skip
    yield figures_table(title, ("model", "given", "per window", "95 % CI", "per trial", "95 % CI "), cells)


def recordings_tables(result: dict[str, Any]) -> Iterable[Table]:
    first = result["rows"][0]
    title = (
        f"{first['protocol']}, level: {first['normalise']}; {first['n_subjects']} subjects, "
        f"{first['n_trials']} trials of {', '.join(result['labels'])}; "
        f"chance {first['chance']:.0%}.{_quick(result)}"
    )
    cells = [
        (row["model"], f"{row['mean']:.1%}", interval_words(row["interval"]), f"{row['balanced']:.1%}")
        for row in result["rows"]
    ]
    yield figures_table(title, ("model", "per trial", "95 % CI", "balanced"), cells)


def interval_words(interval: Sequence[float]) -> str:
    """Return for example ``51% to 68%``."""
    return f"{interval[0]:.0%} to {interval[1]:.0%}"


def voice_tables(result: dict[str, Any]) -> Iterable[Table]:
    speakers = list(result["rows"][0]["speakers"])
    rows = [
        (
            row["model"],
            "own, transductive" if row["transductive"] else row["normalise"],
            f"{row['mean']:.3f}",
            "{:.2f} to {:.2f}".format(*row["interval"]) if row["interval"] else "one speaker",
            f"{row['pooled']:.3f}",
            *(f"{row['speakers'][speaker]:.2f}" for speaker in speakers),
        )
        for row in result["rows"]
    ]
    title = f"balanced accuracy, mean over speakers; chance {result['chance']:.0%}"
    columns = ("", "level", "mean", "95 % CI", "pooled", *speakers)
    yield figures_table(f"{title}\n{result['protocol']}", columns, rows, caption=result["caveat"])
    for row in result["rows"]:
        if row["model"] == "voice":
            title = f"voice, level of {row['normalise']}: true (rows) by predicted (columns), clips"
            counts = zip(result["labels"], row["confusion"], strict=True)
            cells = [(label, *map(str, counted)) for label, counted in counts]
            yield figures_table(title, ("", *result["labels"]), cells)


evaluate = application(
    "evaluate",
    """Measure accuracy against chance, on trials not used for training.

    The exit code is 3 if part of the data could not be used.

    \b
    Examples:
      affectscope evaluate simulated
      affectscope evaluate seed-iv s4 --model m1 --subject 1 --out m1-on-s4
      affectscope evaluate recording run2.xdf --model m1 --events "1=left,2=right"
    """,
)
add(evaluate, simulated, recording, recordings, seed_iv, seed_v, eav, voice, generated)
