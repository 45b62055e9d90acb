"""A study: its statistics, whom it takes, and one of two people from simulation to figures."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from refused import refused
from scipy.stats import ttest_1samp

from acquisition.errors import ErrorCode
from calibration.plan import Plan, load_plan
from calibration.verdict import VerdictCode
from models.training.scores import t_interval
from tests.studies.calibration import (
    Accuracy,
    Study,
    StudyOptions,
    SubjectResult,
    run_study,
    study_table,
    summary_line,
)


def a_result(seed: int, base: float, profile: float, verdict: str) -> SubjectResult:
    return SubjectResult(
        seed=seed,
        base=Accuracy(base, base),
        profile=Accuracy(profile, profile - 0.1),
        verdict=verdict,
        balanced_accuracy=0.7,
        p_permutation=0.01,
        temperature=1.0,
        trials_used=10,
        fit_seconds=1.0,
        seconds=2.0,
    )


@pytest.fixture
def study() -> Study:
    verdicts = (VerdictCode.USABLE, VerdictCode.WEAK, VerdictCode.NOT_DISTINGUISHABLE)
    gains = zip((0.5, 0.6, 0.7), (0.8, 0.8, 0.7), verdicts, strict=True)
    results = tuple(a_result(701_000 + i, *values) for i, values in enumerate(gains))
    return Study(StudyOptions(n_subjects=3), results, 12.0)


def test_gain_is_paired_and_in_points(study):
    figures = study.to_dict()
    assert figures["mean_gain_points"] == pytest.approx(50 / 3)
    expected = ttest_1samp([30, 20, 0], 0).confidence_interval(0.95)
    np.testing.assert_allclose(figures["gain_interval"], [expected.low, expected.high])
    assert figures["mean_gain_points_window"] == pytest.approx(50 / 3 - 10)
    assert figures["mean_base_accuracy"]["trial"] == pytest.approx(0.6)


def test_verdicts_are_counted(study):
    figures = study.to_dict()
    assert (figures["n_weak_or_usable"], figures["n_not_distinguishable"]) == (2, 1)


def test_one_person_has_no_interval():
    assert t_interval([10.0]) is None


def test_figures_are_plain_values(study):
    again = json.loads(json.dumps(study.to_dict()))
    assert again["subjects"][1]["gain_points"] == pytest.approx(20)
    assert again["is_simulated"] is True


def test_table_and_sentence_hold_the_figures(study):
    assert study_table(study).row_count == 3 + 2
    assert "+16.7 points" in summary_line(study)
    assert "2 of 3 weak or usable" in summary_line(study)


def test_studies_of_different_seeds_share_nobody():
    one, other = (set(StudyOptions(n_subjects=1000, seed=seed).seeds()) for seed in (1, 2))
    assert not one & other
    assert min(one | other) >= 700_000


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"n_subjects": 0}, "calibrate study"),
        ({"difficulty": "impossible"}, "difficulty"),
        ({"plan": replace(load_plan(), classes=("calm", "happy"), stimuli={"calm": ("x",), "happy": ("x",)})},
         "--classes"),
    ],
)  # fmt: skip
def test_what_cannot_be_studied_is_refused(given, where):
    error = refused(lambda: StudyOptions(**given))
    assert (error.code, error.where) == (ErrorCode.OPTION, where)


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Two classes and short stimuli: what it finds is noise, how it is found is not."""
    plan = load_plan(classes=("happy", "sad"), n_trials=4)
    short = {"hint_s": 1.0, "report_s": 1.0, "rest_s": 2.0, "baseline_s": 4.0, "practice_s": 1.0}
    return replace(plan, stimulus_s=8.0, **short)


@pytest.mark.slow
def test_a_study_does_not_depend_on_its_processes(random_model, plan):
    told: list[SubjectResult] = []
    options = StudyOptions(n_subjects=2, model=random_model, plan=plan, n_jobs=1)
    alone = run_study(options, told.append)
    assert [result.seed for result in told] == list(options.seeds())
    beside = run_study(replace(options, n_jobs=2))
    for one, other in zip(alone.subjects, beside.subjects, strict=True):
        assert one.verdict in tuple(VerdictCode)
        assert replace(one, seconds=0.0, fit_seconds=0.0) == replace(other, seconds=0.0, fit_seconds=0.0)
