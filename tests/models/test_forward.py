"""What happens when the device fails in the middle of a run."""

from __future__ import annotations

import pytest
import torch

from models.checkpoint import load_checkpoint
from models.forward import Forward


@pytest.fixture(scope="module")
def network(random_model):
    return load_checkpoint(random_model).network


class _FailingNetwork:
    """Stands where the GPU's copy of the network is, and fails as a full or dead GPU does."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def encode_face(self, crop: torch.Tensor) -> torch.Tensor:
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        torch.AcceleratorError("CUDA error: unspecified launch failure"),
    ],
)
def test_failing_device_is_replaced_by_the_cpu_and_said_once(network, error):
    messages: list[str] = []
    forward = Forward(network, torch.device("cpu"), messages.append)
    crop = torch.zeros(3, 112, 112)
    expected = forward.encode_face(crop)
    # Not every machine has a GPU to lose: its place is taken, the fallback itself is real.
    forward.device, forward._network = torch.device("meta"), _FailingNetwork(error)
    with torch.inference_mode():
        assert torch.equal(forward.encode_face(crop), expected)
        assert torch.equal(forward.encode_face(crop), expected)
    assert forward.device == torch.device("cpu")
    assert len(messages) == 1
    assert "predictions continue on the CPU" in messages[0]


def test_fault_on_the_cpu_is_not_hidden(network):
    forward = Forward(network, torch.device("cpu"), lambda message: None)
    with pytest.raises(RuntimeError):
        forward.encode_face(torch.zeros(3, 112, 112, device="meta"))
