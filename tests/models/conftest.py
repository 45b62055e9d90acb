"""Weights that need no package."""

from pathlib import Path

import pytest


@pytest.fixture
def installed_face(tmp_path: Path) -> Path:
    """The folder of installed weights with an expression net of random weights."""
    import torch
    from safetensors.torch import save

    from models.config import VitConfig
    from models.encoders.expression import ExpressionEncoder

    torch.manual_seed(4)
    tensors = dict(ExpressionEncoder(VitConfig(width=256, image_size=112)).state_dict())
    tensors |= {"fc.weight": 3 * torch.randn(7, 256), "fc.bias": torch.randn(7)}
    data = save({name: tensor.contiguous() for name, tensor in tensors.items()})
    folder = tmp_path / "installed" / "face-expression"
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(data)
    (folder / "source.json").write_text("{}")
    return folder.parent
