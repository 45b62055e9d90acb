"""A whole fit: from rows to profile, figures and verdict."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from refused import refused

from acquisition.errors import ErrorCode
from calibration.crossvalidation import window_log_probs
from calibration.fit import FitOptions, fit, progress_of
from calibration.profile import apply_profile
from calibration.protocol import choose_trials
from calibration.report.summary import summarise
from calibration.rows import RowTable
from calibration.tokens import Session, TrialWindows
from calibration.types import Consent, Report, SessionRecord, TrialRecord
from models.checkpoint import load_checkpoint

TRIAL_S, STRIDE_S = 12, 15
CLASSES = ("happy", "sad")
N_SHUFFLES = 6
SHORT = FitOptions(n_shuffles=1)
BASELINE = ((0.0, 15.0), (15.0, 30.0))
FIRST_S = 30
N_ELECTRODES = 8  # of the model's 62: encoding all of them takes most of the time of a fit


@pytest.fixture(scope="module")
def base(random_model):
    return load_checkpoint(random_model)


def record_of(*emotions, classes=CLASSES, **changes):
    trials = tuple(
        TrialRecord(i, name, FIRST_S + (i - 1) * STRIDE_S, FIRST_S + (i - 1) * STRIDE_S + TRIAL_S)
        for i, name in enumerate(emotions, start=1)
    )
    consent = Consent(("eeg", "eye"))
    return SessionRecord("S01", 1, classes, 0, consent, trials=trials, baseline=BASELINE, **changes)


def rows_of(record, base, seed=0, difference=1.0):
    """Return noise in which one class's EEG and eyes differ from the other's; no face, no voice."""
    rng = np.random.default_rng(seed)
    config = base.config
    n, n_channels = int(record.trials[-1].end) + 2, len(config.ch_names)
    face = config.network.face.width
    table = RowTable(
        t_end=np.arange(1.0, n + 1),
        run=np.ones(n, dtype=np.int32),
        positions=np.arange(N_ELECTRODES),
        eeg=rng.normal(1.5, 0.5, (n, n_channels, 5)).astype(np.float32),
        eeg_usable=np.ones((n, n_channels), dtype=bool),
        eeg_there=np.ones(n, dtype=bool),
        eye=rng.uniform(0.3, 0.5, (n, config.network.n_eye_features)).astype(np.float32),
        eye_there=np.ones(n, dtype=bool),
        face=np.zeros((n, 2, face), dtype=np.float32),
        face_there=np.zeros((n, 2), dtype=bool),
        face_found=np.zeros((n, 2), dtype=bool),
        voice=np.zeros((n, 0, config.network.voice.width), dtype=np.float32),
        voice_mask=np.zeros((n, 0), dtype=bool),
        voice_times=np.zeros(0, dtype=np.float32),
        voice_clip_s=np.zeros(n),
    )
    for trial in record.trials:
        if trial.emotion == "happy":
            at = (table.t_end > trial.begin) & (table.t_end <= trial.end)
            table.eeg[at] += difference
            table.eye[at] += 0.3 * difference
    return table


@pytest.fixture(scope="module")
def session(base):
    record = record_of("happy", "sad", "happy", "sad")
    return record, rows_of(record, base)


@pytest.fixture(scope="module")
def fitted(session, base):
    record, rows = session
    seen = []
    found = fit(
        rows,
        record,
        base,
        options=FitOptions(n_shuffles=N_SHUFFLES, base_name="random"),
        progress=lambda stage, share: seen.append((stage, share)),
    )
    return found, seen


def test_the_same_rows_twice_give_the_same_tensors(fitted, session, base):
    record, rows = session
    again = fit(rows, record, base, options=FitOptions(n_shuffles=N_SHUFFLES, base_name="random"))
    one, two = fitted[0].profile, again.profile
    assert one.temperature == two.temperature
    assert one.summary == two.summary
    first, second = one.discriminant.state()[0], two.discriminant.state()[0]
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(np.array_equal(one.level[m], two.level[m], equal_nan=True) for m in one.level)
    assert fitted[0].figures.shuffled == again.figures.shuffled


def test_progress_comes_in_stages_and_ends_at_one(fitted):
    shares = [share for _, share in fitted[1]]
    assert shares == sorted(shares)
    assert shares[0] == 0.0
    assert shares[-1] == 1.0
    assert len({stage for stage, _ in fitted[1]}) > 3


def test_figures_hold_every_trial_every_source_and_every_modality(fitted, session):
    figures, record = fitted[0].figures, session[0]
    assert [trial.number for trial in figures.trials] == [1, 2, 3, 4]
    for trial, shown in zip(figures.trials, record.trials, strict=True):
        assert figures.classes[trial.label] == shown.emotion
        assert trial.probs.sum() == pytest.approx(1)
        np.testing.assert_allclose(trial.course.sum(axis=1), 1)
        assert len(trial.course) == len(trial.times)
        assert trial.times[-1] == TRIAL_S
        assert (np.diff(trial.times) > 0).all()
    assert [source.name for source in figures.sources] == ["own"]  # this base model lends no labels
    assert [score.n_trials for score in figures.curve] == [4] * 4  # with 0 to 3 labels
    assert figures.curve[-1].n_correct == figures.sources[-1].score.n_correct
    assert set(figures.alone) == set(figures.removed) == {"eeg", "eye"}
    assert figures.base_model is not None
    assert figures.base_model.n_trials == 4
    assert len(figures.shuffled) == N_SHUFFLES


def test_profile_and_report_count_the_trials_never_reached_alike(session, base):
    record, rows = session
    record = replace(record, order=tuple(trial.emotion for trial in record.trials) + CLASSES)
    fitted = fit(rows, record, base, options=SHORT)
    assert "2 more were excluded" in fitted.verdict.words
    assert summarise(record, fitted.figures, ()).verdict.words == fitted.verdict.words


def test_the_profile_runs_on_its_base_model_and_names_the_trials(fitted, session, base):
    record, rows = session
    personal = apply_profile(fitted[0].profile, base)
    assert personal.config.labels == CLASSES
    assert personal.config.modalities == ("eeg", "eye")
    windows = TrialWindows(rows, record.trials, personal.config)
    predicted = window_log_probs(personal, windows).argmax(axis=1)
    happy = np.isin(windows.trial, (1, 3))
    assert (predicted[happy] == 0).mean() > 0.9
    assert (predicted[~happy] == 1).mean() > 0.9


def test_classes_unknown_to_the_base_model_are_fitted_from_nothing(session, base):
    record, rows = session
    names = {"happy": "calm", "sad": "tense"}
    trials = tuple(replace(trial, emotion=names[trial.emotion]) for trial in record.trials)
    renamed = replace(record, trials=trials, classes=("calm", "tense"))
    found = fit(rows, renamed, base, options=SHORT)
    assert found.figures.base_model is None
    assert apply_profile(found.profile, base).config.labels == ("calm", "tense")
    assert found.verdict.n_correct == 4


def test_a_modality_without_consent_is_not_used(session, base):
    record, rows = session
    only = replace(record, consent=Consent(("eye",)))
    found = fit(rows, only, base, options=SHORT)
    assert found.profile.summary.modalities == ("eye",)
    assert found.profile.summary.ch_names == ()
    assert set(found.figures.alone) == {"eye"}
    assert not found.figures.removed
    noise = replace(rows, eeg=np.random.default_rng(1).normal(size=rows.eeg.shape).astype(np.float32))
    other = fit(noise, only, base, options=SHORT)
    one, two = found.profile.discriminant.state()[0], other.profile.discriminant.state()[0]
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("n_electrodes", [0, 1])
def test_a_session_without_eeg_or_with_one_electrode_is_fitted(session, base, n_electrodes):
    record, rows = session
    few = replace(
        rows, positions=rows.positions[:n_electrodes], eeg_there=rows.eeg_there & (n_electrodes > 0)
    )
    used = ("eeg", "eye") if n_electrodes else ("eye",)
    found = fit(few, replace(record, consent=Consent(used)), base, options=SHORT)
    assert found.profile.summary.modalities == used
    assert len(found.profile.summary.ch_names) == n_electrodes


def test_nothing_agreed_to_is_refused(session, base):
    record, rows = session
    assert refused(lambda: fit(rows, replace(record, consent=Consent(())), base)).code is ErrorCode.DATA


def test_a_trial_without_rows_is_refused_by_its_number(session, base):
    record, rows = session
    few = rows.select(rows.t_end < record.trials[3].begin)
    assert refused(lambda: fit(few, record, base)).facts == {"trial": 4}


def test_the_level_of_a_fold_knows_nothing_of_its_trial(session, base):
    record, rows = session
    at = (rows.t_end > record.trials[2].begin) & (rows.t_end <= record.trials[2].end)
    changed = replace(rows, eeg=rows.eeg.copy(), eye=rows.eye.copy())
    changed.eeg[at] += 50.0
    changed.eye[at] += 50.0
    one, two = (Session(table, record, record.trials, base, ("eeg", "eye")) for table in (rows, changed))
    kept, there = one.level((3,)), two.level((3,))
    assert all(np.array_equal(kept[m], there[m], equal_nan=True) for m in ("eeg", "eye"))
    assert not np.array_equal(one.level()["eeg"], two.level()["eeg"], equal_nan=True)


def test_the_level_is_the_mean_of_trials_and_open_eyes(session, base):
    """Trials weigh alike; closed eyes and a bad electrode do not count."""
    record, rows = session
    known = replace(rows, eeg=np.zeros_like(rows.eeg), eeg_usable=rows.eeg_usable.copy())
    known.eeg_usable[:, 7] = False
    for value, (begin, end) in enumerate(
        [(t.begin, t.end) for t in record.trials] + [BASELINE[0], BASELINE[1]], start=1
    ):
        known.eeg[(known.t_end > begin) & (known.t_end <= end)] = value if begin != BASELINE[1][0] else 999.0
    session = Session(known, record, record.trials, base, ("eeg",))
    level, without = (session.level(numbers)["eeg"].reshape(62, 5) for numbers in ((), (1,)))
    np.testing.assert_allclose(level[0], 3.0)  # of 1 to 4 and 5
    np.testing.assert_allclose(without[0], 3.5)
    assert np.isnan(level[7]).all()


# --- which trials ---


def test_a_class_with_a_single_trial_is_left_out_in_words():
    record = record_of("happy", "sad", "fear", "happy", "sad", classes=("happy", "sad", "fear"))
    chosen = choose_trials(record)
    assert chosen.classes == CLASSES
    assert list(chosen.label.items()) == [(1, 0), (2, 1), (4, 0), (5, 1)]
    assert chosen.excluded == {3: "the only trial of fear"}
    assert "fear is excluded" in chosen.notes[0]


def test_a_class_without_a_trial_is_refused():
    record = record_of("happy", "sad", "happy", "sad", classes=(*CLASSES, "fear"))
    assert refused(lambda: choose_trials(record)).facts == {"empty": "fear"}
    three = record_of("happy", "sad", "happy")
    fast = replace(three, is_simulated=True, settings={"time_scale": 20.0})
    error = refused(lambda: choose_trials(three, excluded={2: "flat"}))
    of_fast = refused(lambda: choose_trials(fast, excluded={2: "flat"}))
    assert error.facts == of_fast.facts == {"empty": "sad", "unusable": "2"}
    assert "trial 2 (sad): flat" in error.what
    assert ("--time-scale 20" in error.remedy, "--time-scale 20" in of_fast.remedy) == (False, True)


def test_one_class_alone_is_refused():
    assert refused(lambda: choose_trials(record_of("happy", "sad", "happy"))).facts == {"n_classes": 1}


def test_trials_left_out_for_their_signals_are_counted_with_the_reason():
    record = record_of("happy", "sad", "happy", "sad", "sad")
    chosen = choose_trials(record, excluded={2: "EEG: flat"})
    assert [trial.number for trial in chosen.trials] == [1, 3, 4, 5]
    assert chosen.excluded == {2: "EEG: flat"}


def test_labels_may_be_what_the_person_reported():
    record = record_of("happy", "sad", "happy", "sad", "happy", "sad")
    reports = ["sad", "happy", "sad", "happy", None, "bored"]
    trials = tuple(
        replace(trial, report=None if name is None else Report(name, 5, 5))
        for trial, name in zip(record.trials, reports, strict=True)
    )
    chosen = choose_trials(replace(record, trials=trials), labels="reported")
    assert list(chosen.label.values()) == [1, 0, 1, 0]
    assert chosen.excluded == {5: "no answer", 6: "reported as bored, which is not a class in this session"}


# --- while the session runs ---


def test_progress_begins_with_the_fourth_trial(session, base):
    record, rows = session
    assert progress_of(rows, replace(record, trials=record.trials[:3]), base) is None
    found = progress_of(rows, record, base)
    assert found.n_trials == 4
    assert found.chance == 0.5
    assert 0 <= found.interval[0] < found.interval[1] <= 1
    if found.n_correct < 4:
        assert found.weakest in CLASSES
        assert 1 <= found.worth_repeating <= 4
    else:
        assert found.weakest == ""
        assert found.worth_repeating == 0


def test_a_trial_of_poor_quality_is_worth_repeating(base):
    record = record_of("happy", "sad", "happy", "sad", "happy")
    rows = rows_of(record, base)
    found = progress_of(rows, record, base, excluded={2: "EEG: flat"})
    assert found.n_trials == 4
    assert found.worth_repeating == 2
