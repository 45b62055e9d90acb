"""The command that measures accuracy, on data of every kind: evaluate."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Argument, Option

from acquisition.errors import InputError
from acquisition.text import json_text
from app.cli import options as opt
from app.cli.groups import add, application, option_group
from app.tables import StageBars, figures_table, give_table, make_console

if TYPE_CHECKING:
    from rich.table import Table

    from models.datasets.trials import Excluded
    from models.training.sources import Source

_XDF_NAMES = (".xdf", ".xdfz", ".xdf.gz")
_Folder = Annotated[Path, Argument(help="Folder of the data set.")]


@option_group("Classifier and result")
class ClassifierOptions:
    """What is evaluated, and where the result goes."""

    model: Annotated[Path, Option(help="Classifier made by finetune.")]
    out: Annotated[Path | None, Option(help="Folder for CSV, JSON, text and plot.")] = None
    as_json: opt.Json = False


@option_group("Classifier and result")
class SeedClassifierOptions:
    """What is evaluated: a model, or what labels are worth to models fitted on the spot."""

    model: Annotated[Path | None, Option(help="Classifier made by finetune.", show_default="none")] = None
    protocol: Annotated[
        Literal["own", "transfer"] | None,
        Option(help="Fit models here: on each subject's own trials, or on other subjects' too."),
    ] = None
    labels: Annotated[
        Literal["10", "all"] | None,
        Option(help="With --protocol: own labelled trials of a session.", show_default="all"),
    ] = None
    features: Annotated[
        Literal["published", "raw"] | None, Option(help="With --protocol.", show_default="published")
    ] = None
    jobs: opt.Jobs = 2
    out: Annotated[Path | None, Option(help="Folder for CSV, JSON, text and plot.")] = None
    as_json: opt.Json = False


@option_group("Part of the data set")
class SubjectsOptions:
    """Which part of a published data set."""

    subject: Annotated[str | None, Option(help="Subjects by number, e.g. 1,2.", show_default="all")] = None
    session: Annotated[int | None, Option(help="Session by number.", show_default="all")] = None

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
    subjects: Annotated[int, Option(min=1, help="Number of simulated subjects.")] = 12,
    trials: Annotated[int, Option(min=5, help="Trials per subject.")] = 10,
    trial_s: Annotated[float, Option(min=10, help="Trial length in seconds.")] = 24.0,
    difficulty: opt.Difficulty = "default",
    lasting: Annotated[
        int, Option(min=0, help="Also so many subjects who stay in one emotion for ten minutes.")
    ] = 0,
    brief: Annotated[bool, Option("--brief", help="All modalities and channels only.")] = False,
    jobs: opt.Jobs = 2,
    as_json: opt.Json = False,
) -> None:
    """On simulated subjects not seen in training.

    With all modalities, each one alone, each one missing, and fewer EEG channels.

    \b
    Examples:
      affectscope evaluate simulated
      affectscope evaluate simulated --brief --subjects 60 --lasting 12
    """
    from models.checkpoint import load_checkpoint
    from models.training.evaluate_simulated import evaluate_simulated
    from models.training.simulated import SimulatedSubjects

    checkpoint = load_checkpoint(model)
    options = SimulatedSubjects(subjects, trials, trial_s, opt.difficulty_value(difficulty), jobs)
    with StageBars() as bars:
        result = evaluate_simulated(checkpoint, options, bars, n_lasting=lasting, brief=brief)
    _print(result, as_json, _simulated_tables)


def generated(
    ablation: Annotated[
        bool, Option("--ablation", help="Instead: what each part of the network's training is worth.")
    ] = False,
    labels: Annotated[
        bool, Option("--labels", help="Instead: what own and other subjects' labels are worth, alone.")
    ] = False,
    quick: opt.Quick = False,
    jobs: opt.Jobs = 2,
    as_json: opt.Json = False,
) -> None:
    """On generated data sets: check whether the differences reported in the MMV-SSTMA paper appear.

    Pre-training, fusion, masking and streaming, compared with LDA, SVM and the true discriminant; then what
    labels are worth to what is kept, to LDA and SVM. Takes up to two hours.

    \b
    Example:
      affectscope evaluate generated --json
    """
    if ablation:
        opt.refuse({"--labels": labels}, "not with --ablation")
        from models.papers.ablations import ablate

        with StageBars() as bars:
            found = ablate(bars, n_jobs=jobs, quick=quick) | {"quick": quick}
        _print(found, as_json, _ablation_tables)
        return
    from models.papers.directions import DirectionsOptions, directions, labels_alone

    options = DirectionsOptions(n_jobs=jobs)
    options = options.quick() if quick else options
    with StageBars() as bars:
        result = labels_alone(options, bars) if labels else directions(options, bars).to_dict()
    _print(result | {"quick": quick}, as_json, _generated_tables)


def emodb(
    folder: _Folder,
    test: Annotated[Path | None, Option(help="A second folder, of other speakers, to test on.")] = None,
    quick: opt.Quick = False,
    as_json: opt.Json = False,
) -> None:
    """On acted speech (EMO-DB): trains the voice path, and tests it leave-one-speaker-out.

    Compared with openSMILE's features. Takes about ten minutes on one core.

    \b
    Example:
      affectscope evaluate emodb DIR
    """
    from models.datasets.emodb import load_emodb
    from models.papers.speech.evaluate import SpeechTest, evaluate_speech

    excluded: list[Excluded] = []
    utterances = load_emodb(folder, excluded)
    others = load_emodb(test, excluded) if test is not None else None
    for one in excluded:
        print(f"excluded: speaker {one.subject}: {one.why}", file=sys.stderr)
    settings = SpeechTest.quick_run() if quick else SpeechTest()
    with StageBars() as bars:
        result = evaluate_speech(utterances, others, settings, bars)
    if result["reference"] is None:
        print("no reference: opensmile is not installed (pip install 'affectscope[test]')", file=sys.stderr)
    result |= {"left_out": [{"subject": one.subject, "why": one.why} for one in excluded]}
    _print(result, as_json, _speech_tables)


def seed_iv(folder: _Folder, part: SubjectsOptions, classifier: SeedClassifierOptions) -> None:
    """On the test trials of SEED-IV's published split.

    A model with all input, each modality alone, and EEG channels hidden; by subject, with confusion matrices.
    With --protocol the discriminant, LDA and SVM, each fitted to the same trials.

    \b
    Example:
      affectscope evaluate seed-iv s4 --model m1 --subject 1 --out m1-on-s4
      affectscope evaluate seed-iv s4 --protocol transfer --labels 10 --json
    """
    _on_seed("seed-iv", folder, classifier, part)


def seed_v(folder: _Folder, part: SubjectsOptions, classifier: SeedClassifierOptions) -> None:
    """On the test trials of SEED-V's published split.

    A model with all input, each modality alone, and EEG channels hidden; by subject, with confusion matrices.
    With --protocol the discriminant, LDA and SVM, each fitted to the same trials.

    \b
    Example:
      affectscope evaluate seed-v s5 --model m1
      affectscope evaluate seed-v s5 --protocol own
    """
    _on_seed("seed-v", folder, classifier, part)


def eav(folder: _Folder, part: SubjectsOptions, classifier: ClassifierOptions) -> None:
    """On the test trials of EAV's published split; only its EEG is used.

    With all channels, and with channels hidden; by subject, with confusion matrices.

    \b
    Example:
      affectscope evaluate eav EAV --model m1
    """
    _on_test_trials("eav", folder, classifier, part)


def recording(
    file: Annotated[Path, Argument(help="XDF recording, or an EEG file MNE can read.")],
    classifier: ClassifierOptions,
    montage: opt.Montage = None,
    events: opt.Events = None,
    trial_s: opt.TrialSeconds = None,
) -> None:
    """On every labelled trial of a recording.

    A recording used for training is refused; a cut or converted copy of it is not recognised.

    \b
    Example:
      affectscope evaluate recording run2.xdf --model m1 --events "1=left,2=right"
    """
    from models.training.sources import Source

    kind = "xdf" if file.name.lower().endswith(_XDF_NAMES) else "raw"
    _on_trials(Source(kind, file, "raw", montage, events, trial_s), classifier)


def _on_seed(kind: str, folder: Path, asked: SeedClassifierOptions, part: SubjectsOptions) -> None:
    """Evaluate a model, or with ``--protocol`` what is fitted on the spot."""
    if asked.protocol is None:
        opt.refuse({"--labels": asked.labels, "--features": asked.features}, "only with --protocol")
        if asked.model is None:
            what = "expected a classifier or a protocol, found neither"
            raise InputError(what, where="--model", remedy="give --model DIR, or --protocol own or transfer")
        classifier = ClassifierOptions(model=asked.model, out=asked.out, as_json=asked.as_json)
        _on_test_trials(kind, folder, classifier, part)
        return
    from models.training.label_protocols import LabelTest, evaluate_labels
    from models.training.sources import Source

    opt.refuse({"--model": asked.model, "--out": asked.out, "--session": part.session}, "not with --protocol")
    test = LabelTest(
        Source(kind, folder, asked.features or "published"),
        asked.protocol,
        10 if asked.labels == "10" else None,
        n_jobs=asked.jobs,
        subjects=part.subjects(),
    )
    with StageBars() as bars:
        result = evaluate_labels(test, bars).to_dict()
    for one in result["left_out"]:
        print(f"excluded: subject {one['subject']}: {one['why']}", file=sys.stderr)
    _print(result, asked.as_json, _label_tables)


def _on_test_trials(kind: str, folder: Path, classifier: ClassifierOptions, part: SubjectsOptions) -> None:
    from models.checkpoint import load_config
    from models.training.sources import Source

    subjects = part.subjects()
    origin = load_config(classifier.model).feature_origin
    _on_trials(Source(kind, folder, origin), classifier, subjects, part.session)


def _on_trials(
    source: Source,
    classifier: ClassifierOptions,
    subjects: tuple[str, ...] | None = None,
    session: int | None = None,
) -> None:
    from models.training.evaluate_trials import TrialTest, evaluate_trials

    if classifier.out is not None:
        opt.check_writable(classifier.out)
    with StageBars() as bars:
        found = evaluate_trials(TrialTest(classifier.model, source, subjects, session), bars)
    give_table(found, classifier.out, as_json=classifier.as_json, with_confusion=True)


def _print(result: dict[str, Any], as_json: bool, tables: Any) -> None:
    if as_json:
        print(json_text(result))
        return
    for table in tables(result):
        make_console().print(table)


def _quick(result: dict[str, Any]) -> str:
    return " Quick run, not a result." if result["quick"] else ""


def _simulated_tables(result: dict[str, Any]) -> Iterable[Table]:
    def row(name: str, trial: float, interval: tuple[float, float], window: float) -> tuple[str, ...]:
        return name, f"{trial:.1%}", f"{interval[0]:.0%} to {interval[1]:.0%}", f"{window:.1%}"

    rows = [row("all four", result["all"], result["interval"]["all"], result["all_window"])]
    for key, title in (("windows", "single windows"), ("trusting", "the same, reliability ignored")):
        if key in result:
            rows.append(row(title, result[key], result["interval"][key], result[f"{key}_window"]))
    titles = {
        "only": "{} alone",
        "without": "without {}",
        "channels": "EEG alone, {} ch",
        "channels_with_all": "all four, {} ch EEG",
        "noise": "all four, {} is noise",
        "level": "all four, level: {}",
    }
    rows += [
        row(title.format(key), accuracy, result["interval"][group][key], result[f"{group}_window"][key])
        for group, title in titles.items()
        for key, accuracy in result.get(group, {}).items()
    ]
    title = (
        f"{result['n_subjects']} unseen simulated subjects, {result['n_trials']} trials, "
        f"{result['n_windows']} windows; chance {result['chance']:.0%}"
    )
    yield figures_table(title, ("modalities", "per trial", "95 % CI", "per window"), rows)
    yield figures_table("the answers by all four", ("figure", "value"), list(_of_answers(result)))
    if "lasting" in result:
        levels = {level: part for level, part in result["lasting"].items() if level != "n_subjects"}
        yield figures_table(
            f"one emotion for ten minutes, {result['lasting']['n_subjects']} subjects: windows right",
            ("level", "first two minutes", "last two minutes"),
            [(level, f"{part['first']:.1%}", f"{part['last']:.1%}") for level, part in levels.items()],
        )
    if "attention" not in result:
        return
    yield figures_table(
        "attention by modality: what weighs the answer, not a cause",
        ("modality", "mean", "SD over windows", "when it is noise"),
        [
            (modality, f"{moved['mean']:.2f}", f"{moved['sd']:.2f}", f"{moved['as_noise']:.2f}")
            for modality, moved in result["attention"].items()
        ],
    )


def _ablation_tables(result: dict[str, Any]) -> Iterable[Table]:
    def points(row: dict[str, Any]) -> str:
        low, high = (100 * value for value in row["interval"])
        return f"{100 * row['difference']:+.1f} ({low:+.1f} to {high:+.1f})"

    def masked(share: float | None) -> str:
        return "" if share is None else f"{share:.1%}"

    title = (
        f"GENERATED DATA; {result['n_subjects']} subjects, seed {result['seed']}; accuracy per window, "
        f"chance {result['chance']:.0%}; differences by subject with 95 % CI"
    )
    rows = [
        (row["row"], f"{row['mean']:.1%}", masked(row["masked"]), points(row), row["against"])
        for row in result["rows"]
    ]
    heads = ("one change", "accuracy", "half of the EEG channels masked", "points", "against")
    yield figures_table(title, heads, rows)


def _label_tables(result: dict[str, Any], quick: str = "") -> Iterable[Table]:
    rows = result["rows"]
    first = rows[0]
    title = (
        f"{'GENERATED DATA; ' if result['generated'] else ''}protocol {first['protocol']}, own labelled "
        f"trials: {first['labels']}; {len(first['subjects'])} subjects, {first['n_trials']} tested trials, "
        f"chance {first['chance']:.0%}.{quick}"
    )
    cells = [
        (
            row["model"], row["modalities"], f"{row['mean']:.1%}", _range(row["interval"]),
            f"{row['trial_mean']:.1%}", _range(row["trial_interval"]),
        )
        for row in rows
    ]  # fmt: skip
    yield figures_table(title, ("model", "given", "per window", "95 % CI", "per trial", "95 % CI "), cells)


def _range(interval: Sequence[float]) -> str:
    return f"{interval[0]:.0%} to {interval[1]:.0%}"


def _of_answers(result: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield what the answers are worth, of `models.training.evaluate_simulated`."""
    yield "per trial, from the sixth on", f"{result['settled']:.1%}"
    yield "label changes a minute, emotion steady", f"{result['label_changes_per_minute']:.1f}"
    yield "median delay after a change", f"{result['delay_s']:.1f} s"
    yield "expected calibration error", f"{result['ece']:.3f}"
    if "answered" in result:
        for level in ("90", "80"):
            covered, size = result[f"coverage_{level}"], result[f"set_size_{level}"]
            yield f"{level} % sets hold the emotion", f"{covered:.1%} of the trials; {size:.1f} emotions"
        yield (
            "windows answered",
            f"{result['answered']:.0%}; {result['right_when_answered']:.0%} of them right",
        )


