"""Windows of trials are live windows less what began before the trial."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch

from acquisition.types import MODALITIES
from calibration.tokens import TrialWindows, modality_tokens
from calibration.types import TrialRecord
from models.checkpoint import load_checkpoint, save_checkpoint
from models.config import preset
from models.features.gaze import LONG_EYE_FEATURES
from models.network import FusionNetwork
from models.normalise import Normaliser
from models.window_batch import NetworkInput

END_S = 26


@pytest.fixture
def session(decoded):
    table, live = decoded
    return table, {t_end: inputs for t_end, inputs in live.items() if t_end == int(t_end)}


def trial(begin, end, number=1):
    return TrialRecord(number, "happy", begin, end)


def normaliser_of(checkpoint):
    return Normaliser.from_dict(checkpoint.normaliser_tensors)


def assert_same(one: NetworkInput, other: NetworkInput) -> None:
    for f in fields(NetworkInput):
        assert torch.equal(getattr(one, f.name), getattr(other, f.name)), f.name


def test_windows_wholly_inside_are_the_live_ones_to_the_bit(checkpoint, session):
    table, live = session
    windows = TrialWindows(table, [trial(0.5, END_S)], checkpoint.config)
    whole = [i for i, t in enumerate(windows.t_end) if t >= 22]
    assert len(whole) == END_S - 21
    for i in whole:
        assert_same(windows.inputs(normaliser_of(checkpoint), at=slice(i, i + 1)), live[windows.t_end[i]])


def test_windows_of_a_streaming_encoder_are_the_live_ones(tmp_path, checkpoint, decode_with):
    config = preset(
        "small",
        labels=("a", "b"),
        ch_names=checkpoint.config.ch_names,
        eeg_context="streaming",
        modalities=("eeg",),
    )
    save_checkpoint(tmp_path, config, FusionNetwork(config), checkpoint.normaliser_tensors, "")
    streaming = load_checkpoint(tmp_path)
    table, live = decode_with(streaming, 15)
    windows = TrialWindows(table, [trial(0.0, 15.0)], config)
    newest = windows.inputs(normaliser_of(streaming), at=slice(len(windows) - 1, None))
    assert torch.equal(newest.eeg_step_mask, live[15.0].eeg_step_mask)
    assert torch.equal(newest.eeg_channel_mask, live[15.0].eeg_channel_mask)
    assert torch.equal(newest.eeg, live[15.0].eeg)


def test_steps_that_began_before_the_onset_are_masked(checkpoint, session):
    windows = TrialWindows(session[0], [trial(10.3, 24.0)], checkpoint.config)
    inputs = windows.inputs(normaliser_of(checkpoint))
    at = {t: i for i, t in enumerate(windows.t_end)}
    assert min(at) == 14.0  # 11.3 is the first whole step's earliest end: those at 12, 13, 14 are whole
    assert inputs.eeg_step_mask[at[14.0]].tolist() == [False] * 7 + [True] * 3
    assert inputs.face_mask[at[14.0]].tolist() == [False] * 3 + [True] * 7  # 11.0 to 14.0
    assert not inputs.present[at[15.0], MODALITIES.index("voice")]  # its clip begins at 10.0
    assert inputs.present[at[16.0], MODALITIES.index("voice")]
    assert inputs.eye_step_mask[at[17.0]].tolist() == [False] * 7 + [True] * 3  # 4 s each
    assert not inputs.present[at[16.0], MODALITIES.index("eye")]
    long = torch.tensor(LONG_EYE_FEATURES)
    assert not inputs.eye_feature_mask[at[20.0]][long].any()  # they look back to 10.0
    assert inputs.eye_feature_mask[at[21.0]][long].any()


def test_windows_of_two_trials_never_mix_and_other_runs_are_not_looked_at(checkpoint, session):
    other_run = TrialRecord(3, "sad", 5.0, 20.0, run=2)
    windows = TrialWindows(
        session[0], [trial(3.0, 13.0), trial(13.0, 25.0, 2), other_run], checkpoint.config, every_s=2
    )
    assert windows.t_end[windows.trial == 1].tolist() == [7.0, 9.0, 11.0, 13.0]
    assert windows.t_end[windows.trial == 2].tolist() == [17.0, 19.0, 21.0, 23.0, 25.0]
    assert 3 not in windows.trial


def test_tokens_are_those_of_the_live_windows_and_of_what_was_consented(checkpoint, session):
    windows = TrialWindows(session[0], [trial(0.5, END_S)], checkpoint.config)
    normaliser = normaliser_of(checkpoint)
    tokens, present = modality_tokens(checkpoint.network, windows, normaliser, ("eeg", "eye", "voice"))
    with torch.no_grad():
        live = checkpoint.network.modality_tokens(session[1][float(END_S)])
    assert torch.allclose(tokens[-1, :2], live[0, :2], atol=1e-5)
    assert present[-1].tolist() == [True, True, False, True]
    assert not tokens[:, 2].any()
    assert windows.t_end[-1] == END_S


def test_features_are_the_live_decoders(checkpoint, decoded, session):
    """Of the newest second, what `models.level` takes live: unmeasured is NaN, a voice is its clip's mean."""
    windows = TrialWindows(session[0], [trial(0.5, END_S)], checkpoint.config)
    recent = windows.recent(len(windows.features["eeg"]) - 1)
    row = session[0].select(session[0].t_end == END_S)
    expected = np.where(row.eeg_usable[..., None], row.eeg, np.nan).reshape(1, -1)
    np.testing.assert_array_equal(recent["eeg"][-1:], expected)
    np.testing.assert_array_equal(recent["eye"][-1:], row.eye)
    assert len(recent["eeg"]) == checkpoint.config.windows.eeg_n_steps
    clip = row.voice[0][row.voice_mask[0]].mean(axis=0)
    np.testing.assert_allclose(recent["voice"][0], clip, atol=1e-6)


def test_windows_about_levels_of_their_own_are_those_of_a_normaliser_about_each(checkpoint, session):
    windows = TrialWindows(session[0], [trial(0.5, END_S)], checkpoint.config)
    eeg = torch.linspace(1, 2, len(windows) * 310).reshape(len(windows), 310)
    both = windows.inputs(normaliser_of(checkpoint), levels={"eeg": eeg})
    last = normaliser_of(checkpoint).centred_on({"eeg": eeg[-1].reshape(62, 5)}, "level")
    one = windows.inputs(last, at=slice(len(windows) - 1, None))
    assert torch.equal(both.eeg[-1:], one.eeg)


def test_no_trial_gives_no_window(checkpoint, session):
    windows = TrialWindows(session[0], [], checkpoint.config)
    tokens, present = modality_tokens(checkpoint.network, windows, normaliser_of(checkpoint))
    assert tokens.shape == (0, 4, 64)
    assert present.shape == (0, 4)
    assert len(windows.t_end) == 0
