"""SEED-IV and SEED-V as published: names, keys, order, shapes, and one line for what is broken."""

from __future__ import annotations

import pickle
import re
import shutil
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from refused import refused
from scipy.io import loadmat, savemat, whosmat

from acquisition.errors import ErrorCode
from acquisition.montage import SEED_CH_NAMES
from models.datasets.files import read_arrays
from models.datasets.seed import SEED_IV, SEED_V, SeedSet, load_seed


def copied(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / folder.name))


def session_file(folder: Path, part: str, subject: int = 1, session: int = 1) -> Path:
    return next((folder / part / str(session)).glob(f"{subject}_*.mat"))


def test_seed_iv_folder_has_the_published_keys_in_no_order(seed_iv_folder: Path):
    shapes = {name: shape for name, shape, _ in whosmat(session_file(seed_iv_folder, "eeg_feature_smooth"))}
    keys = [
        f"{kind}{k}" for kind in ("de_LDS", "de_movingAve", "psd_LDS", "psd_movingAve") for k in range(1, 25)
    ]
    assert set(shapes) == set(keys)
    assert set(shapes.values()) == {(62, 10, 5)}
    assert list(shapes).index("de_LDS10") < list(shapes).index("de_LDS2")
    eye = whosmat(session_file(seed_iv_folder, "eye_feature_smooth"))
    assert {shape for _, shape, _ in eye} == {(31, 10)}
    assert {kind for _, _, kind in eye} == {"double"}
    assert (seed_iv_folder / "README.md").read_text().startswith("GENERATED")


def test_seed_iv_trials_are_counted_as_numbers(seed_iv_folder: Path):
    trials = list(load_seed(SEED_IV, seed_iv_folder, subjects=[1]))
    assert [(t.session, t.trial) for t in trials] == [(s, k) for s in (1, 2, 3) for k in range(1, 25)]
    assert tuple(t.label for t in trials[:24]) == SEED_IV.trial_labels[1]
    first = trials[9]
    content = loadmat(session_file(seed_iv_folder, "eeg_feature_smooth"))
    np.testing.assert_allclose(first.eeg, content["de_LDS10"].transpose(1, 0, 2), rtol=1e-6)
    assert (first.eeg.shape, first.eye.shape, first.step_s, first.origin) == (
        (10, 62, 5),
        (10, 31),
        4.0,
        "published",
    )


def test_eye_rows_of_the_whole_clip_are_constant(seed_iv_folder: Path):
    trial = next(load_seed(SEED_IV, seed_iv_folder))
    varies = np.ptp(trial.eye, axis=0) > 0  # an SD would have the rounding of its mean
    assert not varies[22:31].any()
    assert varies[:22].all()


def test_raw_seed_iv_gives_entropy_every_second_near_the_published(raw_seed_iv_folder: Path):
    path = session_file(raw_seed_iv_folder, "eeg_raw_data")
    names = {name for name, _, _ in whosmat(path)}
    assert all(re.fullmatch(r"[a-z]+_eeg\d+", name) for name in names)
    assert {shape for _, shape, _ in whosmat(path)} == {(62, 3200)}
    raw = list(load_seed(SEED_IV, raw_seed_iv_folder, "raw"))
    published = list(load_seed(SEED_IV, raw_seed_iv_folder))
    assert (raw[0].eeg.shape, raw[0].eye, raw[0].step_s, raw[0].origin) == ((16, 62, 5), None, 1.0, "raw")
    assert [(t.session, t.trial, t.label) for t in raw] == [(t.session, t.trial, t.label) for t in published]
    assert all(np.isfinite(trial.eeg).all() for trial in raw)
    apart = np.mean([a.eeg.mean(0) - b.eeg.mean(0) for a, b in zip(raw, published, strict=True)], axis=(0, 1))
    assert np.abs(apart).max() < 0.4  # nats; neighbouring bands leak, and a few bins say less than many


def test_seed_v_entries_become_sessions_and_trials(seed_v_folder: Path):
    trials = list(load_seed(SEED_V, seed_v_folder, subjects=["2"]))
    assert [(t.session, t.trial) for t in trials] == [(s, k) for s in (1, 2, 3) for k in range(1, 16)]
    assert tuple(t.label for t in trials[15:30]) == SEED_V.trial_labels[2]
    with np.load(seed_v_folder / "EEG_DE_features" / "2_123.npz") as archive:
        data = pickle.loads(archive["data"].tobytes())
    np.testing.assert_allclose(trials[17].eeg[:, 3, 2], data[17][:, 3 * 5 + 2], rtol=1e-6)
    assert trials[0].eye.shape == (10, 33)


