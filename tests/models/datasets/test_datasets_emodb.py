"""EMO-DB's file names, broken files, and the whole test on voices made of tones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from refused import refused
from scipy.io import wavfile

from acquisition.errors import ErrorCode
from models.config import AstConfig
from models.datasets.emodb import EMOTIONS, load_emodb
from models.datasets.trials import Excluded
from models.papers.speech.evaluate import SpeechTest, evaluate_speech
from models.papers.speech.network import N_ROWS, VoiceNetworkConfig

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
    first, second = load_emodb(tmp_path)
    assert (first.speaker, first.sentence, EMOTIONS[first.label]) == ("03", "a01", "angry")
    assert (second.speaker, second.sentence, EMOTIONS[second.label]) == ("16", "b10", "sad")
    assert first.wave.dtype == np.float32
    assert len(first.wave) == 9600


def test_a_broken_file_is_left_out_with_its_name(tmp_path: Path) -> None:
    write(tmp_path / "03a01Wa.wav", 200)
    (tmp_path / "03a02Wa.wav").write_bytes(b"RIFF1234WAVEjunk")
    write(tmp_path / "03a04Wa.wav", 200, length_s=0.1)
    excluded: list[Excluded] = []
    assert len(load_emodb(tmp_path, excluded)) == 1
    assert [one.subject for one in excluded] == ["03", "03"]
    assert "03a02Wa.wav" in excluded[0].why
    assert "0.10 s" in excluded[1].why
    assert refused(lambda: load_emodb(tmp_path)).code is ErrorCode.FILE


def test_wrong_folder_and_doubled_file_are_refused(tmp_path: Path) -> None:
    for folder in (tmp_path / "nowhere", tmp_path):
        error = refused(lambda folder=folder: load_emodb(folder))
        assert (error.code, error.where) == (ErrorCode.FILE, str(folder))
    write(tmp_path / "a" / "03a01Wa.wav", 200)
    write(tmp_path / "b" / "03a01Wa.wav", 200)
    assert refused(lambda: load_emodb(tmp_path)).code is ErrorCode.DATA


def tiny_test() -> SpeechTest:
    encoder = AstConfig(width=16, n_layers=1, n_heads=2, ffn_dim=16, n_mels=N_ROWS)
    network = replace(VoiceNetworkConfig(), encoder=encoder, pretrain_epochs=1, epochs=1)
    return SpeechTest(seeds=(1,), network=network)


def test_a_second_folder_is_tested_on_and_tones_of_own_pitch_are_told_apart(tmp_path: Path) -> None:
    train = load_emodb(write_set(tmp_path / "one", (3, 8, 9), (1,)))
    other = load_emodb(write_set(tmp_path / "two", (10, 11), (1,)))
    result = evaluate_speech(train, other, tiny_test(), lambda stage, share, loss: None)
    assert list(result["ours"]["speakers"]) == ["10", "11"]
    assert result["ours"]["parts"]["committee_member_chosen_inside"]["mean"] == 1.0
    assert np.sum(result["ours"]["confusion"]) == result["n_clips"]["tested"] == 8
    assert result["chance"] == 0.25
    assert len(result["settings"]["chosen_inside"]) == 1


def test_speakers_on_both_sides_and_too_few_are_refused(tmp_path: Path) -> None:
    utterances = load_emodb(write_set(tmp_path, (3, 8, 9)))
    nothing = lambda stage, share, loss: None  # noqa: E731
    error = refused(lambda: evaluate_speech(utterances, utterances, tiny_test(), nothing))
    assert (error.code, error.where) == (ErrorCode.SUBJECT, "--test")
    two = [one for one in utterances if one.speaker != "03"]
    error = refused(lambda: evaluate_speech(two, None, tiny_test(), nothing))
    assert (error.code, error.facts) == (ErrorCode.DATA, {"n_speakers": 2})
    without_sad = [one for one in utterances if one.label != 3]
    error = refused(lambda: evaluate_speech(without_sad, None, tiny_test(), nothing))
    assert (error.code, error.facts) == (ErrorCode.DATA, {"missing": "sad"})


@pytest.mark.real_data
def test_the_sentences_here_are_189_of_six_speakers(real_data: Path) -> None:
    utterances = load_emodb(real_data / "audio")
    assert len(utterances) == 189
    assert len({one.speaker for one in utterances}) == 6
    assert np.bincount([one.label for one in utterances]).tolist() == [72, 36, 47, 34]
