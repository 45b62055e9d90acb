"""A kept classifier is judged on trials that did not train it, and on no other."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import pytest

from acquisition.errors import InputError
from models.checkpoint import load_checkpoint, save_checkpoint
from models.config import ModelConfig
from models.datasets.make.options import MakeOptions
from models.datasets.make.seed_iv import make_seed_iv
from models.datasets.splits import published_split
from models.features.normalise import Normaliser
from models.network import FusionNetwork
from models.training.evaluate_trials import TrialTest, evaluate_trials
from models.training.finetune import finetune
from models.training.finetune_config import FinetuneOptions
from models.training.protocols import LabelledSource
from models.training.scores import per_trial, score
from models.training.table_files import write_table
from models.training.training_record import RECORD_FILE, TrainingRecord, record_of, write_record
from models.training.trial_classifier import TrialClassifier

QUICK = FinetuneOptions(few_epochs=2, stop_early=False, dcca=False)
CH_NAMES = ("F3", "F4", "C3", "C4", "O1", "O2")
LEFT_RIGHT = "1=left,2=right"


pytestmark = pytest.mark.usefixtures("one_thread")


def save(
    folder: Path, config: ModelConfig, network: FusionNetwork, normaliser: Normaliser, record: TrainingRecord
) -> Path:
    save_checkpoint(folder, config, network, normaliser.to_dict(), "# Made by a test\n")
    write_record(folder, record)
    return folder


@pytest.fixture(scope="module")
def s4(tmp_path_factory: pytest.TempPathFactory) -> LabelledSource:
    folder = tmp_path_factory.mktemp("data") / "s4"
    make_seed_iv(MakeOptions(folder, subjects=2, seed=3, trials=6, trial_s=48, jobs=1))
    return LabelledSource("seed-iv", folder, "published")


@pytest.fixture(scope="module")
def m1(s4: LabelledSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of person 1, from the training trials of the first session."""
    training, _ = published_split([t for t in s4.trials(["1"]) if t.session == 1])
    model = finetune(training, QUICK)
    record = record_of(trials=training, labels=True)
    return save(tmp_path_factory.mktemp("m1"), model.config, model.network, model.normaliser, record)