def test_a_wrong_folder_says_what_it_should_hold(tmp_path: Path, seed_v_folder: Path):
    error = refused(lambda: next(load_seed(SEED_IV, seed_v_folder)))
    assert (error.code, error.where) == (ErrorCode.FILE, str(seed_v_folder))
    assert "eeg_feature_smooth/1" in error.what
    assert "EEG_DE_features" in error.what
    assert refused(lambda: next(load_seed(SEED_V, tmp_path / "nowhere"))).code is ErrorCode.FILE
    error = refused(lambda: next(load_seed(SEED_V, seed_v_folder, subjects=[7])))
    assert (error.code, error.facts) == (ErrorCode.SUBJECT, {"subject": "7"})


def test_a_truncated_file_leaves_its_session_out_and_the_others_go_on(seed_iv_folder: Path, tmp_path: Path):
    folder = copied(seed_iv_folder, tmp_path)
    path = session_file(folder, "eeg_feature_smooth", subject=1, session=2)
    path.write_bytes(path.read_bytes()[:100_000])
    session_file(folder, "eye_feature_smooth", subject=2, session=3).unlink()
    excluded = []
    trials = list(load_seed(SEED_IV, folder, excluded=excluded))
    assert {(t.subject, t.session) for t in trials} == {("1", 1), ("1", 3), ("2", 1), ("2", 2)}
    assert [entry.subject for entry in excluded] == ["1", "2"]
    assert path.name in excluded[0].why
    assert "eye_feature_smooth" in excluded[1].why
    assert all("\n" not in entry.why for entry in excluded)
    error = refused(lambda: list(load_seed(SEED_IV, folder)))
    assert (error.code, error.where) == (ErrorCode.FILE, str(path))


@pytest.mark.parametrize("n_bytes", [0, 40, 200, 5000])
def test_a_file_cut_anywhere_is_one_line(seed_iv_folder: Path, tmp_path: Path, n_bytes: int):
    folder = copied(seed_iv_folder, tmp_path)
    path = session_file(folder, "eye_feature_smooth")
    path.write_bytes(path.read_bytes()[:n_bytes])
    error = refused(lambda: next(load_seed(SEED_IV, folder)))
    assert (error.code, error.where) == (ErrorCode.FILE, str(path))
    assert "\n" not in str(error)


def changed(path: Path, **arrays) -> None:
    content = {key: value for key, value in loadmat(path).items() if not key.startswith("__")}
    savemat(path, content | arrays)


def test_wrong_shapes_and_missing_trials_are_named(seed_iv_folder: Path, tmp_path: Path):
    folder = copied(seed_iv_folder, tmp_path)
    path = session_file(folder, "eeg_feature_smooth")
    changed(path, de_LDS3=np.zeros((61, 10, 5)))
    error = refused(lambda: next(load_seed(SEED_IV, folder)))
    assert error.what == "de_LDS3: expected shape (62, any, 5), found (61, 10, 5)"
    changed(path, de_LDS3="words")
    assert refused(lambda: next(load_seed(SEED_IV, folder))).what.startswith("de_LDS3: ")
    content = {k: v for k, v in loadmat(path).items() if not k.startswith("__") and k != "de_LDS3"}
    savemat(path, content)
    error = refused(lambda: next(load_seed(SEED_IV, folder)))
    assert (error.code, error.where) == (ErrorCode.FILE, str(path))


def test_constant_and_nan_channels_are_masked_and_noted(seed_iv_folder: Path, tmp_path: Path):
    folder = copied(seed_iv_folder, tmp_path)
    path = session_file(folder, "eeg_feature_smooth")
    eeg = loadmat(path)["de_LDS1"].copy()
    eeg[SEED_CH_NAMES.index("CZ")] = 2.5
    eeg[SEED_CH_NAMES.index("T7")] = np.nan
    changed(path, de_LDS1=eeg)
    excluded = []
    trial = next(load_seed(SEED_IV, folder, excluded=excluded))
    masked = {SEED_CH_NAMES[c] for c in np.flatnonzero(np.isnan(trial.eeg).all(axis=(0, 2)))}
    assert masked == {"CZ", "T7"}
    assert excluded[0].why == f"{path}, de_LDS1: channels constant or not a number are masked: T7, CZ"
    changed(path, de_LDS1=np.full((62, 10, 5), 1.0))
    error = refused(lambda: next(load_seed(SEED_IV, folder)))
    assert (error.code, error.where) == (ErrorCode.FILE, f"{path}, de_LDS1")


