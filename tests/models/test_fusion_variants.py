"""Every fusion variant: presence, shares that add up, and the paper's formulas on small numbers."""

import pytest
import torch

from models.config import FusionConfig
from models.fusion import FUSIONS

N_LABELS, WIDTH = 3, 8
SUBSETS = [[bool(number >> bit & 1) for bit in range(4)] for number in range(1, 16)]


def make(variant):
    torch.manual_seed(0)
    fusion = FUSIONS[variant](FusionConfig(variant=variant, d_model=WIDTH, n_heads=2), N_LABELS).eval()
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))  # no parameter stays at a telling 0
    return fusion


@pytest.fixture(params=sorted(FUSIONS))
def fusion(request):
    return make(request.param)


@pytest.fixture
def tokens():
    return torch.randn(len(SUBSETS), 4, WIDTH, generator=torch.Generator().manual_seed(1))


def test_shares_add_up_over_what_is_present(fusion, tokens):
    present = torch.tensor(SUBSETS)
    logits, shares = fusion(tokens, present)
    assert logits.shape == (len(SUBSETS), N_LABELS)
    assert (shares >= 0).all()
    assert shares[~present].eq(0).all()
    assert torch.allclose(shares.sum(1), torch.ones(len(SUBSETS)))


def test_absent_token_has_no_influence(fusion, tokens):
    present = torch.tensor(SUBSETS)
    other = torch.where(present[..., None], tokens, torch.tensor(1e3))
    for one, two in zip(fusion(tokens, present), fusion(other, present), strict=True):
        assert torch.equal(one, two)


def test_nothing_present_gives_finite_logits_and_no_share(fusion, tokens):
    logits, shares = fusion(tokens, torch.zeros(len(SUBSETS), 4, dtype=torch.bool))
    assert logits.isfinite().all()
    assert shares.eq(0).all()


def test_every_parameter_of_a_fusion_learns(fusion, tokens):
    logits, _ = fusion(tokens, torch.tensor(SUBSETS))
    torch.nn.functional.cross_entropy(logits, torch.arange(len(SUBSETS)) % N_LABELS).backward()
    assert [name for name, p in fusion.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_last_two_parameters_scale_the_logits(fusion, tokens):
    present = torch.tensor(SUBSETS)
    before, _ = fusion(tokens, present)
    with torch.no_grad():
        for parameter in list(fusion.parameters())[-2:]:
            parameter.div_(2.0)
    after, _ = fusion(tokens, present)
    assert torch.allclose(after, before / 2, atol=1e-6)


def test_attention_is_equations_6_to_8_on_two_modalities(tokens):
    fusion = make("attention")
    present = torch.tensor([[True, True, False, False]]).expand(len(tokens), -1)
    logits, alpha = fusion(tokens, present)
    w = fusion.score.weight[0]
    for row in range(len(tokens)):
        stacked = tokens[row, :2].T  # F (d, 2)
        expected = torch.softmax(w @ torch.tanh(stacked), dim=0)
        assert torch.allclose(alpha[row, :2], expected)
        assert torch.allclose(logits[row], fusion.head(stacked @ expected), atol=1e-6)


def test_concatenation_is_equation_5_with_a_vector_for_what_is_absent(tokens):
    fusion = make("concat")
    present = torch.tensor([[True, True, False, False]]).expand(len(tokens), -1)
    logits, _ = fusion(tokens, present)
    row = torch.cat([tokens[0, 0], tokens[0, 1], fusion.absent[2], fusion.absent[3]])
    assert torch.allclose(logits[0], fusion.head.weight @ row + fusion.head.bias, atol=1e-6)


def test_share_of_concatenation_is_the_move_of_the_logits_without_the_modality(tokens):
    fusion = make("concat")
    everything = torch.ones(len(tokens), 4, dtype=torch.bool)
    logits, shares = fusion(tokens, everything)
    moves = []
    for modality in range(4):
        without = everything.clone()
        without[:, modality] = False
        move = logits - fusion(tokens, without)[0]
        moves.append((move - move.mean(1, keepdim=True)).norm(dim=1))
    expected = torch.stack(moves, dim=1)
    assert torch.allclose(shares, expected / expected.sum(1, keepdim=True), atol=1e-5)


def test_shares_of_concatenation_are_equal_where_nothing_moves():
    fusion = make("concat")
    still = fusion.absent.detach().expand(2, -1, -1)
    _, shares = fusion(still, torch.tensor([[True, True, True, True], [False, True, True, False]]))
    assert torch.allclose(shares, torch.tensor([[0.25] * 4, [0, 0.5, 0.5, 0]]))