def record_movements(path: Path, seed: int, *, last_s: float = 12.0) -> Path:
    """Write a recording in which left is a strong 10 Hz over C4 and right over C3, trials of 12 s."""
    rng, sfreq, trial_s, n_trials = np.random.default_rng(seed), 128, 12.0, 8
    x = rng.normal(size=(len(CH_NAMES), int(sfreq * trial_s * n_trials))) * 5e-6
    texts = ["1", "2"] * (n_trials // 2)
    for number, text in enumerate(texts):
        at = slice(int(number * trial_s * sfreq), int((number + 1) * trial_s * sfreq))
        time = np.arange(at.stop - at.start) / sfreq
        x[CH_NAMES.index("C4" if text == "1" else "C3"), at] += 4e-5 * np.sin(2 * np.pi * 10 * time)
    raw = mne.io.RawArray(x, mne.create_info(list(CH_NAMES), sfreq, "eeg"), verbose="error")
    durations = [trial_s] * (n_trials - 1) + [last_s]
    raw.set_annotations(mne.Annotations(np.arange(n_trials) * trial_s, durations, texts))
    raw.save(path, verbose="error")
    return path


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings ``one_raw.fif`` and ``two_raw.fif``, and ``model``, trained on the first."""
    place = tmp_path_factory.mktemp("moved")
    one = record_movements(place / "one_raw.fif", 1)
    record_movements(place / "two_raw.fif", 2)
    trials = LabelledSource("raw", one, events=LEFT_RIGHT).trials()
    model = finetune(trials, replace(QUICK, modalities=("eeg",)))
    record = record_of([one], trials, labels=True)
    save(place / "model", model.config, model.network, model.normaliser, record)
    return place


def on_file(place: Path, name: str, events: str = LEFT_RIGHT, model: str = "model") -> TrialTest:
    return TrialTest(place / model, LabelledSource("raw", place / name, events=events))


def test_every_session_is_scored_as_the_classifier_itself_answers(s4: LabelledSource, m1: Path) -> None:
    table = evaluate_trials(TrialTest(m1, s4))
    whole = table.rows[0]
    assert [(e.subject, e.session) for e in whole.entries] == [(s, n) for s in "12" for n in (1, 2, 3)]
    _, test = published_split([t for t in s4.trials(["2"]) if t.session == 3])
    checkpoint = load_checkpoint(m1)
    classifier = TrialClassifier(
        checkpoint.config, checkpoint.network, Normaliser.from_dict(checkpoint.normaliser_tensors)
    )
    found = classifier.predict(test)
    of_trials = per_trial(found)
    for mine, theirs in ((whole.entries[-1].window, found), (whole.entries[-1].trial, of_trials)):
        expected = score(theirs.probs, theirs.label)
        assert mine.confusion.tolist() == expected.confusion.tolist()
        assert mine.nll == pytest.approx(expected.nll, rel=1e-5)
    alone = classifier.predict(test, ["eye"])
    eyes = next(row for row in table.rows if row.name.endswith("eyes alone, EEG removed"))
    assert eyes.entries[-1].window.accuracy == score(alone.probs, alone.label).accuracy
    assert [row.mask for row in table.rows] == [0, 0, 0, 0.3, 0.5, 0.7]
    assert table.generated


def test_files_hold_all_figures_and_who_was_taken_for_what(
    s4: LabelledSource, m1: Path, tmp_path: Path
) -> None:
    table = evaluate_trials(TrialTest(m1, s4, subjects=("1",), session=2))
    paths = {path.name: path for path in write_table(table, tmp_path / "out")}
    assert set(paths) == {"table.csv", "table.json", "table.md", "table.png", "confusion.csv"}
    words = paths["table.md"].read_text()
    assert "GENERATED DATA" in words
    assert "Tested on 2 trials" in words
    assert "paper" not in words
    rows = list(csv.DictReader(paths["confusion.csv"].open()))
    n_windows = sum(int(row["n"]) for row in rows if row["unit"] == "window")
    assert n_windows == sum(row.entries[0].window.n for row in table.rows)
    of_trials = table.to_dict()["confusion"]["rows"][1]
    assert of_trials["unit"] == "trial"
    assert np.sum(of_trials["counts"]) == 2
    assert set(json.loads(paths["table.json"].read_text())) >= {"rows", "subjects", "left_out"}


def test_classes_that_never_trained_are_named(s4: LabelledSource, m1: Path) -> None:
    record = json.loads((m1 / RECORD_FILE).read_text())["trials_per_class"]
    never = [name for name, count in record.items() if count == 0]
    table = evaluate_trials(TrialTest(m1, s4, subjects=("1",)))
    assert {entry.classes_seen for entry in table.rows[0].entries} == {4 - len(never)}
    assert bool(never) == any("It was never shown" in note for note in table.notes)


def test_a_recording_that_did_not_train_the_model_is_named_right_in_either_order(moved: Path) -> None:
    table = evaluate_trials(on_file(moved, "two_raw.fif"))
    assert table.rows[0].entries[0].trial.accuracy == 1.0
    turned = evaluate_trials(on_file(moved, "two_raw.fif", "2=right,1=left"))
    assert turned.rows[0].entries[0].window.to_dict() == table.rows[0].entries[0].window.to_dict()
    wrong = evaluate_trials(on_file(moved, "two_raw.fif", "1=right,2=left"))
    assert wrong.rows[0].entries[0].trial.accuracy == 0.0


def test_a_recording_that_trained_the_model_is_refused_whatever_its_name(moved: Path, tmp_path: Path) -> None:
    copy = shutil.copy(moved / "one_raw.fif", tmp_path / "new_raw.fif")
    source = LabelledSource("raw", Path(copy), events=LEFT_RIGHT)
    with pytest.raises(InputError, match="trained on this recording with its labels"):
        evaluate_trials(TrialTest(moved / "model", source))


def test_a_recording_that_pretraining_read_makes_the_figures_transductive(moved: Path) -> None:
    shutil.copytree(moved / "model", moved / "knows")
    write_record(moved / "knows", record_of([moved / "two_raw.fif"], labels=False))
    table = evaluate_trials(on_file(moved, "two_raw.fif", model="knows"))
    assert "transductive: two_raw.fif entered pre-training whole" in table.protocol
    assert all("(transductive)" in row.model for row in table.rows)


def test_a_model_without_a_record_says_that_it_may_have_seen_everything(moved: Path) -> None:
    shutil.copytree(moved / "model", moved / "silent")
    (moved / "silent" / RECORD_FILE).unlink()
    table = evaluate_trials(on_file(moved, "two_raw.fif", model="silent"))
    assert any("does not say what trained it" in note for note in table.notes)
    assert table.to_dict()["subjects"][0]["classes_seen"] is None
    (moved / "silent" / RECORD_FILE).write_text('{"recordings": 3}')
    with pytest.raises(InputError, match="the record of the model's training, found damage"):
        evaluate_trials(on_file(moved, "two_raw.fif", model="silent"))


def test_a_trial_shorter_than_a_window_is_left_out_and_said(moved: Path) -> None:
    record_movements(moved / "short_raw.fif", 3, last_s=6.0)
    table = evaluate_trials(on_file(moved, "short_raw.fif"))
    assert table.rows[0].entries[0].trial.n == 7
    assert "expected at least 10 steps of 1 s, found 6" in table.left_out[0].why


def test_what_a_model_cannot_be_judged_on_is_said(moved: Path, s4: LabelledSource, m1: Path) -> None:
    for test, said in (
        (on_file(moved, "two_raw.fif", "1=left,2=up"), r"classes of the model \(left, right\), found up"),
        (TrialTest(moved / "model", s4), "the model reads raw features, this gives published ones"),
        (TrialTest(m1, s4, session=4), "expected session 1, 2, 3, found 4"),
        (TrialTest(m1, s4, subjects=("7",)), "expected subject 7, found 1, 2"),
    ):
        with pytest.raises(InputError, match=said):
            evaluate_trials(test)


def test_encoders_without_a_classifier_are_refused(moved: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(moved / "model")
    config = replace(checkpoint.config, is_classifier=False)
    scales = Normaliser.from_dict(checkpoint.normaliser_tensors)
    save(tmp_path / "m", config, checkpoint.network, scales, TrainingRecord())
    with pytest.raises(InputError, match="pre-trained only and names no class"):
        evaluate_trials(replace(on_file(moved, "two_raw.fif"), model=tmp_path / "m"))