def _generated_tables(result: dict[str, Any]) -> Iterable[Table]:
    def points(share: float | None) -> str:
        return "" if share is None else f"{100 * share:.1f}"

    if "rows" in result:
        low, high = result["lda_eeg_from_to"]
        yield figures_table(
            f"GENERATED DATA, {len(result['seeds'])} sets of {result['n_subjects']} subjects; accuracy "
            f"per window, chance {result['chance']:.0%}.{_quick(result)}",
            ("", "mean", "SD over subjects", "SD over sets"),
            [
                (row["row"], f"{row['mean']:.1%}", points(row["sd"]), points(row["sd_seeds"]))
                for row in result["rows"]
            ],
            caption=f"Difficulty is set so that EEG LDA accuracy is between {low:.0%} and {high:.0%}.",
        )
    for protocol, n in dict.fromkeys((row["protocol"], row["labels"]) for row in result["labels"]):
        rows = [row for row in result["labels"] if (row["protocol"], row["labels"]) == (protocol, n)]
        yield from _label_tables({"generated": True, "rows": rows}, _quick(result))
    rows = []
    for one in result["directions"]:
        low, high = one["interval"]
        found = "shown" if one["shown"] else "refuted" if one["refuted"] else "not shown"
        interval = f"{100 * low:+.1f} to {100 * high:+.1f}"
        rows.append((one["claim"], f"{100 * one['difference']:+.1f}", interval, found))
    columns = ("direction", "points", "95 % CI", "")
    yield figures_table("differences within subjects, 95 % CI by Student's t", columns, rows)