def test_values_that_are_not_finite_are_masked_and_noted(seed_iv_folder: Path, tmp_path: Path):
    folder = copied(seed_iv_folder, tmp_path)
    eeg_path, eye_path = (session_file(folder, f"{part}_feature_smooth") for part in ("eeg", "eye"))
    eeg, eye = loadmat(eeg_path)["de_LDS1"].copy(), loadmat(eye_path)["eye_1"].copy()
    eeg[SEED_CH_NAMES.index("CZ"), 2, 1] = -np.inf
    eeg[SEED_CH_NAMES.index("T7"), 3, 4] = 1e200  # more than float32 holds
    eye[4, :2], eye[6, 7] = (np.inf, -np.inf), np.nan
    changed(eeg_path, de_LDS1=eeg)
    changed(eye_path, eye_1=eye)
    excluded = []
    trial = next(load_seed(SEED_IV, folder, excluded=excluded))
    assert not np.isinf(trial.eeg).any()
    assert np.isnan(trial.eeg).all(axis=2).sum() == np.isnan(trial.eeg).any(axis=2).sum() == 2
    assert {tuple(at) for at in np.argwhere(np.isnan(trial.eye))} == {(0, 4), (1, 4), (7, 6)}
    assert trial.eye.dtype == np.float32
    assert excluded[0].why.endswith("de_LDS1: 2 of 10 steps are masked, not finite in channels T7, CZ")
    assert excluded[1].why.endswith("session 1: 3 of 240 steps are masked, not finite in eye features 5, 7")


def test_eye_features_that_never_change_in_a_session_are_masked_and_noted(
    seed_iv_folder: Path, tmp_path: Path
):
    folder = copied(seed_iv_folder, tmp_path)
    path = session_file(folder, "eye_feature_smooth")
    content = {key: rows.copy() for key, rows in loadmat(path).items() if key.startswith("eye_")}
    for rows in content.values():
        rows[3], rows[8] = 0.0, np.nan
    changed(path, **content)
    excluded = []
    trials = list(load_seed(SEED_IV, folder, subjects=[1], excluded=excluded))
    first = [trial for trial in trials if trial.session == 1]
    assert all(set(np.flatnonzero(np.isnan(t.eye).all(axis=0))) == {3, 8} for t in first)
    assert all(np.isfinite(trial.eye).all() for trial in trials if trial.session > 1)
    assert [entry.why.rpartition(": ")[2] for entry in excluded] == ["4, 9"]


def test_seed_v_masks_eye_features_by_session(seed_v_folder: Path, tmp_path: Path):
    folder = copied(seed_v_folder, tmp_path)
    path = folder / "Eye_movement_features" / "1_123.npz"
    with np.load(path) as archive:
        data, label = (pickle.loads(archive[name].tobytes()) for name in ("data", "label"))
    for entry in range(15, 30):
        data[entry][:, 0] = 7.0
    data[3][1, 1] = np.inf
    with_pickles(path, data, label)
    excluded = []
    trials = list(load_seed(SEED_V, folder, subjects=[1], excluded=excluded))
    assert {t.session for t in trials if np.isnan(t.eye[:, 0]).any()} == {2}
    assert np.isnan(trials[3].eye[1, 1])
    assert not any(np.isinf(trial.eye).any() for trial in trials)
    assert [f"session {n}" in entry.why for n, entry in enumerate(excluded, start=1)] == [True, True]
    assert [entry.why[-1] for entry in excluded] == ["2", "1"]


@pytest.mark.parametrize("data_set", [SEED_IV, SEED_V])
def test_features_that_a_folder_lacks_are_refused_with_those_it_has(
    seed_iv_folder: Path, seed_v_folder: Path, data_set: SeedSet
):
    folder = seed_iv_folder if data_set is SEED_IV else seed_v_folder
    error = refused(lambda: next(load_seed(data_set, folder, "raw")))
    assert error.code is ErrorCode.FILE
    assert error.remedy.startswith("choose --features published, which it holds")


class Bomb:
    def __reduce__(self):
        return (Path("pwned").touch, ())


def with_pickles(path: Path, data, label) -> None:
    np.savez(path, data=pickle.dumps(data), label=pickle.dumps(label))


