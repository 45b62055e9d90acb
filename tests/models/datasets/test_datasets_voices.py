"""File names of published sets, broken files, and the whole test on voices made of tones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from refused import refused
from scipy.io import wavfile

from acquisition.errors import ErrorCode
from models.datasets.trials import Excluded
from models.datasets.voices import EMOTIONS, load_voices
from tests.studies.voices import VoiceTest, by_own_speaker, evaluate_voice, speaker_scores

LETTERS = {"W": 0, "F": 1, "N": 2, "T": 3}


def write(path: Path, f0_hz: float, length_s: float = 0.6, noise: float = 0.02) -> None:
    time = np.arange(int(length_s * 16000)) / 16000
    wave = 0.2 * np.sin(2 * np.pi * f0_hz * time) + 0.1 * np.sin(4 * np.pi * f0_hz * time)
    wave += noise * np.random.default_rng(int(f0_hz)).standard_normal(len(wave))
    path.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(path, 16000, (wave * 32767).astype(np.int16))


def write_set(folder: Path, speakers: tuple[int, ...], sentences: tuple[int, ...] = (1, 2)) -> Path:
    """Every emotion has a pitch of its own."""
    for speaker in speakers:
        for letter, label in LETTERS.items():
            for sentence in sentences:
                f0_hz = 90 * 1.5**label + speaker / 2 + 2 * sentence
                write(folder / f"{speaker:02d}a{sentence:02d}{letter}a.wav", f0_hz, length_s=0.35)
    return folder


def test_name_tells_speaker_sentence_and_emotion(tmp_path: Path) -> None:
    write(tmp_path / "Angry" / "03a01Wa.wav", 200)
    write(tmp_path / "wav" / "16b10Td.wav", 100)
    write(tmp_path / "wav" / "16b10Lb.wav", 100)  # boredom
    (tmp_path / "notes.txt").write_text("03a01Wa.wav")
    first, second = load_voices([tmp_path])
    assert (first.speaker, first.sentence, EMOTIONS[first.label]) == ("03", "a01", "angry")
    assert (second.speaker, second.sentence, EMOTIONS[second.label]) == ("16", "b10", "sad")
    assert first.wave.dtype == np.float32
    assert len(first.wave) == 9600


def test_a_broken_file_is_left_out_with_its_name(tmp_path: Path) -> None:
    write(tmp_path / "03a01Wa.wav", 200)
    (tmp_path / "03a02Wa.wav").write_bytes(b"RIFF1234WAVEjunk")
    write(tmp_path / "03a04Wa.wav", 200, length_s=0.1)
    excluded: list[Excluded] = []
    assert len(load_voices([tmp_path], excluded)) == 1
    assert [one.subject for one in excluded] == ["03", "03"]
    assert "03a02Wa.wav" in excluded[0].why
    assert "0.10 s" in excluded[1].why
    assert refused(lambda: load_voices([tmp_path])).code is ErrorCode.FILE


def test_wrong_folder_and_doubled_file_are_refused(tmp_path: Path) -> None:
    for folder in (tmp_path / "nowhere", tmp_path):
        error = refused(lambda folder=folder: load_voices([folder]))
        assert (error.code, error.where) == (ErrorCode.FILE, str(folder))
    write(tmp_path / "a" / "03a01Wa.wav", 200)
    write(tmp_path / "b" / "03a01Wa.wav", 200)
    assert refused(lambda: load_voices([tmp_path])).code is ErrorCode.DATA


@pytest.mark.parametrize(
    ("name", "speaker", "emotion"),
    [
        ("03-01-05-02-01-02-12.wav", "RAVDESS 12", "angry"),
        ("AB0_happiness_17.wav", "nEMO AB0", "happy"),
        ("1001_DFA_NEU_XX.wav", "CREMA-D 1001", "neutral"),
        ("SM1_F3_S03.wav", "URDU SM1", "sad"),
    ],
)
def test_each_published_layout_is_read_and_other_emotions_are_not(
    tmp_path: Path, name: str, speaker: str, emotion: str
) -> None:
    others = "03-01-02-01-01-01-12", "03-02-05-01-01-01-12", "AB0_surprised_1", "1001_DFA_FEA_XX", "x"
    for one in (name, *(f"{other}.wav" for other in others)):
        write(tmp_path / one, 200)
    (found,) = load_voices([tmp_path])
    assert (found.speaker, EMOTIONS[found.label]) == (speaker, emotion)


def nothing(stage: str, share: float, loss: float) -> None: ...


def test_a_second_folder_is_tested_on_and_tones_of_own_pitch_are_told_apart(tmp_path: Path) -> None:
    train = load_voices([write_set(tmp_path / "one", (3, 8, 9), (1,))])
    other = load_voices([write_set(tmp_path / "two", (10, 11), (1,))])
    result = evaluate_voice(VoiceTest(train, other), nothing)
    rows = {(row["model"], row["normalise"]): row for row in result["rows"]}
    for normalise in ("training", "running", "speaker"):
        row = rows["voice", normalise]
        assert list(row["speakers"]) == ["10", "11"]
        assert row["mean"] == 1.0
        assert np.sum(row["confusion"]) == row["n_clips"] == 8
        assert row["chance"] == 0.25
        assert row["transductive"] == (normalise == "speaker")


def test_speakers_on_both_sides_and_too_few_are_refused(tmp_path: Path) -> None:
    utterances = load_voices([write_set(tmp_path, (3, 8, 9))])
    error = refused(lambda: evaluate_voice(VoiceTest(utterances, utterances), nothing))
    assert (error.code, error.where) == (ErrorCode.SUBJECT, "--test")
    two = [one for one in utterances if one.speaker != "03"]
    error = refused(lambda: evaluate_voice(VoiceTest(two), nothing))
    assert (error.code, error.facts) == (ErrorCode.DATA, {"n_speakers": 2})
    without_sad = [one for one in utterances if one.label != 3]
    error = refused(lambda: evaluate_voice(VoiceTest(without_sad), nothing))
    assert (error.code, error.facts) == (ErrorCode.DATA, {"missing": "sad"})


def test_scaling_by_own_speaker_uses_clips_of_that_speaker_only() -> None:
    rows = np.random.default_rng(0).standard_normal((10, 3))
    speaker = np.repeat(["a", "b"], 5)
    moved = rows.copy()
    moved[:5] = moved[:5] * 4 + 100
    scaled = by_own_speaker(rows, speaker)
    assert np.allclose(scaled, by_own_speaker(moved, speaker), atol=1e-4)
    assert np.allclose(scaled[:5].mean(axis=0), 0)


def test_scores_take_the_speaker_as_unit() -> None:
    label = np.array([0, 0, 0, 1, 0, 1])
    answer = np.array([0, 0, 0, 0, 0, 1])
    speaker = np.array(["a", "a", "a", "a", "b", "b"])
    found = speaker_scores(label, answer, speaker, 2)
    assert found["speakers"] == {"a": 0.5, "b": 1.0}
    assert found["mean"] == 0.75
    assert found["pooled"] == pytest.approx((1 + 0.5) / 2)
    assert found["confusion"] == [[4, 0], [1, 1]]
    assert found["interval"] == [0.0, 1.0]  # cut


@pytest.mark.real_data
def test_the_sentences_here_are_189_of_six_speakers(real_data: Path) -> None:
    utterances = load_voices([real_data / "audio"])
    assert len(utterances) == 189
    assert len({one.speaker for one in utterances}) == 6
    assert np.bincount([one.label for one in utterances]).tolist() == [72, 36, 47, 34]
