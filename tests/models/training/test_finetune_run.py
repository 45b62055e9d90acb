"""Fine-tuning: what is trained, frozen, kept, saved, and refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from acquisition.errors import ErrorCode, InputError
from acquisition.montage import SEED_CH_NAMES
from assets import DEMO_RECORDING
from models.checkpoint import load_checkpoint, save_checkpoint
from models.config import preset
from models.datasets.trials import Trial, cut_windows
from models.network import FusionNetwork
from models.normalise import Normaliser
from models.training.finetune import finetune, training_windows
from models.training.finetune_config import FinetuneOptions, PretrainedEncoders
from models.training.finetune_tokens import FrozenTokens, Tokens
from models.training.sources import Labels, Source, missing_classes
from models.training.trial_tensors import TrialTensors, cut_for, fit_normaliser

LABELS = ("sad", "happy")
CH_NAMES = SEED_CH_NAMES[:5]
OPTIONS = FinetuneOptions(epochs=1, few_epochs=1, n_steps=3)


def make_trials(n=6, *, origin="published", step_s=4.0, ch_names=CH_NAMES, n_eye=31, n_steps=6):
    rng = np.random.default_rng(0)
    return [
        Trial(
            "seed-iv", "1", 1, number + 1, number % 2, LABELS, step_s,
            rng.normal(0, 1, (n_steps, len(ch_names), 5)).astype(np.float32),
            rng.normal(0, 1, (n_steps, n_eye)).astype(np.float32),
            ch_names, origin, "made here",
        )
        for number in range(n)
    ]  # fmt: skip


def make_pretrained(ch_names=SEED_CH_NAMES[:8], context="window", **changes):
    torch.manual_seed(1)
    config = preset(
        "small", labels=("unlabelled",), ch_names=ch_names, modalities=("eeg", "eye"), eeg_context=context
    )
    config = replace(config, is_classifier=False, **{"feature_origin": "published", "step_s": 4.0} | changes)
    network = FusionNetwork(config)
    eeg = {"eeg_mean": torch.full((len(ch_names), 5), 7.0), "eeg_sd": torch.ones(len(ch_names), 5)}
    eye = {
        f"eye_{name}": torch.ones(33) * value for name, value in (("low", 0.0), ("high", 2.0), ("mean", 1.0))
    }
    weights = {k: v for k, v in network.state_dict().items() if k.startswith(("eeg.", "eye."))}
    return PretrainedEncoders(config, weights, eeg | eye)


def test_frozen_encoders_stay_and_the_rest_learns():
    pretrained = make_pretrained()
    model = finetune(make_trials(), replace(OPTIONS, freeze=True), pretrained)
    state = model.network.state_dict()
    assert all(torch.equal(state[name], weight) for name, weight in pretrained.weights.items())
    free = finetune(make_trials(), OPTIONS, pretrained).network.state_dict()
    assert not torch.equal(free["eeg.embed.weight"], pretrained.weights["eeg.embed.weight"])


def test_a_classifier_is_no_base(tmp_path):
    first = finetune(make_trials(), OPTIONS)
    save_checkpoint(tmp_path, first.config, first.network, first.normaliser.to_dict(), "# Card\n")
    with pytest.raises(InputError) as error:
        PretrainedEncoders.of(load_checkpoint(tmp_path))
    assert (error.value.code, error.value.where) == (ErrorCode.MODEL, "--model")


def test_center_is_the_mean_token_also_of_encoders_that_trained():
    model = finetune(make_trials(), OPTIONS)
    tensors = TrialTensors(cut_for(model.config, make_trials()), CH_NAMES, model.config, model.normaliser)
    mean = Tokens(model.network, tensors).encoded()["eeg"].mean(dim=(0, 1))
    projection = model.network.eeg_pool
    known = tensors.positions
    assert projection.known.nonzero()[:, 0].tolist() == known.tolist()
    torch.testing.assert_close(projection.center[known], mean, atol=1e-3, rtol=1e-3)


def test_windows_without_a_modality_do_not_count_in_its_channel_projection():
    trials = make_trials(8)
    blind = [replace(t, eye=np.full_like(t.eye, np.nan)) if t.trial > 6 else t for t in trials]
    options = replace(OPTIONS, stop_early=False, few_epochs=0)
    pretrained = make_pretrained()
    of_all, of_six = (finetune(part, options, pretrained).network.eye_pool for part in (blind, trials[:6]))
    torch.testing.assert_close(of_all.center, of_six.center)
    torch.testing.assert_close(of_all.weight, of_six.weight, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("context", ["window", "streaming"])
def test_frozen_tokens_are_the_networks_own(context):
    trials = make_trials()
    model = finetune(trials, OPTIONS, make_pretrained(context=context))
    assert model.config.n_eeg_steps == (3 if context == "window" else 39)
    windows = cut_for(model.config, trials)
    tensors = TrialTensors(windows, CH_NAMES, model.config, model.normaliser)
    at = np.arange(7)
    with torch.no_grad():
        frozen, plain = (kind(model.network, tensors)(at) for kind in (FrozenTokens, Tokens))
    assert torch.allclose(frozen[0], plain[0], atol=1e-5)
    assert torch.equal(frozen[1], plain[1])


def test_streaming_windows_reach_back_to_the_trials_begin_and_no_further():
    trials = make_trials()
    config = finetune(trials, OPTIONS, make_pretrained(context="streaming")).config
    plain, long = cut_windows(trials, 3), cut_for(config, trials)
    assert long.end_step.tolist() == plain.end_step.tolist()
    assert np.array_equal(long.eeg[:, :, -3:], plain.eeg)
    known = np.isfinite(long.eeg).all(axis=(1, 3))  # (n, T)
    assert known.sum(axis=1).tolist() == (plain.end_step + 1).tolist()


def test_same_seed_same_weights_other_seed_other_weights():
    one, two, other = (
        finetune(make_trials(), replace(OPTIONS, seed=seed)).network.state_dict() for seed in (0, 0, 1)
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["fusion.head.weight"], other["fusion.head.weight"])


def test_model_of_published_features_says_so_and_survives_a_checkpoint(tmp_path):
    model = finetune(make_trials(), OPTIONS, trained_on="made here")
    save_checkpoint(tmp_path, model.config, model.network, model.normaliser.to_dict(), "# Card\n")
    loaded = load_checkpoint(tmp_path)
    config = loaded.config
    assert (config.feature_origin, config.step_s, config.labels) == ("published", 4.0, LABELS)
    assert config.modalities == ("eeg", "eye")
    windows = cut_windows(make_trials(), 3)
    normaliser = Normaliser.from_dict(loaded.normaliser_tensors)
    tensors = TrialTensors(windows, CH_NAMES, config, normaliser)
    with torch.no_grad():
        logits = loaded.network.prepare_inference()(tensors.batch(slice(None))).logits
        probs = torch.softmax(logits, dim=-1)
    assert probs.numpy() == pytest.approx(model.predict(make_trials()).probs, abs=1e-5)


def test_channels_go_to_their_places_in_the_pretrained_model_and_unknown_ones_are_left_out():
    trials = make_trials(ch_names=("FP2", "PO9", "FP1", "AF3", "FPZ"))
    model = finetune(trials, OPTIONS, make_pretrained())
    tensors = TrialTensors(cut_windows(trials, 3), trials[0].ch_names, model.config, model.normaliser)
    assert [model.config.ch_names[i] for i in tensors.positions] == ["FP2", "FP1", "AF3", "FPZ"]
    assert model.config.network.n_eye_features == 31


def test_channel_without_training_data_keeps_the_known_scale():
    trials, pretrained = make_trials(), make_pretrained()
    for trial in trials:
        trial.eeg[:, 2] = np.nan
    config = finetune(make_trials(), OPTIONS, pretrained).config
    known = Normaliser.from_dict(pretrained.normaliser)
    scale = fit_normaliser(trials, config, known).eeg
    assert scale.mean[2].eq(7).all()  # dead
    assert scale.mean[6].eq(7).all()  # of the model, not of the trials
    assert scale.mean[0].abs().max() < 1


@pytest.mark.parametrize("modality", ["eeg", "eye"])
def test_trials_in_which_nothing_of_a_modality_works_are_refused(modality):
    dead = [replace(t, **{modality: np.full_like(getattr(t, modality), np.nan)}) for t in make_trials()]
    for modalities in ((modality,), ("eeg", "eye")):
        with pytest.raises(InputError) as error:
            finetune(dead, replace(OPTIONS, modalities=modalities))
        assert error.value.code is ErrorCode.DATA
        assert error.value.where == "made here, subject 1"
        assert error.value.facts == {"modality": modality}


def test_half_of_the_channels_hidden():
    trials = make_trials()
    model = finetune(trials, replace(OPTIONS, modalities=("eeg",)))
    tensors = TrialTensors(cut_windows(trials, 3), CH_NAMES, model.config, model.normaliser, mask=0.6)
    mask = tensors.batch(slice(None)).eeg_channel_mask
    assert mask.sum(dim=1).eq(2).all()
    assert len({tuple(row.tolist()) for row in mask}) > 1


def test_few_trials_train_for_fixed_epochs_and_say_so():
    notes = finetune(make_trials(6), OPTIONS).notes
    assert any("too few trials to hold some out: fixed at 1 epochs" in note for note in notes)
    assert any("early-stopped after 1 epochs" in note for note in finetune(make_trials(16), OPTIONS).notes)


def test_a_dcca_loss_that_no_batch_is_large_enough_for_is_told():
    options = replace(OPTIONS, n_layers=1, stop_early=False, dcca=True)
    few, enough = (finetune(make_trials(n), options).notes for n in (6, 16))  # batches of 24, and two of 32
    assert any("DCCA loss had no effect" in note for note in few)
    assert not any("DCCA loss had no effect" in note for note in enough)


def test_one_label_alone_trains_and_is_always_predicted():
    model = finetune(make_trials(1), replace(OPTIONS, few_epochs=30))
    assert model.predict(make_trials(2)).probs.argmax(axis=1).tolist() == [0] * 8


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"feature_origin": "raw", "step_s": 1.0}, ErrorCode.MODEL),
        ({"ch_names": ("O1", "O2")}, ErrorCode.CHANNELS),
    ],
)
def test_model_of_another_kind_is_refused(changes, code):
    with pytest.raises(InputError) as error:
        finetune(make_trials(), OPTIONS, make_pretrained(**changes))
    assert error.value.code is code


def test_trials_without_the_wanted_modality_are_refused():
    trials = [replace(trial, eye=None) for trial in make_trials()]
    with pytest.raises(InputError) as error:
        finetune(trials, replace(OPTIONS, modalities=("eye",)))
    assert error.value.code is ErrorCode.DATA
    assert finetune(trials, OPTIONS).config.modalities == ("eeg",)


def test_labels_are_read_and_chosen():
    trials = make_trials(6)
    assert [t.trial for t in Labels.parse("first:3").choose(trials)] == [1, 2, 3]
    assert [t.trial for t in Labels.parse("per-class:1").choose(trials)] == [1, 2]
    assert Labels.parse("first-windows:10").max_windows == 10
    assert len(Labels.parse("all").choose(trials)) == 6
    for bad in ("first", "first:0", "ten", "per-class:x"):
        with pytest.raises(InputError) as error:
            Labels.parse(bad)
        assert error.value.where == "--labels"
    with pytest.raises(InputError) as error:
        Labels.parse("first:9").choose(trials)
    assert error.value.code is ErrorCode.DATA


def test_first_windows_may_be_of_one_trial_and_no_other_trial_then_has_a_part():
    trials, labels = make_trials(16, n_steps=13), Labels.parse("first-windows:10")
    assert [t.trial for t in labels.choose(trials, 10)] == [1, 2, 3]  # of four windows each
    assert [t.trial for t in labels.choose(trials, 4)] == [1]
    options = replace(OPTIONS, n_steps=4, max_windows=10, max_windows_per_trial=3)
    windows = training_windows(labels.choose(trials, 4), options)
    assert windows.end_step.tolist() == list(range(3, 13))


def test_class_missing_from_the_first_trials_is_named():
    labels = Labels.parse("first:1")
    assert "first 1 trials hold no happy" in missing_classes(labels.choose(make_trials()), labels)
    assert missing_classes(make_trials(), labels) == ""


def test_every_session_that_lacks_a_class_is_named():
    labels = Labels.parse("first:1")
    one, two, three = (
        [replace(trial, session=session) for trial in trials]
        for session, trials in enumerate((make_trials(1), make_trials(2), make_trials(2)[1:]), start=1)
    )
    said = missing_classes(one + two + three, labels)
    assert "first 1 trials hold no happy in session 1, no sad in session 3; the model learns them" in said
    assert "cannot predict them" in missing_classes(one, labels)


def test_recording_without_events_is_refused(tmp_path):
    with pytest.raises(InputError) as error:
        Source("xdf", tmp_path / "run.xdf").trials()
    assert error.value.where == "--events"
    with pytest.raises(InputError) as error:
        Source("xdf", DEMO_RECORDING).trials()
    assert "trial_start/happy (" in error.value.what
