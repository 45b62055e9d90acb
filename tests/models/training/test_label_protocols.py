from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from acquisition.errors import ErrorCode, InputError
from models.training.sources import Source
from tests.studies.data_sets.options import MakeOptions
from tests.studies.data_sets.seed import make_seed_iv
from tests.studies.generated_labels import GeneratedTest, evaluate_generated, label_claims
from tests.studies.label_protocols import Job, LabelTest, Parts, evaluate_labels

pytestmark = pytest.mark.slow  # of a study, not of what runs live


def quiet(stage, share, loss, words) -> None:
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sets") / "s4"
    make_seed_iv(MakeOptions(folder, subjects=3, seed=5, trials=12, trial_s=24, jobs=1, difficulty="easy"))
    return folder


@pytest.fixture(scope="module")
def rows(folder) -> dict[str, dict]:
    """Rows by protocol, model and what is given."""
    return {
        f"{protocol} {row['model']} {row['modalities']}": row
        for protocol in ("own", "transfer")
        for row in judged(folder, protocol, ("1",))
    }


def judged(folder, protocol, subjects, **how) -> list[dict]:
    source = Source("seed-iv", folder, "published")
    test = LabelTest(source, protocol, 6, n_steps=4, subjects=subjects, **how)
    result = evaluate_labels(test, quiet).to_dict()
    assert json.loads(json.dumps(result)) == result
    assert result["generated"]
    return result["rows"]


def test_every_model_is_judged_on_the_same_trials_by_eeg_eyes_and_both(folder, rows):
    assert len(rows) == 2 * 5 * 3
    several = judged(folder, "own", ("1", "2"), network=False)
    assert len(several) == 4 * 3
    for row in (*rows.values(), *several):
        subjects = ("1", "2") if row in several else ("1",)
        assert (row["labels"], row["n_trials"]) == (6, len(subjects) * 3 * 4)
        assert [one["subject"] for one in row["subjects"]] == list(subjects)
        assert row["mean"] == pytest.approx(np.mean([one["mean"] for one in row["subjects"]]))
        low, high = row["interval"]
        assert 0 <= low <= row["mean"] <= high <= 1
    for row in rows.values():
        assert row["chance"] == rows[f"{row['protocol']} lda both"]["chance"]


def test_other_peoples_labels_help_where_patterns_are_shared(rows):
    transfer = rows["transfer discriminant both"]["mean"]
    assert transfer > rows["own discriminant both"]["subjects"][0]["mean"]
    assert transfer > rows["own lda both"]["subjects"][0]["mean"]


def test_the_network_has_a_share_in_what_is_kept_only_where_other_people_say_so(rows):
    for given in ("eeg", "eye", "both"):
        shares = rows[f"transfer kept {given}"]["network_shares"]
        assert len(shares) == 1
        assert set(shares) <= {0.0, 0.25, 0.5, 0.75, 1.0}
        assert rows[f"own kept {given}"]["mean"] == rows[f"own discriminant {given}"]["mean"]
    assert rows["transfer network both"]["mean"] > rows["transfer network both"]["chance"]


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
    # differences 0.1 and 0.2: SD 0.0707, t of one degree of freedom 12.706
    assert label_claims(rows)[0]["interval"] == pytest.approx([0.15 - 0.635, 0.15 + 0.635], abs=1e-3)


@pytest.mark.slow
def test_sets_are_pooled_by_subject_over_protocols_and_numbers_of_labels():
    result = evaluate_generated(GeneratedTest((1, 2), 2, 1, network=False), quiet)
    keys = [(row["protocol"], row["labels"], row["model"], row["modalities"]) for row in result["labels"]]
    assert len(set(keys)) == len(keys) == 2 * 2 * 4 * 3
    assert [one["subject"] for one in result["labels"][0]["subjects"]] == ["1-1", "1-2", "2-1", "2-2"]


def test_no_test_trial_trains_or_sets_a_level(folder):
    test = LabelTest(Source("seed-iv", folder, "published"), "transfer", 6)
    trials = tuple(test.source.trials())
    parts = Parts.of(Job(test, "2", trials))
    assert {(t.session, t.trial) for t in parts.own} == {(s, t) for s in (1, 2, 3) for t in range(1, 7)}
    assert {(t.session, t.trial) for t in parts.test} == {(s, t) for s in (1, 2, 3) for t in range(9, 13)}
    assert {t.subject for t in parts.others} == {"1", "3"}
    first = [t.eeg.reshape(len(t.eeg), -1).mean(axis=0) for t in parts.own if t.session == 1]
    np.testing.assert_allclose(parts.levels["2", 1]["eeg"], np.mean(first, axis=0), atol=1e-5)
    assert Parts.of(Job(LabelTest(test.source, "own"), "2", trials)).others == []


def test_transfer_needs_somebody_else(tmp_path):
    make_seed_iv(MakeOptions(tmp_path / "s4", subjects=1, seed=5, trials=6, trial_s=16, jobs=1))
    source = Source("seed-iv", tmp_path / "s4", "published")
    with pytest.raises(InputError) as refused:
        evaluate_labels(LabelTest(source, "transfer"), quiet)
    assert refused.value.code is ErrorCode.DATA
    with pytest.raises(InputError) as refused:
        evaluate_labels(LabelTest(source, subjects=("9",)), quiet)
    assert refused.value.code is ErrorCode.SUBJECT
    for path in (tmp_path / "s4" / "eeg_feature_smooth").rglob("*.mat"):
        path.write_bytes(b"cut")
    with pytest.raises(InputError, match=path.name.partition("_")[0]) as refused:
        evaluate_labels(LabelTest(source, subjects=("1",)), quiet)
    assert refused.value.code is ErrorCode.DATA  # it is there, but cannot be read
