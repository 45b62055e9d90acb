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

from acquisition.errors import ErrorCode, InputError
from models.checkpoint import load_checkpoint, save_checkpoint
from models.config import ModelConfig, preset
from models.datasets.splits import published_split
from models.network import FusionNetwork
from models.normalise import Normaliser
from models.training.evaluate_trials import TrialTest, conditions, held_modalities
from models.training.evaluate_trials import evaluate_trials as evaluate_with_progress
from models.training.finetune import finetune
from models.training.finetune_config import FinetuneOptions
from models.training.finetune_tokens import TrialClassifier
from models.training.provenance import (
    RECORD_FILE,
    SeenSession,
    TrainingRecord,
    read_record,
    record_of_labels,
    record_of_recordings,
    write_record,
)
from models.training.scores import per_trial, score, wilson_interval
from models.training.sources import Source
from models.training.tables import Table, write_table
from models.training.trial_tensors import TrialTensors, cut_for
from tests.studies.data_sets.options import MakeOptions
from tests.studies.data_sets.seed import make_seed_iv

QUICK = FinetuneOptions(few_epochs=2, stop_early=False, dcca=False, n_layers=1, n_heads=1)
CH_NAMES = ("F3", "F4", "C3", "C4", "O1", "O2")
LEFT_RIGHT = "1=left,2=right"


pytestmark = pytest.mark.usefixtures("one_thread")


def evaluate_trials(test: TrialTest) -> Table:
    return evaluate_with_progress(test, lambda stage, share, loss, words: None)


def save(
    folder: Path, config: ModelConfig, network: FusionNetwork, normaliser: Normaliser, record: TrainingRecord
) -> Path:
    save_checkpoint(folder, config, network, normaliser.to_dict(), "# Made by a test\n")
    write_record(folder, record)
    return folder


@pytest.fixture(scope="module")
def s4(tmp_path_factory: pytest.TempPathFactory) -> Source:
    folder = tmp_path_factory.mktemp("data") / "s4"
    make_seed_iv(MakeOptions(folder, subjects=2, seed=3, trials=6, trial_s=44, jobs=1))
    return Source("seed-iv", folder, "published")


