"""The feature settings' digest is a contract with the weights."""

from __future__ import annotations

import json

import pytest

from acquisition.errors import ErrorCode, InputError
from models.features.config import FeatureConfig


def test_settings_survive_json():
    config = FeatureConfig(line_hz=50, eye_features=31)
    again = FeatureConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert again.digest() == config.digest()


def test_digest_changes_with_a_band_edge_only():
    moved = (("delta", 1.0, 4.5), *FeatureConfig().bands[1:])
    assert FeatureConfig().digest() == FeatureConfig().digest()
    assert FeatureConfig(bands=moved).digest() != FeatureConfig().digest()
    assert FeatureConfig(line_hz=50).digest() == FeatureConfig(line_hz=50.0).digest()


@pytest.mark.parametrize(
    "bad",
    [
        {"line_hz": 55},
        {"eye_features": 32},
        {"bands": (("x", 4.0, 4.0),)},
        {"voice_sfreq": 8000},
        {"eye_step_s": 0.0},
        {"face_size": -1},
    ],
)
def test_impossible_settings_are_refused(bad):
    with pytest.raises(InputError):
        FeatureConfig(**bad)


def test_unknown_settings_are_named():
    with pytest.raises(InputError) as caught:
        FeatureConfig.from_dict({"colour": 1})
    assert caught.value.code == ErrorCode.MODEL
