"""What evaluate prints of simulated people, generated sets and acted speech."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from acquisition.errors import InputError
from app.cli import options as opt
from app.cli.options import listed, refuse_others
from app.cli.screen import StageBars, check_writable, show_confusion, show_table
from app.cli.train import difficulty_value
from app.tables import make_console
from assets import DEMO_MODEL
from models.datasets.trials import PUBLISHED, RECORDINGS


def generated_table(result: dict[str, Any]) -> Table:
    """Return the accuracies on generated sets."""
    quick = " QUICK RUN, not a result." if result["quick"] else ""
    n_sets, n_people = len(result["seeds"]), result["n_subjects"]
    table = Table(
        title=f"GENERATED DATA, {n_sets} sets of {n_people} people; accuracy per window, chance "
        f"{result['chance']:.0%}.{quick}",
        title_justify="left",
    )
    for column in ("", "mean", "SD over people", "SD over sets"):
        table.add_column(column, no_wrap=True)
    for row in result["rows"]:
        spread = ["" if row[key] is None else f"{100 * row[key]:.1f}" for key in ("sd", "sd_seeds")]
        table.add_row(row["row"], f"{row['mean']:.1%}", *spread)
    low, high = result["lda_eeg_from_to"]
    table.caption = f"Difficulty is set so that LDA on EEG is between {low:.0%} and {high:.0%}."
    return table


def directions_table(result: dict[str, Any]) -> Table:
    """Return which directions of the tables show."""
    table = Table(title="differences by person, 95 % t interval", title_justify="left")
    for column in ("direction", "points", "interval", ""):
        table.add_column(column)
    for one in result["directions"]:
        low, high = one["interval"]
        words = "shown" if one["shown"] else "refuted" if one["refuted"] else "not shown"
        table.add_row(
            one["claim"], f"{100 * one['difference']:+.1f}", f"{100 * low:+.1f} to {100 * high:+.1f}", words
        )
    return table


def speech_table(result: dict[str, Any]) -> Table:
    """Return the accuracies on acted speech, by speaker."""
    quick = " QUICK RUN, not a result." if result["quick"] else ""
    table = Table(
        title=f"balanced accuracy, mean over speakers; chance {result['chance']:.0%}.{quick}\n"
        + result["protocol"],
        title_justify="left",
    )
    ours, speakers = result["ours"], list(result["ours"]["speakers"])
    for column in ("", "mean", "95 % interval", "pooled", *speakers):
        table.add_column(column)
    rows = {"ours": ours, **ours["parts"]}
    rows |= {key: result[key] for key in ("reference", "reference_transductive") if result[key]}
    for name, scores in rows.items():
        interval = scores["interval"]
        table.add_row(
            name.replace("_", " "),
            f"{scores['mean']:.3f}",
            "one speaker" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}",
            f"{scores['pooled']:.3f}",
            *(f"{scores['speakers'][speaker]:.2f}" for speaker in speakers),
        )
    return table


def confusion_table(result: dict[str, Any]) -> Table:
    """Return the counts of emotions by answer."""
    table = Table(title="ours: clips of each emotion (rows) by answer", title_justify="left")
    for column in ("", *result["labels"]):
        table.add_column(column)
    for label, counts in zip(result["labels"], result["ours"]["confusion"], strict=True):
        table.add_row(label, *map(str, counts))
    return table


def simulated_table(result: dict[str, Any]) -> Table:
    """Return the accuracies on simulated people."""
    table = Table(
        title=f"{result['n_subjects']} unseen simulated subjects, {result['n_trials']} trials, "
        f"{result['n_windows']} windows; chance {result['chance']:.0%}",
        title_justify="left",
    )
    for column in ("modalities", "per trial", "95 % interval", "per window"):
        table.add_column(column, no_wrap=True)
    _add_row(table, "all four", result["all"], result["interval"]["all"], result["all_window"])
    titles = {
        "only": "{} alone",
        "without": "without {}",
        "channels": "EEG alone, {} ch",
        "channels_with_all": "all four, {} ch EEG",
    }
    for group, title in titles.items():
        for key, accuracy in result[group].items():
            window = result[f"{group}_window"][key]
            _add_row(table, title.format(key), accuracy, result["interval"][group][key], window)
    return table


def attention_table(result: dict[str, Any]) -> Table:
    """Return how the attention moves."""
    table = Table(title="attention by modality: a model weight, not a cause", title_justify="left")
    for column in ("modality", "mean", "SD over windows", "change when it is noise"):
        table.add_column(column, no_wrap=True)
    for modality, moved in result["attention"].items():
        table.add_row(
            modality, f"{moved['mean']:.2f}", f"{moved['sd']:.2f}", f"{moved['change_by_noise']:+.2f}"
        )
    return table


def _add_row(table: Table, title: str, trial: float, interval: tuple[float, float], window: float) -> None:
    table.add_row(title, f"{trial:.1%}", f"{interval[0]:.0%} to {interval[1]:.0%}", f"{window:.1%}")


if TYPE_CHECKING:
    from models.datasets.emodb import Utterance
    from models.datasets.trials import Excluded
    from models.training.evaluate_trials import TrialTest

_SIMULATED = "--simulated"
#: Options that mean something, by what is evaluated on.
_OPTIONS = {
    _SIMULATED: ("simulated", "model", "subjects", "trials", "trial_s", "difficulty", "jobs"),
    "emodb": ("test", "quick"),
    "generated": ("quick", "jobs"),
    **dict.fromkeys(PUBLISHED, ("model", "subject", "session", "out")),
    **dict.fromkeys(RECORDINGS, ("model", "montage", "events", "trial_s", "out")),
}
_KINDS = tuple(kind for kind in _OPTIONS if kind != _SIMULATED)
_LEAST_TRIAL_S, _TRIAL_S = 10.0, 24.0  # of simulated people


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(evaluate)


def evaluate(
    context: typer.Context,
    data: Annotated[
        str | None,
        typer.Argument(help=f"What to judge on: {', '.join(_KINDS)}.", show_default=False),
    ] = None,
    folder: Annotated[
        Path | None, typer.Argument(help="Its folder or file; generated has none.", show_default=False)
    ] = None,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Simulated: judge on people that no training ever sees.")
    ] = False,
    model: Annotated[
        Path | None,
        typer.Option(
            help="Data sets and recordings: a classifier of finetune. Simulated: a model folder, without it "
            "the demo model.",
            show_default=False,
        ),
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option(
            help="Data sets: a person's number, or several: 1,2; all without it.", show_default=False
        ),
    ] = None,
    session: opt.Session = None,
    montage: Annotated[
        str | None,
        typer.Option(
            help="Recordings: EEG channel names, an MNE montage or a TOML file from stream label or index to "
            "10-20 name.",
            show_default=False,
        ),
    ] = None,
    events: opt.Events = None,
    trial_s: Annotated[
        float | None,
        typer.Option(
            min=1.0,
            help=f"Simulated and recordings: seconds of a trial; {_TRIAL_S:g}, or to the next marker.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Data sets and recordings: folder for CSV, JSON, words and plot.", show_default=False
        ),
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option(help="emodb: a second folder, of other speakers, to test on.", show_default=False),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="emodb and generated: few passes, to try it out.")
    ] = False,
    subjects: Annotated[int, typer.Option(min=1, help="Simulated: how many people.")] = 12,
    trials: Annotated[int, typer.Option(min=5, help="Simulated: trials of each.")] = 10,
    difficulty: Annotated[
        str, typer.Option(help="Simulated: easy, default, hard, none or an effect size.")
    ] = "default",
    jobs: Annotated[
        int, typer.Option(min=1, help="Simulated and generated: processes that simulate or train.")
    ] = 2,
    as_json: opt.Json = False,
) -> None:
    """Accuracy beside chance, on trials that did not train what is judged.

    seed-iv, seed-v or eav DIR: a classifier of finetune (--model) on the test trials of the published split,
    with all input, each modality alone, and EEG channels hidden; by person, with confusion matrices.

    xdf or raw FILE: the same on every labelled trial of a recording. The very file that trained the model
    is refused; a cut or converted copy of it is not recognised.

    --simulated: all modalities together, alone, with one missing and with fewer channels.

    emodb DIR: trains the audio path on acted speech, each speaker left out in turn (about 10 minutes on one
    core), beside openSMILE's features.

    generated: do the directions of the MMV-SSTMA paper's tables show in five generated data sets?
    Pre-training, fusion, masks and streaming beside LDA, SVM and the true discriminant (under an hour).

    Examples:

      affectscope evaluate seed-iv s4 --model m1 --subject 1 --out m1-on-s4

      affectscope evaluate xdf run2.xdf --model m1 --events "1=left,2=right"

      affectscope evaluate --simulated

      affectscope evaluate emodb DIR

      affectscope evaluate generated --json
    """
    kind = _kind(data, folder, simulated)
    refuse_others(context, f"evaluate {kind}", _only_for_others(kind))
    if kind == _SIMULATED:
        seconds = _simulated_s(trial_s)
        result = _evaluate_simulated(model or DEMO_MODEL, subjects, trials, seconds, difficulty, jobs)
        tables = simulated_table, attention_table
    elif kind == "generated":
        result = _evaluate_generated(quick, jobs)
        tables = generated_table, directions_table
    elif folder is None:
        raise InputError(
            f"expected {kind} and its {'file' if kind in RECORDINGS else 'folder'}", where="evaluate"
        )
    elif kind == "emodb":
        result = _evaluate_emodb(folder, test, quick)
        tables = speech_table, confusion_table
    else:
        people = None if subject is None else _people(subject)
        _evaluate_trials(
            _trial_test(kind, folder, model, people, session, montage, events, trial_s), out, as_json
        )
        return
    if as_json:
        print(json.dumps(result))
        return
    for table in tables:
        make_console().print(table(result))


def _kind(data: str | None, folder: Path | None, simulated: bool) -> str:
    """Return what is evaluated on, an entry of ``_OPTIONS``."""
    if simulated == (data is not None):
        raise InputError(
            "expected one thing to evaluate on" if simulated else "nothing to evaluate on",
            where="evaluate",
            remedy=f"give --simulated, or one of {', '.join(_KINDS)} and its folder or file",
        )
    if data is None:
        return _SIMULATED
    if data not in _KINDS:
        raise InputError(f"expected {', '.join(_KINDS)}; got {data}", where="evaluate")
    if data == "generated" and folder is not None:
        raise InputError("it generates its own data", where=f"evaluate generated {folder}")
    return data


def _only_for_others(kind: str) -> dict[str, str]:
    """Return what each option is for that means nothing for this kind."""
    others = {name for names in _OPTIONS.values() for name in names}.difference(_OPTIONS[kind])
    return {name: f"only for {listed([k for k in _OPTIONS if name in _OPTIONS[k]])}" for name in others}


def _people(subject: str) -> tuple[str, ...]:
    """Return the numbers in ``--subject``, each once."""
    numbers = [part.strip() for part in subject.split(",")]
    if not all(numbers):
        raise InputError(
            f"expected a person's number, or several as 1,2; found {subject!r}",
            where="--subject",
            remedy="leave it out for all of them",
        )
    return tuple(dict.fromkeys(numbers))


def _simulated_s(trial_s: float | None) -> float:
    if trial_s is not None and trial_s < _LEAST_TRIAL_S:
        raise InputError(f"expected at least {_LEAST_TRIAL_S:g} s, found {trial_s:g}", where="--trial-s")
    return trial_s or _TRIAL_S


def _evaluate_simulated(
    model: Path, subjects: int, trials: int, trial_s: float, difficulty: str, jobs: int
) -> dict[str, Any]:
    from models.checkpoint import load_checkpoint
    from models.training.simulated import EvaluationOptions, evaluate_simulated

    checkpoint = load_checkpoint(model)
    options = EvaluationOptions(subjects, trials, trial_s, difficulty_value(difficulty), jobs)
    with StageBars() as bars:
        return evaluate_simulated(checkpoint, options, bars)


def _trial_test(
    kind: str,
    path: Path,
    model: Path | None,
    subjects: tuple[str, ...] | None,
    session: int | None,
    montage: str | None,
    events: str | None,
    trial_s: float | None,
) -> TrialTest:
    from models.checkpoint import load_config
    from models.training.evaluate_trials import TrialTest
    from models.training.sources import LabelledSource

    if model is None:
        raise InputError(
            "expected the classifier that is judged",
            where=f"evaluate {kind}",
            remedy="give --model M, a model of affectscope finetune",
        )
    origin = load_config(model).feature_origin if kind in PUBLISHED else "raw"
    return TrialTest(model, LabelledSource(kind, path, origin, montage, events, trial_s), subjects, session)


def _evaluate_trials(test: TrialTest, out: Path | None, as_json: bool) -> None:
    from models.training.evaluate_trials import evaluate_trials
    from models.training.tables import write_table

    if out is not None:
        check_writable(out)
    with StageBars() as bars:
        found = evaluate_trials(test, bars)
    paths = write_table(found, out) if out is not None else []
    if as_json:
        print(json.dumps(found.to_dict()))
        return
    show_table(found)
    show_confusion(found)
    if paths:
        print(f"written: {', '.join(str(path) for path in paths)}")


def _evaluate_emodb(folder: Path, test: Path | None, quick: bool) -> dict[str, Any]:
    from models.datasets.emodb import load_emodb
    from models.papers.speech.evaluate import SpeechTest, evaluate_speech

    excluded: list[Excluded] = []
    utterances = load_emodb(folder, excluded)
    others: list[Utterance] | None = load_emodb(test, excluded) if test is not None else None
    for one in excluded:
        print(f"left out, speaker {one.subject}: {one.why}", file=sys.stderr)
    settings = SpeechTest.quick_run() if quick else SpeechTest()
    with StageBars() as bars:
        result = evaluate_speech(utterances, others, settings, bars)
    if result["reference"] is None:
        print("no reference: opensmile is not installed (pip install 'affectscope[test]')", file=sys.stderr)
    return {**result, "left_out": [{"subject": one.subject, "why": one.why} for one in excluded]}


def _evaluate_generated(quick: bool, jobs: int) -> dict[str, Any]:
    from models.papers.directions import DirectionsOptions, directions

    options = DirectionsOptions(n_jobs=jobs)
    with StageBars() as bars:
        return directions(options.quick() if quick else options, bars).to_dict() | {"quick": quick}
