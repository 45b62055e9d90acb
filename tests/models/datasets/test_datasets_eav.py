"""EAV as published: EEG, labels, video and audio by the trial's number."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from refused import refused
from scipy.io import loadmat, savemat

from acquisition.errors import ErrorCode
from models.datasets.eav import CH_NAMES, LABELS, load_eav
from models.datasets.splits import coverage, published_split
from tests.studies.data_sets.eav import make_eav
from tests.studies.data_sets.options import MakeOptions
from tests.studies.papers.eav_clips import load_eav_clips


@pytest.fixture
def folder(eav_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(eav_folder, tmp_path / "eav"))


def test_the_folder_has_the_published_names_shapes_and_quirks(eav_folder: Path):
    assert {path.name for path in eav_folder.iterdir()} == {"subject1", "subject02", "README.md"}
    odd = loadmat(eav_folder / "subject1" / "EEG" / "subject1_eeg.mat")
    even = loadmat(eav_folder / "subject02" / "EEG" / "subject2_eeg.mat")
    assert odd["seg1"].shape == even["seg"].shape == (5000, 30, 20)
    label = loadmat(eav_folder / "subject1" / "EEG" / "subject1_eeg_label.mat")["label"]
    assert label.shape == (10, 20)
    assert label.sum(axis=0).tolist() == [1] * 20
    videos = sorted(path.name for path in (eav_folder / "subject1" / "Video").iterdir())
    audios = sorted(path.name for path in (eav_folder / "subject1" / "Audio").iterdir())
    assert (len(videos), len(audios)) == (20, 10)
    assert videos[0].startswith("001_Trial_01_Listening_")
    assert {name[-8:] for name in audios} == {"_Aud.wav", "_aud.wav"}


def test_trials_are_those_of_speaking_with_entropy_every_second(eav_folder: Path):
    trials = list(load_eav(eav_folder))
    assert [t.subject for t in trials] == ["1"] * 10 + ["2"] * 10
    assert [t.trial for t in trials[:3]] == [2, 4, 6]
    assert trials[0].eeg.shape == (10, 30, 5)
    assert trials[0].ch_names == CH_NAMES
    assert np.isfinite(trials[0].eeg).all()
    assert coverage(trials[:10]).counts == (2,) * 5


def test_clips_pair_eeg_frames_and_sound_by_the_trials_number(eav_folder: Path):
    excluded = []
    clips = list(load_eav_clips(eav_folder, [1], excluded=excluded))
    assert excluded == []
    assert len(clips) == 20
    second = clips[1]
    assert (second.trial, second.segment, second.start_s) == (2, 1, 5.0)
    assert second.raw.shape == (30, 500)
    assert second.de.shape == (5, 30, 5)
    assert second.video.name == f"002_Trial_02_Speaking_{LABELS[second.label].capitalize()}.mp4"
    frames = second.frames()
    assert frames.shape == (25, 120, 160, 3)
    assert not np.array_equal(frames[0], clips[0].frames()[0])
    wave, sfreq = second.sound()
    assert (len(wave), sfreq) == (80_000, 16_000.0)
    assert 0.001 < wave.std() < 1
    train, test = published_split(clips)
    assert not {c.trial for c in train} & {c.trial for c in test}


def test_broken_media_are_noted_and_the_eeg_is_used(folder: Path):
    videos = sorted((folder / "subject1" / "Video").glob("*Speaking*"))
    videos[0].write_bytes(videos[0].read_bytes()[:2000])
    videos[1].unlink()
    named = videos[2].name.rsplit("_", 1)[1][:-4]
    other = "Sadness" if named != "Sadness" else "Anger"
    videos[2].rename(videos[2].with_name(videos[2].name.replace(named, other)))
    audio = sorted((folder / "subject1" / "Audio").iterdir())[3]
    audio.write_bytes(audio.read_bytes()[:30])
    excluded = []
    clips = list(load_eav_clips(folder, excluded=excluded))
    assert len(clips) == 40
    assert [c.video is None for c in clips[:8:2]] == [True, True, True, False]
    assert clips[6].audio is None
    for name, entry in zip((videos[0].name, "trial 4", "006_Trial", audio.name), excluded, strict=True):
        assert name in entry.why
    assert excluded[1].why == f"{folder / 'subject1'}, trial 4: expected a mp4 file, found none"


def test_broken_eeg_leaves_the_subject_out_and_the_other_goes_on(folder: Path):
    path = folder / "subject1" / "EEG" / "subject1_eeg.mat"
    path.write_bytes(path.read_bytes()[:50_000])
    excluded = []
    assert {t.subject for t in load_eav(folder, excluded=excluded)} == {"2"}
    assert [entry.subject for entry in excluded] == ["1"]
    assert str(path) in excluded[0].why


def test_wrong_shapes_and_labels_are_named(folder: Path):
    eeg = folder / "subject1" / "EEG" / "subject1_eeg.mat"
    label = folder / "subject1" / "EEG" / "subject1_eeg_label.mat"
    one_hot = loadmat(label)["label"]
    savemat(label, {"label": one_hot * (np.arange(20) != 4)})
    error = refused(lambda: next(load_eav(folder)))
    assert (error.code, error.where) == (ErrorCode.FILE, str(label))
    savemat(label, {"label": one_hot[:, :19]})
    error = refused(lambda: next(load_eav(folder)))
    assert (error.where, error.what) == (str(label), "label: expected shape (10, 20), found (10, 19)")
    savemat(eeg, {"seg": np.zeros((5000, 29, 20))})
    assert refused(lambda: next(load_eav(folder))).where == str(eeg)
    label.unlink()
    error = refused(lambda: next(load_eav(folder)))
    assert (error.code, error.where) == (ErrorCode.FILE, str(folder / "subject1"))


def test_flat_channels_are_masked_and_noted(folder: Path):
    path = folder / "subject1" / "EEG" / "subject1_eeg.mat"
    seg = loadmat(path)["seg1"]
    seg[:, 4, :] = 7.0
    seg[100, 6, 1] = np.nan
    savemat(path, {"seg1": seg})
    excluded = []
    trial = next(load_eav(folder, excluded=excluded))
    assert np.isnan(trial.eeg[:, 4]).all()
    assert np.isnan(trial.eeg[:, 6]).any(axis=1).tolist() == [True] + [False] * 9
    assert excluded[0].why.endswith(" FZ")


def test_a_folder_without_subjects_is_refused(tmp_path: Path):
    assert refused(lambda: next(load_eav(tmp_path))).code is ErrorCode.FILE


def test_trials_come_in_tens(tmp_path: Path):
    assert refused(lambda: make_eav(MakeOptions(tmp_path / "e", trials=25))).where == "--trials"