@pytest.mark.parametrize(
    "content", [Bomb(), {0: Bomb()}, {0: np.array([{}], dtype=object)}, [1], OrderedDict()]
)
def test_a_pickle_with_anything_but_arrays_is_refused_unrun(
    seed_v_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content
):
    monkeypatch.chdir(tmp_path)
    folder = copied(seed_v_folder, tmp_path)
    with_pickles(folder / "EEG_DE_features" / "1_123.npz", content, {0: np.zeros(3)})
    excluded = []
    trials = list(load_seed(SEED_V, folder, excluded=excluded))
    assert {t.subject for t in trials} == {"2"}
    assert [entry.subject for entry in excluded] == ["1"]
    assert not Path("pwned").exists()


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_pickles_of_every_protocol_are_read(protocol: int):
    wanted = {0: np.arange(6.0).reshape(2, 3), 7: np.asfortranarray(np.arange(6, dtype="i4").reshape(3, 2))}
    found = read_arrays(pickle.dumps(wanted, protocol=protocol), "file")
    assert found.keys() == wanted.keys()
    for key, array in wanted.items():
        np.testing.assert_array_equal(found[key], array)
        assert found[key].dtype == array.dtype


def test_labels_out_of_range_or_changing_within_a_trial_are_named(seed_v_folder: Path, tmp_path: Path):
    folder = copied(seed_v_folder, tmp_path)
    path = folder / "EEG_DE_features" / "1_123.npz"
    with np.load(path) as archive:
        data = pickle.loads(archive["data"].tobytes())
    labels = {entry: np.full(len(rows), 4) for entry, rows in data.items()}
    for wrong_data, wrong_labels, where in (
        (data, labels | {2: np.full(10, 9)}, "label 2"),
        (data, labels | {2: np.arange(10) % 2}, "label 2"),
        (data | {1: np.zeros((10, 309))}, labels, "entry 1"),
    ):
        with_pickles(path, wrong_data, wrong_labels)
        error = refused(lambda: next(load_seed(SEED_V, folder)))
        assert (error.code, error.where) == (ErrorCode.FILE, f"{path}, {where}")


def test_a_truncated_npz_is_one_line(seed_v_folder: Path, tmp_path: Path):
    folder = copied(seed_v_folder, tmp_path)
    path = folder / "Eye_movement_features" / "1_123.npz"
    for n_bytes in (0, 100, 20_000):
        path.write_bytes(path.read_bytes()[:n_bytes])
        error = refused(lambda: next(load_seed(SEED_V, folder)))
        assert (error.code, error.where) == (ErrorCode.FILE, str(path))


def test_a_recording_of_seed_v_loses_its_eye_channels_and_is_cut_at_the_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import mne

    sfreq = 125.0
    names = ["M1", "VEO", *reversed(SEED_CH_NAMES), "HEO", "M2"]
    names = [name.capitalize() if name.startswith("F") else name for name in names]
    rng = np.random.default_rng(0)
    n_times = round((SEED_V.clip_times_s[1][1][-1] + 5) * sfreq)
    noise = rng.standard_normal((4, n_times), dtype=np.float32)
    data = 1e-5 * noise[np.arange(len(names)) % 4]
    data[names.index("CZ")] *= 3
    info = mne.create_info(names, sfreq, "eeg")
    whole, short, lacking = (
        mne.io.RawArray(data[:, :n], info, verbose="error") for n in (n_times, 100_000, 1000)
    )
    lacking.drop_channels(["CZ"])
    path = tmp_path / "EEG_raw" / "1_1_20180804.cnt"
    path.parent.mkdir()
    path.touch()
    recordings = [whole, short, lacking]
    monkeypatch.setattr(mne.io, "read_raw_cnt", lambda *_, **__: recordings.pop(0))
    excluded = []
    trials = list(load_seed(SEED_V, tmp_path, "raw", excluded=excluded))
    assert len(excluded) == 2  # sessions 2 and 3 are not there
    assert [t.trial for t in trials] == list(range(1, 16))
    assert trials[0].ch_names == SEED_CH_NAMES
    assert [t.n_steps for t in trials[:3]] == [72, 96, 237]
    assert [t.label for t in trials[:5]] == [4, 1, 3, 2, 0]
    louder = trials[4].eeg.mean(axis=(0, 2))
    assert SEED_CH_NAMES[int(louder.argmax())] == "CZ"
    for _ in range(2):  # cut short, then without CZ
        error = refused(lambda: next(load_seed(SEED_V, tmp_path, "raw")))
        assert (error.code, error.where) == (ErrorCode.FILE, str(path))
