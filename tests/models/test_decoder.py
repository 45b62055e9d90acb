"""What a decoder says beside its probabilities, and what masking a modality by hand does."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from acquisition.errors import ErrorCode, InputError
from acquisition.simulator.source import SimulatedSource, SimulatorOptions
from acquisition.types import MODALITIES, Kind, Step, StreamSpec, Window
from app.pipeline import Pipeline
from models.checkpoint import load_checkpoint
from models.config import AnswerConfig
from models.decoder import Decoder
from models.trust import Code, State

HOP_S = 0.25


@pytest.fixture(scope="module")
def checkpoint(random_model):
    return load_checkpoint(random_model)


def pumped(checkpoint, streams=("eeg", "gaze", "video", "audio"), faults=""):
    """Return a pipeline on a simulated person, its decoder, and a function that runs it to a time."""
    decoder = Decoder(checkpoint)
    options = SimulatorOptions(seed=5, streams=streams, faults=faults)
    pipeline = Pipeline(SimulatedSource(options), decoder, live=False)
    n_done = 0

    def run_to(t):
        nonlocal n_done
        first, n_done = n_done + 1, round(t / HOP_S)
        return [p for hop in range(first, n_done + 1) for p in pipeline.step(hop * HOP_S)]

    return decoder, run_to


def eeg_window(data, index=4):
    """Return a window that holds one valid EEG step and two more before it."""
    steps = [Step(index - 4 * back, index * HOP_S - back, True, 1.0, 250.0, data) for back in (2, 1, 0)]
    present = {modality: modality == "eeg" for modality in MODALITIES}
    return Window(index, index * HOP_S, {"eeg": steps}, present, dict.fromkeys(MODALITIES, 1.0), 0.0, 0.0)


def test_finite_weights_whose_answer_is_no_number_are_refused(checkpoint):
    network = copy.deepcopy(checkpoint.network)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1e20)
    decoder = Decoder(replace(checkpoint, network=network))
    decoder.open(StreamSpec("cap", "Cap", Kind.EEG, ("CZ", "PZ"), ("uV",) * 2, 250.0))
    with pytest.raises(InputError) as error:
        decoder.decode(eeg_window(np.random.default_rng(0).normal(0.0, 10.0, (2, 250))))
    assert error.value.code is ErrorCode.MODEL


def test_band_entropy_is_that_of_a_known_sine(checkpoint):
    times = np.arange(250) / 250.0
    data = np.random.default_rng(0).normal(0.0, 1.0, (3, 250))
    data[0] += 40.0 * np.sin(2 * np.pi * 10.0 * times)  # lands in alpha
    data[2] = 0.0  # flat
    decoder = Decoder(checkpoint)
    decoder.open(StreamSpec("cap", "Cap", Kind.EEG, ("CZ", "PZ", "OZ"), ("uV",) * 3, 250.0))
    prediction = decoder.decode(eeg_window(data))
    alpha = [name for name, _, _ in decoder.config.features.bands].index("alpha")
    assert prediction.band_ch_names == ("CZ", "PZ", "OZ")
    assert prediction.band_de.shape == (3, len(decoder.config.features.bands))
    assert prediction.band_de.dtype == np.float32
    assert prediction.band_de[0].argmax() == alpha
    assert prediction.band_de[0, alpha] == pytest.approx(0.5 * np.log(2 * np.pi * np.e * 800.0), abs=0.1)
    assert np.isfinite(prediction.band_de[1]).all()
    assert np.isnan(prediction.band_de[2]).all()


def test_band_entropy_is_unknown_while_the_eeg_is_gone(checkpoint):
    _, run_to = pumped(checkpoint, streams=("eeg", "audio"), faults="drop:eeg@5+3")
    by_time = {round(p.t_end, 2): p for p in run_to(7.0)}
    assert np.isfinite(by_time[5.0].band_de).all()
    assert np.isnan(by_time[6.0].band_de).all()
    assert len(by_time[6.0].band_ch_names) == len(by_time[6.0].band_de) == 62


def test_without_eeg_there_are_no_band_values(checkpoint):
    _, run_to = pumped(checkpoint, streams=("video",))
    newest = run_to(3.0)[-1]
    assert newest.band_de.shape == (0, len(checkpoint.config.features.bands))
    assert newest.band_ch_names == ()


def test_face_box_lies_in_the_frame_and_its_time_is_the_frames(checkpoint):
    _, run_to = pumped(checkpoint, streams=("video",))
    newest = run_to(4.0)[-1]
    x, y, w, h = newest.face_box
    assert 0 <= x < x + w <= 1
    assert 0 <= y < y + h <= 1
    assert w > 0.15
    assert newest.t_end - 0.5 - 0.5 <= newest.face_time <= newest.t_end


def test_no_box_is_shown_for_a_camera_that_stopped(checkpoint):
    _, run_to = pumped(checkpoint, streams=("video", "audio"), faults="drop:video@5+5")
    newest = run_to(7.0)[-1]
    assert newest.face_box is None
    assert newest.face_time <= 5.0  # the newest frame that was searched


def test_what_is_made_meanwhile_or_known_already_is_what_the_whole_network_gives(checkpoint):
    decoder, run_to = pumped(checkpoint)
    assert decoder._forward.takes_steps
    whole, run_whole_to = pumped(checkpoint)
    whole._known = lambda *_, **__: {}
    answers, expected = run_to(8.0), run_whole_to(8.0)
    assert len(answers) == len(expected) == 29
    for one, other in zip(answers, expected, strict=True):
        assert (one.probs, one.time_attention) == (other.probs, other.time_attention)
        assert one.channel_attention == other.channel_attention


def test_masked_modality_is_absent_and_back_at_once(checkpoint):
    decoder, run_to = pumped(checkpoint)
    before = run_to(7.0)[-1]
    decoder.masked = frozenset({"eeg", "face"})
    during = run_to(9.0)
    decoder.masked = frozenset()
    after = run_to(9.0 + HOP_S)
    assert before.present == dict.fromkeys(MODALITIES, True)
    for p in during:
        assert p.present == {"eeg": False, "eye": True, "face": False, "voice": True}
        assert p.modality_attention["eeg"] == p.modality_attention["face"] == 0.0
        assert p.channel_attention == {}
        assert np.isfinite(p.band_de).all()  # its steps go on
    assert [p.present for p in after] == [before.present]


def test_what_comes_after_a_mask_is_what_would_have_come_without_it(checkpoint):
    decoder, run_to = pumped(checkpoint)
    run_to(7.0)
    decoder.masked = frozenset({"eye"})
    run_to(9.0)
    decoder.masked = frozenset()
    _, run_unmasked_to = pumped(checkpoint)
    assert run_to(10.0)[-1].probs == run_unmasked_to(10.0)[-1].probs


def test_nothing_is_predicted_with_everything_masked(checkpoint):
    decoder, run_to = pumped(checkpoint, streams=("eeg",))
    decoder.masked = frozenset(MODALITIES)
    assert run_to(5.0) == []


ALWAYS = AnswerConfig(0.85, 0.79, 0.0, 0.2, 1.0, 0.03, 12, 120)  # answers whatever the probability


@pytest.fixture
def _answers_anything(monkeypatch):
    """Let the probabilities of a network that was not trained be answers."""
    monkeypatch.setattr("models.config.LEAST_ANSWER", 0.0)


@pytest.mark.usefixtures("_answers_anything")
def test_a_prediction_carries_the_verdict_of_its_models_figures(checkpoint):
    config = replace(checkpoint.config, answers=ALWAYS, is_simulated=True)
    _, run_to = pumped(replace(checkpoint, config=config), streams=("eeg",))
    *_, made = run_to(12.0)
    assert not made.warm_up
    assert made.verdict.state is State.CERTAIN
    assert made.verdict.answer == made.label
    assert made.verdict.set_90[0] == made.label
    assert not made.verdict.safe_to_act  # one modality alone: whether it shows anything is not known
    codes = {reason.code for reason in made.verdict.reasons}
    assert {Code.SIMULATED_MODEL, Code.MISSING, Code.AGREEMENT} <= codes
    assert Code.NOT_FITTED not in codes


@pytest.mark.usefixtures("_answers_anything")
def test_nothing_acts_upon_a_simulated_model_on_streams_that_are_not(checkpoint):
    decoder = Decoder(
        replace(checkpoint, config=replace(checkpoint.config, answers=ALWAYS, is_simulated=True))
    )
    decoder.open(StreamSpec("cap", "Cap", Kind.EEG, ("CZ", "PZ", "OZ"), ("uV",) * 3, 250.0))
    verdict = decoder.decode(eeg_window(np.random.default_rng(0).normal(0.0, 10.0, (3, 250)))).verdict
    assert (verdict.answer is None, verdict.safe_to_act) == (False, False)


@pytest.mark.usefixtures("_answers_anything")
def test_mostly_bad_electrodes_withhold_the_answer_of_eeg_alone(checkpoint):
    decoder = Decoder(replace(checkpoint, config=replace(checkpoint.config, answers=ALWAYS)))
    decoder.open(StreamSpec("cap", "Cap", Kind.EEG, ("CZ", "PZ", "OZ"), ("uV",) * 3, 250.0))
    data = np.random.default_rng(0).normal(0.0, 1.0, (3, 250))
    data[:2] += 100 * np.sin(2 * np.pi * 50.0 * np.arange(250) / 250.0)  # mains: bad, though not masked
    verdict = decoder.decode(eeg_window(data)).verdict
    (reason,) = (reason for reason in verdict.reasons if reason.code is Code.BAD_EEG)
    assert dict(reason.facts) == {"n_bad": 2, "n_all": 3}
    assert verdict.answer is None
