"""Command that judges models, on simulated people or on a labelled data set: evaluate."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from acquisition.errors import InputError
from app.commands import options as opt
from app.commands.stage_bars import StageBars
from app.commands.train import difficulty_value
from assets import DEMO_MODEL

if TYPE_CHECKING:
    from models.datasets.emodb import Utterance
    from models.datasets.types import LeftOut

DATA_SETS = ("emodb", "generated")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(evaluate)


def evaluate(
    data: Annotated[
        str | None, typer.Argument(help="emodb (acted speech), or generated.", show_default=False)
    ] = None,
    folder: Annotated[Path | None, typer.Argument(help="Its folder.", show_default=False)] = None,
    test: Annotated[
        Path | None,
        typer.Option(help="emodb: a second folder, of other speakers, to test on.", show_default=False),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Few passes, to try emodb or generated out.")
    ] = False,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="On simulated subjects that no training ever sees.")
    ] = False,
    model: opt.Model = None,
    subjects: Annotated[int, typer.Option(min=1, help="Simulated people.")] = 12,
    trials: Annotated[int, typer.Option(min=5, help="Trials of each.")] = 10,
    trial_s: Annotated[float, typer.Option(min=10, help="Length of a trial in seconds.")] = 24.0,
    difficulty: Annotated[str, typer.Option(help="easy, default, hard, none or an effect size.")] = "default",
    jobs: Annotated[int, typer.Option(min=1, help="Processes that simulate.")] = 2,
    as_json: opt.Json = False,
) -> None:
    """Accuracy beside chance: of a model on simulated people, or of training on a labelled data set.

    evaluate --simulated: all modalities together, alone, with one missing and with fewer channels.
    evaluate emodb DIR: trains the audio path on acted speech, each speaker left out in turn (about 10
    minutes on one core), beside openSMILE's features.
    evaluate generated: do the directions of the MMV-SSTMA paper's tables show in five generated data sets?
    Pre-training, fusion, masks and streaming beside LDA, SVM and the true discriminant (under an hour).

    Examples:

      affectscope evaluate --simulated

      affectscope evaluate emodb DIR

      affectscope evaluate generated --json
    """
    if simulated == (data is not None):
        raise InputError(
            "expected one thing to evaluate on" if simulated else "nothing to evaluate on",
            where="evaluate",
            remedy="give --simulated for simulated people, or emodb and its folder",
        )
    if data is None:
        refused = {"--test": test is not None, "--quick": quick}
        if any(refused.values()):
            names = ", ".join(name for name, given in refused.items() if given)
            raise InputError(
                f"{names} is for a data set", where="evaluate --simulated", remedy="leave it out"
            )
        from models.checkpoint import load_checkpoint
        from models.training.evaluate import EvaluationOptions, evaluate_simulated

        checkpoint = load_checkpoint(model or DEMO_MODEL)
        options = EvaluationOptions(subjects, trials, trial_s, difficulty_value(difficulty), jobs)
        with StageBars() as bars:
            result = evaluate_simulated(checkpoint, options, bars)
        tables = [_table, _attention_table]
    elif data == "generated":
        if folder is not None or test is not None:
            raise InputError("it generates its own data", where=f"evaluate generated {folder or '--test'}")
        result = _evaluate_generated(quick, jobs)
        tables = [_generated_table, _directions_table]
    else:
        if data not in DATA_SETS or folder is None:
            raise InputError(
                f"expected emodb and its folder, or generated; got {data} {folder or ''}".rstrip(),
                where="evaluate",
            )
        result = _evaluate_emodb(folder, test, quick)
        tables = [_speech_table, _confusion_table]
    if as_json:
        print(json.dumps(result))
    else:
        for table in tables:
            Console().print(table(result))


def _evaluate_emodb(folder: Path, test: Path | None, quick: bool) -> dict[str, Any]:
    from models.datasets.emodb import load_emodb
    from models.speech.evaluate import SpeechTest, evaluate_speech

    left_out: list[LeftOut] = []
    utterances = load_emodb(folder, left_out)
    others: list[Utterance] | None = load_emodb(test, left_out) if test is not None else None
    for one in left_out:
        print(f"left out, speaker {one.subject}: {one.why}", file=sys.stderr)
    settings = SpeechTest.quick_run() if quick else SpeechTest()
    with StageBars() as bars:
        result = evaluate_speech(utterances, others, settings, bars)
    if result["reference"] is None:
        print("no reference: opensmile is not installed (pip install 'affectscope[test]')", file=sys.stderr)
    return {**result, "left_out": [{"subject": one.subject, "why": one.why} for one in left_out]}


def _evaluate_generated(quick: bool, jobs: int) -> dict[str, Any]:
    from models.training.directions import DirectionsOptions, directions

    options = DirectionsOptions(n_jobs=jobs)
    with StageBars() as bars:
        return directions(options.quick() if quick else options, bars).to_dict() | {"quick": quick}


def _generated_table(result: dict[str, Any]) -> Table:
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


def _directions_table(result: dict[str, Any]) -> Table:
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


def _speech_table(result: dict[str, Any]) -> Table:
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


def _confusion_table(result: dict[str, Any]) -> Table:
    table = Table(title="ours: clips of each emotion (rows) by answer", title_justify="left")
    for column in ("", *result["labels"]):
        table.add_column(column)
    for label, counts in zip(result["labels"], result["ours"]["confusion"], strict=True):
        table.add_row(label, *map(str, counts))
    return table


def _table(result: dict[str, Any]) -> Table:
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


def _attention_table(result: dict[str, Any]) -> Table:
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
