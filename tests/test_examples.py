"""The example scripts run, on shipped, simulated or live data."""

from __future__ import annotations

import math
import os
import runpy
import subprocess
import sys
from pathlib import Path

import mne
import numpy as np
import pytest

from assets import ASSETS
from models.trust import STATES, State

EXAMPLES = ASSETS / "examples"
PROJECT = ASSETS.parent


def run(name: str, *arguments: str, timeout: float = 120.0) -> list[str]:
    """Return the lines that an example prints."""
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=True, cwd=PROJECT)
    return done.stdout.splitlines()


@pytest.mark.slow
def test_decode_xdf_prints_every_window_of_the_shipped_recording():
    lines = run("decode_xdf.py")
    assert len(lines) == 238  # a minute, from its first quarter of a second on
    assert all(line.split()[1] == "s" for line in lines)


def test_custom_feature_is_computed_once_a_second(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    script = str(EXAMPLES / "custom_feature.py")
    monkeypatch.setattr(sys, "argv", [script])
    runpy.run_path(script, run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    seconds = [int(line.split()[0]) for line in lines]
    assert 55 <= len(seconds) <= 60
    assert np.all(np.diff(seconds) == 1)


@pytest.mark.slow
def test_train_on_edf_scores_labelled_trials(tmp_path: Path):
    rng = np.random.default_rng(1)
    info = mne.create_info(["F3", "F4", "C3", "C4"], 128.0, "eeg")
    signal = rng.normal(size=(4, 128 * 40)) * 1e-5
    for start in range(0, 40, 8):  # the annotated class has four times the amplitude
        signal[:, start * 128 : (start + 4) * 128] *= 4
    raw = mne.io.RawArray(signal, info, verbose="error")
    onsets = np.arange(0.0, 40.0, 4.0)
    raw.set_annotations(mne.Annotations(onsets, 4.0, ["loud", "quiet"] * 5))
    raw.save(tmp_path / "session_raw.fif", verbose="error")
    lines = run("train_on_edf.py", str(tmp_path / "session_raw.fif"), "loud=loud,quiet=quiet", timeout=170.0)
    assert any("per trial" in line for line in lines)


#: Sends one prediction as a live session does, once somebody listens.
SENDER = """
import sys
from app.outlets import PredictionOutlet
from dataclasses import replace
from models.config import AnswerConfig
from models.prediction import Prediction
from models.trust import ModelFacts, SignalFacts, judge
modalities = ("eeg", "eye", "face", "voice")
outlet = PredictionOutlet(("happy", "sad"))
assert outlet._outlet.wait_for_consumers(60)
made = Prediction(
    index=50, t_end=12.5, label="happy", probs={"happy": 0.75, "sad": 0.25},
    modality_attention=dict.fromkeys(modalities, 0.25), channel_attention={}, time_attention=(),
    present=dict.fromkeys(modalities, True), coverage=dict.fromkeys(modalities, 1.0),
    waited_s=0.0, warm_up=False, normalisation="training",
)
facts = ModelFacts(AnswerConfig(0.8, 0.4, 0.7, 0.2, 0.5, 0.03, 12, 120))
outlet.write(replace(made, verdict=judge(made, facts, SignalFacts())))
sys.stdin.read()
"""


@pytest.mark.lsl
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("read_predictions.py", ["12.50", "s", "happy", "75%"]),
        ("closed_loop.py", ["nothing", "known:", "undo", "(the", "answer", "is", "old)"]),  # stamped long ago
    ],
)
def test_a_reader_hears_a_live_prediction(tmp_path: Path, name: str, words: list[str]):
    settings = tmp_path / "lsl_api.cfg"  # a session of its own, so that no other stream is found
    settings.write_text(f"[lab]\nSessionID = examples-{tmp_path.name}\n")
    environment = {**os.environ, "LSLAPICFG": str(settings), "PYTHONPATH": str(PROJECT)}
    sender = subprocess.Popen([sys.executable, "-c", SENDER], stdin=subprocess.PIPE, env=environment)
    script = subprocess.Popen(
        [sys.executable, "-u", str(EXAMPLES / name), "60"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert script.stdout is not None
        assert script.stdout.readline().split() == words
    finally:
        for process in (script, sender):
            process.kill()
            process.wait()


def test_the_closed_loop_waits_until_a_decision_holds(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    dwell = runpy.run_path(str(EXAMPLES / "closed_loop.py"))["Dwell"](1.0)
    decided = [(0.0, "happy"), (0.5, "happy"), (1.0, "happy"), (1.5, "happy"), (2.0, None), (2.5, "happy")]
    assert [t for t, emotion in decided if dwell.is_due(emotion, t)] == [1.0]  # a flicker changes nothing
    assert not dwell.is_due(None, 3.0)
    assert dwell.is_due(None, 4.0)
    assert not dwell.is_due("happy", 5.0)
    assert not dwell.is_due(None, 5.5, at_once=True)  # it is undone already
    assert not dwell.is_due("happy", 6.0)
    assert dwell.is_due("happy", 7.0)
    assert dwell.is_due(None, 7.1, at_once=True)  # an old answer is undone at once


def test_the_closed_loop_acts_on_safe_answers_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    decide = runpy.run_path(str(EXAMPLES / "closed_loop.py"))["decide"]
    values = {"p_happy": 0.75, "p_sad": 0.25, "state": 4.0, "safe_to_act": 1.0, "answer": 0.0}
    values |= {"set90_happy": 1.0, "set90_sad": 1.0}
    assert decide(values, 0.2) == ("happy", "75%")
    assert decide(values, 1.2)[0] is None
    unsafe = values | {"safe_to_act": 0.0, "state": float(STATES.index(State.UNCERTAIN)), "answer": -1.0}
    assert decide(unsafe, 0.2) == (None, "uncertain: happy or sad")
    assert decide(unsafe | {"set90_happy": math.nan, "set90_sad": math.nan}, 0.2)[1] == "uncertain: no sets"
