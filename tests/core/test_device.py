from __future__ import annotations

import pytest
import torch
from neumeta_core.device import kernels, multiplies_bf16, resolve_device, resolve_dtype
from neumeta_core.errors import DeviceUnavailable


def test_auto_is_cuda_when_there_is_one() -> None:
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["", "gpu", "CUDA", "meta", "tpu", "cuda:x", "cpu,cuda", "cuda:-1", "cuda:200"])
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(DeviceUnavailable, match="expected auto, cpu, cuda or cuda:N"):
        resolve_device(name)


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(DeviceUnavailable, match=f"this machine has {torch.cuda.device_count()} CUDA devices"):
        resolve_device(f"cuda:{torch.cuda.device_count()}")


def test_number_types_by_name() -> None:
    cpu = torch.device("cpu")
    assert (resolve_dtype("fp32", cpu), resolve_dtype("bf16", cpu)) == (torch.float32, torch.bfloat16)
    assert resolve_dtype("auto", cpu) == (torch.bfloat16 if multiplies_bf16(cpu) else torch.float32)
    with pytest.raises(DeviceUnavailable, match="dtype: 'fp8' is not known; expected auto, fp32 or bf16"):
        resolve_dtype("fp8", cpu)


def test_kernels_tell_apart_what_computes_other_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    known = {kernels(cpu, 2), kernels(cpu, 1000)}
    for owner, name, value in [
        (torch, "__version__", "2.99"),
        (torch.backends.cpu, "get_cpu_capability", lambda: "OTHER"),
    ]:
        monkeypatch.setattr(owner, name, value)
        known.add(kernels(cpu, 2))
    assert len(known) == 4
