from __future__ import annotations

import pytest
import torch
from neumeta_core.device import resolve_device
from neumeta_core.errors import DeviceUnavailable


def test_auto_is_cuda_when_there_is_one() -> None:
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["", "gpu", "CUDA", "meta", "tpu", "cuda:x", "cpu,cuda"])
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(DeviceUnavailable, match="expected auto, cpu, cuda or cuda:N"):
        resolve_device(name)


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(DeviceUnavailable, match=f"this machine has {torch.cuda.device_count()} CUDA devices"):
        resolve_device(f"cuda:{torch.cuda.device_count()}")
