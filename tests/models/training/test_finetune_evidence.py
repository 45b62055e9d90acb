"""The discriminant beside a fine-tuned network: fitted to people or trials, weighed on those left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.checkpoint import load_checkpoint, save_checkpoint
from models.config import EvidenceConfig
from models.datasets.trials import cut_windows
from models.level import Course
from models.normalise import Normaliser
from models.training.evidence import Fused, HeldOut, Weighed
from models.training.finetune import _folds, finetune
from models.training.finetune_config import FinetuneOptions
from models.training.finetune_tokens import TrialClassifier
from tests.models.training.test_finetune_run import make_trials

OPTIONS = FinetuneOptions(
    epochs=1, few_epochs=1, n_steps=3, evidence=True, dcca=False, freeze=True, n_layers=1, n_heads=1
)

pytestmark = pytest.mark.usefixtures("one_thread")


def shown(trials, *, size=1.5, **changes):
    """Return trials whose label is in the EEG of the first two channels."""
    found = []
    for trial in trials:
        eeg = trial.eeg.copy()
        eeg[:, :2] += size * trial.label
        found.append(replace(trial, eeg=eeg, **changes))
    return found


@pytest.fixture(scope="module")
def model():
    return finetune(shown(make_trials(8)), OPTIONS)


def test_few_trials_leave_the_discriminant_to_answer_and_say_so(model):
    about = model.config.evidence
    assert about.network_weight == 0
    assert about.unused == ("network",)
    assert 0.1 <= about.weights[0] <= 1  # a temperature from 1 to 10
    assert about.n_steps[:2] == (3, 3)
    assert about.trial_s == 24.0
    assert any("the network got no weight" in note for note in model.notes)
    test = shown(make_trials(14)[8:])
    said = model.predict_parts(model.hear(test))
    kept = model.predict(test)
    assert kept.scores().accuracy == 1.0
    assert np.array_equal(kept.probs.argmax(1), said["discriminant"].probs.argmax(1))
    assert not np.allclose(said["network"].probs, 0.5, atol=1e-3)


@pytest.mark.parametrize("kind", ["discriminant", "svm"])
def test_a_saved_model_says_the_same_after_loading(kind, model, tmp_path):
    if kind == "svm":
        model = finetune(shown(make_trials(8)), replace(OPTIONS, kind=kind, network=False))
    assert model.config.evidence.kind == kind
    save_checkpoint(
        tmp_path, model.config, model.network, model.normaliser.to_dict(), "# Card\n", model.evidence
    )
    loaded = load_checkpoint(tmp_path)
    assert loaded.evidence is not None
    assert loaded.config.evidence == model.config.evidence
    again = TrialClassifier(
        loaded.config,
        loaded.network.prepare_inference(),
        Normaliser.from_dict(loaded.normaliser_tensors),
        evidence=loaded.evidence,
    )
    test = shown(make_trials(14)[8:])
    running = replace(model, levels=None).predict(test).probs  # a model's folder does not hold its sessions
    np.testing.assert_allclose(again.predict(test).probs, running, atol=1e-5)
    assert not np.allclose(model.predict(test).probs, running, atol=1e-3)


def test_hidden_channels_are_hidden_from_the_discriminant_too(model):
    test = shown(make_trials(14)[8:])
    heard = model.hear(test)
    seen = heard.predict(["eeg"]).probs
    half = heard.hiding(0.5, same_channels=True).predict(["eeg"]).probs
    assert not np.allclose(seen, half, atol=1e-3)
    nothing = [replace(trial, eeg=np.full_like(trial.eeg, np.nan)) for trial in test]
    np.testing.assert_allclose(model.predict(nothing, ["eeg"]).probs, 0.5, atol=1e-6)


def test_several_people_are_left_out_one_after_the_other_each_once():
    trials = [t for name in "123" for t in shown(make_trials(4), subject=name)]
    folds = _folds(trials, OPTIONS)
    assert sorted(sorted({t.subject for t in out}) for _, out in folds) == [["1"], ["2"], ["3"]]
    assert all(not {t.subject for t in kept} & {t.subject for t in out} for kept, out in folds)
    model = finetune(trials, OPTIONS)
    assert any("subjects (3) left out in turn, 12 trials in all" in note for note in model.notes)
    assert set(model.evidence.range.bounds) == {"eeg", "eye", "face", "voice"}


def course(evidence):
    unknown = torch.full((len(evidence),), torch.nan)
    return Course({}, evidence, torch.zeros(len(evidence), 4, 2), unknown, ())


def held_out(network_knows, discriminant_knows, n_trials=12):
    windows = cut_windows(make_trials(n_trials), 3)
    right = torch.eye(2)[torch.from_numpy(windows.label)]
    noise = torch.randn(len(right), 2, generator=torch.Generator().manual_seed(0))
    evidence = torch.zeros(len(right), 4, 2)
    evidence[:, 0] = 2 * right if discriminant_knows else noise
    shares = torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(len(right), 4)
    fused = Fused(2 * right if network_knows else noise, shares, shares.bool())
    return [HeldOut(windows, course(evidence), fused)]


@pytest.mark.parametrize(("network", "discriminant", "share"), [(True, False, 1.0), (False, True, 0.0)])
def test_who_knows_more_of_trials_left_out_gives_the_answer(network, discriminant, share):
    chosen = Weighed.on(held_out(network, discriminant))
    assert (chosen.share, chosen.n_trials, chosen.compared) == (share, 12, True)
    assert "got no weight" in chosen.words()


def test_a_network_that_knows_the_same_gets_nothing_and_windows_do_not_count():
    parts = held_out(True, True)
    twice = [replace(parts[0], fused=parts[0].fused._replace(logits=1.0 * parts[0].fused.logits))]
    assert Weighed.on(twice).share == 0.0
    few = cut_windows(make_trials(12), 3, max_per_trial=1)
    at = np.flatnonzero(np.isin(parts[0].windows.end_step, few.end_step))
    one = HeldOut(few, course(parts[0].course.evidence[at]))
    assert Weighed.on([one]).compared is False


def test_the_weights_are_shares_divided_by_the_temperature(model):
    chosen = Weighed(share=0.25, temperature=2.0)
    about = chosen.applied(model.evidence, []).config
    assert (about.network_weight, about.weights) == (0.125, (0.375,) * 4)
    assert about == replace(about, n_steps=model.evidence.config.n_steps)
    assert isinstance(about, EvidenceConfig)
