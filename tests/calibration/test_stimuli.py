"""The pictures and sounds that ship: made by their script, and alike in what must not tell emotions apart."""

from __future__ import annotations

import importlib.util
import wave
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from acquisition.simulator.subject import EMOTIONS
from assets import ASSETS

STIMULI = ASSETS / "stimuli"
MAKERS = Path(__file__).parents[1] / "stimuli"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"stimuli_{name}", MAKERS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pictures, sounds = load("pictures"), load("sounds")


def samples(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16_000)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def test_each_emotion_has_two_pictures_and_a_sound_in_less_than_2_mb() -> None:
    assert sorted(path.stem for path in STIMULI.glob("*.png")) == sorted(
        f"{e}-{n}" for e in EMOTIONS for n in (1, 2)
    )
    assert sorted(path.stem for path in STIMULI.glob("*.wav")) == sorted(EMOTIONS)
    assert sum(path.stat().st_size for path in STIMULI.iterdir() if path.is_file()) < 2e6


@pytest.mark.parametrize("path", sorted(STIMULI.glob("*.png")), ids=lambda path: path.stem)
def test_pictures_are_equally_bright_so_that_pupils_cannot_tell_them_apart(path: Path) -> None:
    linear = (cv2.imread(str(path)) / 255.0) ** 2.2
    assert linear.shape == (500, 800, 3)
    assert pictures.luminance(linear) == pytest.approx(pictures.LUMINANCE, abs=0.005)


@pytest.mark.parametrize("path", sorted(STIMULI.glob("*.wav")), ids=lambda path: path.stem)
def test_sounds_are_equally_loud_unclipped_and_loop_without_a_click(path: Path) -> None:
    sound = samples(path)
    assert len(sound) == 6 * 16_000
    assert np.abs(sound.astype(int)).max() < 0.95 * 32767
    assert sounds.level_db(sound / 32767) == pytest.approx(sounds.LEVEL_DB, abs=0.1)
    steps = np.abs(np.diff(sound.astype(int)))
    assert abs(int(sound[0]) - int(sound[-1])) <= steps.max()


@pytest.mark.parametrize("name", ["fear-1", "happy-2"])
def test_the_script_makes_the_very_pictures(name: str) -> None:
    kept = cv2.imread(str(STIMULI / f"{name}.png")).astype(int)
    made = pictures.render(pictures.PICTURES[name], 1).astype(int)
    assert np.abs(kept - made).mean() < 0.5  # another version of OpenCV may draw an edge otherwise


@pytest.mark.parametrize("name", sorted(EMOTIONS))
def test_the_script_makes_the_very_sounds(name: str) -> None:
    made = sounds.render(sounds.SOUNDS[name], 1).astype(int)
    assert np.abs(samples(STIMULI / f"{name}.wav").astype(int) - made).max() <= 2


def test_a_sine_of_1_khz_has_its_own_level() -> None:
    t = np.arange(16_000 * 6) / 16_000
    assert sounds.level_db(np.sin(2 * np.pi * 1000 * t)) == pytest.approx(-3.01, abs=0.05)
