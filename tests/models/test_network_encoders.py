"""Face and voice encoders: any clip length, invisible padding, open weights from a folder."""

import pytest
import torch

from acquisition.errors import ErrorCode, InputError
from models.config import AstConfig, VitConfig
from models.encoders.transformer import AstEncoder, VitEncoder

TINY_AST = {"width": 16, "n_layers": 2, "n_heads": 2, "ffn_dim": 32}
TINY_VIT = {**TINY_AST, "image_size": 32}


@pytest.fixture(scope="module")
def voice() -> AstEncoder:
    torch.manual_seed(0)
    encoder = AstEncoder(AstConfig(**TINY_AST)).eval()
    torch.nn.init.normal_(encoder.model.embeddings.position_embeddings)
    return encoder


@pytest.mark.parametrize("n_frames", [98, 498, 998])
def test_voice_padding_is_invisible(voice, n_frames):
    clip = torch.randn(2, n_frames, 128)
    mask = torch.ones(2, n_frames, dtype=torch.bool)
    padded = torch.cat([clip, torch.full((2, 26, 128), float("nan"))], dim=1)
    padded_mask = torch.cat([mask, torch.zeros(2, 26, dtype=torch.bool)], dim=1)
    tokens, valid, _ = voice(clip, mask)
    padded_tokens, padded_valid, times = voice(padded, padded_mask)
    n_tokens = tokens.shape[1]
    assert valid.all()
    assert not padded_valid[:, n_tokens:].any()
    assert (padded_tokens[:, :n_tokens] - tokens).abs().max() < 1e-5
    assert times[:2].tolist() == pytest.approx([0.08, 0.24])  # middles of 160 ms columns


def test_full_length_voice_equals_the_library_model(voice):
    import transformers

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    library = transformers.ASTModel(
        transformers.ASTConfig(**sizes, time_stride=16, frequency_stride=16)
    ).eval()
    library.load_state_dict(voice.model.state_dict())
    clip = torch.randn(1, 1024, 128)
    tokens, _, _ = voice(clip, torch.ones(1, 1024, dtype=torch.bool))
    expected = library(clip).last_hidden_state[:, 2:].view(1, 8, 64, -1).mean(dim=1)
    assert (tokens - expected).abs().max() < 1e-5


def test_face_equals_the_library_model():
    import transformers

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    library = transformers.ViTModel(transformers.ViTConfig(**sizes, image_size=32), add_pooling_layer=False)
    encoder = VitEncoder(VitConfig(**TINY_VIT)).eval()
    library.eval().load_state_dict(encoder.model.state_dict())
    frames = torch.rand(2, 3, 32, 32)
    expected = library(pixel_values=frames).last_hidden_state[:, 1:].mean(dim=1)
    assert (encoder(frames) - expected).abs().max() < 1e-5


def test_overlong_voice_is_refused_and_a_blink_of_voice_is_masked(voice):
    with pytest.raises(InputError) as caught:
        voice(torch.zeros(1, 1025, 128), torch.ones(1, 1025, dtype=torch.bool))
    assert caught.value.code == ErrorCode.MODEL
    tokens, mask, _ = voice(torch.zeros(1, 10, 128), torch.ones(1, 10, dtype=torch.bool))
    assert tokens.isfinite().all()
    assert not mask.any()


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_face_gives_one_token_a_frame_independent_of_its_neighbours(pooling):
    encoder = VitEncoder(VitConfig(**TINY_VIT, pooling=pooling)).eval()
    frames = torch.rand(3, 3, 32, 32)
    tokens = encoder(frames)
    assert tokens.shape == (3, 16)
    assert (encoder(frames[1:2]) - tokens[1]).abs().max() < 1e-5


def test_token_norm_takes_off_what_all_faces_share():
    torch.manual_seed(0)
    tiny = {**TINY_VIT, "stem": "conv", "token_norm": "batch"}
    encoder = VitEncoder(VitConfig(**tiny)).train()
    frames = torch.randn(32, 3, 32, 32) * torch.linspace(0.1, 2.0, 32)[:, None, None, None]
    tokens = encoder(frames)
    assert tokens.mean(dim=0).abs().max() < 1e-5
    assert torch.allclose(tokens.std(dim=0, correction=0), torch.ones(16), atol=0.1)
    encoder.eval()
    assert torch.allclose(encoder(frames)[3:4], encoder(frames[3:4]), atol=1e-4)  # alone as among others


def test_convolutional_stem_makes_as_many_tokens_as_patches():
    encoder = VitEncoder(VitConfig(**{**TINY_VIT, "image_size": 112}, stem="conv"))
    tokens = encoder.model(torch.rand(1, 3, 112, 112), encoder.model.embeddings.position_embeddings)
    assert tokens.shape == (1, 1 + 7 * 7, 16)


@pytest.mark.parametrize(
    ("change", "setting"),
    [
        ({"stem": "dense"}, "stem"),
        ({"token_norm": "layer"}, "token_norm"),
        ({"stem": "conv", "patch_size": 8}, "patch_size"),
    ],
)
def test_unknown_face_options_are_refused(change, setting):
    with pytest.raises(InputError) as caught:
        VitEncoder(VitConfig(**{**TINY_VIT, **change}))
    assert caught.value.facts["setting"] == setting
