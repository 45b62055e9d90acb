"""Many subjects' recordings: protocols, levels, and which model is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from acquisition.errors import ErrorCode, InputError
from models.baselines import LdaClassifier, TunedSvm
from models.config import EVIDENCE_KINDS, EvidenceConfig
from models.datasets.trials import Trial, WindowSet
from models.level import RunningLevel
from models.mixed_discriminant import MixedDiscriminant
from models.mixed_part import LabelledTrial
from models.training.evaluate_recordings import RecordingsTest, evaluate_recordings
from models.training.evidence import fit_evidence, preferred_kind
from models.training.finetune_config import FinetuneOptions, classifier_config
from models.training.session_levels import about_level
from tests.studies.label_protocols import labelled_trial

CHANNELS, BANDS, STEPS = ("FZ", "CZ", "PZ"), 5, 12
SILENT = lambda *_: None  # noqa: E731


def made(
    n_subjects: int = 6, n_each: int = 2, effect: float = 1.0, own: float = 0.0, seed: int = 0
) -> list[Trial]:
    """Return trials whose subjects lie 20 SD apart, and whose classes differ by the same in all of them.

    ``own`` is the size of what a subject's classes have alone.
    """
    rng = np.random.default_rng(0)
    pattern = effect * rng.normal(0, 1, (2, len(CHANNELS), BANDS))
    trials = []
    for subject in range(n_subjects):
        level, alone = rng.normal(0, 20, pattern[0].shape), own * rng.normal(0, 1, pattern.shape)
        for number in range(2 * n_each):
            label = number % 2
            mean = level + pattern[label] + alone[label] + rng.normal(0, 0.3, level.shape)
            eeg = (mean + rng.normal(0, 0.2, (STEPS, *level.shape))).astype(np.float32)
            numbers = f"S{subject}", 1, number + 1, label
            trials.append(Trial("raw", *numbers, ("a", "b"), 1.0, eeg, None, CHANNELS, "raw", "made"))
    return trials


def rows(result: dict, key: str = "mean") -> dict[str, float]:
    return {row["model"]: row[key] for row in result["rows"]}


def test_own_level_tells_new_subjects_where_the_level_of_training_does_not():
    trials = made()
    own, common = (
        evaluate_recordings(RecordingsTest("loso", how), trials, SILENT) for how in ("subject", "training")
    )
    assert rows(own)["kept"] == rows(own)["lda"] == 1.0
    assert rows(common)["lda"] < 0.9
    assert own["transductive"]
    assert not common["transductive"]
    row = own["rows"][0]
    assert (row["n_subjects"], row["n_trials"], row["chance"]) == (6, 24, 0.5)
    assert row["interval"] == pytest.approx([0.61, 1.0], abs=0.01)  # six of six, Wilson: t has no width
    assert "riemann" not in rows(own)  # no samples, no covariances


def test_labels_that_mean_nothing_to_others_are_at_chance_and_within_a_subject_are_learnt():
    trials = made(n_subjects=5, n_each=5, effect=0.0, own=1.0)
    assert rows(evaluate_recordings(RecordingsTest("loso"), trials, SILENT))["kept"] < 0.8
    assert rows(evaluate_recordings(RecordingsTest("within"), trials, SILENT))["kept"] > 0.9


def test_a_subject_with_too_few_trials_of_its_own_is_excluded_and_named():
    trials, excluded = made(n_subjects=3, n_each=3), []
    some = [t for t in trials if t.subject != "S1" or t.trial == 1]
    result = evaluate_recordings(RecordingsTest("within"), some, SILENT, excluded)
    assert result["rows"][0]["n_subjects"] == 2
    assert [one.subject for one in excluded] == ["S1"]


def test_transfer_tests_only_what_did_not_train():
    result = evaluate_recordings(RecordingsTest("transfer:2"), made(n_subjects=4, n_each=3), SILENT)
    assert result["rows"][0]["n_trials"] == 4 * 4
    for protocol, code in (("transfer:6", ErrorCode.DATA), ("transfer:x", None), ("loso", ErrorCode.SUBJECT)):
        some = made(n_subjects=4 if protocol != "loso" else 1, n_each=3)
        with pytest.raises(InputError) as caught:
            evaluate_recordings(RecordingsTest(protocol), some, SILENT)
        assert code in (None, caught.value.code)


def test_a_baseline_sets_the_level_and_a_session_without_one_is_named():
    trials = made()
    resting = {t.subject: replace(t, eeg=t.eeg - 1.0, label=-1) for t in trials if t.trial == 1}
    with_rest = [replace(t, baseline=resting[t.subject]) for t in trials]
    result = evaluate_recordings(RecordingsTest("loso", "baseline"), with_rest, SILENT)
    assert rows(result)["lda"] > 0.9
    assert not result["transductive"]
    with pytest.raises(InputError) as caught:
        evaluate_recordings(RecordingsTest("loso", "baseline"), [*with_rest[1:], trials[0]], SILENT)
    assert caught.value.facts["subject"] == "S0"


def labelled(trials: list[Trial]) -> list[LabelledTrial]:
    return [labelled_trial(trial) for trial in trials]


def test_lda_as_a_discriminant_says_what_the_classifier_says():
    trials = about_level(made(), "training", made())
    known, new = trials[:20], trials[20:]
    model = MixedDiscriminant.lda(labelled(known), 2)
    level = model.part("eeg").level.mean

    def windows(some: list[Trial]) -> WindowSet:
        x = np.stack([t.eeg.mean(axis=0, dtype=np.float64).ravel() - level for t in some])[:, :, None, None]
        n = np.arange(len(some))
        return WindowSet(x, None, np.array([t.label for t in some]), n.astype(str), n, n, n)

    expected = LdaClassifier(2).fit(windows(known)).predict_proba(windows(new))
    x = torch.from_numpy(windows(new).eeg[:, :, 0, 0])
    for one in (model, MixedDiscriminant.from_state(*model.state())):  # as it is, and as a folder keeps it
        said = one.evidence("eeg", x, torch.full((len(new),), 10.0), torch.ones(x.shape, dtype=torch.bool))
        np.testing.assert_allclose(torch.softmax(said, dim=1).numpy(), expected, atol=2e-3)
        one.part("eeg").check(2)


@pytest.mark.parametrize("n_labels", [2, 3])
def test_an_svm_as_evidence_says_what_the_classifier_says(n_labels):
    trials = [
        replace(trial, label=trial.trial % n_labels) for trial in about_level(made(), "training", made())
    ]
    label = np.array([trial.label for trial in trials])
    model = MixedDiscriminant.linear(labelled(trials), n_labels)
    level = model.part("eeg").level.mean
    x = np.stack([t.eeg.mean(axis=0, dtype=np.float64).ravel() - level for t in trials])
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    expected = TunedSvm(n_labels).fit(z, label, np.arange(len(z))).predict_proba(z)
    known, n_steps = torch.ones(x.shape, dtype=torch.bool), torch.full((len(x),), 10.0)
    for one in (model, MixedDiscriminant.from_state(*model.state())):  # as it is, and as a folder keeps it
        said = one.evidence("eeg", torch.from_numpy(x), n_steps, known)
        np.testing.assert_allclose(torch.softmax(said, dim=1).numpy(), expected, atol=1e-5)
        one.part("eeg").check(n_labels)
    known[:, :BANDS] = False  # the first channel is what the others lead to expect
    part, seen = model.part("eeg"), np.where(known, x, np.nan)
    margins = part.own_rows(seen) @ part.planes[:, :-1].T + part.planes[:, -1]
    said = model.evidence("eeg", torch.from_numpy(x), n_steps, known).numpy()
    np.testing.assert_allclose(said, margins, atol=1e-4)
    fewer = model.restricted(range(n_labels), {"eeg": known[0].numpy()})
    np.testing.assert_allclose(fewer.evidence("eeg", torch.from_numpy(x), n_steps, known), margins, atol=1e-4)


def test_the_kept_kind_is_chosen_on_subjects_left_out_and_said():
    config = classifier_config(made(), FinetuneOptions(evidence=True, n_steps=10), None, "")
    assert preferred_kind(made(), config) == "lda"  # as good: the simpler
    assert preferred_kind(made(n_subjects=2), config) == EVIDENCE_KINDS[-1]  # nobody to choose on
    evidence = fit_evidence(made(), config)
    assert evidence.config.kind == "lda"
    level = RunningLevel(evidence.discriminant, EvidenceConfig())
    assert np.isfinite(level.mean("eeg")).all()


@pytest.mark.real_data
@pytest.mark.slow
def test_what_is_kept_tells_rest_from_arithmetic_of_new_people(real_data: Path):
    from models.datasets.recordings import Reading
    from models.datasets.trial_table import read_rows, rows_of_files

    folder = real_data / "eegmat"
    table = rows_of_files([], [f"rest={folder}/*_1.edf", f"task={folder}/*_2.edf"], r"Subject(\d+)")
    found = rows(evaluate_recordings(RecordingsTest("loso"), read_rows(table, Reading()), SILENT))
    assert found["kept"] >= max(found["lda"], 0.85)
    assert found["riemann"] > 0.5


def test_one_trial_of_each_subject_is_enough_to_be_judged_without_an_own_level():
    trials = [t for t in made(n_subjects=12, n_each=1) if t.label == int(t.subject[1:]) % 2]
    result = evaluate_recordings(RecordingsTest("loso", "training"), trials, SILENT)
    assert {row["n_trials"] for row in result["rows"]} == {12}
    assert all(0.0 <= row["mean"] <= 1.0 for row in result["rows"])
    with pytest.raises(InputError) as error:  # its own level takes away what tells the trial
        evaluate_recordings(RecordingsTest("loso", "subject"), trials, SILENT)
    assert error.value.code is ErrorCode.SUBJECT
