"""Devices and number types by name."""

from __future__ import annotations

import torch

from neumeta_core.errors import DeviceUnavailable

DTYPE_NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16"}


def resolve_device(name: str) -> torch.device:
    """``auto`` (CUDA when there is one, else CPU), ``cpu``, ``cuda`` or ``cuda:N``; DeviceUnavailable otherwise."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda") or (device.index or 0) < 0:  # PyTorch reads cuda:200 as cuda:-56.
        raise DeviceUnavailable(f"device: {name!r} is not known; expected auto, cpu, cuda or cuda:N.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceUnavailable(f"device: {name} is not there; this machine has {torch.cuda.device_count()} CUDA devices. Use auto or cpu.")
    return device


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """``fp32``, ``bf16``, or ``auto``: bf16 where the device multiplies it natively. DeviceUnavailable for another name."""
    if name == "auto":
        return torch.bfloat16 if multiplies_bf16(device) else torch.float32
    for dtype, known in DTYPE_NAMES.items():
        if name == known:
            return dtype
    raise DeviceUnavailable(f"dtype: {name!r} is not known; expected auto, {' or '.join(DTYPE_NAMES.values())}.")


def multiplies_bf16(device: torch.device) -> bool:
    """Whether bf16 is faster than fp32 there: CUDA from Ampere on, CPUs with AMX or AVX512_BF16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def kernels(device: torch.device, threads: int) -> str:
    """Names what chooses the kernels of matrix products there, and so their last bits: PyTorch's version and the processor.

    On a CPU its vector instructions and the number of ``threads`` that share an operation, on CUDA the model of the device.
    """
    if device.type == "cuda":
        return f"torch{torch.__version__}-{torch.cuda.get_device_name(device)}"
    return f"torch{torch.__version__}-{torch.backends.cpu.get_cpu_capability()}-{threads}threads"