def _speech_tables(result: dict[str, Any]) -> Iterable[Table]:
    ours, speakers = result["ours"], list(result["ours"]["speakers"])
    named = {"ours": ours, **ours["parts"]}
    named |= {key: result[key] for key in ("reference", "reference_transductive") if result[key]}
    rows = []
    for name, scores in named.items():
        interval = scores["interval"]
        rows.append(
            (
                name.replace("_", " "),
                f"{scores['mean']:.3f}",
                "one speaker" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}",
                f"{scores['pooled']:.3f}",
                *(f"{scores['speakers'][speaker]:.2f}" for speaker in speakers),
            )
        )
    title = f"balanced accuracy, mean over speakers; chance {result['chance']:.0%}.{_quick(result)}"
    columns = ("", "mean", "95 % CI", "pooled", *speakers)
    yield figures_table(f"{title}\n{result['protocol']}", columns, rows)
    counts = zip(result["labels"], ours["confusion"], strict=True)
    yield figures_table(
        "our confusion matrix: true (rows) by predicted (columns), clips",
        ("", *result["labels"]),
        [(label, *map(str, row)) for label, row in counts],
    )


evaluate = application(
    "evaluate",
    """Measure accuracy against chance, on trials not used for training.

    \b
    Examples:
      affectscope evaluate simulated
      affectscope evaluate seed-iv s4 --model m1 --subject 1 --out m1-on-s4
      affectscope evaluate recording run2.xdf --model m1 --events "1=left,2=right"
    """,
)
add(evaluate, simulated, recording, seed_iv, seed_v, eav, emodb, generated)
