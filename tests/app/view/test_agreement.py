"""Attention and occlusion compared, with known answers."""

from __future__ import annotations

import pytest

from app.engine.messages import OcclusionRow
from app.view.explanation import compare, points

ATTENTION = {"eeg": 0.5, "eye": 0.3, "face": 0.12, "voice": 0.08}


def rows(**deltas):
    return [OcclusionRow("modality", name, delta) for name, delta in deltas.items()]


def test_a_modality_that_is_looked_at_and_needed_is_agreement():
    found = compare(ATTENTION, rows(eeg=-0.2, eye=-0.05, face=0.0, voice=-0.01), "happy")
    assert found.state == "agree"
    assert found.sentences == (
        "EEG has the highest attention (50 %), and without it happy falls by 20.0 points.",
    )


@pytest.mark.parametrize("delta", [-0.019, 0.0, 0.15])
def test_the_highest_attention_without_effect_is_disagreement(delta):
    found = compare(ATTENTION, rows(eeg=delta, eye=-0.05, face=0.0, voice=0.0), "happy")
    assert found.state == "disagree"
    assert found.sentences[0].startswith("EEG has the highest attention (50 %), yet without it happy ")


def test_little_attention_and_the_largest_effect_is_disagreement():
    found = compare(ATTENTION, rows(eeg=-0.05, eye=-0.03, face=0.0, voice=-0.23), "sad")
    assert found.state == "disagree"
    effect = "removing it has the largest effect: sad falls by 23.0 points"
    assert found.sentences == (f"Voice has little attention (8.0 %), yet {effect}.",)


def test_both_can_be_said_at_once():
    found = compare(ATTENTION, rows(eeg=0.0, eye=0.0, face=0.0, voice=0.3), "sad")
    assert len(found.sentences) == 2
    assert "rises by 30.0 points" in found.sentences[1]


def test_a_small_largest_effect_of_a_little_one_is_no_disagreement():
    found = compare(ATTENTION, rows(eeg=-0.03, eye=0.0, face=0.0, voice=-0.04), "sad")
    assert found.state == "agree"


def test_one_modality_alone_cannot_be_compared():
    assert compare({"eeg": 1.0, "eye": 0.0}, rows(eeg=-0.4), "sad").state == "unknown"
    assert compare({}, [], "sad").state == "unknown"


def test_bands_and_regions_do_not_count():
    other = [OcclusionRow("band", "alpha", -0.5), OcclusionRow("region", "midline", -0.6, ("CZ",))]
    assert compare(ATTENTION, other, "sad").state == "unknown"


@pytest.mark.parametrize(
    ("delta", "text"), [(-0.1234, "−12.3"), (0.004, "+0.4"), (-0.0001, "0.0"), (0, "0.0")]
)
def test_points_are_signed(delta, text):
    assert points(delta) == text


def test_where_attention_is_nearly_even_no_modality_has_to_be_needed_most():
    even = {"eeg": 0.27, "eye": 0.25, "face": 0.2, "voice": 0.28}
    found = compare(even, rows(eeg=-0.05, eye=-0.43, face=0.32, voice=0.08), "fear")
    assert found.state == "agree"
    assert found.sentences == ("No modality's attention stands out.",)
