"""The corpus: its order, its cache, its memory, its scale, and what may enter."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import mne
import numpy as np
import pytest
import torch

from acquisition.errors import ErrorCode, InputError
from acquisition.montage import SEED_CH_NAMES
from models.datasets.trials import Excluded, Trial
from models.features.config import FeatureConfig
from models.normalise import fit_eeg, fit_eye
from models.training.corpus import (
    Cached,
    CorpusWindows,
    cached,
    fit_eeg_scale,
    fit_eye_scale,
    uniform,
)
from models.training.sources import Source, kind_of_features, open_corpus

CHANNELS = ("F3", "F4", "CZ", "O1")


def trial(number: int, n_steps: int, ch_names: tuple[str, ...] = CHANNELS, n_eye: int = 0) -> Trial:
    """A trial whose EEG says which trial, step and channel each number is of."""
    eeg = 1000.0 * number + np.arange(n_steps)[:, None, None] + np.arange(len(ch_names))[:, None] / 10
    rng = np.random.default_rng(number)
    eye = rng.normal(size=(n_steps, n_eye)).astype(np.float32) if n_eye else None
    return Trial(
        dataset="raw",
        subject="1",
        session=1,
        trial=number,
        label=-1,
        label_names=(),
        step_s=1.0,
        eeg=np.repeat(eeg, 5, axis=2).astype(np.float32),
        eye=eye,
        ch_names=ch_names,
        origin="raw",
        source="made",
    )


def in_cache(folder: Path, trials: list[Trial]) -> Cached:
    return cached(folder, [t.trial for t in trials], lambda excluded: trials)


def test_mask_noise_is_uniform_and_a_function_of_the_window() -> None:
    noise = uniform(np.arange(2000), 10, (1, 2))
    assert np.array_equal(noise[[5, 700]], uniform(np.array([5, 700]), 10, (1, 2)))
    assert not np.array_equal(noise, uniform(np.arange(2000), 10, (1, 3)))
    assert noise.mean() == pytest.approx(0.5, abs=0.01)
    assert noise.std() == pytest.approx(12**-0.5, abs=0.01)
    assert abs(np.corrcoef(noise.T) - np.eye(10)).max() < 0.1


def test_an_epoch_holds_every_window_once_and_none_across_trials(tmp_path: Path) -> None:
    trials = [trial(number, n_steps) for number, n_steps in ((1, 12), (2, 15), (3, 4), (4, 11))]
    windows = CorpusWindows(in_cache(tmp_path, trials).entries, "eeg", CHANNELS, 10, batch=2, seed=1)
    assert windows.n_windows == 3 + 6 + 1 + 2
    seen = []
    for number in range(windows.batches_a_pass):
        batch = windows.read(0, number)
        for values, exists in zip(batch.values, batch.exists, strict=True):
            steps = values[exists][:, 0, 0]  # 1000 trial + step
            assert np.array_equal(np.diff(steps), np.ones(len(steps) - 1))
            assert len(steps) == (4 if steps[0] == 3000 else 10)
            assert exists[-1]
            assert np.isnan(values[~exists]).all()
            seen.append(float(steps[0]))
    assert sorted(seen) == [1000, 1001, 1002, *range(2000, 2006), 3000, 4000, 4001]
    orders = [[windows.names(epoch, at)[1].tolist() for at in range(6)] for epoch in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


def test_a_batch_has_windows_of_one_set_of_channels_at_their_places_in_the_model(tmp_path: Path) -> None:
    others = ("O1", "X9", "F3")  # X9 is unknown to the model
    trials = [trial(1, 20), trial(2, 20, others)]
    windows = CorpusWindows(in_cache(tmp_path, trials).entries, "eeg", CHANNELS, 10, batch=4, seed=1)
    found = set()
    for number in range(windows.batches_a_pass):
        batch = windows.read(0, number)
        of_trial = set((batch.values[:, :, :, 0] // 1000).astype(int).ravel().tolist())
        tenths = np.unique(np.round(batch.values[:, :, :, 0] % 1 * 10).astype(int), axis=0)
        found |= {(*of_trial, tuple(batch.positions.tolist()), tuple(tenths[0, 0].tolist()))}
    assert found == {(1, (0, 1, 2, 3), (0, 1, 2, 3)), (2, (3, 0), (0, 2))}


def test_left_context_comes_from_the_same_trial_only(tmp_path: Path) -> None:
    windows = CorpusWindows(
        in_cache(tmp_path, [trial(1, 14), trial(2, 14)]).entries,
        "eeg",
        CHANNELS,
        10,
        10,
        1,
        n_context_steps=3,
    )
    batch = windows.read(0, 0)
    assert batch.values.shape[1] == 13
    for values, exists in zip(batch.values, batch.exists, strict=True):
        steps = values[exists][:, 0, 0]
        assert len(set((steps // 1000).tolist())) == 1
        assert len(steps) == 10 + min(3, int(steps[-1] % 1000) - 9)


def test_left_context_that_no_window_of_a_batch_has_is_left_out(tmp_path: Path) -> None:
    windows = CorpusWindows(
        in_cache(tmp_path, [trial(1, 12), trial(2, 12)]).entries,
        "eeg",
        CHANNELS,
        10,
        6,
        1,
        n_context_steps=30,
    )
    batch = windows.read(0, 0)
    assert batch.values.shape[1] == batch.exists.shape[1] == 12
    assert batch.exists[:, 2:].all()


def test_shares_of_processes_make_up_the_batch(tmp_path: Path) -> None:
    windows = CorpusWindows(in_cache(tmp_path, [trial(1, 40)]).entries, "eeg", CHANNELS, 10, 8, 1)
    whole, parts = windows.read(3, 1), [windows.read(3, 1, part) for part in (slice(0, 4), slice(4, 8))]
    for name in ("values", "exists", "noise"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        assert np.array_equal(joined, getattr(whole, name))


def test_a_source_is_read_once_and_again_when_it_changes(tmp_path: Path) -> None:
    reads = []

    def read(excluded: list[Excluded]) -> list[Trial]:
        reads.append(1)
        excluded.append(Excluded("9", "broken"))
        return [trial(1, 12)]

    first, second = (cached(tmp_path, ["a", 1], read) for _ in range(2))
    assert len(reads) == 1
    assert second.entries == first.entries
    assert second.excluded == (Excluded("9", "broken"),)
    cached(tmp_path, ["a", 2], read)
    assert len(reads) == 2


def test_an_interrupted_first_pass_leaves_no_cache(tmp_path: Path) -> None:
    def read(excluded: list[Excluded]):
        yield trial(1, 12)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached(tmp_path, "a", read)
    assert list(tmp_path.iterdir()) == []


def test_a_corpus_of_many_trials_needs_little_memory(tmp_path: Path) -> None:
    n_trials, n_steps = 60, 400
    of_trial = n_steps * len(SEED_CH_NAMES) * 5 * 4  # bytes: 0.5 MB of 30 MB

    def read(excluded: list[Excluded]):
        for number in range(n_trials):
            yield trial(number, n_steps, SEED_CH_NAMES)

    tracemalloc.start()
    entries = cached(tmp_path, "large", read).entries
    fit_eeg_scale(entries, SEED_CH_NAMES)
    windows = CorpusWindows(entries, "eeg", SEED_CH_NAMES, 10, 32, 1)
    for number in range(100):
        windows.read(0, number)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < n_trials * of_trial / 3


def test_scales_are_those_of_all_steps_together(tmp_path: Path) -> None:
    trials = [trial(1, 30, n_eye=33), trial(2, 20, n_eye=33)]
    trials[0].eeg[3:5, 1] = np.nan
    trials[1].eye[:, 7] = trials[0].eye[:, 7] = np.nan
    trials[1].eye[4:8, 2] = np.nan
    entries = in_cache(tmp_path, trials).entries
    eeg, eye = (
        torch.from_numpy(np.concatenate([getattr(t, name) for t in trials])) for name in ("eeg", "eye")
    )
    found, expected = fit_eeg_scale(entries, CHANNELS), fit_eeg(eeg)
    torch.testing.assert_close(found.mean, expected.mean)
    torch.testing.assert_close(found.sd, expected.sd)
    scale, mean, sd = fit_eye_scale(entries, 33)
    whole = fit_eye(eye)
    for name in ("low", "high", "mean"):
        torch.testing.assert_close(getattr(scale, name), getattr(whole, name))
    scaled = whole.apply(eye)
    for feature in (0, 2):
        known = scaled[~eye[:, feature].isnan(), feature]
        assert mean[feature] == pytest.approx(float(known.mean()), rel=1e-4)
        assert sd[feature] == pytest.approx(float(known.std(correction=0)), rel=1e-4)


def test_test_trials_of_the_published_split_never_enter(seed_iv_folder: Path, tmp_path: Path) -> None:
    sources = [Source("seed-iv", seed_iv_folder)]
    plain = open_corpus(sources, tmp_path, FeatureConfig(), features="published")
    assert {entry.trial for entry in plain.entries} == set(range(1, 17))
    assert plain.n_test == 2 * 3 * 8
    assert plain.words()[0].startswith("seed-iv: generated, no real subjects; 2 subjects, 96 trials")


def test_a_broken_subject_is_left_out_and_listed(seed_iv_folder: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "set"
    shutil.copytree(seed_iv_folder, folder)
    broken = next((folder / "eeg_feature_smooth" / "2").glob("1_*.mat"))
    broken.write_bytes(broken.read_bytes()[:5000])
    corpus = open_corpus(
        [Source("seed-iv", folder)], tmp_path / "cache", FeatureConfig(), features="published"
    )
    assert [entry.subject for entry in corpus.excluded] == ["1"]
    assert broken.name in corpus.excluded[0].why
    sessions = {(entry.subject, entry.session) for entry in corpus.entries}
    assert sessions == {("1", 1), ("1", 3), ("2", 1), ("2", 2), ("2", 3)}


def test_a_recording_that_cannot_be_read_is_not_named_among_the_data(
    seed_iv_folder: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "noise.edf"
    broken.write_bytes(b"no recording")
    sources = [Source("seed-iv", seed_iv_folder), Source("raw", broken)]
    corpus = open_corpus(sources, tmp_path / "cache", FeatureConfig(), features="published")
    assert [source.kind for source in corpus.used] == ["seed-iv"]
    assert len(corpus.words()) == 1
    assert [entry.subject for entry in corpus.excluded] == ["noise.edf"]


def test_features_follow_what_the_folders_hold(seed_iv_folder: Path, tmp_path: Path) -> None:
    published, recording = Source("seed-iv", seed_iv_folder), Source("xdf", tmp_path / "a.xdf")
    assert kind_of_features([published], None) == "published"
    assert kind_of_features([published, recording], None) == "raw"
    with pytest.raises(InputError) as error:
        kind_of_features([published, recording], "published")
    assert error.value.where == "--features published"
    with pytest.raises(InputError) as error:
        kind_of_features([], None)
    assert error.value.where == "pretrain"


def test_a_folder_or_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for kind in ("seed-iv", "raw"):
        with pytest.raises(InputError) as error:
            open_corpus([Source(kind, tmp_path / "gone")], tmp_path, FeatureConfig(), features="raw")
        assert error.value.code is ErrorCode.FILE
        assert error.value.where.endswith("gone")


def test_a_montage_names_a_file_s_channels_and_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path, montage = tmp_path / "try_raw.fif", tmp_path / "cap.toml"
    data = 1e-5 * np.random.default_rng(0).standard_normal((2, 2560))
    mne.io.RawArray(data, mne.create_info(["A1", "A2"], 128.0, "eeg")).save(path, verbose="error")
    for name in ("CZ", "PZ"):
        montage.write_text(f'[labels]\nA2 = "{name}"\n')
        source = Source("raw", path, montage=str(montage))
        (entry,) = open_corpus([source], tmp_path / "cache", FeatureConfig(), features="raw").entries
        assert (entry.ch_names, entry.n_steps) == ((name,), 20)
    with pytest.raises(InputError) as error:
        open_corpus([Source("raw", path, montage="no-cap")], tmp_path, FeatureConfig(), features="raw")
    assert error.value.where == "--montage"


def test_a_recording_that_cannot_be_read_is_told_when_nothing_is_left(tmp_path: Path) -> None:
    path = tmp_path / "noise.edf"
    path.write_bytes(b"no recording")
    with pytest.raises(InputError) as error:
        open_corpus([Source("raw", path)], tmp_path / "cache", FeatureConfig(), features="raw")
    assert error.value.code is ErrorCode.DATA
    assert "noise.edf" in error.value.what


def test_a_recording_in_which_no_channel_works_is_left_out_and_said(tmp_path: Path) -> None:
    raw = mne.io.RawArray(np.zeros((2, 2000)), mne.create_info(["C3", "C4"], 100, "eeg"), verbose="error")
    raw.save(tmp_path / "dead_raw.fif", verbose="error")
    excluded: list[Excluded] = []
    assert list(Source("raw", tmp_path / "dead_raw.fif").read(FeatureConfig(), excluded)) == []
    assert [(entry.subject, entry.why[:17]) for entry in excluded] == [("dead_raw.fif", "no usable channel")]
