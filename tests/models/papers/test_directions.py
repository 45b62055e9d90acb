"""Directions of the paper's tables on generated data: differences by subject, and a small run whole."""

import math
from dataclasses import replace

import pytest

from models.datasets.make.options import MakeOptions
from models.datasets.make.seed import make_seed_iv
from models.papers.directions import (
    REFERENCES,
    SETTINGS,
    STREAMING_SETTINGS,
    Directions,
    DirectionsOptions,
    directions,
    label_claims,
    worth_of_labels,
)
from models.training.label_protocols import LabelTest, evaluate_labels
from models.training.sources import Source

SUBJECTS = [(1, "1"), (1, "2"), (2, "1"), (2, "2")]


def made(**rows):
    """Accuracies by row; every row that is not named is 0.5 for everybody."""
    accuracy = {name: dict.fromkeys(SUBJECTS, 0.5) for name in (*SETTINGS, *STREAMING_SETTINGS)}
    for name, values in rows.items():
        accuracy[name] = dict(zip(SUBJECTS, values, strict=True))
    return Directions(accuracy, (), replace(DirectionsOptions(), seeds=(1, 2), n_subjects=2))


def claim(result, words):
    return next(one for one in result.claims() if words in one["claim"])


def test_difference_is_paired_by_subject_with_a_t_interval():
    one = claim(made(fused=(0.6, 0.7, 0.6, 0.7), EEG=(0.5, 0.6, 0.4, 0.5)), "attention fusion")
    assert one["difference"] == pytest.approx(0.15)
    # differences .1 .1 .2 .2: SD 0.0577, t of 3 degrees of freedom 3.182
    assert one["interval"] == pytest.approx([0.15 - 0.0919, 0.15 + 0.0919], abs=1e-3)
    assert (one["holds"], one["shown"], one["refuted"]) == (True, True, False)


def test_direction_that_does_not_hold_is_said():
    one = claim(made(fused=(0.3, 0.31, 0.3, 0.32), LDA=(0.5, 0.5, 0.5, 0.51)), "LDA")
    assert (one["holds"], one["refuted"]) == (False, True)


def test_masks_are_judged_by_what_they_cost():
    one = claim(
        made(**{"EEG, 10 trials, 50 % masked": (0.2, 0.3, 0.2, 0.3), "fused, 10 trials": (0.6,) * 4}),
        "masked",
    )
    assert one["difference"] == pytest.approx(-0.1 - (-0.25))


def test_row_has_spread_over_subjects_and_over_sets():
    row = next(r for r in made(fused=(0.4, 0.6, 0.5, 0.7)).to_dict()["rows"] if r["row"] == "fused")
    assert (row["mean"], row["n"]) == (pytest.approx(0.55), 4)
    assert row["sd_seeds"] == pytest.approx(math.sqrt(2) * 0.05)


def test_spread_over_subjects_is_judged_too():
    rows = {"EEG, 10 trials": (0.5, 0.52, 0.5, 0.52), "EEG, 10 trials, from scratch": (0.3, 0.7, 0.3, 0.7)}
    one = claim(made(**rows), "from subject to subject")
    assert one["difference"] == pytest.approx((0.2 - 0.01) * math.sqrt(4 / 3))
    assert one["holds"]


def label_row(protocol, n, model, *means):
    subjects = [{"subject": f"1-{at}", "mean": mean} for at, mean in enumerate(means)]
    mean = sum(means) / len(means)
    return {
        "protocol": protocol, "labels": n, "model": model, "modalities": "both", "mean": mean,
        "subjects": subjects,
    }  # fmt: skip


def test_what_is_kept_is_held_against_the_better_reference_of_the_same_labels_and_of_own_ones():
    rows = [
        label_row("own", 10, "kept", 0.5, 0.7), label_row("own", 10, "lda", 0.6, 0.6),
        label_row("own", 10, "svm", 0.4, 0.4), label_row("transfer", 10, "kept", 0.8, 0.9),
        label_row("transfer", 10, "lda", 0.5, 0.5), label_row("transfer", 10, "svm", 0.7, 0.7),
    ]  # fmt: skip
    found = {one["claim"]: one["difference"] for one in label_claims(rows)}
    assert found == {
        "10 own trials: kept, transfer, is ahead of SVM, transfer": pytest.approx(0.15),
        "10 own trials: kept, transfer, is ahead of LDA, own": pytest.approx(0.25),
        "10 own trials: kept, own, is ahead of LDA, own": pytest.approx(0.0),
    }


@pytest.mark.slow
def test_references_are_of_the_first_sessions_and_of_the_same_run_as_the_rows_of_labels(tmp_path):
    folders = {seed: tmp_path / str(seed) for seed in (1, 2)}
    for seed, folder in folders.items():
        make_seed_iv(MakeOptions(folder, subjects=2, seed=seed, trials=12, trial_s=20, jobs=1))
    options = replace(DirectionsOptions(), seeds=(1, 2), n_subjects=2, n_jobs=1, label_networks=False)
    rows, references = worth_of_labels(folders, options, lambda *told: None)
    assert set(references) == set(REFERENCES)
    assert all(set(found) == set(SUBJECTS) for found in references.values())
    keys = [(row["protocol"], row["labels"], row["model"], row["modalities"]) for row in rows]
    models = ("discriminant", "lda", "svm", "kept")
    assert len(set(keys)) == len(keys) == 2 * 2 * len(models) * 3
    assert [one["subject"] for one in rows[0]["subjects"]] == ["1-1", "1-2", "2-1", "2-2"]
    test = LabelTest(Source("seed-iv", folders[2], "published"), "own", None, network=False)
    entries = evaluate_labels(test, lambda *told: None).entries["svm", "both"]
    assert references["SVM"][2, "2"] == next(
        e.window.accuracy for e in entries if (e.subject, e.session) == ("2", 1)
    )


def test_everybodys_figures_are_in_the_result():
    result = made(fused=(0.4, 0.6, 0.5, 0.7)).to_dict()
    assert {"row": "fused", "seed": 2, "subject": "1", "accuracy": 0.5} in result["people"]


@pytest.mark.slow
def test_small_run_fills_every_row():
    options = replace(DirectionsOptions().quick(), seeds=(1,), n_subjects=2, n_jobs=1, pretrain_windows=4)
    result = directions(options, lambda *told: None).to_dict()
    assert {row["row"] for row in result["rows"]} == {*SETTINGS, *STREAMING_SETTINGS, *REFERENCES}
    assert {row["model"] for row in result["labels"]} == {"discriminant", "lda", "svm", "kept"}
    assert all(0 <= row["mean"] <= 1 for row in result["rows"])
    assert result["left_out"] == []