@pytest.fixture(scope="module")
def m1(s4: Source, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of person 1, from the training trials of the first session."""
    training, _ = published_split([t for t in s4.trials(["1"]) if t.session == 1])
    model = finetune(training, QUICK)
    record = record_of_labels(training, generated=True)
    return save(tmp_path_factory.mktemp("m1"), model.config, model.network, model.normaliser, record)


@pytest.fixture(scope="module")
def every_session(s4: Source, m1: Path) -> Table:
    """The classifier of person 1 on the test trials of all sessions of both people."""
    return evaluate_trials(TrialTest(m1, s4))


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
    trials = Source("raw", one, events=LEFT_RIGHT).trials()
    model = finetune(trials, replace(QUICK, modalities=("eeg",)))
    record = record_of_recordings([one], labels=True).then(record_of_labels(trials, generated=False))
    save(place / "model", model.config, model.network, model.normaliser, record)
    return place


def on_file(place: Path, name: str, events: str = LEFT_RIGHT) -> TrialTest:
    return TrialTest(place / "model", Source("raw", place / name, events=events))


def test_every_session_is_scored_as_the_classifier_itself_answers(
    s4: Source, m1: Path, every_session: Table
) -> None:
    table = every_session
    _, test = published_split([t for t in s4.trials(["2"]) if t.session == 3])
    checkpoint = load_checkpoint(m1)
    classifier = TrialClassifier(
        checkpoint.config, checkpoint.network, Normaliser.from_dict(checkpoint.normaliser_tensors)
    )
    found = classifier.predict(test)
    strangers = next(row for row in table.rows if row.name.endswith("EEG and eyes; unknown subjects"))
    for mine, theirs in (
        (strangers.entries[-1].window, found),
        (strangers.entries[-1].trial, per_trial(found)),
    ):
        expected = score(theirs.probs, theirs.label)
        assert mine.confusion.tolist() == expected.confusion.tolist()
        assert mine.nll == pytest.approx(expected.nll, rel=1e-5)
    alone = classifier.predict(test, ["eye"])
    eyes = next(row for row in table.rows if row.name.endswith("eyes alone, EEG removed; unknown subjects"))
    assert eyes.entries[-1].window.accuracy == score(alone.probs, alone.label).accuracy
    assert table.generated


def test_people_who_trained_it_and_strangers_stand_in_rows_of_their_own(every_session: Table) -> None:
    rows = every_session.rows
    whole = {row.model.partition("; ")[2]: row for row in rows if row.mask == 0 and "alone" not in row.model}
    assert {known: [(e.subject, e.session) for e in row.entries] for known, row in whole.items()} == {
        "sessions that trained it": [("1", 1)],
        "same subjects, other sessions": [("1", 2), ("1", 3)],
        "unknown subjects": [("2", 1), ("2", 2), ("2", 3)],
    }
    assert [row.mask for row in rows] == 3 * [0, 0, 0, 0.3, 0.5, 0.7]


def test_what_the_data_do_not_hold_has_no_row(moved: Path, s4: Source, tmp_path: Path) -> None:
    _, test = published_split([t for t in s4.trials(["1"]) if t.session == 1])
    blind = [replace(trial, eye=None) for trial in test]
    assert [one.words for one in conditions(held_modalities(("eeg", "eye"), blind))] == 4 * ["EEG"]
    assert held_modalities(("eeg",), test) == ["eeg"]


def test_channels_that_the_data_lack_are_counted(moved: Path, tmp_path: Path) -> None:
    two = mne.io.read_raw(moved / "two_raw.fif", verbose="error").pick(["F3", "C3", "C4"])
    two.save(tmp_path / "three_raw.fif", verbose="error")
    source = Source("raw", tmp_path / "three_raw.fif", events=LEFT_RIGHT)
    notes = evaluate_trials(TrialTest(moved / "model", source)).notes
    n_known = len(load_checkpoint(moved / "model").config.ch_names)
    assert f"The data have 3 of the {n_known} EEG channels of the model." in notes


def test_people_of_a_real_set_are_not_those_of_a_generated_one(s4: Source, m1: Path) -> None:
    trial = s4.trials(["1"])[0]
    assert SeenSession.of(trial, generated=True) != SeenSession.of(trial, generated=False)
    known = read_record(m1)
    assert known is not None
    assert known.sessions == (SeenSession("generated seed-iv", "1", 1),)


def test_hidden_channels_are_the_same_in_all_windows(s4: Source, m1: Path) -> None:
    config, trials = load_checkpoint(m1).config, s4.trials(["2"])[:2]
    scales = Normaliser.from_dict(load_checkpoint(m1).normaliser_tensors)
    windows = cut_for(config, trials)
    for same in (True, False):
        tensors = TrialTensors(windows, trials[0].ch_names, config, scales, mask=0.5, same_channels=same)
        masks = tensors.batch(np.arange(len(tensors))).eeg_channel_mask
        assert masks.sum(dim=1).tolist() == [31] * len(tensors)
        assert bool((masks == masks[0]).all()) == same


def test_figures_of_a_quick_model_are_marked(moved: Path, tmp_path: Path) -> None:
    model = copied(moved, tmp_path, TrainingRecord(quick=True))
    assert "quick run" in evaluate_trials(replace(on_file(moved, "two_raw.fif"), model=model)).marks()
    assert "quick run" not in evaluate_trials(on_file(moved, "two_raw.fif")).marks()


def test_chance_and_interval_are_those_of_the_tested_trials(moved: Path) -> None:
    found = evaluate_trials(on_file(moved, "two_raw.fif")).to_dict()["trials"][0]
    assert (found["accuracy"], found["chance"], found["n_trials"]) == (1.0, 0.5, 8)
    assert (found["low"], found["high"]) == pytest.approx(wilson_interval(1.0, 8))


def test_files_hold_all_figures_and_who_was_taken_for_what(s4: Source, m1: Path, tmp_path: Path) -> None:
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


def test_classes_that_never_trained_are_named(s4: Source, tmp_path: Path) -> None:
    training, _ = published_split([t for t in s4.trials(["1"]) if t.session == 1])
    names = training[0].label_names
    training = [trial for trial in training if trial.label != training[0].label]
    model = finetune(training, QUICK)
    record = record_of_labels(training, generated=True)
    save(tmp_path / "m", model.config, model.network, model.normaliser, record)
    table = evaluate_trials(TrialTest(tmp_path / "m", s4, subjects=("1",), session=1))
    never = {name for name, count in record.trials_per_class.items() if count == 0}
    assert never
    assert {entry.classes_seen for entry in table.rows[0].entries} == {len(names) - len(never)}
    said = next(note for note in table.notes if "It was never trained on" in note)
    assert all(name in said for name in never)


def test_a_recording_that_did_not_train_the_model_is_named_right_in_either_order(moved: Path) -> None:
    table = evaluate_trials(on_file(moved, "two_raw.fif"))
    assert table.rows[0].entries[0].trial.accuracy == 1.0
    assert any("trimmed or converted" in note for note in table.notes)
    turned = evaluate_trials(on_file(moved, "two_raw.fif", "2=right,1=left"))
    assert turned.rows[0].entries[0].window.to_dict() == table.rows[0].entries[0].window.to_dict()
    wrong = evaluate_trials(on_file(moved, "two_raw.fif", "1=right,2=left"))
    assert wrong.rows[0].entries[0].trial.accuracy == 0.0


def test_a_recording_that_trained_the_model_is_refused_whatever_its_name(moved: Path, tmp_path: Path) -> None:
    copy = shutil.copy(moved / "one_raw.fif", tmp_path / "new_raw.fif")
    source = Source("raw", Path(copy), events=LEFT_RIGHT)
    with pytest.raises(InputError) as error:
        evaluate_trials(TrialTest(moved / "model", source))
    assert error.value.code is ErrorCode.DATA


def copied(moved: Path, place: Path, record: TrainingRecord | None) -> Path:
    folder = Path(shutil.copytree(moved / "model", place / "copied"))
    (folder / RECORD_FILE).unlink()
    if record is not None:
        write_record(folder, record)
    return folder


def test_a_recording_that_pretraining_read_makes_the_figures_transductive(
    moved: Path, tmp_path: Path
) -> None:
    read = record_of_recordings([moved / "two_raw.fif"], labels=False)
    test = replace(on_file(moved, "two_raw.fif"), model=copied(moved, tmp_path, read))
    table = evaluate_trials(test)
    assert "transductive: two_raw.fif was used in full" in table.protocol
    assert all("(transductive)" in row.model for row in table.rows)


def test_a_recording_that_pretraining_did_not_read_is_not_called_transductive(
    moved: Path, tmp_path: Path
) -> None:
    checkpoint = load_checkpoint(moved / "model")
    config = replace(checkpoint.config, transductive=True)  # for another recording's sake
    scales = Normaliser.from_dict(checkpoint.normaliser_tensors)
    read = record_of_recordings([moved / "one_raw.fif"], labels=False)
    model = save(tmp_path / "m", config, checkpoint.network, scales, read)
    assert "transductive" not in evaluate_trials(replace(on_file(moved, "two_raw.fif"), model=model)).protocol


@pytest.mark.parametrize("record", [None, TrainingRecord(complete=False)])
def test_a_model_without_a_whole_record_says_that_it_may_have_seen_everything(
    moved: Path, tmp_path: Path, record: TrainingRecord | None
) -> None:
    model = copied(moved, tmp_path, record)
    table = evaluate_trials(replace(on_file(moved, "two_raw.fif"), model=model))
    assert any("training record is incomplete" in note for note in table.notes)
    assert table.to_dict()["subjects"][0]["classes_seen"] is None
    (model / RECORD_FILE).write_text('{"recordings": 3}')
    with pytest.raises(InputError) as error:
        evaluate_trials(replace(on_file(moved, "two_raw.fif"), model=model))
    assert error.value.code is ErrorCode.MODEL


def test_a_model_saved_over_another_does_not_inherit_its_record(moved: Path, tmp_path: Path) -> None:
    folder = copied(moved, tmp_path, record_of_recordings([moved / "one_raw.fif"], labels=True))
    checkpoint = load_checkpoint(folder)
    save_checkpoint(folder, checkpoint.config, checkpoint.network, checkpoint.normaliser_tensors, "# New\n")
    assert read_record(folder) is None


def test_a_trial_shorter_than_a_window_is_left_out_and_said(moved: Path, tmp_path: Path) -> None:
    short = record_movements(tmp_path / "short_raw.fif", 3, last_s=6.0)
    table = evaluate_trials(TrialTest(moved / "model", Source("raw", short, events=LEFT_RIGHT)))
    assert table.rows[0].entries[0].trial.n == 7
    assert "expected at least 10 steps of 1 s, found 6" in table.excluded[0].why


def test_trials_in_which_no_channel_works_are_left_out_and_said(moved: Path, tmp_path: Path) -> None:
    raw = mne.io.read_raw(moved / "two_raw.fif", preload=True, verbose="error")
    raw.apply_function(lambda x: np.where(np.arange(len(x)) < 2 * 12 * 128, 0.0, x))
    half = tmp_path / "half_raw.fif"
    raw.save(half, verbose="error")
    table = evaluate_trials(TrialTest(moved / "model", Source("raw", half, events=LEFT_RIGHT)))
    assert table.rows[0].entries[0].trial.n == 6
    assert [entry.why[:21] for entry in table.excluded] == ["half_raw.fif, trial 1", "half_raw.fif, trial 2"]
    raw.apply_function(lambda x: np.full_like(x, np.nan))
    raw.save(half, overwrite=True, verbose="error")
    with pytest.raises(InputError) as error:
        evaluate_trials(TrialTest(moved / "model", Source("raw", half, events=LEFT_RIGHT)))
    assert error.value.code is ErrorCode.DATA


def test_what_a_model_cannot_be_judged_on_is_said(moved: Path, s4: Source, m1: Path) -> None:
    for test, code in (
        (on_file(moved, "two_raw.fif", "1=left,2=up"), ErrorCode.DATA),
        (TrialTest(moved / "model", s4), ErrorCode.MODEL),
        (TrialTest(m1, s4, session=4), ErrorCode.SUBJECT),
        (TrialTest(m1, s4, subjects=("7",)), ErrorCode.SUBJECT),
    ):
        with pytest.raises(InputError) as error:
            evaluate_trials(test)
        assert error.value.code is code


def test_a_model_of_raw_eeg_is_refused(moved: Path, tmp_path: Path) -> None:
    config = preset("small", labels=("left", "right"), ch_names=CH_NAMES, eeg_encoder="eegformer")
    save(tmp_path / "m", config, FusionNetwork(config), Normaliser(), TrainingRecord())
    with pytest.raises(InputError) as error:
        evaluate_trials(replace(on_file(moved, "two_raw.fif"), model=tmp_path / "m"))
    assert error.value.code is ErrorCode.MODEL


def test_encoders_without_a_classifier_are_refused(moved: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(moved / "model")
    config = replace(checkpoint.config, is_classifier=False)
    scales = Normaliser.from_dict(checkpoint.normaliser_tensors)
    save(tmp_path / "m", config, checkpoint.network, scales, TrainingRecord())
    with pytest.raises(InputError) as error:
        evaluate_trials(replace(on_file(moved, "two_raw.fif"), model=tmp_path / "m"))
    assert error.value.code is ErrorCode.MODEL
